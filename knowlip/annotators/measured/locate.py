"""Targets from the network's densities and the CFAR detector's blobs: how many, where, their size and type."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.cover import Cover
from knowlip.annotators.measured.evidence import Target
from knowlip.annotators.measured.targets import Blob, type_by_size
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES

Array = NDArray[np.float32]
_MOST: Final = 120
"""Targets looked for at most."""
KINDS: Final = {
    "ship": (0, slice(0, len(SHIP_TYPES)), SHIP_TYPES),
    "aircraft": (1, slice(len(SHIP_TYPES), None), AIRCRAFT_TYPES),
}
"""Category -> channel of `Cover.rates`, part of `Cover.types`, table."""


def expected(cover: Cover, category: str) -> float:
    """Expected number of targets of a category in the tile."""
    return float(cover.rates[..., KINDS[category][0]].sum())


_SUPPORT: Final = 0.3
"""Density under a blob from which it is taken for a target."""
_OPEN: Final = 0.95
"""Share of water from which the scene is open water."""
_CLEAR: Final = 10.0
"""Contrast (of at most 12) of a blob that leaves no doubt."""
_SPREAD: Final = 0.4
"""Density of a target reaches so far from its middle, in its lengths."""
_ALIKE: Final = 2.0
"""Largest ratio between a blob's length and the length that the network expects there."""


def limits_of(cover: Cover, category: str, blobs: Sequence[Blob]) -> tuple[int, int]:
    """Smallest and largest number of targets that the blobs allow.

    On open water the blobs are the ships. Elsewhere there are at most twice as many ships as blobs, and one: what was
    fitted on simulated pixels expects too many along real quays.
    """
    if category != "ship":
        return 1, _MOST
    if blobs and float(cover.posterior["water"].mean()) >= _OPEN:
        return len(blobs), len(blobs)
    return 1, 2 * len(blobs) + 1


def number_of(cover: Cover, category: str, blobs: Sequence[Blob]) -> int:
    """How many targets the detectors by themselves make likely, at least 1.

    A weighted geometric mean of the expected number and the number of blobs, within `limits_of`; blobs that leave no
    doubt count in any case.
    """
    low, high = limits_of(cover, category, blobs)
    if low == high:
        return low
    clear = sum(blob.contrast >= _CLEAR and blob.on_ground >= 0.95 for blob in blobs)
    likely = min(expected(cover, category), float(high) if category == "ship" else np.inf)
    return max(1, clear, round(likely**0.4 * max(float(len(blobs)), 0.7) ** 0.6))


def targets_of(cover: Cover, category: str, blobs: Sequence[Blob], window_m: float, number: int) -> list[Target]:
    """Blobs that stand where targets are expected; then the densest places without one; then what blobs are left.

    Args:
        cover: what the network sees.
        category: "ship" or "aircraft".
        blobs: of the CFAR detector, on the ground that this category stands on.
        window_m: side of the tile in metres.
        number: how many to find, at least 1; fewer where there is no trace of more.
    """
    # A blob uses up the density beneath it, so that the densest places that are left are targets without a blob.
    reach = reach_of(cover, category, window_m)
    rates = cover.rates.copy()
    layer = rates[..., KINDS[category][0]]
    areas = [_under(blob, layer.shape, window_m) for blob in blobs]
    order = sorted(range(len(blobs)), key=lambda at: -float(layer[areas[at]].sum()))
    found: list[Target] = []
    left: list[int] = []
    for at in order:
        support = float(layer[areas[at]].sum())
        target = _of_blob(blobs[at], cover, category, np.where(areas[at], layer, 0.0), support)
        if len(found) < number and support >= _SUPPORT and target is not None:
            found.append(target)
            layer[areas[at]] *= 1.0 - min(1.0, support) / support
        else:
            left.append(at)
    rest = locate(replace(cover, rates=rates), category, number - len(found), reach)
    found += [target for target in rest if target.certainty >= _SUPPORT]
    for at in sorted(left, key=lambda at: -blobs[at].contrast)[: number - len(found)]:
        blob = blobs[at]
        name = type_by_size(blob.length_m, blob.width_m, category)[0]
        found.append(
            Target(category, blob.x, blob.y, blob.length_m, blob.width_m, blob.heading_deg, name, certainty=0.4)
        )
    return found or locate(cover, category, 1, reach)


def _under(blob: Blob, shape: tuple[int, ...], window_m: float) -> NDArray[np.bool_]:
    """Cells under a blob's box, grown by a cell."""
    rows, cols = shape
    cell = window_m / max(rows, cols)
    y, x = np.mgrid[:rows, :cols]
    angle = np.deg2rad(blob.heading_deg)
    east, south = (x + 0.5 - blob.x * cols) * cell, (y + 0.5 - blob.y * rows) * cell
    along, across = east * np.sin(angle) - south * np.cos(angle), east * np.cos(angle) + south * np.sin(angle)
    return np.asarray((abs(along) <= blob.length_m / 2 + cell) & (abs(across) <= blob.width_m / 2 + cell))


def _of_blob(blob: Blob, cover: Cover, category: str, density: Array, support: float) -> Target | None:
    """A target with the blob's place and the mean of both sizes; None where they are too different."""
    row, col = np.unravel_index(int(density.argmax()), density.shape)
    size = cover.sizes[row, col]
    length, width = float(50.0 * np.exp(size[0])), float(20.0 * np.exp(size[1]))
    if not 1 / _ALIKE <= blob.length_m / length <= _ALIKE:
        return None
    slender = blob.length_m >= 1.5 * blob.width_m
    heading = blob.heading_deg if slender else float(np.rad2deg(np.arctan2(size[3], size[2])) / 2 % 180.0)
    length, width = (length * blob.length_m) ** 0.5, (width * blob.width_m) ** 0.5
    name = _type(cover, category, int(row), int(col), length, width)
    return Target(category, blob.x, blob.y, length, width, heading, name, min(1.0, support))


def _type(cover: Cover, category: str, row: int, col: int, length_m: float, width_m: float) -> str:
    """A ship's type as the network sees it (freight and fuel ships share lengths), an aircraft's by its size."""
    if category == "aircraft":
        return type_by_size(length_m, width_m, category)[0]
    _, kinds, table = KINDS[category]
    return table[int(cover.types[row, col][kinds].argmax())].name


def locate(cover: Cover, category: str, number: int, reach: int = 1) -> list[Target]:
    """The `number` likeliest targets: each takes one target's worth of density around the densest place that is left.

    Args:
        cover: what the network sees.
        category: "ship" or "aircraft".
        number: how many, at most 120.
        reach: cells around the middle of a target over which its density is spread, see :func:`reach_of`.
    """
    # Density is spread over a target's length: what a window gathers is one target, and is taken away before the next.
    channel, side = KINDS[category][0], 2 * reach + 1
    rows, cols = cover.codes.shape
    rates = np.pad(cover.rates[..., channel].astype(float), reach)
    found = []
    for _ in range(min(number, _MOST)):
        sums = ndimage.uniform_filter(rates, side, mode="constant")[reach : reach + rows, reach : reach + cols]
        row, col = np.unravel_index(int(sums.argmax()), sums.shape)
        near = rates[row : row + side, col : col + side]
        total = float(near.sum())
        if total <= 1e-6:
            break
        share, step = near / total, np.arange(-reach, reach + 1)
        y = float((share.sum(axis=1) * step).sum()) + row + 0.5
        x = float((share.sum(axis=0) * step).sum()) + col + 0.5
        top, left = np.unravel_index(int(near.argmax()), near.shape)
        cell = (min(rows - 1, max(0, int(row + top) - reach)), min(cols - 1, max(0, int(col + left) - reach)))
        size = np.clip(cover.sizes[cell], -2.5, 2.5)
        length, width = float(50.0 * np.exp(size[0])), float(20.0 * np.exp(size[1]))
        taken = min(1.0, total)
        near -= taken * share
        heading = float(np.rad2deg(np.arctan2(size[3], size[2])) / 2 % 180.0)
        place = min(1.0, max(0.0, x / cols)), min(1.0, max(0.0, y / rows))
        kind = _type(cover, category, *cell, length, width)
        found.append(Target(category, *place, length, width, heading, kind, certainty=taken))
    return found


def reach_of(cover: Cover, category: str, window_m: float) -> int:
    """Cells over which the density of one target is spread: a share of the expected length, 1 to 5."""
    rates = cover.rates[..., KINDS[category][0]]
    total = float(rates.sum())
    if total <= 1e-6:
        return 1
    length = 50.0 * np.exp(float((rates * np.clip(cover.sizes[..., 0], -2.5, 2.5)).sum()) / total)
    return int(np.clip(round(_SPREAD * length * max(rates.shape) / window_m), 1, 5))
