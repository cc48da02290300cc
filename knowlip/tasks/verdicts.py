"""The verdict of truth on the rows of a table of sub-texts."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from knowlip.language.definitions import TileTruth
from knowlip.tasks.caption import Judge


def verdicts(
    texts: pd.DataFrame, truths: Mapping[str, TileTruth], windows: Mapping[str, float], judge: Judge
) -> np.ndarray:
    """Truth of each row: (N,) objects True, False, or None where nothing can be verified.

    Args:
        texts: columns tile_id, instruction_set, dimension, text.
        truths: tile_id -> truth; tiles without one are None.
        windows: tile_id -> side of the tile in metres.
        judge: see :func:`knowlip.language.truth.judge`.
    """
    result = np.empty(len(texts), dtype=object)
    columns = (texts[name] for name in ("tile_id", "instruction_set", "dimension", "text"))
    for i, (tile_id, instruction_set, dimension, text) in enumerate(zip(*columns)):
        truth = truths.get(tile_id)
        result[i] = None if truth is None else judge(instruction_set, dimension, text, truth, windows[tile_id])
    return result
