"""The file of captions and questions: one JSON object, one entry a caption or question.

    {"format": "knowlip-items-1",
     "dataset": {"name": "ssdd", "fingerprint": "...", "labels_sha256": "..."},
     "captions":  [{"tile_id": "ssdd-000001", "split": "test", "caption": "Two ships are visible.",
                    "source": "labels"}],
     "questions": [{"tile_id": "ssdd-000001", "split": "test", "type": "count", "subject": "ship",
                    "question": "How many ships are visible?", "answer": "2", "source": "labels"}],
     "left_out":  {"captions": {"REASON": 3}, "questions": {"count: REASON": 7}},
     "made_with": {}}

Needed are `format`, and of an entry `tile_id` and its texts; all else may be missing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.base.rows import Json
from knowlip.dataset import Dataset
from knowlip.language.questions import QUESTION_TYPES, Question
from knowlip.models.special import EXTRA, SPECIAL

FORMAT: Final = "knowlip-items-1"
OTHER: Final = "other"
"""Type of a question that has none."""
_MOST_BYTES: Final = 2 << 30
_MOST_VALUES: Final = 100_000_000
LONGEST: Final = 20_000
"""Characters of a text."""
OF_LABELS: Final = ("labels", "truth")
"""Sources of what was made from the labels of the data set."""
_PIECE: Final = re.compile(r"[^\W_]+|[^\w\s]|_")
TWICE: Final = "the same question about the same tile stands there twice"
SAID_TWICE: Final = "the same caption of the same tile stands there twice"


@dataclass(frozen=True)
class Caption:
    """One text about one tile."""

    tile_id: str
    caption: str
    source: str = ""
    """Who says so: "labels", "truth", or the name of a file."""


@dataclass(frozen=True)
class Items:
    """Captions and questions about the tiles of one data set."""

    captions: tuple[Caption, ...] = ()
    questions: tuple[Question, ...] = ()
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """"captions" or "questions" -> reason -> how many."""
    made_with: Mapping[str, Json] = field(default_factory=dict)
    """Settings of what made them."""
    labels_sha256: str | None = ""
    """Of the labels that they were made from; "" those that the data set has, None where nobody knows."""

    @property
    def types(self) -> tuple[str, ...]:
        """The types of questions that there are: the six in their order, then others by name."""
        there = {str(question.type) for question in self.questions}
        return tuple(kind for kind in (*QUESTION_TYPES, *sorted(there - {*QUESTION_TYPES})) if kind in there)

    @property
    def tile_ids(self) -> set[str]:
        """The tiles that something is said or asked about."""
        return {one.tile_id for one in self.captions} | {one.tile_id for one in self.questions}

    def of(self, tile_ids: set[str]) -> "Items":
        """Those about some tiles."""
        captions = tuple(one for one in self.captions if one.tile_id in tile_ids)
        questions = tuple(one for one in self.questions if one.tile_id in tile_ids)
        return Items(captions, questions, self.left_out, self.made_with, self.labels_sha256)


def write_items(path: Path, items: Items, data: Dataset) -> None:
    """Write the file, whole or not at all."""
    split = dict(zip(data.tiles()["tile_id"], data.tiles()["split"]))
    captions = [
        {"tile_id": one.tile_id, "split": split[one.tile_id], "caption": one.caption, "source": one.source}
        for one in items.captions
    ]
    questions = [
        {
            "tile_id": one.tile_id,
            "split": split[one.tile_id],
            "type": str(one.type),
            "subject": one.subject,
            "question": one.question,
            "answer": one.answer,
            "source": one.source,
        }
        for one in items.questions
    ]
    about = {"name": data.path.resolve().name, "fingerprint": data.fingerprint}
    if items.labels_sha256 is not None:
        about["labels_sha256"] = items.labels_sha256 or data.labels_sha256
    head = {"format": FORMAT, "dataset": about, "left_out": items.left_out, "made_with": items.made_with}
    write_json(path, {**head, "captions": captions, "questions": questions})


def read_items(path: Path, data: Dataset) -> Items:
    """Read a file of captions and questions about the tiles of a data set.

    Raises:
        ValueError: it is missing or broken, it is about another data set or was made from other labels than this one
            has, an entry names a tile that this one has not or another split than the tile's, or a question has two
            answers.
    """
    found = read_json(path, most_bytes=_MOST_BYTES, most_values=_MOST_VALUES)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no file of captions and questions ({FORMAT}): `knowlip questions import` makes one of others."
        )
    about = found.get("dataset")
    about = about if isinstance(about, dict) else {}
    known = about.get("fingerprint")
    if known and known != data.fingerprint:
        raise ValueError(f"{path} is about other tiles than {data.path} holds: make or import it for this data set.")
    # A question is told by its tile and its words; what is there twice would be asked and measured twice.
    split = {str(tile): str(name) for tile, name in zip(data.tiles()["tile_id"], data.tiles()["split"])}
    captions = [
        Caption(*_texts(one, ("tile_id", "caption"), ("source",), split, path))
        for one in _list(found, "captions", path)
    ]
    questions = []
    for one in _list(found, "questions", path):
        needed, more = ("tile_id", "question", "answer"), ("type", "subject", "source")
        tile_id, question, answer, kind, subject, source = _texts(one, needed, more, split, path)
        questions.append(question_of(tile_id, question, answer, kind, subject, source))
    check_answers(questions, str(path))
    of_labels = {*(one.source for one in captions), *(one.source for one in questions)} & {*OF_LABELS}
    if of_labels and about.get("labels_sha256", data.labels_sha256) != data.labels_sha256:
        raise ValueError(f"{path} was made from other labels than {data.path} has now: make it again.")
    if of_labels and "labels_sha256" not in about:
        say(f"warning: {path} does not say from which labels it was made: whether the set still has them is not known.")
    left_out, made_with = found.get("left_out") or {}, found.get("made_with") or {}
    if not isinstance(left_out, dict) or not isinstance(made_with, dict):
        raise ValueError(f"left_out and made_with of {path} must be objects.")
    if not all(isinstance(reasons, dict) for reasons in left_out.values()):
        raise ValueError(f"left_out of {path} must hold objects.")
    once, told = distinct(questions), once_said(captions)
    for kind, reason, again in (
        ("questions", TWICE, len(questions) - len(once)),
        ("captions", SAID_TWICE, len(captions) - len(told)),
    ):
        if again:
            left_out = {**left_out, kind: {**left_out.get(kind, {}), reason: again}}
    unknown = bool(of_labels) and "labels_sha256" not in about
    return Items(told, once, left_out, made_with, None if unknown else "")


def distinct(questions: Iterable[Question]) -> tuple[Question, ...]:
    """The first of those that ask the same about the same tile, of whatever type and source they are, and however they
    are spaced and capitalised."""
    first: dict[tuple[str, str], Question] = {}
    for one in questions:
        first.setdefault((one.tile_id, as_read(one.question)), one)
    return tuple(first.values())


def once_said(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    """The first of those that say the same words of the same tile: twice it would weigh double."""
    first: dict[tuple[str, str], Caption] = {}
    for one in captions:
        first.setdefault((one.tile_id, one.caption), one)
    return tuple(first.values())


def question_of(
    tile_id: str, question: str, answer: str, kind: str = "", subject: str = "", source: str = ""
) -> Question:
    """A question of any type: one of the six where it is named so, else the name as it is."""
    return Question(tile_id, _kind(kind), question, answer, subject, source)


def _kind(name: str) -> Any:
    """A type of our own or of others; strings both."""
    plain = "_".join(name.lower().replace("-", " ").replace("_", " ").split())
    return next((kind for kind in QUESTION_TYPES if kind == plain), plain or OTHER)


def check_answers(questions: Sequence[Question], what: str) -> None:
    """Raise `ValueError` where one question about one tile has two answers: one of them would be counted as wrong."""
    first: dict[tuple[str, str], str] = {}
    for one in questions:
        known = first.setdefault((one.tile_id, as_read(one.question)), one.answer)
        if known != one.answer and as_read(known) != as_read(one.answer):
            raise ValueError(
                f"{what} answers the question {one.question!r} about {one.tile_id} with {one.answer!r} and with "
                f"{known!r}."
            )


def as_read(text: str) -> str:
    """A text as a model reads it, who knows neither capitals nor blanks around signs nor a last full stop."""
    return " ".join(_PIECE.findall(text.strip().rstrip(".").lower()))


def sign_in(text: str) -> str:
    """A word that a model reads as a sign of its own, as [SEP]; "" where there is none."""
    return next((one for one in (*SPECIAL, *EXTRA) if one in text), "")


def counted(reasons: Sequence[str]) -> dict[str, int]:
    """Reason -> how often, the most frequent first."""
    return dict(Counter(reasons).most_common())


def _list(found: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    listed = found.get(name, [])
    if not isinstance(listed, list):
        raise ValueError(f"{name} of {path} must be a list.")
    return listed


def _texts(
    one: Any, needed: tuple[str, ...], more: tuple[str, ...], split: Mapping[str, str], path: Path
) -> tuple[str, ...]:
    """The texts of an entry in order of their names, "" where one of `more` is missing."""
    if not isinstance(one, dict):
        raise ValueError(f"An entry of {path} is no object.")
    texts: list[str] = []
    for name in (*needed, *more):
        text = one.get(name, None if name in needed else "")
        if not isinstance(text, str) or len(text) > LONGEST or (name in needed and not text.strip()):
            raise ValueError(f"An entry of {path} has no {name}, or one that is no text of at most {LONGEST} letters.")
        if name in ("caption", "question", "answer") and (sign := sign_in(text)):
            raise ValueError(
                f"A {name} of {path} holds {sign}, which a model reads as a sign of its own: {text[:80]!r}."
            )
        texts.append(text)
    if texts[0] not in split:
        raise ValueError(f"{path} speaks of the tile {texts[0]!r}, which the data set does not hold.")
    if (said := one.get("split", split[texts[0]])) != split[texts[0]]:
        raise ValueError(f"{path} says that {texts[0]} is of the split {said!r}; it is of {split[texts[0]]!r}.")
    return tuple(texts)
