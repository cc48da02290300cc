"""Six types of questions with closed answers, made from tile truth or, without it, from the annotator's claims.

| type | asks | answers |
|---|---|---|
| `count` | how many ships, or aircraft | "0" to "20" |
| `recognition` | the type of (most of) the targets | names in `SHIP_TYPES`, `AIRCRAFT_TYPES` |
| `position` | the region that holds most targets | names in `REGIONS` |
| `main_landform` | the landform with the largest share | names in `LANDFORMS` |
| `all_landforms` | every landform with at least 10 % | names joined by ", " in the order of `LANDFORMS` |
| `regional_landform` | the main landform of one named region | names in `LANDFORMS` |

A question is asked only where its answer is clear: no tie between regions, one type in the majority, a landform at
least five points of share ahead of the next. Questions depend on the seed and the tile alone, so any subset of tiles
gives the same questions; only the cap on "0" counts looks at all tiles.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

import pandas as pd

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.definitions import TileTruth
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.phrases import plural
from knowlip.language.tile_facts import Facts, facts_from_truth, facts_of_texts
from knowlip.language.turning import may_turn


class QuestionType(StrEnum):
    """What a question asks, see the table above."""

    COUNT = "count"
    RECOGNITION = "recognition"
    POSITION = "position"
    MAIN_LANDFORM = "main_landform"
    ALL_LANDFORMS = "all_landforms"
    REGIONAL_LANDFORM = "regional_landform"


QUESTION_TYPES: Final = tuple(QuestionType)
OF_TARGETS: Final = (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION)
"""Questions about ships and aircraft."""
MAX_COUNT: Final = 20
"""Tiles with more targets get no `count` question."""
TEMPLATES: Final[dict[QuestionType, tuple[str, ...]]] = {
    QuestionType.COUNT: (
        "How many {plural} are visible?",
        "What is the number of {plural} in this image?",
        "Count the {plural} in the scene.",
        "How many {plural} does the radar image show?",
    ),
    QuestionType.RECOGNITION: (
        "What type of {singular} is most common here?",
        "Which {singular} type do most of the targets belong to?",
        "What kind of {plural} does the image show?",
        "Identify the type of the {plural}.",
    ),
    QuestionType.POSITION: (
        "In which region are most of the {plural}?",
        "Where in the image do the {plural} lie?",
        "Which of the nine regions holds the most {plural}?",
        "What is the position of the {plural}?",
    ),
    QuestionType.MAIN_LANDFORM: (
        "What is the main landform?",
        "Which landform covers most of the image?",
        "What covers the largest part of this area?",
        "Name the dominant land cover.",
    ),
    QuestionType.ALL_LANDFORMS: (
        "Which landforms are present?",
        "List all landforms in the image.",
        "What landforms does this area consist of?",
        "Name every landform that can be seen.",
    ),
    QuestionType.REGIONAL_LANDFORM: (
        "What is the landform in the {region} region?",
        "What covers the {region} part of the image?",
        "Which landform dominates the {region} area?",
        "Name the main land cover at the {region}.",
    ),
}
NUMBERED: Final[dict[QuestionType, tuple[str, ...]]] = {
    QuestionType.POSITION: (
        "In which numbered region are most of the {plural}?",
        "What is the region number of the {plural}?",
        "Give the number of the region with the most {plural}.",
        "Which region of the 3 x 3 grid, by its number, holds the {plural}?",
    ),
    QuestionType.REGIONAL_LANDFORM: (
        "What is the landform in {region}?",
        "What covers {region} of the image?",
        "Which landform dominates {region}?",
        "Name the main land cover of {region}.",
    ),
}
"""Wordings in which regions are numbers, "region 1" to "region 9" row by row, as the paper has them. None of them names
a direction, so that the numbers are all that turns with the pixels."""


@dataclass(frozen=True)
class Question:
    """One question about one tile."""

    tile_id: str
    type: QuestionType
    question: str
    answer: str
    subject: str = ""
    """What the wording gives away: "ship" or "aircraft", a region's name, or ""."""
    source: str = "truth"
    """"truth", or "annotator" where the answer is what the annotator claims and may be wrong."""


@dataclass(frozen=True)
class Askable:
    """What may be asked about a tile, in any of the wordings of its type."""

    tile_id: str
    type: QuestionType
    answer: str
    subject: str = ""
    """As in :class:`Question`."""
    rate: float = 1.0
    """How often it is asked when a tile is asked one question of each type."""
    numbered: bool = False
    """Whether its regions are numbers, see `NUMBERED`."""

    @property
    def wordings(self) -> tuple[str, ...]:
        """The question in all its wordings."""
        return _wordings(self.type, self.subject, self.numbered)

    def by_number(self) -> "Askable | None":
        """The same with the number of the region in place of its name; None where it has none."""
        if self.type is QuestionType.POSITION:
            return replace(self, answer=numbered_region(self.answer), numbered=True)
        if self.type is QuestionType.REGIONAL_LANDFORM:
            return replace(self, subject=numbered_region(self.subject), numbered=True)
        return None


class Posed(NamedTuple):
    """A question as it is put, and its answer."""

    question: str
    answer: str

    def turned(self, turn: Turn, sure: bool | None = None) -> "Posed | None":
        """The same about the turned tile: directions in both turn with the pixels; None where one is not understood.

        Args:
            turn: of the pixels.
            sure: whether whatever names a place does so in our words, see :mod:`knowlip.language.turning`; found out
                where it is not given.
        """
        if turn == Turn():
            return self
        if not (may_turn(*self) if sure is None else sure):
            return None
        question, answer = turn_words(self.question, turn), turn_words(self.answer, turn)
        return None if question is None or answer is None else Posed(question, answer)


def answers_of(question_type: str) -> tuple[str, ...] | None:
    """Every possible answer of a type; None for `all_landforms`, whose combinations are taken from training answers."""
    match question_type:
        case QuestionType.COUNT:
            return tuple(str(n) for n in range(MAX_COUNT + 1))
        case QuestionType.RECOGNITION:
            return tuple(t.name for t in (*SHIP_TYPES, *AIRCRAFT_TYPES))
        case QuestionType.POSITION:
            return REGIONS
        case QuestionType.MAIN_LANDFORM | QuestionType.REGIONAL_LANDFORM:
            return LANDFORMS
        case QuestionType.ALL_LANDFORMS:
            return None
    raise ValueError(f"There is no question type {question_type!r}; the types are {', '.join(QUESTION_TYPES)}.")


def numbered_region(name: str) -> str:
    """A region's name in `REGIONS` -> "region 1" to "region 9"."""
    return f"region {REGIONS.index(name) + 1}"


@lru_cache(maxsize=1024)
def _wordings(kind: QuestionType, subject: str, numbered: bool = False) -> tuple[str, ...]:
    """Every wording of a type of question about a subject."""
    named = {"singular": subject, "plural": plural(subject), "region": subject}
    return tuple(wording.format(**named) for wording in (NUMBERED if numbered else TEMPLATES)[kind])


def _leading(facts: Facts) -> list[str]:
    """The categories with most targets; of an empty tile those that could be there."""
    if not facts.counts:
        return list(TARGET_CATEGORIES)
    most = max(facts.counts.values())
    leaders = [name for name, number in facts.counts.items() if number == most]
    if most == 0 and {*facts.counts} == {*TARGET_CATEGORIES} and facts.landforms is not None:
        # An empty tile is asked about the target that could be there.
        found = "aircraft" if "airfield" in facts.landforms else "ship" if "water" in facts.landforms else ""
        leaders = [found] if found else leaders
    return leaders


def tile_questions(tile_id: str, facts: Facts, seed: int = 0, source: str = "truth") -> list[Question]:
    """At most one question of each type about one tile, in the order of `QUESTION_TYPES`."""
    # One stream of chance a tile, and always the same number of draws before each question: what is asked depends on
    # the seed and the tile alone.
    chance = random.Random(hashlib.sha256(f"{seed}/{tile_id}".encode()).digest())
    questions = []

    def ask(kind: QuestionType, answer: str, subject: str = "") -> None:
        wording = chance.choice(_wordings(kind, subject))
        questions.append(Question(tile_id, kind, wording, answer, subject, source))

    category = chance.choice(TARGET_CATEGORIES)
    leaders = _leading(facts)
    category = category if category in leaders else leaders[0]
    if facts.counts and max(facts.counts.values()) <= MAX_COUNT:
        ask(QuestionType.COUNT, str(max(facts.counts.values())), category)
    if facts.types and category in facts.types:
        ask(QuestionType.RECOGNITION, facts.types[category], category)
    if facts.regions and category in facts.regions:
        ask(QuestionType.POSITION, REGIONS[facts.regions[category]], category)
    if facts.main:
        ask(QuestionType.MAIN_LANDFORM, facts.main)
    if facts.landforms:
        ask(QuestionType.ALL_LANDFORMS, ", ".join(facts.landforms))
    known = [number for number, name in enumerate(facts.grid or ()) if name]
    if known and facts.grid:
        number = chance.choice(known)
        ask(QuestionType.REGIONAL_LANDFORM, str(facts.grid[number]), REGIONS[number])
    return questions


def askables(facts: Mapping[str, Facts]) -> list[Askable]:
    """All that may be asked about many tiles (tile_id -> facts), sorted by tile: of every category that is there and of
    every clear region. "0" counts are as frequent as the most frequent other count, by their `rate`."""
    found = [one for tile_id in sorted(facts) for one in tile_askables(tile_id, facts[tile_id])]
    positive: Counter[str] = Counter()
    zeros = 0.0
    for one in found:
        if one.type is QuestionType.COUNT and one.answer == "0":
            zeros += one.rate
        elif one.type is QuestionType.COUNT:
            positive[one.answer] += 1
    kept = min(1.0, max(positive.values(), default=0) / zeros) if zeros else 1.0
    thinned = [
        replace(one, rate=one.rate * kept) if one.type is QuestionType.COUNT and one.answer == "0" else one
        for one in found
    ]
    return [one for one in thinned if one.rate > 0]


def tile_askables(tile_id: str, facts: Facts) -> Iterator[Askable]:
    """All that any seed may ask of a tile, and targets that are fewer than others."""
    counts, leaders = facts.counts or {}, _leading(facts)
    for category in dict.fromkeys((*TARGET_CATEGORIES, *counts, *(facts.types or {}))):
        number = counts.get(category)
        if number is not None and 0 < number <= MAX_COUNT:
            yield Askable(tile_id, QuestionType.COUNT, str(number), category)
        elif number == 0 and not any(counts.values()) and category in leaders:
            yield Askable(tile_id, QuestionType.COUNT, "0", category, 1 / len(leaders))
        if facts.types and category in facts.types:
            yield Askable(tile_id, QuestionType.RECOGNITION, facts.types[category], category)
        if facts.regions and category in facts.regions:
            yield Askable(tile_id, QuestionType.POSITION, REGIONS[facts.regions[category]], category)
    if facts.main:
        yield Askable(tile_id, QuestionType.MAIN_LANDFORM, facts.main)
    if facts.landforms:
        yield Askable(tile_id, QuestionType.ALL_LANDFORMS, ", ".join(facts.landforms))
    known = [(name, landform) for name, landform in zip(REGIONS, facts.grid or ()) if landform]
    for name, landform in known:
        yield Askable(tile_id, QuestionType.REGIONAL_LANDFORM, landform, name, 1 / len(known))


def questions_from_facts(facts: Mapping[str, Facts], seed: int = 0, source: str = "truth") -> list[Question]:
    """Questions about many tiles (tile_id -> facts), sorted by tile; "0" counts are thinned out.

    Most tiles hold no target. At most as many "0" questions are kept as the most frequent other count has, so that
    always answering "0" is no better than always answering that count.
    """
    questions = [q for tile_id in sorted(facts) for q in tile_questions(tile_id, facts[tile_id], seed, source)]
    positive = Counter(q.answer for q in questions if q.type is QuestionType.COUNT and q.answer != "0")
    cap = max(positive.values(), default=0)
    zeros = [q for q in questions if q.type is QuestionType.COUNT and q.answer == "0"]
    zeros.sort(key=lambda q: hashlib.sha256(f"{seed}/zero/{q.tile_id}".encode()).digest())
    dropped = {q.tile_id for q in zeros[cap:]}
    return [q for q in questions if not (q.type is QuestionType.COUNT and q.tile_id in dropped)]


def make_questions(truths: Mapping[str, TileTruth], seed: int = 0) -> list[Question]:
    """Questions from truth.

    Args:
        truths: tile_id -> truth of the tile, as `Dataset.truth()` gives it.
        seed: choice of wordings and of the region asked about. Another seed gives other wordings of the same tiles.
    """
    return questions_from_facts({tile_id: facts_from_truth(truth) for tile_id, truth in truths.items()}, seed)


def questions_from_texts(texts: pd.DataFrame, seed: int = 0) -> list[Question]:
    """The same types from the annotator's own claims, for data without truth; `source` is "annotator".

    A model scored on these is compared with the annotator, which errs itself: the share of equal answers is an
    agreement, not an accuracy.

    Args:
        texts: columns tile_id, instruction_set, dimension, text, as `Dataset.texts()` gives them.
        seed: as for :func:`make_questions`.
    """
    return questions_from_facts(facts_of_texts(texts), seed, source="annotator")


def sentences() -> list[str]:
    """Every wording with every subject, and every answer: what a vocabulary needs to know to ask and to answer."""
    subjects = {**dict.fromkeys(OF_TARGETS, TARGET_CATEGORIES), QuestionType.REGIONAL_LANDFORM: REGIONS}
    words = [
        _wordings(kind, subject)[number]
        for kind, wordings in TEMPLATES.items()
        for number in range(len(wordings))
        for subject in subjects.get(kind, ("",))
    ]
    answers = [answer for kind in QUESTION_TYPES for answer in answers_of(kind) or (", ".join(LANDFORMS),)]
    return list(dict.fromkeys([*words, *answers]))
