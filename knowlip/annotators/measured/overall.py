"""What a tile's targets are as a whole: how many, how long, of which type, in which pattern.

Small perceptrons on the numbers of :mod:`.statistics` give probabilities; the answers are those that are most probably
true under the tolerances of docs/measured-annotator.md. Their weights (`overall.npy`, 16-bit floats) were fitted by
`python -m benchmarks.fit_measured_overall` on simulated scenes that the cells' network was not fitted on.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knowlip.annotators.measured.evidence import Overall
from knowlip.annotators.measured.statistics import STATISTICS
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.definitions import (
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    LENGTH_TOLERANCE,
    count_holds,
)
from knowlip.language.phrases import round_length

Array = NDArray[np.float32]
COUNTS: Final = (*range(13), 13, 16, 20, 25, 32, 41, 61)
"""Smallest number of each class of counts; the last is open."""
LENGTHS: Final = tuple(float(edge) for edge in np.geomspace(11.0, 340.0, 21))
"""Edges of the classes of median lengths in metres."""
PATTERNS: Final = ("row", "cluster", "scattered")
HEADS: Final = {"count": len(COUNTS), "length": len(LENGTHS) - 1, "type": 5, "pattern": len(PATTERNS)}
"""ChatRequest -> classes."""
MEMBERS: Final = 4
"""Perceptrons that are averaged."""
HIDDEN: Final = 48
MOST: Final = 80
"""Largest number that is said."""


class _Weights(NamedTuple):
    centre: Array
    scale: Array
    members: tuple[tuple[Array, Array, Array, Array], ...]
    """(STATISTICS, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,) of each."""


def overall_of(category: str, values: Array, between: tuple[int, int] = (1, MOST)) -> tuple[float, Overall]:
    """Whether there are targets, and what they are if so.

    Args:
        category: "ship" or "aircraft".
        values: of :func:`statistics.describe`.
        between: smallest and largest number that may be said, see `locate.limits_of`.

    Returns:
        Probability that the tile holds none, and the answers given that it holds some.
    """
    # What is said of each question is what is most probably true under the judge's tolerances, not the likeliest class.
    chances = probabilities(category, values)
    none = float(chances["count"][0])
    number, number_sure = _best_number(chances["count"], between)
    length, length_sure = _best_length(chances["length"])
    limit = ELONGATED_FROM_M if category == "ship" else CROSS_FROM_M
    large = float(chances["length"] @ _above(limit))
    kinds = SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES
    kind = int(chances["type"].argmax())
    patterns = dict(zip(PATTERNS, chances["pattern"].tolist()))
    if number < 3:
        patterns.pop("row")
    pattern = max(patterns, key=lambda name: patterns[name])
    single = number == 1
    some = 1.0 - none
    return none, Overall(
        number=number,
        length_m=length,
        resolved=large >= 0.5,
        type=kinds[kind].name,
        pattern="single" if single else pattern,
        sure={
            "Count": some * number_sure,
            "Size": some * length_sure,
            "Feature": some * max(large, 1.0 - large),
            "Category": some * float(chances["type"][kind]),
            "Distribution": some * (number_sure if single else patterns[pattern]),
        },
    )


def probabilities(category: str, values: Array) -> dict[str, Array]:
    """ChatRequest of `HEADS` -> probability of each class, the average of all members."""
    weights = _weights()[category]
    x = np.clip((values - weights.centre) / weights.scale, -4.0, 4.0)
    out = {name: np.zeros(size, np.float32) for name, size in HEADS.items()}
    for first, first_bias, second, second_bias in weights.members:
        scores = np.maximum(x @ first + first_bias, 0.0) @ second + second_bias
        for name, part in zip(HEADS, np.split(scores, np.cumsum(list(HEADS.values()))[:-1])):
            powers = np.exp(part - part.max())
            out[name] += powers / powers.sum() / len(weights.members)
    return out


def _best_number(chances: Array, between: tuple[int, int]) -> tuple[int, float]:
    """The number within limits that is most probably true (exact up to three, else within a quarter)."""
    some = chances.copy()
    some[0] = 0.0
    right = _numbers() @ (some / max(1e-6, float(some.sum())))
    low, high = (min(MOST, max(1, end)) for end in between)
    best = low + int(right[low - 1 : high].argmax())
    return best, float(right[best - 1])


def _best_length(chances: Array) -> tuple[float, float]:
    """The length, as a sentence rounds it, that is most probably within 30 %."""
    candidates, right = _lengths()
    sure = right @ chances
    best = int(sure.argmax())
    return float(candidates[best]), float(sure[best])


@cache
def _numbers() -> Array:
    """(claims from 1 to MOST, classes): share of a class for which a claim is true."""
    ends = [*(start - 1 for start in COUNTS[1:]), MOST]
    table = np.zeros((MOST, len(COUNTS)), np.float32)
    for column, (start, end) in enumerate(zip(COUNTS, ends)):
        for claim in range(1, MOST + 1):
            table[claim - 1, column] = np.mean([count_holds(claim, n) for n in range(start, end + 1)])
    return table


@cache
def _lengths() -> tuple[Array, Array]:
    """Rounded lengths, and (lengths, classes) the share of a class for which each is true."""
    candidates = sorted({round_length(float(length)) for length in np.arange(12.0, 340.0, 2.0)})
    inside = [np.exp(np.linspace(np.log(low), np.log(high), 21)) for low, high in pairwise(LENGTHS)]
    right = [[float(np.mean(abs(c - part) <= LENGTH_TOLERANCE * part)) for part in inside] for c in candidates]
    return np.array(candidates, np.float32), np.array(right, np.float32)


@cache
def _above(limit: float) -> Array:
    """Share of each class of lengths that is at least `limit`."""
    low, high = np.log(LENGTHS[:-1]), np.log(LENGTHS[1:])
    return np.clip((high - np.log(limit)) / (high - low), 0.0, 1.0).astype(np.float32)


@cache
def _weights() -> dict[str, _Weights]:
    flat = np.load(Path(__file__).with_name("overall.npy"), allow_pickle=False).astype(np.float32)
    out, at = {}, 0

    def take(*shape: int) -> Array:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return flat[at - size : at].reshape(shape)

    outputs = sum(HEADS.values())
    for category in TARGET_CATEGORIES:
        centre, scale = take(STATISTICS), take(STATISTICS)
        members = tuple(
            (take(STATISTICS, HIDDEN), take(HIDDEN), take(HIDDEN, outputs), take(outputs)) for _ in range(MEMBERS)
        )
        out[category] = _Weights(centre, scale, members)
    return out
