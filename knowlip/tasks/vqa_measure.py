"""Questions with closed answers: the model ranks the answers of a type; the majority answer is the bar to clear."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from knowlip.base.progress import track
from knowlip.language.questions import QUESTION_TYPES, Question, answers_of
from knowlip.tasks.images import EncodedImages, VisionLanguageModel
from knowlip.tasks.metrics import majority_answers, proportion

_BATCH = 64


def candidates(train: Sequence[Question]) -> dict[str, list[str]]:
    """The answers to rank for each type: those seen in training, in order of first choice of the closed vocabulary.

    A type without training questions gets its whole vocabulary; `all_landforms` without any is left out.
    """
    result: dict[str, list[str]] = {}
    for kind in QUESTION_TYPES:
        seen = {q.answer for q in train if q.type == kind}
        closed = answers_of(kind)
        if closed is None:
            answers = sorted(seen)
        else:
            answers = [a for a in closed if a in seen] or list(closed)
        if answers:
            result[kind] = answers
    return result


def choose_questions(questions: Sequence[Question], per_type: int, seed: int = 0) -> list[Question]:
    """At most `per_type` questions of each type, a fixed random choice, in the order given."""
    chosen = []
    for kind in QUESTION_TYPES:
        rows = [q for q in questions if q.type == kind]
        keep = np.sort(np.random.default_rng(seed).permutation(len(rows))[:per_type])
        chosen += [rows[i] for i in keep]
    return chosen


def answer(
    model: VisionLanguageModel,
    images: EncodedImages,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[str]],
    mode: str = "rank",
) -> list[str]:
    """The model's answer to each question, in the order given.

    Args:
        model: ranks or generates.
        images: must hold the tiles of all questions.
        questions: of types that `answers` holds.
        answers: type -> candidate answers.
        mode: "rank" (the most probable candidate) or "generate" (free text; spaces around punctuation are evened out).
    """
    if mode not in ("rank", "generate"):
        raise ValueError(f"VQA answers by 'rank' or 'generate', not {mode!r}.")
    position = {tile_id: i for i, tile_id in enumerate(images.tile_ids)}
    given = [""] * len(questions)
    batches = []
    for kind in QUESTION_TYPES:
        rows = [i for i, q in enumerate(questions) if q.type == kind]
        batches += [(kind, rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)]
    with torch.inference_mode():
        for kind, rows in track(batches, "answer questions"):
            tokens = images.tokens([position[questions[i].tile_id] for i in rows])
            # The answer is the content of one hole after the question, as in training.
            texts = [questions[i].question for i in rows]
            if mode == "rank":
                choice = model.rank(tokens, texts, list(answers[kind])).argmax(1).tolist()
                said = [answers[kind][c] for c in choice]
            else:
                said = [_even(text) for text in model.generate(tokens, texts, 16)]
            for i, text in zip(rows, said):
                given[i] = text
    return given


def _even(text: str) -> str:
    """Undo the spaces of WordPiece decoding: "built - up , quay" -> "built-up, quay"."""
    return text.strip().lower().replace(" - ", "-").replace(" ,", ",").rstrip(".").strip()


def score(
    questions: Sequence[Question], given: Sequence[str], train: Sequence[Question], clusters: Mapping[str, str]
) -> dict[str, Any]:
    """Per type: `accuracy`, `ci`, `n`, `majority`, `blind`, `majority_answer`, `answers`, `source`.

    Args:
        questions: of the test tiles.
        given: the model's answers.
        train: questions of the training tiles, from which the baselines are fitted.
        clusters: tile_id -> cluster.

    `majority` is the accuracy of the most frequent training answer of the type. `blind` is that of the most frequent
    training answer for the type and what the wording gives away (ship or aircraft, the named region): the best that a
    model can do that reads the question and never looks. Both are None when there are no training questions.
    """
    common = majority_answers((q.type, q.answer) for q in train)
    knowing = majority_answers((f"{q.type}/{q.subject}", q.answer) for q in train)
    result: dict[str, Any] = {}
    for kind in QUESTION_TYPES:
        rows = [i for i, q in enumerate(questions) if q.type == kind]
        if not rows:
            result[kind] = {"accuracy": None, "majority": None, "n": 0, "reason": "No test tile gives a clear answer."}
            continue
        truth = [questions[i].answer for i in rows]
        share = proportion(
            [given[i] == questions[i].answer for i in rows], [clusters[questions[i].tile_id] for i in rows]
        )
        fixed = common.get(kind)
        guesses = [knowing.get(f"{kind}/{questions[i].subject}", fixed) for i in rows]
        result[kind] = {
            "accuracy": share.value,
            "ci": list(share.ci or ()),
            "ci_method": share.method,
            "n": share.n,
            "majority": float(np.mean([a == fixed for a in truth])) if fixed is not None else None,
            "majority_answer": fixed,
            "blind": float(np.mean([a == b for a, b in zip(truth, guesses)])) if fixed is not None else None,
            "answers": len(set(truth)),
            "source": questions[rows[0]].source,
        }
    return result
