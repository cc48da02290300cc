"""Rows that other rooms hand to a data set, as records."""

from collections.abc import Sequence
from typing import TypedDict


class AnnotationRow(TypedDict):
    """A row of annotations.parquet: an object of a tile; lengths in fractions of the tile, NaN where not known."""

    tile_id: str
    annotation_id: str
    category: str
    type: str
    x: float
    y: float
    width: float
    height: float
    corners: Sequence[float]
    polygon: Sequence[float]
    heading_deg: float
    length_m: float
    width_m: float
    difficult: bool
    source: str


class MentionRow(TypedDict):
    """A row of mentions.parquet: what an annotator counts and points at, counts and boxes as JSON."""

    tile_id: str
    annotator: str
    counts: str
    boxes: str


class TableDigest(TypedDict):
    """How many rows a table has, and the hash of its values, for dataset.json."""

    rows: int
    sha256: str
