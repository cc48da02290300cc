"""What every exporter gets: the chosen tiles, their objects and texts, and the images as a stream."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.progress import track
from knowlip.dataset.layout import SHARDS, SPLITS
from knowlip.dataset.reader import Dataset
from knowlip.dataset.shards import ShardSample, read_shard


@dataclass(frozen=True)
class ExportTile:
    """A tile to export."""

    tile_id: str
    split: str
    width: int
    height: int
    metres_per_pixel: float  # NaN where not known.
    objects: list[dict[str, Any]] = field(default_factory=list)
    """Rows of annotations, with the class name to use as `label`."""
    texts: list[tuple[str, str]] = field(default_factory=list)  # (dimension, sub-text) in slot order.


@dataclass(frozen=True)
class Export:
    """An export in progress: everything is written below `out`."""

    data: Dataset
    out: Path
    tiles: list[ExportTile]  # Sorted by tile_id.
    labels: list[str]
    """Names of the classes of the whole data set; the position is the class number from 0."""

    def splits(self) -> Iterator[tuple[str, list[ExportTile]]]:
        """Splits that have tiles, with these."""
        for split in SPLITS:
            tiles = [tile for tile in self.tiles if tile.split == split]
            if tiles:
                yield split, tiles

    def samples(self) -> Iterator[tuple[ExportTile, ShardSample]]:
        """Every tile with its PNG and metadata, shard by shard, so that each shard is read once."""
        chosen = {tile.tile_id: tile for tile in self.tiles}
        frame = self.data.tiles(columns=("tile_id", "shard"))
        shards = sorted(set(frame.loc[frame["tile_id"].isin(chosen), "shard"]))
        for name in track(shards, "export shards"):
            for sample in read_shard(self.data.path / SHARDS / name):
                if sample.key in chosen:
                    yield chosen[sample.key], sample

    def write_images(self, place: Callable[[ExportTile], str]) -> None:
        """Write the PNG of every tile, its bytes unchanged.

        Args:
            place: path below `out`.
        """
        for tile, sample in self.samples():
            path = self.out / place(tile)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sample.png)


def image_place(tile: ExportTile) -> str:
    """Where most formats have an image."""
    return f"images/{tile.split}/{tile.tile_id}.png"


def points_px(tile: ExportTile, values: Any) -> np.ndarray:
    """Fractions x, y, x, y, ... -> (N, 2) pixels."""
    return np.asarray(values, float).reshape(-1, 2) * (tile.width, tile.height)


def corners_px(tile: ExportTile, item: dict[str, Any]) -> np.ndarray:
    """(4, 2) pixels of the rotated box of an object; of its upright box where there is none."""
    if len(item["corners"]):
        return points_px(tile, item["corners"])
    left, top = item["x"], item["y"]
    right, bottom = left + item["width"], top + item["height"]
    return points_px(tile, [left, top, right, top, right, bottom, left, bottom])


def number(value: float, digits: int) -> str:
    """A number with at most so many decimals and no trailing zeros."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
