"""Pictures of what was found, in the colours of the paper's figure 12: blue right, red false alarm, yellow missed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from knowlip.base.files import whole_file
from knowlip.dataset import Dataset
from knowlip.tasks.metrics.boxes import CORNERS, OVERLAP, overlaps

RIGHT: Final = (60, 130, 255)
FALSE_ALARM: Final = (255, 50, 50)
MISSED: Final = (255, 220, 40)
NOT_ASKED: Final = (150, 150, 150)
"""What nobody need find."""
_SIDE = 640
_MOST = 24


def draw_pictures(
    folder: Path,
    data: Dataset,
    found: pd.DataFrame,
    truth: pd.DataFrame,
    tile_ids: Sequence[str],
    least: float = 0.5,
    most: int = _MOST,
) -> int:
    """Draw tiles at equal distances in order of their names, never chosen by their result. Returns how many.

    Args:
        folder: for PICTURE.png, named by the tile.
        data: where the tiles are.
        found, truth: tables of :mod:`knowlip.tasks.detect_rows`.
        tile_ids: the tiles that were measured.
        least: detections of a lower score are not drawn.
        most: how many pictures.
    """
    step = max(1, len(tile_ids) // most)
    chosen = sorted(tile_ids)[::step][:most]
    folder.mkdir(parents=True, exist_ok=True)
    for tile_id in chosen:
        said = found[(found["tile_id"] == tile_id) & (found["score"] >= least)].sort_values("score", ascending=False)
        picture = draw_boxes(data.image(tile_id), said, truth[truth["tile_id"] == tile_id])
        with whole_file(folder / f"{tile_id}.png") as part:
            picture.save(part, format="png")
    return len(chosen)


def draw_boxes(pixels: np.ndarray, found: pd.DataFrame, truth: pd.DataFrame) -> Image.Image:
    """A tile with its boxes: rotated ones where a detection or object has them.

    Args:
        pixels: (H, W) uint8.
        found: of this tile, best first; a box is right where it overlaps an object of its class that no better one has
            taken by half.
        truth: of this tile.
    """
    scale = max(1, round(_SIDE / max(pixels.shape)))
    picture = Image.fromarray(pixels).convert("RGB")
    picture = picture.resize((pixels.shape[1] * scale, pixels.shape[0] * scale), Image.Resampling.NEAREST)
    canvas = ImageDraw.Draw(picture)
    boxes, there = (table[list(CORNERS)].to_numpy(float).reshape(-1, 4) for table in (found, truth))
    free = truth["ignored"].to_numpy(bool)
    shared, taken = overlaps(boxes, there), np.zeros(len(there), bool)
    same = found["category"].to_numpy(str)[:, None] == truth["category"].to_numpy(str)[None]
    for number, (box, corners) in enumerate(zip(boxes, found["corners"])):
        fit = np.where(same[number] & ~taken, shared[number], 0.0)
        best = int(fit.argmax()) if len(fit) else -1
        colour = FALSE_ALARM
        if best >= 0 and fit[best] >= OVERLAP:
            colour, taken[best] = (NOT_ASKED if free[best] else RIGHT), True
        _outline(canvas, box, corners, scale, colour)
    for number in np.flatnonzero(~taken).tolist():
        _outline(canvas, there[number], truth["corners"].iloc[number], scale, NOT_ASKED if free[number] else MISSED)
    return picture


def _outline(
    canvas: ImageDraw.ImageDraw, box: np.ndarray, corners: Sequence[float], scale: int, colour: tuple[int, int, int]
) -> None:
    left, top, right, bottom = box
    points = np.asarray(corners, float).reshape(-1, 2)
    if len(points) != 4:
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    flat = [(float(x) * scale, float(y) * scale) for x, y in [*points, points[0]]]
    canvas.line(flat, fill=colour, width=max(2, scale), joint="curve")
