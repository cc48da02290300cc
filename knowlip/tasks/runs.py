"""What a training task gives `knowlip bench run`: settings that say what is learned from and what is measured, a
training, and rows over finished run folders.

A task is one file `knowlip/tasks/NAME.py` with

    BENCH = BenchTask(config=NameConfig, run=name, rows=rows_of)

where NameConfig is a :class:`MeasuredConfig`. `knowlip bench run --task NAME` finds it by its file name, trains each
fold with each seed in a folder of its own and asks `rows` for the figures of all folds together; nothing else names it.

A run folder holds, when `run` has ended: `config.yaml` and `checkpoint.pt` (the loop writes them), `metrics.json` (the
sign that it has ended: :class:`~knowlip.base.rows.Results` of this fold alone), `division.json`
(:func:`write_division`), whatever `rows` reads (predictions of the model and of the floors for each tile or object
measured, with its group), and `pictures/*.png`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from knowlip.base.documents import read_json, read_yaml
from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.parquet import read_parquet
from knowlip.base.rows import Row
from knowlip.tasks.finding import find_in_task
from knowlip.tasks.protocols import Division
from knowlip.tasks.settings import MeasuredConfig

METRICS: Final = "metrics.json"
"""File of a run folder that is written last: where it is, the run has ended."""
DIVISION: Final = "division.json"
"""File of a run folder that says which tiles it measured, and of which they are a part (:func:`write_division`)."""
PREDICTIONS: Final = "predictions.parquet"
"""File of a run folder with what was said of each tile, object or question that was measured."""
PICTURES: Final = "pictures"
"""Folder of a run folder with PNG files for people, named by what they show."""
FLOOR: Final = "floor:"
"""What the encoder of a floor's own row begins with."""
FREE_MEASURED: Final = ("cache",)
"""Settings of :class:`MeasuredConfig` that may differ between a run and its continuation."""


@dataclass(frozen=True)
class BenchTask:
    """What `knowlip bench run` knows of a task."""

    config: type[MeasuredConfig]
    """Its settings."""
    run: Callable[[Any], Mapping[str, Any]]
    """Train and measure one fold with one seed; a killed one goes on when it is called again."""
    rows: Callable[[Sequence[Path], str, str, str], tuple[Row, ...]]
    """`rows(folders, data, split, encoder)`: figures over all that the folds of one seed have measured together, with
    intervals over groups of copies, the most telling one first. `data`, `split` and `encoder` are the names for the
    rows; floors have rows of their own too, as encoder "floor:NAME"."""
    together: Callable[[Sequence[Sequence[Path]], str, str, str], tuple[Row, ...]] | None = None
    """The same of several seeds that answer together, the folders of each: rows of the model alone, with metrics of
    other names. None where a task has no such answer."""


def write_division(folder: Path, division: Division) -> None:
    """Write into a run folder which tiles it measured, and a hash of all that were divided."""
    write_json(folder / DIVISION, {"divided": _hash(division.group_of), "measured": list(division.test)})


def write_predictions(table: pd.DataFrame, folder: Path) -> None:
    """Write what was measured into a run folder."""
    with whole_file(folder / PREDICTIONS) as part:
        table.to_parquet(part, index=False)


def read_predictions(
    folders: Sequence[Path], key: Sequence[str], tile: str = "tile_id", whole: bool = True
) -> pd.DataFrame:
    """The tables of several run folders as one.

    Args:
        folders: finished run folders, the folds of one seed.
        key: columns that tell one trial from another.
        tile: column of tiles.
        whole: every tile that a folder says it measured must be there; else others may lack, as those that nothing is
            asked about.

    Raises:
        ValueError: there is none, it is of other tiles than the folder says, or something was measured twice.
    """
    tables = [read_parquet(folder / PREDICTIONS).to_pandas() for folder in folders]
    for folder, one in zip(folders, tables):
        if missing := {*key, tile} - {*one.columns}:
            raise ValueError(f"{folder / PREDICTIONS} has no column {min(missing)}: delete {folder} and run it again.")
        if (folder / DIVISION).is_file():
            said, there = {*_measured(folder)["measured"]}, {*one[tile]}
            if there - said or (whole and said - there):
                raise ValueError(
                    f"{folder / PREDICTIONS} is of {len(there)} tiles, {DIVISION} beside it of {len(said)}, which are "
                    f"not the same: delete {folder} and run it again."
                )
    table = pd.concat(tables, ignore_index=True)
    if table.duplicated(list(key)).any():
        raise ValueError(f"{folders[0]} and others have measured the same tiles: give the folds of one seed.")
    return table


def notes_of(
    folders: Sequence[Path], task: str, encoder: str, keys: Sequence[str] = ("note", "floor_note")
) -> tuple[str, ...]:
    """What finished run folders say beside the figures of the model and of the floors.

    Args:
        folders: finished run folders.
        task: whose details in their `metrics.json` hold `note` and `floor_note`.
        encoder: name of the encoder in rows; that of the settings can be a path of this machine.
        keys: which of the details.

    Returns:
        One text a key.

    Raises:
        ValueError: a folder's `metrics.json` holds none of the task.
    """
    settings = read_yaml(folders[0] / "config.yaml")
    known = str(settings.get("encoder", "") if isinstance(settings, Mapping) else "") or encoder
    told = [_inside(folder, METRICS, "details", task) for folder in folders]
    return tuple(
        " ".join(dict.fromkeys(str(one.get(key, "")).replace(known, encoder) for one in told)).strip() for key in keys
    )


def _inside(folder: Path, name: str, *keys: str) -> Mapping[str, Any]:
    """What stands below some keys of a JSON file of a finished run folder."""
    found: Any = read_json(folder / name)
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise ValueError(
            f"{folder / name} is not what a finished run leaves: delete {folder} and give the command again."
        )
    return found


def _measured(folder: Path) -> Mapping[str, Any]:
    """What :func:`write_division` wrote."""
    found = _inside(folder, DIVISION)
    if not isinstance(found.get("divided"), str) or not isinstance(found.get("measured"), list):
        raise ValueError(f"{folder / DIVISION} is not what a finished run leaves: delete {folder} and run it again.")
    return found


def check_folds(folders: Sequence[Path], whole: bool) -> None:
    """Raise `ValueError` unless the folds of one seed divided the same tiles and measured each at most once.

    Args:
        folders: finished run folders.
        whole: they are all parts of their protocol: together they must have measured every tile.
    """
    found: list[Any] = []
    for folder in folders:
        if not (folder / DIVISION).is_file():
            raise ValueError(f"{folder} does not say which tiles it measured: delete it and give the command again.")
        found.append(_measured(folder))
    measured = [tile for one in found for tile in one["measured"]]
    if len({one["divided"] for one in found}) > 1 or len({*measured}) < len(measured):
        raise ValueError(f"The folds in {folders[0].parent} divided other tiles, or measured one twice: delete them.")
    if whole and _hash(measured) != found[0]["divided"]:
        raise ValueError(
            f"The folds in {folders[0].parent} have not measured all tiles that they divided: delete them."
        )


def _hash(tile_ids: Iterable[str]) -> str:
    return sha256("\n".join(sorted(tile_ids)).encode())


def find_bench_task(task: str) -> BenchTask:
    """The `BENCH` of `knowlip/tasks/TASK.py`.

    Raises:
        ValueError: there is no such file, or it has none; the sentence lists those that have.
    """
    bench: BenchTask = find_in_task(task, "BENCH", "bench run can train")
    return bench
