"""Types of targets by their size."""

from typing import Final

import numpy as np

from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES

_TABLES: Final = {"ship": SHIP_TYPES, "aircraft": AIRCRAFT_TYPES}


def distances(length_m: float, width_m: float, category: str) -> list[float]:
    """How far a size is from each type's ranges of length and width (beam, wingspan), in the order of the table.

    0 inside a range, plus a small pull to its middle; in relative units.
    """
    table = _TABLES[category]
    return [_distance(length_m, kind.length_m) + 0.5 * _distance(width_m, kind.width_m) for kind in table]


def _distance(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    outside = np.log(low / value) if value < low else np.log(value / high) if value > high else 0.0
    return float(outside + 0.2 * abs(np.log(value / np.sqrt(low * high))))
