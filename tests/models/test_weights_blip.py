"""BLIP files in both layouts against `transformers` with random weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval, BlipForQuestionAnswering

from knowlip.base.generation import GenerationConfig
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.generate import generate
from knowlip.models.weights import InitConfig, initialise

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLASSES = {
    "caption": BlipForConditionalGeneration,
    "retrieval": BlipForImageTextRetrieval,
    "vqa": BlipForQuestionAnswering,
}


def oracle(tokenizer: TextTokenizer, kind: str, vision_width: int) -> nn.Module:
    torch.manual_seed(1)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "encoder_hidden_size": vision_width,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 20,
        "projection_dim": 16,
        "bos_token_id": tokenizer.dec,
        "sep_token_id": tokenizer.sep,
        "eos_token_id": tokenizer.sep,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    vision = {
        "hidden_size": vision_width,
        "intermediate_size": 4 * vision_width,
        "num_hidden_layers": 2,
        "image_size": 32,
        "num_attention_heads": 2,
        "patch_size": 8,
        "layer_norm_eps": 1e-6,
    }
    config = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=16)
    blip: nn.Module = CLASSES[kind](config).eval()
    for parameter in blip.parameters():
        nn.init.normal_(parameter, std=0.3)
    return blip


def ours(tokenizer: TextTokenizer, vision_width: int, **changes: Any) -> KnowLIP:
    torch.manual_seed(2)
    sizes = {"patch_size": 8, "embed_dim": vision_width, "depth": 2, "num_heads": 2}
    text = {"width": 32, "layers": 2, "heads": 2, "mlp_width": 64, "max_length": 12, "start_at_hole": False, **changes}
    config = ModelConfig(VisionConfig("vit_tiny_patch16_224", 32, sizes), TextConfig(len(tokenizer), **text), 16)
    return KnowLIP(config, tokenizer).eval()


def of_salesforce(state: dict, pre_training: bool = False) -> dict:
    """Hugging Face's names back to those of Salesforce's own files, with all that these hold besides."""
    renamed = {}
    for name, tensor in state.items():
        for old, new in (
            ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
            ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
            ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
            ("vision_model.encoder.layers", "visual_encoder.blocks"),
            ("vision_model.post_layernorm", "visual_encoder.norm"),
            ("self_attn.projection", "attn.proj"),
            ("self_attn", "attn"),
            ("layer_norm", "norm"),
        ):
            name = name.replace(old, new)
        renamed[name] = tensor
    for stack in ("text_encoder", "text_decoder.bert"):
        if f"{stack}.embeddings.LayerNorm.bias" in renamed:
            renamed[f"{stack}.embeddings.position_ids"] = torch.arange(20)[None]
    if pre_training:
        twins = ("visual_encoder", "text_encoder", "vision_proj", "text_proj")
        for name, tensor in list(renamed.items()):
            if name.startswith(twins):
                first, _, rest = name.partition(".")
                renamed[f"{first}_m.{rest}"] = tensor * 0.5
        renamed |= {"image_queue": torch.randn(16, 9), "text_queue": torch.randn(16, 9)}
        renamed |= {"queue_ptr": torch.zeros(1, dtype=torch.long), "temp": torch.tensor(0.031)}
    return renamed


def inputs(tokenizer: TextTokenizer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grey tiles, the same as three normalised channels, text ids and mask."""
    grey = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    channels = (grey[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std
    ids = torch.randint(5, len(tokenizer), (3, 10))
    keep = torch.arange(10) < torch.tensor([10, 7, 3])[:, None]
    return grey, channels, ids * keep, keep


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def load(model: KnowLIP, state: dict, folder: Path) -> dict[str, Any]:
    torch.save({"model": state}, folder / "blip.pth")
    report: dict[str, Any] = initialise(model, InitConfig(blip=folder / "blip.pth"))["blip"]
    return report


LAYOUTS = pytest.mark.parametrize("salesforce", [True, False], ids=["salesforce", "hugging-face"])
WIDTHS = pytest.mark.parametrize("width", [32, 24], ids=["base", "large"])
"""Image and text of equal width as in ViT-B, or not, as in ViT-L."""


@LAYOUTS
@WIDTHS
@torch.inference_mode()
def test_retrieval(tokenizer: TextTokenizer, tmp_path: Path, salesforce: bool, width: int) -> None:
    blip, model = oracle(tokenizer, "retrieval", width), ours(tokenizer, width)
    report = load(model, of_salesforce(blip.state_dict()) if salesforce else blip.state_dict(), tmp_path)
    grey, channels, ids, keep = inputs(tokenizer)
    tokens, image = model.encode_images(model.normalise(grey))
    want = blip(ids, channels, attention_mask=keep.long(), use_itm_head=True)
    same(tokens, want.last_hidden_state)
    same(model.match_ids(ids, keep, model.image_key_values(tokens)), want.itm_score)
    similarity = blip(ids, channels, attention_mask=keep.long(), use_itm_head=False).itm_score
    same(image @ model.embed_ids(ids, keep).T, similarity)
    assert report["layout"] == "BLIP, retrieval"
    assert set(report["new"]) == {"retrieval weights have no such head", "retrieval weights have no decoder"}
    assert report["new"]["retrieval weights have no such head"] == ["temp"]


@LAYOUTS
@WIDTHS
@torch.inference_mode()
def test_caption(tokenizer: TextTokenizer, tmp_path: Path, salesforce: bool, width: int) -> None:
    blip, model = oracle(tokenizer, "caption", width), ours(tokenizer, width)
    load(model, of_salesforce(blip.state_dict()) if salesforce else blip.state_dict(), tmp_path)
    grey, channels, ids, keep = inputs(tokenizer)
    tokens, _ = model.encode_images(model.normalise(grey))
    states, _ = model.text_decoder(ids, *model.lm_input(tokens))
    got = model.text_decoder.cls(states)
    want = blip(pixel_values=channels, input_ids=ids, attention_mask=keep.long()).logits
    same(got[keep], want[keep])
    with pytest.raises(ValueError, match=r"set model\.text.tie_decoder to True"):
        load(ours(tokenizer, width, tie_decoder=False), blip.state_dict(), tmp_path)


@LAYOUTS
@torch.inference_mode()
def test_questions(tokenizer: TextTokenizer, tmp_path: Path, salesforce: bool) -> None:
    blip, model = oracle(tokenizer, "vqa", 32), ours(tokenizer, 32, tie_decoder=False)
    state = of_salesforce(blip.state_dict()) if salesforce else blip.state_dict()
    load(model, state, tmp_path)
    grey, channels, ids, keep = inputs(tokenizer)
    tokens, _ = model.encode_images(model.normalise(grey))
    written = torch.cat([torch.full((3, 1), tokenizer.dec), torch.randint(5, 30, (3, 4))], 1)
    memory, _, hole = model.decoder_input(ids, keep, model.image_key_values(tokens))
    assert hole is None
    states, _ = model.text_decoder(written, memory, keep)
    got, seen = model.text_decoder.cls(states), blip.vision_model(channels).last_hidden_state
    for row, length in enumerate(keep.sum(1).tolist()):  # unpadded: transformers' decoder also attends to padding
        read = blip.text_encoder(ids[row : row + 1, :length], encoder_hidden_states=seen[row : row + 1])
        want = blip.text_decoder(written[row : row + 1], encoder_hidden_states=read.last_hidden_state)
        same(got[row], want.logits[0])
    with pytest.raises(ValueError, match=r"set model\.text.tie_decoder to False"):
        load(ours(tokenizer, 32), state, tmp_path)


def pre_trained(tokenizer: TextTokenizer, width: int) -> tuple[nn.Module, nn.Module, dict]:
    """BLIP's pre-training model: a retrieval model, and a captioning decoder that shares all but self-attention."""
    retrieval, caption = oracle(tokenizer, "retrieval", width), oracle(tokenizer, "caption", width)
    shared = {
        f"text_decoder.bert.{name}": tensor
        for name, tensor in retrieval.text_encoder.state_dict().items()
        if ".attention." not in name
    }
    state = caption.state_dict() | retrieval.state_dict() | shared
    for name in (name for name in caption.state_dict() if ".attention." in name):
        state[name] = state[name] * 0.9
    state["text_decoder.cls.predictions.decoder.weight"] = shared["text_decoder.bert.embeddings.word_embeddings.weight"]
    caption.load_state_dict({name: tensor for name, tensor in state.items() if name in caption.state_dict()})
    return retrieval, caption, of_salesforce(state, pre_training=True)


@WIDTHS
@pytest.mark.parametrize("tie", [True, False])
@torch.inference_mode()
def test_pre_trained(tokenizer: TextTokenizer, tmp_path: Path, width: int, tie: bool) -> None:
    retrieval, caption, state = pre_trained(tokenizer, width)
    model = ours(tokenizer, width, tie_decoder=tie)
    report = load(model, state, tmp_path)
    grey, channels, ids, keep = inputs(tokenizer)
    tokens, _ = model.encode_images(model.normalise(grey))
    same(
        model.match_ids(ids, keep, model.image_key_values(tokens)),
        retrieval(ids, channels, attention_mask=keep.long()).itm_score,
    )
    states, _ = model.text_decoder(ids, *model.lm_input(tokens))
    want = caption(pixel_values=channels, input_ids=ids, attention_mask=keep.long()).logits
    same(model.text_decoder.cls(states)[keep], want[keep])
    assert float(model.temp) == pytest.approx(0.031)
    assert report["layout"] == "BLIP, pre-trained"
    assert set(report["dropped"]) >= {"momentum copy: made anew from the weights", "queue of features", "a constant"}
    other_width = "the file's decoder reads image tokens, this one text states of another width"
    assert set(report["new"]) == (set() if width == 32 else {other_width})


def test_a_decoder_that_reads_a_readout_starts_from_blip_too(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    plain = ours(tokenizer, 32)
    model = KnowLIP(replace(plain.config, readout=True), tokenizer)
    new = load(model, pre_trained(tokenizer, 32)[2], tmp_path)["new"]
    names = [name for name in model.state_dict() if ".recall." in name]
    assert {*new["BLIP reads no readout"]} == {*names}
    assert names


def test_every_tensor_matters(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    """Perturbing any one tensor that the report does not call dropped changes an output of the model."""
    _, _, state = pre_trained(tokenizer, 24)
    state = {k: v for k, v in state.items() if "_m." not in k and "queue" not in k and "position_ids" not in k}
    model = ours(tokenizer, 24)
    grey, _, ids, keep = inputs(tokenizer)

    def outputs() -> torch.Tensor:
        load(model, state, tmp_path)
        with torch.inference_mode():
            tokens, image = model.encode_images(model.normalise(grey))
            memory = model.image_key_values(tokens)
            states, _ = model.text_decoder(ids, *model.lm_input(tokens))
            parts = [model.text_decoder.cls(states), model.match_ids(ids, keep, memory), image, model.temp]
            parts.append(model.embed_ids(ids, keep))
            return torch.cat([part.flatten() for part in parts])

    first = outputs()
    for name, tensor in list(state.items()):
        twin = name.replace("text_encoder.", "text_decoder.bert.")
        if (name.startswith("text_decoder.bert.") and ".attention." not in name) or "predictions.decoder." in name:
            continue  # stored a second time; perturbed with its twin
        if name.endswith("self.key.bias"):
            continue  # cancels in the softmax
        same_tensors = [key for key in (name, twin) if key in state and torch.equal(state[key], tensor)]
        if "word_embeddings" in name:
            same_tensors.append("text_decoder.cls.predictions.decoder.weight")
        if name == "text_decoder.cls.predictions.bias":
            same_tensors.append("text_decoder.cls.predictions.decoder.bias")
        changed = tensor + (torch.arange(tensor.numel()).reshape(tensor.shape) % 7 + 1) / 7
        for key in same_tensors:
            state[key] = changed
        assert not torch.allclose(outputs(), first, atol=1e-4), name
        for key in same_tensors:
            state[key] = tensor


def test_what_does_not_fit_is_refused(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, _, state = pre_trained(tokenizer, 24)
    model = ours(tokenizer, 24)
    with pytest.raises(ValueError, match=r"no place for, first text_encoder\.encoder\.layer\.0\.crossattention\.self0"):
        load(model, state | {"text_encoder.encoder.layer.0.crossattention.self0.query.bias": torch.zeros(1)}, tmp_path)
    with pytest.raises(ValueError, match="holds no BLIP"):
        load(model, {"visual.conv1.weight": torch.zeros(1)}, tmp_path)
    with pytest.raises(ValueError, match=r"set model\.text.layers to 2"):
        load(ours(tokenizer, 24, layers=3), state, tmp_path)
    with pytest.raises(ValueError, match=r"lacks itm_head\.weight"):
        load(model, {name: tensor for name, tensor in state.items() if name != "itm_head.weight"}, tmp_path)
    with pytest.raises(ValueError, match="differs from text_encoder"):
        load(model, state | {"text_decoder.bert.embeddings.LayerNorm.bias": torch.zeros(32)}, tmp_path)


@torch.inference_mode()
def test_captions_are_those_of_transformers(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    blip, model = oracle(tokenizer, "caption", 24), ours(tokenizer, 24, decoder_reads="image")
    load(model, blip.state_dict(), tmp_path)
    grey, channels, _, _ = inputs(tokenizer)
    tokens, _ = model.encode_images(model.normalise(grey))
    got = generate(model, tokens, [""] * 3, GenerationConfig(max_new_tokens=8, start="upper left"))
    first = tokenizer.ids("upper left")
    want = blip.generate(
        channels,
        input_ids=torch.tensor([[tokenizer.dec, *first, tokenizer.sep]] * 3),
        max_new_tokens=8,
        num_beams=1,
        do_sample=False,
        suppress_tokens=[tokenizer.pad, tokenizer.mask, tokenizer.cls, tokenizer.enc, tokenizer.dec],
    )
    for row, texts in zip(want.tolist(), got):
        written = row[1 + len(first) :]
        assert row[1 : 1 + len(first)] == first
        assert texts[0].ids == (written[: written.index(tokenizer.sep)] if tokenizer.sep in written else written)
        assert len(texts[0].ids) > 0
