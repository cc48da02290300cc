"""How sure one may be of answers without looking, and the best numbers without looking: what confidence and errors of
counts are held against."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from knowlip.language.questions import Question


def blind_shares(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, list[float]]:
    """How large a share of the training answers each answer of :func:`knowlip.tasks.answers.blind_answers` is: of the
    type, of its subject, of the very wording.

    Args:
        train: at least one question of the type.
        asked: those to answer.
    """
    (always,) = _shares([("", q.answer) for q in train]).values()
    by_subject = _shares([(q.subject, q.answer) for q in train])
    by_wording = _shares([(q.question, q.answer) for q in train])
    blind = [by_subject.get(q.subject, always) for q in asked]
    return {
        "majority answer": [always] * len(asked),
        "blind, by subject": blind,
        "blind, by wording": [by_wording.get(q.question, share) for q, share in zip(asked, blind)],
    }


def blind_medians(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, list[str]]:
    """The number of smallest absolute error without an image, which is no majority: the median of the training answers
    of the type, of its subject, of the very wording.

    Args:
        train: at least one question for a number, all with numbers as answers.
        asked: those to answer.
    """
    always = _medians([("", q.answer) for q in train])[""]
    by_subject = _medians([(q.subject, q.answer) for q in train])
    by_wording = _medians([(q.question, q.answer) for q in train])
    blind = [by_subject.get(q.subject, always) for q in asked]
    return {
        "median": [always] * len(asked),
        "blind, median by subject": blind,
        "blind, median by wording": [by_wording.get(q.question, number) for q, number in zip(asked, blind)],
    }


def _shares(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    counts: dict[str, Counter[str]] = {}
    for group, answer in pairs:
        counts.setdefault(group, Counter())[answer] += 1
    return {group: max(count.values()) / count.total() for group, count in counts.items()}


def _medians(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    numbers: dict[str, list[float]] = {}
    for group, answer in pairs:
        numbers.setdefault(group, []).append(float(answer))
    return {group: f"{float(np.median(values)):g}" for group, values in numbers.items()}
