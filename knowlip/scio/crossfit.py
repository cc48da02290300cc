"""A pass by several models: each tile is judged by one that has not seen its place.

A model that was trained on a tile's text has learned some of its errors, and finds them less surprising than they are.
Of models trained on disjoint places each judges what another was trained on; it calibrates on the tiles that it
judges. What each does, and in which order, is a pass of its own (:class:`knowlip.scio.passes.Pass`); their phases
follow one another, and their decisions become one revision.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from knowlip.base.documents import read_json
from knowlip.scio.passes import Figures, Pass, Tables


def shared_out(blocks: Mapping[str, str], seen: Sequence[frozenset[str]], names: Sequence[str]) -> list[list[str]]:
    """The tiles that each model judges: those whose block it has not seen, and no earlier one of fewer tiles.

    Args:
        blocks: tile_id -> block of the place.
        seen: blocks that each model was trained on.
        names: of the models, for the refusal.

    Raises:
        ValueError: a tile whose block all of them have seen, or a model with fewer than two tiles to judge.
    """
    mine: list[list[str]] = [[] for _ in seen]
    for tile, block in sorted(blocks.items()):
        able = [number for number, known in enumerate(seen) if block not in known]
        if not able:
            raise ValueError(
                f"Every model has seen {block}, the place of tile {tile}: add one that was trained on other places, "
                "or judge another split."
            )
        mine[min(able, key=lambda number: len(mine[number]))].append(tile)
    for name, tiles in zip(names, mine):
        if len(tiles) < 2:
            raise ValueError(f"{name} would judge {len(tiles)} tiles: leave it out, or give models of other places.")
    return mine


def trained_blocks(path: Path) -> frozenset[str]:
    """The blocks that a model, or the model of a run, was trained on, by its card.

    Raises:
        ValueError: there is no card, or it does not tell: a model of which no place is known may have seen any.
    """
    folder = path if (path / "knowlip.json").is_file() else path / "model"
    try:
        blocks = read_json(folder / "knowlip.json")["card"]["train_blocks"]
    except (OSError, KeyError, TypeError, ValueError):
        blocks = None
    if not isinstance(blocks, list) or not blocks:
        raise ValueError(f"{path} does not tell which places it was trained on: give model folders, or finished runs.")
    return frozenset(map(str, blocks))


class CrossFitted:
    """The passes of several models, one after the other.

    Args:
        passes: of each model, over the tiles that it judges.
    """

    def __init__(self, passes: Sequence[Pass]) -> None:
        self._passes = list(passes)
        self.noisy = [number for number, one in enumerate(self._passes) if one.noisy]
        """Models that have something to write anew."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Those of each model, with its number from 1: "1-sample", ..., "2-sample", ..."""
        return tuple(f"{number}-{phase}" for number, one in enumerate(self._passes, 1) for phase in one.phases)

    def count(self, phase: str, before: Tables) -> int:
        """As :meth:`Pass.count`."""
        number, own, found = self._of(phase, before)
        return self._passes[number].count(own, found)

    def work(self, phase: str, items: range, before: Tables) -> pa.Table:
        """As :meth:`Pass.work`."""
        number, own, found = self._of(phase, before)
        return self._passes[number].work(own, items, found)

    def decide(self, tables: Tables) -> tuple[pd.DataFrame, Figures]:
        """Rows of the new revision of all models; `models` holds the figures of each, the sums stand beside it."""
        rows, figures = [], []
        for number, one in enumerate(self._passes, 1):
            if one.action == "reconstruct" and not one.noisy:
                figures.append({"candidates": 0})
                continue
            found, mine = one.decide(self._of(f"{number}-", tables)[2])
            rows.append(found)
            figures.append(mine)
        sums: dict[str, Any] = {}
        for mine in figures:
            for name, value in mine.items():
                if isinstance(value, int) and not isinstance(value, bool):
                    sums[name] = sums.get(name, 0) + value
        return pd.concat(rows, ignore_index=True), {**sums, "models": figures}

    def _of(self, phase: str, tables: Tables) -> tuple[int, str, Tables]:
        """Which model's phase it is, its name there, and the tables of that model."""
        number, _, own = phase.partition("-")
        mine = {name.partition("-")[2]: table for name, table in tables.items() if name.partition("-")[0] == number}
        return int(number) - 1, own, mine
