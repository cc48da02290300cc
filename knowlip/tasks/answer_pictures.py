"""Pictures of answers for people: tiles with questions, answers and truth (figure 15 of the paper), the confusion of
counts, and the risk over coverage."""

from pathlib import Path
from textwrap import fill
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from knowlip.base.files import sha256, whole_file
from knowlip.dataset import Dataset
from knowlip.language.questions import QuestionType
from knowlip.pages.charts import png, style
from knowlip.tasks.answered import count_confusion, hits, kinds_in, risk_coverage
from knowlip.tasks.class_rows import draw_confusion
from knowlip.tasks.runs import PICTURES

_EACH: Final = 3
"""Questions of each type that are shown."""
_RIGHT, _WRONG = "#1a7f37", "#b42318"


def write_pictures(table: pd.DataFrame, data: Dataset, folder: Path) -> None:
    """Write them into a run folder."""
    pictures = {"answers": draw_answers(table, data), "risk over coverage": draw_risk(table)}
    if (table["type"] == QuestionType.COUNT).any():
        pictures["confusion of counts"] = draw_confusion(count_confusion(table), "counts, by ranking")
    for name, content in pictures.items():
        with whole_file(folder / PICTURES / f"{name}.png") as part:
            part.write_bytes(content)


@style()
def draw_answers(table: pd.DataFrame, data: Dataset) -> bytes:
    """Tiles with a question, the model's answer and the right one: of each type some, drawn by the hash of their words
    and never chosen by their result."""
    chosen = []
    for kind in kinds_in(table):
        rows = table[table["type"] == kind].to_dict("records")
        rows.sort(key=lambda row: sha256(f"{row['tile_id']}/{row['question']}".encode()))
        chosen += rows[:_EACH]
    columns = min(len(chosen), 2 * _EACH)
    lines = -(-len(chosen) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.75 * lines), dpi=110, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, row in zip(grid, chosen):
        right = row["ranked"] == row["answer"]
        axes.imshow(data.image(row["tile_id"]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(fill(str(row["question"]), 28), fontsize=7, loc="left", parse_math=False)
        said = fill(f"says: {row['ranked']} ({row['confidence']:.0%})", 28)
        truth = "" if right else "\n" + fill(f"right: {row['answer']}", 28)
        axes.set_xlabel(said + truth, fontsize=7, color=_RIGHT if right else _WRONG, loc="left", parse_math=False)
    for axes in grid:
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    return png(figure)


@style()
def draw_risk(table: pd.DataFrame) -> bytes:
    """Share of wrong answers among the surest, over how many are given: all types and each."""
    figure = Figure(figsize=(5, 3.4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    parts = {"all": table} | {kind: table[table["type"] == kind] for kind in kinds_in(table)}
    for name, part in parts.items():
        coverage, risk = risk_coverage(part["confidence"].to_numpy(float), hits(part, "ranked").astype(float))
        wide = 2.2 if name == "all" else 1.0
        axes.plot(np.append(0, coverage), np.append(risk[:1], risk), linewidth=wide, label=name.replace("_", " "))
    axes.set_xlabel("share of questions answered, the surest first", fontsize=8)
    axes.set_ylabel("share of wrong answers", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    return png(figure)
