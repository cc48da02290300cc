"""BERT files of every layout against `transformers` with random weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.weights import InitConfig, initialise

SIZES = {"width": 32, "layers": 2, "heads": 4, "mlp_width": 64, "max_length": 12}


def oracle(tokenizer: TextTokenizer, kind: type = BertForPreTraining, **changes: Any) -> nn.Module:
    """A BERT of the size of `ours`, without the rows of [DEC] and [ENC], every weight random."""
    torch.manual_seed(1)
    sizes = {
        "vocab_size": len(tokenizer) - 2,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 20,
        **changes,
    }
    bert: nn.Module = kind(BertConfig(**sizes)).eval()
    for parameter in bert.parameters():
        nn.init.normal_(parameter, std=0.3)
    return bert


def ours(tokenizer: TextTokenizer, **changes: Any) -> KnowLIP:
    torch.manual_seed(2)
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2})
    return KnowLIP(ModelConfig(vision, TextConfig(len(tokenizer), **{**SIZES, **changes}), 16), tokenizer).eval()


def ids_and_mask(tokenizer: TextTokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, len(tokenizer) - 2, (3, 12))
    keep = torch.arange(12) < torch.tensor([12, 7, 3])[:, None]
    return ids * keep, keep


def states_of(bert: nn.Module, ids: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    base = bert if isinstance(bert, BertModel) else bert.bert
    return base(ids, attention_mask=keep.long()).last_hidden_state


def as_it_is(state: dict) -> dict:
    return state


def without_prefix(state: dict) -> dict:
    return {name.removeprefix("bert."): tensor for name, tensor in state.items()}


def of_tensorflow(state: dict) -> dict:
    """Names of the oldest files: layer norms have gamma and beta."""
    renamed = {}
    for name, tensor in state.items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed[name] = tensor
    return renamed | {"bert.embeddings.position_ids": torch.arange(20)[None]}


def of_sentence_transformers(state: dict) -> dict:
    return {f"0.auto_model.{name.removeprefix('bert.')}": t for name, t in state.items() if not name.startswith("cls.")}


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(
    ("kind", "layout", "head"),
    [
        (BertForPreTraining, as_it_is, True),
        (BertForPreTraining, without_prefix, True),
        (BertForPreTraining, of_tensorflow, True),
        (BertForMaskedLM, as_it_is, True),
        (BertModel, as_it_is, False),
        (BertForPreTraining, of_sentence_transformers, False),
    ],
)
def test_every_layout_computes_the_same(
    tokenizer: TextTokenizer, tmp_path: Path, kind: type, layout: Callable[[dict], dict], head: bool, tie: bool
) -> None:
    bert, model = oracle(tokenizer, kind), ours(tokenizer, tie_decoder=tie)
    torch.save(layout(bert.state_dict()), tmp_path / "pytorch_model.bin")
    report = initialise(model, InitConfig(text=tmp_path))["text"]
    ids, keep = ids_and_mask(tokenizer)
    with torch.inference_mode():
        want = states_of(bert, ids, keep)
        got = model.text_encoder(ids, keep)
        torch.testing.assert_close(got[keep], want[keep], rtol=1e-5, atol=1e-5)
        if head:
            logits = (bert.cls.predictions if hasattr(bert.cls, "predictions") else bert.cls)(want)
            torch.testing.assert_close(model.text_decoder.cls(got)[keep][:, :-2], logits[keep], rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(model.text_decoder.encoder.layer, model.text_encoder.encoder.layer):
        for name, tensor in mine.attention.state_dict().items():
            assert torch.equal(tensor, theirs.attention.state_dict()[name]), f"the decoder starts elsewhere: {name}"
    assert report["layout"] == "BERT"
    assert report["resized"]["text_encoder.embeddings.position_embeddings.weight"] == "the first 12 of 20 positions"
    assert "[DEC] and [ENC] are new" in report["resized"]["text_encoder.embeddings.word_embeddings.weight"]
    assert ("the file has no language-model head" in report["new"]) == (not head)
    assert all(".crossattention." in name for name in report["new"]["BERT has no cross-attention"])


def test_a_decoder_that_reads_a_readout_starts_from_bert_too(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    torch.save(oracle(tokenizer).state_dict(), tmp_path / "pytorch_model.bin")
    plain = ours(tokenizer)
    model = KnowLIP(replace(plain.config, readout=True), tokenizer)
    before = {name: one.clone() for name, one in model.state_dict().items() if ".recall." in name}
    report = initialise(model, InitConfig(text=tmp_path))["text"]
    assert {*report["new"]["BERT reads no readout"]} == {*before}
    assert before
    assert all(torch.equal(model.state_dict()[name], one) for name, one in before.items())
    initialise(plain, InitConfig(text=tmp_path))
    for name, one in plain.text_encoder.state_dict().items():
        assert ".crossattention." in name or torch.equal(model.text_encoder.state_dict()[name][:-2], one[:-2]), name


def test_new_words_keep_their_random_rows(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    model = ours(tokenizer)
    before = model.text_encoder.embeddings.word_embeddings.weight.detach().clone()
    save_file({k: v.clone() for k, v in oracle(tokenizer, BertModel).state_dict().items()}, tmp_path / "m.safetensors")
    initialise(model, InitConfig(text=tmp_path / "m.safetensors"))
    after = model.text_encoder.embeddings.word_embeddings.weight
    assert torch.equal(after[-2:], before[-2:])
    assert not torch.equal(after[:-2], before[:-2])


def test_every_tensor_matters(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    """Perturbing any one tensor of the file that is not reported as dropped changes states or logits."""
    model = ours(tokenizer)
    state = dict(oracle(tokenizer, BertForMaskedLM).state_dict())
    ids, keep = ids_and_mask(tokenizer)

    def logits() -> torch.Tensor:
        state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
        state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
        torch.save(state, tmp_path / "m.bin")
        initialise(model, InitConfig(text=tmp_path / "m.bin"))
        with torch.inference_mode():
            return model.text_decoder.cls(model.text_encoder(ids, keep))[keep][:, :-2]

    first = logits()
    for name, tensor in list(state.items()):
        if name.startswith("cls.predictions.decoder."):
            continue  # the same as the words' and the head's
        noise = torch.randn_like(tensor)
        if name.endswith("attention.self.key.bias"):
            continue  # cancels in the softmax, for any BERT
        state[name] = tensor + noise
        assert not torch.allclose(logits(), first, atol=1e-4), name
        state[name] = tensor


def test_words_are_compared_with_the_vocabulary_beside_the_file(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    torch.save(oracle(tokenizer).state_dict(), tmp_path / "pytorch_model.bin")
    known = tokenizer.tokenizer.get_vocab()
    words = sorted(known, key=lambda word: known[word])[:-2]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    initialise(ours(tokenizer), InitConfig(text=tmp_path))
    words[7], words[8] = words[8], words[7]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    with pytest.raises(ValueError, match="another vocabulary"):
        initialise(ours(tokenizer), InitConfig(text=tmp_path))


def test_what_does_not_fit_is_refused(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"

    def refuse(match: str, state: dict, **changes: Any) -> None:
        torch.save(state, path)
        with pytest.raises(ValueError, match=match):
            initialise(ours(tokenizer, **changes), InitConfig(text=tmp_path))

    state = oracle(tokenizer).state_dict()
    refuse("set model.text.layers to 2", state, layers=3)
    refuse("set model.text.width to 32", state, width=64)
    refuse("set model.text.mlp_width to 64", state, mlp_width=32)
    refuse("has 20 positions: set text.max_length to at most that", state, max_length=21)
    refuse("another vocabulary", oracle(tokenizer, vocab_size=len(tokenizer) - 5).state_dict())
    refuse("no place for, first bert.encoder.layer.0.adapter", state | {"bert.encoder.layer.0.adapter": torch.zeros(1)})
    refuse(
        "lacks encoder.layer.1.output.dense.bias",
        {k: v for k, v in state.items() if not k.endswith("1.output.dense.bias")},
    )
    refuse("holds no BERT", {"roberta.embeddings.word_embeddings.weight": torch.zeros(2, 2)})
    other = {**state, "cls.predictions.decoder.weight": state["cls.predictions.decoder.weight"] + 1}
    refuse("differs from the word embeddings", other)
    for key, value, match in (
        ("num_attention_heads", 8, "set model.text.heads to 8"),
        ("hidden_act", "gelu_new", "hidden_act gelu_new"),
        ("layer_norm_eps", 1e-5, "layer_norm_eps 1e-05"),
        ("position_embedding_type", "relative_key", "relative_key"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({key: value}))
        refuse(match, state)
