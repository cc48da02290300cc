"""How sure one may be of answers without looking, and the best numbers without looking: what confidence and errors of
counts are held against."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np

from knowlip.language.questions import Question
from knowlip.tasks.items.records import as_read

T = TypeVar("T")
BLIND: Final = ("majority answer", "blind, by subject", "blind, by wording")
"""Names of blind answers: of the type, of its subject, of the very wording."""


def blind_shares(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, list[float]]:
    """How large a share of the training answers each answer of :func:`knowlip.tasks.answers.blind_answers` is: of the
    type, of its subject, of the very wording.

    Args:
        train: at least one question of the type.
        asked: those to answer.
    """
    return dict(zip(BLIND, by_wording(train, asked, _share)))


def blind_medians(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, list[str]]:
    """The number of smallest absolute error without an image, which is no majority: the median of the training answers
    of the type, of its subject, of the very wording.

    Args:
        train: at least one question for a number, all with numbers as answers.
        asked: those to answer.
    """
    return dict(
        zip(("median", "blind, median by subject", "blind, median by wording"), by_wording(train, asked, _median))
    )


def by_wording(
    train: Sequence[Question], asked: Sequence[Question], of: Callable[[Sequence[str]], T]
) -> tuple[list[T], list[T], list[T]]:
    """What a figure of training answers is for each question: over the type, over its subject, over the very wording;
    where training never asked so, over the wider group."""

    def over(group: Callable[[Question], str]) -> dict[str, T]:
        answers: dict[str, list[str]] = {}
        for one in train:
            answers.setdefault(group(one), []).append(one.answer)
        return {name: of(some) for name, some in answers.items()}

    always = of([one.answer for one in train])
    of_subject, of_wording = over(lambda one: one.subject), over(lambda one: as_read(one.question))
    blind = [of_subject.get(one.subject, always) for one in asked]
    by_words = [of_wording.get(as_read(one.question), found) for one, found in zip(asked, blind)]
    return [always] * len(asked), blind, by_words


def _share(answers: Sequence[str]) -> float:
    return Counter(answers).most_common(1)[0][1] / len(answers)


def _median(answers: Sequence[str]) -> str:
    return f"{float(np.median([float(answer) for answer in answers])):g}"
