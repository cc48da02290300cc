"""SARATR-X: a HiViT on three equal channels, pre-trained on SAR chips with multi-scale gradients."""

import math
import re

import torch

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard, PixelSpec
from knowlip.models.hivit import INNER, HiViT
from knowlip.models.meta import without_memory
from knowlip.models.patch import resize_positions
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.source import Source

USAGE = "saratr_x:FILE"
LICENCE = "CC BY-NC 4.0"
CARD = EncoderCard(
    (
        *("MSTAR", "SARSim", "SAMPLE", "SIVED", "SAR-Ship", "AIR-SARShip", "HRSID", "SSDD", "SADD", "SAR-AIRcraft"),
        "other public SAR sets",
    ),
    note="SARATR-X's pre-training saw the images of SSDD, HRSID and SAR-AIRcraft, parts for testing not excepted.",
)
_PATCH, _MOST = 16, 200
_HEADS = {384: 6, 512: 8, 768: 12}
_DROPPED = {
    "decoder_": "decoder of the former training",
    "mask_token": "stands for masked patches in the former training",
    "sarfeature": "gradient features of the former training",
    "norm": "norm of all stages side by side, before the decoder of the former training",
    "head": "head of the former task",
}
_POSITIONS = "absolute_pos_embed"


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `saratr_x:FILE`: the official checkpoint of a pre-training or of a fine-tuning.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("saratr_x", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The HiViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    state = source.state
    for needed in (_POSITIONS, "patch_embed.proj.weight", "patch_embed.norm.weight"):
        if needed not in state:
            raise ValueError(f"{source.path} holds no SARATR-X: it has no {needed}.")
    if any("relative_position" in key for key in state):
        raise ValueError(f"{source.path} has relative positions, which SARATR-X's HiViT has not: it is another HiViT.")
    # Shapes alone do not tell patches of 16 px in cells of 4 from others: SARATR-X has published no others.
    kernel, positions = state["patch_embed.proj.weight"], state[_POSITIONS]
    grid = math.isqrt(positions.shape[1]) if positions.ndim == 3 else 0
    if kernel.ndim != 4 or kernel.shape[-1] * INNER != _PATCH or grid < 1 or grid**2 != positions.shape[1]:
        raise ValueError(
            f"{source.path} has cells of {tuple(kernel.shape)} and positions {tuple(positions.shape)}: SARATR-X has "
            f"4 x 4 of them in {_PATCH} px and a square of patches."
        )
    width, channels = positions.shape[-1], kernel.shape[1]
    depths, hidden = _stages(source)
    heads = settings.integer("heads") or _HEADS.get(width)
    if heads is None or width % heads:
        raise ValueError(f"{source.path} does not say how many heads a HiViT of width {width} has: give heads=NUMBER.")
    who = "heads= says" if "heads" in settings.given else f"every published HiViT of width {width} has (heads=)"
    side = size or grid * _PATCH
    if side % _PATCH:
        raise ValueError(f"A side of {side} px is no multiple of the patches' {_PATCH} px.")
    pooled = "fc_norm.weight" in state
    with without_memory():
        tower = HiViT(width, depths, heads, hidden, _PATCH, side, channels, pooled)
    ledger = WeightLedger(source, tower, [""], "SARATR-X")
    for key in state:
        if reason := next((why for start, why in _DROPPED.items() if key.split(".")[0].startswith(start)), ""):
            ledger.drop([key], reason)
    for ours in ledger.wanted:
        if ours == _POSITIONS and side != grid * _PATCH:
            new = side // _PATCH
            ledger.put(ours, resize_positions(positions, (new, new), 0), ours)
            ledger.report.resized[ours] = f"grid of {grid} x {grid} -> {new} x {new} (bicubic)"
        else:
            ledger.copy(ours, ours)
    pixels = PixelSpec(channels, (0.0,) * channels, (1.0,) * channels, side)
    said = [
        f"{heads} heads, as {who}.",
        "GELU and an epsilon of 1e-6, as SARATR-X's code says.",
        "Pixels in 0..1 as they are, as SARATR-X's pre-training read them.",
    ]
    what = f"HiViT of width {width}, blocks {'/'.join(map(str, depths))}, {channels} channels, {grid * _PATCH} px"
    return Foreign(ForeignEncoder(tower, pixels, LICENCE, CARD, "mean"), tower, ledger.close(), what, said)


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
