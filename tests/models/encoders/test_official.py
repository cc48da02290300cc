"""Encoders against the official model code on random weights, where a checkout of it lies in KNOWLIP_OFFICIAL.

docs/contributing/encoder.md names the repositories. `test_foreign.py` holds the same encoders against tiny references
everywhere.
"""

import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.models.encoders import open_encoder, prepare
from tests.models.encoders.official import checkout, modules_of, randomise
from tests.models.encoders.test_foreign import tiles

Made = tuple[dict[str, Any], str, int, Callable[[Tensor], Tensor]]
"""What the official file holds, the encoder's name but for the file, the side, and tokens or a summary of pixels."""
norm = partial(nn.LayerNorm, eps=1e-6)


def clip() -> Made:
    with modules_of(checkout("CLIP") / "clip") as official:
        model = official.get("model").CLIP(32, 32, 2, 64, 8, 12, 540, 64, 1, 2)
    model = randomise(model)
    return model.state_dict(), "clip:{},heads=1,text_heads=1", 32, model.encode_image


def mae() -> Made:
    with modules_of(checkout("mae")) as official:
        model = official.get("models_vit").VisionTransformer(
            img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, qkv_bias=True, norm_layer=norm, num_classes=0
        )
    model = randomise(model)
    return {"model": model.state_dict()}, "mae:{},heads=4", 32, model.forward_features


def moco_v3() -> Made:
    def conv_stem() -> None: ...

    stubs = {"timm.models.layers.helpers": {"to_2tuple": lambda one: (one, one)}}
    with modules_of(checkout("moco-v3"), stubs) as official:
        vits = official.get("vits")
        vits.VisionTransformerMoCo.num_tokens = 1  # timm's name for it when the code was written
        model = vits.VisionTransformerMoCo(
            img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, qkv_bias=True, norm_layer=norm
        )
    model = randomise(model)
    state = {f"module.base_encoder.{key}": value for key, value in model.state_dict().items()}
    return {"state_dict": state, "arch": "vit_small"}, "moco_v3:{},heads=4", 32, model.forward_features


def blip() -> Made:
    stubs = {
        "timm.models.registry": {"register_model": lambda function: function},
        "timm.models.helpers": {"named_apply": None, "adapt_input_conv": None},
        "fairscale": {},
        "fairscale.nn": {},
        "fairscale.nn.checkpoint": {},
        "fairscale.nn.checkpoint.checkpoint_activations": {"checkpoint_wrapper": lambda module: module},
    }
    with modules_of(checkout("BLIP") / "models", stubs) as official:
        model = official.get("vit").VisionTransformer(
            img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, qkv_bias=True
        )
    model = randomise(model)
    state = {f"visual_encoder.{key}": value for key, value in model.state_dict().items()}
    return {"model": state}, "blip:{},heads=4", 32, model


def bita() -> Made:
    stubs: dict[str, dict[str, Any]] = {
        "fairscale": {},
        "fairscale.nn": {},
        "fairscale.nn.checkpoint": {},
        "fairscale.nn.checkpoint.checkpoint_activations": {"checkpoint_wrapper": lambda module: module},
        "BITA": {},
        "BITA.models": {},
        "BITA.models.eva_vit": {"convert_weights_to_fp16": None},
        "BITA.common": {},
        "BITA.common.dist_utils": {"download_cached_file": None},
    }
    with modules_of(checkout("BITA") / "BITA" / "BITA" / "models", stubs) as official:
        model = official.get("clip_vit").VisionTransformer(32, 8, 64, 3, 4, False)
    model = randomise(model)
    last = randomise(nn.LayerNorm(64), 1)
    state = {f"visual_encoder.{key}": value for key, value in model.state_dict().items()}
    state |= {f"ln_vision.{key}": value for key, value in last.state_dict().items()}
    return {"model": state}, "bita:{},heads=4", 32, lambda pixels: last(model(pixels))


def changeclip() -> Made:
    class Registry:
        def register_module(self) -> Callable[[Any], Any]:
            return lambda one: one

    stubs = {
        "mmseg": {},
        "mmseg.registry": {"MODELS": Registry()},
        "mmseg.models": {},
        "mmseg.models.backbones": {"ResNet": None, "VisionTransformer": None},
        "timm.models.layers": {"drop_path": None, "drop": None, "DropPath": nn.Identity, "trunc_normal_": None},
    }
    folder = checkout("ChangeCLIP") / "mmseg" / "models" / "backbones"
    with modules_of(folder, stubs) as official:
        module = official.get("clip_backbone")
        model = module.CLIPVisionTransformer(32, 16, 64, 2, 4, 32, out_indices=[1], get_embeddings=True)
    model = randomise(model)
    state = {f"backbone.{key}": value for key, value in model.state_dict().items()}

    def embedded(pixels: Tensor) -> Tensor:
        found: Tensor = model(pixels)[-1][0]
        return found

    made = {"state_dict": state}, "changeclip:{},heads=4", 32, embedded
    return made


def saratr_x() -> Made:
    with modules_of(checkout("SARATR-X") / "pre-training" / "models", {"models": {}}) as official:
        model = official.get("models_hivit").HiViT(
            img_size=32, embed_dim=64, depths=[1, 1, 2], num_heads=4, rpe=False, norm_layer=norm, num_classes=0
        )
    model = randomise(model)
    return {"model": model.state_dict()}, "saratr_x:{},heads=4", 32, model


def saratr_x_v2() -> Made:
    stubs = {"models": {}, "timm.models.layers": {"to_2tuple": lambda one: (one, one)}}
    with modules_of(checkout("SARATR-X-v2") / "pre-training" / "models", stubs) as official:
        tower = official.get("models_itpn").iTPN(
            img_size=32, embed_dim=64, mlp_depth=2, depth=2, num_heads=4, rpe=True, norm_layer=norm, num_classes=0
        )
    model = randomise(tower)
    model.forward = model.forward_features
    return {"model": model.state_dict()}, "saratr_x_v2:{},heads=4", 32, model


def dinov3() -> Made:
    with modules_of(checkout("dinov3")) as official:
        model = official.get("dinov3.models.vision_transformer").DinoVisionTransformer(
            patch_size=8,
            embed_dim=64,
            depth=2,
            num_heads=4,
            n_storage_tokens=2,
            layerscale_init=1.0,
            mask_k_bias=True,
            norm_layer="layernormbf16",
            untie_global_and_local_cls_norm=True,
            pos_embed_rope_dtype="fp32",
        )
        model.init_weights()
    masks = {key: value.clone() for key, value in model.state_dict().items() if "mask" in key or "periods" in key}
    model = randomise(model)
    model.load_state_dict(masks, strict=False)
    return model.state_dict(), "dinov3:{},data=web", 32, model


def sar_clip(name: str, build: Callable[[Any], nn.Module]) -> nn.Module:
    """A model of SARCLIP's code, which is open_clip's."""
    stubs: dict[str, dict[str, Any]] = {
        "sar_clip": {},
        "sar_clip.hf_model": {"HFTextEncoder": None},
        "sar_clip.timm_model": {"TimmModel": None},
    }
    folder = checkout("SARCLIP")
    with modules_of(folder, stubs) as official:
        sys.modules["sar_clip"].__path__ = [str(folder / "sar_clip")]
        return randomise(build(official.get(name)))


TOWER = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16}
WORDS = {"context_length": 12, "vocab_size": 540, "width": 64, "heads": 4, "layers": 2}


def sarclip() -> Made:
    model: Any = sar_clip("sar_clip.model", lambda module: module.CLIP(32, TOWER, WORDS))
    return model.state_dict(), "sarclip:{},heads=4,text_heads=4", 32, model.encode_image


def coca_model() -> Any:
    texts = WORDS | {"embed_cls": True, "output_tokens": True, "context_length": 11}
    vision = TOWER | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    return sar_clip("sar_clip.coca_model", lambda module: module.CoCa(32, dict(WORDS), texts, vision))


def coca() -> Made:
    model = coca_model()
    return model.state_dict(), "sarvlm:{},heads=4,text_heads=4,pool_heads=2", 32, model.encode_image


def geochat() -> Made:
    transformers = pytest.importorskip("transformers")
    with modules_of(checkout("GeoChat") / "geochat" / "model" / "multimodal_encoder") as official:
        tower_class = official.get("clip_encoder").CLIPVisionTower
    config = transformers.CLIPVisionConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256, image_size=32, patch_size=8
    )
    arguments = types.SimpleNamespace(mm_vision_select_layer=-2)
    model = tower_class.__new__(tower_class)
    nn.Module.__init__(model)
    model.select_layer, model.select_feature = arguments.mm_vision_select_layer, "patch"
    model.vision_tower = randomise(transformers.CLIPVisionModel(config))
    before = {key: value.clone() for key, value in model.vision_tower.state_dict().items()}
    beginning = "" if next(iter(before)).startswith("vision_model.") else "vision_model."
    state = {f"model.vision_tower.vision_tower.{beginning}{key}": value for key, value in before.items()}
    if not hasattr(model.vision_tower, "vision_model"):  # of transformers before 5
        object.__setattr__(model.vision_tower, "vision_model", model.vision_tower)
    model.clip_interpolate_embeddings(image_size=48, patch_size=8)

    def read(pixels: Tensor) -> Tensor:
        return model.feature_select(model.vision_tower(pixels, output_hidden_states=True)).mean(1)

    return state, "geochat:{},heads=4", 48, read


CASES = (clip, mae, moco_v3, blip, bita, changeclip, saratr_x, saratr_x_v2, dinov3, sarclip, coca, geochat)


@torch.no_grad()
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_official_code_computes_the_same(make: Callable[[], Made], tmp_path: Path) -> None:
    torch.manual_seed(0)
    content, name, side, official = make()
    torch.save(content, tmp_path / "file.pth")
    encoder = open_encoder(name.format(tmp_path / "file.pth"), size=side)
    pixels = prepare(tiles(side), encoder.pixels)
    expected = official(pixels)
    if expected.ndim == 3:
        found = encoder.tokens(tiles(side))
    elif expected.shape[-1] != encoder.width:  # an embedding
        found = encoder.embed(tiles(side)) if hasattr(encoder, "embed") else encoder.summary(tiles(side))
        if not hasattr(encoder, "embed"):
            found = found @ content["state_dict"]["backbone.proj"]
        else:
            expected = F.normalize(expected, dim=-1)
    else:
        found = encoder.summary(tiles(side))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["clip", "sarclip", "coca"])
def test_the_official_code_reads_the_same_texts(kind: str, tmp_path: Path) -> None:
    if kind == "clip":
        with modules_of(checkout("CLIP") / "clip") as official:
            model = randomise(official.get("model").CLIP(32, 32, 2, 64, 8, 12, 540, 64, 1, 2))
        name = "clip:{},heads=1,text_heads=1"
    elif kind == "sarclip":
        model = sar_clip("sar_clip.model", lambda module: module.CLIP(32, TOWER, WORDS))
        name = "sarclip:{},heads=4,text_heads=4"
    else:
        model, name = coca_model(), "sarvlm:{},heads=4,text_heads=4,pool_heads=2"
    torch.save(model.state_dict(), tmp_path / "file.pth")
    encoder: Any = open_encoder(name.format(tmp_path / "file.pth"))
    length = encoder.model.text.length
    tokens, ends = torch.zeros(3, length, dtype=torch.long), torch.tensor([2, 6, length - 1])
    for row, end in enumerate(ends.tolist()):
        tokens[row, : end + 1] = torch.randint(1, 538, (end + 1,), generator=torch.Generator().manual_seed(row))
        tokens[row, end] = 539
    expected = F.normalize(model.encode_text(tokens), dim=-1)  # type: ignore[operator]
    found = F.normalize(encoder.model.text(tokens, ends), dim=-1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
