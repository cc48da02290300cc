"""Targets from the network's densities: where, how large, which type; and the regions that most of them lie in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.cover import Cover
from knowlip.annotators.measured.evidence import Target
from knowlip.annotators.measured.kinds import distances
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES

Array = NDArray[np.float32]
_DRAWS: Final = 200
"""Outcomes drawn to tell how probably a set of regions is right."""
_MOST: Final = 120
"""Targets looked for at most."""
KINDS: Final = {
    "ship": (0, slice(0, len(SHIP_TYPES)), SHIP_TYPES),
    "aircraft": (1, slice(len(SHIP_TYPES), None), AIRCRAFT_TYPES),
}
"""Category -> channel of `Cover.rates`, part of `Cover.types`, table."""
_TRACE: Final = 0.06
"""Density from which a place is looked at."""
_ALONG: Final = 0.5
"""Share of its length, to either side of its middle, within which no other target can have its own middle."""
_ACROSS, _SLACK = 0.5, 0.08
"""The same of its width, and how much more, in lengths, because sizes are not known exactly."""
_FARTHEST: Final = 36
"""The same in cells, at most."""
_POINTED: Final = 0.5
"""Length of the vector of twice the heading from which the network knows it."""
_SIZE_WEIGHT: Final = 1.5
"""How much a size outside a type's range counts against what the network says of the type."""


@dataclass(frozen=True)
class Located:
    """A place where a target may be."""

    target: Target
    """`certainty` is the expected number of targets there, at most 1."""
    regions: Array
    """(9,) share of its density in each region of the 3 x 3 grid."""
    types: Array
    """(5,) probability of each type of its category."""


def expected(cover: Cover, category: str) -> float:
    """Expected number of targets of a category in the tile."""
    return float(cover.rates[..., KINDS[category][0]].sum())


def locate(cover: Cover, category: str) -> list[Located]:
    """The places of targets, densest first.

    Each takes all density within its own outline, where no second target can be, and up to one target's worth of the
    3 x 3 cells around its middle.

    Args:
        cover: what the network sees.
        category: "ship" or "aircraft".
    """
    # Sums of 3 x 3 cells, whose peaks are the middles, are kept up to date around what was taken only.
    pad = _FARTHEST + 2
    rows, cols = cover.rates.shape[:2]
    rates = np.pad(cover.rates[..., KINDS[category][0]].astype(np.float64), pad)
    sums = ndimage.uniform_filter(rates, 3, mode="constant") * 9.0
    found = []
    for _ in range(_MOST):
        peak = np.unravel_index(int(sums.argmax()), sums.shape)
        if sums[peak] < _TRACE:
            break
        row, col = (int(np.clip(at, pad, pad + side - 1)) for at, side in zip(peak, (rows, cols)))
        outline = _outline(cover.sizes[row - pad, col - pad], cover.cell_m)
        reach = len(outline) // 2
        near = rates[row - reach : row + reach + 1, col - reach : col + reach + 1]
        taken = np.where(outline, near, 0.0)
        middle = (slice(reach - 1, reach + 2),) * 2
        spare, wanted = near[middle] - taken[middle], max(0.0, 1.0 - float(taken.sum()))
        taken[middle] += spare * min(1.0, wanted / max(1e-9, float(spare.sum())))
        total = float(taken.sum())
        found.append(_located(cover, category, taken / total, (row - reach - pad, col - reach - pad), total))
        near -= taken
        top, left = row - reach - 1, col - reach - 1
        side = 2 * reach + 3
        outer = rates[top - 1 : top + side + 1, left - 1 : left + side + 1]
        fresh = ndimage.uniform_filter(outer, 3, mode="constant") * 9.0
        sums[top : top + side, left : left + side] = fresh[1:-1, 1:-1]
    return found


def _outline(size: Array, cell_m: float) -> NDArray[np.bool_]:
    """(2 r + 1, 2 r + 1) cells around a target's middle that lie within its hull: its middle at least."""
    length, width = float(50.0 * np.exp(size[0])), float(20.0 * np.exp(size[1]))
    along, across = _ALONG * length / cell_m, (_ACROSS * min(width, 0.5 * length) + _SLACK * length) / cell_m
    reach = int(np.clip(np.ceil(along), 1, _FARTHEST))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    if float(np.hypot(size[2], size[3])) < _POINTED:  # the heading is not known
        inside = np.hypot(x, y) <= across
    else:
        angle = np.arctan2(size[3], size[2]) / 2
        inside = abs(x * np.sin(angle) - y * np.cos(angle)) <= along
        inside &= abs(x * np.cos(angle) + y * np.sin(angle)) <= across
    inside[reach, reach] = True
    return np.asarray(inside)


def _located(cover: Cover, category: str, share: NDArray[np.float64], corner: tuple[int, int], total: float) -> Located:
    """The target under a window of density, `share` of which lies in each cell."""
    _, kinds, table = KINDS[category]
    rows, cols = cover.rates.shape[:2]
    y, x = np.mgrid[: len(share), : len(share)]
    y, x = np.clip(y + corner[0], 0, rows - 1), np.clip(x + corner[1], 0, cols - 1)
    at_y, at_x = (float((share * (part + 0.5)).sum()) for part in (y, x))
    middle = np.where(share >= 0.5 * share.max(), share, 0.0)
    middle /= middle.sum()
    size = (middle[..., None] * cover.sizes[y, x]).sum(axis=(0, 1))
    types = (middle[..., None] * cover.types[y, x][..., kinds]).sum(axis=(0, 1))
    length, width = float(50.0 * np.exp(size[0])), float(20.0 * np.exp(size[1]))
    types = types * np.exp(-_SIZE_WEIGHT * np.array(distances(length, width, category)))
    types = (types / types.sum()).astype(np.float32)
    heading = float(np.rad2deg(np.arctan2(size[3], size[2])) / 2 % 180.0)
    place = min(1.0, max(0.0, at_x / cols)), min(1.0, max(0.0, at_y / rows))
    name = table[int(types.argmax())].name
    target = Target(category, *place, length, width, heading, name, certainty=min(1.0, total))
    region = np.minimum(2, y * 3 // rows) * 3 + np.minimum(2, x * 3 // cols)
    return Located(target, np.bincount(region.ravel(), share.ravel(), 9).astype(np.float32), types)


def regions_of(located: Sequence[Located]) -> tuple[tuple[int, ...], float]:
    """The regions in which most of the targets most probably lie, and the probability that this is true.

    True means: more than half of the targets lie in them, and at least half of them hold one.

    Args:
        located: at least one.

    Returns:
        Regions of the 3 x 3 grid, most targets first.
    """
    # The rule's truth depends on how many targets there are in each region: it is asked of drawn outcomes, in which
    # each place holds a target as often as its certainty says. Outcomes without any target teach nothing.
    rng = np.random.default_rng(0)
    certain = np.array([place.target.certainty for place in located])
    edges = np.cumsum([place.regions for place in located], axis=1)
    there = rng.random((_DRAWS, len(located))) < certain
    where = (rng.random((_DRAWS, len(located), 1)) > edges[None, :, :8]).sum(axis=2)
    counts = np.stack([((where == region) & there).sum(axis=1) for region in range(9)], axis=1)
    counts = counts[counts.sum(axis=1) > 0]
    order = np.argsort(-counts.mean(axis=0) if len(counts) else -edges[0], kind="stable")
    if not len(counts):
        return (int(order[0]),), 0.0
    # Among the five likeliest regions all sets, beyond them the likeliest ones.
    sets = [chosen for size in (1, 2, 3, 4, 5) for chosen in combinations(range(5), size)]
    sets += [tuple(range(size)) for size in range(6, 10)]
    table = np.zeros((len(sets), 9), np.float64)
    for number, chosen in enumerate(sets):
        table[number, order[list(chosen)]] = 1.0
    inside, held = counts @ table.T, (counts > 0) @ table.T
    right = ((2 * inside > counts.sum(axis=1)[:, None]) & (2 * held >= table.sum(axis=1))).mean(axis=0)
    best = int(right.argmax())
    return tuple(int(region) for region in order[list(sets[best])]), float(right[best])
