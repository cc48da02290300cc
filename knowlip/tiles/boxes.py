"""Boxes of objects on tiles, from their outlines on the ground."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from pyproj import CRS, Transformer
from rasterio.transform import Affine

from knowlip.dataset.annotations import annotation, rotated_box
from knowlip.dataset.records import AnnotationRow


class TilePlace(NamedTuple):
    """Where a tile lies."""

    tile_id: str
    crs: str
    transform: Affine
    shape: tuple[int, int]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in its CRS."""
        left, top = self.transform @ (0, 0)
        right, bottom = self.transform @ (self.shape[1], self.shape[0])
        return left, bottom, right, top


def box_on(
    place: TilePlace, number: int, outline: shapely.Polygon, seen: Any, category: str, source: str, **more: Any
) -> AnnotationRow:
    """The box of what a tile shows of an object, and the rotated box around all of it, which may leave the tile.

    Args:
        place: the tile.
        number: of the object in it.
        outline: in the CRS of the tile.
        seen: the part of it in the tile. The box of an oblique outline that is cut at the border is smaller than its
            whole box cut there.
        category: of the object.
        source: where it comes from.
        more: other columns, which take the place of what the outline says (length and width).
    """
    height, width = place.shape
    points = np.array(outline.exterior.coords)[:-1]
    columns, rows = ~place.transform @ points.T
    on_tile = np.column_stack([columns / width, rows / height])
    west, south, east, north = seen.bounds
    ends = np.column_stack(~place.transform @ np.array([[west, east, west, east], [south, south, north, north]]))
    shown = ends / (width, height)
    low, high = np.clip(shown.min(axis=0), 0, 1), np.clip(shown.max(axis=0), 0, 1)
    corners = rotated_box(on_tile)
    metres = np.linalg.norm(np.diff(rotated_box(points)[:3], axis=0), axis=1)
    return annotation(
        place.tile_id,
        number,
        category,
        (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
        corners=corners.ravel().tolist(),
        polygon=on_tile.ravel().tolist(),
        source=source,
        **{"length_m": float(metres.max()), "width_m": float(metres.min()), **more},
    )


def in_crs(outlines: Sequence[shapely.Polygon], crs: CRS, code: str) -> list[shapely.Polygon]:
    """Outlines in another CRS; those that have no place there become empty."""
    to = Transformer.from_crs(crs, CRS.from_user_input(code), always_xy=True)
    moved = []
    for outline in outlines:
        x, y = to.transform(*np.array(outline.exterior.coords).T)
        sound = np.isfinite(x).all() and np.isfinite(y).all()
        there = shapely.Polygon(np.column_stack([x, y])) if sound else shapely.Polygon()
        moved.append(there if there.is_valid else there.convex_hull)  # a thin one may cross itself when it is bent
    return moved
