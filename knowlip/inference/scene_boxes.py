"""Boxes of overlapping windows as boxes of a whole scene: each object once, those side by side apart.

A window's box counts where its middle lies in the core of the window, or near it; where two windows meet, both may see
an object, and each a little elsewhere. Such pairs are found one to one: a box stands for at most one box of every other
window, so that a row of ships at a quay stays a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from knowlip.inference.scene_grid import Cell, SceneGrid
from knowlip.tasks.metrics.boxes import CORNERS

FOUND: Final = pa.schema(
    [
        *((name, pa.int32()) for name in ("row", "column")),
        ("category", pa.string()),
        *((name, pa.float64()) for name in ("score", *CORNERS)),
        ("corners", pa.list_(pa.float64())),
        ("cut", pa.bool_()),
    ]
)
"""A box in pixels of the grid, the window that saw it, and whether it ends at an inner edge of that."""
_SAME: Final = 0.25
"""Two boxes of two windows that share this much of their union are of one object."""
_PART: Final = 0.6
"""Where one of two boxes ends at an inner edge of its window, and this much of the smaller one lies in the other, it is
a part of the same object."""
_ZONE: Final = 0.25
"""Share of the overlap by which a box may lie outside of its window's core."""
_EDGE_PX: Final = 1.5


@dataclass(frozen=True)
class Merged:
    """The boxes of a scene."""

    boxes: pd.DataFrame
    """As `FOUND`, best first."""
    doubled: int
    """How many were of an object that another window saw as well."""
    cut: int
    """How many of `boxes` end at an inner edge of their window: objects that are longer than the overlap."""


def placed(found: pd.DataFrame, cell: Cell, grid: SceneGrid, valid: np.ndarray) -> tuple[pd.DataFrame, int]:
    """Boxes of one window on the grid, those left out whose middle lies in another window's core or where there is no
    data; and how many of the latter there were.

    Args:
        found: columns category, score, left, top, right, bottom, corners, in pixels of the window.
        cell: the window.
        grid: of the scene.
        valid: (T, T) which pixels of the window are data.
    """
    boxes = found[list(CORNERS)].to_numpy(float)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    side = grid.window
    at = np.clip(y, 0, side - 1).astype(int), np.clip(x, 0, side - 1).astype(int)
    data = valid[at] if len(found) else np.zeros(0, bool)
    zone = _ZONE * grid.overlap
    rows, columns = grid.cores
    near = (y + cell.top >= rows[cell.row] - zone) & (y + cell.top < rows[cell.row + 1] + zone)
    near &= (x + cell.left >= columns[cell.column] - zone) & (x + cell.left < columns[cell.column + 1] + zone)
    # At the scene's own edge an object is cut for everybody; at an inner one only for this window.
    cut = (boxes[:, 0] < _EDGE_PX) & (cell.left > 0) | (boxes[:, 1] < _EDGE_PX) & (cell.top > 0)
    cut |= (boxes[:, 2] > side - _EDGE_PX) & (cell.left + side < grid.shape[1])
    cut |= (boxes[:, 3] > side - _EDGE_PX) & (cell.top + side < grid.shape[0])
    keep = data & near
    moved = boxes + np.tile([cell.left, cell.top], 2)
    corners = [
        [value + (cell.left, cell.top)[place % 2] for place, value in enumerate(one)] for one in found["corners"]
    ]
    table = found.assign(row=cell.row, column=cell.column, cut=cut, corners=pd.Series(corners, found.index, object))
    table[list(CORNERS)] = moved
    return table.loc[keep, FOUND.names].reset_index(drop=True), int((near & ~data).sum())


def scaled(table: pd.DataFrame, factor: float, rows: int) -> pd.DataFrame:
    """Boxes of a grid of other pixels, as `FOUND`, on one whose pixels are smaller by a factor.

    Args:
        table: the boxes.
        factor: side of its pixels over that of the other's.
        rows: added to the rows of the windows, which are none of the other grid's.
    """
    if not rows:
        return table
    corners = [[factor * value for value in one] for one in table["corners"]]
    moved = table.assign(row=table["row"] + rows, corners=pd.Series(corners, table.index, object))
    moved[list(CORNERS)] = table[list(CORNERS)] * factor
    return moved


def merged(parts: Sequence[pd.DataFrame]) -> Merged:
    """The boxes of all windows, each object once.

    Args:
        parts: what :func:`placed` gives, of every window.
    """
    full = [part for part in parts if len(part)]
    if not full:
        return Merged(pd.DataFrame(columns=FOUND.names), 0, 0)
    table = pd.concat(full, ignore_index=True)
    order = ["cut", "score", "row", "column", "top", "left"]
    table = table.sort_values(order, ascending=[True, False, True, True, True, True], kind="stable", ignore_index=True)
    boxes = table[list(CORNERS)].to_numpy(float)
    window = table["row"].to_numpy(np.int64) * (int(table["column"].max()) + 1) + table["column"].to_numpy(np.int64)
    cut = table["cut"].to_numpy(bool)
    tree = shapely.STRtree(shapely.box(*boxes.T))
    alive = np.ones(len(table), bool)
    doubled = 0
    # Best first: what stands for an object takes the likest box of each other window with it, and no second one.
    for at in range(len(table)):
        if not alive[at]:
            continue
        others = tree.query(shapely.box(*boxes[at]))
        others = others[(others > at) & alive[others] & (window[others] != window[at])]
        if not len(others):
            continue
        likeness = _likeness(boxes[at], boxes[others], cut[at] | cut[others])
        for other in np.unique(window[others]):
            mine = window[others] == other
            best = others[mine][np.argmax(likeness[mine])]
            if likeness[mine].max() > 0:
                alive[best] = False
                doubled += 1
    kept = table[alive].sort_values(["score", "top", "left"], ascending=[False, True, True], kind="stable")
    return Merged(kept.reset_index(drop=True), doubled, int(kept["cut"].sum()))


def _likeness(box: np.ndarray, others: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """How much two boxes are of one object (N,): the share of their union, or where one of them is cut (N,) of the
    smaller one, that both have; 0 where that is too little."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    both = np.clip(wide, 0, None) * np.clip(high, 0, None)
    own = (box[2:] - box[:2]).prod()
    area = (others[:, 2:] - others[:, :2]).prod(1)
    union = both / np.maximum(own + area - both, 1e-9)
    part = both / np.maximum(np.minimum(own, area), 1e-9)
    return np.where((union >= _SAME) | (cut & (part >= _PART)), union + part, 0.0)
