"""What :mod:`benchmarks.ask_evidence` fits for each kind of question by subject: temperature, blind share, coarsest
pixels, and the probability of none from which on there is none."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import t as student_t

from benchmarks.ask_scores import COARSE, Candidates, Put
from knowlip.base.statistics import wilson
from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.inference.calibration import softmax
from knowlip.language.questions import QuestionType, answers_of

_TEMPERATURES: Final = np.geomspace(0.25, 8.0, 81)
_FEWEST: Final = 20
"""Questions below which nothing is fitted."""


def fitted(puts: Sequence[Put], candidates: Candidates) -> dict[str, Any]:
    """What `answers.json` says of kinds, from the places that fit."""
    kinds: dict[str, dict[str, Any]] = defaultdict(dict)
    groups: dict[tuple[QuestionType, str], list[Put]] = defaultdict(list)
    for put in puts:
        groups[put.group].append(put)
    for (kind, subject), some in sorted(groups.items()):
        names = candidates[kind]
        native = [put for put in some if put.native and put.counts]
        if len(native) < _FEWEST:
            continue
        best = temperature(native, names)
        floor = blind_share(native)
        kinds[str(kind)][subject] = {
            "temperature": round(best, 4),
            "floor": round(floor, 4),
            "least": 0.0 if kind == QuestionType.COUNT else round(floor, 4),
            "coarsest_m": coarsest(some, names, floor),
            "candidates": list(names) if answers_of(kind) is None else [],
            "n": len(native),
        }
    return dict(kinds)


def temperature(puts: Sequence[Put], names: Sequence[str]) -> float:
    """Under which the confidence of the likeliest answer has the smallest squared error (Brier score); 1 unless such a
    temperature of all cities but one makes that of the one smaller, by more than chance over cities."""
    # Not the likelihood of the right answers: on numbers it is ruled by the few that the model holds impossible, and
    # moves the confidence of all others away from how often they are right.
    hit = np.array([names[int(put.scores.argmax())] == put.answer for put in puts], float)
    sure = np.array([[softmax(put.scores, one).max() for put in puts] for one in _TEMPERATURES])
    losses = (sure - hit) ** 2
    plain = int(np.argmin(np.abs(_TEMPERATURES - 1.0)))
    city = np.array([put.city for put in puts])
    gains = []
    for one in np.unique(city):
        if (city != one).any():
            best = int(losses[:, city != one].sum(1).argmin())
            gains.append(float((losses[plain] - losses[best])[city == one].mean()))
    if len(gains) < 3:
        return 1.0
    spread = float(np.std(gains, ddof=1)) / np.sqrt(len(gains)) * float(student_t.ppf(0.975, len(gains) - 1))
    return float(_TEMPERATURES[int(losses.sum(1).argmin())]) if np.mean(gains) > spread else 1.0


def blind_share(puts: Sequence[Put]) -> float:
    """Share of the most frequent answer; of numbers with none as frequent as the most frequent other one."""
    counted = Counter(put.answer for put in puts)
    if puts[0].kind == QuestionType.COUNT:
        most = max((number for answer, number in counted.items() if answer != "0"), default=1)
        counted["0"] = min(counted["0"], most)
    return max(counted.values()) / sum(counted.values())


def coarsest(puts: Sequence[Put], names: Sequence[str], floor: float) -> float | None:
    """The largest pixels before the first on which answers are clearly no righter than without looking (by the upper
    end of their interval), half way to those; None where no size is so bad. Numbers are held against tiles that hold
    targets, and against the most frequent number there."""
    by_size: dict[float, list[bool]] = defaultdict(list)
    there: Counter[str] = Counter()
    for put in puts:
        if put.kind != QuestionType.COUNT or put.answer != "0":
            by_size[put.metres].append(names[int(put.scores.argmax())] == put.answer)
            there[put.answer] += put.native
    if puts[0].kind == QuestionType.COUNT:
        floor = max(there.values(), default=0) / max(1, sum(there.values()))
    for at, metres in enumerate(COARSE):
        hits = by_size.get(metres, [])
        if len(hits) >= _FEWEST and wilson(sum(hits), len(hits))[1] <= floor:
            return (metres + COARSE[at - 1]) / 2 if at else 0.0
    return None


def absent_limits(puts: Sequence[Put], kinds: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Category -> probability of none from which on there is none: where tiles with and without targets are told apart
    best (largest sum of both shares)."""
    found = {}
    for category in TARGET_CATEGORIES:
        facts = kinds["count"].get(category)
        mine = [put for put in puts if put.group == (QuestionType.COUNT, category) and put.native]
        if facts is None or not mine:
            continue
        none = np.array([softmax(put.scores, facts["temperature"])[names.index("0")] for put in mine])
        empty = np.array([put.answer == "0" for put in mine])
        limits = np.linspace(0.05, 0.99, 95)
        gains = [(none[empty] > one).mean() + (none[~empty] <= one).mean() for one in limits]
        found[category] = round(float(limits[int(np.argmax(gains))]), 3)
    return found
