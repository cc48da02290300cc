"""`knowlip predict classify`: a class for every window of whole scenes, as GeoParquet of footprints and GeoJSON."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.base.rows import Json
from knowlip.inference.predict import Predicted, SceneWork, predict_scenes, show_scenes
from knowlip.inference.predict_windows import ScenesWindows
from knowlip.inference.scene_settings import PredictClassifyConfig
from knowlip.models.device import chosen
from knowlip.models.towers import resize
from knowlip.tasks.chips import evened
from knowlip.tasks.classifier import (
    Classifier,
    classifier_folder,
    classifier_sha256,
    classifier_taught_on,
    load_classifier,
    predict,
)


class ScenesClassifier(ScenesWindows):
    """A classifier that looks at windows."""

    kind = "classify"
    columns = (("class", pa.string()), ("score", pa.float64()), ("second", pa.string()), ("second_score", pa.float64()))

    def __init__(self, config: PredictClassifyConfig) -> None:
        super().__init__(config, config.min_valid)
        folder = classifier_folder(config.model)
        self.taught, self.contrast = classifier_taught_on(folder)
        if config.window_px is None and self.taught is None:
            raise ValueError(
                f"{folder} does not say how large its training images were: give --window_px, the side of a window in "
                "pixels as the classifier knows them."
            )
        self.classifier: Classifier = load_classifier(folder, chosen(config.device))
        self.window = config.window_px or (self.taught.tile_px if self.taught is not None else 0)
        self.weights = classifier_sha256(folder)

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """The likeliest class with its score, and the next."""
        side, names = self.classifier.encoder.pixels.size, self.classifier.classes
        seen = [evened(one) if self.contrast == "chip" else one for one in images]
        scores = predict(self.classifier, np.stack([resize(one, side) for one in seen])).numpy()
        order = np.argsort(-scores, axis=1, kind="stable")
        return [
            {
                "class": names[int(best[0])],
                "score": round(float(score[best[0]]), 4),
                "second": names[int(best[1])],
                "second_score": round(float(score[best[1]]), 4),
            }
            for score, best in zip(scores, order)
        ]

    def told(self, table: pd.DataFrame) -> dict[str, Json]:
        """How many windows are of which class."""
        return {"classes": dict(Counter(table["class"].tolist()).most_common())}


def predict_classify(config: PredictClassifyConfig) -> Predicted:
    """Give every window of whole scenes a class.

    Raises:
        ValueError: no classifier, no scene that can be used, or results of other settings in `out`.
    """
    return predict_scenes(config, ScenesClassifier(config))


def show(result: Predicted) -> str:
    """The result for people."""

    def line(one: Any) -> str:
        left = one["left_out_without_data"]
        classes = ", ".join(f"{name} {count:,}" for name, count in one["classes"].items())
        return f"{classes} of {one['said_of']:,} windows" + (f"; {left:,} without data" if left else "")

    return show_scenes(result, line)
