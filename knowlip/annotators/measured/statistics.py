"""Numbers on the targets of a tile as a whole: what `overall.py` decides count, length, type and pattern on."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.cover import Cover
from knowlip.annotators.measured.kinds import distances
from knowlip.annotators.measured.locate import KINDS, Located, expected
from knowlip.language.definitions import spread_of

Array = NDArray[np.float32]
STATISTICS: Final = 84
"""Numbers of a tile."""
TOTAL: Final = 0
"""Which of them is the logarithm of the expected number of targets that were located."""
SOME: Final = 7
"""Numbers of targets below this are told apart one by one."""
NUMBERS: Final = slice(1, 2 + SOME)
"""Which of them are logarithms of the probabilities of 0, 1, ... and of `SOME` or more located targets."""
_COVERS: Final = ("water", "quay", "built-up", "apron", "runway", "grass", "bridge")
_LENGTHS: Final = (18.0, 30.0, 50.0, 100.0, 180.0)
"""Limits between classes of lengths in metres."""
_MASSES: Final = (0.15, 0.3, 0.5, 0.7, 0.9)


def describe(cover: Cover, category: str, located: Sequence[Located]) -> Array:
    """All numbers of a tile, (STATISTICS,).

    Args:
        cover: what the network sees.
        category: "ship" or "aircraft".
        located: of `locate.locate`, at least one.
    """
    scale = float(np.log2(cover.metres_per_pixel))
    window = float(np.log2(max(cover.height_m, cover.width_m))) - 8.0
    covers = [float(cover.posterior[name].mean()) for name in _COVERS]
    other = expected(cover, "aircraft" if category == "ship" else "ship")
    certain = np.array([place.target.certainty for place in located])
    amounts = [np.log(certain.sum() + 0.05), *np.log(_of_some(certain) + 1e-4)]
    parts = [
        amounts,
        [scale, window, np.log(other + 0.05)],
        covers,
        _density(cover, category),
        _sizes(located, category),
    ]
    parts += [_amounts(certain), _patterns(located), _edges(located, cover)]
    return np.nan_to_num(np.concatenate([np.asarray(part, np.float32) for part in parts]), posinf=20.0, neginf=-20.0)


def _density(cover: Cover, category: str) -> list[float]:
    """How much there is, how peaked at each scale, how near the edge, how spread."""
    rates = cover.rates[..., KINDS[category][0]].astype(np.float64)
    rows, cols = rates.shape
    total = float(rates.sum())
    sums = ndimage.uniform_filter(rates, 3, mode="constant") * 9.0
    tops = rates >= ndimage.maximum_filter(rates, 3)
    peaks = [float((tops & (sums > mass)).sum()) for mass in (0.1, 0.2, 0.4, 0.7)]
    concentrated = [float((rates * rates).sum()) / (total + 1e-9), float((rates * sums).sum()) / (total + 1e-9)]
    w = rates / (total + 1e-9)
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(cols) + 0.5) / cols
    down, across = w.sum(axis=1), w.sum(axis=0)
    cy, cx = float(down @ y), float(across @ x)
    yy, xx = float(down @ (y - cy) ** 2), float(across @ (x - cx) ** 2)
    xy = float((y - cy) @ w @ (x - cx))
    half, root = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    long, short = np.sqrt(max(half + root, 0.0)), np.sqrt(max(half - root, 0.0))
    rest = 1.0 - float(rates[2:-2, 2:-2].sum()) / (total + 1e-9)
    return [np.log(total + 0.05), np.sqrt(total), *np.log1p(peaks), *concentrated, float(long), float(short), rest]


def _sizes(located: Sequence[Located], category: str) -> list[float]:
    """Lengths, widths and types, each place by its certainty."""
    certain = np.array([place.target.certainty for place in located])
    w = certain / certain.sum()
    lengths = np.log([place.target.length_m / 50.0 for place in located])
    widths = np.log([place.target.width_m / 20.0 for place in located])
    order = np.argsort(lengths, kind="stable")
    at = np.searchsorted(np.cumsum(w[order]), (0.2, 0.35, 0.5, 0.65, 0.8))
    quantiles = lengths[order][np.minimum(at, len(order) - 1)].tolist()
    spread = float(np.sqrt(w @ (lengths - w @ lengths) ** 2))
    classes = np.bincount(np.searchsorted(_LENGTHS, 50.0 * np.exp(lengths)), certain, len(_LENGTHS) + 1)
    types = np.stack([place.types for place in located])
    mean = w @ types
    votes = np.bincount(types.argmax(axis=1), w, types.shape[1])
    median_width = float(widths[order][min(int(at[2]), len(order) - 1)])
    far = distances(50.0 * float(np.exp(quantiles[2])), 20.0 * float(np.exp(median_width)), category)
    sizes = [*quantiles, spread, median_width, float(w @ widths)]
    return [*sizes, *np.log1p(classes), *mean, *votes, *(min(value, 2.0) for value in far)]


def _of_some(certain: NDArray[np.float64]) -> NDArray[np.float64]:
    """(SOME + 1,) probability of 0, 1, ... and of `SOME` or more targets, where each place holds one by itself."""
    chances = np.zeros(SOME + 1)
    chances[0] = 1.0
    for chance in certain:
        more = chances * chance
        chances -= more
        chances[1:] += more[:-1]
        chances[-1] += more[-1]
    return chances


def _amounts(certain: NDArray[np.float64]) -> list[float]:
    """How many places there are, and how sure each is."""
    certain = np.sort(certain)[::-1]
    above = [float((certain >= mass).sum()) for mass in _MASSES]
    best = np.pad(certain[:8], (0, max(0, 8 - len(certain))))
    total, doubt = float(certain.sum()), float((certain * (1 - certain)).sum())
    return [*np.log1p(above), *best, np.sqrt(doubt), total - round(total) if total < 8 else 0.0]


def _patterns(located: Sequence[Located]) -> list[float]:
    """Pattern of the likeliest places, for as many as are expected and for the sure ones."""
    places = sorted(located, key=lambda place: -place.target.certainty)
    points = [(place.target.x, place.target.y) for place in places]
    number = max(1, round(sum(place.target.certainty for place in places)))
    sure = max(1, sum(place.target.certainty >= 0.5 for place in places))
    out: list[float] = []
    for count in (number, sure):
        extent, flatness = spread_of(points[:count])
        out += [extent, flatness, float(count >= 3 and flatness <= 0.12), float(extent <= 1 / 3)]
    return out


def _edges(located: Sequence[Located], cover: Cover) -> list[float]:
    """Expected number of targets whose middle is nearer to the edge than a quarter, and a half, of their length."""
    near = [0.0, 0.0]
    for place in located:
        target = place.target
        x, y = min(target.x, 1 - target.x) * cover.width_m, min(target.y, 1 - target.y) * cover.height_m
        for number, share in enumerate((0.25, 0.5)):
            near[number] += target.certainty * (min(x, y) < share * target.length_m)
    return list(np.log1p(near))
