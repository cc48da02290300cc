"""What the answers about the windows of a scene say about the scene, where the question allows it."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NotRequired, TypedDict

import numpy as np

from knowlip.inference.calibration import TotalFacts
from knowlip.inference.replies import ModelReply
from knowlip.language.asked import ReadQuestion
from knowlip.language.questions import QuestionType

_LEAST: Final = 0.1
"""Share of the ground from which on a landform is one of the scene's."""
_EACH: Final = (QuestionType.POSITION, QuestionType.REGIONAL_LANDFORM)
"""Kinds whose answers are places within a window."""


class SceneAnswer(TypedDict):
    """What is said of a whole scene."""

    answer: str
    """ "" where there is none for a whole scene."""
    how: str
    """How it came about, a sentence."""
    interval: NotRequired[list[int]]
    """Of a number: holds the true one in a share `level` of scenes, as measured on whole simulated scenes; left out
    where nobody measured it."""
    level: NotRequired[float]
    expected: NotRequired[float]
    """Of a number: the mean of what the windows hold possible."""
    shares: NotRequired[dict[str, float]]
    """Answer -> share of the ground of the windows with it."""


def scene_answer(
    read: ReadQuestion, replies: Sequence[ModelReply], shares: np.ndarray, totals: TotalFacts | None = None
) -> SceneAnswer | None:
    """The answer for a whole scene; None where its windows have none.

    It has no confidence: windows of a scene err together, and nobody measured how sure all of them are.

    Args:
        read: what was asked.
        replies: of the windows.
        shares: (N,) of the ground of each window that no other one counts.
        totals: how far numbers of whole scenes are off; None where nobody measured it.
    """
    if read.type == QuestionType.COUNT:
        return _total(replies, shares, totals)
    given = [(reply, float(share)) for reply, share in zip(replies, shares) if reply.refusal is None]
    if not given:
        return None
    if read.type in _EACH:
        return {"answer": "", "how": "Each window has a place of its own: see the windows."}
    if read.type == QuestionType.ALL_LANDFORMS:
        return _landforms(given, len(replies) - len(given))
    counted: Counter[str] = Counter()
    for reply, share in given:
        counted[reply.answer] += share  # type: ignore[assignment]
    ground = sum(counted.values())
    best = max(counted, key=lambda name: counted[name])
    named, silent = f"{counted[best] / ground:.0%} of the ground", _silent(len(replies) - len(given))
    found: SceneAnswer = {
        "answer": best,
        "how": f"The answer of {named} that {len(given)} windows answer for{silent}.",
        "shares": {name: round(value / ground, 4) for name, value in counted.most_common(20)},
    }
    return found


def _total(replies: Sequence[ModelReply], shares: np.ndarray, totals: TotalFacts | None) -> SceneAnswer | None:
    """The sum of numbers, and between what the true one lies."""
    # Windows at the far edges repeat ground: of their targets each is new with the share of new ground. The sum of
    # what is likeliest is the answer, also where a window is not sure of its number.
    total, expected = 0.0, 0.0
    known, left, unsure = 0, 0, 0
    for reply, share in zip(replies, shares):
        best = max(reply.spread.items(), key=lambda one: one[1])[0] if reply.spread else reply.answer
        if not best.isdigit():
            left += 1
            continue
        known += 1
        unsure += reply.refusal is not None
        total += int(best) * float(share)
        expected += float(share) * sum(int(name) * chance for name, chance in (reply.spread or {best: 1.0}).items())
    if not known:
        return None
    answer = round(total)
    more = f"; {left} have no number and are not in it" if left else ""
    more += f"; {unsure} are not sure of theirs" if unsure else ""
    more += "" if totals else "; how far such sums are off was not measured"
    found: SceneAnswer = {
        "answer": str(answer),
        "how": f"The sum over {known} windows{more}. What lies on a border may count twice.",
    }
    if any(reply.spread for reply in replies):
        found["expected"] = round(expected, 2)
    if totals is not None:
        low, high = interval_of(answer, totals.spread)
        found |= {"interval": [low, high], "level": totals.level}
    return found


def interval_of(number: float, spread: float) -> tuple[int, int]:
    """Numbers whose square root is no farther from that of a number than a distance: the errors of a sum grow with it
    about as the square root does."""
    low, high = max(0.0, math.sqrt(number) - spread), math.sqrt(number) + spread
    return math.ceil(low**2 - 1e-9), math.floor(high**2 + 1e-9)


def _silent(count: int) -> str:
    return f"; {count} are refused and not in it" if count else ""


def _landforms(given: Sequence[tuple[ModelReply, float]], refused: int) -> SceneAnswer:
    """Landforms that windows of a tenth of the ground and more name."""
    named: Counter[str] = Counter()
    for reply, share in given:
        for name in reply.answer.split(", "):
            named[name] += share  # type: ignore[assignment]
    ground = sum(share for _, share in given)
    chosen = [name for name, value in named.most_common() if value >= _LEAST * ground]
    return {
        "answer": ", ".join(chosen),
        "how": f"What windows of {_LEAST:.0%} of the ground or more name, the most frequent first{_silent(refused)}.",
        "shares": {name: round(value / ground, 4) for name, value in named.most_common(20)},
    }
