"""A data set for PyTorch: tiles, their texts and questions, by number or as a stream, in any number of workers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, get_worker_info

from knowlip.language.captions import compose_texts

Transform = Callable[[Tensor], Any]
"""An image (1, H, W) uint8 -> what stands in its place."""


class ReadableTiles(Protocol):
    """What is read of a data set: :class:`knowlip.dataset.Dataset`."""

    path: Path

    def image(self, tile_id: str) -> np.ndarray: ...
    def tiles(self, split: str | None = None, scale: str | None = None) -> Any: ...
    def revisions(self) -> list[int]: ...
    def texts(self, revision: int | None = None) -> Any: ...


class TileItem(TypedDict, total=False):
    """One item of a data set in PyTorch: an image, and what is said or asked of it."""

    image: Any
    """(1, H, W) uint8, 0 = no data; or what the transform makes of it."""
    tile_id: str
    """Name of the tile."""
    metres_per_pixel: float
    """NaN where it is not known."""
    text: str
    """All sub-texts of the tile as one; absent where the data set has none."""
    question: str
    """Where questions were given, as `answer`."""
    answer: str
    """To the question."""


@dataclass(frozen=True)
class TileSource:
    """What items are made of. It holds a path and rows, no open file: workers may be forked or spawned.

    Args:
        kind: makes a reader of the path.
        path: of the data set.
        tile_ids: of each item.
        metres: of each item.
        texts: tile -> text; None where the data set has none.
        questions: of each item its question and answer; None where none are asked.
        transform: of the image.
    """

    kind: Callable[[Path], ReadableTiles]
    path: Path
    tile_ids: Sequence[str]
    metres: Sequence[float]
    texts: Mapping[str, str] | None
    questions: Sequence[tuple[str, str]] | None
    transform: Transform | None
    _open: dict[str, ReadableTiles] = field(default_factory=dict, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def item(self, at: int) -> TileItem:
        """The item of a number."""
        if "data" not in self._open:
            self._open["data"] = self.kind(self.path)
        tile_id = self.tile_ids[at]
        # A copy: pixels that were decoded belong to the reader and may not be written to.
        image = torch.from_numpy(np.array(self._open["data"].image(tile_id)))[None]
        found: TileItem = {
            "image": image if self.transform is None else self.transform(image),
            "tile_id": tile_id,
            "metres_per_pixel": self.metres[at],
        }
        if self.texts is not None:
            found["text"] = self.texts[tile_id]
        if self.questions is not None:
            found["question"], found["answer"] = self.questions[at]
        return found


class TorchTiles(TorchDataset[TileItem]):
    """Items by number, for `torch.utils.data.DataLoader`."""

    def __init__(self, source: TileSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source.tile_ids)

    def __getitem__(self, at: int) -> TileItem:
        if not -len(self) <= at < len(self):
            raise IndexError(f"There are {len(self)} items, no number {at}.")
        return self.source.item(at)


class TorchTileStream(IterableDataset[TileItem]):
    """Items one after the other, each by one worker of one process.

    Args:
        source: of the items.
        seed: of their order; None: as they stand. Each pass has another order (:meth:`set_epoch`).
    """

    def __init__(self, source: TileSource, seed: int | None) -> None:
        super().__init__()
        self.source, self.seed = source, seed
        # In memory that workers share: those that stay for the next pass (`persistent_workers`) hold copies of this.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Of which pass the order is."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Of which pass the order is; call it before each, with the same number in every process."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Items of this process over all its workers."""
        rank, world = _rank()
        return len(range(rank, len(self.source.tile_ids), world))

    def __iter__(self) -> Iterator[TileItem]:
        count = len(self.source.tile_ids)
        order = np.arange(count)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(count)
        rank, world = _rank()
        mine = order[rank::world]
        worker = get_worker_info()
        if worker is not None:
            mine = mine[worker.id :: worker.num_workers]
        for at in mine:
            yield self.source.item(int(at))


def _rank() -> tuple[int, int]:
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if there else (0, 1)


def torch_tiles(
    kind: Callable[[Path], ReadableTiles],
    data: ReadableTiles,
    split: str | None,
    scale: str | None,
    transform: Transform | None,
    revision: int | None,
    questions: Sequence[Mapping[str, str]] | None,
) -> TileSource:
    """What items of a data set are made of, see :meth:`Dataset.torch`."""
    # All is checked here, before a worker starts: an error in one comes with the traceback of all.
    tiles = data.tiles(split, scale)
    if tiles.empty:
        raise ValueError(f"{data.path} has no accepted tiles of split {split or 'any'} and scale {scale or 'any'}.")
    known = {
        str(tile): float(metres) if metres is not None else math.nan
        for tile, metres in zip(tiles["tile_id"], tiles["metres_per_pixel"])
    }
    tile_ids, asked = list(known), None
    if questions is not None:
        rows = [dict(row) for row in questions]
        if not all({"tile_id", "question", "answer"} <= row.keys() for row in rows):
            raise ValueError("Every question needs tile_id, question and answer.")
        everywhere = {*data.tiles()["tile_id"]}
        if strangers := sorted({str(row["tile_id"]) for row in rows} - everywhere):
            raise ValueError(f"A question names tile {strangers[0]!r}, which {data.path} does not hold.")
        rows = [row for row in rows if row["tile_id"] in known]
        if not rows:
            raise ValueError("None of the questions is about one of the tiles.")
        tile_ids = [str(row["tile_id"]) for row in rows]
        asked = [(str(row["question"]), str(row["answer"])) for row in rows]
    if revision is not None and revision not in data.revisions():
        raise ValueError(f"{data.path} has no text revision {revision}; it has {data.revisions() or 'none'}.")
    texts = None
    if data.revisions():
        said = compose_texts(data.texts(revision))
        texts = {tile: said.get(tile, "") for tile in known}
    return TileSource(kind, data.path, tile_ids, [known[tile] for tile in tile_ids], texts, asked, transform)
