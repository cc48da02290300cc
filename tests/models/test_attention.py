"""Weights of cross-attention: with them the values give what scaled-dot-product attention gave."""

from typing import Any

import torch

from knowlip.models import KnowLIP
from knowlip.models.attention import image_attention, patch_tokens, readout_tokens


@torch.inference_mode()
def test_weights_give_what_attention_gave(model: KnowLIP) -> None:
    tokens, _ = model.encode_images(torch.randn(3, 1, 32, 32))
    memory = model.image_key_values(tokens)
    ids, keep = model.frame(["Count: [MASK] Water: [MASK]", "[MASK]", "Location: upper left"], grounded=True)
    row_R, place_R = torch.tensor([0, 0, 2]), torch.tensor([3, 6, 1])
    given: list[torch.Tensor] = []
    layers: Any = model.text_encoder.encoder.layer
    for layer in layers:
        layer.crossattention.self.register_forward_hook(lambda _, inputs, out: given.append(out))
    weights = image_attention(model, ids, keep, memory, row_R, place_R)
    assert weights.shape == (3, 2, 2, 17)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 2))
    for at, (_, value) in enumerate(memory):
        mixed = (weights[:, at, :, None] @ value[row_R])[:, :, 0].flatten(1)
        torch.testing.assert_close(mixed, given[at][row_R, place_R])
    assert not any(layer.crossattention.self._forward_pre_hooks for layer in layers)


def test_patches_stand_behind_the_class_token_and_the_readout(model: KnowLIP) -> None:
    assert patch_tokens(model) == (slice(1, 17), (4, 4))
    assert readout_tokens(model) == slice(1, 1)
    model.config.readout = True
    torch.manual_seed(0)
    other = KnowLIP(model.config, model.tokenizer)
    tokens, _ = other.encode_images(torch.zeros(1, 1, 32, 32))
    assert readout_tokens(other).stop == patch_tokens(other)[0].start == tokens.shape[1] - 16
