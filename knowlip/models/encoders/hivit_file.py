"""Files of HiViTs: what SARATR-X and SARATR-X-v2 share."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings
from knowlip.models.encoders.protocol import EncoderCard, PixelSpec
from knowlip.models.hivit import INNER, HiViT
from knowlip.models.meta import without_memory
from knowlip.models.patch import resize_positions
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.source import Source

_PATCH, _MOST = 16, 200
_HEADS = {384: 6, 512: 8, 768: 12}
_POSITIONS = "absolute_pos_embed"
_TABLE = "relative_position_bias_table"


@dataclass(frozen=True)
class HiViTForm:
    """Whose file it is, and what its tensors and pixels are."""

    who: str
    licence: str
    card: EncoderCard
    dropped: Mapping[str, str]
    """First part of names that are not of the tower -> what they are."""
    mean: float
    std: float
    pixels: str
    """How pixels were read, in words."""


def read_hivit(source: Source, settings: Settings, size: int | None, form: HiViTForm) -> Foreign:
    """The tower of a file.

    Args:
        source: the file.
        settings: `heads`, where the width does not say how many.
        size: side in pixels, where it should not be that of the file.
        form: whose it is.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    state = source.state
    for needed in (_POSITIONS, "patch_embed.proj.weight", "patch_embed.norm.weight"):
        if needed not in state:
            raise ValueError(f"{source.path} holds no {form.who}: it has no {needed}.")
    # Shapes alone do not tell patches of 16 px in cells of 4 from others: none others have been published.
    kernel, positions = state["patch_embed.proj.weight"], state[_POSITIONS]
    grid = math.isqrt(positions.shape[1]) if positions.ndim == 3 else 0
    if kernel.ndim != 4 or kernel.shape[-1] * INNER != _PATCH or grid < 1 or grid**2 != positions.shape[1]:
        raise ValueError(
            f"{source.path} has cells of {tuple(kernel.shape)} and positions {tuple(positions.shape)}: {form.who} has "
            f"4 x 4 of them in {_PATCH} px and a square of patches."
        )
    width, channels = positions.shape[-1], kernel.shape[1]
    depths, hidden = _stages(source)
    heads = settings.integer("heads") or _HEADS.get(width)
    if heads is None or width % heads:
        raise ValueError(f"{source.path} does not say how many heads a HiViT of width {width} has: give heads=NUMBER.")
    said = "heads= says" if "heads" in settings.given else f"every published HiViT of width {width} has (heads=)"
    side = size or grid * _PATCH
    if side % _PATCH:
        raise ValueError(f"A side of {side} px is no multiple of the patches' {_PATCH} px.")
    relative = any(key.endswith(_TABLE) for key in state)
    if relative and side != grid * _PATCH:
        raise ValueError(
            f"{source.path} has tables of relative positions of {grid} x {grid} patches, which are not brought to "
            f"another number: use it at {grid * _PATCH} px."
        )
    pooled = "fc_norm.weight" in state
    with without_memory():
        tower = HiViT(width, depths, heads, hidden, _PATCH, side, channels, pooled, relative)
    ledger = WeightLedger(source, tower, [""], form.who)
    for key in state:
        if reason := next((why for start, why in form.dropped.items() if key.split(".")[0].startswith(start)), ""):
            ledger.drop([key], reason)
    for ours in ledger.wanted:
        if ours == _POSITIONS and side != grid * _PATCH:
            new = side // _PATCH
            ledger.put(ours, resize_positions(positions, (new, new), 0), ours)
            ledger.report.resized[ours] = f"grid of {grid} x {grid} -> {new} x {new} (bicubic)"
        else:
            ledger.copy(ours, ours)
    pixels = PixelSpec(channels, (form.mean,) * channels, (form.std,) * channels, side)
    notes = [
        f"{heads} heads, as {said}.",
        f"GELU and an epsilon of 1e-6, as {form.who}'s code says.",
        f"{form.pixels}, as {form.who}'s pre-training read them.",
    ]
    what = f"HiViT of width {width}, blocks {'/'.join(map(str, depths))}, {channels} channels, {grid * _PATCH} px"
    what += ", relative positions" if relative else ""
    return Foreign(ForeignEncoder(tower, pixels, form.licence, form.card, "mean"), tower, ledger.close(), what, notes)


def _stages(source: Source) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Blocks of the three stages, and the width of their feed-forward networks: merging blocks part them.

    Raises:
        ValueError: there are not two of them, or a block is missing.
    """
    found = {int(one[1]) for key in source.state if (one := re.match(r"blocks\.(\d{1,4})\.", key))}
    merges = sorted(number for number in found if f"blocks.{number}.reduction.weight" in source.state)
    if len(merges) != 2 or found != set(range(len(found))) or len(found) > _MOST:
        raise ValueError(f"{source.path} holds no HiViT of three stages: a block is missing, or a stage.")
    first, second = merges
    counts = (first, second - first - 1, len(found) - second - 1)
    widths = []
    for number in (0, first + 1, second + 1):
        key = f"blocks.{number}.mlp.fc1.weight"
        if key not in source.state:
            raise ValueError(f"{source.path} lacks {key} of its HiViT.")
        widths.append(len(source.state[key]))
    if min(counts) < 1 or counts[0] % 2 or counts[1] % 2:
        raise ValueError(f"{source.path} has stages of {counts} blocks, which no HiViT has: a block is missing.")
    return (counts[0] // 2, counts[1] // 2, counts[2]), tuple(widths)
