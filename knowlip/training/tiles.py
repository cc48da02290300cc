"""Tiles as training sees them: 8-bit pixels at the model's input size, from one memory-mapped array or straight from
the shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.pixels import TileReader
from knowlip.training.balance import check_balance

_CHUNK = 256


@dataclass
class DataConfig:
    """Where pixels come from, in which order and how often, and who prepares them. `order`, `bucket_batches`, `balance`
    and `repeats` change what a training sees; the rest may differ between a run and its continuation."""

    pixels: Literal["cache", "stream"] = "cache"
    """"cache": all tiles are decoded once into one memory-mapped file at the model's size (RUN/cache). "stream": they
    are read and decoded from the shards whenever they are needed."""
    workers: int = 2
    """Threads that decode and prepare batches; 0 does it in the training loop itself."""
    prefetch: int = 2
    """Steps that are prepared ahead."""
    pin: bool = False
    """Prepare batches in page-locked memory, from which a GPU copies while it computes."""
    order: Literal["tile", "shard"] = "tile"
    """"tile": any tile may follow any other. "shard": shards in random order, tiles mixed within windows; for disks
    that are slow at random access."""
    bucket_batches: int = 1
    """Of so many batches in a row, texts of about equal length are put together; 1 for chance alone."""
    balance: float = 0.0
    """How far an epoch is balanced over instruction sets and scales: 0 takes tiles as they come, 1 all groups equally
    often; a group of n tiles gets a share in proportion to n to the power of 1 - balance. An epoch stays as long."""
    repeats: float = 4.0
    """Most times that a tile is met in a balanced epoch."""
    pad_multiple: int = 1
    """Texts are padded to a multiple of this; 1 to the longest of the batch. Compiled models want few lengths."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.prefetch < 1:
            raise ValueError("data.workers must be at least 0 and data.prefetch at least 1.")
        if self.bucket_batches < 1 or self.pad_multiple < 1:
            raise ValueError("data.bucket_batches and data.pad_multiple must be at least 1.")
        check_balance(self.balance, self.repeats, "data.")


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
