"""What stands beside a leaderboard: figures by sensor and resolution, pictures of the same tiles, the radar's axes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.rows import Row
from knowlip.benchmark.leaderboard.boards import Board, BoardTable
from knowlip.benchmark.leaderboard.trials import NoTrials, mean_of_seeds
from knowlip.dataset import Dataset
from knowlip.tasks.metrics.intervals import over_clusters
from knowlip.tasks.runs import PICTURES

_METRES: Final = (1.0, 3.0, 10.0, 30.0)
"""Limits of the classes of resolution, metres a pixel."""
_FEWEST: Final = 10
"""Trials that a part must have to be shown."""
_TILES, _MODELS = 6, 6
_MOST_PIXELS: Final = 64_000_000
PANELS: Final = {
    "detect": "Detections (figure 12 of the paper): blue right, red false alarm, yellow missed",
    "segment": "Segmentations (figure 14 of the paper)",
    "vqa": "Questions and answers (figure 15 of the paper)",
    "pointing": "Evidence (figure 16 of the paper)",
}


class Part(NamedTuple):
    """A figure of some of a board's trials."""

    board: str
    line: str
    metric: str
    by: str
    """"sensor" or "resolution"."""
    part: str
    shown: str
    interval: str
    n: int


def parts_of(tables: Sequence[BoardTable]) -> tuple[list[Part], list[str]]:
    """The first metric of each board by sensor and by resolution, for lines whose run folders and data set are at hand,
    and what could not be had."""
    found: list[Part] = []
    lacking: dict[str, int] = defaultdict(int)
    for table in tables:
        for board in table.boards:
            if not board.columns:
                continue
            column = board.columns[0]
            for line, entry in column.ranked:
                told = entry.told
                if not told.runs or told.dataset is None:
                    lacking["run folders or the data set are not at hand"] += 1
                    continue
                try:
                    found += _parts(board.name, line, entry.row, told.runs, told.dataset)
                except (NoTrials, ValueError, OSError) as error:
                    lacking[str(error)] += 1
    return found, [f"{count} lines: {why}" for why, count in lacking.items()]


def _parts(name: str, line: str, row: Row, runs: Sequence[Sequence[Path]], dataset: Path) -> list[Part]:
    trials = mean_of_seeds(row, runs)
    tiles = Dataset(dataset).tiles().set_index("tile_id").loc[list(trials.tiles)]
    found = []
    for by, labels in (("sensor", _sensors(tiles)), ("resolution", _resolutions(tiles))):
        for part in sorted({*labels}, key=lambda one: (one == "not stated", one)):
            there = np.array([one == part for one in labels])
            if there.sum() < _FEWEST or (part == "not stated" and there.all()):
                continue
            groups = [group for group, inside in zip(trials.groups, there) if inside]
            places = np.flatnonzero(there)

            def figure(times: np.ndarray, places: np.ndarray = places) -> float:
                weights = np.zeros((1, len(trials.ids)))
                weights[0, places] = times
                return float(trials.figure(weights)[0])

            # One draw at a time: a part's figure may be an area, which is not linear in the weights.
            one = over_clusters(figure, groups, int(there.sum()))
            if np.isfinite(one.value):
                ends = "–" if one.ci is None else "–".join(row.shown(end).removesuffix(" %") for end in one.ci)
                found.append(Part(name, line, row.metric, by, part, row.shown(one.value), ends, one.n))
    return found


def _sensors(tiles: pd.DataFrame) -> list[str]:
    bands = tiles["sar:frequency_band"].astype(str)
    return [
        ", ".join(one for one in (platform, f"{band} band" if band not in ("", "nan", "None") else "") if one)
        or "not stated"
        for platform, band in zip(tiles["platform"].fillna("").astype(str), bands)
    ]


def _resolutions(tiles: pd.DataFrame) -> list[str]:
    names = []
    for value in tiles["metres_per_pixel"].astype(float):
        limits = [0.0, *_METRES]
        at = int(np.searchsorted(limits, value, side="right")) if np.isfinite(value) and value > 0 else 0
        if not at:
            names.append("not stated")
        else:
            names.append(f"{limits[at - 1]:g}–{limits[at]:g} m" if at < len(limits) else f"over {limits[-1]:g} m")
    return names


# ---- pictures -------------------------------------------------------------------------------------------------------


@dataclass
class Panel:
    """Pictures of the same tiles by several models."""

    task: str
    title: str
    board: str
    lines: list[str] = field(default_factory=list)
    tiles: list[str] = field(default_factory=list)
    pictures: dict[tuple[str, str], Path] = field(default_factory=dict)
    """Tile and line -> file."""


def panels_of(tables: Sequence[BoardTable]) -> tuple[list[Panel], list[str]]:
    """Panels of what is at hand, and why others are not."""
    found: list[Panel] = []
    for table in tables:
        for board in table.boards:
            if board.task in PANELS and (panel := _panel(board)) is not None:
                found.append(panel)
    there = {panel.task for panel in found}
    return found, [
        f"{title}: no run folder with pictures was given" for task, title in PANELS.items() if task not in there
    ]


def _panel(board: Board) -> Panel | None:
    panel = Panel(board.task, PANELS[board.task], board.name)
    for line, entry in board.columns[0].ranked[:_MODELS]:
        # Of the first seed alone: what the same tile looks like to each model.
        files = {
            path.stem: path
            for folder in (entry.told.runs[0] if entry.told.runs else ())
            for path in sorted((folder / PICTURES).glob("*.png"))[:1000]
        }
        if files:
            panel.lines.append(line)
            panel.pictures |= {(tile, line): path for tile, path in files.items()}
    if not panel.lines:
        return None
    tiles = sorted({tile for tile, _ in panel.pictures})
    shared = [tile for tile in tiles if all((tile, line) in panel.pictures for line in panel.lines)]
    chosen = shared or tiles
    # At equal distances in the order of their names: never chosen by their result.
    panel.tiles = chosen[:: max(1, len(chosen) // _TILES)][:_TILES]
    return panel


# ---- the radar ------------------------------------------------------------------------------------------------------


class RadarAxes(NamedTuple):
    """Axes, and what each line reaches on them."""

    axes: tuple[str, ...]
    lines: Mapping[str, tuple[float | None, ...]]
    floors: tuple[float | None, ...]


def radar_of(tables: Sequence[BoardTable]) -> tuple[RadarAxes | None, str]:
    """The first column of each board that is a share and has a model, for encoders measured on three axes or more; or
    why there is none."""
    boards = [
        board
        for table in tables
        if table.number
        for board in table.boards
        if board.columns[0].unit == "share" and board.columns[0].better == "higher" and board.columns[0].ranked
    ]
    best: dict[str, dict[int, float]] = defaultdict(dict)
    for number, board in enumerate(boards):
        for _, entry in board.columns[0].ranked:
            encoder = entry.row.encoder
            value = entry.row.value or 0.0
            best[encoder][number] = max(value, best[encoder].get(number, value))
    lines = {name: tuple(of.get(number) for number in range(len(boards))) for name, of in best.items() if len(of) >= 3}
    if len(boards) < 3 or not lines:
        return None, "No model was measured on three boards or more, of which a radar needs as many axes."
    floors = tuple(None if board.columns[0].floor is None else board.columns[0].floor[0] for board in boards)
    names = tuple(f"{board.data}\n{board.split}\n{board.columns[0].metric}" for board in boards)
    return RadarAxes(names, lines, floors), ""
