"""Geographic blocks and their splits: what lies together on the ground stays together, whatever scene it comes from."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

_EARTH_KM = 6371.0
_KM_PER_DEGREE = 111.195
SPLITS = ("train", "val", "test")
_AT_ONCE = 10_000
_Counts = dict[str, np.ndarray]
_Cost = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class WindowPlace:
    """What the splitter must know of a large window."""

    scene_id: str
    lon: float
    lat: float
    footprint: shapely.Geometry | None  # In longitude and latitude; None where the place is unknown.
    stratum: str  # Windows of one stratum (e.g. sensor and theme) are spread over the splits in proportion.
    group: str = ""  # Where the place is unknown: windows of one group stay together.


def block_names(places: Sequence[WindowPlace], block_km: float) -> list[str]:
    """Block of every window.

    Windows less than `block_km` apart belong to one block, also in a chain: a city seen by several scenes stays whole,
    and different blocks are at least `block_km` apart. A chain longer than twice `block_km` is cut along a grid of
    cells of `block_km`, but never between windows that overlap on the ground.
    """
    groups = _Groups(len(places))
    units = _unit_vectors(places)
    reach = 2 * math.sin(block_km / _EARTH_KM / 2)
    pairs = cKDTree(units).query_pairs(reach, output_type="ndarray")
    for start in range(0, len(pairs), _AT_ONCE):  # as Python objects all pairs of a large scene would take 50 MB
        for i, j in pairs[start : start + _AT_ONCE].tolist():
            groups.join(i, j)
    blocks = _Groups(len(places))
    for members in groups.members():
        if _extent_km([places[i] for i in members]) <= 2 * block_km:
            first = dict.fromkeys(members, members[0])
        else:
            cells: dict[tuple[int, int], int] = {}
            first = {i: cells.setdefault(_cell(places[i].lon, places[i].lat, block_km), i) for i in members}
        for i, other in first.items():
            blocks.join(i, other)
    shapes = np.array([place.footprint for place in places], object)
    for i, j in zip(*shapely.STRtree(shapes).query(shapes, predicate="intersects")):
        if i < j and blocks.find(i) != blocks.find(j) and _overlap(shapes[i], shapes[j]):
            blocks.join(i, j)
    names = [""] * len(places)
    for members in blocks.members():
        place = places[members[0]]
        for i in members:
            names[i] = f"block{place.lat:+09.4f}{place.lon:+010.4f}"
    return names


class _Groups:
    """Union-find over 0..n-1; a group is led by its first member."""

    def __init__(self, n: int):
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        i, j = sorted((self.find(i), self.find(j)))
        self._parent[j] = i

    def members(self) -> list[list[int]]:
        result: dict[int, list[int]] = {}
        for i in range(len(self._parent)):
            result.setdefault(self.find(i), []).append(i)
        return list(result.values())


def choose_block_km(places: Sequence[WindowPlace], block_km: float, smallest_km: float) -> tuple[float, list[str]]:
    """Blocks of `block_km`, halved until there are at least five where `block_km` gives a single block.

    A data set around one place still needs ground that training never sees.

    Returns:
        The size used and the block of every window.
    """
    if not places:
        return block_km, []
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
    places: Sequence[WindowPlace], blocks: Sequence[str], fractions: tuple[float, float, float], seed: int
) -> dict[str, str]:
    """Split of every block, so that all windows, and those of every stratum, are spread as `fractions` ask.

    Greedy, larger blocks first, then single moves and swaps as long as they help. With two blocks or more, train and
    test get at least one each (where their fraction is not 0).

    Args:
        places: large windows.
        blocks: block of each.
        fractions: shares of train, val and test; they add up to 1.
        seed: decides between equals.
    """
    # Squares of relative misses: one large miss costs more than several small ones, and a rare stratum counts as much
    # as a common one. Rounded, so that the order of sums cannot decide between equals.
    strata = {stratum: i for i, stratum in enumerate(sorted({place.stratum for place in places}))}
    counts: dict[str, np.ndarray] = {}
    for place, block in zip(places, blocks):
        counts.setdefault(block, np.zeros(len(strata)))[strata[place.stratum]] += 1
    total = sum(counts.values(), np.zeros(len(strata)))
    wanted = np.outer(fractions, total)
    allowed = [split for split in range(len(SPLITS)) if fractions[split] > 0]

    def cost(have: np.ndarray) -> float:
        overall = ((have - wanted).sum(axis=1) / total.sum()) ** 2
        each = ((have - wanted) / total) ** 2
        return round(float(overall.sum() + each.sum() / len(strata)), 12)

    chance = {block: hashlib.sha256(f"{seed} {block}".encode()).digest() for block in counts}
    order = sorted(counts, key=lambda block: (-counts[block].sum(), chance[block]))
    have = np.zeros_like(wanted)
    chosen: dict[str, int] = {}
    for block in order:
        options = []
        for split in allowed:
            have[split] += counts[block]
            options.append((cost(have), split))
            have[split] -= counts[block]
        chosen[block] = min(options)[1]
        have[chosen[block]] += counts[block]
    _improve(chosen, order, counts, have, cost, allowed)
    split_of = {block: SPLITS[split] for block, split in chosen.items()}
    _ensure(split_of, order, fractions)
    return split_of


def _improve(
    chosen: dict[str, int], order: list[str], counts: _Counts, have: np.ndarray, cost: _Cost, allowed: list[int]
) -> None:
    """Move single blocks, and swap pairs among the first 100, while that lowers the cost. Changes `chosen`, `have`."""
    best = cost(have)
    some = order[:100]
    pairs = [(a, b) for i, a in enumerate(some) for b in some[i + 1 :]]
    for _ in range(5):
        before = best
        for a, b in [*((block, "") for block in order), *pairs]:
            for split in [chosen[b]] if b else allowed:
                after = have.copy()
                after[chosen[a]] -= counts[a]
                after[split] += counts[a]
                if b:
                    after[chosen[b]] -= counts[b]
                    after[chosen[a]] += counts[b]
                value = cost(after)
                if value < best:
                    best = value
                    have[:] = after
                    chosen.update({a: split, b: chosen[a]} if b else {a: split})
        if best >= before:
            return


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


def _extent_km(places: Sequence[WindowPlace]) -> float:
    lats = np.array([place.lat for place in places])
    lons = np.unwrap(np.array([place.lon for place in places]), period=360)
    width = np.ptp(lons) * math.cos(math.radians(float(lats.mean())))
    return float(max(width, np.ptp(lats)) * _KM_PER_DEGREE)


def _overlap(a: shapely.Geometry, b: shapely.Geometry) -> bool:
    """Whether they share more than a border (1e-10 square degrees is about 1 square metre)."""
    return bool(shapely.area(shapely.intersection(a, b)) > 1e-10)


def _unit_vectors(places: Sequence[WindowPlace]) -> np.ndarray:
    """(N, 3) points on the unit sphere."""
    lons = np.radians([place.lon for place in places])
    lats = np.radians([place.lat for place in places])
    return np.column_stack([np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)])
