"""Sizes of a plain ViT, read from its tensors under timm's names, and the ViT of timm that has them.

Shapes tell width, depth, patch, channels and what parts there are. They tell neither heads nor activation nor the
norm's epsilon: whoever calls says them, and who says so.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, get_args

import torch
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from knowlip.models.meta import without_memory
from knowlip.models.patch import resize_positions
from knowlip.models.weights.ledger import WeightLedger

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
ACTIVATIONS: Final[Mapping[str, Any]] = {
    "gelu": nn.GELU,
    "quick_gelu": QuickGELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
}
assert set(ACTIVATIONS) == set(get_args(Activation))
KERNEL, POSITIONS = "patch_embed.proj.weight", "pos_embed"
_WIDEST, _DEEPEST, _LARGEST = 8192, 128, 4096
"""Beyond these a file is refused before anything is laid out: width, blocks, side in pixels."""


@dataclass
class Named:
    """A tower in a file under timm's names."""

    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """timm's name -> names of the file, stacked in that order where they are several."""
    made: dict[str, Tensor] = field(default_factory=dict)
    """timm's name -> value, where it is made of its parts in another way than stacking."""
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> names of the file."""
    resized: dict[str, str] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    """As in the ledger's report: timm's name -> what was done."""

    def drop(self, key: str, reason: str) -> None:
        """Leave a tensor of the file aside."""
        self.dropped.setdefault(reason, []).append(key)

    def value(self, state: Mapping[str, Tensor], name: str) -> Tensor:
        """The tensor that stands under one of timm's names."""
        if name in self.made:
            return self.made[name]
        parts = [state[part] for part in self.parts[name]]
        if any(part.ndim == 0 or part.shape[1:] != parts[0].shape[1:] for part in parts[1:]):
            raise ValueError(f"{', '.join(self.parts[name])} cannot be stacked: their shapes differ.")
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True)
class VitShape:
    """What timm's VisionTransformer needs to know."""

    width: int
    depth: int
    heads: int
    patch: int
    channels: int
    mlp_width: int
    side: int
    """Of the image in pixels, as the position embeddings say."""
    activation: Activation
    eps: float
    parts: frozenset[str] = frozenset()
    """Tensors without which the tower is another: `cls_token`, `pos_embed`, `reg_token`, `norm_pre`, `norm`, `fc_norm`,
    `ls1`, `patch_bias`, `qkv_bias`."""
    registers: int = 0
    class_position: bool = True

    def sizes(self) -> dict[str, int]:
        """What a config beside the file may state too (:mod:`knowlip.models.weights.said_sizes`)."""
        names = ("width", "depth", "patch", "channels", "mlp_width", "side")
        return {name: int(getattr(self, name)) for name in names}

    def describe(self) -> str:
        """One line for people."""
        return (
            f"ViT of width {self.width}, depth {self.depth}, {self.heads} heads, patches of {self.patch} px, "
            f"{self.channels} channel{'s' if self.channels > 1 else ''}, {self.side} px, {self.activation}, "
            f"norm's epsilon {self.eps:g}"
        )


def vit_shape(
    path: str,
    state: Mapping[str, Tensor],
    named: Named,
    heads: int,
    activation: Activation,
    eps: float,
    side: int | None = None,
    needs: Sequence[str] = (),
) -> VitShape:
    """Read the sizes.

    Args:
        path: of the file, for sentences.
        state: its tensors.
        named: timm's names of them.
        heads, activation, eps: what no shape tells.
        side: of the image in pixels, where position embeddings do not tell.
        needs: parts (:class:`VitShape`) that every such tower has: without one it would be another model, in silence.

    Raises:
        ValueError: it is no ViT, has patches or positions that are no square, or sizes beyond what is read.
    """
    names = set(named.parts)
    if missing := [name for name in (KERNEL, "blocks.0.mlp.fc1.weight") if name not in names]:
        raise ValueError(f"{path} holds no ViT: it has no {missing[0]}.")
    kernel = named.value(state, KERNEL)
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        raise ValueError(f"{path} has patch kernels of shape {tuple(kernel.shape)}: only square ones are read.")
    width, channels, patch, _ = kernel.shape
    numbers = sorted({int(name.split(".")[1]) for name in names if re.match(r"blocks\.\d+\.", name)})
    if numbers != list(range(len(numbers))):
        raise ValueError(f"{path} has blocks {numbers[:3]}...{numbers[-1]} of its ViT: some are missing.")
    if heads < 1 or width % heads:
        raise ValueError(f"{path} has a ViT of width {width}, which cannot be divided among {heads} heads.")
    registers = named.value(state, "reg_token").shape[1] if "reg_token" in names else 0
    found: set[str] = {part for part in ("cls_token", "pos_embed", "reg_token") if part in names}
    found |= {part for part in ("norm_pre", "norm", "fc_norm") if f"{part}.weight" in names}
    for part, name in (
        ("ls1", "blocks.0.ls1.gamma"),
        ("qkv_bias", "blocks.0.attn.qkv.bias"),
        ("patch_bias", "patch_embed.proj.bias"),
    ):
        found |= {part} if name in names else set()
    if lacking := [part for part in needs if part not in found]:
        raise ValueError(f"{path} lacks {lacking[0]} of its ViT.")
    class_position = True
    if POSITIONS in names:  # as many as patches, or one more for the class token: the square tells which
        count = named.value(state, POSITIONS).shape[-2]
        prefixes = [int("cls_token" in found), 0] if "cls_token" in found else [0]
        squares = [one for one in prefixes if count > one and math.isqrt(count - one) ** 2 == count - one]
        grid = squares[0] if squares and count > len(prefixes) - 1 else None  # one alone is the class token's
        if grid is None:
            raise ValueError(f"{path} has {count} position embeddings, which are no square of patches.")
        class_position = "cls_token" not in found or grid == 1
        side = math.isqrt(count - grid) * patch
    if side is None:
        raise ValueError(f"{path} does not say for which side of images it was made: give size.")
    mlp_width = len(named.value(state, "blocks.0.mlp.fc1.weight"))
    if width > _WIDEST or len(numbers) > _DEEPEST or not 0 < side <= _LARGEST or mlp_width > 8 * _WIDEST:
        raise ValueError(f"{path} has a ViT of width {width}, depth {len(numbers)} and side {side}: none is so large.")
    return VitShape(
        width,
        len(numbers),
        heads,
        patch,
        channels,
        mlp_width,
        side,
        activation,
        eps,
        frozenset(found),
        registers,
        class_position,
    )


def build_vit(shape: VitShape, side: int | None = None) -> VisionTransformer:
    """timm's ViT of these sizes, without memory and without a head; `side` of its input instead of the file's.

    Raises:
        ValueError: the patches do not divide the side.
    """
    size = side or shape.side
    if size % shape.patch:
        raise ValueError(f"A side of {size} px is no multiple of the patches' {shape.patch} px.")
    pooled = "fc_norm" in shape.parts
    with without_memory():  # all of it is filled from a file
        return VisionTransformer(
            img_size=size,
            patch_size=shape.patch,
            in_chans=shape.channels,
            num_classes=0,
            global_pool="avg" if pooled else "token" if "cls_token" in shape.parts else "avg",
            embed_dim=shape.width,
            depth=shape.depth,
            num_heads=shape.heads,
            mlp_ratio=shape.mlp_width / shape.width,
            qkv_bias="qkv_bias" in shape.parts,
            init_values=1.0 if "ls1" in shape.parts else None,
            class_token="cls_token" in shape.parts,
            pos_embed="learn" if "pos_embed" in shape.parts else "none",
            no_embed_class=not shape.class_position or shape.registers > 0,
            reg_tokens=shape.registers,
            pre_norm="norm_pre" in shape.parts,
            final_norm="norm" in shape.parts or pooled,
            fc_norm=pooled,
            norm_layer=partial(nn.LayerNorm, eps=shape.eps),
            act_layer=ACTIVATIONS[shape.activation],
        )


def fill_vit(
    ledger: WeightLedger,
    named: Named,
    shape: VitShape,
    scope: str = "",
    side: int | None = None,
    align_corners: bool = False,
) -> None:
    """Fill a tower made by :func:`build_vit` for `side`; every tensor of `named` has a place or is dropped.

    Args:
        ledger: of the whole model.
        named: the file's tower.
        shape: its sizes.
        scope: what stands before the tower's names in the whole model.
        side: of the input in pixels, where it is not the file's.
        align_corners: of the interpolation of position embeddings.
    """
    state = ledger.source
    for reason, keys in named.dropped.items():
        ledger.drop(keys, reason)
    grid = (side or shape.side) // shape.patch
    for name, parts in named.parts.items():
        ours = scope + name
        if ours not in ledger.wanted:
            continue  # left over: the ledger refuses it by name
        value = named.value(state, name)
        if name == POSITIONS:
            value = value if value.ndim == 3 else value[None]
            if grid * shape.patch != shape.side:
                prefix = int("cls_token" in shape.parts and shape.class_position)
                value = resize_positions(value, (grid, grid), prefix, align_corners=align_corners)
                old, how = shape.side // shape.patch, ", corners aligned" if align_corners else ""
                ledger.report.resized[ours] = f"grid of {old} x {old} -> {grid} x {grid} (bicubic{how})"
        elif name in ("cls_token", "reg_token") and value.shape[-1:] == (shape.width,):
            value = value.reshape(1, -1, shape.width)
        ledger.put(ours, value, *parts)
    for told, kept in ((named.resized, ledger.report.resized), (named.folded, ledger.report.folded)):
        kept.update({scope + name: how for name, how in told.items()})


def straight(keys: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names that are timm's already."""
    return {key: (key,) for key in keys}
