"""Where the tiles lie: the map of the world, and a picture a place with its tiles in their true position."""

import math
from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from knowlip.dataset import Dataset
from knowlip.pages.charts import SPLIT_COLOURS
from knowlip.pages.maps import MapMark, world_map
from knowlip.pages.render import picture_uri

SPLITS: Final = ("train", "val", "test")
_MOST_PLACES, _MOST_MOSAIC_TILES = 24, 48


class Pictures:
    """Thumbnails of tiles as data URIs, each encoded once; `quality` is WebP's."""

    def __init__(self, data: Dataset, quality: int = 72) -> None:
        self.data, self.quality = data, quality
        self._uris: dict[tuple[str, int], str] = {}

    def uri(self, tile_id: str, side: int) -> str:
        """A tile's picture with `side` pixels."""
        key = (tile_id, side)
        if key not in self._uris:
            self._uris[key] = picture_uri(self.data.image(tile_id), side, self.quality)
        return self._uris[key]


def places(data: Dataset) -> dict[str, Any]:
    """What the section shows: the map, a panel a place (the first 24), and how many places are left out."""
    index = data.index
    found = [(str(name), rows) for name, rows in index[index["accepted"]].groupby("scene_id", sort=True)]
    marks = [MapMark(name, *_middle(rows), _splits(rows)) for name, rows in found]
    panels = [_panel(data, number, *place) for number, place in enumerate(found[:_MOST_PLACES], 1)]
    left_out = max(0, len(found) - _MOST_PLACES)
    return {"splits": SPLITS, "world": world_map(marks, SPLIT_COLOURS), "panels": panels, "left_out": left_out}


def _splits(rows: pd.DataFrame) -> dict[str, int]:
    counts = Counter(rows["split"])
    return {split: counts[split] for split in SPLITS if counts[split]}


def _panel(data: Dataset, number: int, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """One place: its picture, and its largest tiles as boxes in per cent of it, coloured by split."""
    # A scene cut in several UTM zones is shown in its main one.
    rows = rows[rows["proj:code"] == rows["proj:code"].mode().iloc[0]]
    largest = rows[rows["window_m"] == rows["window_m"].max()]
    picture, (left, bottom, right, top) = mosaic(data, pd.concat([largest, rows.drop(largest.index)]), side=300)
    width, height = right - left, top - bottom
    boxes = [
        {
            "tile_id": tile_id,
            "split": split,
            "left": round(100 * (a - left) / width, 2),
            "top": round(100 * (top - d) / height, 2),
            "width": round(100 * (c - a) / width, 2),
            "height": round(100 * (d - b) / height, 2),
        }
        for tile_id, split, (a, b, c, d) in zip(largest["tile_id"], largest["split"], bounds(largest))
    ]
    bar = _scale_bar(width)
    first = rows.iloc[0]
    return {
        "number": number,
        "name": name,
        "picture": picture,
        "boxes": boxes,
        "bar": f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m",
        "bar_width": round(100 * bar / width, 1),
        "where": ", ".join(str(value) for value in (first["city"], first["country"]) if value),
        "position": _degrees(rows),
        "platform": first["platform"],
        "resolution": f"{first['resolution_m']:.3g}",
        "splits": _splits(rows),
    }


def bounds(tiles: pd.DataFrame) -> NDArray[np.float64]:
    """(N, 4) left, bottom, right, top of tiles in metres of their UTM zone, from `proj:transform` and `proj:shape`."""
    rows = []
    for transform, shape in zip(tiles["proj:transform"], tiles["proj:shape"]):
        step_x, _, left, _, step_y, top = (float(v) for v in list(transform)[:6])
        rows.append((left, top + step_y * int(shape[0]), left + step_x * int(shape[1]), top))
    return np.array(rows).reshape(-1, 4)


def mosaic(data: Dataset, tiles: pd.DataFrame, side: int) -> tuple[str, tuple[float, float, float, float]]:
    """The first 48 tiles of one UTM zone in one picture; where scales overlap, the largest windows are on top.

    Returns:
        Data URI with a longer side of `side` pixels, and (left, bottom, right, top) in metres.
    """
    tiles = tiles.head(_MOST_MOSAIC_TILES)
    boxes = bounds(tiles)
    (left, bottom), (right, top) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    scale = side / max(right - left, top - bottom)
    canvas = Image.new("L", (max(1, round((right - left) * scale)), max(1, round((top - bottom) * scale))), 0)
    place_of = dict(zip(tiles["tile_id"], boxes))
    order = tiles.sort_values("window_m", kind="stable")["tile_id"].tolist()
    for tile_id, image in zip(order, data.images(order)):
        a, b, c, d = place_of[tile_id]
        x, y = round((a - left) * scale), round((top - d) * scale)
        size = (max(1, round((c - left) * scale) - x), max(1, round((top - b) * scale) - y))
        canvas.paste(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX), (x, y))
    return picture_uri(canvas, side, 60), (left, bottom, right, top)


def _scale_bar(width_m: float) -> float:
    """A round length of about a fifth to a third of the width."""
    power = 10 ** math.floor(math.log10(width_m / 4))
    return max(f * power for f in (1, 2, 5) if f * power <= width_m / 3.2)


def _middle(rows: pd.DataFrame) -> tuple[float, float]:
    """Longitude and latitude amid tiles; those on both sides of the date line have their middle there."""
    turns = np.exp(1j * np.radians(rows["lon"].dropna().to_numpy(float)))
    lon = float(np.degrees(np.angle(turns.mean()))) if len(turns) else math.nan
    return lon, float(rows["lat"].mean())


def _degrees(rows: pd.DataFrame) -> str:
    if rows["lon"].isna().all():
        return "place unknown"
    lon, lat = _middle(rows)
    return f"{abs(lat):.2f}°{'N' if lat >= 0 else 'S'} {abs(lon):.2f}°{'E' if lon >= 0 else 'W'}"
