"""The text transformer against an independent one made of torch's own multi-head attention."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from knowlip.models import KnowLIP
from knowlip.models.text import TextDecoder, TextEncoder, TextLayer, first_holes


def attention(module: nn.Module, x: torch.Tensor, memory: torch.Tensor, **masks: object) -> torch.Tensor:
    """The same weights in nn.MultiheadAttention, then BERT's output."""
    own = module.self
    oracle = nn.MultiheadAttention(
        x.shape[-1], own.heads, batch_first=True, kdim=memory.shape[-1], vdim=memory.shape[-1], dtype=x.dtype
    )
    if memory.shape[-1] == x.shape[-1]:
        oracle.in_proj_weight.data = torch.cat([own.query.weight, own.key.weight, own.value.weight])
    else:
        oracle.q_proj_weight.data = own.query.weight
        oracle.k_proj_weight.data, oracle.v_proj_weight.data = own.key.weight, own.value.weight
    oracle.in_proj_bias.data = torch.cat([own.query.bias, own.key.bias, own.value.bias])
    oracle.out_proj.load_state_dict(module.output.dense.state_dict())
    return module.output.LayerNorm(oracle(x, memory, memory, need_weights=False, **masks)[0] + x)


def layer(module: TextLayer, x: torch.Tensor, memory: torch.Tensor | None, **masks: object) -> torch.Tensor:
    x = attention(module.attention, x, x, **masks)
    if memory is not None:
        x = attention(module.crossattention, x, memory)
    return module.output.LayerNorm(module.output.dense(F.gelu(module.intermediate.dense(x))) + x)


def embed(encoder: TextEncoder, ids: torch.Tensor) -> torch.Tensor:
    e = encoder.embeddings
    return e.LayerNorm(e.word_embeddings.weight[ids] + e.position_embeddings.weight[: ids.shape[1]])


@pytest.mark.parametrize("grounded", [False, True])
def test_encoder_equals_reference(model: KnowLIP, grounded: bool) -> None:
    encoder = model.text_encoder.double()
    ids = torch.tensor([[2, 8, 9, 10, 3, 0, 0], [2, 11, 12, 8, 9, 10, 3]])
    keep = ids != 0
    image = torch.randn(2, 5, 24, dtype=torch.double) if grounded else None
    got = encoder(ids, keep, encoder.image_key_values(image) if grounded else None)
    want = embed(encoder, ids)
    for module in encoder.encoder.layer:
        want = layer(module, want, image, key_padding_mask=~keep)
    torch.testing.assert_close(got[keep], want[keep], rtol=1e-9, atol=1e-9)


def test_decoder_equals_reference_and_its_cache_changes_nothing(model: KnowLIP) -> None:
    encoder, decoder = model.text_encoder.double(), model.text_decoder.double()
    ids = torch.tensor([[5, 8, 9, 10]])
    states, keep = torch.randn(1, 6, 32, dtype=torch.double), torch.ones(1, 6, dtype=torch.bool)
    memory = decoder.state_key_values(states)
    got, _ = decoder(ids, memory, keep)
    want = embed(encoder, ids)
    future = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
    for module in decoder.encoder.layer:
        want = layer(module, want, states, attn_mask=future)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    past, steps = None, []
    for position in range(4):
        state, past = decoder(ids[:, position : position + 1], memory, keep, past)
        steps.append(state)
    torch.testing.assert_close(torch.cat(steps, 1), got, rtol=1e-9, atol=1e-9)


def test_decoder_shares_all_but_self_attention(model: KnowLIP) -> None:
    for mine, theirs in zip(model.text_decoder.encoder.layer, model.text_encoder.encoder.layer):
        assert mine.attention is not theirs.attention
        assert mine.intermediate is theirs.intermediate
        assert mine.output is theirs.output
        assert mine.crossattention.output is theirs.crossattention.output
        assert mine.crossattention.self.key is not theirs.crossattention.self.key  # image width 24, text width 32
    same_width = TextDecoder(TextEncoder(model.config.text, 32), 32)
    assert same_width.encoder.layer[0].crossattention.self.key.weight.shape == (32, 32)
    assert model.text_decoder.cls.predictions.decoder.weight is model.text_encoder.embeddings.word_embeddings.weight


def test_names_are_those_of_bert(model: KnowLIP) -> None:
    names = set(model.text_encoder.state_dict())
    for name in (
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.LayerNorm.weight",
        "encoder.layer.0.attention.self.query.weight",
        "encoder.layer.0.attention.output.dense.weight",
        "encoder.layer.0.attention.output.LayerNorm.bias",
        "encoder.layer.1.intermediate.dense.weight",
        "encoder.layer.1.output.dense.weight",
        "encoder.layer.1.crossattention.self.value.bias",
    ):
        assert name in names


def test_the_decoder_starts_at_the_hole(model: KnowLIP) -> None:
    mask = model.tokenizer.mask
    ids = torch.tensor([[6, 8, mask, 9, 3], [6, 8, 9, 10, 3]])
    states = torch.randn(2, 5, 32)
    hole = states[[0, 1], first_holes(ids, mask)]
    assert torch.equal(hole, torch.stack([states[0, 2], states[1, 0]]))
    keep, written = torch.ones(2, 5, dtype=torch.bool), torch.tensor([[5, 8], [5, 8]])
    memory = model.text_decoder.state_key_values(states)
    plain, _ = model.text_decoder(written, memory, keep)
    zero, _ = model.text_decoder(written, memory, keep, hole_BD=torch.zeros(2, 32))
    moved, _ = model.text_decoder(written, memory, keep, hole_BD=hole)
    torch.testing.assert_close(zero, plain)
    assert not torch.allclose(moved[:, 1], plain[:, 1])
