"""What a classification said of every tile that was measured, and the figures of it: of one fold, or of several that
ask about each tile once.

`predictions.parquet`, one row a tile: `tile_id`, `group` (of copies), `class`, `said` (the three likeliest classes, the
first one first), `probability` (of the first), `classes` that the model knows and `probabilities` of each, and for each
floor `floor:NAME`, its three likeliest.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from knowlip.base.rows import Json, Row, highest_floor
from knowlip.pages.charts import png, style
from knowlip.tasks.metrics import proportion
from knowlip.tasks.runs import FLOOR

TOP: Final = (1, 3)
"""Right is a class among the first k."""


def predictions(
    tile_ids: Sequence[str],
    groups: Sequence[str],
    names: Sequence[str],
    classes: Sequence[str],
    probability_TC: np.ndarray,
    floors: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """The table, see above.

    Args:
        tile_ids: of the T tiles measured.
        groups: group of copies of each.
        names: class of each.
        classes: that the model knows (C).
        probability_TC: what it says.
        floors: name -> likeliest classes of each (T, at most 3).
    """
    order = np.argsort(-probability_TC, axis=1, kind="stable")[:, : max(TOP)]
    table = {
        "tile_id": list(tile_ids),
        "group": list(groups),
        "class": list(names),
        "said": [[classes[number] for number in row] for row in order],
        "probability": probability_TC.max(1).astype(np.float32),
        "classes": [list(classes)] * len(order),
        "probabilities": list(probability_TC.astype(np.float32)),
    }
    return pd.DataFrame(table | {f"{FLOOR}{name}": [list(row) for row in said] for name, said in floors.items()})


def voted(seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The table of several trainings that answer together: their probabilities averaged (Lakshminarayanan et al.,
    NeurIPS 2017), floors as they are.

    Args:
        seeds: predictions of the same tiles, a training each.

    Raises:
        ValueError: they are of other tiles, groups or classes, or hold no probability for each class.
    """
    fixed = ["class", "group", "classes"]
    first, *others = (one.sort_values("tile_id", ignore_index=True) for one in seeds)
    for one in others:
        same = len(one) == len(first) and (one["tile_id"] == first["tile_id"]).all()
        if not (same and all([*map(list, one[name])] == [*map(list, first[name])] for name in fixed)):
            raise ValueError("Seeds have measured other tiles, groups or classes: they cannot answer together.")
    for one in (first, *others):
        if not all(
            len(row) == len(names) and np.isfinite(row).all()
            for row, names in zip(one["probabilities"], one["classes"])
        ):
            raise ValueError(
                "Predictions of a seed hold no probability for each class: delete its runs and do them again."
            )
    mean = [np.mean(rows, 0) for rows in zip(*(one["probabilities"] for one in (first, *others)))]
    orders = [np.argsort(-row, kind="stable")[: max(TOP)] for row in mean]
    said = [[names[number] for number in order] for names, order in zip(first["classes"], orders)]
    return first.assign(
        said=pd.Series(said, dtype=object),
        probability=[row.max() for row in mean],
        probabilities=pd.Series(mean, dtype=object),
    )


def right(table: pd.DataFrame, column: str, k: int) -> np.ndarray:
    """Whether the class of each tile is among the first k of a column (T,) bool."""
    return np.array([name in said[:k] for name, said in zip(table["class"], table[column])], bool)


def class_rows(
    table: pd.DataFrame, data: str, split: str, encoder: str, what: str, note: str = "", floor_note: str = ""
) -> tuple[Row, ...]:
    """Top-1 and top-3, top-1 of each class, and the floors' own rows, with intervals over groups of copies.

    Args:
        table: predictions of one or more folds.
        data, split, encoder: as rows name them.
        what: how the encoder was used, e.g. "linear probe".
        note: what a reader must know besides.
        floor_note: the same of the floors.
    """
    clusters = table["group"].astype(str).to_numpy()
    columns = [name for name in table.columns if name.startswith(FLOOR)]
    rows: list[Row] = []
    last: list[Row] = []
    for k in TOP:
        floors = {name.removeprefix(FLOOR): proportion(right(table, name, k), clusters) for name in columns}
        floor, floor_name = highest_floor({name: one.value for name, one in floors.items()})
        model = proportion(right(table, "said", k), clusters)
        for encoder_, metric, one in [
            (encoder, f"top-{k}, {what}", model),
            *((f"{FLOOR}{name}", f"top-{k}", one) for name, one in floors.items()),
        ]:
            is_floor = encoder_.startswith(FLOOR)
            told = f"{floor_note if is_floor else note} {one.note}".strip()
            row = Row(data, split, "classify", encoder_, metric, one.value, one.ci, one.n, floor, floor_name, told)
            (last if is_floor else rows).append(row)
    # Of a class alone the majority knows all or nothing: what stands beside it is the floor that is highest over all.
    hit, best = right(table, "said", 1), rows[0].floor_name
    for name in sorted({*table["class"]}):
        of = (table["class"] == name).to_numpy()
        one = proportion(hit[of], clusters[of])
        floor = float(right(table[of], f"{FLOOR}{best}", 1).mean()) if best else None
        metric = f"top-1 of {name}, {what}"
        told = f"{note} {one.note}".strip()
        rows.append(Row(data, split, "classify", encoder, metric, one.value, one.ci, one.n, floor, best, told))
    return (*rows, *last)


def confusion(table: pd.DataFrame) -> dict[str, Json]:
    """How many tiles of each class were called what: `classes`, and `counts` (rows the class, columns what was said).
    Computed anew from the table, so that it can be of several folds."""
    first = table["said"].str[0]
    names = sorted({*table["class"], *first})
    counts = pd.crosstab(pd.Categorical(table["class"], names), pd.Categorical(first, names), dropna=False)
    return {"classes": names, "counts": counts.to_numpy().tolist()}


@style()
def draw_confusion(found: Mapping[str, Any], title: str) -> bytes:
    """The matrix as a PNG: colour is the share of the class, numbers are tiles."""
    names, counts = found["classes"], np.array(found["counts"])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.62 * len(names)
    figure = Figure(figsize=(side + 1, side), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("said", fontsize=8)
    axes.set_ylabel("class", fontsize=8)
    axes.set_title(title, fontsize=9)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    return png(figure)
