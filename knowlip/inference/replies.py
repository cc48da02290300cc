"""How our own model answers a question about images: the words, how sure it may be taken to be, and when it refuses.

A question of the six kinds (:mod:`knowlip.language.asked`) is answered by the likeliest of the answers that the kind
has, with the calibrated probability of each (:mod:`knowlip.inference.calibration`); any other, and all of a model of
which nothing is known, by what the model writes. A refusal is an answer with a reason.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch

from knowlip.base.documents import check_text
from knowlip.base.generation import GenerationConfig
from knowlip.inference.calibration import Calibration, KindFacts, cannot, read_calibration, softmax, too_coarse
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import BEYOND, encode
from knowlip.inference.views import CoarsePixels
from knowlip.inference.written import ModelText, question_tokens, write
from knowlip.language.asked import ReadQuestion, read_question
from knowlip.language.phrases import plural
from knowlip.language.questions import QuestionType
from knowlip.models import KnowLIP

RefusalKind = Literal["question", "resolution", "absent", "unsure"]
"""The question is none that the model was taught; the pixels cannot show it; there is no target that it asks about; the
model is not surer than one is without looking."""
OF_TARGETS: Final = (QuestionType.RECOGNITION, QuestionType.POSITION)
"""Kinds that ask about targets which have to be there."""


class Refusal(NamedTuple):
    """Why there is no answer."""

    kind: RefusalKind
    reason: str


class ModelReply(NamedTuple):
    """What a model says of one image."""

    answer: str
    """ "" where it is refused."""
    probability: float | None
    """The model's own, of the words; None where it was not asked."""
    confidence: float | None
    """How often such an answer is right, where that was measured."""
    spread: Mapping[str, float] | None
    """Answers that the kind has -> calibrated probability."""
    refusal: Refusal | None
    texts: tuple[ModelText, ...] = ()
    """What was written, where nothing was chosen."""


SILENT: Final = ModelReply("", None, None, None, None)
"""Of a whole scene, before its windows are heard."""


@dataclass(frozen=True)
class Asker:
    """A question that is put to a model about images.

    Args:
        model: in evaluation mode.
        question: as the user asks it.
        read: what it asks.
        facts: of the model's answers to it, None where nothing is known.
        calibration: of all its answers.
        refuse: whether it refuses.
        generation: how answers are written that are not chosen.
    """

    model: KnowLIP
    question: str
    read: ReadQuestion
    facts: KindFacts | None
    calibration: Calibration | None
    refuse: bool
    generation: GenerationConfig

    @property
    def words(self) -> str:
        """The question as the model reads it."""
        return self.read.words if self.facts is not None else self.question

    def beforehand(self, metres: float | None) -> Refusal | None:
        """Why the question is refused whatever the pixels show.

        Args:
            metres: side of a pixel of the image on the ground; None where nobody says it.
        """
        if not self.refuse or self.calibration is None or "[MASK]" in self.question:
            return None
        if self.read.type is None:
            return Refusal("question", self.read.reason)
        if metres is not None and too_coarse(self.read.type, self.read.subject, metres, self.facts):
            return Refusal("resolution", cannot(self.read.type, self.read.subject, metres))
        return None

    def replies(self, images: Sequence[TakenImage], resolution_m: float | None = None) -> list[ModelReply]:
        """What the model says of each of some images.

        Args:
            images: windows or whole images.
            resolution_m: side of a pixel of what they were made of, where it is larger than theirs.
        """
        before = [self.beforehand(max(resolution_m or 0.0, image.metres_per_pixel or 0.0) or None) for image in images]
        asked = [image for image, refused in zip(images, before) if refused is None]
        found = iter(self._asked(asked) if asked else ())
        return [next(found) if refused is None else refusing(refused) for refused in before]

    def _asked(self, images: Sequence[TakenImage]) -> list[ModelReply]:
        if self.facts is None or self.read.type is None:
            texts = write(self.model, images, [self.question] * len(images), self.generation)
            return [ModelReply(one[0].text, math.exp(one[0].log_p), None, None, None, tuple(one)) for one in texts]
        names = list(self.facts.candidates)
        question_tokens(self.model, self.words)
        with torch.inference_mode():
            tokens, _ = encode(self.model, images)
            scores = self.model.rank(tokens, [self.words] * len(images), names).float().cpu().numpy()
            none = self._absent(tokens, len(images))
        replies = [self._reply(names, score, absent) for score, absent in zip(scores, none)]
        # How often answers are right was measured on windows as the training had them.
        return [one if self._as_taught(image) else one._replace(confidence=None) for one, image in zip(replies, images)]

    def _as_taught(self, image: TakenImage) -> bool:
        """Whether an image shows as much ground as the windows of the training did, as far as the model says that."""
        sides = self.model.card.get("windows_m")
        if not sides:
            return True
        shown = max(image.pixels.shape) * (image.metres_per_pixel or math.nan)
        return min(sides) / BEYOND <= shown <= max(sides) * BEYOND

    def _absent(self, tokens: torch.Tensor, count: int) -> list[float]:
        """(N,) probability that there is nothing of what a question of type or place is about."""
        kind, calibration = self.read.type, self.calibration
        facts = calibration.of(QuestionType.COUNT, self.read.subject) if calibration else None
        if kind not in OF_TARGETS or facts is None or "0" not in facts.candidates:
            return [0.0] * count
        question = f"How many {plural(self.read.subject)} are visible?"
        scores = self.model.rank(tokens, [question] * count, list(facts.candidates)).float().cpu().numpy()
        at = facts.candidates.index("0")
        return [float(softmax(score, facts.temperature)[at]) for score in scores]

    def _reply(self, names: Sequence[str], score: np.ndarray, absent: float) -> ModelReply:
        assert self.facts is not None
        shares = softmax(score, self.facts.temperature)
        best = int(score.argmax())
        spread = {name: float(share) for name, share in zip(names, shares)}
        sure = spread[names[best]]
        found = ModelReply(names[best], math.exp(float(score[best])), sure, spread, None)
        limits = self.calibration.absent if self.calibration else {}
        if self.refuse and absent > limits.get(self.read.subject, 1.0):
            seen = f"There is most likely no {self.read.subject} here ({absent:.0%})."
            return found._replace(answer="", refusal=Refusal("absent", seen))
        if self.refuse and sure < self.facts.least:
            why = f"The likeliest answer, {names[best]!r}, is not surer ({sure:.0%}) than one is without looking"
            return found._replace(answer="", refusal=Refusal("unsure", f"{why} ({self.facts.least:.0%})."))
        return found


def said(reply: ModelReply) -> dict[str, Any]:
    """A reply as results tell it."""
    refusal = reply.refusal
    return {
        "answer": reply.answer,
        "probability": None if reply.probability is None else round(reply.probability, 4),
        "confidence": None if reply.confidence is None else round(reply.confidence, 4),
        "refused": refusal and refusal.kind,
        "reason": refusal and refusal.reason,
    }


def refusing(refused: Refusal) -> ModelReply:
    """The reply that is a refusal."""
    return ModelReply("", None, None, None, refused)


def coarse(error: CoarsePixels) -> Refusal:
    """The refusal of an image that the model cannot be shown."""
    return Refusal("resolution", str(error))


def asker_of(
    model: KnowLIP, folder: Path | None, question: str, refuse: bool, generation: GenerationConfig
) -> tuple[Asker, list[str]]:
    """A question put to a model, and notes on it.

    Args:
        model: in evaluation mode.
        folder: where it was loaded from; None: nothing is known of its answers.
        question: in any words, or a text with one [MASK].
        refuse: whether questions may be refused.
        generation: how answers are written that are not chosen from a list; other settings than the usual ones ask for
            written ones.

    Raises:
        ValueError: a question that the model cannot read.
    """
    check_text(question, "The question")
    question_tokens(model, question)
    calibration, note = (None, "") if folder is None else read_calibration(folder)
    read = read_question(question, calibration.let_through if calibration else 0)
    notes = [note] if note and refuse else []
    plain = replace(generation, max_new_tokens=GenerationConfig().max_new_tokens) == GenerationConfig()
    facts = None
    if calibration is not None and read.type is not None and "[MASK]" not in question and plain:
        facts = calibration.of(read.type, read.subject)
    asker = Asker(model, question, read, facts, calibration, refuse, generation)
    if facts is not None and asker.words != question:
        notes.append(f"Asked as {asker.words!r}.")
    return asker, notes
