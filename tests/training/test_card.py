"""What a model says of the data it knows."""

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from knowlip.dataset import Dataset
from knowlip.training.corpus import Corpus, model_card


def card(metres: list[float], windows: list[float]) -> dict[str, Any]:
    count = len(metres)
    tiles = pd.DataFrame(
        {
            "metres_per_pixel": metres,
            "window_m": windows,
            "proj:shape": [np.array([512, 512])] * count,
            "block": "b0",
            "quantiser": "log",
            "platform": "sim-c",
        }
    )
    dataset = SimpleNamespace(tiles=lambda split: tiles, fingerprint="f")
    corpus = SimpleNamespace(pixels=np.zeros((count, 256, 256), np.uint8), tile_ids=["t"] * count)
    return model_card(cast(Dataset, dataset), cast(Corpus, corpus), 0)


def test_pixel_sizes_are_those_of_the_model_and_may_be_unknown() -> None:
    found = card([0.5, 1.0, np.nan], [256.0, 512.0, np.nan])
    assert (found["metres_per_pixel"], found["windows_m"]) == ([1.0, 2.0], [512.0, 256.0])
    unknown = card([np.nan], [np.nan])
    assert (unknown["metres_per_pixel"], unknown["windows_m"]) == ([], [])
    json.dumps(unknown, allow_nan=False)
