"""Objects of tiles as a detector learns them and is measured on them: read from annotations, classes mapped, and what
is left out counted by its reason.

Shapes: N objects of a tile; boxes are left, top, right, bottom in pixels of the tile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from knowlip.dataset import Dataset
from knowlip.dataset.annotations import rotated_box

_CORNERS = 8
"""Numbers of a rotated box."""
LAND = "land"
"""Class of a mask by which a tile is inshore."""


@dataclass(frozen=True)
class TileObjects:
    """What is in a tile."""

    size: tuple[int, int]
    """Height and width of the tile in pixels."""
    boxes: np.ndarray
    """(N, 4) float64."""
    classes: tuple[str, ...]
    ignored: np.ndarray
    """(N,) bool: nobody need find it (difficult in VOC, a crowd in COCO)."""
    corners: tuple[np.ndarray, ...]
    """Of each the rotated box (4, 2) in pixels; around its outline, or the box's own corners, where it has none."""
    outlines: tuple[np.ndarray, ...]
    """Of each the outline (P, 2), else the rotated box."""
    rotated: bool = False
    """Whether the data set has rotated boxes; objects without one are then upright, or as their outline says."""

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, at: np.ndarray) -> "TileObjects":
        """Some of the objects."""
        numbers = np.flatnonzero(at) if at.dtype == bool else at
        pick = [int(number) for number in numbers]
        return TileObjects(
            self.size,
            self.boxes[pick],
            tuple(self.classes[number] for number in pick),
            self.ignored[pick],
            tuple(self.corners[number] for number in pick),
            tuple(self.outlines[number] for number in pick),
            self.rotated,
        )


@dataclass(frozen=True)
class ClassMap:
    """What the categories of a data set are called by the detector."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Category -> class; empty: every category is its own class."""
    single: str = ""
    """Name of the one class that all (named) categories are; "" where they stay apart."""

    def of(self, category: str) -> str:
        """Class of a category; "" where it is none."""
        found = self.names.get(category, "") if self.names else category
        return self.single if found and self.single else found


def read_objects(
    data: Dataset, tile_ids: Iterable[str], label: str = "category", classes: ClassMap | None = None
) -> tuple[dict[str, TileObjects], Counter[str]]:
    """Objects of tiles, and how many were left out by which reason.

    Args:
        data: the data set.
        tile_ids: accepted tiles.
        label: column of the annotations that names the class.
        classes: what its names are called.

    Raises:
        ValueError: no object is a part of its tile: the annotations are classes of whole tiles.
    """
    classes = classes or ClassMap()
    annotations, tiles = data.annotations(), data.tiles()
    parts = annotations[(annotations["width"] < 1) | (annotations["height"] < 1)]
    if not len(parts):
        raise ValueError(f"{data.path} has no boxes: no annotation is a part of its tile.")
    shape = dict(zip(tiles["tile_id"], tiles["proj:shape"]))
    rows = dict(list(annotations.groupby("tile_id")))
    left: Counter[str] = Counter()
    found = {}
    rotated = bool((annotations["corners"].map(len) == _CORNERS).any())
    for tile_id in tile_ids:
        height, width = (int(side) for side in shape[tile_id])
        found[tile_id] = _objects(rows.get(tile_id), (height, width), label, classes, left, rotated)
    return found, left


def _objects(
    rows: pd.DataFrame | None,
    size: tuple[int, int],
    label: str,
    classes: ClassMap,
    left: Counter[str],
    rotated: bool,
) -> TileObjects:
    """Objects of one tile."""
    height, width = size
    # Fractions of the tile become its pixels here, once.
    scale = np.array([width, height], float)
    boxes, names, ignored, corners, outlines = [], [], [], [], []
    for row in [] if rows is None else rows.to_dict("records"):
        name = classes.of(str(row[label]))
        if not name:
            left["of a class that is not asked for" if row[label] else f"without a {label}"] += 1
            continue
        box = np.array([row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"]], float)
        box *= np.tile(scale, 2)
        if not (box[2:] > box[:2]).all():
            left["without an area"] += 1
            continue
        around = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
        own = np.asarray(row["corners"], float).reshape(-1, 2) * scale
        outline = np.asarray(row["polygon"], float).reshape(-1, 2) * scale
        corner = own if len(own) == 4 else rotated_box(outline) if len(outline) >= 3 else around
        boxes.append(box)
        names.append(name)
        ignored.append(bool(row["difficult"]) if row["difficult"] is not None else False)
        corners.append(corner)
        outlines.append(outline if len(outline) >= 3 else corner)
    return TileObjects(
        size,
        np.array(boxes, float).reshape(-1, 4),
        tuple(names),
        np.array(ignored, bool),
        tuple(corners),
        tuple(outlines),
        rotated,
    )


def inshore_tiles(data: Dataset, tile_ids: Sequence[str]) -> set[str] | None:
    """Tiles whose mask has land in it; None where the set has no masks with a class of that name."""
    codes = [code for code, name in data.mask_classes.items() if name == LAND]
    there = data.masks.places
    if not codes or not all(tile_id in there for tile_id in tile_ids):
        return None
    return {tile_id for tile_id in tile_ids if np.isin(data.masks.mask(tile_id), codes).any()}
