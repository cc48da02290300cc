"""Questions with closed answers: the model ranks the answers of a type, beside its teacher, what needs no look, and
what it answers to the image of another tile."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from knowlip.base.examples import ShownExample, ShownItem
from knowlip.base.progress import track
from knowlip.base.rows import OTHER_IMAGE, Json, Row
from knowlip.base.vocabulary import REGIONS
from knowlip.language.questions import QUESTION_TYPES, Question, answers_of, numbered_region
from knowlip.language.tile_facts import Facts, facts_of_texts
from knowlip.models.encoders import Encoder, UnsuitedEncoder, WritingEncoder
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.blind import BLIND, by_wording
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import NO_INTERVAL, Estimate, majority_answers, mean, mean_of_means, proportion
from knowlip.tasks.questions import questions_about, questions_of

_BATCH = 64
_MEAN: Final = "mean accuracy"
_AGREEMENT: Final = "An agreement with the annotator, no accuracy: the data set has no truth."


def candidates(train: Sequence[Question]) -> dict[str, list[str]]:
    """The answers to rank for each type: those seen in training, in order of first choice of the closed vocabulary,
    others (region numbers, classes of a mask, answers of a user's own types) by name behind them.

    A type without training questions gets its whole vocabulary; `all_landforms` without any is left out.
    """
    result: dict[str, list[str]] = {}
    for kind in dict.fromkeys((*QUESTION_TYPES, *kinds_of(train))):
        seen = {q.answer for q in train if q.type == kind}
        closed = (answers_of(kind) if kind in QUESTION_TYPES else None) or ()
        answers = [a for a in closed if a in seen] + sorted(seen - {*closed}) or list(closed)
        if answers:
            result[kind] = answers
    return result


def kinds_of(questions: Sequence[Question]) -> list[str]:
    """The types of some questions: the six in their order, then others by name."""
    there = {str(question.type) for question in questions}
    return [kind for kind in (*QUESTION_TYPES, *sorted(there - {*QUESTION_TYPES})) if kind in there]


def choose_questions(questions: Sequence[Question], per_type: int, seed: int = 0) -> list[Question]:
    """At most `per_type` questions of each type, a fixed random choice, in the order given."""
    chosen = []
    for kind in QUESTION_TYPES:
        rows = [q for q in questions if q.type == kind]
        keep = np.sort(np.random.default_rng(seed).permutation(len(rows))[:per_type])
        chosen += [rows[i] for i in keep]
    return chosen


def answer(
    model: WritingEncoder,
    images: EncodedImages,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[str]],
    mode: str = "rank",
    longest: int = 16,
) -> list[str]:
    """The model's answer to each question, in the order given.

    Args:
        model: ranks or generates.
        images: must hold the tiles of all questions.
        questions: of types that `answers` holds.
        answers: type -> candidate answers.
        mode: "rank" (the most probable candidate) or "generate" (free text; spaces around punctuation are evened out).
        longest: most tokens of such a text.
    """
    if mode not in ("rank", "generate"):
        raise ValueError(f"VQA answers by 'rank' or 'generate', not {mode!r}.")
    if mode == "rank":
        scores = answer_scores(model, images, questions, answers)
        return [answers[question.type][int(score.argmax())] for question, score in zip(questions, scores)]
    given = [""] * len(questions)
    for _, rows, tokens, texts in _in_batches(images, questions):
        with torch.inference_mode():
            said = model.generate(tokens, texts, longest)
        for i, text in zip(rows, said):
            given[i] = even(text)
    return given


def answer_scores(
    model: WritingEncoder,
    images: EncodedImages,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[str]],
) -> list[np.ndarray]:
    """Log-probabilities (A,) of the candidates of each question's type; arguments as of :func:`answer`."""
    scores: list[np.ndarray] = [np.zeros(0)] * len(questions)
    for kind, rows, tokens, texts in _in_batches(images, questions):
        with torch.inference_mode():
            found = model.rank(tokens, texts, list(answers[kind])).float().cpu().numpy()
        for i, score in zip(rows, found):
            scores[i] = score
    return scores


def _in_batches(
    images: EncodedImages, questions: Sequence[Question]
) -> Iterator[tuple[str, list[int], Tensor, list[str]]]:
    """Type, positions, image tokens and words of questions of one type at a time. The answer is the content of one hole
    after the question, as in training."""
    position = {tile_id: i for i, tile_id in enumerate(images.tile_ids)}
    batches = []
    for kind in kinds_of(questions):
        rows = [i for i, q in enumerate(questions) if q.type == kind]
        batches += [(kind, rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)]
    for kind, rows in track(batches, "answer questions"):
        with torch.inference_mode():
            tokens = images.tokens([position[questions[i].tile_id] for i in rows])
        yield kind, rows, tokens, [questions[i].question for i in rows]


def even(text: str) -> str:
    """Undo the spaces of WordPiece decoding: "built - up , quay" -> "built-up, quay"."""
    return text.strip().lower().replace(" - ", "-").replace(" ,", ",").rstrip(".").strip()


@dataclass(frozen=True)
class Asked:
    """Questions about the tiles of a bench, and what was answered."""

    questions: list[Question]
    given: list[str]
    """The model's answer to each."""
    train: list[Question]
    """Questions about the training tiles, from which floors are fitted."""
    candidates: Mapping[str, Sequence[str]]
    """Type -> the answers that the model chose from."""

    def rows_of(self, kind: str) -> list[int]:
        """Positions of the questions of a type."""
        return [i for i, question in enumerate(self.questions) if question.type == kind]

    def hits(self, kind: str) -> list[bool]:
        """Whether each answer of a type is right."""
        return [self.given[i] == self.questions[i].answer for i in self.rows_of(kind)]


def posed(bench: Bench) -> Asked:
    """What is asked about the tiles of a bench, not answered yet (`given` is empty), whoever answers."""
    train = questions_of(bench.data, "train", bench.seed)
    answers = candidates(train)
    possible = [q for q in questions_about(bench.data, bench.tile_ids, bench.seed) if q.type in answers]
    return Asked(choose_questions(possible, bench.limits.questions_per_type, bench.seed), [], train, answers)


def ask(bench: Bench, encoder: Encoder) -> Asked:
    """Ask about the tiles of a bench.

    Raises:
        ValueError: the encoder cannot answer.
    """
    if not isinstance(encoder, WritingEncoder):
        raise UnsuitedEncoder(f"{encoder.name} neither ranks nor writes answers.")
    asked = posed(bench)
    images = bench.images(encoder, only={question.tile_id for question in asked.questions})
    return replace(asked, given=answer(encoder, images, asked.questions, asked.candidates, bench.vqa_mode))


def of_other_images(bench: Bench, encoder: Encoder, asked: Asked) -> Asked:
    """The same questions, answered with the image of another tile of the same instruction set; those about tiles
    without one are left out."""
    assert isinstance(encoder, WritingEncoder)
    questions = [question for question in asked.questions if question.tile_id in bench.others]
    elsewhere = [replace(question, tile_id=bench.others[question.tile_id]) for question in questions]
    images = bench.images(encoder, only={question.tile_id for question in elsewhere})
    return replace(
        asked, questions=questions, given=answer(encoder, images, elsewhere, asked.candidates, bench.vqa_mode)
    )


def blind_answers(train: Sequence[Question], asked: Sequence[Question]) -> dict[str, list[str]]:
    """Answers to questions of one type without an image: the most frequent training answer of the type, of the type and
    what the wording gives away, of the very wording.

    Args:
        train: at least one question of the type.
        asked: those to answer.
    """
    return dict(
        zip(BLIND, by_wording(train, asked, lambda answers: majority_answers(("", one) for one in answers)[""]))
    )


def floors_of(asked: Asked, kind: str) -> dict[str, float | None]:
    """Accuracy on the questions of a type without looking at an image.

    "chance" draws one candidate. The others give the most frequent training answer: of the type, of the type and
    what the wording gives away (ship or aircraft, the named region), of the very wording (of the subject where
    training never asked in these words).
    """
    questions = [asked.questions[i] for i in asked.rows_of(kind)]
    train = [q for q in asked.train if q.type == kind]
    if not questions:
        return {}
    found: dict[str, float | None] = {"chance": 1 / len(asked.candidates[kind])}
    if not train:
        return found
    guesses = blind_answers(train, questions)
    return found | {
        name: float(np.mean([q.answer == guess for q, guess in zip(questions, said)])) for name, said in guesses.items()
    }


def measure_answers(bench: Bench, encoder: Encoder) -> Measured:
    """Accuracy of each type and their mean, of the model, of the annotator that taught it, and of the model that sees
    another tile."""
    # All answer the same questions: a model that is not above its teacher, the blind, or itself with the wrong image,
    # has not looked.
    if not isinstance(encoder, WritingEncoder):
        return Measured((bench.row("vqa", encoder.name, _MEAN, None, note="It neither ranks nor writes answers."),))
    asked = ask(bench, encoder)
    note = agreement(bench)
    blind = of_other_images(bench, encoder, asked)
    everyone: dict[str, Answered] = {
        encoder.name: Answered(asked, lambda kinds: note),
        OTHER_IMAGE + encoder.name: Answered(blind, lambda kinds: f"{note} {_silence(blind, kinds)}".strip()),
        **teachers(bench, asked),
    }
    floors = {kind: floors_of(asked, kind) for kind in QUESTION_TYPES}
    kinds = [kind for kind in QUESTION_TYPES if asked.rows_of(kind)]
    details: dict[str, Json] = {
        kind: {
            "source": asked.questions[asked.rows_of(kind)[0]].source,
            "answers": len({asked.questions[i].answer for i in asked.rows_of(kind)}),
            "majority_answer": majority_answers((q.type, q.answer) for q in asked.train).get(kind),
            "floors": floors[kind],
            "other_image": image_gain(asked, blind, kind, bench.clusters),
        }
        for kind in kinds
    }
    return Measured(answer_rows(bench, everyone), _examples(asked, bench), details)


class Answered(NamedTuple):
    """What somebody answered to the questions of a bench, or to some of them."""

    asked: Asked
    note: Callable[[Sequence[str]], str]
    """What must be said of the answers of these types."""


def agreement(bench: Bench) -> str:
    """The note of figures that are held against the annotator, "" where there is truth."""
    return "" if bench.truths else _AGREEMENT


def teachers(bench: Bench, asked: Asked) -> dict[str, Answered]:
    """The annotator's answers to the same questions, where there is truth to hold them against."""
    if not (bench.truths and bench.data.revisions()):
        return {}
    taught = replace(asked, given=annotator_answers(asked.questions, bench.texts))
    return {bench.annotator: Answered(taught, lambda kinds: _silence(taught, kinds))}


def answer_rows(bench: Bench, everyone: Mapping[str, Answered]) -> tuple[Row, ...]:
    """Accuracy of each type and their mean, of everyone who answered, beside the floors of the first one's questions.

    Args:
        bench: whose questions they are.
        everyone: name -> answers; the first is the one who is measured.
    """
    rows, means, first = [], [], next(iter(everyone))
    asked = everyone[first].asked
    floors = {kind: floors_of(asked, kind) for kind in QUESTION_TYPES}
    for kind in QUESTION_TYPES:
        metric = f"{kind.replace('_', ' ')} accuracy"
        if not asked.rows_of(kind):
            rows.append(bench.row("vqa", first, metric, None, note=_why_unasked(bench, asked, kind)))
            continue
        for name, (other, note) in everyone.items():
            if other.rows_of(kind):
                rows.append(bench.row("vqa", name, metric, _share(other, kind, bench), floors[kind], note([kind])))
    kinds = [kind for kind in QUESTION_TYPES if asked.rows_of(kind)]
    names = dict.fromkeys(name for kind in kinds for name in floors[kind])
    # A type without training questions has no majority: chance stands for it, not nothing.
    common = {
        name: float(np.mean([floors[kind].get(name, floors[kind].get("chance")) or 0.0 for kind in kinds]))
        for name in names
    }
    for name, (other, note) in everyone.items():
        if there := [kind for kind in kinds if other.rows_of(kind)]:
            means.append(bench.row("vqa", name, _MEAN, _mean(other, there, bench), common, note(there)))
    return (*means, *rows)


def _why_unasked(bench: Bench, asked: Asked, kind: str) -> str:
    """Why there is no question of a type."""
    if not bench.limits.questions_per_type:
        return "Questions were turned off."
    return "No test tile gives a clear answer." if kind in asked.candidates else "No training tile gives an answer."


def image_gain(asked: Asked, blind: Asked, kind: str, clusters: Mapping[str, str]) -> dict[str, Json]:
    """What the right image adds to the accuracy of a type, question by question.

    Returns:
        `accuracy` with the other image, `difference` to it with `difference_ci`, `n` questions asked both ways, and a
        `reason` where one of them is missing.
    """
    of_other = {blind.questions[i]: blind.given[i] == blind.questions[i].answer for i in blind.rows_of(kind)}
    rows = [i for i in asked.rows_of(kind) if asked.questions[i] in of_other]
    if not rows:
        reason = "No tile asked about has another to borrow from."
        return {"accuracy": None, "difference": None, "difference_ci": None, "n": 0, "reason": reason}
    questions = [asked.questions[i] for i in rows]
    hits = np.array([asked.given[i] == asked.questions[i].answer for i in rows], float)
    others = np.array([of_other[question] for question in questions], float)
    figure = mean(hits - others, [clusters[question.tile_id] for question in questions])
    return {
        "accuracy": float(others.mean()),
        "difference": figure.value,
        "difference_ci": figure.ends,
        "n": figure.n,
        "reason": "" if figure.ci else NO_INTERVAL,
    }


def _share(asked: Asked, kind: str, bench: Bench) -> Estimate:
    """Accuracy of a type."""
    return proportion(asked.hits(kind), [bench.clusters[asked.questions[i].tile_id] for i in asked.rows_of(kind)])


def _mean(asked: Asked, kinds: Sequence[str], bench: Bench) -> Estimate:
    """Mean accuracy of types with an interval over clusters, none where there are few of them."""
    clusters = [[bench.clusters[asked.questions[i].tile_id] for i in asked.rows_of(kind)] for kind in kinds]
    return mean_of_means([asked.hits(kind) for kind in kinds], clusters)


def annotator_answers(questions: Sequence[Question], texts: pd.DataFrame) -> list[str]:
    """What the annotator's sentences answer, "" where they say nothing of it.

    Args:
        questions: about tiles that `texts` holds, or not.
        texts: columns tile_id, instruction_set, dimension, text.
    """
    facts = facts_of_texts(texts)
    return [_claimed(question, facts.get(question.tile_id, Facts())) or "" for question in questions]


def _claimed(question: Question, facts: Facts) -> str | None:
    """The answer that known facts give to a question."""
    subject = question.subject
    count, region = (facts.counts or {}).get(subject), (facts.regions or {}).get(subject)
    # Regions are called by number where the question or its answer does.
    at = REGIONS.index(subject) if subject in REGIONS else _number_of(subject)
    by_number = _number_of(question.answer) is not None
    answers = {
        "count": None if count is None else str(count),
        "recognition": (facts.types or {}).get(subject),
        "position": None if region is None else numbered_region(REGIONS[region]) if by_number else REGIONS[region],
        "main_landform": facts.main,
        "all_landforms": ", ".join(facts.landforms) if facts.landforms else None,
        "regional_landform": facts.grid[at] if facts.grid and at is not None else None,
    }
    return answers.get(question.type)  # of other types than the six it says nothing


def _number_of(name: str) -> int | None:
    """Place in `REGIONS` of "region 1" to "region 9"."""
    found = re.fullmatch(r"region ([1-9])", name)
    return int(found[1]) - 1 if found else None


def _silence(teacher: Asked, kinds: Sequence[str]) -> str:
    """How often nothing is said."""
    said = [bool(teacher.given[i]) for kind in kinds for i in teacher.rows_of(kind)]
    return "" if all(said) else f"It says something of {sum(said)} of {len(said)}; silence counts as wrong."


def _examples(asked: Asked, bench: Bench) -> tuple[ShownExample, ...]:
    each = max(1, bench.limits.examples * 2 // 3)
    shown = set(choose_questions(asked.questions, each, bench.seed + 1))
    return tuple(
        ShownExample(
            "vqa",
            "Random questions",
            ShownItem(q.question, q.tile_id),
            (ShownItem(given, right=q.answer == given),),
            (ShownItem(q.answer),),
        )
        for q, given in zip(asked.questions, asked.given)
        if q in shown
    )
