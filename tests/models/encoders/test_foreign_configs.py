"""Configs that lie beside weights: believed where they fit the tensors, refused where they contradict them or say what
is not read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from knowlip.models.encoders import open_encoder
from knowlip.models.encoders.dual import DualEncoder
from knowlip.models.inspect import InspectConfig, inspect_weights, show
from tests.models.encoders.reference import LENGTH
from tests.models.encoders.test_foreign import CASES, SENTENCE, tiles


def changed(kind: str, folder: Path, file: str, **changes: Any) -> str:
    """The name of a kind's encoder, with changes (`part__key=value`) to the config beside its weights."""
    torch.manual_seed(0)  # the same weights every time
    name, path = CASES[kind]().write(folder), folder / file
    told = json.loads(path.read_text()) if path.is_file() else {}
    for place, value in changes.items():
        *parts, key = place.split("__")
        inner = told.get("model_cfg", told) if file == "open_clip_config.json" else told
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[key] = value
    path.write_text(json.dumps(told))
    return name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vision_cfg__width": 128}, "a width of 64, and open_clip_config.json beside it says a width of 128"),
        ({"vision_cfg__layers": 12}, "2 blocks, and open_clip_config.json beside it says 12 blocks"),
        ({"vision_cfg__patch_size": 16}, "patches of 8 px, and"),
        ({"vision_cfg__image_size": 224}, "positions for 32 px, and"),
        ({"embed_dim": 512}, "embeddings of 32, and open_clip_config.json beside it says embeddings of 512"),
        ({"text_cfg__layers": 12}, "text tower with 2 blocks, and"),
        ({"text_cfg__context_length": 77}, f"texts of {LENGTH} tokens, and"),
        ({"vision_cfg__pool_type": "avg"}, "vision_cfg.pool_type avg, which is read only as tok"),
        ({"vision_cfg__no_ln_pre": True}, "vision_cfg.no_ln_pre True, which is read only as False"),
        ({"vision_cfg__act_kwargs": {"approximate": "tanh"}}, "vision_cfg.act_kwargs"),
        ({"vision_cfg__norm_kwargs": {"bias": False}}, "of which only eps is read"),
        ({"vision_cfg__timm_model_name": "vit_base_patch16_224"}, "vision_cfg.timm_model_name"),
        ({"text_cfg__no_causal_mask": True}, "text_cfg.no_causal_mask True"),
        ({"text_cfg__pool_type": "last"}, "text_cfg.pool_type last, which is read only as argmax"),
        ({"text_cfg__hf_model_name": "roberta-base"}, "text_cfg.hf_model_name roberta-base"),
        ({"vision_cfg__head_width": 0}, "no sound head_width"),
        ({"vision_cfg__head_width": "x"}, "no sound head_width"),
        ({"vision_cfg__head_width": 48}, "do not divide its width of 64"),
        ({"text_cfg__heads": True}, "no sound heads"),
        ({"vision_cfg": None}, "names no ViT and text tower"),
    ],
)
def test_an_open_clip_config_of_another_model_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    name = changed("open_clip", tmp_path, "open_clip_config.json", **changes)
    with pytest.raises(ValueError, match=words) as error:
        open_encoder(name)
    assert "\n" not in str(error.value)


@torch.no_grad()
def test_what_an_open_clip_config_says_rightly_is_taken(tmp_path: Path) -> None:
    right = {
        "vision_cfg__layers": 2,
        "vision_cfg__image_size": [32, 32],
        "embed_dim": 32,
        "vision_cfg__pool_type": "tok",
    }
    usual = open_encoder(changed("open_clip", tmp_path, "open_clip_config.json", **right)).tokens(tiles())
    assert torch.equal(open_encoder(changed("open_clip", tmp_path, "open_clip_config.json")).tokens(tiles()), usual)
    other = changed("open_clip", tmp_path, "open_clip_config.json", vision_cfg__norm_kwargs={"eps": 0.1})
    assert not torch.allclose(open_encoder(other).tokens(tiles()), usual)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vision_config__hidden_size": 128}, "a width of 64, and config.json beside it says a width of 128"),
        ({"vision_config__num_hidden_layers": 12}, "2 blocks, and config.json beside it says 12 blocks"),
        ({"text_config__num_hidden_layers": 12}, "text tower with 2 blocks, and"),
        ({"projection_dim": 512}, "embeddings of 32, and"),
        ({"vision_config__layer_norm_eps": None}, "no sound epsilon"),
        ({"vision_config__layer_norm_eps": -1}, "no sound epsilon"),
        ({"vision_config__num_attention_heads": True}, "no sound num_attention_heads"),
    ],
)
def test_a_hugging_face_clip_config_of_another_model_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        open_encoder(changed("hf_clip", tmp_path, "config.json", **changes))


@torch.no_grad()
def test_each_tower_has_the_activation_that_its_config_says(tmp_path: Path) -> None:
    usual = open_encoder(changed("hf_clip", tmp_path, "config.json"))
    other = open_encoder(changed("hf_clip", tmp_path, "config.json", text_config__hidden_act="gelu"))
    assert isinstance(usual, DualEncoder)
    assert isinstance(other, DualEncoder)
    assert torch.equal(usual.embed(tiles()), other.embed(tiles()))
    assert not torch.allclose(usual.text([SENTENCE]), other.text([SENTENCE]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 12}, "2 blocks, and config.json beside it says 12 blocks"),
        ({"hidden_size": 768}, "a width of 64, and"),
        ({"patch_size": 16}, "patches of 8 px, and"),
        ({"image_size": 224}, "positions for 32 px, and"),
        ({"intermediate_size": 9}, "feed-forward networks of 128, and"),
        ({"num_channels": 1}, "3 channels, and"),
        ({"patch_size": "x"}, "no sound patch_size"),
        ({"qkv_bias": False}, "says qkv_bias false"),
        ({"hidden_act": None}, "needs config.json beside it"),
    ],
)
def test_a_vit_config_of_another_model_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        open_encoder(changed("hf_vit", tmp_path, "config.json", **changes))


def test_heads_in_the_arguments_of_timms_config_are_read(tmp_path: Path) -> None:
    CASES["mae"]().write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "x", "model_args": {"num_heads": 2}}))
    found = inspect_weights(InspectConfig(tmp_path / "weights.pth", "mae"))
    assert "2 heads, as config.json beside the file says." in found["opens_as"]["mae"]["said"]


@pytest.mark.parametrize("kind", ["clip", "dinosar"])
def test_mean_and_deviation_of_pixels_go_together(kind: str, tmp_path: Path) -> None:
    name = CASES[kind]().write(tmp_path)
    with pytest.raises(ValueError, match="Give mean and std together"):
        open_encoder(f"{name},mean=0.5/0.5/0.5")


def test_who_says_the_pixels_is_told(tmp_path: Path) -> None:
    name = CASES["clip"]().write(tmp_path)
    settings = name.partition(",")[2]
    told = inspect_weights(InspectConfig(tmp_path / "weights.pth", f"clip,{settings},mean=0/0/0,std=1/1/1"))
    assert any("as mean= and std= say" in said for said in told["opens_as"]["clip"]["said"])
    case = CASES["clip"]()
    case.state["visual.conv1.weight"] = case.state["visual.conv1.weight"][:, :1]
    case.write(tmp_path)
    found = inspect_weights(InspectConfig(tmp_path / "weights.pth", f"clip,{settings},mean=0.2,std=0.2"))
    assert found["opens_as"]["clip"]["channels"] == 1
    with pytest.raises(ValueError, match="reads 1 channel and nobody says how its pixels were normalised"):
        inspect_weights(InspectConfig(tmp_path / "weights.pth", f"clip,{settings}"))


# ---- what else lies in a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["model_ema", "state_dict_ema", "student"])
def test_a_second_copy_of_the_weights_is_named(kind: str, tmp_path: Path) -> None:
    case = CASES["mae"]()
    wrapped = {f"module.{key}": value + 1 for key, value in case.state.items()}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}}
    case.envelope = lambda state: {"model": state, kind: wrapped, "optimizer": optimizer, "epoch": 3}
    case.write(tmp_path)
    told = show(inspect_weights(InspectConfig(tmp_path / "weights.pth", f"mae{case.settings}")))
    assert f"Weights lie under model and under {kind}: those of model are taken" in told


@pytest.mark.parametrize(
    ("dtype", "words"),
    [(torch.int8, "holds int8"), (torch.float8_e4m3fn, "holds float8_e4m3fn"), (torch.complex64, "holds complex64")],
)
def test_numbers_that_are_no_weights_are_refused(dtype: torch.dtype, words: str, tmp_path: Path) -> None:
    case = CASES["mae"]()
    case.state["blocks.0.mlp.fc1.weight"] = case.state["blocks.0.mlp.fc1.weight"].to(dtype)
    case.write(tmp_path)
    with pytest.raises(ValueError, match=words):
        inspect_weights(InspectConfig(tmp_path / "weights.pth", f"mae{case.settings}"))


@pytest.mark.parametrize(
    ("kind", "key"),
    [("mae", "pos_embed"), ("clip", "visual.proj"), ("clip", "positional_embedding"), ("dinosar", "storage_tokens")],
)
@pytest.mark.parametrize("shape", [(), (0,)])
def test_a_number_in_place_of_a_matrix_is_one_sentence(
    kind: str, key: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    case = CASES[kind]()
    case.state[key] = torch.zeros(shape)
    name = case.write(tmp_path)
    for reads in (
        lambda: open_encoder(name),
        lambda: inspect_weights(InspectConfig(tmp_path / case.file, kind + case.settings)),
    ):
        with pytest.raises(ValueError, match=r"weights\.pth") as error:
            reads()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("mae", "cls_token", torch.zeros(())),
        ("mae", "pos_embed", torch.zeros(1, 0, 64)),
        ("mae", "pos_embed", torch.zeros(1, 1, 64)),
        ("clip", "logit_scale", torch.zeros(3)),
        ("moco_v3", "extra.weight", torch.zeros(3)),
    ],
)
def test_a_tensor_of_no_sound_shape_is_one_sentence(kind: str, key: str, value: Tensor, tmp_path: Path) -> None:
    case = CASES[kind]()
    case.state[key] = value
    case.write(tmp_path)
    with pytest.raises(ValueError, match=key) if key != "pos_embed" else pytest.raises(ValueError, match="position"):
        inspect_weights(InspectConfig(tmp_path / case.file, f"{kind}{case.settings}"))
