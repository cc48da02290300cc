"""Straight lines in the cover: the axis along which a runway or the roads of a tile run."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_STEP_DEG: Final = 7.5
_ANGLES: Final = np.arange(0.0, 180.0, _STEP_DEG)
SHARP: Final = 3.5
"""Ratio of the sharpest direction to the median one from which the axis is worth a word."""
_LEAST_SHARE: Final = 0.01
"""Smallest share of the tile that a line makes."""


@dataclass(frozen=True)
class Axis:
    """The main direction of lines."""

    heading_deg: float
    """Clockwise from north, 0 to 180."""
    sharpness: float
    """Contrast of the sum along the lines to that along other directions; 1 = none."""


def axis_of(weight: Array) -> Axis | None:
    """Direction in which a layer is made of lines: where its projection (a Radon transform) varies most.

    Args:
        weight: (rows, columns) from 0 to 1 how much of each cell is runway, or road; cells are squares.

    Returns:
        None where there is too little of it.
    """
    if float(weight.mean()) < _LEAST_SHARE:
        return None
    rows, cols = weight.shape
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    inside = np.hypot((x - (cols - 1) / 2) / (cols / 2), (y - (rows - 1) / 2) / (rows / 2)) <= 1.0  # no corner longer
    points = np.flatnonzero(inside)
    values, x, y = weight.ravel()[points], x.ravel()[points] - (cols - 1) / 2, y.ravel()[points] - (rows - 1) / 2
    offset = int(np.ceil(np.hypot(rows, cols) / 2)) + 1
    scores = np.empty(len(_ANGLES))
    for number, angle in enumerate(np.deg2rad(_ANGLES)):
        # heading h runs along (sin h, -cos h); what is counted is the distance from it
        at = x * np.cos(angle) + y * np.sin(angle) + offset
        low = np.floor(at).astype(np.int64)
        part = at - low
        size = 2 * offset + 2
        sums = np.bincount(low, values * (1 - part), size) + np.bincount(low + 1, values * part, size)
        cells = np.bincount(low, 1 - part, size) + np.bincount(low + 1, part, size)
        mean = sums / np.maximum(cells, 1.0)
        scores[number] = float((cells * (mean - values.mean()) ** 2).sum())
    best = int(scores.argmax())
    sharpness = float(scores[best] / max(np.median(scores), 1e-12))
    return Axis(float(_ANGLES[best]), sharpness)


def worth_a_word(axis: Axis | None) -> float | None:
    """The direction of lines that stands out enough to be told, degrees clockwise from north; None for none."""
    return axis.heading_deg if axis is not None and axis.sharpness >= SHARP else None
