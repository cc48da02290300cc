"""Annotations of tiles: boxes, rotated boxes and outlines of objects, and masks of classes, as tables beside the index.

A data set that was imported from labelled images has its annotations in `annotations.parquet`; one that was built from
scenes with truth derives them from the truth's objects. Both give the same columns.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from knowlip.base.files import sha256, whole_file
from knowlip.base.parquet import read_parquet, write_table
from knowlip.dataset.checks import checked_annotations
from knowlip.dataset.layout import ANNOTATION_SCHEMA, ANNOTATIONS, MASK_SCHEMA, MASKS
from knowlip.dataset.png import decode_png
from knowlip.dataset.records import AnnotationRow, TableDigest
from knowlip.language.definitions import TileTruth

if TYPE_CHECKING:
    import pandas as pd

IGNORE = 255
"""Code of mask pixels without a class."""
ROUNDING = 1e-9
"""How far a fraction may lie outside 0 to 1."""
_MASKS_A_GROUP = 16


def annotation(
    tile_id: str, number: int, category: str, box: tuple[float, float, float, float], **more: Any
) -> AnnotationRow:
    """One row of annotations, every column present.

    Args:
        tile_id: the tile.
        number: counts the objects of the tile; makes the annotation_id.
        category: class name.
        box: x, y of the upper left corner, width and height, in fractions of the tile.
        more: any other column of `ANNOTATION_SCHEMA`.
    """
    names = {"tile_id": tile_id, "annotation_id": f"{tile_id}-{number:04d}", "category": category, "type": ""}
    places = {**dict(zip(("x", "y", "width", "height"), box)), "corners": [], "polygon": []}
    unknown = {"heading_deg": math.nan, "length_m": math.nan, "width_m": math.nan, "difficult": False, "source": ""}
    return cast(AnnotationRow, {**names, **places, **unknown, **more})


def annotation_table(rows: Iterable[AnnotationRow]) -> pa.Table:
    """Rows of :func:`annotation` as a table of `ANNOTATION_SCHEMA`, in order of tile and annotation."""
    ordered = sorted(rows, key=lambda row: (row["tile_id"], row["annotation_id"]))
    return pa.Table.from_pylist(ordered, ANNOTATION_SCHEMA)


def write_annotations(dataset: Path, rows: Iterable[AnnotationRow]) -> TableDigest:
    """Write `annotations.parquet`. Returns {"rows", "sha256"} for dataset.json."""
    table = annotation_table(rows)
    write_table(dataset / ANNOTATIONS, table)
    return {"rows": len(table), "sha256": table_sha256(table)}


def table_sha256(table: pa.Table) -> str:
    """SHA-256 of the values of a table, whatever way the file stores them."""
    digest = hashlib.sha256()
    for batch in table.combine_chunks().to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            plain = {key: math.nan if value is None else value for key, value in row.items()}
            digest.update(repr(sorted(plain.items())).encode())
    return digest.hexdigest()


def read_annotations(dataset: Path, truth: Mapping[str, TileTruth] | None = None) -> "pd.DataFrame":
    """Annotations of a data set as a frame with the columns of `ANNOTATION_SCHEMA`.

    Args:
        dataset: its folder.
        truth: where there is no `annotations.parquet`, annotations are derived from this.
    """
    path = dataset / ANNOTATIONS
    if path.exists():
        return checked_annotations(read_parquet(path, ANNOTATION_SCHEMA), path).to_pandas()
    return annotation_table(annotations_of(truth or {})).to_pandas()


def annotations_of(truth: Mapping[str, TileTruth]) -> Iterator[AnnotationRow]:
    """Annotations of the objects of truth (ships, aircraft): those whose centre lies in the tile.

    The box is the part of the object's outline that lies in the tile; the rotated box lies around the whole outline
    and may leave the tile.
    """
    for tile_id in sorted(truth):
        for number, item in enumerate(truth[tile_id].get("objects", [])):
            outline = np.array(item["polygon"], float).reshape(-1, 2)
            low, high = np.clip(outline.min(axis=0), 0, 1), np.clip(outline.max(axis=0), 0, 1)
            box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
            if box[2] <= 0 or box[3] <= 0:
                continue
            corners = outline if len(outline) == 4 else rotated_box(outline)
            points = {"corners": corners.ravel().tolist(), "polygon": outline.ravel().tolist()}
            sizes = {name: float(item[name]) for name in ("heading_deg", "length_m", "width_m")}
            yield annotation(
                tile_id, number, item["category"], box, type=item["type"], source="truth", **points, **sizes
            )


def rotated_box(points: np.ndarray) -> np.ndarray:
    """(4, 2) corners of the smallest rotated rectangle around points (N, 2); the upright one where they are in line."""
    shape = shapely.oriented_envelope(shapely.MultiPoint(points))
    if isinstance(shape, shapely.Polygon) and shape.area > 0:
        return np.array(shape.exterior.coords)[:4]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def write_masks(dataset: Path, masks: Iterable[tuple[str, bytes]]) -> int:
    """Write `masks.parquet` from (tile_id, PNG) in order of tile_id, holding a few at a time. Returns how many."""
    count = 0
    with whole_file(dataset / MASKS) as part, pq.ParquetWriter(part, MASK_SCHEMA, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, MASK_SCHEMA))
            rows.clear()

        for tile_id, png in masks:
            rows.append({"tile_id": tile_id, "png": png, "png_sha256": sha256(png)})
            count += 1
            if len(rows) == _MASKS_A_GROUP:
                flush()
        if rows:
            flush()
    return count


def mask_count(dataset: Path) -> int | None:
    """How many masks there are, without reading them; None where the file does not say."""
    if not (dataset / MASKS).is_file():
        return None
    try:
        return int(pq.read_metadata(dataset / MASKS).num_rows)
    except (OSError, pa.ArrowInvalid):
        return None


def iter_masks(dataset: Path) -> Iterator[tuple[str, bytes, str]]:
    """(tile_id, PNG, SHA-256) of every mask, a few in memory at a time; nothing where there are none.

    Raises:
        ValueError: the file is broken, or has other columns.
    """
    path = dataset / MASKS
    if not path.exists():
        return
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != MASK_SCHEMA.names:
                raise ValueError(f"{path} has other columns than {', '.join(MASK_SCHEMA.names)}.")
            for batch in file.iter_batches(_MASKS_A_GROUP):
                for row in batch.to_pylist():
                    yield row["tile_id"], row["png"], row["png_sha256"]
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable parquet file ({str(error).splitlines()[0]}).") from error


class MaskReader:
    """Random access to the masks of a data set."""

    def __init__(self, dataset: Path):
        self.path = dataset / MASKS
        self._places: dict[str, tuple[int, int]] | None = None

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """tile_id -> (row group, row in it)."""
        if self._places is None:
            self._places = {}
            if self.path.exists():
                with pq.ParquetFile(self.path) as file:
                    for group in range(file.num_row_groups):
                        names = file.read_row_group(group, ["tile_id"])["tile_id"].to_pylist()
                        self._places |= {name: (group, row) for row, name in enumerate(names)}
        return self._places

    def png(self, tile_id: str) -> bytes:
        """PNG bytes of a tile's mask.

        Raises:
            ValueError: the tile has none.
        """
        place = self.places.get(tile_id)
        if place is None:
            raise ValueError(f"{self.path} has no mask of {tile_id}.")
        with pq.ParquetFile(self.path) as file:
            data: bytes = file.read_row_group(place[0], ["png"])["png"][place[1]].as_py()
        return data

    def mask(self, tile_id: str) -> np.ndarray:
        """(H, W) uint8 class codes; 255: no class."""
        return decode_png(self.png(tile_id))
