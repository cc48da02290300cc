"""Geographic blocks and their splits: what lies together on the ground stays together, whatever scene it comes from."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from knowlip.tiles.linkage import chains, overlaps

_EARTH_KM = 6371.0
_KM_PER_DEGREE = 111.195
SPLITS = ("train", "val", "test")
_Counts = dict[str, np.ndarray]
_Cost = Callable[[np.ndarray], float]


@dataclass(frozen=True, slots=True)
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
    if not places:
        return []
    lons, lats = np.array([(place.lon, place.lat) for place in places]).T
    reach = 2 * math.sin(min(block_km / _EARTH_KM / 2, math.pi / 2))
    labels = chains(_unit_vectors(lons, lats), reach)
    cells, cut = _cells(lons, lats, block_km), np.zeros(len(places), bool)
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(labels))[:-1]):
        cut[members] = _extent_km(lons[members], lats[members]) > 2 * block_km
    _, labels = np.unique(np.column_stack([labels, np.where(cut, cells, -1)]), axis=0, return_inverse=True)
    labels = overlaps(np.array([place.footprint for place in places], object), labels.ravel())
    _, first, block = np.unique(labels, return_index=True, return_inverse=True)
    names = [f"block{lat:+09.4f}{lon:+010.4f}" for lon, lat in zip(lons[first], lats[first])]
    return [names[number] for number in block.ravel().tolist()]


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


def _cells(lons: np.ndarray, lats: np.ndarray, block_km: float) -> np.ndarray:
    """(N,) number of the cell of each place: row of a band of latitude, and column counted in cells that are `block_km`
    wide at the middle of the band."""
    height = block_km / _KM_PER_DEGREE
    rows, row = np.unique(np.floor(lats / height), return_inverse=True)
    middles = np.minimum(np.abs((rows + 0.5) * height), 89.0).tolist()
    around = np.array([max(1, round(360 * math.cos(math.radians(middle)) / height)) for middle in middles])[row.ravel()]
    columns = np.floor((lons % 360) / 360 * around).astype(np.int64) % around
    return np.asarray(row.ravel() * (int(around.max()) + 1) + columns)


def _extent_km(lons: np.ndarray, lats: np.ndarray) -> float:
    width = np.ptp(np.unwrap(lons, period=360)) * math.cos(math.radians(float(lats.mean())))
    return float(max(width, np.ptp(lats)) * _KM_PER_DEGREE)


def _unit_vectors(lons: np.ndarray, lats: np.ndarray) -> np.ndarray:
    """(N, 3) points on the unit sphere."""
    lons, lats = np.radians(lons), np.radians(lats)
    return np.column_stack([np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)])
