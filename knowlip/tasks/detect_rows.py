"""Tables of what was found and what is there, and the rows that are read from them: of one run, or of all folds.

predictions.parquet   tile_id, category, score, box in pixels of the tile, corners of a rotated box or none
floor.parquet         the same of CFAR
truth.parquet         tile_id, category, box, corners, ignored
tiles.parquet         tile_id, group of near copies, place (inshore, offshore, or empty), height, width
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.base.parquet import read_parquet, write_table
from knowlip.base.rows import Row
from knowlip.dataset.annotations import rotated_box
from knowlip.models.detection import FoundBoxes
from knowlip.tasks.metrics.boxes import CORNERS, OVERLAPS, ap_estimate, coco_scores
from knowlip.tasks.metrics.intervals import Estimate
from knowlip.tasks.metrics.rotated import POINTS, rotated_overlaps
from knowlip.tasks.objects import TileObjects
from knowlip.tasks.runs import FLOOR, PREDICTIONS, notes_of

CFAR: Final = "floor.parquet"
TRUTH: Final = "truth.parquet"
TILES: Final = "tiles.parquet"
_BOX: Final = [(name, pa.float64()) for name in CORNERS]
_CORNERS: Final = ("corners", pa.list_(pa.float64()))
FOUND_SCHEMA: Final = pa.schema(
    [("tile_id", pa.string()), ("category", pa.string()), ("score", pa.float64()), *_BOX, _CORNERS]
)
TRUTH_SCHEMA: Final = pa.schema(
    [("tile_id", pa.string()), ("category", pa.string()), *_BOX, _CORNERS, ("ignored", pa.bool_())]
)
TILES_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("tile_id", "group", "place")),
        *((name, pa.int32()) for name in ("height", "width")),
    ]
)


class DetectionTables(NamedTuple):
    """What one run, or several folds together, found."""

    found: pd.DataFrame
    floor: pd.DataFrame
    truth: pd.DataFrame
    tiles: pd.DataFrame


def found_table(tile_id: str, one: FoundBoxes, scale: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """What was found in a tile, in its own pixels.

    Args:
        tile_id: the tile.
        one: boxes in pixels of the input.
        scale: (2,) pixels of the tile for a pixel of the input, along x and y.
        classes: names of the classes 1, 2, ...

    Returns:
        A row a box; those whose score or place is no number are none, and `attrs["without_number"]` counts them.
    """
    boxes, scores = (values.double().cpu().numpy() for values in (one.boxes, one.scores))
    sound = np.isfinite(scores) & np.isfinite(boxes).all(1)
    boxes, scores, labels = boxes[sound], scores[sound], one.labels.cpu().numpy()[sound]
    corners: list[list[float]] = [[] for _ in boxes]
    if one.masks is not None:
        masks = one.masks.float().cpu().numpy()[sound]
        corners = [_corners(mask, box, scale) for mask, box in zip(masks, boxes)]
    columns = dict(zip(CORNERS, (boxes * np.tile(scale, 2)).T.reshape(4, -1)))
    names = [classes[label - 1] for label in labels.tolist()]
    table = pd.DataFrame(
        {"tile_id": [tile_id] * len(names), "category": names, "score": scores, **columns, "corners": corners}
    )
    table.attrs["without_number"] = int((~sound).sum())
    return table


def _corners(mask: np.ndarray, box: np.ndarray, scale: np.ndarray) -> list[float]:
    """Corners of the smallest rotated rectangle around a mask (28, 28) of a box; of the box where the mask is empty."""
    rows, columns = np.nonzero(mask >= 0.5)
    sides = box[2:] - box[:2]
    if not len(rows):
        rows, columns = np.array([0, mask.shape[0] - 1]), np.array([0, mask.shape[1] - 1])
    # Cells are squares: all four corners of each belong to the mask.
    x = np.concatenate([columns, columns + 1, columns, columns + 1]) / mask.shape[1]
    y = np.concatenate([rows, rows, rows + 1, rows + 1]) / mask.shape[0]
    points = (np.stack([x, y], 1) * sides + box[:2]) * scale
    return [float(value) for value in rotated_box(points).ravel()]


def floor_table(tile_ids: Sequence[str], boxes: Sequence[tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """What CFAR found, as :func:`found_table`; it knows no classes."""
    found: dict[str, list[Any]] = {name: [] for name in FOUND_SCHEMA.names}
    for tile_id, (all_boxes, scores) in zip(tile_ids, boxes, strict=True):
        for box, score in zip(all_boxes, scores):
            values = {"tile_id": tile_id, "category": "", "score": float(score), "corners": []}
            for name, value in {**values, **dict(zip(CORNERS, map(float, box)))}.items():
                found[name].append(value)
    return pd.DataFrame(found)


def truth_table(truth: Mapping[str, TileObjects]) -> pd.DataFrame:
    """What is there: a row an object."""
    rows: list[dict[str, Any]] = []
    for tile_id, objects in truth.items():
        for box, name, ignored, corners in zip(objects.boxes, objects.classes, objects.ignored, objects.corners):
            own = [float(value) for value in corners.ravel()] if objects.rotated else []
            values = {"tile_id": tile_id, "category": name, "corners": own, "ignored": bool(ignored)}
            rows.append({**values, **dict(zip(CORNERS, map(float, box)))})
    return pd.DataFrame(rows, columns=TRUTH_SCHEMA.names)


def tiles_table(
    truth: Mapping[str, TileObjects], group_of: Mapping[str, str], inshore: set[str] | None
) -> pd.DataFrame:
    """The tiles that were looked at, those without objects too."""
    place = {tile_id: "" if inshore is None else "inshore" if tile_id in inshore else "offshore" for tile_id in truth}
    rows = [
        {
            "tile_id": tile_id,
            "group": group_of[tile_id],
            "place": place[tile_id],
            "height": objects.size[0],
            "width": objects.size[1],
        }
        for tile_id, objects in truth.items()
    ]
    return pd.DataFrame(rows, columns=TILES_SCHEMA.names)


def write_tables(folder: Path, tables: DetectionTables) -> None:
    """Write the four tables."""
    schemas = (FOUND_SCHEMA, FOUND_SCHEMA, TRUTH_SCHEMA, TILES_SCHEMA)
    for name, table, schema in zip((PREDICTIONS, CFAR, TRUTH, TILES), tables, schemas):
        # An empty table of pandas has forgotten what its columns hold, lists among them.
        full = pa.Table.from_pandas(table, schema, preserve_index=False) if len(table) else schema.empty_table()
        write_table(folder / name, full)


def read_tables(folders: Sequence[Path]) -> DetectionTables:
    """The tables of folds together.

    Raises:
        ValueError: one is missing or broken, or a tile was measured by two folds.
    """
    schemas = (FOUND_SCHEMA, FOUND_SCHEMA, TRUTH_SCHEMA, TILES_SCHEMA)
    parts = [
        pd.concat([read_parquet(folder / name, schema).to_pandas() for folder in folders], ignore_index=True)
        for name, schema in zip((PREDICTIONS, CFAR, TRUTH, TILES), schemas)
    ]
    found = DetectionTables(*parts)
    if (twice := found.tiles["tile_id"].duplicated()).any():
        raise ValueError(f"Two of {len(folders)} folds measured the tile {found.tiles['tile_id'][twice].iloc[0]}.")
    return found


# ---- rows -----------------------------------------------------------------------------------------------------------


def rows_of(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures of all tiles that the folds have measured, with what their run folders say beside them.

    Args:
        folders: finished run folders of the folds.
        data, split, encoder: names for the rows.
    """
    return table_rows(read_tables(folders), data, split, encoder, *notes_of(folders, "detect", encoder))


def table_rows(
    tables: DetectionTables, data: str, split: str, encoder: str, note: str = "", floor_note: str = ""
) -> tuple[Row, ...]:
    """Figures of tables, with intervals over groups of near copies.

    Args:
        tables: of all tiles that were measured.
        data, split, encoder: names for the rows.
        note: what a reader must know of the model's figures.
        floor_note: the same of CFAR's.
    """
    places = [("", tables.tiles)]
    for place in ("inshore", "offshore"):
        if (chosen := tables.tiles["place"] == place).any():
            places.append((f", {place}", tables.tiles[chosen]))
    rows: list[Row] = []
    for suffix, tiles in places:
        rows += _rows_of_tiles(tables, tiles, suffix, (data, split, "detect"), encoder, (note, floor_note))
    return tuple(rows)


def _rows_of_tiles(
    tables: DetectionTables,
    tiles: pd.DataFrame,
    suffix: str,
    key: tuple[str, str, str],
    encoder: str,
    notes: tuple[str, str],
) -> list[Row]:
    """Rows of some tiles: AP50 and AP with intervals, then what COCO prints more, all with CFAR beside them."""
    groups = dict(zip(tiles["tile_id"], tiles["group"]))
    found, floor, truth = (table[table["tile_id"].isin(groups)] for table in tables[:3])
    if not len(truth[~truth["ignored"].astype(bool)]):
        return []
    # CFAR knows no classes: it is measured on all objects as one, which can only raise it.
    floor, as_one = floor.assign(category=""), truth.assign(category="")
    rows: list[Row] = []

    def add(name: str, one: Estimate, low: Estimate) -> None:
        beside = (low.value, "CFAR") if np.isfinite(low.value) else (None, "")
        for who, each, said in ((encoder, one, notes[0]), (f"{FLOOR}CFAR", low, notes[1])):
            value = each.value if np.isfinite(each.value) else None
            absent = "Nothing of this kind is there to be found."
            text = f"{said} {each.note}".strip() if value is not None else absent
            row = Row(*key, who, f"{name}{suffix}", value, each.ci, each.n, beside[0], beside[1], text)
            rows.append(row)

    values, lows = (coco_scores(*pair, list(groups)) for pair in ((found, truth), (floor, as_one)))
    for name, at in (("AP50", OVERLAPS[:1]), ("AP", OVERLAPS))[: 1 if suffix else 2]:
        estimate = ap_estimate(found, truth, groups, at)
        estimate = Estimate(values[name], estimate.ci, estimate.n, estimate.method)
        add(name, estimate, ap_estimate(floor, as_one, groups, at))
    count = int((~truth["ignored"].astype(bool)).sum())
    for name in () if suffix else ("AP75", "AP small", "AP medium", "AP large", "AR"):
        add(name, Estimate(values[name], None, count), Estimate(lows[name], None, count))
    # A detector that gives upright boxes alone is not measured by rotated ones; one that finds nothing may be either.
    if not suffix and (found["corners"].map(len) == len(POINTS)).all() and (truth["corners"].map(len) == 8).all():
        ways = ((_pointed(found), _pointed(truth)), (_upright(floor), _pointed(as_one)))
        one, low = (ap_estimate(*way, groups, OVERLAPS[:1], POINTS, rotated_overlaps) for way in ways)
        add("AP50, rotated boxes", one, low)
    return rows


def _pointed(table: pd.DataFrame) -> pd.DataFrame:
    """A table with the numbers of its rotated boxes in columns."""
    table = table[table["corners"].map(len) == len(POINTS)]
    numbers = np.array(table["corners"].to_list(), float).reshape(-1, len(POINTS))
    return table.assign(**dict(zip(POINTS, numbers.T)))


def _upright(table: pd.DataFrame) -> pd.DataFrame:
    """A table with its upright boxes as rotated ones in columns."""
    around = ("left", "top", "right", "top", "right", "bottom", "left", "bottom")
    return table.assign(**{point: table[side] for point, side in zip(POINTS, around)})
