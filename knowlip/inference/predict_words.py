"""`knowlip predict caption | ask | embed`: what our own model says of every window of whole scenes, as GeoParquet of
their footprints (and, but for embeddings, GeoJSON).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch

from knowlip.base.documents import check_text
from knowlip.base.files import file_sha256
from knowlip.base.progress import say
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import BEYOND, encode, open_model
from knowlip.inference.predict import Predicted, SceneWork, predict_scenes, show_scenes
from knowlip.inference.predict_windows import ScenesWindows
from knowlip.inference.scene_settings import (
    PredictAskConfig,
    PredictCaptionConfig,
    PredictEmbedConfig,
    PredictWordsConfig,
)
from knowlip.inference.written import question_tokens, unknown_words, write
from knowlip.models.hub import WEIGHTS
from knowlip.tasks.taught_on import TaughtOn

WINDOW_PX: Final = 256
"""Side of the tiles that our models learn from, before they are brought to the side of the input."""


class ScenesWords(ScenesWindows):
    """Our own model."""

    def __init__(self, config: PredictWordsConfig) -> None:
        super().__init__(config, config.min_valid)
        self.named_model = config.model
        self.model, folder = open_model(config.model, config.device)
        card = self.model.card
        metres: Any = card.get("metres_per_pixel")
        known = (float(metres[0]), float(metres[1])) if metres else None
        listed: list[Any] = [card.get(key) or () for key in ("quantiser", "sensors")]
        names = [tuple(str(one) for one in names) for names in listed]
        self.taught = TaughtOn(known, WINDOW_PX, *names)
        self.window = config.window_px or WINDOW_PX
        self.weights = file_sha256(folder / WEIGHTS)

    def files(self) -> Sequence[Path]:
        """A folder that was named; the model of the package and those of the hub are not listed."""
        named = self.named_model
        return (named.resolve(),) if named is not None and named.exists() else ()

    def check(self, work: SceneWork) -> None:
        known, side = self.model.card.get("windows_m"), work.grid.window * work.grid.metres
        if known and not min(known) / BEYOND <= side <= max(known) * BEYOND:
            raise ValueError(
                f"Windows of {work.scene.path} would show {side:,.0f} m; the model was taught on windows of "
                f"{min(known):g} to {max(known):g} m: set --window_px, or take another model."
            )

    def taken(self, work: SceneWork, images: list[np.ndarray]) -> list[TakenImage]:
        """Windows as the model takes them."""
        return [TakenImage(pixels, work.grid.metres) for pixels in images]


class ScenesCaption(ScenesWords):
    """Descriptions."""

    kind = "caption"
    columns = (("caption", pa.string()), ("log_p", pa.float64()), ("token_probability", pa.float64()))

    def __init__(self, config: PredictCaptionConfig) -> None:
        super().__init__(config)
        self.generation = config.generation

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """The text, its log-probability, and the geometric mean of its tokens' probabilities."""
        written = write(self.model, self.taken(work, images), [""] * len(images), self.generation)
        return [
            {
                "caption": texts[0].text,
                "log_p": round(texts[0].log_p, 4),
                "token_probability": round(math.exp(texts[0].log_p / max(1, texts[0].tokens)), 4),
            }
            for texts in written
        ]


class ScenesAsk(ScenesWords):
    """Answers to one question."""

    kind = "ask"
    columns = (("answer", pa.string()), ("probability", pa.float64()))

    def __init__(self, config: PredictAskConfig) -> None:
        check_text(config.question, "The question")
        super().__init__(config)
        self.question, self.generation = config.question, config.generation
        question_tokens(self.model, self.question)
        if unknown := unknown_words(self.model, self.question):
            say(unknown)

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """The answer and the model's own probability of it."""
        written = write(self.model, self.taken(work, images), [self.question] * len(images), self.generation)
        return [{"answer": one[0].text, "probability": round(math.exp(one[0].log_p), 4)} for one in written]


class ScenesEmbed(ScenesWords):
    """Embeddings."""

    kind = "embed"
    columns = (("embedding", pa.list_(pa.float32())),)
    mapped = False

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """Of unit length, float32."""
        with torch.inference_mode():
            _, feature = encode(self.model, self.taken(work, images))
        return [{"embedding": one} for one in feature.float().cpu().numpy().tolist()]


def predict_caption(config: PredictCaptionConfig) -> Predicted:
    """Describe every window of whole scenes.

    Raises:
        ValueError: no such model, no scene that can be used, or results of other settings in `out`.
    """
    return predict_scenes(config, ScenesCaption(config))


def predict_ask(config: PredictAskConfig) -> Predicted:
    """Ask about every window of whole scenes.

    Raises:
        ValueError: no such model, a question that it cannot read, no scene that can be used, or results of other
            settings in `out`.
    """
    return predict_scenes(config, ScenesAsk(config))


def predict_embed(config: PredictEmbedConfig) -> Predicted:
    """Embed every window of whole scenes.

    Raises:
        ValueError: no such model, no scene that can be used, or results of other settings in `out`.
    """
    return predict_scenes(config, ScenesEmbed(config))


def show(result: Predicted) -> str:
    """The result for people."""

    def line(one: Any) -> str:
        left = one["left_out_without_data"]
        return f"{one['said_of']:,} windows of {one['window_m']:,.0f} m" + (f", {left:,} without data" if left else "")

    return show_scenes(result, line)
