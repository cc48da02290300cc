"""What became of the texts of a data set: the decisions of every revision on a line, and the words that changed."""

import math
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.dataset import Dataset
from knowlip.dataset.texts import TEXT_SCHEMA, ancestry

if TYPE_CHECKING:
    import pandas as pd

Change = Literal["same", "gone", "new"]


def lineage(dataset: Dataset, revision: int | None = None) -> list[int]:
    """Numbers of a revision (default: the newest) and its ancestors, from 0 on.

    Raises:
        ValueError: there are no texts, or no such revision.
    """
    return [number for number, _ in ancestry(dataset.path, revision)]


def decisions(dataset: Dataset, revision: int | None = None, tile: str | None = None) -> "pd.DataFrame":
    """All rows of a revision (default: the newest) and its ancestors, by tile_id, slot and revision.

    Args:
        dataset: annotated data set.
        revision: end of the line.
        tile: rows of this tile only.

    Returns:
        Columns of `TEXT_SCHEMA`. A row says what its revision decided on a sub-text, and the text from then on.
    """
    tables = [table.select(TEXT_SCHEMA.names) for _, table in ancestry(dataset.path, revision)]
    if tile is not None:
        tables = [table.filter(pc.equal(table["tile_id"], tile)) for table in tables]
    frame = pa.concat_tables(tables).to_pandas()
    return frame.sort_values(["tile_id", "slot", "revision"], kind="stable", ignore_index=True)


def word_changes(old: str, new: str) -> Iterator[tuple[Change, str]]:
    """A text and its successor as runs of words that stayed, went or came; what went stands before what came."""
    before, after = old.split(), new.split()
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", " ".join(before[i:j])
            continue
        if i < j:
            yield "gone", " ".join(before[i:j])
        if k < m:
            yield "new", " ".join(after[k:m])


def plain_rows(rows: "pd.DataFrame", columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns as JSON values: what was not measured (NaN), and an infinite margin, is None."""
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in zip(columns, values)
        }
        for values in rows[list(columns)].to_numpy(object).tolist()
    ]


def number(value: float | None) -> str:
    """A difference as text; "?" where it was not asked for."""
    return "?" if value is None else f"{value:+.3f}"
