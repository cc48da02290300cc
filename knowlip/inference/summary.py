"""What the answers about the windows of a scene say about the scene, where the question allows it."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NotRequired, TypedDict

import numpy as np

from knowlip.inference.replies import ModelReply
from knowlip.language.asked import ReadQuestion
from knowlip.language.questions import QuestionType

_DRAWS: Final = 2000
_LEAST: Final = 0.1
"""Share of the ground from which on a landform is one of the scene's."""
_EACH: Final = (QuestionType.POSITION, QuestionType.REGIONAL_LANDFORM)
"""Kinds whose answers are places within a window."""


class SceneAnswer(TypedDict):
    """What is said of a whole scene."""

    answer: str
    """ "" where there is none for a whole scene."""
    confidence: float | None
    """Of the answer, as if windows erred independently of each other; None where nothing is calibrated."""
    how: str
    """How it came about, a sentence."""
    interval: NotRequired[list[int]]
    """Of a number: 95 %, were the errors of windows independent, which they are not: on simulated scenes it held the
    truth in 4 of 10 (docs/evidence.md)."""
    expected: NotRequired[float]
    """Of a number: the mean of what the windows hold possible."""
    shares: NotRequired[dict[str, float]]
    """Answer -> share of the ground of the windows with it."""


def scene_answer(read: ReadQuestion, replies: Sequence[ModelReply], shares: np.ndarray) -> SceneAnswer | None:
    """The answer for a whole scene; None where its windows have none.

    Args:
        read: what was asked.
        replies: of the windows.
        shares: (N,) of the ground of each window that no other one counts.
    """
    if read.type == QuestionType.COUNT:
        return _total(replies, shares)
    given = [(reply, float(share)) for reply, share in zip(replies, shares) if reply.refusal is None]
    if not given:
        return None
    if read.type in _EACH:
        return {"answer": "", "confidence": None, "how": "Each window has a place of its own: see the windows."}
    if read.type == QuestionType.ALL_LANDFORMS:
        return _landforms(given)
    counted: Counter[str] = Counter()
    for reply, share in given:
        counted[reply.answer] += share  # type: ignore[assignment]
    ground = sum(counted.values())
    best = max(counted, key=lambda name: counted[name])
    found: SceneAnswer = {
        "answer": best,
        "confidence": _plurality(given, best),
        "how": f"The answer of {counted[best] / ground:.0%} of the ground that {len(given)} windows answer for.",
        "shares": {name: round(value / ground, 4) for name, value in counted.most_common(20)},
    }
    return found


def _total(replies: Sequence[ModelReply], shares: np.ndarray) -> SceneAnswer | None:
    """The sum of numbers, its interval and its probability."""
    # Windows at the far edges repeat ground: of their targets each is new with the share of new ground. The sum of
    # what is likeliest is the answer, also where a window is not sure of its number; what else they hold possible is
    # the interval.
    total, spread = 0.0, np.ones(1)
    known, left, unsure = 0, 0, 0
    for reply, share in zip(replies, shares):
        best = max(reply.spread.items(), key=lambda one: one[1])[0] if reply.spread else reply.answer
        if not best.isdigit():
            left += 1
            continue
        known += 1
        unsure += reply.refusal is not None
        total += int(best) * float(share)
        if reply.spread and spread.size:
            spread = np.convolve(spread, _thinned(_numbers(reply.spread), float(share)))
        else:
            spread = np.zeros(0)
    if not known:
        return None
    answer = round(total)
    more = f"; {left} have no number and are not in it" if left else ""
    more += f"; {unsure} are not sure of theirs" if unsure else ""
    found: SceneAnswer = {
        "answer": str(answer),
        "confidence": None,
        "how": f"The sum over {known} windows{more}. What lies on a border may count twice.",
    }
    if spread.size:
        below = np.cumsum(spread)
        found["confidence"] = round(float(spread[answer]), 4) if answer < spread.size else 0.0
        found["interval"] = [int(np.searchsorted(below, end)) for end in (0.025, 0.975)]
        found["expected"] = round(float(np.arange(spread.size) @ spread), 2)
    return found


def _numbers(spread: object) -> np.ndarray:
    """Probability (K,) of the numbers from 0 on."""
    assert isinstance(spread, dict)
    found = np.zeros(max(map(int, spread)) + 1)
    for name, share in spread.items():
        found[int(name)] = share
    return found


def _thinned(shares: np.ndarray, kept: float) -> np.ndarray:
    """Distribution of a number of things of which each is kept with a probability."""
    if kept >= 1:
        return shares
    found = np.zeros_like(shares)
    for number, share in enumerate(shares):
        for some in range(number + 1):
            found[some] += share * math.comb(number, some) * kept**some * (1 - kept) ** (number - some)
    return found


def _landforms(given: Sequence[tuple[ModelReply, float]]) -> SceneAnswer:
    """Landforms that windows of a tenth of the ground and more name."""
    named: Counter[str] = Counter()
    for reply, share in given:
        for name in reply.answer.split(", "):
            named[name] += share  # type: ignore[assignment]
    ground = sum(share for _, share in given)
    chosen = [name for name, value in named.most_common() if value >= _LEAST * ground]
    return {
        "answer": ", ".join(chosen),
        "confidence": None,
        "how": f"What windows of {_LEAST:.0%} of the ground or more name, the most frequent first.",
        "shares": {name: round(value / ground, 4) for name, value in named.most_common(20)},
    }


def _plurality(given: Sequence[tuple[ModelReply, float]], best: str) -> float | None:
    """Probability that an answer holds for more ground than any other, by drawing from what windows hold possible."""
    if any(reply.spread is None for reply, _ in given):
        return None
    rng = np.random.default_rng(0)
    names = sorted({name for reply, _ in given for name in reply.spread or ()})
    place = {name: number for number, name in enumerate(names)}
    ground = np.zeros((_DRAWS, len(names)))
    for reply, share in given:
        chances = np.zeros(len(names))
        for name, value in (reply.spread or {}).items():
            chances[place[name]] = value
        drawn = rng.choice(len(names), _DRAWS, p=chances / chances.sum())
        ground[np.arange(_DRAWS), drawn] += share
    return round(float((ground.argmax(1) == place[best]).mean()), 4)
