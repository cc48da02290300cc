"""Large images become tiles of one side; objects are clipped to them or left out."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import shapely

from knowlip.dataset.annotations import annotation
from knowlip.dataset.records import AnnotationRow
from knowlip.tiles.imports.labels import Label, LabelledImage, Problems
from knowlip.tiles.imports.settings import ImportConfig

Crop = tuple[int, int, int, int]
"""Left, top, width, height in pixels of the image."""


def crops(size: tuple[int, int], tile_px: int, overlap: int) -> list[Crop]:
    """Tiles of an image, row by row. The last of a row or column is moved inwards to end at the image's border.

    Args:
        size: width and height of the image.
        tile_px: side of a tile; 0, or an image that fits: the whole image.
        overlap: of neighbours.
    """
    width, height = size
    if not tile_px or max(size) <= tile_px:
        return [(0, 0, width, height)]
    lefts, tops = (_starts(extent, tile_px, tile_px - overlap) for extent in size)
    return [(x, y, min(tile_px, width), min(tile_px, height)) for y in tops for x in lefts]


def parted(
    size: tuple[int, int], tile_px: int, overlap: int, part: str, share: float, guard: int = 0
) -> list[tuple[Crop, Literal["train", "test"]]]:
    """Tiles of an image of which a part is for testing, and the split of each; none holds pixels of both.

    Args:
        size: width and height of the image.
        tile_px: side of a tile.
        overlap: of neighbours in the same part.
        part: top, bottom, left or right.
        share: of the part, rounded so that it is whole tiles; at least one row or column of tiles is in each.
        guard: pixels between the two that are in no tile: what lies side by side looks alike.

    Raises:
        ValueError: the image is too small to have both.
    """
    # Tiles are laid in each part by itself: one across the line would show the model what it is tested on. The part for
    # testing is whole tiles, so that none of its pixels is asked about twice.
    axis = 0 if part in ("left", "right") else 1
    most = (size[axis] - guard - tile_px) // tile_px
    if most < 1:
        beside = f" and {guard} between them" if guard else ""
        raise ValueError(f"An image of {size[0]} x {size[1]} has no two parts of tiles of {tile_px} pixels{beside}.")
    asked = min(max(round(size[axis] * share / tile_px), 1), most) * tile_px
    if part in ("left", "top"):
        spans = [(0, asked, "test"), (asked + guard, size[axis], "train")]
    else:
        spans = [(0, size[axis] - asked - guard, "train"), (size[axis] - asked, size[axis], "test")]
    found: list[tuple[Crop, Literal["train", "test"]]] = []
    for start, end, split in spans:
        extent = (end - start, size[1]) if axis == 0 else (size[0], end - start)
        for x, y, width, height in crops(extent, tile_px, overlap):
            place = (x + start, y, width, height) if axis == 0 else (x, y + start, width, height)
            found.append((place, "test" if split == "test" else "train"))
    return found


def _starts(extent: int, side: int, step: int) -> list[int]:
    if extent <= side:
        return [0]
    starts = list(range(0, extent - side, step))
    return [*starts, extent - side]


def annotate(
    tile_id: str, things: Sequence[Label], crop: Crop, min_visible: float, category: str, source: str
) -> Iterator[tuple[int, AnnotationRow]]:
    """Number and row of each object that a tile shows.

    An object partly outside keeps the visible part of its box and outline; its rotated box is kept while all of it is
    inside, else the visible part of it becomes the outline.

    Args:
        tile_id: the tile.
        things: objects of the image, in pixels.
        crop: the tile in the image.
        min_visible: objects of which a smaller share is visible are left out.
        category: one category for all ("": the set's own).
        source: where the labels come from.
    """
    # Numbers count all objects of the image, those left out too: the same object has the same number in every tile.
    left, top, width, height = crop
    frame = shapely.box(left, top, left + width, top + height)
    scale, offset = np.array([width, height], float), np.array([left, top], float)
    for number, thing in enumerate(things):
        names = (category, thing.category) if category else (thing.category, "")
        more = {"type": names[1], "difficult": thing.difficult, "source": source}
        if thing.whole_image:
            yield number, annotation(tile_id, number, names[0], (0.0, 0.0, 1.0, 1.0), **more)
            continue
        box, corners, polygon = thing.box, thing.corners, thing.polygon
        inside = box[0] >= left and box[1] >= top and box[2] <= left + width and box[3] <= top + height
        if not inside:
            clipped, share = _clip(shapely.box(*box), frame)
            if clipped is None or share < min_visible:
                continue
            box = clipped.bounds
        if corners is not None and not _within(corners, crop):
            if polygon is None:
                polygon = corners
            corners = None
        if polygon is not None and not _within(polygon, crop):
            part, _ = _clip(shapely.Polygon(polygon).buffer(0), frame)
            polygon = None if part is None else np.array(part.exterior.coords)[:-1]
        low, high = (np.array(box[:2]) - offset) / scale, (np.array(box[2:]) - offset) / scale
        more["corners"] = [] if corners is None else ((corners - offset) / scale).ravel().tolist()
        more["polygon"] = [] if polygon is None else ((polygon - offset) / scale).ravel().tolist()
        row_box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
        yield number, annotation(tile_id, number, names[0], row_box, **more)


def visible(thing: Label, size: tuple[int, int]) -> float:
    """Share of an object's box that lies in its image of this width and height."""
    if thing.whole_image:
        return 1.0
    left, top, right, bottom = thing.box
    width, height = (min(right, size[0]) - max(left, 0.0), min(bottom, size[1]) - max(top, 0.0))
    return max(0.0, width) * max(0.0, height) / ((right - left) * (bottom - top))


def inside(image: LabelledImage, size: tuple[int, int], config: ImportConfig, problems: Problems) -> Iterator[Label]:
    """The objects of which enough lies in their image; the others are counted."""
    for thing in image.things:
        share = visible(thing, size)
        if share > 0 and share >= config.min_visible:
            if not thing.whole_image and _reaches_over(thing.box, size):
                problems.remark("boxes reach over the edge of their image and are cut there", image.name)
            yield thing
        else:
            box = ", ".join(f"{value:g}" for value in thing.box)
            problems.drop(
                "outside", f"{image.labels}: {thing.category} at ({box}), {image.name} is {size[0]} x {size[1]}."
            )


def _reaches_over(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    """Whether a box ends more than a pixel outside its image, which rounding does not explain."""
    return min(box[:2]) < -1 or box[2] > size[0] + 1 or box[3] > size[1] + 1


def _within(points: np.ndarray, crop: Crop) -> bool:
    left, top, width, height = crop
    x, y = points.T
    return bool((x >= left).all() and (y >= top).all() and (x <= left + width).all() and (y <= top + height).all())


def _clip(shape: Any, frame: shapely.Polygon) -> tuple[shapely.Polygon | None, float]:
    """The largest part of a shape that lies in the frame, and the share of the shape's area that does."""
    cut = shapely.intersection(shape, frame)
    parts = [part for part in shapely.get_parts(cut) if isinstance(part, shapely.Polygon) and part.area > 0]
    if not parts or shape.area <= 0:
        return None, 0.0
    return max(parts, key=lambda part: part.area), float(sum(part.area for part in parts) / shape.area)
