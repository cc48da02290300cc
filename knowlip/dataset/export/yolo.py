"""YOLO in the layout of ultralytics: images/ and labels/ side by side and a data.yaml."""

from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
import yaml

from knowlip.dataset.annotations import rotated_box
from knowlip.dataset.export.job import Export, ExportTile, corners_px, image_place, number

_DIGITS = 8


def write(job: Export) -> None:
    """Upright boxes: class, centre x, centre y, width, height, in fractions of the image."""
    _write(job, _upright)


def write_oriented(job: Export) -> None:
    """Rotated boxes: class and four corners in fractions. Corners outside the image are drawn in, because ultralytics
    leaves out images that have any."""
    _write(job, _oriented)


def _write(job: Export, line: Callable[[ExportTile, dict[str, Any]], str]) -> None:
    job.write_images(image_place)
    for split, tiles in job.splits():
        folder = job.out / "labels" / split
        folder.mkdir(parents=True)
        for tile in tiles:
            lines = [f"{job.labels.index(item['label'])} {line(tile, item)}\n" for item in tile.objects]
            (folder / f"{tile.tile_id}.txt").write_text("".join(lines))
    # A split that is not there is not named, and no other in its place: ultralytics asks for train and val, and
    # would choose its epoch by the test set if this were called val.
    document = {
        "path": ".",
        **{split: f"images/{split}" for split, _ in job.splits()},
        "names": dict(enumerate(job.labels)),
    }
    (job.out / "data.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _upright(tile: ExportTile, item: dict[str, Any]) -> str:
    values = (item["x"] + item["width"] / 2, item["y"] + item["height"] / 2, item["width"], item["height"])
    return " ".join(number(value, _DIGITS) for value in values)


def _oriented(tile: ExportTile, item: dict[str, Any]) -> str:
    size = np.array([tile.width, tile.height], float)
    corners = corners_px(tile, item)
    if (corners < 0).any() or (corners > size).any():
        part = shapely.intersection(shapely.Polygon(corners), shapely.box(0, 0, *size))
        if isinstance(part, shapely.Polygon) and part.area > 0:
            corners = rotated_box(np.array(part.exterior.coords)[:-1])
        corners = np.clip(corners, 0, size)
    return " ".join(number(value, _DIGITS) for value in (corners / size).ravel())
