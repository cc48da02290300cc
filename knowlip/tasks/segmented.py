"""What a segmentation leaves behind: confusion of each tile as a table, rows made of it, and pictures."""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from knowlip.base.documents import read_json
from knowlip.base.files import whole_file
from knowlip.base.parquet import read_parquet, write_table
from knowlip.base.rows import Row, highest_floor
from knowlip.dataset.annotations import IGNORE
from knowlip.tasks.metrics.segmentation import FLOORS, class_iou, matrix_estimate, mean_iou, overall_accuracy
from knowlip.tasks.runs import FLOOR, PREDICTIONS

FACTS: Final = "segmented.json"
"""Class names and what every row must say."""
MODEL: Final = "model"
_TEXTS: Final = (("tile_id", pa.string()), ("group", pa.string()), ("by", pa.string()))
_SCHEMA: Final = pa.schema([*_TEXTS, ("matrix", pa.list_(pa.int64()))])
_COLOURS: Final = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#999999")
"""Okabe and Ito: told apart by most eyes."""
_SIDE: Final = 320


@dataclass(frozen=True)
class Counted:
    """One tile: what its pixels are and what they were called."""

    tile_id: str
    group: str
    by: str
    """"model", or the name of a floor."""
    matrix: np.ndarray
    """(C, C)"""


def write_counted(folder: Path, counted: Sequence[Counted]) -> None:
    """Write predictions.parquet."""
    rows = [{**vars(one), "matrix": one.matrix.ravel().tolist()} for one in counted]
    write_table(folder / PREDICTIONS, pa.Table.from_pylist(rows, _SCHEMA))


def read_counted(folder: Path) -> list[Counted]:
    """The reverse of :func:`write_counted`."""
    found = []
    for row in read_parquet(folder / PREDICTIONS, _SCHEMA).to_pylist():
        side = round(len(row["matrix"]) ** 0.5)
        found.append(Counted(**{**row, "matrix": np.array(row["matrix"], int).reshape(side, side)}))
    return found


def rows_of(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """OA, mIoU and IoU of each class over all that some folds have measured together, and the same of the floors.

    Intervals draw groups of copies anew; where they are fewer than 8 there is none, because tiles of a group are alike.

    Raises:
        ValueError: folds of other classes, or a tile that two of them measured.
    """
    # Class numbers mean the same in all folds, and a tile counts once, or the sums of matrices would mean nothing.
    facts = [read_json(folder / FACTS) for folder in folders]
    classes: list[str] = facts[0]["classes"]
    if any(one["classes"] != classes for one in facts):
        raise ValueError(f"{folders[0].parent} holds folds of other classes.")
    counted = [read_counted(folder) for folder in folders]
    seen = [{one.tile_id for one in fold} for fold in counted]
    if len(set().union(*seen)) < sum(map(len, seen)):
        raise ValueError(f"{folders[0].parent} holds folds that measured one tile twice.")
    every = [one for fold in counted for one in fold]
    notes = list(dict.fromkeys(note for one in facts for note in one["notes"]))
    matrices, clusters = {}, list[str]()
    for by in ("model", *FLOORS):
        mine = [one for one in every if one.by == by]
        matrices[by] = np.stack([one.matrix for one in mine])
        clusters = [one.group for one in mine]
    tiles, pixels = len(set().union(*seen)), int(matrices["model"].sum())
    notes.append(f"{pixels:,} pixels in {len({*clusters})} groups of copies.")
    there = matrices["model"].sum((0, 2)) > 0
    figures: dict[str, Callable[[np.ndarray], float]] = {"mIoU": mean_iou, "OA": overall_accuracy}
    figures |= {f"IoU {name}": partial(_iou_of, number) for number, name in enumerate(classes) if there[number]}
    rows, floors = list[Row](), list[Row]()
    for metric, figure in figures.items():
        found = {by: matrix_estimate(figure, of, clusters) for by, of in matrices.items()}
        floor, name = highest_floor({by: found[by].value for by in FLOORS})
        for by, one in found.items():
            who = encoder if by == "model" else FLOOR + by
            told = " ".join([*notes, one.note]).strip()
            row = Row(data, split, "segment", who, metric, one.value, one.ci, tiles, floor, name, told)
            (rows if by == "model" else floors).append(row)
    absent = "No pixel that was measured is of this class."
    missing = [f"IoU {name}" for number, name in enumerate(classes) if not there[number]]
    rows += [Row(data, split, "segment", encoder, metric, None, None, 0, None, "", absent) for metric in missing]
    return (*rows, *floors)


def _iou_of(number: int, matrix: np.ndarray) -> float:
    return float(class_iou(matrix)[number])


# ---- pictures -------------------------------------------------------------------------------------------------------


def palette(classes: int) -> np.ndarray:
    """(256, 3) uint8: a colour for each class, black for none."""
    colours = np.zeros((256, 3), np.uint8)
    for number in range(classes):
        if number < len(_COLOURS):
            text = _COLOURS[number].lstrip("#")
            colours[number] = [int(text[at : at + 2], 16) for at in (0, 2, 4)]
        else:
            colours[number] = [round(255 * value) for value in colorsys.hsv_to_rgb(number * 0.618 % 1, 0.7, 0.9)]
    return colours


def picture(pixels: np.ndarray, mask: np.ndarray, said: np.ndarray, classes: Sequence[str]) -> Image.Image:
    """Image, truth and prediction side by side, with a legend below; pixels without a class are black in both."""
    colours = palette(len(classes))
    shown = [np.repeat(pixels[..., None], 3, -1), colours[mask], colours[np.where(mask == IGNORE, IGNORE, said)]]
    height = round(_SIDE * pixels.shape[0] / pixels.shape[1])
    columns = 4
    lines = -(-len(classes) // columns)
    canvas = Image.new("RGB", (3 * _SIDE + 8, 18 + height + 6 + 18 * lines), "white")
    draw = ImageDraw.Draw(canvas)
    for at, (name, part) in enumerate(zip(("image", "truth", "prediction"), shown)):
        left = at * (_SIDE + 4)
        draw.text((left + 2, 3), name, "black")
        resample = Image.Resampling.BOX if at == 0 else Image.Resampling.NEAREST
        canvas.paste(Image.fromarray(np.ascontiguousarray(part)).resize((_SIDE, height), resample), (left, 18))
    for number, name in enumerate(classes):
        x, y = number % columns * (3 * _SIDE // columns) + 2, 18 + height + 6 + 18 * (number // columns)
        draw.rectangle((x, y + 2, x + 12, y + 14), tuple(colours[number].tolist()))
        # The font that comes with PIL has Latin letters alone.
        draw.text((x + 18, y + 2), name[:32].encode("latin-1", "replace").decode("latin-1"), "black")
    return canvas


def save_png(path: Path, image: Image.Image) -> None:
    """Write a PNG, whole or not at all."""
    with whole_file(path) as part:
        image.save(part, "PNG")
