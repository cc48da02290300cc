"""Vision Transformers of timm, DeiT, DINO, DINOv2, MAE and MoCo v3.

All of them (but Hugging Face's DINOv2, :mod:`knowlip.models.weights.dinov2`) name the encoder's tensors as timm does;
they differ in the envelope, in what else the file holds, and in the normalisation of the input, which is folded into
the patch embedding (:mod:`knowlip.models.patch`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from knowlip.models.config import VisionConfig
from knowlip.models.knowlip import KnowLIP
from knowlip.models.map_tower import MapTower
from knowlip.models.patch import fold_channels, resize_patch, resize_positions
from knowlip.models.vision import grid_of
from knowlip.models.weights.dinov2 import dinov2_names, dinov2_prefix
from knowlip.models.weights.heads import check_heads, find_heads
from knowlip.models.weights.ledger import Conversion, WeightLedger
from knowlip.models.weights.source import Source

Normalisation = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each input channel, for pixels in 0..1."""
IMAGENET: Normalisation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP: Normalisation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

OURS = "visual_encoder."
_HEADS = "model.vision.changes to {{num_heads: {}}}"
DINOV2 = "DINOv2"
KERNEL, BIAS, POSITIONS = "patch_embed.proj.weight", "patch_embed.proj.bias", "pos_embed"
_PREFIXES = {"base_encoder": "MoCo v3", "backbone": "DINO"}
"""Last word of what stands before the encoder's names -> whose file it is."""
_PLAIN = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""timm's `vit_*_patch16_224`: width, depth, heads."""
_NAMED = re.compile(r"[A-Za-z_]\w*(\.\w+)*$")


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
    notes: list[str] = field(default_factory=list)
    """What was taken for granted, for people."""


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
    prefix = _prefix_of(source)
    if prefix is None:
        if (prefix := dinov2_prefix(source)) is None:
            raise ValueError(
                f"{source.path} holds no ViT in the layout of timm, DeiT, DINO, DINOv2, MAE or MoCo v3; its first "
                f"tensor is {keys[0]}."
            )
        names, stacked = dinov2_names(source, prefix)
        stated, who = stated_normalisation(source)
        tower = Tower(DINOV2, {}, *(given or stated or IMAGENET), stacked=stacked)
        tower.notes += [who] if stated and not given else []
    else:
        names = {key.removeprefix(prefix): key for key in keys if key.startswith(prefix)}
        tower = _timm_tower(source, names, prefix, timm_name, given)
    if prefix:
        tower.notes.append(f"Prefix `{prefix}` taken off the names of the encoder's tensors.")
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


def _prefix_of(source: Source) -> str | None:
    """What stands before the names of the encoder in timm's layout; None where there is none.

    Raises:
        ValueError: there are several encoders.
    """
    found = [key.removesuffix(KERNEL) for key in source.state if re.search(rf"(^|\.){re.escape(KERNEL)}$", key)]
    # MoCo v3 keeps the momentum copy beside the encoder.
    moco = [prefix for prefix in found if prefix.endswith("base_encoder.")]
    found = [""] if "" in found else moco if len(moco) == 1 else found
    if len(found) > 1:
        names = ", ".join(prefix[:60] for prefix in found[:4])
        raise ValueError(f"{source.path} holds {len(found)} ViTs ({names}): save the one that is meant alone.")
    return found[0] if found else None


def _timm_tower(
    source: Source, names: Mapping[str, str], prefix: str, timm_name: str, given: Normalisation | None
) -> Tower:
    """Whose file it is, and thereby which normalisation it expects: all name the encoder as timm does, so that only
    what lies beside it, and the envelope, tell."""
    layout, assumed = _PREFIXES.get(prefix.removesuffix(".").rpartition(".")[2], ""), ""
    stated, who = stated_normalisation(source)
    # What somebody states holds, then a layout with one known training; the rest is a guess, and the report says so.
    normalisation = IMAGENET
    if not layout and "mask_token" in names and "blocks.0.ls1.gamma" in names:
        layout = DINOV2
    elif not layout and any(name.startswith("decoder_") or name == "mask_token" for name in names):
        layout = "MAE"
    elif not layout and source.envelope:
        layout, assumed = "DeiT or MAE", "ImageNet's"
    elif not layout:
        layout, assumed = "timm", f"that of timm's {timm_name}"
        if given is None and stated is None:
            normalisation = _normalisation_of(timm_name)
    tower = Tower(layout, {}, *(given or stated or normalisation))
    if given is None and stated:
        tower.notes.append(who)
    elif given is None and source.state[names[KERNEL]].shape[1] == 1:
        raise ValueError(
            f"{source.path} reads one channel and does not say how its pixels were normalised: give vision_mean and "
            "vision_std, one number each (0 and 1 where it read pixels in 0..1 as they are)."
        )
    elif given is None and assumed:
        tower.notes.append(
            f"The file does not say how its pixels were normalised: {assumed} is taken; vision_mean and vision_std "
            "take another."
        )
    return tower


def said_normalisation(
    source: Source, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> tuple[tuple[float, ...], tuple[float, ...], str] | None:
    """Mean and deviation of pixels and who says them: the user, else what lies beside the file; None where neither
    does.

    Args:
        source: weights with the configs beside them.
        mean, std: as the user gives them.

    Raises:
        ValueError: one of both is given.
    """
    if (mean is None) != (std is None):
        raise ValueError("Give mean and std together.")
    if mean is not None and std is not None:
        return mean, std, "mean= and std= say"
    stated, _ = stated_normalisation(source)
    if stated is None:
        return None
    who = "preprocessor_config.json says" if source.pixels else "config.json says"
    return tuple(map(float, stated[0])), tuple(map(float, stated[1])), who


def stated_normalisation(source: Source) -> tuple[Normalisation | None, str]:
    """What the files beside the weights say (timm's `pretrained_cfg`, Hugging Face's preprocessor), and which does.

    Raises:
        ValueError: they say no numbers, or pixels that are not in 0..1 before they are normalised.
    """
    # A preprocessor may also say that nothing is normalised, or that its numbers are of other pixels than ours.
    if source.pixels.get("do_normalize") is False:
        told = source.config.get("num_channels")
        channels = told if isinstance(told, int) and 0 < told <= 64 else 3
        as_they_are = [0.0] * channels, [1.0] * channels
        return as_they_are, "Pixels are normalised as preprocessor_config.json beside the file says: not at all."
    factor = source.pixels.get("rescale_factor", 1 / 255)
    sound = isinstance(factor, int | float) and abs(factor * 255 - 1) < 1e-3
    if "image_mean" in source.pixels and (source.pixels.get("do_rescale") is False or not sound):
        raise ValueError(
            f"preprocessor_config.json beside {source.path} does not bring pixels to 0..1 before it normalises them: "
            "say mean and std for pixels in 0..1 yourself, without that file."
        )
    timm_says = source.config.get("pretrained_cfg")
    for known, mean, std, who in (
        (timm_says if isinstance(timm_says, dict) else {}, "mean", "std", "config.json"),
        (source.pixels, "image_mean", "image_std", "preprocessor_config.json"),
    ):
        if mean in known and std in known:
            pair = known[mean], known[std]
            numbers = [one for part in pair for one in (part if isinstance(part, list) else [None])]
            sound = all(isinstance(one, int | float) and abs(one) < 1e6 for one in numbers)
            if not sound or len(pair[0]) != len(pair[1]) or min(pair[1]) <= 0:
                raise ValueError(f"{who} beside {source.path} has no sound {mean} and {std}.")
            return pair, f"Pixels are normalised as {who} beside the file says."
    return None, ""


def timm_config(source: Source, side: int | None = None) -> VisionConfig | None:
    """The image tower that a `config.json` of timm beside the file names; None where there is none.

    Args:
        source: the file.
        side: of the input in pixels, instead of what it says.

    Raises:
        ValueError: it names no model of timm, or changes one in a way that is not read.
    """
    name, settings = source.config.get("architecture"), source.config.get("model_args") or {}
    if name is None:
        return None
    if not isinstance(name, str) or not timm.is_model(name) or not isinstance(settings, dict):
        raise ValueError(f"config.json beside {source.path} names no model of timm ({name!s:.60}): give --vision.")
    known = source.config.get("pretrained_cfg")
    size = known.get("input_size") if isinstance(known, dict) else None
    native = size[-1] if isinstance(size, list) and size else VisionConfig.image_size
    stated = settings.get("img_size", native)
    changes = {key: value for key, value in settings.items() if key not in ("img_size", "num_classes", "global_pool")}
    source.heads_from["vision"] = f"as timm's {name} has, which config.json beside the file names"
    return VisionConfig(name, side or cast(int, stated), changes)


def plain_vit(
    source: Source,
    names: Mapping[str, str],
    heads: int | None = None,
    layout: str = "",
    grid: Sequence[int] | None = None,
) -> VisionConfig:
    """timm's name and sizes of a plain ViT, from its shapes and what says the rest.

    Args:
        source: the file.
        names: timm's names -> the file's.
        heads: of attention, where the file does not say them; see :func:`knowlip.models.weights.heads.find_heads`.
        layout: whose file it is.
        grid: rows and columns of the file's patches, where they are no square.

    Raises:
        ValueError: it is no plain ViT.
    """
    needed = ("cls_token", "pos_embed", "blocks.0.mlp.fc1.weight")
    if missing := [name for name in needed if name not in names]:
        raise ValueError(f"{source.path} holds no plain ViT (no {missing[0]}): give its timm name as --vision.")
    state = source.state
    kernel = state[names[KERNEL]]
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        raise ValueError(f"{source.path} has patches of shape {tuple(kernel.shape[2:])}: only square ones are read.")
    width, _, patch, _ = kernel.shape
    depth = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
    mlp_ratio = len(state[names["blocks.0.mlp.fc1.weight"]]) / width
    names_of_sizes = ("embed_dim", "depth", "num_heads", "patch_size", "mlp_ratio")
    found = dict(
        zip(names_of_sizes, (width, depth, find_heads(source, "vision", width, heads, layout), patch, mlp_ratio))
    )
    scaled = "blocks.0.ls1.gamma" in names  # LayerScale: DINOv2, which timm has from "small"
    sizes = {size: usual for size, usual in _PLAIN.items() if not scaled or size != "tiny"}
    size, usual = next(((size, usual) for size, usual in sizes.items() if usual[0] == width), ("base", _PLAIN["base"]))
    known = dict(zip(names_of_sizes, (*usual, 14 if scaled else 16, 4.0)))
    side = math.isqrt(state[names["pos_embed"]].shape[1] - 1)
    if grid is not None and grid[0] != grid[1]:
        raise ValueError(f"Patches of {_by(grid)} make no square: give image_size, the side of the model's own input.")
    changes = {key: value for key, value in found.items() if value != known[key]}
    name = f"vit_{size}_patch14_dinov2" if scaled else f"vit_{size}_patch16_224"
    return VisionConfig(name, max(1, side) * patch, changes)


def convert_vit(
    source: Source,
    model: KnowLIP,
    normalisation: Normalisation | None = None,
    antialias: bool = False,
    grid: Sequence[int] | None = None,
) -> Conversion:
    """Weights of a ViT for the image tower.

    Args:
        source: the file.
        model: its `config.vision` decides sizes and normalisation.
        normalisation: mean and standard deviation of each input channel where they are not the layout's own.
        antialias: of :func:`knowlip.models.patch.resize_positions`.
        grid: rows and columns of the file's patches, where they are no square.

    Raises:
        ValueError: unknown layout, other sizes, or tensors left over on either side.
    """
    if isinstance(model.visual_encoder, MapTower):
        raise ValueError(
            f"Weights of others fill Vision Transformers, and {model.config.vision.name} is none: leave init.vision "
            "empty, or start from a model of KnowLIP's own (init.model)."
        )
    tower = find_tower(source, model.config.vision.name, normalisation)
    heads, width = int(model.visual_encoder.blocks[0].attn.num_heads), int(model.visual_encoder.num_features)  # type: ignore[arg-type, index, union-attr]
    said = check_heads(source, "vision", heads, _HEADS, tower.layout, width)
    _check_kind(source)
    ledger = WeightLedger(source, model, [OURS], tower.layout)
    ledger.report.notes += [said, *tower.notes]
    for reason, keys in tower.dropped.items():
        ledger.drop(keys, reason)
    if "norm.weight" not in tower.names and "fc_norm.weight" in tower.names:
        for part in ("weight", "bias"):
            tower.names[f"norm.{part}"] = tower.names.pop(f"fc_norm.{part}")
        ledger.report.notes.append("The norm of the pooled features has become the norm of the tokens.")
    for name, parts in tower.stacked.items():
        if OURS + name in ledger.wanted:
            ledger.put(OURS + name, torch.cat([source.state[part] for part in parts]), *parts)
    place_tower(ledger, model, tower.names, tower.mean, tower.std, antialias, grid)
    return ledger.close()


def place_tower(
    ledger: WeightLedger,
    model: KnowLIP,
    names: Mapping[str, str],
    mean: Sequence[float],
    std: Sequence[float],
    antialias: bool,
    grid: Sequence[int] | None = None,
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
        _place_positions(ledger, model, names.get(POSITIONS, POSITIONS), constant_D, antialias, grid)
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
    ledger: WeightLedger,
    model: KnowLIP,
    key: str,
    constant_D: Tensor | None,
    antialias: bool,
    given: Sequence[int] | None,
) -> None:
    """Fill the position embeddings, with a constant added to those of the patches."""
    source, report = ledger.source, ledger.report
    if key not in source:
        raise ValueError(f"{report.source} lacks {key}, which the model needs for {OURS}{POSITIONS}.")
    _, grid, prefix = grid_of(model.visual_encoder)
    if source[key].ndim != 3:
        raise ValueError(f"{report.source}: {key} has shape {tuple(source[key].shape)}, not (1, tokens, width).")
    positions = resize_positions(source[key], grid, prefix, antialias, given)
    count = source[key].shape[1] - prefix
    theirs = tuple(given) if given is not None else (math.isqrt(count),) * 2
    if given is None:
        report.notes.append(f"{count} positions are read as {_by(theirs)} patches; vision_grid takes another grid.")
    if theirs != grid:
        how = "bicubic, antialiased" if antialias else "bicubic"
        report.resized[OURS + POSITIONS] = f"grid of {_by(theirs)} -> {_by(grid)} ({how})"
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


def _check_kind(source: Source) -> None:
    """Refuse what the `config.json` beside the file says and no plain ViT of timm does."""
    known = {"hidden_act": "gelu", "qkv_bias": True, "use_swiglu_ffn": False, "num_register_tokens": 0}
    for key, needed in known.items():
        if source.config.get(key, needed) != needed:
            raise ValueError(f"{source.path} has {key} {source.config[key]!s:.40}, which is read only as {needed}.")


def _by(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
