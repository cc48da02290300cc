"""`knowlip scio show DATASET TILE`: what every revision decided on the eight sub-texts of a tile, and what it changed.

On a terminal words that went are red and words that came are green; elsewhere they stand in [-...-] and {+...+}.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from knowlip.dataset import Dataset
from knowlip.scio.history import decisions, lineage, number, plain_rows, word_changes

_FACTS = ("revision", "run", "annotator", "decision", "text", "delta_itc", "delta_itm", "margin", "reason")
_COLOURS: Final = {"gone": "31;9", "new": "32", "muted": "2", "bold": "1", "screened": "33", "rewritten": "32"}


@dataclass(frozen=True)
class ShowConfig:
    """Whose history to show."""

    POSITIONAL: ClassVar = ("dataset", "tile")

    dataset: Path
    """Folder of the data set."""
    tile: str
    """Identifier of the tile (tile_id)."""
    revision: int | None = None
    """End of the line of revisions; the newest where not given."""


def show_history(config: ShowConfig) -> dict[str, Any]:
    """The history of a tile's texts.

    Returns:
        `tile_id`, `scale`, `split`, `instruction_set`, `revisions` (the line, from 0 on), `sub_texts`: for each slot
        its `slot`, `dimension` and `history`, one entry a revision that decided on it.

    Raises:
        ValueError: no data set, no such tile or revision, or the tile has no texts.
    """
    dataset = Dataset(config.dataset)
    tiles = dataset.tiles()
    tiles = tiles[tiles["tile_id"] == config.tile]
    if tiles.empty:
        raise ValueError(f"{config.dataset} has no accepted tile {config.tile!r}.")
    rows = decisions(dataset, config.revision, config.tile)
    if rows.empty:
        raise ValueError(f"Tile {config.tile} has no texts: the annotator gave it up.")
    return {
        "tile_id": config.tile,
        "scale": str(tiles["scale"].iloc[0]),
        "split": str(tiles["split"].iloc[0]),
        "instruction_set": str(rows["instruction_set"].iloc[0]),
        "revisions": lineage(dataset, config.revision),
        "sub_texts": [
            {
                "slot": int(part["slot"].iloc[0]),
                "dimension": str(part["dimension"].iloc[0]),
                "history": plain_rows(part, _FACTS),
            }
            for _, part in rows.groupby("slot", sort=True)
        ],
    }


def show(result: dict[str, Any]) -> str:
    """The history for people; in colour where standard output is a terminal and NO_COLOR is not set."""
    return history_text(result, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def history_text(result: dict[str, Any], colour: bool) -> str:
    """The history as lines."""

    def paint(text: str, kind: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if colour and kind in _COLOURS else text

    def changed(old: str, new: str) -> str:
        marks = {"same": "{}", "gone": "{}" if colour else "[-{}-]", "new": "{}" if colour else "{{+{}+}}"}
        return " ".join(paint(marks[kind].format(words), kind) for kind, words in word_changes(old, new))

    line = " -> ".join(str(number) for number in result["revisions"])
    facts = f"{result['scale']}, {result['instruction_set']}, {result['split']}; revisions {line}"
    lines = [f"{paint(result['tile_id'], 'bold')}  {paint(facts, 'muted')}"]
    for part in result["sub_texts"]:
        first, *later = part["history"]
        head = paint(f"{part['slot']} {part['dimension']:13}", "bold")
        lines += ["", f"{head} {first['text']}  {paint('(' + first['annotator'] + ')', 'muted')}"]
        text = first["text"]
        for step in later:
            figures = f"dITC {number(step['delta_itc'])}  dITM {number(step['delta_itm'])}  {step['reason']}".rstrip()
            decision = paint(f"{step['decision']:9}", step["decision"])
            lines.append(f"    {step['revision']} {decision}  {paint(figures, 'muted')}")
            if step["text"] != text:
                lines.append(f"      {changed(text, step['text'])}")
                text = step["text"]
    return "\n".join(lines)
