"""What is checked whenever a data set is opened, since it may come from anybody: what its files say has the shape that
the code counts on, and every value that becomes a path or a key is a plain name. :mod:`knowlip.dataset.verify` proves
the rest.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.base.vocabulary import SCALES
from knowlip.dataset.layout import FORMAT_VERSION, INDEX_SCHEMA, SPLITS

MOST_PX = 1 << 15
"""Side of a tile."""
_HASH = r"[0-9a-f]{64}"
_PLAIN = r"[^/\\\x00-\x1f]{0,200}"
_PATTERNS = {
    "tile_id": "[a-z0-9-]{1,96}",
    "id": "[a-z0-9-]{1,96}",
    "scene_id": _PLAIN,
    "root_id": _PLAIN,
    "parent_id": _PLAIN,
    "block": _PLAIN,
    "shard": r"([a-z0-9][a-z0-9-]*\.tar)?",
    "cog": r"(cog/[a-z0-9-]+\.tif)?",
    "png_sha256": f"({_HASH})?",
}
"""What the values of columns that become paths or keys look like."""
_ALLOWED = {"split": SPLITS, "scale": SCALES}
CHECKED = (*_PATTERNS, *_ALLOWED, "accepted", "proj:shape")
"""Columns of the index that are checked whenever it is opened."""
_REQUIRED = ("format_version", "fingerprint", "counts", "published_revision")


def checked_info(info: Any, path: Path) -> dict[str, Any]:
    """dataset.json itself, once its values have the shapes that are counted on.

    Raises:
        ValueError: it is of another format version, or a value is missing or of another shape; the sentence names it.
    """
    if not isinstance(info, dict):
        raise ValueError(f"{path} is no JSON object of a data set.")
    version = info.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{path.parent} has format version {version}; this program reads version {FORMAT_VERSION}.")
    if missing := [name for name in _REQUIRED if name not in info]:
        raise ValueError(f"{path} lacks {missing[0]!r}: the data set is not whole.")
    annotations = info.get("annotations", {"rows": 0, "sha256": ""})
    shapes = {
        "fingerprint": isinstance(info["fingerprint"], str) and re.fullmatch(_HASH, info["fingerprint"]),
        "counts": isinstance(info["counts"], dict)
        and all(_count(value) or _counts(value) for value in info["counts"].values()),
        "published_revision": _whole(info["published_revision"], -1),
        "mask_classes": _classes(info.get("mask_classes", {})),
        "masks": _count(info.get("masks", 0)),
        "annotations": isinstance(annotations, dict)
        and _count(annotations.get("rows"))
        and isinstance(annotations.get("sha256"), str),
    }
    for name, fits in shapes.items():
        if not fits:
            raise ValueError(f"{path}: {name!r} is not what a data set says there.")
    return info


def checked_index(table: pa.Table, path: Path) -> pa.Table:
    """The index itself, once what becomes a path, a key or a size in it is fit for that.

    Raises:
        ValueError: a value is not; the sentence names the column and the row.
    """
    if not len(table):
        raise ValueError(f"{path} holds no tile.")
    checked_rows(table, path)
    refuse_twice(table["tile_id"], path)
    return table


def checked_rows(table: pa.Table, path: Path, first: int = 0) -> pa.Table:
    """Rows of some columns of the index, once what becomes a path, a key or a size in them is fit for that.

    Args:
        table: some of its columns.
        path: of its file.
        first: number of its first row in the file.
    """
    for name in table.column_names:
        column, kind = table[name], INDEX_SCHEMA.field(name).type
        if column.null_count and (kind == pa.string() or name in ("accepted", "proj:shape")):
            row = pc.index(column.is_null(), True).as_py()
            raise ValueError(f"{path}: row {first + row} has a null in column {name!r}.")
    for name in table.column_names:
        if name in _PATTERNS:
            fits = pc.match_substring_regex(table[name], f"^(?s:{_PATTERNS[name]})$")
            _refuse(pc.invert(fits), table, name, path, first)
    for name in table.column_names:
        if name in _ALLOWED:
            _refuse(pc.invert(pc.is_in(table[name], pa.array(_ALLOWED[name]))), table, name, path, first)
    if "proj:shape" in table.column_names:
        lengths = pc.list_value_length(table["proj:shape"])
        sides = pc.list_flatten(table["proj:shape"])
        fits = not sides.null_count and pc.all(pc.equal(lengths, 2)).as_py()
        if not fits or not pc.all(pc.and_(pc.greater(sides, 0), pc.less(sides, MOST_PX))).as_py():
            raise ValueError(f"{path}: every 'proj:shape' must be two numbers of pixels from 1 to {MOST_PX - 1}.")
    return table


def refuse_twice(names: pa.ChunkedArray, path: Path) -> None:
    """Every tile is in an index once."""
    if len(pc.unique(names)) < len(names):
        raise ValueError(f"{path} holds a tile twice.")


def checked_texts(table: pa.Table, path: Path) -> pa.Table:
    """The rows of a text revision, once their slots are 1 to 8 and nothing that is counted on is null."""
    for field in table.schema:
        if table[field.name].null_count and not pa.types.is_floating(field.type):
            raise ValueError(f"{path}: a row has no {field.name!r}.")
    slots = table["slot"]
    if not pc.all(pc.and_(pc.greater_equal(slots, 1), pc.less_equal(slots, 8)), min_count=0).as_py():
        raise ValueError(f"{path} holds a slot that is not 1 to 8.")
    return table


def refuse_nulls(table: pa.Table, path: Path) -> None:
    """Nulls stand for what is not known in numbers alone."""
    for field in table.schema:
        if table[field.name].null_count and not pa.types.is_floating(field.type):
            raise ValueError(f"{path} holds a null in column {field.name!r}.")


def checked_annotations(table: pa.Table, path: Path) -> pa.Table:
    """The annotations, once nothing is null that is counted on and boxes and outlines are lists of points."""
    refuse_nulls(table, path)
    for name in ("corners", "polygon"):
        lengths = pc.list_value_length(table[name])
        if not all(_points(length, name) for length in pc.unique(lengths).to_pylist()):
            raise ValueError(f"{path}: the {name!r} of an object are not points x, y, x, y, ...")
        points = pc.list_flatten(table[name])
        if points.null_count or not pc.all(pc.is_finite(points), min_count=0).as_py():
            raise ValueError(f"{path}: the {name!r} of an object are not numbers.")
    return table


def checked_truth(value: Any, what: str) -> dict[str, Any]:
    """The truth of a tile, once it has the shape of :class:`knowlip.language.definitions.TileTruth`."""
    fits = isinstance(value, dict) and _shares(value.get("shares", {})) and _objects(value.get("objects", []))
    grid = value.get("grid", []) if fits else None
    if not isinstance(grid, list) or not all(map(_shares, grid)):
        raise ValueError(f"{what} has another shape than the truth of a tile.")
    if not all(_count(value.get(name, 0)) for name in ("buildings", "bridges", "tanks")):
        raise ValueError(f"{what} counts something by other than whole numbers.")
    found: dict[str, Any] = value
    return found


def _objects(value: Any) -> bool:
    """Whether these are objects with a class, sizes and an outline of at least three corners."""
    return isinstance(value, list) and all(map(_object, value))


def _points(length: int, name: str) -> bool:
    """Whether so many numbers are a rotated box (four points) or an outline (three and more), or none."""
    return length in (0, 8) if name == "corners" else length == 0 or (length >= 6 and length % 2 == 0)


def _object(item: Any) -> bool:
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("category", "type")):
        return False
    outline = item.get("polygon")
    if not isinstance(outline, list) or len(outline) < 3 or not all(isinstance(point, list) for point in outline):
        return False
    points = all(len(point) == 2 and all(map(_number, point)) for point in outline)
    return points and all(_number(item.get(name)) for name in ("heading_deg", "length_m", "width_m"))


def _shares(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _count(value: Any) -> bool:
    return _whole(value, 0)


def _counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_count, value.values()))


def _classes(value: Any) -> bool:
    codes = isinstance(value, dict) and all(code.isascii() and code.isdigit() and int(code) < 256 for code in value)
    return codes and all(isinstance(name, str) for name in value.values())


def _refuse(bad: pa.ChunkedArray, table: pa.Table, name: str, path: Path, first: int) -> None:
    if (row := pc.index(bad, True).as_py()) >= 0:
        value = str(table[name][row].as_py())[:80]
        raise ValueError(f"{path}: the {name!r} of row {first + row} cannot be {value!r}.")
