"""Tiles as training sees them: 8-bit pixels at the model's input size, from one memory-mapped array or straight from
the shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.pixels import TileReader

_CHUNK = 256


class Pixels(Protocol):
    """Tiles at one size, wherever they are kept: a memory-mapped array, or the shards."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(tiles, S, S)"""

    def __getitem__(self, rows: np.ndarray | list[int]) -> np.ndarray:
        """uint8 (rows, S, S)."""


def open_pixels(
    dataset: Dataset,
    tile_ids: Sequence[str],
    size: int,
    cache: Path,
    kind: Literal["cache", "stream"] = "cache",
    workers: int = 2,
) -> Pixels:
    """Tiles at one size, in the order of `tile_ids`.

    Args:
        dataset: where the tiles are.
        tile_ids: which.
        size: side in pixels.
        cache: folder for what is kept between runs; the names in it hold the data's fingerprint, so that other data
            never meets it.
        kind: "cache": all tiles are decoded once into one file, which later runs map; "stream": tiles are read from
            the shards whenever they are asked for. Both give the same pixels.
        workers: threads that decode.

    Raises:
        ValueError: a shard is missing, or a tile in it is damaged.
    """
    if kind == "stream":
        return StreamedPixels(TileReader(dataset, tile_ids, cache, max(1, workers)), size)
    return load_pixels(dataset, tile_ids, size, cache, workers)


class StreamedPixels:
    """Tiles that are read and decoded whenever they are asked for."""

    def __init__(self, reader: TileReader, size: int) -> None:
        self.reader, self.size = reader, size

    @property
    def shape(self) -> tuple[int, ...]:
        """(tiles, S, S)"""
        return (len(self.reader), self.size, self.size)

    def __getitem__(self, rows: np.ndarray | list[int]) -> np.ndarray:
        return self.reader.read(rows, self.size)


def load_pixels(dataset: Dataset, tile_ids: Sequence[str], size: int, cache: Path, workers: int = 2) -> np.ndarray:
    """Decode and resize tiles once; see :func:`open_pixels`.

    Returns:
        uint8 (tiles, size, size), memory-mapped read-only.
    """
    key = sha256("\n".join([dataset.fingerprint, str(size), *tile_ids]).encode())[:16]
    path = cache / f"pixels-{size}-{key}.npy"
    if not path.is_file():
        reader = TileReader(dataset, tile_ids, cache, max(1, workers))
        with whole_file(path) as part, part.open("wb") as stream:
            shape = (len(tile_ids), size, size)
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
            chunks = [range(first, min(first + _CHUNK, len(tile_ids))) for first in range(0, len(tile_ids), _CHUNK)]
            for chunk in track(chunks, f"decode {len(tile_ids)} tiles at {size} px"):
                stream.write(reader.read(chunk, size).tobytes())
        reader.close()
    return np.asarray(np.load(path, mmap_mode="r"))
