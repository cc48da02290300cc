"""What the model says about windows, as handlers of a :class:`~.batcher.Batcher`: one thread, whole batches, and the
image tokens of the windows that were looked at last."""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from knowlip.base.generation import GenerationConfig
from knowlip.inference.archive.finding import one_window
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode, what_is_unknown, width_m
from knowlip.inference.replies import Asker, ModelReply
from knowlip.inference.settings import CAPTION_TOKENS
from knowlip.inference.views import view_of_image
from knowlip.inference.web.batcher import Handler
from knowlip.inference.written import ModelText, write_from
from knowlip.models import KnowLIP
from knowlip.models.detection import Detector
from knowlip.models.evidence import EvidenceKind, evidence_maps
from knowlip.tasks.count_scores import CountScores
from knowlip.tasks.detect import found_in
from knowlip.tasks.taught_on import TaughtOn

_TOKEN_BYTES: Final = 256 << 20
"""Memory of image tokens that are kept."""
_PAIRS: Final = 64
"""Pairs of image and text that are matched at once."""
_COARSEST: Final = 1.5
"""By so much may pixels be larger than any that a detector learned on."""


class WindowLook(NamedTuple):
    """A window as the model takes it."""

    key: str
    image: TakenImage


class AskedOf(NamedTuple):
    """A question about a window."""

    look: WindowLook
    asker: Asker
    resolution_m: float | None
    """Side of a pixel of its scene."""


class Pairs(NamedTuple):
    """Windows that a text may belong to."""

    looks: Sequence[WindowLook]
    text: str


class WordsOf(NamedTuple):
    """Words whose evidence is sought in a window."""

    look: WindowLook
    question: str
    answer: str
    kind: EvidenceKind


class WindowDetector(NamedTuple):
    """A detector, and what it learned on."""

    detector: Detector
    taught: TaughtOn | None
    scores: CountScores


class ModelWork:
    """A model and perhaps a detector, as handlers.

    Args:
        model: in evaluation mode.
        lock: held while the model works; evidence listens to its layers, and must not hear what others ask.
        detector: of the pictures of windows.
    """

    def __init__(self, model: KnowLIP, lock: threading.Lock, detector: WindowDetector | None = None) -> None:
        self.model, self.lock, self.detector = model, lock, detector
        self._tokens: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0

    def handlers(self) -> dict[str, Handler]:
        """By kind."""
        return {
            "text": self.texts,
            "image": self.images,
            "match": self.matches,
            "ask": self.answers,
            "caption": self.captions,
            "evidence": self.evidence,
            "detect": self.detections,
        }

    def notes(self, look: WindowLook) -> list[str]:
        """What should be known of a window before its answers are believed."""
        return what_is_unknown(self.model, [("The window", look.image)], "its size in the archive")

    def as_window(self, image: TakenImage) -> tuple[TakenImage, list[str]]:
        """A picture that windows are to be like, as the model is shown it, and what should be known of it.

        Raises:
            ValueError: it shows nothing, or more ground than one window does.
        """
        return one_window(view_of_image(Path("The image"), image, self.model, strict=False), self.model)

    def unread(self, text: str) -> list[str]:
        """What of a text to search for is not read."""
        count, most = len(self.model.tokenizer.ids(text)), self.model.config.text.max_length - 2
        notes = [f"The text has {count} tokens and the model reads the first {most}."] if count > most else []
        unknown = self.model.tokenizer.ids(text).count(self.model.tokenizer.unk)
        return [*notes, f"The model does not know {unknown} of the words."] if unknown else notes

    def texts(self, texts: list[str]) -> list[np.ndarray]:
        """Vectors (E,) of unit length."""
        with self.lock:
            return list(self.model.encode_texts(texts).float().cpu().numpy())

    def images(self, images: list[TakenImage]) -> list[np.ndarray]:
        """Vectors (E,) of unit length."""
        with self.lock, torch.inference_mode():
            return list(encode(self.model, images)[1].float().cpu().numpy())

    def matches(self, asked: list[Pairs]) -> list[np.ndarray]:
        """For each text the probabilities (N,) that it belongs to its windows."""
        looks = [look for one in asked for look in one.looks]
        texts = [one.text for one in asked for _ in one.looks]
        found: list[np.ndarray] = []
        for start in range(0, len(looks), _PAIRS):
            with self.lock, torch.inference_mode():
                tokens = self._looked(looks[start : start + _PAIRS])
                found.append(self.model.match(tokens, texts[start : start + _PAIRS]).float().cpu().numpy())
        ends = np.cumsum([len(one.looks) for one in asked])[:-1]
        return np.split(np.concatenate(found) if found else np.zeros(0), ends)

    def answers(self, asked: list[AskedOf]) -> list[ModelReply]:
        """Answers as `knowlip ask` gives them; the same question about several windows is asked at once."""
        found: list[ModelReply | None] = [None] * len(asked)
        for asker, resolution in {(one.asker, one.resolution_m) for one in asked}:
            # Two that are equal are one here: threads may have made each its own of one question.
            places = [at for at, one in enumerate(asked) if (one.asker, one.resolution_m) == (asker, resolution)]
            with self.lock:
                replies = asker.replies([asked[at].look.image for at in places], resolution)
            for at, reply in zip(places, replies):
                found[at] = reply
        return [one for one in found if one is not None]

    def captions(self, looks: list[WindowLook]) -> list[ModelText]:
        """The likeliest descriptions."""
        with self.lock, torch.inference_mode():
            texts = write_from(self.model, self._looked(looks), [""] * len(looks), GenerationConfig(CAPTION_TOKENS))
        return [one[0] for one in texts]

    def evidence(self, asked: list[WordsOf]) -> list[np.ndarray]:
        """Heat maps (S, S) at the side of the model's input, 0 to 1."""
        found = []
        for one in asked:
            with self.lock:
                pixels = self.model.prepare([one.look.image.pixels])
                width = torch.tensor([width_m(one.look.image)], device=pixels.device)
                found += list(evidence_maps(self.model, pixels, width, [one.question], [one.answer], one.kind))
        return found

    def detections(self, looks: list[WindowLook]) -> list[pd.DataFrame]:
        """Boxes in pixels of each picture, from the score from which they count.

        Raises:
            ValueError: there is no detector, or a picture's pixels are not of a size that it knows.
        """
        if self.detector is None:
            raise ValueError("This server was started without a detector.")
        for look in looks:
            check_scale(look.image.metres_per_pixel, self.detector.taught)
        found = found_in(self.detector.detector, [look.image.pixels for look in looks])
        scores = self.detector.scores
        return [
            scores.counted(one, look.image.metres_per_pixel).reset_index(drop=True) for one, look in zip(found, looks)
        ]

    def _looked(self, looks: Sequence[WindowLook]) -> Tensor:
        """Tokens (B, N, V) of windows."""
        missing = {look.key: look for look in looks if look.key not in self._tokens}
        fresh: dict[str, Tensor] = {}
        if missing:
            tokens, _ = encode(self.model, [look.image for look in missing.values()])
            fresh = dict(zip(missing, tokens))
        found = torch.stack([fresh[look.key] if look.key in fresh else self._tokens[look.key] for look in looks])
        for look in looks:
            if look.key in self._tokens:
                self._tokens.move_to_end(look.key)
        for key, one in fresh.items():
            self._tokens[key] = one.clone()
            self._bytes += one.nbytes
        while self._bytes > _TOKEN_BYTES and len(self._tokens) > 1:
            self._bytes -= self._tokens.popitem(last=False)[1].nbytes
        return found


def check_scale(metres: float | None, taught: TaughtOn | None) -> None:
    """Refuse pictures in which a detector would look for objects of other sizes than it learned.

    Raises:
        ValueError: the pixels are much smaller or larger than any it learned on.
    """
    if taught is None or taught.metres_per_pixel is None:
        return
    low, high = taught.metres_per_pixel
    if metres is None:
        raise ValueError("Nobody knows how large the pixels of this window are, and the detector has to.")
    if not low / _COARSEST <= metres <= high * _COARSEST:
        raise ValueError(
            f"The kept picture has pixels of {metres:.3g} m, and the detector learned on {low:.3g} to {high:.3g} m: "
            "use `knowlip predict detect` on the scene itself."
        )


def token_probability_of(text: ModelText) -> float:
    """Geometric mean of the tokens' probabilities, its end counted as one where it has one."""
    return round(math.exp(min(0.0, text.log_p) / max(1, text.tokens + (not text.cut))), 4)
