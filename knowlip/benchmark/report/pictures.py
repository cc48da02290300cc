"""Tile images as small data URIs, and mosaics of a place's tiles in their true position."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from knowlip.dataset import Dataset


def data_uri(image: Image.Image, quality: int = 72) -> str:
    """A picture as `data:image/webp;base64,...`."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def shrink(image: NDArray[np.uint8], side: int) -> Image.Image:
    """An (H, W) tile with its longer side at most `side` pixels. Reducing averages speckle away."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    return picture


class Pictures:
    """Thumbnails of tiles, each encoded once.

    Args:
        data: the data set.
        quality: of WebP.
    """

    def __init__(self, data: Dataset, quality: int = 72) -> None:
        self.data, self.quality = data, quality
        self._uris: dict[tuple[str, int], str] = {}

    def uri(self, tile_id: str, side: int) -> str:
        """Data URI of a tile's picture with `side` pixels."""
        key = (tile_id, side)
        if key not in self._uris:
            self._uris[key] = data_uri(shrink(self.data.image(tile_id), side), self.quality)
        return self._uris[key]


def bounds(tiles: pd.DataFrame) -> NDArray[np.float64]:
    """(N, 4) left, bottom, right, top of tiles in metres of their UTM zone, from `proj:transform` and `proj:shape`."""
    rows = []
    for transform, shape in zip(tiles["proj:transform"], tiles["proj:shape"]):
        step_x, _, left, _, step_y, top = (float(v) for v in list(transform)[:6])
        rows.append((left, top + step_y * int(shape[0]), left + step_x * int(shape[1]), top))
    return np.array(rows).reshape(-1, 4)


def mosaic(
    data: Dataset, tiles: pd.DataFrame, side: int, quality: int = 60
) -> tuple[str, tuple[float, float, float, float]]:
    """All tiles of one place in one picture.

    Args:
        data: the data set.
        tiles: accepted tiles of one UTM zone; where scales overlap, the largest windows are on top.
        side: of the longer side in pixels.
        quality: of WebP.

    Returns:
        Data URI, and (left, bottom, right, top) in metres.
    """
    boxes = bounds(tiles)
    left, bottom, right, top = (
        float(boxes[:, 0].min()), float(boxes[:, 1].min()), float(boxes[:, 2].max()), float(boxes[:, 3].max()),
    )  # fmt: skip
    scale = side / max(right - left, top - bottom)
    canvas = Image.new("L", (max(1, round((right - left) * scale)), max(1, round((top - bottom) * scale))), 0)
    seen: dict[str, Any] = dict(zip(tiles["tile_id"], boxes))
    order = tiles.sort_values("window_m", kind="stable")["tile_id"].tolist()
    for tile_id, image in zip(order, data.images(order)):
        a, b, c, d = seen[tile_id]
        x, y = round((a - left) * scale), round((top - d) * scale)
        size = (max(1, round((c - left) * scale) - x), max(1, round((top - b) * scale) - y))
        canvas.paste(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX), (x, y))
    return data_uri(canvas, quality), (left, bottom, right, top)
