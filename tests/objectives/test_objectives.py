"""Each objective against a loop that spells the formula out, in float64, gradients included."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from knowlip.objectives import (
    PRIOR_LOSS,
    candidate_scores,
    causal_ids,
    hard_negatives,
    infill_loss,
    itc_loss,
    itm_loss,
    lm_loss,
    same,
    similarity,
)


def features(*shape: int, grad: bool = False) -> torch.Tensor:
    x = F.normalize(torch.randn(*shape, dtype=torch.double), dim=-1)
    return x.requires_grad_(grad)


def softmax(values: list[torch.Tensor]) -> list[torch.Tensor]:
    total = sum(value.exp() for value in values)
    return [value.exp() / total for value in values]


def itc_by_hand(image, text, own_image_m, own_text_m, image_m, text_m, positive, tau, alpha):  # type: ignore[no-untyped-def]
    loss = torch.zeros((), dtype=torch.double)
    for query, others, momentum_query in ((image, text_m, own_image_m), (text, image_m, own_text_m)):
        for i in range(len(query)):
            p = softmax([query[i] @ other / tau for other in others])
            soft = softmax([(momentum_query[i] @ other / tau).detach() for other in others])
            count = int(positive[i].sum())
            for k in range(len(others)):
                target = alpha * soft[k] + (1 - alpha) * (1 / count if positive[i, k] else 0.0)
                loss = loss - target * p[k].log() / len(query) / 2
    return loss


POSITIVE = same(
    torch.tensor([0, 1, 2]),
    torch.tensor([0, 1, 2, 9, 0, 8, 7]),
    torch.tensor([5, 6, 5]),
    torch.tensor([5, 6, 5, 6, 1, 2, 3]),
)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_itc_equals_the_formula_and_its_gradients(alpha: float) -> None:
    torch.manual_seed(1)
    image_m, text_m, own_image_m, own_text_m = features(7, 5), features(7, 5), features(3, 5), features(3, 5)
    assert POSITIVE[0].tolist() == [True, False, True, False, True, False, False]
    results = []
    for function in (itc_loss, itc_by_hand):
        torch.manual_seed(2)
        image, text = features(3, 5, grad=True), features(3, 5, grad=True)
        tau = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
        loss = function(image, text, own_image_m, own_text_m, image_m, text_m, POSITIVE, tau, alpha)
        results.append((loss, *torch.autograd.grad(loss, (image, text, tau))))
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


def test_itc_gradients_are_finite_differences() -> None:
    torch.manual_seed(3)
    image, text = features(3, 4, grad=True), features(3, 4, grad=True)
    rest = [features(3, 4), features(3, 4), features(7, 4), features(7, 4)]
    tau = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda i, t, tau: itc_loss(i, t, *rest, POSITIVE, tau, 0.0), (image, text, tau)
    )  # soft targets would be held fixed by autograd, but not by a difference in tau
    assert torch.autograd.gradcheck(lambda i, t: itc_loss(i, t, *rest, POSITIVE, tau.detach(), 0.4), (image, text))


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_itc_leaves_out_what_does_not_exist(alpha: float) -> None:
    torch.manual_seed(1)
    own = [features(3, 5, grad=True) for _ in range(2)] + [features(3, 5), features(3, 5)]
    image_m, text_m, tau = features(7, 5), features(7, 5), torch.tensor(0.01, dtype=torch.double)
    exists = torch.tensor([True, True, True, False, True, False, False])
    want = itc_loss(*own, image_m[exists], text_m[exists], POSITIVE[:, exists], tau, alpha)
    got = itc_loss(*own, image_m, text_m, POSITIVE & exists, tau, alpha, exists)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)
    for a, b in zip(torch.autograd.grad(got, own[:2]), torch.autograd.grad(want, own[:2])):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_similarities_are_exact_under_autocast() -> None:
    torch.manual_seed(0)
    a, b, tau = F.normalize(torch.randn(4, 64), dim=1), F.normalize(torch.randn(5, 64), dim=1), torch.tensor(0.001)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = similarity(a, b, tau)
        assert (a @ b.T).dtype == torch.bfloat16
        assert similarity(a.bfloat16(), b.bfloat16(), tau).dtype == torch.float32
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, a @ b.T / tau)


def drawn_by_hand(similarity: list[float], positive: list[bool], uniform: float, floor: float) -> int:
    """The first candidate at which the summed probability exceeds the number drawn."""
    exponentials = [math.exp(value) for value in similarity]
    weights = [0.0 if wrong else value / sum(exponentials) + floor for value, wrong in zip(exponentials, positive)]
    if not sum(weights):
        return -1
    so_far = 0.0
    for k, weight in enumerate(weights):
        so_far += weight / sum(weights)
        if uniform < so_far:
            return k
    raise AssertionError


@pytest.mark.parametrize("floor", [1e-4, 0.1])
def test_hard_negatives_are_the_inverse_of_the_cumulative_distribution(floor: float) -> None:
    rng = np.random.default_rng(0)
    values, positive, uniform = rng.normal(0, 2, (200, 9)), rng.random((200, 9)) < 0.4, rng.random(200)
    positive[:3] = True
    got = hard_negatives(torch.tensor(values), torch.tensor(positive), torch.tensor(uniform), floor)
    want = [drawn_by_hand(*row, floor) for row in zip(values.tolist(), positive.tolist(), uniform.tolist())]
    assert got.tolist() == want
    assert want[:3] == [-1, -1, -1]


def test_contrast_and_matching_together_order_candidates_as_the_probability_does() -> None:
    """Matching that discriminates perfectly between right candidates and ones drawn by contrast: BLIP's sum ranks by
    what contrast had overlooked alone, the product by how probable a candidate is."""
    rng = np.random.default_rng(0)
    tau, cosine = 0.07, rng.uniform(-0.3, 0.9, (50, 16))
    drawn = np.exp(cosine / tau) / np.exp(cosine / tau).sum(1, keepdims=True)
    truth = drawn * rng.gamma(2.0, 1.0, drawn.shape)
    truth /= truth.sum(1, keepdims=True)
    probability = truth / (truth + 2 * drawn)
    scores = candidate_scores(cosine, probability, tau)
    assert (np.argsort(scores, 1) == np.argsort(truth, 1)).all()
    assert (np.argmax(cosine + probability, 1) != np.argmax(truth, 1)).mean() > 0.3
    assert np.isfinite(candidate_scores(np.zeros(2), np.array([0.0, 1.0]), tau)).all()


def test_hard_negatives_never_draw_a_positive_even_at_the_ends() -> None:
    torch.manual_seed(0)
    values, positive = 30 * torch.randn(500, 301), torch.rand(500, 301) < 0.5
    positive[:, [0, -1]] = True
    for uniform in (0.0, 1 - 2**-24, 1 - 2**-53):
        drawn = hard_negatives(values, positive, torch.full((500,), uniform, dtype=torch.double))
        assert not positive[torch.arange(500), drawn].any()


def test_itm_prior_is_the_loss_of_a_head_that_knows_only_the_ratio() -> None:
    logits = torch.tensor([[math.log(2 / 3), math.log(1 / 3)]]).repeat(6, 1)
    is_match = torch.tensor([True, True, False, False, False, False])
    assert itm_loss(logits, is_match).item() == pytest.approx(PRIOR_LOSS, abs=1e-6)
    assert pytest.approx(-(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3)) == PRIOR_LOSS


def test_itm_is_cross_entropy_over_the_pairs_that_count() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 2, dtype=torch.double, requires_grad=True)
    is_match = torch.tensor([True, False, False, True, False])
    weights = torch.tensor([1, 1, 0, 1, 1], dtype=torch.double)
    chosen = [0, 1, 3, 4]
    want = -sum(softmax(list(logits[i]))[int(is_match[i])].log() for i in chosen) / 4
    got = itm_loss(logits, is_match, weights)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=0)
    for a, b in zip(torch.autograd.grad(got, logits), torch.autograd.grad(want, logits)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: itm_loss(x, is_match, weights), logits)
    halved = itm_loss(logits, is_match, weights, count=torch.tensor(8.0))
    assert halved.item() == pytest.approx(got.item() / 2)


@pytest.mark.parametrize("function", [infill_loss, lm_loss])
def test_writing_is_smoothed_cross_entropy(function) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    logits = torch.randn(5, 9, dtype=torch.double, requires_grad=True)
    targets = torch.tensor([1, 8, 0, 3, 3])
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    want = -sum(0.9 * log_p[i, t] + 0.1 * log_p[i].mean() for i, t in enumerate(targets)) / 5
    got = function(logits, targets, 0.1)
    torch.testing.assert_close(got, want)
    for a, b in zip(torch.autograd.grad(got, logits), torch.autograd.grad(want, logits)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: function(x, targets, 0.1), logits)
    parts = function(logits[:1], targets[:1], 0.1, torch.tensor(2.5)), function(logits[1:], targets[1:], 0.1, 2.5)
    assert (parts[0] + parts[1]).item() / 2 == pytest.approx(want.item())


def test_the_language_model_reads_what_stands_before() -> None:
    ids = torch.tensor([[2, 11, 12, 3], [2, 13, 3, 0]])
    inputs, targets = causal_ids(ids, dec=9)
    assert inputs.tolist() == [[9, 11, 12], [9, 13, 3]]
    assert targets.tolist() == [[11, 12, 3], [13, 3, 0]]
    assert ids[0, 0] == 2
