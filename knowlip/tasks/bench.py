"""What a task's measuring half gets, what it gives, and how it is found by name.

A task measures with a function in its module `knowlip/tasks/NAME.py`:

    def measure(bench: Bench, encoder: Encoder) -> Measured

`knowlip evaluate --tasks [NAME]` runs it; nothing else names it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from knowlip.base.examples import ShownExample
from knowlip.base.progress import say
from knowlip.base.rows import ANNOTATOR, Better, Json, Row, Unit, highest_floor
from knowlip.dataset import Dataset
from knowlip.dataset.others import others_of
from knowlip.models.encoders import Encoder
from knowlip.tasks.finding import find_in_task
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS, Estimate
from knowlip.tasks.settings import MeasureLimits

CLUSTERS: Final = {"block": "geographic blocks", "root_id": "families of tiles that share ground"}
"""Column of the index -> what intervals resample."""


@dataclass(frozen=True)
class Measured:
    """What a task found about an encoder."""

    rows: tuple[Row, ...]
    """The most telling one first."""
    examples: tuple[ShownExample, ...] = ()
    """Random draws, never chosen by their result."""
    details: Mapping[str, Json] = field(default_factory=dict)
    """Facts beside the rows, by name, for metrics.json."""


class Bench:
    """An opened data set, the tiles to measure, and what every task needs to know of them.

    Args:
        dataset: folder of a data set.
        split: which tiles are measured.
        limits: how much is measured.
        seed: of wordings, regions asked about, and every random choice.
        k_test: how many retrieval candidates image-text matching re-ranks.
        vqa_mode: "rank" or "generate".
        name: of the data set in rows; by default its folder's.

    Raises:
        ValueError: no tile in this split, or tiles of other splits have texts and none of this one.
    """

    def __init__(
        self,
        dataset: Path,
        split: str = "test",
        limits: MeasureLimits | None = None,
        seed: int = 0,
        k_test: int = 16,
        vqa_mode: str = "rank",
        name: str = "",
    ) -> None:
        self.data = Dataset(dataset)
        self.name = name or dataset.resolve().name
        self.split, self.seed, self.k_test, self.vqa_mode = split, seed, k_test, vqa_mode
        self.limits = limits or MeasureLimits()
        self.everything = self.data.tiles()
        """All accepted tiles, of all splits."""
        self.without_texts = 0
        """Tiles of the split that are left out, for others have texts and these have none."""
        self.tiles = self._chosen()
        """Those to measure."""
        self.tile_ids = [str(tile_id) for tile_id in self.tiles["tile_id"]]
        self.unit = "block" if self.tiles["block"].nunique() >= MIN_CLUSTERS else "root_id"
        ids = self.everything["tile_id"]
        self.clusters: Mapping[str, str] = dict(zip(ids, self.everything[self.unit].astype(str)))
        """tile_id -> what its interval resamples, see `CLUSTERS`."""
        self.windows: Mapping[str, float] = dict(zip(ids, self.everything["window_m"].astype(float)))
        self.grounds_m: Mapping[str, tuple[float, float]] = {
            tile: (window * shape[1] / max(shape), window * shape[0] / max(shape))
            for (tile, window), shape in zip(self.windows.items(), self.everything["proj:shape"])
        }
        """tile_id -> width and height on the ground in metres, NaN where they are not known."""
        self.truths = self.data.truth()
        """tile_id -> truth; empty where the data set has none."""
        self._images: dict[int, tuple[Encoder, EncodedImages]] = {}

    def _chosen(self) -> pd.DataFrame:
        tiles = self.data.tiles(self.split)
        if tiles.empty:
            raise ValueError(f"{self.data.path} has no accepted tile in the split {self.split!r}.")
        if self.data.revisions():  # a set of labels alone has no texts, and some tasks need none
            every = len(tiles)
            tiles = tiles[tiles["tile_id"].isin(set(self.data.texts(0)["tile_id"]))]
            self.without_texts = every - len(tiles)
            if 0 < self.without_texts < every:
                say(f"{self.without_texts:,} of {every:,} {self.split} tiles have no texts and are not measured.")
        if tiles.empty:
            raise ValueError(f"No tile of the split {self.split!r} of {self.data.path} has texts: annotate it first.")
        if 0 < self.limits.tiles < len(tiles):
            chosen = np.random.default_rng(self.seed).permutation(len(tiles))[: self.limits.tiles]
            tiles = tiles.iloc[np.sort(chosen)]
        return tiles

    @cached_property
    def texts(self) -> pd.DataFrame:
        """The annotator's texts (revision 0) of the tiles to measure.

        Raises:
            ValueError: there are none.
        """
        texts = self.data.texts(0)
        if texts.empty:
            raise ValueError(f"No tile of the split {self.split!r} of {self.data.path} has texts: annotate it first.")
        return texts[texts["tile_id"].isin(set(self.tile_ids))]

    @cached_property
    def sets(self) -> Mapping[str, str]:
        """tile_id -> instruction set of its texts; "" of tiles without texts."""
        known = self.data.texts(0) if self.data.revisions() else None
        of = {} if known is None else dict(zip(known["tile_id"], known["instruction_set"]))
        return {tile_id: str(of.get(tile_id, "")) for tile_id in self.tile_ids}

    @cached_property
    def others(self) -> Mapping[str, str]:
        """tile_id -> the tile of the same instruction set that lends the wrong image
        (:mod:`knowlip.dataset.others`); tiles without one are left out."""
        sets = [self.sets[tile_id] for tile_id in self.tile_ids]
        found = others_of(self.tiles, sets, self.seed).position_T
        return {one: self.tile_ids[other] for one, other in zip(self.tile_ids, found) if other >= 0}

    @property
    def annotator(self) -> str:
        """The texts' annotator as the encoder of a row."""
        return ANNOTATOR + "+".join(sorted(self.texts["annotator"].astype(str).unique()))

    def images(self, encoder: Encoder, only: Collection[str] | None = None) -> EncodedImages:
        """The encoded tiles to measure: once for all tasks.

        Args:
            encoder: encodes them.
            only: the tiles that are needed; where the others were not encoded before, they are not now.
        """
        if id(encoder) in self._images:
            return self._images[id(encoder)][1]
        if only is not None and (needed := [tile_id for tile_id in self.tile_ids if tile_id in only]) != self.tile_ids:
            return EncodedImages(encoder, self.data, needed)
        self._images[id(encoder)] = encoder, EncodedImages(encoder, self.data, self.tile_ids)
        return self._images[id(encoder)][1]

    def row(
        self,
        task: str,
        encoder: str,
        metric: str,
        figure: Estimate | None,
        floors: Mapping[str, float | None] | None = None,
        note: str = "",
        unit: Unit = "share",
        better: Better = "higher",
    ) -> Row:
        """A row of this data set with the highest of the floors beside it; `figure` None needs a note. What must be
        said of its interval comes behind the note."""
        floor, floor_name = highest_floor(floors or {}, better)
        value, ci, n = (figure.value, figure.ci, figure.n) if figure else (None, None, 0)
        note = f"{note} {figure.note if figure else ''}".strip()
        return Row(self.name, self.split, task, encoder, metric, value, ci, n, floor, floor_name, note, unit, better)


def balanced(groups: Sequence[str], count: int, seed: int = 0) -> np.ndarray:
    """Positions of at most `count` items, rising: of each group as many as it has, up to equal shares.

    Args:
        groups: of each item.
        count: how many at most.
        seed: of the draw within groups.
    """
    names, rng = np.asarray(groups, dtype=str), np.random.default_rng(seed)
    turn = np.empty(len(names), int)
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        turn[rows] = rng.permutation(len(rows))
    return np.sort(np.argsort(turn, kind="stable")[:count])


Measure = Callable[[Bench, Encoder], Measured]


def find_measure(task: str) -> Measure:
    """The measuring half of a task: `measure` in `knowlip/tasks/TASK.py`.

    Raises:
        ValueError: there is no such file, or it does not measure; the sentence lists those that do.
    """
    measure: Measure = find_in_task(task, "measure", "measures")
    return measure
