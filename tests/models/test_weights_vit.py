"""ViT files in their official envelopes: the output is that of the RGB model on the grey image given three times."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.weights import InitConfig, initialise
from knowlip.models.weights import vit as vit_layouts

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
NAME = "vit_tiny_patch16_224"


def rgb(name: str = NAME, size: int = 32, **changes: Any) -> nn.Module:
    """The source: three channels, random weights everywhere."""
    torch.manual_seed(1)
    tower = timm.create_model(name, num_classes=7, global_pool="", img_size=size, **{**SMALL, **changes}).eval()
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.3)
    return tower


def ours(tokenizer: TextTokenizer, name: str = NAME, size: int = 32, **changes: Any) -> KnowLIP:
    torch.manual_seed(2)
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=64, max_length=48)
    return KnowLIP(ModelConfig(VisionConfig(name, size, {**SMALL, **changes}), text, 16), tokenizer).eval()


def assert_same(model: KnowLIP, source: nn.Module, normalisation: tuple = IMAGENET, size: int = 32) -> None:
    grey = torch.randint(0, 256, (2, size, size), dtype=torch.uint8)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in normalisation)
    with torch.inference_mode():
        want = source.forward_features((grey[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std)
        torch.testing.assert_close(model.encode_images(model.normalise(grey))[0], want, rtol=1e-5, atol=1e-5)


def mae_envelope(state: dict) -> dict:
    extra = {"mask_token": torch.zeros(1, 1, 24), "decoder_blocks.0.norm1.weight": torch.zeros(16)}
    return {
        "model": {k: v for k, v in state.items() if "head" not in k} | extra,
        "epoch": 3,
        "args": argparse.Namespace(lr=1),
    }


def moco_envelope(state: dict) -> dict:
    full = {f"module.{part}.{k}": v for part in ("base_encoder", "momentum_encoder") for k, v in state.items()}
    return {
        "epoch": 300,
        "arch": "vit_base",
        "state_dict": full | {"module.predictor.0.weight": torch.zeros(2)},
        "optimizer": {},
    }


def dino_envelope(state: dict) -> dict:
    teacher = {f"backbone.{k}": v for k, v in state.items() if not k.startswith("head")}
    student = {f"module.{k}": torch.zeros_like(v) for k, v in teacher.items()}
    return {"student": student, "teacher": teacher | {"head.last_layer.weight": torch.zeros(3)}, "epoch": 1}


@pytest.mark.parametrize(
    ("layout", "envelope"),
    [
        ("DeiT or MAE", lambda state: {"model": state}),
        ("MAE", mae_envelope),
        ("MoCo v3", moco_envelope),
        ("DINO", dino_envelope),
    ],
)
def test_official_envelopes(tokenizer: TextTokenizer, tmp_path: Path, layout: str, envelope: Any) -> None:
    source, model = rgb(), ours(tokenizer)
    torch.save(envelope(source.state_dict()), tmp_path / "w.pth")
    before = model.text_encoder.state_dict()["embeddings.word_embeddings.weight"].clone()
    report = initialise(model, InitConfig(vision=str(tmp_path / "w.pth")))["vision"]
    assert_same(model, source)
    assert report["layout"] == layout
    assert report["loaded"] == len(model.visual_encoder.state_dict())
    assert report["new"] == {}
    assert report["resized"] == {}
    assert list(report["folded"]) == ["visual_encoder.patch_embed.proj.weight"]
    assert torch.equal(model.text_encoder.state_dict()["embeddings.word_embeddings.weight"], before)


def test_a_bare_file_is_timm_s_and_its_normalisation_can_be_given(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    source, model = rgb(), ours(tokenizer)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    initialise(model, InitConfig(vision=str(tmp_path / "w.pth")))
    assert_same(model, source, ((0.5,) * 3, (0.5,) * 3))  # what timm states for this name
    initialise(model, InitConfig(vision=str(tmp_path / "w.pth"), vision_mean=[0.1, 0.2, 0.3], vision_std=[1, 2, 3]))
    assert_same(model, source, ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    "name",
    [
        "deit3_small_patch16_224",
        "vit_base_patch16_clip_224",
        "vit_small_patch14_reg4_dinov2",
        "vit_base_patch16_siglip_224",
        "eva02_tiny_patch14_224",
        "beit_base_patch16_224",
    ],
)
def test_any_vit_of_timm(tokenizer: TextTokenizer, tmp_path: Path, name: str) -> None:
    """As published: with the pooling and head of their name."""
    torch.manual_seed(1)
    source = timm.create_model(name, num_classes=7, img_size=32, **SMALL).eval()
    for parameter in source.parameters():
        nn.init.normal_(parameter, std=0.3)
    model = ours(tokenizer, name)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    init = InitConfig(vision=str(tmp_path / "w.pth"), vision_mean=list(IMAGENET[0]), vision_std=list(IMAGENET[1]))
    report = initialise(model, init)["vision"]
    pools = isinstance(source.norm, nn.Identity)
    assert any("norm of the pooled" in note for note in report["notes"]) == pools
    if pools:
        source.norm = source.fc_norm
    assert_same(model, source)


def test_without_a_bias_the_constant_goes_into_the_positions(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    source, model = rgb(pre_norm=True), ours(tokenizer, pre_norm=True)  # CLIP's kind
    torch.save({"model": source.state_dict()}, tmp_path / "w.pth")
    report = initialise(model, InitConfig(vision=str(tmp_path / "w.pth")))["vision"]
    assert_same(model, source)
    assert "visual_encoder.pos_embed" in report["folded"]


@pytest.mark.parametrize("antialias", [False, True])
def test_another_image_and_patch_size_is_resized_and_said(
    tokenizer: TextTokenizer, tmp_path: Path, antialias: bool
) -> None:
    source, model = rgb(), ours(tokenizer, size=48, patch_size=16)
    torch.save({"model": source.state_dict()}, tmp_path / "w.pth")
    report = initialise(model, InitConfig(vision=str(tmp_path / "w.pth"), antialias=antialias))["vision"]
    assert report["resized"] == {
        "visual_encoder.patch_embed.proj.weight": "patches of 8 x 8 -> 16 x 16 px",
        "visual_encoder.pos_embed": f"grid of 4 x 4 -> 3 x 3 (bicubic{', antialiased' if antialias else ''})",
    }
    resized = rgb(size=48, patch_size=16)
    state = source.state_dict()
    state["patch_embed.proj.weight"] = timm.layers.resample_patch_embed(state["patch_embed.proj.weight"], [16, 16])
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(state["pos_embed"], [3, 3], antialias=antialias)
    resized.load_state_dict(state)
    assert_same(model, resized, size=48)


def test_timm_s_own_weights(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    source, model = rgb(), ours(tokenizer)
    source.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    asked = []

    def create(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        if name == "offline":
            raise ConnectionError("no network")
        return source

    monkeypatch.setattr(vit_layouts.timm, "create_model", create)
    for vision in ("timm", "timm/vit_base_patch16_224.dino", "hf-hub:someone/vit"):
        initialise(model, InitConfig(vision=vision))
        assert_same(model, source, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    names = [NAME, "vit_base_patch16_224.dino", "hf-hub:someone/vit"]
    assert asked == [(name, True) for name in names]
    with pytest.raises(ValueError, match="cannot load the weights of offline: no network"):
        initialise(model, InitConfig(vision="timm/offline"))


def test_every_tensor_matters(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    """Perturbing any one tensor of the file changes the tokens."""
    source, model = rgb(), ours(tokenizer)
    state = {name: tensor for name, tensor in source.state_dict().items() if "head" not in name}
    pixels = torch.randn(1, 1, 32, 32)

    def tokens() -> torch.Tensor:
        torch.save({"model": state}, tmp_path / "w.pth")
        initialise(model, InitConfig(vision=str(tmp_path / "w.pth")))
        with torch.inference_mode():
            return model.encode_images(pixels)[0]

    first = tokens()
    for name, tensor in list(state.items()):
        if name.endswith("qkv.bias"):  # a bias of the keys cancels in the softmax: touch all three
            state[name] = tensor + torch.arange(len(tensor)) / 10
        else:
            state[name] = tensor + torch.randn_like(tensor)
        assert not torch.allclose(tokens(), first, atol=1e-4), name
        state[name] = tensor


def test_what_does_not_fit_is_refused_and_nothing_changes(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    source, model = rgb(), ours(tokenizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = tmp_path / "w.pth"

    def refuse(content: Any, match: str, **init: Any) -> None:
        torch.save(content, path)
        with pytest.raises(ValueError, match=match):
            initialise(model, InitConfig(**{"vision": str(path), **init}))

    state = source.state_dict()
    refuse(
        {"model": state | {"blocks.0.attn.rpe_k.lookup_table_weight": torch.zeros(1)}},
        "no place for, first blocks.0.attn.rpe_k",
    )
    refuse({"model": rgb(depth=3).state_dict()}, "no place for, first blocks.2.norm1.weight")
    refuse({"model": rgb(depth=1).state_dict()}, "lacks blocks.1.norm1.weight")
    refuse({"model": rgb(embed_dim=32).state_dict()}, r"cls_token has shape \(1, 1, 32\)")
    refuse({"model": {"conv1.weight": torch.zeros(2)}}, "holds no ViT")
    refuse({"model": 3}, "no named tensors")
    refuse({"model": state}, "together", vision_mean=[0.5])
    refuse({"model": state}, "3 input channels", vision_mean=[0.5], vision_std=[0.5])
    refuse({"model": state}, "leave out init.vision", blip=path)
    refuse({"model": state}, "does not exist", vision=str(tmp_path / "none.pth"))
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        initialise(model, InitConfig(vision=str(path)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_moco_s_small_vit_has_twelve_heads(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    source = rgb(embed_dim=384, depth=1, num_heads=12)
    torch.save(moco_envelope(source.state_dict()), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="12 heads"):
        initialise(ours(tokenizer, embed_dim=384, depth=1, num_heads=6), InitConfig(vision=str(tmp_path / "w.pth")))
    model = ours(tokenizer, embed_dim=384, depth=1, num_heads=12)
    initialise(model, InitConfig(vision=str(tmp_path / "w.pth")))
    assert_same(model, source)
