"""Names, paths and schemas of the data set on disk."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FORMAT_VERSION = 2
_AT_ONCE = 16384
SPLITS = ("train", "val", "test")
INDEX, TRUTH, TEXTS, INFO, PLAN = "index.parquet", "truth.parquet", "texts.parquet", "dataset.json", "plan.json"
SHARDS, SCENES, REVISIONS = "shards", "scenes", "revisions"
ANNOTATIONS, MASKS = "annotations.parquet", "masks.parquet"

_TEXT, _REAL = pa.string(), pa.float64()
_KINDS = {
    "text": _TEXT,
    "real": _REAL,
    "int": pa.int32(),
    "flag": pa.bool_(),
    "bytes": pa.binary(),
    "time": pa.timestamp("ms", tz="UTC"),
    "reals": pa.list_(_REAL),
    "ints": pa.list_(pa.int64()),
    "texts": pa.list_(_TEXT),
}


def schema(columns: str) -> pa.Schema:
    """Columns by name=kind; a name alone is text."""
    pairs = [column.partition("=") for column in columns.split()]
    return pa.schema([(name, _KINDS[kind or "text"]) for name, _, kind in pairs])


INDEX_SCHEMA = schema("""
tile_id id scene_id root_id parent_id scale window_m=real split block datetime=time geometry=bytes proj:code
proj:transform=reals proj:shape=ints platform sar:frequency_band sar:polarizations=texts
sar:looks_equivalent_number=real view:incidence_angle=real look_azimuth_deg=real view:azimuth=real
sar:center_frequency=real sar:instrument_mode sar:product_type sar:observation_direction sat:orbit_state units
radiometry quantity geolocation geolocation_rms_m=real resolution_m=real native_px=real metres_per_pixel=real lon=real
lat=real country region city city_km=real airport airport_km=real port port_km=real quantiser quantiser_lo=real
quantiser_hi=real lut_sha256 valid_fraction=real q_mean=real q_std=real q_entropy=real q_edge=real q_saturated=real
q_dark=real q_stripe=real g_contrast=real g_dissimilarity=real g_homogeneity=real g_energy=real g_correlation=real
g_entropy=real q_good=real screen_score=real accepted=flag reject_reason shard png_sha256 cog
""")
"""One row per tile, rejected ones too. Strings are never null; unknown numbers are NaN; an unknown datetime is
null; the geometry is null where the place is unknown."""

TRUTH_SCHEMA = schema("tile_id truth")

ANNOTATION_SCHEMA = schema("""
tile_id annotation_id category type x=real y=real width=real height=real corners=reals polygon=reals heading_deg=real
length_m=real width_m=real difficult=flag source
""")
"""One row per object. `x`, `y`: upper left corner of the axis-aligned box, all lengths in fractions of the tile.
`corners`: rotated box as 8 numbers; `polygon`: outline as x, y, x, y, ...; empty where there is none."""

MASK_SCHEMA = schema("tile_id png=bytes png_sha256")
"""Masks: grey 8-bit PNG of class codes in the size of the tile; 255: no class."""

AS_IS = "as-is-v2"
"""Quantiser of imported 8-bit images that declare no pixel as no data: every value is kept, and 0 is data. Of all other
tiles 0 is nodata."""


def data_levels(tile: np.ndarray, quantiser: str) -> np.ndarray:
    """A tile (H, W) uint8 in which 0 is nodata and nothing else, whatever its quantiser: a zero that is data becomes 1,
    which is as dark."""
    return np.maximum(tile, 1) if quantiser == AS_IS else tile


_KEPT_OUT = """
id geometry units geolocation geolocation_rms_m lut_sha256 q_mean q_std q_entropy q_edge q_saturated q_dark
q_stripe g_contrast g_dissimilarity g_homogeneity g_energy g_correlation g_entropy q_good screen_score accepted
reject_reason shard cog
""".split()
SHARD_KEYS = tuple(name for name in INDEX_SCHEMA.names if name not in _KEPT_OUT)
"""Keys of a tile's `.json`, always all of them, always of the same type."""

_REAL_KEYS = [key for key in SHARD_KEYS if INDEX_SCHEMA.field(key).type == _REAL]


def shard_json(row: dict[str, Any]) -> bytes:
    """The `.json` of a tile: constant keys and types. Unknown angles are -1.0 (JSON has no NaN), the datetime is text,
    and polarisations are one comma-separated string, because an empty list has no type."""
    record = {key: row[key] for key in SHARD_KEYS}
    for key in _REAL_KEYS:
        value = record[key]
        record[key] = -1.0 if value is None or value != value else float(value)
    record["datetime"] = row["datetime"] or ""
    record["sar:polarizations"] = ",".join(row["sar:polarizations"])
    return (json.dumps(record, sort_keys=True, allow_nan=False) + "\n").encode()


def fingerprint(index: pa.Table) -> str:
    """SHA-256 over the columns of the index in order of tile_id; it holds the hash of each PNG, so pixels count too.

    Of each column: its name, then little-endian float64 (every NaN the same), or the values as one JSON list.
    """
    ordered = index.select(INDEX_SCHEMA.names)
    if not in_order(ordered["tile_id"]):
        ordered = ordered.sort_by("tile_id")
    return _digest(lambda name: (ordered[name],))


def fingerprint_of_file(path: Path) -> str:
    """:func:`fingerprint` of an index on disk that has all columns, read column by column and in parts."""
    with pq.ParquetFile(path) as file:

        def parts(name: str) -> Iterator[pa.ChunkedArray]:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, [name], use_threads=False)[name]

        if not in_order(pa.chunked_array([part for column in parts("tile_id") for part in column.chunks], _TEXT)):
            return fingerprint(file.read())
        return _digest(parts)


def in_order(names: pa.ChunkedArray) -> bool:
    """Whether no name stands before one that is less."""
    count = len(names)
    return count < 2 or bool(pc.all(pc.less_equal(names.slice(0, count - 1), names.slice(1))).as_py())


def _digest(parts_of: Callable[[str], Iterable[pa.ChunkedArray]]) -> str:
    """:func:`fingerprint` of columns that come part by part."""
    digest = hashlib.sha256()
    for field in INDEX_SCHEMA:
        digest.update(f"{field.name}\n".encode())
        between = b"["  # the list of a million values is written part by part
        for column in parts_of(field.name):
            if field.type == _REAL:
                digest.update(_reals(column).tobytes())
            elif field.type == pa.binary():
                for part in _parts(column):
                    digest.update(b"".join(hashlib.sha256(value or b"").digest() for value in part))
            else:
                kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
                for part in _parts(column.cast(kind)):
                    digest.update(between + json.dumps(part)[1:-1].encode())
                    between = b", "
        if field.type not in (_REAL, pa.binary()):
            digest.update(b"[]" if between == b"[" else b"]")
    return digest.hexdigest()


def _reals(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers as little-endian float64, every NaN the same."""
    array = column.combine_chunks()
    if array.null_count:
        numbers = np.array([np.nan if value is None else value for value in array.to_pylist()], "<f8")
    else:  # through the buffer: `to_numpy` and `fill_null` import pandas first
        numbers = np.frombuffer(array.buffers()[1], "<f8", len(array), array.offset * 8)
    return np.where(np.isnan(numbers), np.nan, numbers)


def _parts(column: pa.ChunkedArray) -> Iterator[list[Any]]:
    """The values of a column, so many at a time."""
    for start in range(0, len(column), _AT_ONCE):
        yield column.slice(start, _AT_ONCE).to_pylist()
