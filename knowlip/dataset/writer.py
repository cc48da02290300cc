"""Write a data set scene by scene, then its index. Every file is whole or absent; its bytes depend on input only."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from knowlip.dataset.layout import (
    FORMAT_VERSION,
    INDEX,
    INDEX_SCHEMA,
    INFO,
    SCENES,
    SHARDS,
    SPLITS,
    TRUTH,
    TRUTH_SCHEMA,
    fingerprint,
    shard_json,
)
from knowlip.dataset.shards import Sample, write_shard
from knowlip.dataset.texts import write_table
from knowlip.files import read_json, sha256, whole_file, write_json

TILES_PER_SHARD = 2048


def scene_marker(dataset: Path, scene_id: str) -> Path:
    """Done marker of a scene: it exists exactly when all of the scene's shards do."""
    return dataset / SCENES / f"{scene_id}.json"


def write_scene(
    dataset: Path,
    scene_id: str,
    rows: list[dict[str, Any]],
    pngs: dict[str, bytes],
    truth: dict[str, dict[str, Any]],
    facts: dict[str, Any],
) -> None:
    """Write the shards of a scene and then its done marker.

    Args:
        dataset: folder of the data set.
        scene_id: identifier of the scene.
        rows: index rows as JSON values (geometry: WKB in hexadecimal; unknown numbers None; datetime ISO or "").
            `shard` and `png_sha256` are filled in here.
        pngs: tile_id -> PNG of accepted tiles.
        truth: tile_id -> truth, may be empty.
        facts: anything about the scene worth keeping (metadata, quantiser).
    """
    for row in rows:
        row["png_sha256"] = sha256(pngs[row["tile_id"]]) if row["accepted"] else ""
        row["shard"] = ""
    for split in SPLITS:
        accepted = sorted((r for r in rows if r["accepted"] and r["split"] == split), key=lambda row: row["tile_id"])
        for number, start in enumerate(range(0, len(accepted), TILES_PER_SHARD)):
            chosen = accepted[start : start + TILES_PER_SHARD]
            name = f"{split}-{scene_id}-{number:06d}.tar"
            write_shard(
                dataset / SHARDS / name,
                (Sample(row["tile_id"], pngs[row["tile_id"]], b"", shard_json(row)) for row in chosen),
            )
            for row in chosen:
                row["shard"] = name
    texts = {tile_id: json.dumps(value, sort_keys=True, allow_nan=False) for tile_id, value in truth.items()}
    write_json(scene_marker(dataset, scene_id), {"scene_id": scene_id, **facts, "rows": rows, "truth": texts})


def finish(dataset: Path, scene_ids: list[str], info: dict[str, Any]) -> dict[str, Any]:
    """Write index, truth and dataset.json from the done markers, and return what dataset.json says.

    Args:
        dataset: folder of the data set.
        scene_ids: scenes that are done.
        info: kept in dataset.json beside format version, counts and fingerprint.

    Raises:
        ValueError: no tile was accepted.
    """
    rows: list[dict[str, Any]] = []
    truth: dict[str, str] = {}
    for scene_id in scene_ids:
        marker = read_json(scene_marker(dataset, scene_id))
        rows += marker["rows"]
        truth |= marker["truth"]
    rows.sort(key=lambda row: row["tile_id"])
    counts = count(rows)
    if not counts["accepted"]:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts["rejected"].items()) or "no tiles"
        raise ValueError(f"No tile passed the quality filter ({reasons}); check the scenes or relax its thresholds.")
    index = index_table(rows)
    with whole_file(dataset / INDEX) as part:
        pq.write_table(index, part, compression="zstd")
    if truth:
        names = sorted(truth)
        table = pa.table({"tile_id": names, "truth": [truth[name] for name in names]}, TRUTH_SCHEMA)
        write_table(dataset / TRUTH, table)
    info = {
        **info,
        "format_version": FORMAT_VERSION,
        "counts": {**counts, "scenes": len(scene_ids)},
        "fingerprint": fingerprint(index),
        "published_revision": -1,
    }
    write_json(dataset / INFO, info)
    return info


def count(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many tiles there are, by split, scale and reject reason."""
    accepted = [row for row in rows if row["accepted"]]
    rejected: dict[str, int] = {}
    for row in rows:
        if not row["accepted"]:
            rejected[row["reject_reason"]] = rejected.get(row["reject_reason"], 0) + 1
    scales: dict[str, int] = {}
    for row in accepted:
        scales[row["scale"]] = scales.get(row["scale"], 0) + 1
    return {
        "tiles": len(rows),
        "accepted": len(accepted),
        "rejected": rejected,
        "splits": {split: sum(row["split"] == split for row in accepted) for split in SPLITS},
        "scales": scales,
        "blocks": len({row["block"] for row in rows}),
    }


def index_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Index rows (JSON values, see :func:`write_scene`) -> Arrow table with GeoParquet metadata."""
    columns: dict[str, list[Any]] = {field.name: [row[field.name] for row in rows] for field in INDEX_SCHEMA}
    columns["geometry"] = [bytes.fromhex(value) if value else None for value in columns["geometry"]]
    arrays = []
    for field in INDEX_SCHEMA:
        values = columns[field.name]
        if field.type == pa.float64():
            values = [math.nan if value is None else float(value) for value in values]
        if pa.types.is_timestamp(field.type):
            arrays.append(_timestamps(values, field.type))
        else:
            arrays.append(pa.array(values, field.type))
    shapes = shapely.from_wkb([value for value in columns["geometry"] if value])
    geo: dict[str, Any] = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": sorted({shape.geom_type for shape in shapes}),
                "crs": CRS.from_epsg(4326).to_json_dict(),
                "edges": "planar",
            }
        },
    }
    if len(shapes):
        geo["columns"]["geometry"]["bbox"] = [float(value) for value in shapely.total_bounds(shapes)]
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA.with_metadata({"geo": json.dumps(geo, sort_keys=True)}))


def _timestamps(values: list[str], kind: pa.DataType) -> pa.Array:
    moments = [datetime.fromisoformat(value.replace("Z", "+00:00")) if value else None for value in values]
    return pa.array([m if m is None or m.tzinfo else m.replace(tzinfo=UTC) for m in moments], kind)
