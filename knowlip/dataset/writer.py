"""Write a data set scene by scene, then its index. Every file is whole or absent; its bytes depend on input only."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.memory import give_back, lean
from knowlip.base.parquet import write_table
from knowlip.dataset.annotations import annotations_of, write_annotations
from knowlip.dataset.arrow import arrow_array
from knowlip.dataset.index import Footprints, IndexSources, write_index
from knowlip.dataset.layout import (
    FORMAT_VERSION,
    INDEX,
    INDEX_SCHEMA,
    INFO,
    SCENES,
    SHARDS,
    TRUTH,
    TRUTH_SCHEMA,
    fingerprint_of_file,
    shard_json,
)
from knowlip.dataset.records import AnnotationRow
from knowlip.dataset.shards import ShardSample, ShardWriter

TILES_PER_SHARD = 2048
_ROWS_AT_ONCE = 16384


def scene_marker(dataset: Path, scene_id: str) -> Path:
    """Done marker of a scene: it exists exactly when all of the scene's shards and its rows do."""
    return dataset / SCENES / f"{scene_id}.json"


def scene_rows(dataset: Path, scene_id: str) -> Path:
    """The rows of a scene, which the index is made of."""
    return dataset / SCENES / f"{scene_id}.parquet"


class SceneWriter:
    """Writes the shards of a scene as its tiles come, and its done marker at the end.

    Until `finish` nothing has its final name; leaving the `with` block without it leaves nothing. Tiles keep the order
    in which they are added. Rows of the index go to disk as they come, for those of a frame of 900,000 tiles would take
    2 GB.
    """

    def __init__(self, dataset: Path, scene_id: str):
        self.dataset, self.scene_id = dataset, scene_id
        self._columns: dict[str, list[Any]] = {name: [] for name in INDEX_SCHEMA.names}
        self._rows: pq.ParquetWriter | None = None
        self._file = ExitStack()
        self._truth: dict[str, str] = {}
        self._boxes: list[AnnotationRow] = []
        self._shards: list[ShardWriter] = []
        self._open: dict[str, ShardWriter] = {}

    def __enter__(self) -> "SceneWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shard in self._shards:
            shard.discard()
        if self._rows is not None:
            unfinished = error or RuntimeError("The scene was not finished.")
            try:
                self._rows.close()
            finally:
                self._file.__exit__(type(unfinished), unfinished, trace)

    def add(
        self,
        row: dict[str, Any],
        png: bytes,
        truth: dict[str, Any] | None = None,
        boxes: Sequence[AnnotationRow] = (),
    ) -> None:
        """Add a tile.

        Args:
            row: its row of the index as JSON values (geometry: WKB in hexadecimal; unknown numbers None; datetime ISO
                or ""). `shard` is filled in here, and `png_sha256` where it is absent.
            png: the tile; b"" for a rejected one.
            truth: what is known to lie in it.
            boxes: annotations of it.
        """
        row["shard"] = ""
        row["png_sha256"] = (row.get("png_sha256") or sha256(png)) if row["accepted"] else ""
        if row["accepted"]:
            shard = self._shard(row["split"])
            shard.add(ShardSample(row["tile_id"], png, b"", shard_json(row)))
            row["shard"] = shard.path.name
        for name, values in self._columns.items():
            values.append(row[name])
        if len(self._columns["tile_id"]) == _ROWS_AT_ONCE:
            self._flush()
        if truth is not None:
            self._truth[row["tile_id"]] = json.dumps(truth, sort_keys=True, allow_nan=False)
        self._boxes += boxes

    def finish(self, facts: dict[str, Any]) -> None:
        """Give the shards their names, then write the done marker.

        Args:
            facts: anything about the scene worth keeping (metadata, quantiser).
        """
        for shard in self._shards:
            shard.close()
        for shard in self._shards:
            shard.commit()
        if self._rows is None or self._columns["tile_id"]:
            self._flush()
        assert self._rows is not None
        self._rows.close()
        self._rows = None
        self._file.close()
        marker = {"scene_id": self.scene_id, **facts, "truth": self._truth}
        if self._boxes:
            marker["boxes"] = [_plain(box) for box in self._boxes]
        write_json(scene_marker(self.dataset, self.scene_id), marker, indent=None)

    def _flush(self) -> None:
        """Write the rows that wait."""
        table = _arrow(self._columns)
        if self._rows is None:
            part = self._file.enter_context(whole_file(scene_rows(self.dataset, self.scene_id)))
            self._rows = pq.ParquetWriter(part, INDEX_SCHEMA, compression="zstd")
        self._rows.write_table(table)
        for values in self._columns.values():
            values.clear()

    def _shard(self, split: str) -> ShardWriter:
        """The shard of a split that takes the next tile."""
        shard = self._open.get(split)
        if shard is None or shard.count == TILES_PER_SHARD:
            number = 0
            if shard is not None:
                shard.close()
                number = int(shard.path.stem.rsplit("-", 1)[1]) + 1
            name = f"{split}-{self.scene_id}-{number:06d}.tar"
            shard = self._open[split] = ShardWriter(self.dataset / SHARDS / name)
            self._shards.append(shard)
        return shard


def write_scene(
    dataset: Path,
    scene_id: str,
    rows: list[dict[str, Any]],
    pngs: dict[str, bytes],
    truth: dict[str, dict[str, Any]],
    facts: dict[str, Any],
) -> None:
    """Write a scene whose tiles are all in memory, see :class:`SceneWriter`.

    Args:
        dataset: folder of the data set.
        scene_id: identifier of the scene.
        rows: index rows.
        pngs: tile_id -> PNG of accepted tiles.
        truth: tile_id -> truth, may be empty.
        facts: anything about the scene worth keeping.
    """
    with SceneWriter(dataset, scene_id) as writer:
        for row in rows:
            writer.add(row, pngs.get(row["tile_id"], b""), truth.get(row["tile_id"]))
        writer.finish(facts)


def finish(dataset: Path, scene_ids: list[str], info: dict[str, Any]) -> dict[str, Any]:
    """Write index, truth and dataset.json from the done markers, and return what dataset.json says.

    Args:
        dataset: folder of the data set.
        scene_ids: scenes that are done.
        info: kept in dataset.json beside format version, counts and fingerprint.

    Raises:
        ValueError: no tile was accepted.
    """
    with lean(), _system_memory():
        return _finish(dataset, scene_ids, info)


@contextmanager
def _system_memory() -> Iterator[None]:
    """Arrow's own allocator keeps what it is given back."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _finish(dataset: Path, scene_ids: list[str], info: dict[str, Any]) -> dict[str, Any]:
    # The index is read back from the rows of the scenes, whichever process wrote them, and in the order of their names:
    # it comes out the same however often the work was stopped.
    truth: dict[str, str] = {}
    boxes: list[AnnotationRow] = []
    named: list[dict[str, Any]] = []
    for scene_id in scene_ids:
        marker = read_json(scene_marker(dataset, scene_id))
        truth |= marker["truth"]
        boxes += [_box(plain) for plain in marker.get("boxes", [])]
        named += marker.get("named", [])
    sources = IndexSources([scene_rows(dataset, scene_id) for scene_id in scene_ids])
    give_back()  # what was looked at to put the rows in order
    counts = sources.counts
    if not counts["accepted"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts["rejected"].items()) or "no tiles"
        raise ValueError(f"No tile passed the quality filter ({reasons}); check the scenes or relax its thresholds.")
    write_index(dataset / INDEX, sources)
    del sources
    if truth:
        names = sorted(truth)
        texts = arrow_array([truth[name] for name in names], pa.string())
        table = pa.Table.from_arrays([arrow_array(names, pa.string()), texts], schema=TRUTH_SCHEMA)
        write_table(dataset / TRUTH, table)
    if boxes:
        # Where some scenes have truth, their objects are annotations too: the file says what all the tiles show.
        rows = [*boxes, *annotations_of({name: json.loads(text) for name, text in truth.items()})]
        categories = dict(sorted(Counter(row["category"] for row in rows).items()))
        info = {**info, "annotations": write_annotations(dataset, rows), "categories": categories}
    if named:
        info = {**info, "labels": labels_told(named)}
    info = {
        **info,
        "format_version": FORMAT_VERSION,
        "counts": {**counts, "scenes": len(scene_ids)},
        "fingerprint": fingerprint_of_file(dataset / INDEX),
        "published_revision": -1,
    }
    write_json(dataset / INFO, info)
    return info


def _plain(box: AnnotationRow) -> dict[str, Any]:
    """A box as JSON, which has no NaN: None stands for it."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in box.items()}


def _box(plain: dict[str, Any]) -> AnnotationRow:
    return cast(AnnotationRow, {name: math.nan if value is None else value for name, value in plain.items()})


def labels_told(named: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What became of the objects that products name: {"objects", "shown": those with a box, "types": {as stated: as
    written}, "dropped": {reason: count}}; an object of several scenes counts once.

    Args:
        named: {"id", "stated", "type", "reason": why it is no box in a scene, "" where it is}.
    """
    best: dict[str, Mapping[str, Any]] = {}
    for one in named:
        if one["id"] not in best or not one["reason"]:
            best[one["id"]] = one
    dropped = Counter(one["reason"] for one in best.values() if one["reason"])
    types = {one["stated"]: one["type"] for one in best.values() if one["stated"]}
    told = {"objects": len(best), "shown": len(best) - dropped.total(), "types": dict(sorted(types.items()))}
    return {**told, "dropped": dict(sorted(dropped.items()))}


def index_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Index rows (JSON values, see :meth:`SceneWriter.add`) -> Arrow table with GeoParquet metadata."""
    table, footprints = _arrow({name: [row[name] for row in rows] for name in INDEX_SCHEMA.names}), Footprints()
    footprints.add(table["geometry"])
    return table.replace_schema_metadata(footprints.metadata())


def _arrow(columns: dict[str, list[Any]]) -> pa.Table:
    """Columns of JSON values -> Arrow table of `INDEX_SCHEMA`."""
    arrays = []
    for field in INDEX_SCHEMA:
        values = columns[field.name]
        if field.name == "geometry":
            values = [bytes.fromhex(value) if value else None for value in values]
        if pa.types.is_timestamp(field.type):
            moments = {value: _milliseconds(value) for value in set(values)}
            values = [moments[value] for value in values]
        arrays.append(arrow_array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


def _milliseconds(value: str) -> int | None:
    """ISO date or date and time (UTC where it does not say) -> milliseconds since 1970; None for ""."""
    if not value:
        return None
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
