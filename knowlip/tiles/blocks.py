"""Geographic blocks and their splits: what lies together on the ground stays together, whatever scene it comes from."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

_KM_PER_DEGREE = 111.195
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Place:
    """What the splitter must know of a large window."""

    scene_id: str
    lon: float
    lat: float
    footprint: shapely.Geometry
    """In longitude and latitude."""
    stratum: str
    """Windows of one stratum (e.g. sensor and theme) are spread over the splits in proportion."""


def block_names(places: Sequence[Place], block_km: float) -> list[str]:
    """Block of every window.

    The earth is laid out in cells of `block_km`. Cells are joined into one block where windows of both overlap, and
    where a scene smaller than a cell lies across their border.
    """
    cells = [_cell(place.lon, place.lat, block_km) for place in places]
    parent = {cell: cell for cell in cells}

    def find(cell: tuple[int, int]) -> tuple[int, int]:
        while parent[cell] != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    def join(a: tuple[int, int], b: tuple[int, int]) -> None:
        a, b = sorted((find(a), find(b)))
        parent[b] = a

    shapes = np.array([place.footprint for place in places], object)
    tree = shapely.STRtree(shapes)
    for i, j in zip(*tree.query(shapes, predicate="intersects")):
        if i < j and find(cells[i]) != find(cells[j]) and _overlap(shapes[i], shapes[j]):
            join(cells[i], cells[j])
    by_scene: dict[str, list[int]] = {}
    for i, place in enumerate(places):
        by_scene.setdefault(place.scene_id, []).append(i)
    for members in by_scene.values():
        if _extent_km([places[i] for i in members]) < block_km:
            for i in members[1:]:
                join(cells[members[0]], cells[i])
    return ["block{:+06d}{:+06d}".format(*find(cell)) for cell in cells]


def choose_block_km(places: Sequence[Place], block_km: float, smallest_km: float) -> tuple[float, list[str]]:
    """Blocks of `block_km`, halved until there are at least five where `block_km` gives a single block.

    A data set around one place still needs ground that training never sees.

    Returns:
        The size used and the block of every window.
    """
    names = block_names(places, block_km)
    if len(set(names)) >= 2:
        return block_km, names
    size = block_km
    best = block_km, names
    while size / 2 >= smallest_km and len(set(best[1])) < 5:
        size /= 2
        best = size, block_names(places, size)
    return best if len(set(best[1])) >= 2 else (block_km, names)


def assign_splits(
    places: Sequence[Place], blocks: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> dict[str, str]:
    """Split of every block: greedily, larger blocks first, so that every stratum is spread as `fractions` ask.

    With two blocks or more, train and test get at least one each (where their fraction is not 0).

    Args:
        places: large windows.
        blocks: block of each.
        fractions: shares of train, val and test; they add up to 1.
        seed: decides between equals.
    """
    strata = sorted({place.stratum for place in places})
    column = {stratum: i for i, stratum in enumerate(strata)}
    counts: dict[str, np.ndarray] = {}
    for place, block in zip(places, blocks):
        counts.setdefault(block, np.zeros(len(strata)))[column[place.stratum]] += 1
    total = sum(counts.values(), np.zeros(len(strata)))
    wanted = np.outer(fractions, total)
    order = sorted(
        counts, key=lambda block: (-counts[block].sum(), hashlib.sha256(f"{seed} {block}".encode()).digest())
    )
    have = np.zeros_like(wanted)
    split_of: dict[str, str] = {}
    for block in order:
        costs = []
        for split in range(len(SPLITS)):
            after = have.copy()
            after[split] += counts[block]
            excess = np.maximum(after - wanted, 0) / total
            missing = np.maximum(wanted - after, 0) / total
            costs.append((excess**2).sum() + (missing**2).sum() if fractions[split] > 0 else math.inf)
        split = int(np.argmin(np.round(costs, 12)))
        have[split] += counts[block]
        split_of[block] = SPLITS[split]
    _ensure(split_of, order, fractions)
    return split_of


def _ensure(split_of: dict[str, str], order: list[str], fractions: tuple[float, float, float]) -> None:
    """Give train and test a block each: the smallest block of the split that has most."""
    for split, other in (("train", "test"), ("test", "train")):
        if fractions[SPLITS.index(split)] <= 0 or split in split_of.values():
            continue
        for donor in ("val", other):
            givers = [block for block in order if split_of[block] == donor]
            if len(givers) > (1 if donor == other else 0):
                split_of[givers[-1]] = split
                break


def _cell(lon: float, lat: float, block_km: float) -> tuple[int, int]:
    """Row of a band of latitude, and column counted in cells that are `block_km` wide at the middle of the band."""
    height = block_km / _KM_PER_DEGREE
    row = math.floor(lat / height)
    middle = min(abs((row + 0.5) * height), 89.0)
    around = max(1, round(360 * math.cos(math.radians(middle)) / height))
    return row, math.floor((lon % 360) / 360 * around) % around


def _extent_km(places: Sequence[Place]) -> float:
    lats = np.array([place.lat for place in places])
    lons = np.unwrap(np.array([place.lon for place in places]), period=360)
    width = np.ptp(lons) * math.cos(math.radians(float(lats.mean())))
    return float(max(width, np.ptp(lats)) * _KM_PER_DEGREE)


def _overlap(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    """Whether they share more than a border (1e-10 square degrees is about 1 square metre)."""
    return bool(shapely.area(shapely.intersection(a, b)) > 1e-10)
