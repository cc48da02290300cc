"""Guided attention and contrast of regions against plain numbers."""

import math

import torch
import torch.nn.functional as F

from knowlip.objectives import attend_loss, region_itc_loss


def test_attention_is_asked_of_the_first_heads_alone() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0.0], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0]], [[0.2, 0.3, 0.5]] * 3])
    on_target = torch.tensor([[False, True, True], [False, False, False]])
    want = -(math.log(0.5) + math.log(0.75)) / 2
    torch.testing.assert_close(attend_loss(weights, on_target, heads=2), torch.tensor(want))
    assert attend_loss(weights, torch.zeros_like(on_target)) == 0


def test_a_region_is_compared_with_all_phrases() -> None:
    torch.manual_seed(0)
    region, phrase = (F.normalize(torch.randn(count, 4), dim=-1) for count in (3, 2))
    which = torch.tensor([0, 1, 1])
    total = 0.0
    for one, right in zip(region, which.tolist()):
        logits = [float(one @ other) / 0.1 for other in phrase]
        total -= logits[right] - math.log(sum(map(math.exp, logits)))
    found = region_itc_loss(region, phrase, which, torch.tensor(0.1))
    torch.testing.assert_close(found, torch.tensor(total / 3), rtol=1e-4, atol=1e-5)
    assert region_itc_loss(region[:0], phrase, which[:0], torch.tensor(0.1)) == 0
