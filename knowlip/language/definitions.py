"""What the words mean, in numbers: shared by the sentences that use a word and the judge that checks it."""

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

import numpy as np

from knowlip.base.vocabulary import landform_shares


class TrueObject(TypedDict):
    """A ship or aircraft of the truth."""

    category: str
    type: str
    length_m: float
    width_m: float
    heading_deg: float
    x: float
    """Centre in fractions of the tile, 0, 0 = upper left."""
    y: float
    polygon: list[list[float]]


class Land(TypedDict):
    """Land cover of a tile."""

    shares: Mapping[str, float]
    """Cover -> share of the tile."""
    grid: Sequence[Mapping[str, float]]
    """The same for each of the nine regions, row by row."""


class TileTruth(Land):
    """What is true of a tile, as truth.parquet holds it."""

    objects: list[TrueObject]
    """Targets whose centre is in the tile."""
    buildings: int
    bridges: int
    tanks: int


ELONGATED_FROM_M: Final = 50.0
"""A ship of at least this length shows a hull; a shorter one is a compact point."""
CROSS_FROM_M: Final = 32.0
"""An aircraft of at least this length shows wings; a shorter one is a compact point."""
COUNT_TOLERANCE: Final = 0.25
"""A count of more than three may be off by this share of the true number."""
LENGTH_TOLERANCE: Final = 0.30
"""A length may be off by this share of the true one."""
BUILDING_AMOUNTS: Final[dict[str, tuple[float, float]]] = {
    "none": (0.0, 0.03),
    "few": (0.03, 0.15),
    "some": (0.15, 0.40),
    "many": (0.40, 1.01),
}
"""Amount word -> range of the built-up share."""
PRESENT: Final = 0.10
"""Smallest share at which a landform counts as surroundings."""
_ROW_FLATNESS = 0.12
"""Largest ratio of the spread across to the extent along that still makes a row."""
_CLUSTER_EXTENT = 1 / 3
"""Largest extent of a cluster as a fraction of the window."""


def count_holds(claimed: int, true: int) -> bool:
    """Whether a count is true: exact up to three, else within a quarter of the true number."""
    return claimed == true if true <= 3 else abs(claimed - true) <= COUNT_TOLERANCE * true


def arrangement(points: Sequence[tuple[float, float]]) -> str:
    """Name the pattern of target centres.

    Rule: one target is "single". Three or more whose root-mean-square distance from their main line is at most 12 % of
    their extent along it form a "row". Otherwise all within a third of the window (largest distance from end to end)
    form a "cluster"; anything else is "scattered". Two targets are a cluster or scattered.

    Args:
        points: (x, y) of the centres as fractions of the window.

    Returns:
        "single", "row", "cluster" or "scattered"; "none" without targets.
    """
    if not points:
        return "none"
    if len(points) == 1:
        return "single"
    extent, flatness = spread_of(points)
    if len(points) >= 3 and flatness <= _ROW_FLATNESS:
        return "row"
    return "cluster" if extent <= _CLUSTER_EXTENT else "scattered"


def spread_of(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Extent of points along their main line, and their root-mean-square distance from it as a share of the extent."""
    if len(points) < 2:
        return 0.0, 0.0
    centred = np.asarray(points, dtype=float) - np.mean(points, axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    extent = float(np.ptp(centred @ axes[0]))
    across = centred @ axes[1]
    return extent, float(np.sqrt(np.mean(across**2))) / max(extent, 1e-9)


def building_amount(share: float) -> str:
    """The word for a built-up share, a key of `BUILDING_AMOUNTS`."""
    return next(name for name, (low, high) in BUILDING_AMOUNTS.items() if low <= share < high)


def cover_share(name: str, shares: Mapping[str, float]) -> float:
    """Share of a cover as texts name it: a land cover, a landform, "land" (all but water), "open land" (neither water
    nor built up: what coarse pixels can tell apart), or "pavement" (runway and apron)."""
    if name == "land":
        return 1.0 - shares.get("water", 0.0)
    if name == "open land":
        return max(0.0, 1.0 - shares.get("water", 0.0) - shares.get("built-up", 0.0))
    if name == "pavement":
        return shares.get("runway", 0.0) + shares.get("apron", 0.0)
    if name == "airfield":
        return landform_shares(shares)["airfield"]
    return shares.get(name, 0.0)


def holds(name: str, region: int, land: Land) -> bool:
    """Whether a region holds a cover: at least a quarter of it, or the tile's own share where that is smaller."""
    here = cover_share(name, land["grid"][region])
    return here >= max(0.02, min(0.25, cover_share(name, land["shares"])))


def regions_with(name: str, land: Land) -> list[int]:
    """The regions that hold a cover, in order."""
    return [region for region in range(9) if holds(name, region, land)]


def axial_mean(degrees: Sequence[float]) -> float:
    """Mean orientation modulo 180 degrees."""
    doubled = np.exp(2j * np.deg2rad(np.asarray(degrees)))
    return float(np.rad2deg(np.angle(doubled.mean())) / 2 % 180.0)


def axial_difference(one: float, other: float) -> float:
    """Difference of two orientations, 0 to 90 degrees."""
    return abs((one - other + 90.0) % 180.0 - 90.0)


COARSE: Final = ("water", "built-up", "open land")
"""The covers that coarse pixels tell apart; together they make up a tile."""


def layout_shares(shares: Mapping[str, float], coarse: bool = False) -> tuple[float, float, float]:
    """The three largest landform shares, as parts of all landforms together.

    Args:
        shares: land cover -> share.
        coarse: of the covers in :data:`COARSE` instead of the landforms.
    """
    of_coarse = {name: cover_share(name, shares) for name in COARSE}
    forms = sorted((of_coarse if coarse else landform_shares(shares)).values(), reverse=True)
    total = sum(forms) or 1.0
    return forms[0] / total, forms[1] / total, forms[2] / total


def side_of(one: str, other: str, land: Land, least: float = 0.0) -> str | None:
    """Where one cover lies of another, by their centres of mass: "left", "right", "above" or "below".

    Args:
        one: a cover.
        other: another.
        land: of the tile.
        least: distance of the centres, in regions, from which there is a side; None below.
    """
    (x_one, y_one), (x_other, y_other) = centre_of(one, land), centre_of(other, land)
    dx, dy = x_other - x_one, y_other - y_one
    if max(abs(dx), abs(dy)) < least:
        return None
    return ("left" if dx > 0 else "right") if abs(dx) >= abs(dy) else ("above" if dy > 0 else "below")


def layout_margins(first: float, second: float, third: float) -> dict[str, float]:
    """Layout -> by how much its condition is met, in units of how well shares are usually measured; true from 0 on.

    Args:
        first, second, third: the three largest shares of landforms.
    """
    return {
        "uniform": (first - 0.70) / 0.08,
        "two-part": min(first + second - 0.75, second - 0.15) / 0.06,
        "mosaic": (third - 0.08) / 0.04,
    }


def adjacent(one: str, other: str, land: Land) -> bool:
    """Whether some region, or two regions that touch, hold at least 10 % of each cover."""
    has_one = [region for region in range(9) if cover_share(one, land["grid"][region]) >= 0.1]
    has_other = [region for region in range(9) if cover_share(other, land["grid"][region]) >= 0.1]
    return any(abs(a // 3 - b // 3) + abs(a % 3 - b % 3) <= 1 for a in has_one for b in has_other)


def centre_of(name: str, land: Land) -> tuple[float, float]:
    """Centre of mass (x, y) of a cover on the 3 x 3 grid, in regions from the tile's centre."""
    weights = np.array([cover_share(name, cell) for cell in land["grid"]])
    total = float(weights.sum()) or 1.0
    return float(weights @ (np.arange(9) % 3 - 1)) / total, float(weights @ (np.arange(9) // 3 - 1)) / total
