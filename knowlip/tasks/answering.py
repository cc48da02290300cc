"""Fine-tuning on questions with contrast and matching beside the writing of answers, measured on tiles that were kept
aside: `knowlip bench run --task vqa`.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from knowlip.base.progress import say, track
from knowlip.base.rows import Json, Row
from knowlip.dataset import Dataset
from knowlip.dataset.others import others_of
from knowlip.language.phrases import plural
from knowlip.language.questions import Posed, Question, QuestionType
from knowlip.models import KnowLIP, TextTokenizer
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.answer_pictures import write_pictures
from knowlip.tasks.answered import ALIKE, ERROR_FLOOR, SURE, calibrated, measured_rows
from knowlip.tasks.answers import annotator_answers, answer, answer_scores, blind_answers, candidates, even, kinds_of
from knowlip.tasks.asking import QuestionSampler, example_of
from knowlip.tasks.blind import blind_medians, blind_shares
from knowlip.tasks.cfar import contrast_of, fitted
from knowlip.tasks.detector_counts import DETECTOR, detection_runs, detector_counts, finished_detection
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.items import Items
from knowlip.tasks.items.records import as_read
from knowlip.tasks.paired import Drawn, LanguageConfig, Pairing
from knowlip.tasks.runs import FLOOR, METRICS, PREDICTIONS, BenchTask, notes_of, read_predictions, write_predictions
from knowlip.training.balance import check_balance
from knowlip.training.loop import train
from knowlip.training.order import Order


@dataclass(kw_only=True)
class VqaConfig(LanguageConfig):
    """Everything that decides the result of fine-tuning on questions with contrast and matching beside."""

    measured_with: ClassVar = ("detections",)

    learning_rate: float = 2e-5
    questions_per_image: int = 6
    """Most questions about each image in a step; the image is encoded once for all of them."""
    balance: float = 0.0
    """How far training is balanced over types and answers, as `knowlip finetune` has it."""
    repeats: float = 4.0
    """Most times that a tile is met in a balanced epoch."""
    written: bool = True
    """Whether answers are also written freely when they are measured."""
    detections: Path | None = None
    """Finished `knowlip bench run --task detect` on the same data set: its numbers stand beside those of the model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.questions_per_image < 1:
            raise ValueError("questions_per_image must be at least 1.")
        check_balance(self.balance, self.repeats)

    def read_files(self) -> dict[str, list[Path]]:
        if self.detections is None:
            return {}
        runs = detection_runs(self.detections)
        return {"detections": [run / name for run in runs for name in (METRICS, PREDICTIONS)]}


def answer_questions(config: VqaConfig) -> dict[str, Any]:
    """Train, measure on what was kept aside, and write `out/model`, `out/metrics.json`, `out/predictions.parquet` and
    `out/pictures`.

    Raises:
        ValueError: too few questions, a model that cannot answer or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    return train(PairedAnswering, config, unused=True)


class PairedAnswering(Pairing):
    """Questions about tiles: the answer is written, and question and answer together are a text of the tile."""

    name = "vqa"
    free: ClassVar = (*Pairing.free, *VqaConfig.measured_with)
    config: VqaConfig

    def usable(self, items: Items, model: KnowLIP) -> Items:
        # An answer that the decoder has no room for is never written nor ranked, however long it was trained.
        most = model.config.text.max_length - 1
        kept = tuple(one for one in items.questions if len(model.tokenizer.ids(one.answer)) <= most)
        self.too_long = len(items.questions) - len(kept)
        if not self.too_long:
            return items
        say(f"warning: {self._left}")
        reasons = {**items.left_out.get("questions", {}), f"its answer has more than {most} tokens": self.too_long}
        return replace(items, questions=kept, left_out={**items.left_out, "questions": reasons})

    @property
    def _left(self) -> str:
        what = "questions whose answers are longer than the model writes are left out"
        return f"{self.too_long:,} {what}." if self.too_long else ""

    unknown = ""
    """What is said of questions that training gave no answer for."""

    @property
    def note(self) -> str:
        return " ".join(one for one in (super().note, self._left, self.unknown) if one)

    def about(self, items: Items) -> set[str]:
        return {one.tile_id for one in items.questions}

    def prepare(self, items: Items, tile_ids: Sequence[str]) -> None:
        # What is asked keeps its capitals, by which compass letters and names are told; answers are compared without.
        config, self.train_questions = self.config, self.spelled_once(items.questions)
        rows = self.dataset.annotations()
        names = {str(name).lower() for column in ("category", "type") for name in rows[column].unique()}
        names |= {plural(name) for name in names}
        examples = [example_of(one, names) for one in items.questions]
        self.asking = QuestionSampler(examples, config.balance, config.repeats, config.questions_per_image)
        assert self.asking.tile_ids == list(tile_ids)
        known = candidates(self.train_questions)
        if not any(one.type in known for one in self.items.of({*self.division.test}).questions):
            raise ValueError("No question about the tiles to be measured is of a type that training tiles have.")
        if config.detections is not None:
            finished_detection(config.detections, self.dataset)

    def spelled_once(self, questions: Sequence[Question]) -> tuple[Question, ...]:
        """Questions whose answers differ from no other of their type by capitals or blanks alone: as the first of them
        has it."""
        first: dict[tuple[str, str], str] = {}
        for one in self.items.questions:
            first.setdefault((one.type, as_read(one.answer)), one.answer)
        return tuple(replace(one, answer=first[one.type, as_read(one.answer)]) for one in questions)

    def ordered(self, count: int) -> Order:
        config = self.config
        weights = self.asking.weights if config.balance else None
        return Order(count, config.batch_size, config.seed, weights=weights)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> list[Drawn]:
        drawn = []
        for row, (turn, posed) in zip(rows, self.asking.draw(rows, rng, self.config.augment)):
            every = (one for example in self.asking.of_tile[row] for one in example.turned(turn))
            true = tuple(_told(one) for one in every if one is not None)
            drawn.append(Drawn(turn, _told(posed[0]), true, tuple(posed)))
        return drawn

    def most_true(self, rows: np.ndarray) -> int:
        return max(sum(len(one.wordings) for one in self.asking.of_tile[row]) for row in rows)

    def texts(self) -> set[str]:
        return {_told(Posed(one.question, one.answer)) for one in self.items.questions}

    def begin(self) -> None:
        super().begin()
        self.asking.tell(self.steps_per_epoch, self.order.times, self.config.augment)

    def measure(self, encoder: KnowLIPEncoder) -> tuple[tuple[Row, ...], dict[str, Json]]:
        """Ask about the tiles that were kept aside."""
        # What training has no answer for is told: the figures would be of fewer questions without a word.
        config, test = self.config, list(self.division.test)
        candidate = candidates(self.train_questions)
        possible = self.spelled_once(self.items.of({*test}).questions)
        asked = [one for one in possible if one.type in candidate]
        group_of = dict(self.division.group_of)
        table = answers_table(encoder, self.dataset, test, asked, self.train_questions, candidate, group_of, config)
        boxes, of_boxes = _boxes(self.dataset, asked, group_of, config)
        for name, column in boxes.items():
            table[name] = column
        write_predictions(table, config.out)
        write_pictures(table, self.dataset, config.out)
        unseen = Counter(str(one.type) for one in asked if one.answer not in candidate[one.type])
        untaught = Counter(str(one.type) for one in possible if one.type not in candidate)
        self.unknown = _unknown(untaught, unseen)
        details: dict[str, Json] = {
            "candidates": {kind: len(candidate[kind]) for kind in kinds_of(asked)},
            "answers_never_seen_in_training": dict(unseen),
            "questions_of_types_without_training": untaught.total(),
            "train_questions": len(self.train_questions),
            "detector_note": of_boxes,
        }
        data = config.dataset.resolve().name
        notes = self.note, self.division.note, of_boxes
        rows = measured_rows(table, data, config.split_name, config.encoder, *notes)
        return rows, details


def _unknown(untaught: Counter[str], unseen: Counter[str]) -> str:
    """What is said of questions to be measured by type: of types that training has none of, and with answers that it
    never gave."""
    told = []
    if untaught:
        told.append(f"{untaught.total():,} questions of types without training ({', '.join(untaught)}) are not asked.")
    if unseen:
        told.append(f"{unseen.total():,} right answers were never given in training: no ranking chooses them.")
    return " ".join(told)


def _told(one: Posed) -> str:
    """A question with its answer, as one text."""
    return f"{one.question} {one.answer}."


def answers_table(
    encoder: KnowLIPEncoder,
    data: Dataset,
    tile_ids: Sequence[str],
    asked: Sequence[Question],
    train_questions: Sequence[Question],
    candidate: Mapping[str, Sequence[str]],
    group_of: Mapping[str, str],
    config: VqaConfig,
) -> pd.DataFrame:
    """What is answered to questions, as :mod:`knowlip.tasks.answered` stores it.

    Args:
        encoder: answers.
        data: holds the tiles.
        tile_ids: to be measured.
        asked: questions about them.
        train_questions: from which the floors are fitted.
        candidate: type -> answers to rank.
        group_of: tile -> its group of copies.
        config: says whether answers are also written, and where things are kept.
    """
    # All answer the very same questions: the model by rank and in words, itself with another tile, whoever is blind.
    images = EncodedImages(encoder, data, list(tile_ids))
    tokenizer = encoder.model.tokenizer
    scores = answer_scores(encoder, images, asked, candidate)
    told = {kind: told_apart(tokenizer, answers) for kind, answers in candidate.items()}
    right, first = [_place(told[one.type], one.answer) for one in asked], [int(score.argmax()) for score in scores]
    groups = [group_of[one.tile_id] for one in asked]
    sure, temperatures = calibrated(scores, right, groups)
    say(f"temperatures of confidence, chosen on the other half of the groups: {temperatures or 'none'}")
    index = data.tiles().set_index("tile_id", drop=False).loc[list(tile_ids)]
    lent = others_of(index, [""] * len(index), config.split_seed).position_T
    other = {tile: tile_ids[at] for tile, at in zip(tile_ids, lent) if at >= 0}
    elsewhere = [at for at, one in enumerate(asked) if one.tile_id in other]
    blind = answer_scores(
        encoder, images, [replace(asked[at], tile_id=other[asked[at].tile_id]) for at in elsewhere], candidate
    )
    lent_sure, _ = calibrated(blind, [right[at] for at in elsewhere], [groups[at] for at in elsewhere])
    said_elsewhere: list[str | None] = [None] * len(asked)
    sure_elsewhere, raw_elsewhere = np.full(len(asked), np.nan), np.full(len(asked), np.nan)
    sure_elsewhere[elsewhere], raw_elsewhere[elsewhere] = lent_sure, [_likeliest(score) for score in blind]
    for at, score in zip(elsewhere, blind):
        said_elsewhere[at] = told[asked[at].type][int(score.argmax())]
    generated: list[str | None] = [None] * len(asked)
    if config.written:
        longest = max(len(tokenizer.ids(one.answer)) for one in train_questions) + 1
        written = answer(encoder, images, asked, candidate, "generate", longest)
        generated = [spelled(tokenizer, text) or "" for text in written]
    columns: dict[str, Any] = {
        "tile_id": [one.tile_id for one in asked],
        "group": groups,
        "type": [str(one.type) for one in asked],
        "subject": [one.subject for one in asked],
        "question": [one.question for one in asked],
        "answer": [one.answer for one in asked],
        "ranked": [told[one.type][best] for one, best in zip(asked, first)],
        "alike": [told[one.type][best] != candidate[one.type][best] for one, best in zip(asked, first)],
        "confidence": sure,
        "raw": [_likeliest(score) for score in scores],
        "generated": generated,
        "written_answer": [spelled(tokenizer, one.answer) for one in asked],
        "other": said_elsewhere,
        "other_confidence": sure_elsewhere,
        "other_raw": raw_elsewhere,
        "annotator": _annotator(data, asked),
    }
    return pd.DataFrame(columns | _floor_columns(data, asked, train_questions))


def _boxes(
    data: Dataset, asked: Sequence[Question], group_of: Mapping[str, str], config: VqaConfig
) -> tuple[dict[str, list[str | None]], str]:
    """Numbers by the detector that was given, and what must be said of them."""
    counts = [at for at, one in enumerate(asked) if one.type == QuestionType.COUNT]
    if config.detections is None or not counts:
        return {}, ""
    found = detector_counts(config.detections, data, [asked[at] for at in counts], group_of)
    say(f"counts by the detector {found.name}: {found.told}")
    column: list[str | None] = [None] * len(asked)
    for at, text in zip(counts, found.answers):
        column[at] = text
    note = " ".join(one for one in (found.note, found.told) if one)
    if not any(text is not None for text in column):
        return {}, note
    return {f"{DETECTOR}{found.name}": column}, note


def spelled(tokenizer: TextTokenizer, text: str) -> str | None:
    """A text as a model with this tokenizer would write it, evened out: it can write no other ("3.5" is "3. 5", "A220"
    is "a220"). None where its vocabulary cannot spell it."""
    ids = tokenizer.ids(text)
    return None if tokenizer.unk in ids else even(tokenizer.text(ids))


def told_apart(tokenizer: TextTokenizer, answers: Sequence[str]) -> list[str]:
    """The answers to rank, those that a model with this tokenizer reads as the same under one name: "A or B", which is
    the right one of neither."""
    read = [tuple(tokenizer.ids(one)) for one in answers]
    alike: dict[tuple[int, ...], list[str]] = {}
    for ids, one in zip(read, answers):
        alike.setdefault(ids, []).append(one)
    return [ALIKE.join(alike[ids]) for ids in read]


def _likeliest(score: np.ndarray) -> float:
    return float(np.exp(score.max() - np.logaddexp.reduce(score)))


def _place(answers: Sequence[str], wanted: str) -> int:
    return list(answers).index(wanted) if wanted in answers else -1


def _annotator(data: Dataset, asked: Sequence[Question]) -> list[str | None]:
    """What the annotator's texts answer, where the answers themselves are not the annotator's."""
    if not data.revisions() or not data.truth():
        return [None] * len(asked)
    texts = data.texts(0)
    return list(annotator_answers(asked, texts[texts["tile_id"].isin({one.tile_id for one in asked})]))


def _floor_columns(
    data: Dataset, asked: Sequence[Question], train_questions: Sequence[Question]
) -> dict[str, list[Any]]:
    """Answers without a model, and how sure they are: blind ones of each type, numbers of the smallest blind error, and
    CFAR's number of bright targets."""
    found: dict[str, list[Any]] = {}

    def put(name: str, rows: Sequence[int], values: Sequence[Any]) -> None:
        column = found.setdefault(name, [None] * len(asked))
        for at, value in zip(rows, values):
            column[at] = value

    for kind in kinds_of(asked):
        rows = [at for at, one in enumerate(asked) if one.type == kind]
        known, there = [one for one in train_questions if one.type == kind], [asked[at] for at in rows]
        if known:
            for name, said in blind_answers(known, there).items():
                put(f"{FLOOR}{name}", rows, said)
            for name, shares in blind_shares(known, there).items():
                put(f"{SURE}{name}", rows, shares)
    counts = [at for at, one in enumerate(asked) if one.type == QuestionType.COUNT]
    learned = [one for one in train_questions if one.type == QuestionType.COUNT]
    numbers = [one for one in learned if re.fullmatch(r"\d{1,6}", one.answer)]
    if counts and numbers:
        for name, said in blind_medians(numbers, [asked[at] for at in counts]).items():
            put(f"{ERROR_FLOOR}{name}", counts, said)
    # CFAR tells no ship from a bridge, and nobody knows what a question without a subject counts.
    subjects = {one.subject for one in (*learned, *(asked[at] for at in counts))}
    if counts and numbers and len(subjects) == 1 and "" not in subjects:
        chosen = [numbers[at] for at in np.linspace(0, len(numbers) - 1, min(len(numbers), _CFAR_FIT)).astype(int)]
        best = fitted([data.image(one.tile_id) for one in chosen], [int(one.answer) for one in chosen])
        for at in track(counts, "count by CFAR"):
            contrast = contrast_of(data.image(asked[at].tile_id))
            put(f"{FLOOR}CFAR", [at], [str(len(best.exact.in_contrast(contrast)))])
            put(f"{ERROR_FLOOR}CFAR, fitted to the error", [at], [str(len(best.near.in_contrast(contrast)))])
    return found


_CFAR_FIT: Final = 100
"""Training images on which the settings of CFAR are chosen."""


def rows_of_runs(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures over finished run folders, the folds of one seed: every question counts once."""
    notes = notes_of(folders, "vqa", encoder, ("note", "floor_note", "detector_note"))
    table = read_predictions(folders, ["tile_id", "question"], whole=False)
    return measured_rows(table, data, split, encoder, *notes)


ANSWERING: Final = BenchTask(config=VqaConfig, run=answer_questions, rows=rows_of_runs)
