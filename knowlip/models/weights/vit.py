"""Vision Transformers of timm, DeiT, DINO, DINOv2, MAE and MoCo v3.

All of them (but Hugging Face's DINOv2, :mod:`knowlip.models.weights.dinov2`) name the encoder's tensors as timm does;
they differ in the envelope, in what else the file holds, and in the normalisation of the input, which is folded into
the patch embedding (:mod:`knowlip.models.patch`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn

from knowlip.models.config import VisionConfig
from knowlip.models.knowlip import KnowLIP
from knowlip.models.patch import fold_channels, resize_patch, resize_positions
from knowlip.models.vision import grid_of
from knowlip.models.weights.dinov2 import dinov2_heads, dinov2_names, dinov2_prefix
from knowlip.models.weights.ledger import Conversion, WeightLedger
from knowlip.models.weights.source import Source

Normalisation = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each input channel, for pixels in 0..1."""
IMAGENET: Normalisation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP: Normalisation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

OURS = "visual_encoder."
DINOV2 = "DINOv2"
KERNEL, BIAS, POSITIONS = "patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed"
_PLAIN = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""timm's `vit_*_patch16_224`: width, depth, heads."""
_NAMED = re.compile(r"[A-Za-z_]\w*(\.\w+)*$")
_PREFIXES = {"module.base_encoder.": "MoCo v3", "module.backbone.": "DINO", "backbone.": "DINO", "": ""}


@dataclass
class Tower:
    """A ViT in a file: timm's names -> names of the file, and what is known about it."""

    layout: str
    names: dict[str, str]
    mean: Sequence[float]
    std: Sequence[float]
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> names of the file."""
    stacked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """timm's names of what is several tensors of the file, one above the other."""


def find_tower(source: Source, timm_name: str, given: Normalisation | None = None) -> Tower:
    """Recognise the layout.

    Args:
        source: the file.
        timm_name: whose normalisation holds for a file that is nothing but tensors.
        given: mean and standard deviation of each input channel, instead of the layout's own.

    Raises:
        ValueError: no layout fits.
    """
    keys = list(source.state)
    prefix = next((prefix for prefix in _PREFIXES if f"{prefix}patch_embed.proj.weight" in keys), None)
    if prefix is None:
        if (prefix := dinov2_prefix(source)) is None:
            raise ValueError(
                f"{source.path} holds no ViT in the layout of timm, DeiT, DINO, DINOv2, MAE or MoCo v3; its first "
                f"tensor is {keys[0]}."
            )
        names, stacked = dinov2_names(source, prefix)
        tower = Tower(DINOV2, {}, *(given or IMAGENET), stacked=stacked)
    else:
        names = {key.removeprefix(prefix): key for key in keys if key.startswith(prefix)}
        tower = _timm_tower(source, names, prefix, timm_name, given)
    for name, key in names.items():
        if name.split(".")[0] in ("head", "head_dist", "fc", "attn_pool"):
            tower.dropped.setdefault("head of the former task", []).append(key)
        elif tower.layout == "MAE" and (name.startswith("decoder_") or name == "mask_token"):
            tower.dropped.setdefault("MAE's decoder", []).append(key)
        elif tower.layout == DINOV2 and name.removeprefix("embeddings.") == "mask_token":
            tower.dropped.setdefault("stands for masked patches in the former training", []).append(key)
        else:
            tower.names[name] = key
    # Only what has a name of its own can be said to lie outside the encoder: a nameless tensor is left to be refused.
    outside = [key for key in keys if not key.startswith(prefix) and _NAMED.match(key)]
    tower.dropped["not the encoder"] = outside
    return tower


def _timm_tower(
    source: Source, names: Mapping[str, str], prefix: str, timm_name: str, given: Normalisation | None
) -> Tower:
    """Whose file it is, and thereby which normalisation it expects: all name the encoder as timm does, so that only
    what lies beside it, and the envelope, tell."""
    layout = _PREFIXES[prefix]
    normalisation = given or IMAGENET
    if not layout and "mask_token" in names and "blocks.0.ls1.gamma" in names:
        layout = DINOV2
    elif not layout and any(name.startswith("decoder_") or name == "mask_token" for name in names):
        layout = "MAE"
    elif not layout and source.envelope:
        layout = "DeiT or MAE"
    elif not layout:
        layout = "timm"
        normalisation = given or _normalisation_of(timm_name)
    return Tower(layout, {}, *normalisation)


def plain_vit(source: Source, names: Mapping[str, str], heads: int | None = None) -> VisionConfig:
    """timm's name and sizes of a plain ViT, from its shapes; 64 channels a head where `heads` does not tell.

    Raises:
        ValueError: it is no plain ViT.
    """
    needed = ("cls_token", "pos_embed", "blocks.0.mlp.fc1.weight")
    if missing := [name for name in needed if name not in names]:
        raise ValueError(f"{source.path} holds no plain ViT (no {missing[0]}): give its timm name as --vision.")
    state = source.state
    width, _, patch, _ = state[names["patch_embed.proj.weight"]].shape
    depth = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
    mlp_ratio = len(state[names["blocks.0.mlp.fc1.weight"]]) / width
    names_of_sizes = ("embed_dim", "depth", "num_heads", "patch_size", "mlp_ratio")
    found = dict(zip(names_of_sizes, (width, depth, heads or max(1, width // 64), patch, mlp_ratio)))
    scaled = "blocks.0.ls1.gamma" in names  # LayerScale: DINOv2, which timm has from "small"
    sizes = {size: usual for size, usual in _PLAIN.items() if not scaled or size != "tiny"}
    size, usual = next(((size, usual) for size, usual in sizes.items() if usual[0] == width), ("base", _PLAIN["base"]))
    known = dict(zip(names_of_sizes, (*usual, 14 if scaled else 16, 4.0)))
    side = math.isqrt(state[names["pos_embed"]].shape[1] - 1)
    changes = {key: value for key, value in found.items() if value != known[key]}
    name = f"vit_{size}_patch14_dinov2" if scaled else f"vit_{size}_patch16_224"
    return VisionConfig(name, side * patch, changes)


def convert_vit(
    source: Source,
    model: KnowLIP,
    normalisation: Normalisation | None = None,
    antialias: bool = False,
) -> Conversion:
    """Weights of a ViT for the image tower.

    Args:
        source: the file.
        model: its `config.vision` decides sizes and normalisation.
        normalisation: mean and standard deviation of each input channel where they are not the layout's own.
        antialias: of :func:`knowlip.models.patch.resize_positions`.

    Raises:
        ValueError: unknown layout, other sizes, or tensors left over on either side.
    """
    tower = find_tower(source, model.config.vision.name, normalisation)
    _check_heads(source, tower, model.visual_encoder)
    ledger = WeightLedger(source, model, [OURS], tower.layout)
    for reason, keys in tower.dropped.items():
        ledger.drop(keys, reason)
    if "norm.weight" not in tower.names and "fc_norm.weight" in tower.names:
        for part in ("weight", "bias"):
            tower.names[f"norm.{part}"] = tower.names.pop(f"fc_norm.{part}")
        ledger.report.notes.append("The norm of the pooled features has become the norm of the tokens.")
    for name, parts in tower.stacked.items():
        if OURS + name in ledger.wanted:
            ledger.put(OURS + name, torch.cat([source.state[part] for part in parts]), *parts)
    place_tower(ledger, model, tower.names, tower.mean, tower.std, antialias)
    return ledger.close()


def place_tower(
    ledger: WeightLedger,
    model: KnowLIP,
    names: Mapping[str, str],
    mean: Sequence[float],
    std: Sequence[float],
    antialias: bool,
) -> None:
    """Fill what is not filled yet of the image tower; `names` maps timm's names to the file's."""
    if model.stem is not None:
        raise ValueError(f"{ledger.report.source} is a ViT that reads pixels: set model.vision.stem to 0.")
    for ours in ledger.wanted:
        name = ours.removeprefix(OURS)
        if ours.startswith(OURS) and ours not in ledger.state and name not in (KERNEL, BIAS, POSITIONS):
            ledger.copy(ours, names.get(name, name))
    constant_D = _place_patch(ledger, model, names, mean, std)
    if OURS + POSITIONS in ledger.wanted:
        _place_positions(ledger, model, names.get(POSITIONS, POSITIONS), constant_D, antialias)
    elif constant_D is not None:
        raise ValueError(
            f"{model.config.vision.name} has neither a bias of its patch embedding nor position embeddings to fold the "
            "source's normalisation into."
        )


def _place_patch(
    ledger: WeightLedger, model: KnowLIP, names: Mapping[str, str], mean: Sequence[float], std: Sequence[float]
) -> Tensor | None:
    """Fill the patch embedding. Returns the constant that it should add where it has no bias to hold it."""
    vision, source, report = model.config.vision, ledger.source, ledger.report
    size, _, _ = grid_of(model.visual_encoder)
    key, bias_key = names[KERNEL], names.get(BIAS)
    kernel = resize_patch(source[key], size)
    if kernel.shape != source[key].shape:
        report.resized[OURS + KERNEL] = f"patches of {_by(source[key].shape[-2:])} -> {_by(size)} px"
    bias = source[bias_key] if bias_key else None
    weight, bias = fold_channels(kernel, bias, mean, std, vision.mean, vision.std)
    ledger.put(OURS + KERNEL, weight, key)
    report.folded[OURS + KERNEL] = (
        f"{kernel.shape[1]} channels normalised by mean {_numbers(mean)}, std {_numbers(std)} -> "
        f"1 channel by mean {vision.mean:g}, std {vision.std:g}"
    )
    if OURS + BIAS not in ledger.wanted:
        return bias
    ledger.put(OURS + BIAS, bias, bias_key or key)
    return None


def _place_positions(
    ledger: WeightLedger, model: KnowLIP, key: str, constant_D: Tensor | None, antialias: bool
) -> None:
    """Fill the position embeddings, with a constant added to those of the patches."""
    source, report = ledger.source, ledger.report
    if key not in source:
        raise ValueError(f"{report.source} lacks {key}, which the model needs for {OURS}{POSITIONS}.")
    _, grid, prefix = grid_of(model.visual_encoder)
    positions = resize_positions(source[key], grid, prefix, antialias)
    if positions.shape != source[key].shape:
        side = math.isqrt(source[key].shape[1] - prefix)
        how = "bicubic, antialiased" if antialias else "bicubic"
        report.resized[OURS + POSITIONS] = f"grid of {side} x {side} -> {_by(grid)} ({how})"
    if constant_D is not None:
        positions = torch.cat([positions[:, :prefix], positions[:, prefix:] + constant_D], 1)
        report.folded[OURS + POSITIONS] = "the constant of the folded normalisation: the patch embedding has no bias"
    ledger.put(OURS + POSITIONS, positions, key)


def timm_source(name: str) -> tuple[Source, Normalisation]:
    """Pretrained weights that timm knows under a name (from the hub or its cache), and their normalisation.

    Raises:
        ValueError: no such weights, or no way to them.
    """
    try:
        donor: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise ValueError(f"timm cannot load the weights of {name}: {error}") from error
    known: dict[str, Any] = donor.pretrained_cfg  # type: ignore[assignment]
    return Source(f"timm {name}", dict(donor.state_dict())), (known["mean"], known["std"])


def _normalisation_of(timm_name: str) -> Normalisation:
    """Of the weights that timm knows under a name."""
    known = timm.get_pretrained_cfg(timm_name)
    if known is None:
        raise ValueError(f"timm knows no normalisation of {timm_name}: give init.vision_mean and init.vision_std.")
    return known.mean, known.std


def _check_heads(source: Source, tower: Tower, ours: nn.Module) -> None:
    """The shapes do not tell how many heads there are: MoCo v3's small ViT has 12 where everyone else's has 6."""
    width, heads = int(ours.num_features), int(ours.blocks[0].attn.num_heads)  # type: ignore[arg-type, index, union-attr]
    if tower.layout == "MoCo v3" and width == 384 and heads != 12:
        raise ValueError("MoCo v3's small ViT has 12 heads: set model.vision.changes to {num_heads: 12}.")
    if tower.layout == DINOV2 and heads != (theirs := dinov2_heads(source, width)):
        raise ValueError(
            f"{source.path} has {theirs} heads, the model {heads}: set model.vision.changes to {{num_heads: {theirs}}}."
        )


def _by(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
