"""Overlaps of rotated boxes.

Shapes: N and M boxes, of each the corners x, y, x, y, x, y, x, y in pixels, in order around it.
"""

from typing import Final

import numpy as np

POINTS: Final = tuple(f"{axis}{number}" for number in range(1, 5) for axis in "xy")
"""Columns of a rotated box in tables."""


def rotated_overlaps(one: np.ndarray, other: np.ndarray, of_one: bool = False) -> np.ndarray:
    """(N, M) intersection over union of convex quadrangles, or over the area of the first.

    Args:
        one: (N, 8).
        other: (M, 8).
        of_one: divide by the area of the first.
    """
    first, second = (np.asarray(boxes, float).reshape(-1, 4, 2) for boxes in (one, other))
    found = np.zeros((len(first), len(second)))
    areas = [np.array([_area(box) for box in boxes]) for boxes in (first, second)]
    low = [boxes.min(1) if len(boxes) else np.zeros((0, 2)) for boxes in (first, second)]
    high = [boxes.max(1) if len(boxes) else np.zeros((0, 2)) for boxes in (first, second)]
    # Most pairs are far apart: only those whose upright boxes touch are clipped.
    near = (low[0][:, None] < high[1][None]).all(-1) & (low[1][None] < high[0][:, None]).all(-1)
    for i, j in zip(*np.nonzero(near)):
        shared = abs(_area(_clipped(first[i], second[j])))
        a, b = abs(areas[0][i]), abs(areas[1][j])
        found[i, j] = shared / max(a if of_one else a + b - shared, 1e-9)
    return found


def _area(points: np.ndarray) -> float:
    """Signed area of a polygon (P, 2): positive where it turns from x to y."""
    if len(points) < 3:
        return 0.0
    x, y = (points - points[0]).T  # near the origin: less is lost to rounding
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _clipped(subject: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """The part of a convex polygon inside another (Sutherland & Hodgman, 1974)."""
    clip = clip if _area(clip) >= 0 else clip[::-1]
    for start, end in zip(clip, np.roll(clip, -1, 0)):
        if not len(subject):
            break
        edge = end - start
        side = edge[0] * (subject[:, 1] - start[1]) - edge[1] * (subject[:, 0] - start[0])
        kept = []
        for at in range(len(subject)):
            after = (at + 1) % len(subject)
            if side[at] >= 0:
                kept.append(subject[at])
            if (side[at] >= 0) != (side[after] >= 0):
                share = side[at] / (side[at] - side[after])
                kept.append(subject[at] + share * (subject[after] - subject[at]))
        subject = np.array(kept).reshape(-1, 2)
    return subject
