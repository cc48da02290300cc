"""What an annotator counts and points at beside its texts: one row a tile in `mentions.parquet`.

Mentions are claims of the annotator, as its texts are; `annotations.parquet` holds labels and truth.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from knowlip.base.documents import parse_json
from knowlip.base.parquet import read_parquet, write_table
from knowlip.dataset.layout import schema
from knowlip.dataset.records import MentionRow

if TYPE_CHECKING:
    import pandas as pd

MENTIONS = "mentions.parquet"
MENTION_SCHEMA = schema("tile_id annotator counts boxes")
"""`counts`: JSON object, category -> number. `boxes`: JSON list of [category, x, y, width, height]."""
_ROUNDING = 1e-6
"""How far a box may leave the tile."""


class Box(NamedTuple):
    """An object in a tile."""

    category: str
    x: float  # Upper left corner; all lengths in fractions of the tile's width and height.
    y: float
    width: float
    height: float


class Mention(NamedTuple):
    """Counts and boxes of one tile."""

    tile_id: str
    annotator: str
    counts: dict[str, int]
    boxes: tuple[Box, ...]


def check_mention(tile_id: str, counts: Mapping[str, int], boxes: Sequence[Box]) -> None:
    """Raise `ValueError` unless counts are whole numbers from 0 and boxes lie in the tile."""
    for category, number in counts.items():
        if not category or isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{tile_id} counts {number!r} of {category!r}; counts are whole numbers from 0 of a name.")
    for box in boxes:
        inside = min(box.x, box.y) >= -_ROUNDING and max(box.x + box.width, box.y + box.height) <= 1 + _ROUNDING
        if not (box.category and inside and box.width > 0 and box.height > 0):
            raise ValueError(f"{tile_id} has the box {tuple(box)}; boxes are fractions of the tile and lie within it.")


def mention(tile_id: str, annotator: str, counts: Mapping[str, int], boxes: Sequence[Box]) -> MentionRow:
    """One row of `MENTION_SCHEMA`.

    Args:
        tile_id: the tile.
        annotator: who counts and points.
        counts: category -> number.
        boxes: objects in fractions of the tile.

    Raises:
        ValueError: counts or boxes that cannot be.
    """
    check_mention(tile_id, counts, boxes)
    plain = [[box.category, *(float(value) for value in box[1:])] for box in boxes]
    return {
        "tile_id": tile_id,
        "annotator": annotator,
        "counts": json.dumps(dict(counts), sort_keys=True),
        "boxes": json.dumps(plain),
    }


def says_something(row: MentionRow) -> bool:
    """Whether a row has counts or boxes."""
    return row["counts"] != "{}" or row["boxes"] != "[]"


def by_tile(frame: "pd.DataFrame") -> dict[str, Mention]:
    """Rows as they come from `Dataset.mentions()` -> tile_id -> mention."""
    columns = (frame[name] for name in MENTION_SCHEMA.names)
    return {row[0]: _read(*row) for row in zip(*columns)}


def _read(tile_id: str, annotator: str, counts: str, boxes: str) -> Mention:
    try:
        numbers = parse_json(counts, "counts")
        found = tuple(Box(*fields) for fields in parse_json(boxes, "boxes"))
        check_mention(tile_id, numbers, found)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"The counts or boxes of {tile_id} cannot be read ({error}).") from error
    return Mention(tile_id, annotator, numbers, found)


def read_mentions(dataset: Path) -> pa.Table:
    """The rows of a data set in order of tile_id, none where there is no `mentions.parquet`."""
    path = dataset / MENTIONS
    return read_parquet(path, MENTION_SCHEMA) if path.exists() else MENTION_SCHEMA.empty_table()


def write_mentions(dataset: Path, rows: Iterable[MentionRow]) -> None:
    """Write `mentions.parquet`, whole or not at all: what is there stays, new tiles are added.

    Rows without counts and boxes are left out; where no row is left, no file is made.

    Raises:
        ValueError: a tile has other counts or boxes already, or comes twice.
    """
    path = dataset / MENTIONS
    known = {row["tile_id"]: row for row in read_mentions(dataset).to_pylist()}
    merged = dict(known)
    for row in rows:
        if not says_something(row):
            continue
        tile = row["tile_id"]
        if merged.setdefault(tile, row) != row:
            raise ValueError(f"{path} holds other counts or boxes of {tile} already; they are never overwritten.")
    if len(merged) == len(known):
        return
    table = pa.Table.from_pylist([merged[tile] for tile in sorted(merged)], MENTION_SCHEMA)
    write_table(path, table)


def check_mentions(dataset: Path, tiles: set[str]) -> int:
    """Check the file as `dataset verify` does; returns the number of rows.

    Raises:
        ValueError: a tile that is not among `tiles` or comes twice, a null, or values that cannot be.
    """
    path, table = dataset / MENTIONS, read_mentions(dataset)
    names = table["tile_id"].to_pylist()
    if any(table[name].null_count for name in MENTION_SCHEMA.names):
        raise ValueError(f"{path} holds a null.")
    if strangers := set(names) - tiles:
        raise ValueError(f"{path} names tile {min(strangers)!r}, which is no accepted tile of the data set.")
    if len(set(names)) != len(names):
        raise ValueError(f"{path} holds a tile twice.")
    try:
        for row in zip(*(table[name].to_pylist() for name in MENTION_SCHEMA.names)):
            _read(*row)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return len(names)
