"""Tiny products of many sensors, made from their public format descriptions, with the truth of every pixel's place."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Product(NamedTuple):
    """A product on disk and what a reader must find in it."""

    path: Path
    """What a user would name: a file, or the folder of the product."""
    truth: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    """Pixel columns and rows (outer-corner convention) -> longitude and latitude, computed without KnowLIP."""
    pixel_m: float
    """Spacing on the ground in metres (the smaller of both directions)."""
    power: np.ndarray | None = None
    """Calibrated power (rows, columns) that reading must give; None: not known."""
