"""Names, paths and schemas of the data set on disk."""

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa

FORMAT_VERSION = 2
SPLITS = ("train", "val", "test")
INDEX, TRUTH, TEXTS, INFO, PLAN = "index.parquet", "truth.parquet", "texts.parquet", "dataset.json", "plan.json"
SHARDS, SCENES, REVISIONS = "shards", "scenes", "revisions"
ANNOTATIONS, MASKS = "annotations.parquet", "masks.parquet"

_TEXT, _REAL = pa.string(), pa.float64()

INDEX_SCHEMA = pa.schema([
    ("tile_id", _TEXT), ("id", _TEXT), ("scene_id", _TEXT), ("root_id", _TEXT), ("parent_id", _TEXT),
    ("scale", _TEXT), ("window_m", _REAL), ("split", _TEXT), ("block", _TEXT),
    ("datetime", pa.timestamp("ms", tz="UTC")), ("geometry", pa.binary()),
    ("proj:code", _TEXT), ("proj:transform", pa.list_(_REAL)), ("proj:shape", pa.list_(pa.int64())),
    ("platform", _TEXT), ("sar:frequency_band", _TEXT), ("sar:polarizations", pa.list_(_TEXT)),
    ("sar:looks_equivalent_number", _REAL), ("view:incidence_angle", _REAL), ("look_azimuth_deg", _REAL),
    ("view:azimuth", _REAL), ("sar:center_frequency", _REAL), ("sar:instrument_mode", _TEXT),
    ("sar:product_type", _TEXT), ("sar:observation_direction", _TEXT), ("sat:orbit_state", _TEXT),
    ("units", _TEXT), ("radiometry", _TEXT), ("quantity", _TEXT), ("geolocation", _TEXT), ("geolocation_rms_m", _REAL),
    ("resolution_m", _REAL), ("native_px", _REAL), ("metres_per_pixel", _REAL), ("lon", _REAL), ("lat", _REAL),
    ("country", _TEXT), ("region", _TEXT), ("city", _TEXT), ("city_km", _REAL),
    ("airport", _TEXT), ("airport_km", _REAL), ("port", _TEXT), ("port_km", _REAL),
    ("quantiser", _TEXT), ("quantiser_lo", _REAL), ("quantiser_hi", _REAL), ("lut_sha256", _TEXT),
    ("valid_fraction", _REAL), ("q_mean", _REAL), ("q_std", _REAL), ("q_entropy", _REAL), ("q_edge", _REAL),
    ("q_saturated", _REAL), ("q_dark", _REAL), ("q_stripe", _REAL),
    ("g_contrast", _REAL), ("g_dissimilarity", _REAL), ("g_homogeneity", _REAL), ("g_energy", _REAL),
    ("g_correlation", _REAL), ("g_entropy", _REAL), ("q_good", _REAL),
    ("screen_score", _REAL), ("accepted", pa.bool_()), ("reject_reason", _TEXT), ("shard", _TEXT),
    ("png_sha256", _TEXT),
    ("cog", _TEXT),
])  # fmt: skip
"""One row per tile, rejected ones too. Strings are never null; unknown numbers are NaN; an unknown datetime is
null; the geometry is null where the place is unknown."""

TRUTH_SCHEMA = pa.schema([("tile_id", _TEXT), ("truth", _TEXT)])

ANNOTATION_SCHEMA = pa.schema([
    ("tile_id", _TEXT), ("annotation_id", _TEXT), ("category", _TEXT), ("type", _TEXT),
    ("x", _REAL), ("y", _REAL), ("width", _REAL), ("height", _REAL),
    ("corners", pa.list_(_REAL)), ("polygon", pa.list_(_REAL)),
    ("heading_deg", _REAL), ("length_m", _REAL), ("width_m", _REAL), ("difficult", pa.bool_()), ("source", _TEXT),
])  # fmt: skip
"""One row per object. `x`, `y`: upper left corner of the axis-aligned box, all lengths in fractions of the tile.
`corners`: rotated box as 8 numbers; `polygon`: outline as x, y, x, y, ...; empty where there is none."""

MASK_SCHEMA = pa.schema([("tile_id", _TEXT), ("png", pa.binary()), ("png_sha256", _TEXT)])
"""Masks: grey 8-bit PNG of class codes in the size of the tile; 255: no class."""

SHARD_KEYS = (
    "tile_id", "scene_id", "root_id", "parent_id", "scale", "window_m", "split", "block", "datetime", "proj:code",
    "proj:transform", "proj:shape", "platform", "sar:frequency_band", "sar:polarizations",
    "sar:looks_equivalent_number", "view:incidence_angle", "look_azimuth_deg", "view:azimuth", "sar:center_frequency",
    "sar:instrument_mode", "sar:product_type", "sar:observation_direction", "sat:orbit_state", "radiometry", "quantity",
    "resolution_m", "native_px", "metres_per_pixel",
    "lon", "lat", "country", "region", "city", "city_km", "airport", "airport_km", "port", "port_km", "quantiser",
    "quantiser_lo", "quantiser_hi", "valid_fraction", "png_sha256",
)  # fmt: skip
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
    digest = hashlib.sha256()
    ordered = index.select(INDEX_SCHEMA.names).sort_by("tile_id")
    for field in INDEX_SCHEMA:
        column = ordered[field.name]
        digest.update(f"{field.name}\n".encode())
        if field.type == _REAL:
            array = column.combine_chunks()
            if array.null_count:
                numbers = np.array([np.nan if value is None else value for value in array.to_pylist()], "<f8")
            else:  # through the buffer: `to_numpy` and `fill_null` import pandas first
                numbers = np.frombuffer(array.buffers()[1], "<f8", len(array), array.offset * 8)
            digest.update(np.where(np.isnan(numbers), np.nan, numbers).tobytes())
        elif field.type == pa.binary():
            digest.update(b"".join(hashlib.sha256(value or b"").digest() for value in column.to_pylist()))
        else:
            kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
            digest.update(json.dumps(column.cast(kind).to_pylist()).encode())
    return digest.hexdigest()
