"""The mask transformer against its formula, written anew."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.models.segmenter import MaskTransformer, enlarged


def _layer_norm(x: Tensor, state: dict[str, Tensor], name: str, eps: float) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def _linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _by_formula(head: MaskTransformer, tokens: Tensor, heads: int) -> Tensor:
    """Strudel et al. 2021, section 3.2, one head of attention after the other."""
    state, classes = head.state_dict(), head.classes
    x = torch.cat([_linear(tokens, state, "project_tokens"), state["class_1CD"].repeat(len(tokens), 1, 1)], 1)
    width = x.shape[-1] // heads
    for layer in range(len(head.layers)):
        name = f"layers.{layer}"
        q, k, v = _linear(_layer_norm(x, state, f"{name}.norm1", 1e-6), state, f"{name}.attn.qkv").chunk(3, -1)
        seen = []
        for at in range(heads):
            part = slice(at * width, (at + 1) * width)
            weight = (q[..., part] @ k[..., part].mT / math.sqrt(width)).softmax(-1)
            seen.append(weight @ v[..., part])
        x = x + _linear(torch.cat(seen, -1), state, f"{name}.attn.proj")
        hidden = _linear(_layer_norm(x, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1")
        x = x + _linear(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))), state, f"{name}.mlp.fc2")
    x = _layer_norm(x, state, "norm", 1e-5)
    patch, of_class = x[:, :-classes] @ state["patch_DD"], x[:, -classes:] @ state["class_DD"]
    cosine = torch.stack(
        [F.cosine_similarity(patch, of_class[:, number : number + 1], dim=-1) for number in range(classes)], -1
    )
    return _layer_norm(cosine, state, "class_norm", 1e-5)


@pytest.mark.parametrize("heads", [1, 3])
def test_scores_are_those_of_the_formula(heads: int) -> None:
    torch.manual_seed(heads)
    head = MaskTransformer(24, 4, layers=2, heads=heads).eval().double()
    for parameter in head.parameters():  # norms and biases too, which begin as 1 and 0
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randn(2, 9, 24, dtype=torch.float64)
    found = head(tokens)
    assert found.shape == (2, 4, 3, 3)
    torch.testing.assert_close(found.flatten(2).mT, _by_formula(head, tokens, heads), atol=1e-6, rtol=1e-6)


def test_masks_are_enlarged_to_the_pixels() -> None:
    score = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    found = enlarged(score, 8)
    assert found.shape == (1, 1, 8, 8)
    assert found[0, 0, 0, 0] == 0
    assert found[0, 0, -1, -1] == 3
    assert found.mean() == pytest.approx(1.5)


def test_what_is_no_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no square grid"):
        MaskTransformer(16, 2)(torch.zeros(1, 8, 16))
    with pytest.raises(ValueError, match="5 heads do not divide a width of 16"):
        MaskTransformer(16, 2, heads=5)


def test_channels_of_any_size_are_seen_alike() -> None:
    torch.manual_seed(0)
    head = MaskTransformer(16, 3).eval().double()
    tokens = torch.randn(4, 9, 16, dtype=torch.float64)
    head.standardise(tokens.flatten(0, 1))
    expected = head(tokens)
    size, shift = 10.0 ** torch.arange(-2, 2, 0.25).double(), 5 * torch.randn(16).double()
    large = tokens * size + shift
    assert not torch.allclose(head(large), expected)
    head.standardise(large.flatten(0, 1))
    torch.testing.assert_close(head(large), expected)
    head.standardise(torch.ones(5, 16).double())
    assert head(torch.ones(1, 9, 16).double()).isfinite().all(), "a channel that never differs"
