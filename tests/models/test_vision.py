"""The image tower: any ViT of timm, with or without a class token; activation checkpointing changes no gradient."""

import json
from pathlib import Path

import pytest
import torch

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, load_model, save_model
from knowlip.models.vision import grid_of, image_tower, summary_token

SMALL = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.mark.parametrize(
    ("name", "changes", "tokens", "has_class"),
    [
        ("vit_tiny_patch16_224", SMALL, 17, True),
        ("vit_small_patch14_reg4_dinov2", {**SMALL, "init_values": 1e-5}, 16 + 5, True),
        ("vit_base_patch16_siglip_224", SMALL, 16, False),
        ("eva02_tiny_patch14_224", SMALL, 17, True),
        ("beit_base_patch16_224", SMALL, 17, True),
    ],
)
def test_any_vit_of_timm(name: str, changes: dict, tokens: int, has_class: bool) -> None:
    tower = image_tower(VisionConfig(name, 32, changes)).eval()
    out = tower(torch.randn(2, 1, 32, 32))
    assert out.shape == (2, tokens, 24)
    summary = summary_token(tower, out)
    torch.testing.assert_close(summary, out[:, 0] if has_class else out.mean(1))
    assert grid_of(tower)[:2] == ((8, 8), (4, 4))


def test_what_is_no_vit_is_refused() -> None:
    with pytest.raises(ValueError, match="has batch norm"):
        image_tower(VisionConfig("resnet18", 32))
    with pytest.raises(ValueError, match=r"ConvNeXt, which reads pixels: set model\.vision\.stem to 0"):
        image_tower(VisionConfig("test_convnext", 256, stem=16))
    with pytest.raises(ValueError, match="is no model of timm"):
        image_tower(VisionConfig("vit_of_nobody", 32))
    with pytest.raises(ValueError, match="cannot hold 'wings'"):
        image_tower(VisionConfig("vit_tiny_patch16_224", 32, {"wings": 2}))
    with pytest.raises(ValueError, match="cannot be built by timm"):
        image_tower(VisionConfig("vit_tiny_patch16_224", 32, {"num_heads": 7}))


@pytest.mark.parametrize("tie", [True, False])
def test_checkpointed_activations_give_the_same_gradients(tokenizer: TextTokenizer, tie: bool) -> None:
    torch.manual_seed(0)
    text = TextConfig(len(tokenizer), 32, 2, 2, 64, 48, dropout=0.0, tie_decoder=tie)
    model = KnowLIP(ModelConfig(VisionConfig("vit_tiny_patch16_224", 32, SMALL), text, 16), tokenizer)
    pixels, ids = torch.randn(2, 1, 32, 32), torch.randint(7, 40, (2, 6))
    keep = torch.ones_like(ids, dtype=torch.bool)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        tokens, image = model.encode_images(pixels)
        memory, _, hole = model.decoder_input(ids, keep, model.image_key_values(tokens))
        states, _ = model.text_decoder(ids, memory, keep, hole_BD=hole)
        (model.text_decoder.cls(states).square().mean() + (image @ model.embed_ids(ids, keep).T).sum()).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    model.checkpoint_activations()
    saved = gradients()
    assert plain.keys() == saved.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, rtol=1e-5, atol=1e-7)
    assert model.visual_encoder.grad_checkpointing
    model.checkpoint_activations(False)
    assert not model.text_encoder.encoder.checkpointing


def test_untied_decoder_shares_nothing(tokenizer: TextTokenizer) -> None:
    text = TextConfig(len(tokenizer), 32, 2, 2, 64, 48, tie_decoder=False)
    model = KnowLIP(ModelConfig(VisionConfig("vit_tiny_patch16_224", 32, SMALL), text, 16), tokenizer)
    encoder = {id(p) for p in model.text_encoder.parameters()}
    assert not any(id(p) in encoder for p in model.text_decoder.parameters())
    words = model.text_decoder.embeddings.word_embeddings.weight
    assert model.text_decoder.cls.predictions.decoder.weight is words


def test_a_decoder_that_reads_the_image_has_no_projections_of_its_own(tokenizer: TextTokenizer) -> None:
    text = TextConfig(len(tokenizer), 32, 2, 2, 64, 48, decoder_reads="image")
    vision = VisionConfig("vit_tiny_patch16_224", 32, SMALL)
    model = KnowLIP(ModelConfig(vision, text, 16), tokenizer)  # widths 24 and 32
    for mine, theirs in zip(model.text_decoder.encoder.layer, model.text_encoder.encoder.layer):
        assert mine.crossattention is theirs.crossattention
    text.tie_decoder = False
    with pytest.raises(ValueError, match=r"needs text\.tie_decoder"):
        KnowLIP(ModelConfig(vision, text, 16), tokenizer)


def test_captioning_decoder_reads_the_image(model: KnowLIP) -> None:
    tokens, _ = model.encode_images(torch.randn(2, 1, 32, 32))
    memory, keep = model.lm_input(tokens)
    ids = torch.tensor([[model.tokenizer.dec, 8, 9], [model.tokenizer.dec, 10, 11]])
    got, _ = model.text_decoder(ids, memory, keep)
    moved, _ = model.text_decoder(ids, model.lm_input(tokens.flip(0))[0], keep)
    assert got.shape == (2, 3, 32)
    assert not torch.allclose(got, moved)
    model.config.text.decoder_reads = "image"
    try:
        read, read_keep, hole = model.read(tokens, ["", ""])
        assert hole is None
        assert torch.equal(read[0][0], memory[0][0])
        assert read_keep.all()
        with pytest.raises(ValueError, match="only writes captions"):
            model.read(tokens, ["what is this?", ""])
        with pytest.raises(ValueError, match="reads no text"):
            model.decoder_input(ids, torch.ones_like(ids, dtype=torch.bool), memory)
    finally:
        model.config.text.decoder_reads = "text"


def test_a_model_of_an_earlier_version_still_loads(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {})
    card = json.loads((tmp_path / "m" / "knowlip.json").read_text())
    card["model"]["vision"]["pretrained"] = True  # was a setting; weights come from elsewhere now
    for later in ("tie_decoder", "decoder_reads"):
        del card["model"]["text"][later]
    (tmp_path / "m" / "knowlip.json").write_text(json.dumps(card))
    again = load_model(tmp_path / "m")
    assert again.config == model.config
    assert torch.equal(again.encode_texts(["three ships"]), model.encode_texts(["three ships"]))
