"""Image towers that give a map: models of timm, and modules of a plug-in, in the whole model."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowlip.base import plugins
from knowlip.base.parsing import parse_command
from knowlip.base.recipes import load_recipe
from knowlip.commands import COMMANDS
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, load_model, save_model
from knowlip.models.evidence import evidence_maps
from knowlip.models.map_tower import MapTower
from tests.inference.tiny_model import SENTENCES

IMAGES = [np.random.default_rng(at).integers(0, 256, (40, 50), dtype=np.uint8) for at in range(2)]


def made(name: str, side: int, **changes: Any) -> KnowLIP:
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train(SENTENCES * 3, vocab_size=200)
    text = TextConfig(len(tokenizer), 32, 2, 2, 64, max_length=24, dropout=0.0)
    return KnowLIP(ModelConfig(VisionConfig(name, side, changes), text, embed_dim=16), tokenizer).eval()


class Patches(nn.Module):
    """A tower of one convolution, whose cells stand behind each other."""

    def __init__(self, channels: int, last: bool = True, width: int = 24) -> None:
        super().__init__()
        self.num_features, self.last = 24, last
        self.conv = nn.Conv2d(channels, width, 8, 8)

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.conv(pixels)
        return found.permute(0, 2, 3, 1) if self.last else found


@pytest.mark.parametrize(("name", "side", "cells"), [("test_convnext", 64, 2), ("swin_s3_tiny_224", 224, 7)])
def test_models_of_timm_look_write_and_are_saved(name: str, side: int, cells: int, tmp_path: Path) -> None:
    model = made(name, side)
    tokens, embedding = model.encode_images(model.prepare(IMAGES))
    assert tokens.shape == (2, cells**2, model.visual_encoder.num_features)
    assert not torch.allclose(embedding[0], embedding[1], atol=1e-3)
    map_ = model.visual_encoder.trunk.forward_features(model.prepare(IMAGES))  # type: ignore[operator, union-attr]
    map_ = map_ if map_.shape[-1] == tokens.shape[-1] else map_.permute(0, 2, 3, 1)
    torch.testing.assert_close(tokens[:, cells], model.visual_encoder.norm(map_[:, 1, 0]))  # type: ignore[operator]
    save_model(model, tmp_path / "model", {})
    again = load_model(tmp_path / "model")
    assert torch.equal(again.encode_images(again.prepare(IMAGES))[1], embedding)
    assert again.generate(tokens, ["", ""], 4) == model.generate(tokens, ["", ""], 4)
    model.train()
    model.encode_images(model.prepare(IMAGES))[1].sum().backward()
    lost = [key for key, one in model.visual_encoder.named_parameters() if one.grad is None]
    assert not lost, "every weight of the tower learns"


@pytest.mark.parametrize("last", [True, False])
def test_a_module_of_a_plug_in_is_a_tower(last: bool, tmp_path: Path) -> None:
    plugins.register("towers", "patches", lambda in_chans, img_size, **changes: Patches(in_chans, last))
    try:
        model = made("patches", 32)
        tokens, embedding = model.encode_images(model.prepare(IMAGES))
        wanted = model.visual_encoder.trunk.conv(model.prepare(IMAGES))[:, :, 1, 2]  # type: ignore[operator, union-attr]
        torch.testing.assert_close(tokens[:, 6], model.visual_encoder.norm(wanted))  # type: ignore[operator]
        save_model(model, tmp_path / "model", {})
        again = load_model(tmp_path / "model")
        assert torch.equal(again.encode_images(again.prepare(IMAGES))[1], embedding)
    finally:
        plugins.unregister("towers", "patches")
    with pytest.raises(ValueError, match="'patches' is no model of timm and no tower of a plug-in"):
        load_model(tmp_path / "model")


def test_a_large_side_costs_nothing_before_it_is_used() -> None:
    """A folder of anybody's may name it: shapes are asked for, nothing is computed."""
    started = time.process_time()
    model = made("test_convnext", 8192)
    assert model.visual_encoder.patch_embed.num_patches == 256**2
    assert time.process_time() - started < 5


def test_evidence_is_drawn_where_the_map_is() -> None:
    model = made("test_convnext", 64)
    pixels = model.prepare(IMAGES)
    found = evidence_maps(model, pixels, torch.full((2,), float("nan")), ["", ""], ["two ships", "a quay"], "gradient")
    assert found.shape == (2, 64, 64)
    assert np.isfinite(found).all()
    assert found.max() > 0.99


def one_tower(in_chans: int, img_size: int, patch_size: int = 8) -> nn.Module:
    return Patches(in_chans)


def any_tower(in_chans: int, img_size: int, **changes: Any) -> nn.Module:
    return Patches(in_chans)


def test_changes_of_a_recipe_that_another_tower_does_not_know_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--recipe tiny` with another name keeps what the recipe changes of its ViT."""
    changes = load_recipe("tiny")["pretrain"]["model"]["vision"]["changes"]
    plugins.register("towers", "one", one_tower)
    plugins.register("towers", "any", any_tower)
    try:
        for name, side, strange in (
            ("one", 32, "depth, embed_dim, num_heads"),
            ("swin_s3_tiny_224", 224, "depth"),  # its constructor takes any name and forgets it
            ("test_convnext", 64, "(patch_size|embed_dim|depth|num_heads)"),
        ):
            sentence = rf"changes holds {strange}, which {name} does not know: .*--model.vision.changes \{{\}}\.$"
            with pytest.raises(ValueError, match=sentence):
                made(name, side, **changes)
        assert made("one", 32, patch_size=8).visual_encoder.patch_embed.grid_size == (4, 4)
        assert not capsys.readouterr().err
        made("any", 32, **changes)
        assert "tower any is given depth, embed_dim, num_heads, patch_size of" in capsys.readouterr().err
    finally:
        plugins.unregister("towers", "one")
        plugins.unregister("towers", "any")
    line = ["--dataset", "d", "--out", "o", "--recipe", "tiny", "--model.vision.name", "one"]
    command = COMMANDS["pretrain"]
    config, _ = parse_command("pretrain", "", command.kind(), [*line, "--model.vision.changes", "{}"])
    assert config.model.vision.changes == {}, "the way out that the sentence names"


def test_what_cannot_be_a_tower_is_refused(tmp_path: Path) -> None:
    def failing(**settings: object) -> nn.Module:
        raise KeyError("width")

    towers = {
        "narrow": lambda **settings: Patches(1, width=8),
        "sideless": lambda **settings: nn.Conv2d(1, 4, 8, 8),
        "nothing": lambda **settings: "a tower",
        "failing": failing,
    }
    for name, make in towers.items():
        plugins.register("towers", name, make)
    try:
        for name, side, sentence in (
            ("narrow", 32, r"makes \(1, 4, 4, 8\) of 32 x 32 pixels: it must be a square map of 24"),
            ("sideless", 32, "needs num_features"),
            ("nothing", 32, "is a str, not a torch.nn.Module"),
            ("failing", 32, r"tower failing cannot be built \(KeyError: 'width'\)"),
            ("resnet18", 64, "has batch norm"),
            ("test_convnext", 40, "has cells of 32 pixels: 40 is no multiple"),
        ):
            with pytest.raises(ValueError, match=sentence):
                made(name, side)
        with pytest.raises(ValueError, match="needs num_features"):
            MapTower(nn.Conv2d(1, 4, 8, 8), "mine", 1, 32)
    finally:
        for name in towers:
            plugins.unregister("towers", name)
