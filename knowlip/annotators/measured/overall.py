"""What a tile's targets are as a whole: how many, how long, of which type, in which pattern.

Small perceptrons on the numbers of :mod:`.statistics` give probabilities; the answers are those that are most probably
true under the tolerances of docs/measured-annotator.md. Their weights (`overall.npy`, 16-bit floats) were fitted by
`python -m benchmarks.fit_measured_overall` on simulated scenes that the cells' network was not fitted on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knowlip.annotators.measured.evidence import Overall
from knowlip.annotators.measured.locate import Located, regions_of
from knowlip.annotators.measured.statistics import NUMBERS, SOME, STATISTICS, TOTAL
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.definitions import (
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    LENGTH_TOLERANCE,
    count_holds,
)
from knowlip.language.phrases import round_length

Array = NDArray[np.float32]
LENGTHS: Final = tuple(float(edge) for edge in np.geomspace(11.0, 340.0, 21))
"""Edges of the classes of median lengths in metres."""
PATTERNS: Final = ("row", "cluster", "scattered")
HEADS: Final = {"count": SOME + 1, "length": len(LENGTHS) - 1, "type": 5, "pattern": len(PATTERNS)}
"""Question -> classes; of the count 0, 1, ... and `SOME` or more."""
MEMBERS: Final = 4
"""Perceptrons that are averaged."""
HIDDEN: Final = 48
MOST: Final = 120
"""Largest number that is said."""


class Member(NamedTuple):
    """One perceptron: (STATISTICS, HIDDEN), (HIDDEN,), (HIDDEN, outputs), (outputs,), and the weight of
    `statistics.NUMBERS` among its scores of the count."""

    first: Array
    first_bias: Array
    second: Array
    second_bias: Array
    numbers: Array


class _Weights(NamedTuple):
    centre: Array
    scale: Array
    many: Array
    """Mean and deviation of log(number / expected number) from `SOME` targets on."""
    members: tuple[Member, ...]


def overall_of(category: str, values: Array, located: Sequence[Located]) -> tuple[float, Overall]:
    """Whether there are targets, and what they are if so.

    Args:
        category: "ship" or "aircraft".
        values: of :func:`statistics.describe`.
        located: the places that it was told of, at least one.

    Returns:
        Probability that the tile holds none, and the answers given that it holds some.
    """
    none, answers = answers_of(category, probabilities(category, values))
    regions, placed = regions_of(located)
    sure = {**answers.sure, "Location": (1.0 - none) * placed}
    sure = {name: calibrated(category, name, chance) for name, chance in sure.items()}
    return none, replace(answers, regions=regions, sure=sure)


def answers_of(category: str, chances: Mapping[str, Array]) -> tuple[float, Overall]:
    """As :func:`overall_of` for given probabilities of the classes, without regions and calibration."""
    # What is said of each question is what is most probably true under the judge's tolerances, not the likeliest class.
    none = float(chances["count"][0])
    number, number_sure = _best_number(chances["count"])
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
    several = 1.0 - float(chances["count"][1]) / max(1e-6, 1.0 - none)
    sure = {
        "Count": number_sure,
        "Size": length_sure,
        "Feature": max(large, 1.0 - large),
        "Category": float(chances["type"][kind]),
        "Distribution": number_sure if single else several * patterns[pattern],
    }
    return none, Overall(
        number=number,
        length_m=length,
        resolved=large >= 0.5,
        type=kinds[kind].name,
        pattern="single" if single else pattern,
        sure={name: (1.0 - none) * chance for name, chance in sure.items()},
    )


def calibrated(category: str, dimension: str, chance: float) -> float:
    """How often an answer of this probability was true on places that nothing was fitted on.

    Args:
        category: "ship" or "aircraft".
        dimension: a name in `Overall.sure`.
        chance: the probability as it was computed.
    """
    from_, to = _calibration()[category].get(dimension, ((0.0, 1.0), (0.0, 1.0)))
    return float(np.interp(chance, from_, to))


def probabilities(category: str, values: Array) -> dict[str, Array]:
    """Question of `HEADS` -> probability of each class, the average of all members; of the count one for each number
    from 0 to `MOST`."""
    weights = _weights()[category]
    x = np.clip((values - weights.centre) / weights.scale, -4.0, 4.0)
    out = {name: np.zeros(size, np.float32) for name, size in HEADS.items()}
    for member in weights.members:
        scores = np.maximum(x @ member.first + member.first_bias, 0.0) @ member.second + member.second_bias
        scores[: SOME + 1] += member.numbers * values[NUMBERS]
        for name, part in zip(HEADS, np.split(scores, np.cumsum(list(HEADS.values()))[:-1])):
            powers = np.exp(part - part.max())
            out[name] += powers / powers.sum() / len(weights.members)
    return {**out, "count": numbers_of(out["count"], float(values[TOTAL]), weights.many)}


def numbers_of(chances: Array, total: float, many: Array) -> Array:
    """(MOST + 1,) probability of each number of targets.

    Args:
        chances: (SOME + 1,) of 0, 1, ... and of `SOME` or more.
        total: logarithm of the expected number.
        many: mean and deviation of log(number / expected number) from `SOME` targets on: how the last is shared out.
    """
    numbers = np.arange(SOME, MOST + 1)
    off = (np.log(numbers) - np.clip(total + many[0], np.log(SOME), np.log(MOST))) / many[1]
    shares = np.exp(-0.5 * off**2) / numbers
    return np.concatenate([chances[:SOME], chances[SOME] * shares / shares.sum()]).astype(np.float32)


def _best_number(chances: Array) -> tuple[int, float]:
    """The number from 1 that is most probably true (exact up to three, else within a quarter)."""
    some = chances.copy()
    some[0] = 0.0
    right = _numbers() @ (some / max(1e-6, float(some.sum())))
    best = int(right.argmax())
    return best + 1, float(right[best])


def _best_length(chances: Array) -> tuple[float, float]:
    """The length, as a sentence rounds it, that is most probably within 30 %."""
    candidates, right = _lengths()
    sure = right @ chances
    best = int(sure.argmax())
    return float(candidates[best]), float(sure[best])


@cache
def _numbers() -> Array:
    """(claims from 1 to MOST, true numbers from 0): 1 where the claim is true."""
    return np.array([[count_holds(claim, n) for n in range(MOST + 1)] for claim in range(1, MOST + 1)], np.float32)


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
def _calibration() -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Category -> dimension -> rising probabilities as computed, and as measured; written by the fit."""
    text = Path(__file__).with_name("calibration.json").read_text(encoding="utf-8")
    tables: dict[str, dict[str, tuple[list[float], list[float]]]] = json.loads(text)
    return tables


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
        centre, scale, many = take(STATISTICS), take(STATISTICS), take(2)
        members = tuple(
            Member(take(STATISTICS, HIDDEN), take(HIDDEN), take(HIDDEN, outputs), take(outputs), take(1))
            for _ in range(MEMBERS)
        )
        out[category] = _Weights(centre, scale, many, members)
    return out
