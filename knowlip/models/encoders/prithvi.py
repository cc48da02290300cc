"""Prithvi v1 and v2: a MAE on six optical bands and several dates; here every band is given the same grey tile."""

import math

import torch
from torch import Tensor

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings, open_file
from knowlip.models.encoders.plain import VIT_HEADS
from knowlip.models.encoders.protocol import Encoder, EncoderCard, PixelSpec
from knowlip.models.weights.heads import said_heads
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.shape import KERNEL, POSITIONS, Named, build_vit, fill_vit, vit_shape
from knowlip.models.weights.source import Source

USAGE = "prithvi:FILE"
LICENCE = "Apache-2.0"
_GREY = 0.45, 0.25
"""Mean and deviation of 8-bit SAR tiles, as in :class:`knowlip.models.config.VisionConfig`."""
CARD = EncoderCard(
    ("HLS (Harmonized Landsat and Sentinel-2)",),
    note="Prithvi reads reflectances of six optical bands (blue, green, red and three infrared), each standardised: "
    "here the grey tile, standardised by mean 0.45 and deviation 0.25, stands for each of them, on one date.",
)
_SIDE = 224
_DROPPED = {
    "decoder_": "MAE's decoder",
    "mask_token": "stands for masked patches in the former training",
    "temporal_embed": "of dates, of which there is none here",
    "location_embed": "of coordinates, which are not given here",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `prithvi:FILE`, version 1 (flat) or 2 (under `encoder.`).

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("prithvi", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The encoder for one date and one grey channel; see :data:`knowlip.models.encoders.foreign.Read`."""
    prefix = "encoder." if f"encoder.{KERNEL}" in source.state else ""
    kernel = source.state.get(prefix + KERNEL)
    if kernel is None or kernel.ndim != 5 or kernel.shape[2] != 1:
        raise ValueError(f"{source.path} holds no Prithvi: it has no {KERNEL} of several bands and one date a step.")
    named = Named()
    for key in source.state:
        name = key.removeprefix(prefix)
        if not key.startswith(prefix) and key.startswith("decoder."):
            named.drop(key, "MAE's decoder")
        elif reason := next((why for start, why in _DROPPED.items() if name.startswith(start)), ""):
            named.drop(key, reason)
        elif name != POSITIONS:
            named.parts[name] = (key,)
    width, bands, patch = kernel.shape[0], kernel.shape[1], kernel.shape[-1]
    if width % 16:
        raise ValueError(f"{source.path} has a Prithvi of width {width}, which is no multiple of 16.")
    side = size or _SIDE
    if side % patch:
        raise ValueError(f"A side of {side} px is no multiple of the patches' {patch} px.")
    # The same grey value in every band is the sum of the bands' kernels, exactly.
    named.made[KERNEL] = kernel[:, :, 0].double().sum(1, keepdim=True).float()
    named.folded[KERNEL] = f"{bands} bands -> 1 grey channel that stands for each; one date"
    grid = side // patch
    named.made[POSITIONS], named.parts[POSITIONS] = positions(width, grid), (prefix + POSITIONS,)
    named.folded[POSITIONS] = "computed for one date: sines and cosines, as Prithvi's code does"
    said = said_heads(source, "vision")
    asked = settings.integer("heads")
    if said is not None and asked not in (None, said.number):
        raise ValueError(f"{source.path} has {said.number} heads, {said.who}, not {asked}: leave out heads.")
    heads = (said.number if said else asked) or VIT_HEADS.get(width)
    if heads is None:
        raise ValueError(f"{source.path} does not say how many heads its ViT of width {width} has: give heads=NUMBER.")
    who = said.who if said else "as heads= says" if asked else f"as every published Prithvi of width {width} has"
    needs = ("cls_token", "pos_embed", "norm", "patch_bias", "qkv_bias")
    shape = vit_shape(source.path, source.state, named, heads, "gelu", 1e-6, needs=needs)
    tower = build_vit(shape)
    ledger = WeightLedger(source, tower, [""], "Prithvi 2" if prefix else "Prithvi 1")
    fill_vit(ledger, named, shape)
    pixels = PixelSpec(1, (_GREY[0],), (_GREY[1],), side)
    notes = [
        f"{heads} heads, {who}.",
        "GELU and an epsilon of 1e-6, as Prithvi's code says.",
        f"{bands} bands of reflectance are read as one grey channel, standardised by {_GREY[0]} and {_GREY[1]}.",
        f"{side} px; positions of {grid} x {grid} patches on one date are computed as Prithvi's code does.",
    ]
    return Foreign(ForeignEncoder(tower, pixels, LICENCE, CARD), tower, ledger.close(), shape.describe(), notes)


def positions(width: int, grid: int) -> Tensor:
    """Prithvi's sines and cosines for one date (1, 1 + N, D): columns, rows and date take 6/16, 6/16 and 4/16 of D."""
    place = width // 16 * 6
    columns = torch.arange(grid, dtype=torch.double).repeat(grid)
    rows = torch.arange(grid, dtype=torch.double).repeat_interleave(grid)
    parts = [_waves(columns, place), _waves(rows, place), _waves(torch.zeros(grid * grid), width - 2 * place)]
    found = torch.cat([torch.zeros(1, width, dtype=torch.double), torch.cat(parts, 1)])
    return found[None].float()


def _waves(places: Tensor, width: int) -> Tensor:
    steps = torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=torch.double) / (width / 2))
    turns = places.double()[:, None] * steps
    return torch.cat([turns.sin(), turns.cos()], 1)
