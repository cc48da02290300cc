"""`knowlip predict caption | ask | embed`: what our own model says of every window of whole scenes, as GeoParquet of
their footprints (and, but for embeddings, GeoJSON).
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from knowlip.base.files import file_sha256
from knowlip.base.progress import say
from knowlip.base.rows import Json
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import BEYOND, encode, open_model
from knowlip.inference.predict import Predicted, SceneWork, predict_scenes, show_scenes
from knowlip.inference.predict_windows import ScenesWindows
from knowlip.inference.replies import asker_of, said
from knowlip.inference.scene_settings import (
    PredictAskConfig,
    PredictCaptionConfig,
    PredictEmbedConfig,
    PredictWordsConfig,
)
from knowlip.inference.views import WINDOW_PX, taught_of
from knowlip.inference.written import unknown_words, write
from knowlip.models.hub import ANSWERS, WEIGHTS


class ScenesWords(ScenesWindows):
    """Our own model."""

    def __init__(self, config: PredictWordsConfig) -> None:
        super().__init__(config, config.min_valid)
        self.named_model = config.model
        self.model, folder = open_model(config.model, config.device)
        self.folder = folder
        self.taught = taught_of(self.model)
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
    columns = (
        *(("answer", pa.string()), ("probability", pa.float64()), ("confidence", pa.float64())),
        *(("refused", pa.string()), ("reason", pa.string())),
    )

    def __init__(self, config: PredictAskConfig) -> None:
        super().__init__(config)
        self.asker, notes = asker_of(self.model, self.folder, config.question, config.refuse, config.generation)
        if unknown := unknown_words(self.model, config.question):
            notes.append(unknown)
        for note in notes:
            say(note)

    def settings(self) -> dict[str, Json]:
        path = self.folder / ANSWERS
        return {"answers_sha256": file_sha256(path) if path.is_file() else ""}

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """The answer with its probabilities, or why there is none."""
        return [said(one) for one in self.asker.replies(self.taken(work, images), work.scene.resolution_m)]

    def told(self, table: pd.DataFrame) -> dict[str, Json]:
        """How many windows are refused, by why."""
        return {"refused": dict(Counter(table["refused"].dropna().tolist()))}


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
        left, refused = one["left_out_without_data"], sum(one.get("refused", {}).values())
        more = f", {refused:,} of them refused" if refused else ""
        more += f", {left:,} without data" if left else ""
        return f"{one['said_of']:,} windows of {one['window_m']:,.0f} m{more}"

    return show_scenes(result, line)
