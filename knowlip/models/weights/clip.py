"""Dual encoders in the layouts of OpenAI/open_clip (A) and of Hugging Face's CLIP (C): our names for their tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source

_BLOCK = {
    "ln_1": "norm1",
    "ln_2": "norm2",
    "attn.in_proj_": "attn.qkv.",
    "attn.out_proj": "attn.proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ls_1": "ls1",
    "ls_2": "ls2",
}
_OPENAI = {
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1": "patch_embed.proj",
    "ln_pre": "norm_pre",
    "ln_post": "norm",
}
_OPENAI_TEXT = {
    "token_embedding": "embedding",
    "positional_embedding": "positions",
    "cls_emb": "own_token",
    "ln_final": "norm",
}
_CONSTANTS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")
HF_VISION = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding.weight": "pos_embed",
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "pre_layrnorm.": "norm_pre.",
    "post_layernorm.": "norm.",
}
_HF_TEXT = {
    "embeddings.token_embedding.": "embedding.",
    "embeddings.position_embedding.weight": "positions",
    "final_layer_norm.": "norm.",
}
_HF_LAYER = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "self_attn.out_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


@dataclass
class ClipNames:
    """Both towers of a file."""

    visual: Named = field(default_factory=Named)
    text: Named = field(default_factory=Named)
    """Under the names of :class:`knowlip.models.clip.ClipText`; empty where the file has none."""
    pool: Named = field(default_factory=Named)
    """CoCa's, under the names of :class:`knowlip.models.clip.CocaPool`; empty elsewhere."""
    projection: str = ""
    """Of the image; "" where there is none."""
    transposed: bool = True
    """Whether the projections are (width, E), as OpenAI's are."""
    scale: str = ""
    dropped: dict[str, list[str]] = field(default_factory=dict)


def openai_visual(keys: Iterable[str], prefix: str, named: Named) -> list[str]:
    """Fill `named` with a ViT of layout A that stands behind a prefix.

    Returns:
        What stands behind the prefix and is no part of a ViT.
    """
    left = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        name = _ours(key.removeprefix(prefix), _OPENAI)
        if name is None:
            left.append(key)
        else:
            named.parts[name] = (key,)
    return left


def openai_names(source: Source) -> ClipNames:
    """The towers of an OpenAI or open_clip file, or of ITRA's (`image_backbone.`, `text_backbone.`).

    Raises:
        ValueError: it holds no ViT in that layout.
    """
    keys = list(source.state)
    images = next((one for one in ("visual.", "image_backbone.") if f"{one}conv1.weight" in source.state), None)
    if images is None or f"{images}class_embedding" not in source.state:
        kind = "a ResNet of CLIP, not a ViT" if "visual.layer1.0.conv1.weight" in source.state else "no CLIP of OpenAI"
        raise ValueError(
            f"{source.path} holds {kind} in the layout of OpenAI or open_clip; its first tensor is {keys[0]:.80}."
        )
    texts = next((one for one in ("text.", "text_backbone.") if f"{one}token_embedding.weight" in source.state), "")
    found = ClipNames()
    for key in openai_visual(keys, images, found.visual):
        if key == f"{images}proj":
            found.projection = key
        elif key.startswith(f"{images}attn_pool."):
            _pooling(source, key, images, found.pool)
        else:
            found.visual.parts[key] = (key,)  # no place for it: the ledger refuses it by this name
    if found.pool.parts:  # the last norm stands behind the pooling, not behind the ViT
        for part in ("weight", "bias"):
            if f"norm.{part}" in found.visual.parts:
                found.pool.parts[f"norm.{part}"] = found.visual.parts.pop(f"norm.{part}")
    for key in keys:
        short = key.removeprefix(texts)
        if key.startswith(images):
            continue
        if key.startswith("text_decoder.") and found.pool.parts:
            found.dropped.setdefault("decoder of captions", []).append(key)
            continue
        if key in _CONSTANTS:
            found.dropped.setdefault("a constant", []).append(key)
        elif key == "logit_scale" or short == "logit_scale":
            found.scale = key
        elif short == "text_projection":
            found.text.parts["projection.weight"] = (key,)
            found.text.made["projection.weight"] = _turned(source, key)
        elif key.startswith(texts) and (name := _ours(short, _OPENAI_TEXT)) is not None:
            found.text.parts[name] = (key,)
        elif key.startswith(texts) and texts:
            found.text.parts[short] = (key,)
    # A CLIP's text tower reads without it, and a CoCa's would too: another text for every sentence.
    if "decoder of captions" in found.dropped and found.text.parts and "own_token" not in found.text.parts:
        raise ValueError(f"The file lacks {texts}cls_emb, the token of its own that a CoCa's texts end with.")
    return found


def hf_names(source: Source) -> ClipNames:
    """The towers of a Hugging Face CLIP (`CLIPModel`, `CLIPVisionModel`).

    Raises:
        ValueError: it holds none.
    """
    kernel = "vision_model.embeddings.patch_embedding.weight"
    prefix = next((key.removesuffix(kernel) for key in source.state if key.endswith(kernel)), None)
    if prefix is None:
        raise ValueError(
            f"{source.path} holds no CLIP in Hugging Face's layout (no {kernel}); its first tensor is "
            f"{next(iter(source.state)):.80}."
        )
    found = ClipNames(transposed=False)
    hf_tower(source.state, f"{prefix}vision_model.", HF_VISION, found.visual)
    hf_tower(source.state, f"{prefix}text_model.", _HF_TEXT, found.text)
    for key in source.state:
        short = key.removeprefix(prefix)
        if short == "visual_projection.weight":
            found.projection = key
        elif short == "text_projection.weight":
            found.text.parts["projection.weight"] = (key,)
        elif short == "logit_scale":
            found.scale = key
    return found


def hf_tower(state: Mapping[str, Tensor], prefix: str, names: Mapping[str, str], named: Named) -> None:
    """Fill `named` with a tower of layout C that stands behind a prefix; q, k and v are stacked."""
    for key in state:
        if not key.startswith(prefix):
            continue
        short = key.removeprefix(prefix)
        if short == "embeddings.position_ids":
            named.drop(key, "a constant")
            continue
        layer = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", short)
        if layer is None:
            beginning = next((one for one in names if short == one or (one[-1] == "." and short.startswith(one))), None)
            name = short if beginning is None else names[beginning] + short.removeprefix(beginning)
            named.parts[name] = (key,)
            continue
        number, part, kind = layer.groups()
        thirds = [f"{prefix}encoder.layers.{number}.self_attn.{one}_proj.{kind}" for one in "qkv"]
        if key in thirds:
            if lacking := [one for one in thirds if one not in state]:
                raise ValueError(f"The file lacks {lacking[0]}, a third of an attention's weights.")
            named.parts[f"blocks.{number}.attn.qkv.{kind}"] = tuple(thirds)
        else:
            named.parts[f"blocks.{number}.{_HF_LAYER.get(part, part)}.{kind}"] = (key,)


def _pooling(source: Source, key: str, prefix: str, named: Named) -> None:
    """Our names of one tensor of CoCa's pooling; its attention is PyTorch's, whose biases are stacked."""
    short = key.removeprefix(f"{prefix}attn_pool.")
    third = re.fullmatch(r"attn\.([qkv])_proj_weight", short)
    if short in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = "weight" if short.endswith("weight") else "bias"
        for letter, value in zip("qkv", source.state[key].chunk(3)):
            named.parts[f"{letter}.{kind}"], named.made[f"{letter}.{kind}"] = (key,), value
    elif third is not None:
        named.parts[f"{third[1]}.weight"] = (key,)
    else:
        words = {"ln_q.": "norm_q.", "ln_k.": "norm_k.", "attn.out_proj.": "out."}
        old = next((one for one in words if short.startswith(one)), "")
        named.parts[words[old] + short.removeprefix(old) if old else short] = (key,)


def _ours(short: str, names: Mapping[str, str]) -> str | None:
    """Our name of a tensor of layout A without its prefix; None where it has none."""
    block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", short)
    if block is not None:
        number, part = block.groups()
        old = next((one for one in _BLOCK if part.startswith(one)), None)
        return f"blocks.{number}.{_BLOCK[old] + part.removeprefix(old) if old else part}"
    first, _, rest = short.partition(".")
    if first not in names:
        return None
    return f"{names[first]}.{rest}" if rest else names[first]


def _turned(source: Source, key: str) -> Tensor:
    value = source.state[key]
    if value.ndim != 2:
        raise ValueError(f"{source.path}: {key} has shape {tuple(value.shape)}, not (width, E).")
    return value.mT
