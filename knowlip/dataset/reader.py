"""`Dataset`: read everything of a data set, append texts."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from knowlip.base.documents import parse_json, read_json
from knowlip.base.files import file_sha256, recover, sha256
from knowlip.base.parquet import read_in_parts, read_parquet, write_new_table
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import mentions as mentions_
from knowlip.dataset import texts as texts_
from knowlip.dataset.annotations import MaskReader, read_annotations
from knowlip.dataset.checks import CHECKED, checked_index, checked_info, checked_rows, checked_truth, refuse_twice
from knowlip.dataset.layout import (
    ANNOTATIONS,
    INDEX,
    INDEX_SCHEMA,
    INFO,
    MASKS,
    SHARDS,
    SPLITS,
    TRUTH,
    TRUTH_SCHEMA,
    in_order,
)
from knowlip.dataset.records import MentionRow
from knowlip.dataset.shards import ShardReader
from knowlip.language.definitions import TileTruth

if TYPE_CHECKING:
    import pandas as pd
    from geopandas import GeoDataFrame
    from torch import Tensor

    from knowlip.dataset.torch_items import TorchTiles, TorchTileStream


class Dataset:
    """A finished data set on disk.

    Raises:
        ValueError: `path` is no data set, or one of another format version.

    >>> data = knowlip.Dataset("dataset")
    >>> tile = data.tiles(scale="large")["tile_id"][0]
    >>> data.image(tile).shape, data.image(tile).dtype
    ((256, 256), dtype('uint8'))
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        recover(self.path)
        if not (self.path / INFO).exists():
            raise ValueError(f"{self.path} is not a finished data set: it has no {INFO}. Build it first.")
        self.info: dict[str, Any] = checked_info(read_json(self.path / INFO), self.path / INFO)
        self._shards = ShardReader(self.path / SHARDS)
        self._index_checked = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 that names the tiles (rows and pixels, not the texts) of this data set."""
        return str(self.info["fingerprint"])

    @cached_property
    def labels_sha256(self) -> str:
        """SHA-256 over annotations, masks with their classes, and truth, which lie beside the index: the fingerprint is
        of tiles alone."""
        files = [self.path / name for name in (ANNOTATIONS, MASKS, TRUTH)]
        found = {path.name: file_sha256(path) for path in files if path.is_file()}
        return sha256(json.dumps([found, self.info.get("mask_classes", {})], sort_keys=True).encode())

    @cached_property
    def table(self) -> pa.Table:
        """The index as an Arrow table with the columns of `INDEX_SCHEMA`, one row per tile, sorted by tile_id."""
        return checked_index(read_parquet(self.path / INDEX, INDEX_SCHEMA), self.path / INDEX)

    @cached_property
    def index(self) -> "GeoDataFrame":
        """All rows of the index, rejected tiles too, with footprints (EPSG:4326)."""
        import geopandas

        frame = self.table.drop_columns(["geometry"]).to_pandas()
        try:
            shapes = geopandas.GeoSeries.from_wkb(self.table["geometry"].to_pylist(), crs=4326)
        except (shapely.errors.ShapelyError, TypeError) as error:
            raise ValueError(f"{self.path / INDEX} holds a footprint that is none ({error}).") from error
        return geopandas.GeoDataFrame(frame, geometry=shapes)

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the index, all rows in the order of the file, so many at a time that they take little memory.

        Raises:
            ValueError: the index is broken, what becomes a path, a key or a size in it is not fit for that, or a tile
                is there twice (which is told after the last part).
        """
        # What becomes a path or a key is checked in the first pass, whichever columns are asked for.
        strangers = [name for name in columns if name not in INDEX_SCHEMA.names]
        if strangers:
            raise ValueError(f"The index has no column {strangers[0]!r}; all are in docs/dataset.md.")
        path, first = self.path / INDEX, 0
        more = [] if self._index_checked else [name for name in CHECKED if name not in columns]
        names: list[pa.Array] = []
        for part in read_in_parts(path, INDEX_SCHEMA, [*columns, *more]):
            checked_rows(part, path, first)
            first += len(part)
            if not self._index_checked:
                names += part["tile_id"].chunks
            yield part.select(columns)
        if not first:
            raise ValueError(f"{path} holds no tile.")
        if not self._index_checked:
            refuse_twice(pa.chunked_array(names), path)
            self._index_checked = True

    def columns(self, columns: Sequence[str], accepted: bool = False) -> pa.Table:
        """Some columns of the index, one row per tile in order of tile_id.

        Args:
            columns: of `INDEX_SCHEMA`.
            accepted: of accepted tiles only.

        Raises:
            ValueError: as :meth:`parts`.
        """
        # Of a million tiles all columns take 0.8 GB: they are read once, without those of rejected tiles, and put in
        # order only where the file is not.
        read = list(dict.fromkeys([*columns, "tile_id", "accepted"]))
        tables = []
        for part in self.parts(read):
            every = not accepted or pc.all(part["accepted"]).as_py()
            tables.append(part if every else part.filter(part["accepted"]))
        table = pa.concat_tables(tables)
        if not in_order(table["tile_id"]):
            table = table.sort_by("tile_id")
        return table.select(list(columns))

    @cached_property
    def _accepted(self) -> "pd.DataFrame":
        table = self.columns([name for name in INDEX_SCHEMA.names if name != "geometry"], accepted=True)
        return _frame(table)

    def tiles(
        self, split: str | None = None, scale: str | None = None, columns: Sequence[str] | None = None
    ) -> "pd.DataFrame":
        """Accepted tiles sorted by tile_id, without geometry.

        Args:
            split: "train", "val" or "test"; None for all.
            scale: "large", "medium" or "small"; None for all.
            columns: of the index; None for all. A few take a hundredth of the memory of all.
        """
        if split is not None and split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}.")
        if scale is not None and scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, not {scale!r}.")
        if "geometry" in (columns or ()):
            raise ValueError("tiles() gives no geometry; `index` has the footprints.")
        strangers = [name for name in columns or () if name not in INDEX_SCHEMA.names]
        if strangers:
            raise ValueError(f"The index has no column {strangers[0]!r}; all are in docs/dataset.md.")
        asked = [name for name, value in (("split", split), ("scale", scale)) if value is not None]
        if columns is None or "_accepted" in self.__dict__:
            frame = self._accepted
        else:
            read = list(dict.fromkeys([*columns, *asked]))
            frame = _frame(self.columns(read, accepted=True))
        for name, value in (("split", split), ("scale", scale)):
            if value is not None:
                frame = frame[frame[name] == value]
        return (frame if columns is None else frame[list(columns)]).reset_index(drop=True)

    @cached_property
    def _shard_of(self) -> dict[str, str]:
        rows = self.columns(("tile_id", "shard"), accepted=True)
        shards = rows["shard"].unique().to_pylist()  # one object of Python each, not one a tile
        known = {name: name for name in shards}
        return {tile: known[shard] for tile, shard in zip(rows["tile_id"].to_pylist(), rows["shard"].to_pylist())}

    def image(self, tile_id: str) -> np.ndarray:
        """Pixels of an accepted tile: (H, W) uint8, 0 = nodata."""
        shard = self._shard_of.get(tile_id)
        if shard is None:
            raise ValueError(f"{self.path} has no accepted tile {tile_id!r}.")
        return self._shards.image(shard, tile_id)

    def images(self, tile_ids: Iterable[str]) -> Iterator[np.ndarray]:
        """Pixels of tiles in the order given."""
        for tile_id in tile_ids:
            yield self.image(tile_id)

    def torch(
        self,
        split: str | None = None,
        *,
        scale: str | None = None,
        transform: "Callable[[Tensor], Any] | None" = None,
        revision: int | None = None,
        questions: "Sequence[Mapping[str, str]] | None" = None,
    ) -> "TorchTiles":
        """Tiles as a map-style data set of PyTorch, for a `DataLoader` with any number of workers.

        An item is a dict: image (1, H, W) uint8, tile_id, metres_per_pixel, and text where the tiles have one. Tiles of
        one scene-built data set are of one size; imported ones may differ, and then a batch needs a transform.

        Args:
            split: "train", "val" or "test"; None for all.
            scale: "large", "medium" or "small"; None for all.
            transform: of the image tensor.
            revision: of the texts; the newest where not given.
            questions: records with tile_id, question and answer; then an item is a question, and those about other
                tiles than the ones asked for are passed over.

        Raises:
            ValueError: no such split, scale or revision, no tile, or questions about tiles that are not there.
        """
        from knowlip.dataset.torch_items import TorchTiles, torch_tiles

        return TorchTiles(torch_tiles(Dataset, self, split, scale, transform, revision, questions))

    def torch_stream(
        self,
        split: str | None = None,
        *,
        seed: int | None = None,
        scale: str | None = None,
        transform: "Callable[[Tensor], Any] | None" = None,
        revision: int | None = None,
        questions: "Sequence[Mapping[str, str]] | None" = None,
    ) -> "TorchTileStream":
        """The same as an iterable data set: each item comes from one worker of one process of `torch.distributed`.

        Args:
            seed: of the order, another one for each epoch (`set_epoch`); None: as they stand.

        The other arguments and errors are those of :meth:`torch`.
        """
        from knowlip.dataset.torch_items import TorchTileStream, torch_tiles

        return TorchTileStream(torch_tiles(Dataset, self, split, scale, transform, revision, questions), seed)

    def widths_m(self, tile_ids: Sequence[str]) -> np.ndarray:
        """Width of accepted tiles on the ground in metres, float32 (N,) in the order given; NaN where it is unknown."""
        rows = self.tiles(columns=("tile_id", "metres_per_pixel", "proj:shape"))
        return widths_m(rows.set_index("tile_id").loc[list(tile_ids)])

    def revisions(self) -> list[int]:
        """Text revisions on disk; [] before annotation."""
        return texts_.list_revisions(self.path)

    def texts(self, revision: int | None = None) -> "pd.DataFrame":
        """Latest sub-text of every (tile, slot) in a revision (default: newest) and its ancestors, by tile_id and slot.

        Columns: `TEXT_SCHEMA`. Empty before annotation.
        """
        return texts_.read_texts(self.path, revision)

    def mentions(self) -> "pd.DataFrame":
        """Counts and boxes that the annotator gave beside its texts, by tile_id; tiles without either are absent.

        Columns: `mentions.MENTION_SCHEMA` (counts and boxes as JSON; :func:`knowlip.dataset.mentions.by_tile` reads
        them). Empty before annotation.
        """
        return mentions_.read_mentions(self.path).to_pandas()

    def write_mentions(self, rows: Iterable[MentionRow]) -> None:
        """Write rows of :func:`knowlip.dataset.mentions.mention`; rows that are there already are kept, never changed.

        Raises:
            ValueError: other counts or boxes of a tile are there already, or a tile is not in the data set.
        """
        some, strangers = list[MentionRow](), set[str]()
        for row in rows:
            if row["tile_id"] not in self._shard_of:
                strangers.add(row["tile_id"])
            elif mentions_.says_something(row):
                some.append(row)
        if strangers:
            raise ValueError(f"The mentions name tile {min(strangers)!r}, which {self.path} does not hold.")
        mentions_.write_mentions(self.path, some)

    def truth(self) -> dict[str, TileTruth]:
        """tile_id -> truth of the tile (see docs/dataset.md); {} when the scenes have none."""
        path = self.path / TRUTH
        if not path.exists():
            return {}
        table = read_parquet(path, TRUTH_SCHEMA)
        try:
            pairs = zip(table["tile_id"].to_pylist(), table["truth"].to_pylist())
            return {tile_id: _truth(text, f"{path}: the truth of {tile_id}") for tile_id, text in pairs}
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds truth that is not JSON ({error}).") from error

    def annotations(self) -> "pd.DataFrame":
        """Objects of accepted tiles: those of an imported data set, else those that the truth knows.

        Columns: `ANNOTATION_SCHEMA`. Empty where there are neither.
        """
        return read_annotations(self.path, {t: v for t, v in self.truth().items() if t in self._shard_of})

    @cached_property
    def masks(self) -> MaskReader:
        """Class masks of an imported data set: `masks.mask(tile_id)` gives (H, W) uint8, `masks.places` the tiles."""
        return MaskReader(self.path)

    @property
    def mask_classes(self) -> dict[int, str]:
        """Code in a mask -> name of the class; {} where there are no masks."""
        return {int(code): str(name) for code, name in self.info.get("mask_classes", {}).items()}

    def write_texts(self, rows: "pd.DataFrame | Callable[[], Iterator[pd.DataFrame]]") -> None:
        """Write revision 0. Columns: `TEXT_SCHEMA` (revision is set to 0).

        Args:
            rows: all of them, or what gives them in parts, whole tiles in the order of their names.

        Raises:
            ValueError: other texts are there already, or rows do not fit the schema or the tiles, or parts are not in
                order.
        """
        parts = rows if callable(rows) else lambda: iter([rows])
        texts_.write_first(
            self.path, lambda: (self._checked(part.assign(revision=0, parent=-1), "The texts") for part in parts())
        )

    def find_revision(self, run: str) -> int | None:
        """Number of the revision that a run of this name wrote; None when it wrote none."""
        for number in self.revisions()[1:]:
            if run in texts_.read_revision(self.path, number)["run"].unique().to_pylist():
                return number
        return None

    def append_revision(self, rows: "pd.DataFrame", run: str, parent: int | None = None) -> int:
        """Append decisions as the next revision and return its number.

        A revision with the same run and rows that is there already is not written again: its number comes back, so a
        run that repeats a step after a kill does not double it. Of two processes that append at once, each gets a
        number of its own.

        Args:
            rows: the (tile, slot) pairs decided on; columns of `TEXT_SCHEMA` (revision, parent and run are set here).
            run: name of the run that decided.
            parent: the revision whose texts were judged; the newest where not given.
        """
        # Nobody is kept out: who finds the next number taken by another one looks again and takes the one behind it.
        while True:
            if (number := self._append(rows, run, parent)) is not None:
                return number

    def _append(self, rows: "pd.DataFrame", run: str, parent: int | None) -> int | None:
        """:meth:`append_revision`; None where another process has taken the number meanwhile."""
        there = self.revisions()
        if not there:
            raise ValueError(f"{self.path} has no texts yet: annotate it before adding a revision.")
        if parent is not None and parent not in there:
            raise ValueError(f"{self.path} has no text revision {parent} to decide on.")
        line = there[-1] if parent is None else parent
        table = self._checked(rows.assign(revision=0, parent=line, run=run), f"The rows of run {run!r}")
        ignored = ["revision", "parent"] if parent is None else ["revision"]
        for number in there[1:]:
            known = texts_.read_revision(self.path, number)
            if known.drop_columns(ignored).equals(table.drop_columns(ignored)):
                return number
        number = there[-1] + 1
        position = table.schema.get_field_index("revision")
        numbers = pa.array([number] * len(table), pa.int32())
        table = table.set_column(position, table.schema.field("revision"), numbers)
        return number if write_new_table(texts_.revision_path(self.path, number), table) else None

    def publish_texts(self, revision: int | None = None) -> dict[str, Any]:
        """Write the captions of a revision into the shards' `.txt`, see :func:`knowlip.dataset.publish_texts`."""
        result = texts_.publish_texts(self.path, revision)
        self.info = read_json(self.path / INFO)
        return result

    def _checked(self, rows: "pd.DataFrame", what: str) -> pa.Table:
        strangers = set(rows["tile_id"]) - self._shard_of.keys() if "tile_id" in rows else set()
        if strangers:
            raise ValueError(f"{what} name tile {sorted(strangers)[0]!r}, which {self.path} does not hold.")
        return texts_.to_table(rows, what)


def _frame(table: pa.Table) -> "pd.DataFrame":
    """A table as a frame; empties the table, so that it is not held twice."""
    return table.to_pandas(self_destruct=True)


def _truth(text: str, what: str) -> TileTruth:
    return cast(TileTruth, checked_truth(parse_json(text, what), what))


def widths_m(tiles: "pd.DataFrame") -> np.ndarray:
    """Width on the ground in metres of tiles of the index, float32 (N,); NaN where it is not known. Of a tile that is
    not square, as it may come from another data set, the side of the square of equal area: it stays when tiles turn."""
    side = tiles["proj:shape"].map(lambda shape: math.sqrt(shape[0] * shape[1]))
    return (tiles["metres_per_pixel"].to_numpy(float) * side.to_numpy(float)).astype(np.float32)
