"""The tiles of one scale in chunks, and what became of them, both looked up when they are wanted.

What waits for its turn is a row of an Arrow table (0.4 kB a tile); as objects of Python, with the texts of its parent,
it would take 20 kB, and a hundred thousand of them gigabytes.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from knowlip.annotators.chunks import ChunkStore, Outcome, Outcomes
from knowlip.annotators.types import Annotation
from knowlip.annotators.workers import REQUEST_COLUMNS, Chunk
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset

_ROWS_AT_ONCE = 512
"""Rows of a wave that are turned into objects of Python together."""
_CHUNKS_KEPT = 512
"""Finished chunks that stay in memory. In the order of names the small tiles of a frame 500 large tiles wide come from
as many chunks in turn."""
_TILES_AT_ONCE = 2048


class Finished:
    """Outcomes of finished chunks, the last ones used at hand."""

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._known: OrderedDict[str, Outcomes] = OrderedDict()

    def of(self, chunk: str) -> Outcomes:
        """Those of a finished chunk."""
        known = self._known.pop(chunk, None)
        self._known[chunk] = known if known is not None else self._store.read(chunk)
        if len(self._known) > _CHUNKS_KEPT:
            self._known.popitem(last=False)
        return self._known[chunk]


class Wave:
    """The accepted tiles of one scale, large tile by large tile.

    Args:
        scale: of the tiles.
        rows: of the index, the columns `REQUEST_COLUMNS`, all of this scale.
        size: tiles of a chunk.
        above: the waves before it, in which the parents are.
        finished: where the annotations of the parents are found when it is their turn.
    """

    def __init__(self, scale: str, rows: pa.Table, size: int, above: "Sequence[Wave]", finished: Finished) -> None:
        self.scale, self.size, self._finished = scale, size, finished
        self.table = rows.sort_by([("root_id", "ascending"), ("tile_id", "ascending")]).combine_chunks()
        self._parents = [(wave, self._places_in(wave)) for wave in above]
        self._block = lru_cache(2)(self._rows_of_block)

    def _places_in(self, wave: "Wave") -> np.ndarray:
        """Row of each tile's parent in another wave, -1 where it is not there."""
        found = pc.index_in(self.table["parent_id"], value_set=wave.table["tile_id"])
        places: np.ndarray = pc.fill_null(found, -1).to_numpy().astype(np.int32)
        return places

    def __len__(self) -> int:
        return len(self.table)

    def chunk_of(self, at: int) -> str:
        """Name of the chunk that a row belongs to."""
        return f"{self.scale}-{at // self.size:06d}"

    def pieces(self) -> Iterator["Piece"]:
        """All chunks whole."""
        for start in range(0, len(self), self.size):
            yield Piece(self, range(start, min(start + self.size, len(self))))

    def names(self, at: Sequence[int]) -> list[str]:
        """Tiles of some rows."""
        found: list[str] = self.table["tile_id"].take(pa.array(at, pa.int64())).to_pylist()
        return found

    def row(self, at: int) -> dict[str, Any]:
        """A row of the index."""
        return self._block(at // _ROWS_AT_ONCE)[at % _ROWS_AT_ONCE]

    def parent(self, at: int) -> Annotation | None:
        """Annotation of a tile's parent; None where it has none."""
        for wave, places in self._parents:
            if (place := int(places[at])) >= 0:
                outcome = self._finished.of(wave.chunk_of(place)).get(self.row(at)["parent_id"])
                return outcome if isinstance(outcome, Annotation) else None
        return None

    def _rows_of_block(self, number: int) -> list[dict[str, Any]]:
        records = self.table.slice(number * _ROWS_AT_ONCE, _ROWS_AT_ONCE).to_pandas().to_dict("records")
        return [{str(key): value for key, value in row.items()} for row in records]


@dataclass(frozen=True)
class Piece:
    """Tiles of one chunk that wait to be annotated."""

    wave: Wave
    at: Sequence[int]
    """Their rows in the wave."""

    @property
    def name(self) -> str:
        """Of the chunk."""
        return self.wave.chunk_of(self.at[0])

    def chunk(self) -> Chunk:
        """The tiles with what is told of them, and the annotations of their parents."""
        rows = [self.wave.row(at) for at in self.at]
        parents = {row["parent_id"]: self.wave.parent(at) for at, row in zip(self.at, rows)}
        return Chunk(self.name, rows, {name: note for name, note in parents.items() if note is not None})


def waves_of(dataset: Dataset, store: ChunkStore, size: int) -> list[Wave]:
    """The accepted tiles of a data set, large before medium before small, in chunks of `size` that are kept in
    `store`."""
    rows, waves, finished = dataset.columns(REQUEST_COLUMNS, accepted=True), list[Wave](), Finished(store)
    for scale in SCALES:
        mine = rows.filter(pc.equal(rows["scale"], scale))
        waves.append(Wave(scale, mine, size, list(waves), finished))
    return waves


def outcomes_of(waves: Sequence[Wave], store: ChunkStore) -> Iterator[list[tuple[str, Outcome]]]:
    """Every tile with its outcome in the order of names, some at a time; all chunks are finished."""
    finished = Finished(store)
    names = pa.concat_arrays([chunk for wave in waves for chunk in wave.table["tile_id"].chunks])
    starts = np.cumsum([0, *map(len, waves)])
    order = pc.array_sort_indices(names).to_numpy()
    for first in range(0, len(order), _TILES_AT_ONCE):
        places = order[first : first + _TILES_AT_ONCE]
        found = []
        for tile, place in zip(names.take(pa.array(places)).to_pylist(), places.tolist()):
            number = int(np.searchsorted(starts, place, side="right")) - 1
            found.append((tile, finished.of(waves[number].chunk_of(place - int(starts[number])))[tile]))
        yield found
