"""The grounding losses against plain loops."""

import math

import torch

from knowlip.objectives import closed_loss, closed_scores, density_loss, regions_loss, sizes_loss, types_loss


def test_closed_questions_count_the_probability_of_all_answers_that_agree() -> None:
    torch.manual_seed(0)
    log_p = torch.randn(3, 2, 5).log_softmax(-1)
    agree = torch.rand(3, 2, 5) < 0.4
    agree[0, 0], agree[1, 1, 2] = False, True
    total, known = 0.0, 0
    for b in range(3):
        for q in range(2):
            if agree[b, q].any():
                total -= math.log(sum(math.exp(p) for p, yes in zip(log_p[b, q].tolist(), agree[b, q]) if yes))
                known += 1
    torch.testing.assert_close(closed_loss(log_p, agree), torch.tensor(total / known))
    assert closed_scores(log_p, agree)[1].tolist() == agree.any(-1).tolist()
    assert closed_loss(log_p, torch.zeros_like(agree)) == 0


def test_a_question_that_counts_six_times_is_asked_as_if_six_times() -> None:
    torch.manual_seed(1)
    log_p = torch.randn(4, 2, 5).log_softmax(-1)
    agree = torch.rand(4, 2, 5) < 0.4
    agree[0, 1] = False
    six = closed_loss(
        torch.cat([log_p[:, :1]] * 6 + [log_p[:, 1:]], 1), torch.cat([agree[:, :1]] * 6 + [agree[:, 1:]], 1)
    )
    torch.testing.assert_close(closed_loss(log_p, agree, torch.tensor([6.0, 1.0])), six)
    torch.testing.assert_close(closed_loss(log_p, agree, torch.tensor([0.006, 0.001])), six)


def test_unknown_regions_do_not_count() -> None:
    logits = torch.tensor([[[0.3, -2.0, 1.0]]])
    held = torch.tensor([[[1, 0, -1]]], dtype=torch.int8)
    want = (math.log1p(math.exp(-0.3)) + math.log1p(math.exp(-2.0))) / 2
    torch.testing.assert_close(regions_loss(logits, held), torch.tensor(want))
    assert regions_loss(logits, torch.full_like(held, -1)) == 0


def test_the_density_that_fits_best_is_the_number_in_each_cell() -> None:
    number = torch.tensor([[[[0.0, 2.0], [1.0, 0.0]]]])
    log_rates = torch.zeros(1, 1, 2, 2, requires_grad=True)
    optimizer = torch.optim.Adam([log_rates], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        density_loss(log_rates, number, torch.ones(1, 1, dtype=torch.bool)).backward()
        optimizer.step()
    torch.testing.assert_close(log_rates.exp().detach(), number, atol=0.02, rtol=0.02)
    assert density_loss(log_rates, number, torch.zeros(1, 1, dtype=torch.bool)) == 0


def test_sizes_count_where_a_centre_lies() -> None:
    target = torch.full((1, 2, 2, 2), float("nan"))
    target[0, :, 0, 1] = torch.tensor([-3.0, -2.0])
    said = torch.full((1, 2, 2, 2), 9.0)
    said[0, :, 0, 1] = torch.tensor([-2.5, -4.0])
    torch.testing.assert_close(sizes_loss(said, target), torch.tensor((0.5 + 2.0) / 2))


def test_types_are_learned_where_a_target_lies() -> None:
    log_p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]).log().T.reshape(1, 3, 1, 2)
    target = torch.tensor([[[1, -1]]])
    torch.testing.assert_close(types_loss(log_p, target), -torch.tensor(0.2).log())
    assert types_loss(log_p, torch.full_like(target, -1)) == 0
    torch.testing.assert_close(types_loss(log_p, target, torch.tensor(2.0)), -torch.tensor(0.2).log() / 2)
