"""Random access to the pixels of many tiles: read from the middle of the shards, decoded and resized by threads."""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.base.files import whole_file
from knowlip.dataset.decode import decode_grey, resize_grey
from knowlip.dataset.layout import SHARDS
from knowlip.dataset.reader import Dataset
from knowlip.dataset.shards import shard_places

_BLOCK, _ZERO = 512, bytes(512)
_OPEN_FILES = 128
_AT_ONCE = 8
"""Tiles that a thread reads before it asks for more."""
_PLACES = pa.schema([("shard", pa.int32()), ("tile_id", pa.string()), ("offset", pa.int64()), ("size", pa.int32())])


class _Opened(NamedTuple):
    """A shard and where its tiles are in it: one state of the file, though others may replace it."""

    file: FileIO
    offset_N: np.ndarray
    size_N: np.ndarray


class TileReader:
    """Pixels of tiles by number.

    Where each PNG begins is looked up once and kept in a file named after the data set's fingerprint; a shard that was
    replaced since is looked through again. Several threads may read at once; a pickled reader goes on in another
    process.

    Args:
        dataset: where the tiles are.
        tile_ids: which; their position is their number.
        cache: folder for the file of places; it may be shared by several runs.
        workers: threads that decode; 1 reads in the calling thread.

    Raises:
        ValueError: a tile is not in the data set, or a shard is missing or damaged.
    """

    def __init__(self, dataset: Dataset, tile_ids: Sequence[str], cache: Path, workers: int = 2) -> None:
        tiles = dataset.tiles()
        shard_of = dict(zip(tiles["tile_id"], tiles["shard"]))
        if strangers := [tile_id for tile_id in tile_ids if tile_id not in shard_of]:
            raise ValueError(f"{dataset.path} has no accepted tile {strangers[0]!r}.")
        self.folder, self.tile_ids, self.workers = dataset.path / SHARDS, list(tile_ids), workers
        self.shards: list[str] = sorted({shard_of[tile_id] for tile_id in tile_ids})
        """Names of the files that hold the tiles."""
        number = {shard: at for at, shard in enumerate(self.shards)}
        self.shard_N = np.array([number[shard_of[tile_id]] for tile_id in tile_ids], np.int32)
        """Position in `shards` of each tile's file."""
        self._lock = threading.Lock()
        self._files: OrderedDict[int, FileIO] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None
        self._marks, self._offset_N, self._size_N = self._find(cache / f"places-{dataset.fingerprint[:16]}.parquet")

    def __len__(self) -> int:
        return len(self.tile_ids)

    @property
    def offset_N(self) -> np.ndarray:
        """Where each tile's PNG begins in its shard, in bytes."""
        return self._offset_N

    def read(self, rows: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
        """Tiles at one size.

        Args:
            rows: numbers of tiles.
            size: side in pixels; larger tiles are averaged (antialiased) to it.

        Returns:
            uint8 (rows, size, size); 0 is nodata.

        Raises:
            ValueError: a shard cannot be read, or a tile in it is damaged; both are named.
        """
        rows = np.asarray(rows, np.int64).reshape(-1)
        out = np.empty((len(rows), size, size), np.uint8)
        order = np.lexsort((self._offset_N[rows], self.shard_N[rows]))  # a disk is read forwards
        chunks = [order[first : first + _AT_ONCE] for first in range(0, len(order), _AT_ONCE)]

        def fill(chunk: np.ndarray) -> None:
            for at in chunk:
                out[at] = self._tile(int(rows[at]), size)

        if self.workers <= 1 or len(chunks) == 1:
            for chunk in chunks:
                fill(chunk)
        else:
            for _ in self._threads().map(fill, chunks):
                pass
        return out

    def close(self) -> None:
        """End the threads and close the files; reading opens them again."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._files.clear()
        if pool is not None:
            pool.shutdown()

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_lock": None, "_files": None, "_pool": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _files=OrderedDict(), _pool=None)

    def _tile(self, row: int, size: int) -> np.ndarray:
        shard = int(self.shard_N[row])
        path = self.folder / self.shards[shard]
        try:
            opened = self._open(shard)
            wanted = int(opened.size_N[row])
            data = os.pread(opened.file.fileno(), wanted, int(opened.offset_N[row]))
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}).") from error
        try:
            if len(data) != wanted:
                raise OSError("the file is cut off")
            return resize_grey(decode_grey(data), size)
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} is damaged: tile {self.tile_ids[row]} is no PNG ({error}).") from error

    def _open(self, shard: int) -> _Opened:
        """The shard's file; a closed one is opened, and looked through when it is another than before."""
        with self._lock:
            file = self._files.get(shard)
            if file is None:
                path = self.folder / self.shards[shard]
                file = FileIO(path)
                if _mark(file) != self._marks[shard]:
                    self._look_again(shard, path, file)
                self._files[shard] = file
                if len(self._files) > _OPEN_FILES:
                    self._files.popitem(last=False)  # closed when the last thread that reads from it lets go
            self._files.move_to_end(shard)
            return _Opened(file, self._offset_N, self._size_N)

    def _look_again(self, shard: int, path: Path, file: FileIO) -> None:
        """Take the places of a file that was replaced, in new arrays: others may be reading by the old ones."""
        self._marks[shard] = _mark(file)
        found = png_places(path)
        offset_N, size_N = self._offset_N.copy(), self._size_N.copy()
        for row in np.flatnonzero(self.shard_N == shard):
            offset_N[row], size_N[row] = _place(found, self.tile_ids[row], path)
        self._offset_N, self._size_N = offset_N, size_N

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, "tiles")
            return self._pool

    def _find(self, cache: Path) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
        """State of each shard, and offset and size of each tile: from the cache where it is still true."""
        known_marks, known = _read_places(cache)
        marks: list[tuple[int, int]] = []
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for shard in self.shards:
            path = self.folder / shard
            try:
                status = path.stat()
            except OSError as error:
                raise ValueError(f"{path} cannot be read ({error.strerror}).") from error
            marks.append((status.st_size, status.st_mtime_ns))
            found[shard] = known[shard] if known_marks.get(shard) == marks[-1] else png_places(path)
        now = dict(zip(self.shards, marks))
        if any(known_marks.get(shard) != mark for shard, mark in now.items()):
            _write_places(cache, known_marks | now, known | found)
        places = np.array(
            [
                _place(found[self.shards[shard]], tile_id, self.folder / self.shards[shard])
                for shard, tile_id in zip(self.shard_N, self.tile_ids)
            ],
            np.int64,
        ).reshape(-1, 2)
        return marks, places[:, 0].copy(), places[:, 1].copy()


def png_places(path: Path) -> dict[str, tuple[int, int]]:
    """Key -> (offset, size) of every PNG in a shard.

    Reads the headers only, a hundred times as fast as `tarfile`; a shard that KnowLIP did not write is left to
    :func:`knowlip.dataset.shards.shard_places`, which also says what is wrong with a damaged one.
    """
    try:
        with FileIO(path) as file:
            number, end, place = file.fileno(), os.fstat(file.fileno()).st_size, 0
            places = {}
            while (header := os.pread(number, _BLOCK, place)) != _ZERO:
                size = int(header[124:135], 8)
                if header[257:263] != b"ustar\0" or header[156:157] != b"0" or place + _BLOCK + size > end:
                    raise ValueError("not a plain header")
                name = header[: header.index(b"\0", 0, 101)].decode()
                if name.endswith(".png"):
                    places[name.removesuffix(".png")] = (place + _BLOCK, size)
                place += _BLOCK + size + -size % _BLOCK
            return places
    except (OSError, ValueError):
        return {key: parts[0] for key, parts in shard_places(path).items()}


def _mark(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _place(found: dict[str, tuple[int, int]], tile_id: str, path: Path) -> tuple[int, int]:
    try:
        return found[tile_id]
    except KeyError:
        raise ValueError(f"{path} does not hold tile {tile_id}.") from None


_Marks = dict[str, tuple[int, int]]
_Places = dict[str, dict[str, tuple[int, int]]]


def _read_places(path: Path) -> tuple[_Marks, _Places]:
    """Marks of the shards, and the places in each; nothing where there is no such file or it is damaged."""
    try:
        table = pq.ParquetFile(path).read()
        shards = json.loads(table.schema.metadata[b"shards"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return {}, {}
    names = list(shards)
    places: _Places = {name: {} for name in names}
    columns = [table[name].to_pylist() for name in _PLACES.names]
    for shard, tile_id, offset, size in zip(*columns):
        places[names[shard]][tile_id] = (offset, size)
    return {name: (mark[0], mark[1]) for name, mark in shards.items()}, places


def _write_places(path: Path, marks: _Marks, places: _Places) -> None:
    def rows() -> Iterable[dict[str, object]]:
        for number, name in enumerate(marks):
            for tile_id, (offset, size) in places[name].items():
                yield {"shard": number, "tile_id": tile_id, "offset": offset, "size": size}

    table = pa.Table.from_pylist(list(rows()), _PLACES).replace_schema_metadata({"shards": json.dumps(marks)})
    with whole_file(path) as part:
        pq.write_table(table, part)
