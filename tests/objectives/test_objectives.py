"""Each objective against a loop that spells the formula out, in float64, gradients included."""

import math

import pytest
import torch
import torch.nn.functional as F

from knowlip.objectives import PRIOR_LOSS, hard_negatives, infill_loss, itc_loss, itm_loss, same


def features(*shape: int, grad: bool = False) -> torch.Tensor:
    x = F.normalize(torch.randn(*shape, dtype=torch.double), dim=-1)
    return x.requires_grad_(grad)


def softmax(values: list[torch.Tensor]) -> list[torch.Tensor]:
    total = sum(value.exp() for value in values)
    return [value.exp() / total for value in values]


def itc_by_hand(image, text, image_m, text_m, positive, tau, alpha):  # type: ignore[no-untyped-def]
    loss = torch.zeros((), dtype=torch.double)
    for query, others, momentum_query, momentum_others in (
        (image, text_m, image_m, text_m),
        (text, image_m, text_m, image_m),
    ):
        for i in range(len(query)):
            p = softmax([query[i] @ other / tau for other in others])
            soft = softmax([(momentum_query[i] @ other / tau).detach() for other in momentum_others])
            count = int(positive[i].sum())
            for k in range(len(others)):
                target = alpha * soft[k] + (1 - alpha) * (1 / count if positive[i, k] else 0.0)
                loss = loss - target * p[k].log() / len(query) / 2
    return loss


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_itc_equals_the_formula_and_its_gradients(alpha: float) -> None:
    torch.manual_seed(1)
    image_m, text_m = features(7, 5), features(7, 5)
    positive = same(
        torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 9, 0, 8, 7]),
        torch.tensor([5, 6, 5]), torch.tensor([5, 6, 5, 6, 1, 2, 3]),
    )  # fmt: skip
    assert positive[0].tolist() == [True, False, True, False, True, False, False]
    results = []
    for function in (itc_loss, itc_by_hand):
        torch.manual_seed(2)
        image, text = features(3, 5, grad=True), features(3, 5, grad=True)
        tau = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
        loss = function(image, text, image_m, text_m, positive, tau, alpha)
        results.append((loss, *torch.autograd.grad(loss, (image, text, tau))))
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


def test_hard_negatives_never_draw_a_positive_and_prefer_the_similar() -> None:
    torch.manual_seed(0)
    similarity = torch.zeros(4, 4)
    similarity[0, 2] = 8.0
    positive = torch.eye(4, dtype=torch.bool)
    positive[1] = torch.tensor([True, True, False, True])
    drawn = torch.stack([torch.stack(hard_negatives(similarity, positive)) for _ in range(500)])
    text_of_image, image_of_text = drawn[:, 0], drawn[:, 1]
    assert (text_of_image[:, 1] == 2).all()
    assert (text_of_image[:, 0] == 2).float().mean() > 0.95
    for i in range(4):
        assert not positive[i, text_of_image[:, i]].any()
        assert not positive[image_of_text[:, i], i].any()
    nothing = hard_negatives(similarity, torch.ones(4, 4, dtype=torch.bool))
    assert all((part == -1).all() for part in nothing)


def test_itm_prior_is_the_loss_of_a_head_that_knows_only_the_ratio() -> None:
    logits = torch.tensor([[math.log(2 / 3), math.log(1 / 3)]]).repeat(6, 1)
    is_match = torch.tensor([True, True, False, False, False, False])
    assert itm_loss(logits, is_match).item() == pytest.approx(PRIOR_LOSS, abs=1e-6)
    assert pytest.approx(-(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3)) == PRIOR_LOSS


def test_infill_is_smoothed_cross_entropy() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 9, dtype=torch.double)
    targets = torch.tensor([1, 8, 0, 3, 3])
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    want = -sum(0.9 * log_p[i, t] + 0.1 * log_p[i].mean() for i, t in enumerate(targets)) / 5
    torch.testing.assert_close(infill_loss(logits, targets, 0.1), want)
