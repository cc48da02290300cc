"""The index of a data set: the rows of its scenes, put in order of tile_id without being held.

A Sentinel-1 frame has 870,000 tiles, whose rows take 0.7 GB; only their names, outlines and a few short columns are
looked at together, and the rows are gathered from the scenes' files one group after the other.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from knowlip.base.files import whole_file
from knowlip.base.parquet import open_parquet
from knowlip.dataset.layout import INDEX_SCHEMA, SPLITS

GROUP = 32768
"""Rows of the index that can be read alone."""
_KEPT = 6
"""Groups of the scenes' rows that are kept for the next group of the index."""
_LOOKED_AT = ("tile_id", "accepted", "reject_reason", "split", "scale", "block")
_GEOMETRY = {3: "Polygon", 6: "MultiPolygon"}
"""GEOS type -> name of the footprints that occur."""


class IndexSources:
    """The rows of scenes on disk, looked through once.

    Raises:
        ValueError: a file is missing, broken, or lacks a column.
    """

    def __init__(self, paths: Sequence[Path]):
        geo, tables = Footprints(), []
        self._places: list[tuple[Path, int]] = []
        starts = [0]
        for path in paths:
            with open_parquet(path, INDEX_SCHEMA) as file:
                for group in range(file.num_row_groups):
                    self._places.append((path, group))
                    starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
                    geo.add(_read(file, group, ("geometry",))["geometry"])
                    tables.append(_read(file, group, _LOOKED_AT))
        looked_at = pa.concat_tables(tables) if tables else INDEX_SCHEMA.empty_table().select(_LOOKED_AT)
        self.counts = count(looked_at)
        self.metadata = geo.metadata()
        self._starts = np.array(starts)
        order = pc.array_sort_indices(looked_at["tile_id"].combine_chunks())
        # Through buffers, here and in `_taken`: numpy's own way imports pandas first, which takes longer than a small
        # build.
        self._order = np.frombuffer(order.buffers()[1], np.uint64, len(order)).astype(np.int64)
        self._read: OrderedDict[int, pa.Table] = OrderedDict()

    def groups(self) -> Iterator[pa.Table]:
        """The index in order of tile_id, some rows at a time; one empty table where there are none."""
        for first in range(0, max(1, len(self._order)), GROUP):
            yield self._rows(self._order[first : first + GROUP]).replace_schema_metadata(self.metadata)

    def _rows(self, wanted: np.ndarray) -> pa.Table:
        """Rows by their number among all, in the order given."""
        of = np.searchsorted(self._starts, wanted, "right") - 1
        by_group = np.argsort(of, kind="stable")
        numbers, begins = np.unique(of[by_group], return_index=True)
        parts = []
        for number, rows in zip(numbers.tolist(), np.split(wanted[by_group], begins[1:])):
            parts.append(self._group(number).take(_numbers(rows - self._starts[number])))
        if not parts:
            return INDEX_SCHEMA.empty_table()
        back = np.empty(len(wanted), np.int64)
        back[by_group] = np.arange(len(wanted))
        return _taken(parts, back)

    def _group(self, number: int) -> pa.Table:
        """A group of rows of a scene; neighbours in the index mostly are neighbours there."""
        if number not in self._read:
            while len(self._read) >= _KEPT:
                self._read.popitem(last=False)
            path, group = self._places[number]
            with pq.ParquetFile(path) as file:
                self._read[number] = _read(file, group, INDEX_SCHEMA.names)
        self._read.move_to_end(number)
        return self._read[number]


def _read(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> pa.Table:
    """A group of rows. By this thread: each thread that reads keeps 60 MB of what it was given back."""
    return file.read_row_group(group, list(columns), use_threads=False).select(list(columns))


def _taken(parts: list[pa.Table], rows: np.ndarray) -> pa.Table:
    """Rows of tables that follow one another, column by column, so that they are held twice only one at a time."""
    columns = list(pa.concat_tables(parts).columns)
    parts.clear()
    columns.reverse()
    which, arrays = _numbers(rows), []
    while columns:
        arrays.append(columns.pop().take(which).combine_chunks())
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


def _numbers(rows: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


def write_index(path: Path, sources: IndexSources) -> None:
    """Write the index, whole or not at all."""
    with (
        whole_file(path) as part,
        pq.ParquetWriter(part, INDEX_SCHEMA.with_metadata(sources.metadata), compression="zstd") as writer,
    ):
        for rows in sources.groups():
            writer.write_table(rows, row_group_size=GROUP)


def count(index: pa.Table) -> dict[str, Any]:
    """How many tiles an index holds, by split, scale and reject reason."""
    looked_at = index.select(["reject_reason", "split", "scale"])
    accepted = looked_at.filter(index["accepted"])
    rejected = looked_at.filter(pc.invert(index["accepted"]))
    of_split = _counted(accepted["split"])
    return {
        "tiles": len(index),
        "accepted": len(accepted),
        "rejected": _counted(rejected["reject_reason"]),
        "splits": {split: of_split.get(split, 0) for split in SPLITS},
        "scales": _counted(accepted["scale"]),
        "blocks": len(index["block"].unique()),
    }


def _counted(values: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted((item["values"], item["counts"]) for item in values.value_counts().to_pylist()))


class Footprints:
    """What GeoParquet says about a column of footprints that comes part by part."""

    def __init__(self) -> None:
        self._kinds: set[int] = set()
        self._bounds: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []

    def add(self, outlines: pa.ChunkedArray) -> None:
        """Add some (WKB; null: the place is unknown)."""
        known = outlines.drop_null() if outlines.null_count else outlines
        if not len(known):
            return
        shapes = shapely.from_wkb(known.to_pylist())
        self._kinds |= set(np.unique(shapely.get_type_id(shapes)).tolist())
        self._bounds.append(shapely.bounds(shapes))
        self._parts.append(shapely.bounds(shapely.get_parts(shapes)))

    def metadata(self) -> dict[str, str]:
        """The metadata of the file."""
        geo: dict[str, Any] = {
            "version": "1.1.0",
            "primary_column": "geometry",
            "columns": {
                "geometry": {
                    "encoding": "WKB",
                    "geometry_types": sorted(_GEOMETRY[kind] for kind in self._kinds),
                    "crs": CRS.from_epsg(4326).to_json_dict(),
                    "edges": "planar",
                }
            },
        }
        if self._bounds:
            bbox = _bbox(np.concatenate(self._bounds), np.concatenate(self._parts))
            geo["columns"]["geometry"]["bbox"] = bbox
        return {"geo": json.dumps(geo, sort_keys=True)}


def _bbox(bounds: np.ndarray, parts: np.ndarray) -> list[float]:
    """West, south, east, north in degrees of footprints; west > east where they lie on both sides of the date line and
    one of them is cut in two by it (RFC 7946, section 5.2).

    Args:
        bounds: of each footprint, (N, 4).
        parts: of each part of one, (P, 4).
    """
    west, south = (float(value) for value in np.nanmin(bounds[:, :2], axis=0))
    east, north = (float(value) for value in np.nanmax(bounds[:, 2:], axis=0))
    if west > -180 or east < 180 or len(parts) == len(bounds):
        return [west, south, east, north]
    # The widest stretch of longitudes without a footprint is what the box leaves out.
    parts = parts[np.argsort(parts[:, 0], kind="stable")]
    reached = np.maximum.accumulate(parts[:, 2])
    gap = int(np.argmax(parts[1:, 0] - reached[:-1]))
    if parts[gap + 1, 0] <= reached[gap]:  # footprints all around the globe
        return [west, south, east, north]
    return [float(parts[gap + 1, 0]), south, float(reached[gap]), north]
