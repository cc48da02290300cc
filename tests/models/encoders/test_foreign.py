"""Every encoder of another project, against a tiny reference in the official envelope.

Equal to 1e-5; every tensor of a file used or dropped for a stated reason; every used one matters; what does not fit is
refused. `test_official.py` holds the same encoders against the official code where there is a checkout of it.
"""

import json
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from knowlip.models.bpe import BpeTokenizer, build_bpe
from knowlip.models.encoders import Encoder, TextImageEncoder, encoder_kinds, open_encoder
from knowlip.models.encoders.foreign import Settings
from knowlip.models.weights.source import Source
from tests.models.encoders.official import randomise
from tests.models.encoders.reference import (
    EMBED,
    HF,
    LENGTH,
    OPENAI,
    OPENAI_BLOCK,
    SIDE,
    TEXT,
    Reference,
    TextReference,
    pixels_of,
    quick_gelu,
    rename,
    split_qkv,
    timm_state,
    vocabulary,
)
from tests.models.encoders.reference_more import HiViTReference, RopeReference


@dataclass
class Case:
    """A file of random weights, and what its model computes."""

    kind: str
    state: dict[str, Tensor]
    """As the official file names them."""
    tokens: Callable[[Tensor], Tensor]
    """Tiles (B, S, S) uint8 -> tokens."""
    summary: Callable[[Tensor], Tensor]
    envelope: Callable[[dict[str, Tensor]], Any] = dict
    settings: str = ""
    unused: str = "(?!)"
    """Names of what is dropped for a reason."""
    beside: dict[str, Any] = field(default_factory=dict)
    """JSON or text files beside the weights."""
    text: Callable[[str], Tensor] | None = None
    """Text -> embedding of unit length."""
    embed: Callable[[Tensor], Tensor] | None = None
    prefix: str = "blocks.0."
    """Before the names of the tower."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else is known of the source."""
    patch: int = 8
    size: int | None = None
    """Side to open it with, where the file does not say one."""
    file: str = "weights.pth"

    def write(self, folder: Path, state: dict[str, Tensor] | None = None) -> str:
        """The encoder's name, with its file in a folder."""
        torch.save(self.envelope(self.state if state is None else state), folder / self.file)
        for name, content in self.beside.items():
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return f"{self.kind}:{folder / self.file}{self.settings}"


def sar_jepa() -> Case:
    model = randomise(Reference(1, positions=False, relative=True))
    state = timm_state(model) | {"mask_token": torch.randn(1, 1, 64), "encoder_pred.weight": torch.randn(32, 64)}
    state |= {"decoder_blocks.0.norm1.weight": torch.randn(32), "sarfeature1.weight_x1": torch.randn(1, 1, 11, 11)}

    def tokens(images: Tensor) -> Tensor:
        return model(pixels_of(images, channels=1))

    return Case(
        "sar_jepa",
        state,
        tokens,
        lambda images: tokens(images)[:, 0],
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "epoch": 199},
        unused="pos_embed|mask_token|encoder_pred|decoder|sarfeature",
    )


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SENTENCE = "The ship  THE ship s"
VOCABULARY = {"vocab.json": vocabulary()[0], "merges.txt": "\n".join(["#version: 0.2", *vocabulary()[1]])}


def spoken() -> Tensor:
    """The sentence's tokens, by hand."""
    words = vocabulary()[0]
    pieces = ["<|startoftext|>", "the</w>", "ship</w>", "the</w>", "ship</w>", "s</w>", "<|endoftext|>"]
    return torch.tensor([words[piece] for piece in pieces])


def dual(kind: str, act: Callable[[Tensor], Tensor], settings: str = "", layout: str = "OpenAI", **more: Any) -> Case:
    """A CLIP of two towers."""
    image = randomise(Reference(act=act, eps=1e-5, patch_bias=False, pre=True))
    text = randomise(TextReference(act), 1)
    projection = torch.randn(64, EMBED) / 8
    if layout == "OpenAI":
        state = {f"visual.{key}": value for key, value in rename(image, OPENAI).items()} | {"visual.proj": projection}
        state |= rename(text, TEXT | OPENAI_BLOCK)
    else:
        state = {f"vision_model.{key}": value for key, value in rename(image, HF).items()}
        split_qkv(state, image, "vision_model.", "encoder.layers.{i}.self_attn.{q}_proj.")
        names = {key.replace("pos", "pos"): value for key, value in HF.items() if key.startswith("blocks")}
        names |= {"words.weight": "embeddings.token_embedding.weight", "pos": "embeddings.position_embedding.weight"}
        names |= {"post.weight": "final_layer_norm.weight", "post.bias": "final_layer_norm.bias"}
        state |= {f"text_model.{key}": value for key, value in rename(text, names).items()}
        split_qkv(state, text, "text_model.", "encoder.layers.{i}.self_attn.{q}_proj.")
        state |= {"visual_projection.weight": projection.mT.contiguous()}
        state |= {"text_projection.weight": text.projection.detach().mT.contiguous()}
    state["logit_scale"] = torch.tensor(2.0)

    def tokens(images: Tensor) -> Tensor:
        return image(pixels_of(images, CLIP_MEAN, CLIP_STD))

    return Case(
        kind,
        state,
        tokens,
        lambda images: tokens(images)[:, 0],
        settings=settings,
        beside=dict(VOCABULARY) | more.pop("beside", {}),
        text=lambda sentence: F.normalize(text(spoken()), dim=-1),
        embed=lambda images: F.normalize(tokens(images)[:, 0] @ projection, dim=-1),
        **more,
    )


HEADS = ",heads=4,text_heads=4"


def clip() -> Case:
    made = dual("clip", quick_gelu, HEADS, unused="input_resolution|context_length|vocab_size")
    made.state |= {"input_resolution": torch.tensor(32), "context_length": torch.tensor(12)}
    return made


def remoteclip() -> Case:
    return dual("remoteclip", F.gelu, HEADS)


def georsclip() -> Case:
    return dual("georsclip", F.gelu, f"{HEADS},activation=gelu")


def georsclip_raw() -> Case:
    made = georsclip()
    names = {key: f"text_backbone.{key}" for key in made.state if not key.startswith(("visual.", "logit_scale"))}
    names |= {key: key.replace("visual.", "image_backbone.") for key in made.state if key.startswith("visual.")}
    made.state = {names.get(key, key): value for key, value in made.state.items()}
    made.envelope = lambda state: {"state_dict": state, "epoch": 5}
    return made


def skyscript() -> Case:
    made = dual("skyscript", quick_gelu, f"{HEADS},activation=quick_gelu")
    made.envelope = lambda state: {"epoch": 1, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    return made


def sarclip() -> Case:
    return dual("sarclip", F.gelu, HEADS)


def open_clip() -> Case:
    towers = {"vision_cfg": {"width": 64, "head_width": 16}, "text_cfg": {"heads": 4}, "quick_gelu": True}
    pixels = {"mean": list(CLIP_MEAN), "std": list(CLIP_STD)}
    return dual(
        "open_clip", quick_gelu, beside={"open_clip_config.json": {"model_cfg": towers, "preprocess_cfg": pixels}}
    )


def hf_clip() -> Case:
    tower = {"hidden_act": "quick_gelu", "num_attention_heads": 4, "layer_norm_eps": 1e-5}
    return dual(
        "hf_clip",
        quick_gelu,
        layout="Hugging Face",
        file="pytorch_model.bin",
        beside={"config.json": {"model_type": "clip", "vision_config": tower, "text_config": tower}},
    )


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = CLIP_MEAN, CLIP_STD


def plain(
    kind: str,
    state: dict[str, Tensor],
    model: Reference,
    pixels: tuple[Any, Any] = IMAGENET,
    settings: str = ",heads=4",
    **more: Any,
) -> Case:
    """One ViT, its class token as summary."""

    def tokens(images: Tensor) -> Tensor:
        return model(pixels_of(images, *pixels))

    made = Case(kind, state, tokens, lambda images: made.tokens(images)[:, 0], settings=settings, **more)
    return made


def mae() -> Case:
    model = randomise(Reference())
    state = timm_state(model) | {"mask_token": torch.randn(1, 1, 32), "decoder_embed.weight": torch.randn(32, 64)}
    state |= {"decoder_blocks.0.norm1.weight": torch.randn(32), "decoder_pos_embed": torch.randn(1, 17, 32)}
    return plain("mae", state, model, envelope=lambda state: {"model": state}, unused="decoder_|mask_token")


def mae_tuned() -> Case:
    model = randomise(Reference(post=False))
    norm = {"fc_norm.weight": torch.rand(64) + 0.5, "fc_norm.bias": torch.randn(64)}
    made = plain("mae", timm_state(model) | norm | {"head.weight": torch.randn(5, 64)}, model, unused="^head")
    made.summary = lambda images: F.layer_norm(made.tokens(images)[:, 1:].mean(1), (64,), *norm.values(), 1e-6)
    return made


def mae_grey() -> Case:
    model = randomise(Reference(1))
    made = plain("mae", timm_state(model), model, settings=",heads=4,mean=0.25,std=0.5,pool=mean")
    made.tokens = lambda images: model(pixels_of(images, 0.25, 0.5, 1))
    made.summary = lambda images: made.tokens(images)[:, 1:].mean(1)
    return made


def moco_v3() -> Case:
    model = randomise(Reference())
    state = {f"base_encoder.{key}": value for key, value in timm_state(model).items()}
    state |= {"base_encoder.head.0.weight": torch.randn(16, 64), "predictor.0.weight": torch.randn(16, 16)}
    state |= {key.replace("base", "momentum"): value + 1 for key, value in state.items() if key.startswith("base")}
    return plain(
        "moco_v3",
        state,
        model,
        envelope=lambda state: {"epoch": 300, "state_dict": {f"module.{key}": one for key, one in state.items()}},
        unused="momentum_encoder|predictor|head",
        prefix="base_encoder.",
    )


def sarmae() -> Case:
    model = randomise(Reference())
    state = {f"sar_encoder.{key}": value for key, value in timm_state(model).items()}
    state |= {"sar_encoder.mask_token": torch.randn(1, 1, 32), "optical_encoder.norm.weight": torch.randn(64)}
    return plain("sarmae", state, model, unused="mask_token|optical", prefix="sar_encoder.")


def blip() -> Case:
    model = randomise(Reference())
    state = {f"visual_encoder.{key}": value for key, value in timm_state(model).items()}
    state |= {"text_encoder.embeddings.word_embeddings.weight": torch.randn(30, 64), "temp": torch.tensor(0.07)}
    return plain(
        "blip",
        state,
        model,
        CLIP,
        envelope=lambda state: {"model": state},
        unused="text|temp",
        prefix="visual_encoder.",
    )


def changeclip() -> Case:
    model = randomise(Reference(act=quick_gelu, eps=1e-5, patch_bias=False, pre=True, twice=True))
    state = {f"backbone.{key}": value for key, value in rename(model, OPENAI).items()}
    state |= {"backbone.fpn1.0.weight": torch.randn(64), "backbone.proj": torch.randn(64, 32)}
    state |= {"text_encoder.ln_final.weight": torch.randn(64), "decode_head.conv.weight": torch.randn(3, 3)}
    return plain(
        "changeclip",
        state,
        model,
        envelope=lambda state: {"meta": {"epoch": 1}, "state_dict": state},
        unused="fpn|proj$|text_encoder|decode_head",
        prefix="backbone.",
    )


def bita() -> Case:
    model = randomise(Reference(act=quick_gelu, eps=1e-5, patch_bias=False, pre=True))
    state = {f"visual_encoder.{key}": value for key, value in rename(model, OPENAI).items()}
    state = {key.replace("visual_encoder.ln_post", "ln_vision"): value for key, value in state.items()}
    state["Qformer.bert.embeddings.LayerNorm.weight"] = torch.randn(64)
    return plain(
        "bita", state, model, CLIP, envelope=lambda state: {"model": state}, unused="Qformer", prefix="visual_encoder."
    )


def hidden(kind: str, prefix: str, layers: tuple[int, ...], settings: str, unused: str, **more: Any) -> Case:
    """A Hugging Face CLIP's ViT of which blocks are read, and not its last norm."""
    model = randomise(Reference(act=quick_gelu, eps=1e-5, patch_bias=False, pre=True, depth=3))
    state = {f"{prefix}{key}": value for key, value in rename(model, HF).items()}
    split_qkv(state, model, prefix, "encoder.layers.{i}.self_attn.{q}_proj.")

    def tokens(images: Tensor) -> Tensor:
        states = model.states(pixels_of(images, *CLIP))
        return torch.cat([states[layer][:, 1:] for layer in layers], -1)

    return Case(
        kind,
        state,
        tokens,
        lambda images: tokens(images).mean(1),
        settings=settings,
        unused=unused,
        prefix=prefix,
        **more,
    )


def geochat() -> Case:
    made = hidden(
        "geochat", "model.vision_tower.vision_tower.vision_model.", (2,), ",heads=4", r"post_|layers\.2|lm_head"
    )
    made.state["lm_head.weight"] = torch.randn(8, 4)
    return made


def vhm() -> Case:
    config = {"config.json": {"hidden_act": "quick_gelu", "num_attention_heads": 4}}
    return hidden(
        "vhm", "vision_model.", (1, 2), ",layers=1/2", r"post_|layers\.2", beside=config, file="pytorch_model.bin"
    )


def saratr_x() -> Case:
    model = randomise(HiViTReference())
    assert isinstance(model, HiViTReference)
    state = model.official() | {"norm.weight": torch.randn(7 * 64), "decoder_embed.weight": torch.randn(8, 7 * 64)}
    made = plain("saratr_x", state, model, (0.0, 1.0), unused="^norm|^decoder", envelope=lambda one: {"model": one})
    made.summary = lambda images: made.tokens(images).mean(1)
    made.patch = 16
    return made


def saratr_x_v2() -> Case:
    model = randomise(HiViTReference())
    assert isinstance(model, HiViTReference)
    more = {"fpn_modules.0.norm2.weight": torch.randn(32), "align_dim_16to8.weight": torch.randn(32, 32)}
    more |= {"split_16to8.norm.weight": torch.randn(64), "block_8to4.0.mlp.fc1.weight": torch.randn(8, 8)}
    more |= {
        "hogs.simple_weights": torch.randn(6),
        "decoder_pred.weight": torch.randn(8, 8),
        "head.bias": torch.randn(3),
    }
    unused = "^fpn|^align|^split|^block_|^hogs|^decoder|^head"
    envelope: Any = lambda one: {"model": one}  # noqa: E731
    made = plain("saratr_x_v2", model.official() | more, model, (0.2109, 0.2178), unused=unused, envelope=envelope)
    made.summary = lambda images: made.tokens(images).mean(1)
    made.patch = 16
    return made


def rotary(kind: str, channels: int, eps: float, pixels: tuple[Any, Any], settings: str, **more: Any) -> Case:
    model = randomise(RopeReference(channels, eps))
    assert isinstance(model, RopeReference)
    for layer in model.qkv:
        layer.bias.data[64:128] = 0
    state = model.official()
    for block in range(2):  # the mask takes it away
        state[f"blocks.{block}.attn.qkv.bias"][64:128] = torch.randn(64)
    state |= {"mask_token": torch.randn(1, 64), "local_cls_norm.weight": torch.randn(64)}
    made = plain(kind, state, model, pixels, settings, unused="mask_token|local_cls_norm", **more)
    made.tokens = lambda images: model(pixels_of(images, *pixels, channels))
    made.size = SIDE
    return made


def dinosar() -> Case:
    return rotary("dinosar", 1, 1e-6, (0.219, 0.22), "")


def dinosar_training() -> Case:
    made = dinosar()
    made.state = {f"teacher.backbone._orig_mod.{key}": value for key, value in made.state.items()}
    made.state["student.backbone.cls_token"] = torch.randn(1, 1, 64)
    made.envelope = lambda state: {"model_state_dict": state, "epoch": 3}
    return made


def dinov3() -> Case:
    return rotary("dinov3", 3, 1e-5, IMAGENET, ",data=web")


def waves(width: int, place: int) -> Tensor:
    return torch.tensor(
        [math.sin(place / 10000 ** (2 * i / width)) for i in range(width // 2)]
        + [math.cos(place / 10000 ** (2 * i / width)) for i in range(width // 2)]
    )


def prithvi(prefix: str = "") -> Case:
    model = randomise(Reference(6))
    places = [torch.cat([waves(24, one % 4), waves(24, one // 4), waves(16, 0)]) for one in range(16)]
    model.pos.data = torch.cat([torch.zeros(1, 64), torch.stack(places)])
    state = timm_state(model)
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, None]
    state["pos_embed"] = torch.randn(1, 1 + 3 * 16, 64)
    state |= {"mask_token": torch.randn(1, 1, 32), "decoder_embed.weight": torch.randn(32, 64)}
    if prefix:
        state = {(f"decoder.{key}" if "decoder" in key else f"{prefix}{key}"): value for key, value in state.items()}
        state[f"{prefix}temporal_embed_enc.scale"] = torch.ones(1)
    made = plain("prithvi", state, model, unused="decoder|mask_token|pos_embed|temporal")
    made.tokens = lambda images: model(pixels_of(images, 0.45, 0.25, 6))
    made.size = SIDE
    return made


def prithvi_2() -> Case:
    return prithvi("encoder.")


def ban() -> Case:
    model = randomise(Reference(act=quick_gelu, eps=1e-5, patch_bias=False, pre=True, post=False))
    names = {
        **{"patch.weight": "patch_embed.projection.weight", "cls": "cls_token", "pos": "pos_embed"},
        **{f"pre.{part}": f"ln_pre.{part}" for part in ("weight", "bias")},
        **{f"blocks.i.ln{n}.{part}": f"layers.{{i}}.ln{n}.{part}" for n in (1, 2) for part in ("weight", "bias")},
        **{f"blocks.i.attn.in_proj_{part}": f"layers.{{i}}.attn.attn.in_proj_{part}" for part in ("weight", "bias")},
        **{f"blocks.i.attn.out_proj.{part}": f"layers.{{i}}.attn.attn.out_proj.{part}" for part in ("weight", "bias")},
        **{f"blocks.i.fc1.{part}": f"layers.{{i}}.ffn.layers.0.0.{part}" for part in ("weight", "bias")},
        **{f"blocks.i.fc2.{part}": f"layers.{{i}}.ffn.layers.1.{part}" for part in ("weight", "bias")},
    }
    state = {f"image_encoder.{key}": value for key, value in rename(model, names).items()}
    state["image_encoder.cls_token"] = state["image_encoder.cls_token"].reshape(1, 1, -1)
    state["image_encoder.pos_embed"] = state["image_encoder.pos_embed"][None]
    state["decode_head.conv.weight"] = torch.randn(3)
    made = plain("ban", state, model, CLIP, ",heads=4,blocks=2", unused="decode_head", prefix="image_encoder.")
    made.envelope = lambda state: {"meta": {"iter": 1}, "state_dict": state}
    return made


def transformed(kind: str, model: Any, config: dict[str, Any], settings: str, unused: str, **more: Any) -> Case:
    """A model of transformers, with its configuration beside it."""
    model = randomise(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)  # the hub's names are not those of the module
        state = load_file(f"{folder}/model.safetensors")

    def tokens(images: Tensor) -> Tensor:
        found: Tensor = model(pixels_of(images, 0.5, 0.25)).last_hidden_state
        return found

    return Case(
        kind,
        state,
        tokens,
        lambda images: tokens(images)[:, 0],
        settings=settings,
        unused=unused,
        beside={"config.json": config, "preprocessor_config.json": {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}},
        file="pytorch_model.bin",
        facts={"pixels": {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}},
        **more,
    )


def hf_vit() -> Case:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8)
    told = sizes | {"layer_norm_eps": 1e-12, "hidden_act": "gelu"}
    return transformed("hf_vit", transformers.ViTModel(config, add_pooling_layer=False), told, "", "(?!)")


def dinov2() -> Case:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
    # Neither the epsilon nor the pixels of Meta's code: what lies beside the weights counts.
    more = {"num_register_tokens": 2, "layer_norm_eps": 1e-2}
    model = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**sizes, **more))
    return transformed("dinov2", model, {"num_attention_heads": 4, "hidden_act": "gelu", **more}, "", "mask_token")


def dinov3_hf() -> Case:
    """Hugging Face's layout: other names, queries, keys and values apart, no periods among the weights."""
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "DINOv3ViTModel"):
        pytest.skip("this transformers has no DINOv3")
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
    told = sizes | {"intermediate_size": 128, "rope_theta": 50.0, "layer_norm_eps": 1e-3, "num_register_tokens": 4}
    model = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**told))
    periods = model.rope_embeddings.inv_freq.clone()
    made = transformed("dinov3", model, told, ",data=web", "mask_token")
    model.rope_embeddings.inv_freq.copy_(periods)  # no weight, and in no file
    return made


def coca() -> Case:
    """A pooled image, and a text with a token of its own behind padding."""
    made = dual("sarvlm", F.gelu, f"{HEADS},pool_heads=2", envelope=lambda one: {"state_dict": one, "epoch": 1})
    image = randomise(Reference(eps=1e-5, patch_bias=False, pre=True, post=False))
    pool = randomise(nn.MultiheadAttention(EMBED, 2, kdim=64, vdim=64, batch_first=True), 2)
    before, query, after = (randomise(nn.LayerNorm(width), 3 + width) for width in (64, EMBED, EMBED))
    learned, projection = torch.randn(5, EMBED), torch.randn(EMBED, EMBED)
    state = {f"visual.{key}": value for key, value in rename(image, OPENAI).items()} | {"visual.proj": projection}
    state |= {"visual.attn_pool.query": learned}
    for word, module in (("attn_pool.attn", pool), ("attn_pool.ln_k", before), ("attn_pool.ln_q", query)):
        state |= {f"visual.{word}.{key}": value for key, value in module.state_dict().items()}
    state |= {f"visual.ln_post.{key}": value for key, value in after.state_dict().items()}
    text, own = randomise(TextReference(F.gelu), 1), torch.randn(64)
    assert isinstance(text, TextReference)
    state |= {f"text.{key}": value for key, value in rename(text, TEXT | OPENAI_BLOCK).items()}
    state |= {"text.cls_emb": own, "logit_scale": torch.tensor(2.0), "text_decoder.ln_final.weight": torch.randn(64)}
    made.state, made.unused = state, "text_decoder"

    def tokens(images: Tensor) -> Tensor:
        return image(pixels_of(images, *CLIP))

    def embed(images: Tensor) -> Tensor:
        keys = before(tokens(images))
        pooled = pool(query(learned).expand(len(keys), -1, -1), keys, keys)[0]
        return F.normalize(after(pooled)[:, 0] @ projection, dim=-1)

    def read_text(sentence: str) -> Tensor:
        ids = F.pad(spoken(), (0, LENGTH - 1 - len(spoken())))
        x = torch.cat([text.words(ids), own[None]])[None] + text.pos
        mask = torch.full((LENGTH, LENGTH), -torch.inf).triu(1)
        for place, one in enumerate(ids.tolist()):
            mask[:, place + 1] += -torch.inf if one == 0 else 0.0
        for block in text.blocks:
            x = block(x, mask)
        return F.normalize(text.post(x[0, -1]) @ text.projection, dim=-1)

    made.tokens, made.summary = tokens, lambda images: tokens(images)[:, 1:].mean(1)
    made.embed, made.text = embed, read_text
    return made


CASES = {
    case.__name__: case
    for case in (
        *(sar_jepa, clip, remoteclip, georsclip, georsclip_raw, skyscript, sarclip, open_clip, hf_clip),
        *(mae, mae_tuned, mae_grey, moco_v3, sarmae, blip, changeclip, bita, geochat, vhm),
        *(saratr_x, saratr_x_v2, dinosar, dinosar_training, dinov3, dinov3_hf, prithvi, prithvi_2, ban, hf_vit),
        *(dinov2, coca),
    )
}


LAYOUTS = (
    *("sar_jepa", "clip", "georsclip_raw", "hf_clip"),
    *("mae", "mae_tuned", "moco_v3", "sarmae", "blip", "changeclip", "bita", "geochat"),
    *("saratr_x", "saratr_x_v2", "dinosar", "prithvi", "prithvi_2", "ban", "hf_vit", "dinov2", "coca", "dinov3_hf"),
)
"""One case of each reader of tensors: its tensors are taken away and changed one by one."""
MISSING = r"lacks|has no|holds no|nothing for|does not say|missing|no square|stands alone|no place"


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    made: Case = CASES[request.param]()
    return made


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    made: Case = CASES[request.param]()
    return made


def tiny_bpe() -> BpeTokenizer:
    words, merges = vocabulary()
    pairs = [(first, second) for first, second in (merge.split() for merge in merges)]
    return BpeTokenizer(build_bpe(words, pairs), words["<|startoftext|>"], words["<|endoftext|>"])


def tiles(side: int = SIDE) -> Tensor:
    return torch.randint(0, 256, (2, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def all_of(encoder: Encoder) -> Tensor:
    """Everything that an encoder computes, as one vector."""
    found = [encoder.tokens(tiles()), encoder.summary(tiles())]
    if isinstance(encoder, TextImageEncoder):
        found += [encoder.embed(tiles()), encoder.text([SENTENCE]), torch.tensor([encoder.temperature])]  # type: ignore[attr-defined]
    return torch.cat([part.flatten() for part in found])


@torch.no_grad()
def test_it_computes_what_the_reference_does(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path), size=case.size)
    images = tiles()
    torch.testing.assert_close(encoder.tokens(images), case.tokens(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.summary(images), case.summary(images), rtol=1e-5, atol=1e-5)
    assert encoder.tokens(images).shape[2] == encoder.summary(images).shape[1] == encoder.width
    assert isinstance(encoder, TextImageEncoder) == (case.text is not None)
    if isinstance(encoder, TextImageEncoder) and case.text and case.embed:
        torch.testing.assert_close(encoder.text([SENTENCE])[0], case.text(SENTENCE), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(encoder.text(["s", SENTENCE])[1], case.text(SENTENCE), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(encoder.embed(images), case.embed(images), rtol=1e-5, atol=1e-5)
    assert encoder.licence
    assert encoder.card.trained_on
    assert encoder.name.startswith(f"{case.kind}:")


def read(case: Case, state: dict[str, Tensor]) -> Encoder:
    """An encoder of a state, without the way over a file."""
    settings = dict(part.split("=") for part in case.settings.split(",") if part)
    source = Source("weights.pth", state, config=case.beside.get("config.json", {}))
    for name, content in case.facts.items():
        setattr(source, name, content)
    found = encoder_kinds()[case.kind].read(source, Settings(settings), case.size)
    made: Encoder = found.fill()
    if case.text is not None:
        made._tokenizer = tiny_bpe()  # type: ignore[attr-defined]
    return made


@torch.no_grad()
def test_every_tensor_matters_or_is_dropped_for_a_reason(layout: Case) -> None:
    before = all_of(read(layout, layout.state))
    for key, value in layout.state.items():
        if not value.is_floating_point() or ".0." in key:  # of the blocks, the second stands for all
            continue
        after = all_of(read(layout, layout.state | {key: value + torch.randn(value.shape) * 0.5}))
        assert torch.equal(before, after) == bool(re.search(layout.unused, key)), key


def test_a_tensor_too_many_or_too_few_is_refused(layout: Case) -> None:
    with pytest.raises(ValueError, match="mystery") as error:
        read(layout, layout.state | {f"{layout.prefix}mystery.weight": torch.randn(3)})
    assert "\n" not in str(error.value)
    for key in layout.state:
        if re.search(layout.unused, key) or ".1." in key:
            continue
        with pytest.raises(ValueError, match=MISSING) as error:
            read(layout, {name: value for name, value in layout.state.items() if name != key})
        assert "\n" not in str(error.value)


def test_another_side(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path), size=2 * SIDE)
    assert encoder.pixels.size == 2 * SIDE
    assert encoder.tokens(tiles()).shape[1] - encoder.prefix == 4 * (SIDE // case.patch) ** 2
    with pytest.raises(ValueError, match="multiple of the patches"):
        open_encoder(case.write(tmp_path), size=SIDE + 1)


def test_settings_are_asked_for_by_name(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{case.kind} has no setting 'colour'"):
        open_encoder(f"{case.write(tmp_path)},colour=red")
    with pytest.raises(ValueError, match=r"does not exist"):
        open_encoder(f"{case.kind}:{tmp_path / 'none.pth'}")
    with pytest.raises(ValueError, match="needs its file"):
        open_encoder(f"{case.kind}:")


def test_gradients_reach_every_weight(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path), size=case.size)
    encoder.summary(tiles()).square().sum().backward()
    assert [name for name, value in encoder.module.named_parameters() if value.grad is None] == []
