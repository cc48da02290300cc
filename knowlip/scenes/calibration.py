"""Calibration: from the squared detected number to a typed quantity (beta0, sigma0, gamma0), window by window.

Every sensor's formula has the shape `quantity = gain(row, column) * max(DN^2 - noise(row, column), 0)`; the readers
fill in gain and noise.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.errors import NotCalibrated
from knowlip.scenes.geometry import slices

QUANTITIES = ("none", "beta0", "sigma0", "gamma0")
"""What power means: radar brightness, backscatter coefficient on the ground or on the wave front; "none": relative."""


class Field(Protocol):
    """A number for every pixel of a raster."""

    def over(self, window: Window) -> np.ndarray:
        """Values that broadcast to (rows, columns) of a window, float32."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value everywhere."""

    value: float

    def over(self, window: Window) -> np.ndarray:
        return np.full((1, 1), self.value, np.float32)


@dataclass(frozen=True, eq=False)
class Table:
    """Values at nodes of a grid, bilinear between them and constant beyond.

    Raises:
        ValueError: nodes do not rise, or shapes disagree.
    """

    rows: np.ndarray  # (R,) rows of the nodes in pixels (pixel centres are whole numbers), rising.
    columns: np.ndarray  # (C,) columns of the nodes, rising.
    values: np.ndarray  # (R, C).

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.rows), len(self.columns)):
            raise ValueError(f"A table of {self.values.shape} values needs as many rows and columns of nodes.")
        if np.any(np.diff(self.rows) <= 0) or np.any(np.diff(self.columns) <= 0):
            raise ValueError("The nodes of a table must rise.")

    def over(self, window: Window) -> np.ndarray:
        rows, columns = (np.arange(part.start, part.stop, dtype=float) for part in slices(window))
        lower, share = _between(self.rows, rows)
        # Each node's row is interpolated along the columns once, however many rows of the window lie beside it.
        ends = np.concatenate([lower, np.minimum(lower + 1, len(self.rows) - 1)])
        used, inverse = np.unique(ends, return_inverse=True)
        lines = np.array([np.interp(columns, self.columns, self.values[node]) for node in used], np.float32)
        first, second = inverse[: len(rows)], inverse[len(rows) :]
        if np.array_equal(first, second):
            return lines[first]
        weight = share.astype(np.float32)[:, None]
        result: np.ndarray = lines[first] * (1 - weight) + lines[second] * weight
        return result


def _between(nodes: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the node before each place and how far (0 to 1) it lies towards the next; clamped at the ends."""
    if len(nodes) == 1:
        return np.zeros(len(at), int), np.zeros(len(at))
    lower = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
    return lower, np.clip((at - nodes[lower]) / (nodes[lower + 1] - nodes[lower]), 0, 1)


@dataclass(frozen=True, eq=False)
class Radiometry:
    """`quantity = gain * max(power - noise, 0)`."""

    quantity: str  # One of `QUANTITIES`.
    gain: Field
    noise: Field | None = None  # In the same numbers as the power before the gain; None: not removed.

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, not {self.quantity!r}.")
        values = self.gain.values if isinstance(self.gain, Table) else getattr(self.gain, "value", 1.0)
        if not np.all(np.isfinite(values)) or np.any(np.asarray(values) <= 0):
            raise NotCalibrated(
                "The calibration factors are not all positive numbers; read it with --read.calibrate false."
            )

    def apply(self, power: np.ndarray, window: Window) -> np.ndarray:
        """Calibrate the power of a window (rows, columns) float32 in place."""
        if self.noise is not None:
            power -= self.noise.over(window)
            np.maximum(power, 0, out=power)
        power *= self.gain.over(window)
        return power
