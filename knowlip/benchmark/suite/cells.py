"""The cells of a suite: what each is made with, and how it is done, wherever that is.

OUT/cells/TASK/DATA/PROTOCOL/MODEL/   folder of a cell, as its command fills it
                        cell.yaml     what it is made with: other settings are refused
                        cell.json     how it ended
                        failure.txt   where it failed, for those who mend it
"""

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.parsing import stage_config
from knowlip.base.rows import Row, read_results
from knowlip.base.settings import plain, same_or_refuse, without
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate, short_name
from knowlip.benchmark.llm.run import RESULTS as LLM_ROWS
from knowlip.benchmark.llm.run import BenchLlmConfig, bench_llm
from knowlip.benchmark.run import (
    BESIDE,
    FREE_BENCH,
    ROWS,
    BenchRunConfig,
    as_then,
    bench_run,
    bench_settings,
    beside_sha256,
    weights_sha256,
)
from knowlip.benchmark.suite.recipe import Kind, SuiteModel, SuiteRecipe, SuiteTask
from knowlip.dataset import Dataset
from knowlip.jobs.work import Work
from knowlip.models.encoders import UnsuitedEncoder, open_encoder
from knowlip.tasks.bench import find_measure

CELLS: Final = "cells"
CACHE: Final = "cache"
"""Folder of a suite with what is made of each data set once."""
END: Final = "cell.json"
SETTINGS: Final = "cell.yaml"
FAILURE: Final = "failure.txt"
State = Literal["done", "failed", "does not apply", "not run"]
_BEGUN: Final = ("seed-*/fold-*/config.yaml", "seed-*/fold-*/metrics.json", ROWS, LLM_ROWS, "answers")
"""What the folder of a cell holds that has begun."""
_FREE: Final[Mapping[Kind, tuple[str, ...]]] = {
    "train": FREE_BENCH,
    "evaluate": ("out", "dataset", "name"),
    "ask": ("out", "dataset", "name", "label", "concurrency", "retry_failed", "max_cost", "dry_run"),
}
"""Settings that do not decide a figure, by kind."""


@dataclass(frozen=True)
class SuiteCell:
    """A model on a task on a data set by a protocol, with all its seeds."""

    task: str
    """Label of the task in the recipe."""
    data: str
    protocol: str
    """"" where nothing is divided."""
    model: str
    kind: Kind
    config: BenchRunConfig | EvaluateConfig | BenchLlmConfig | None
    """None where it does not apply."""
    why_not: str = ""
    """Why it does not apply, as the recipe says or as is clear before anything is opened."""
    seeds: int = 1
    label: str = ""
    """What rows say behind their split."""
    measures: tuple[str, ...] = ()
    """Tasks whose rows it has."""
    size: int | None = None
    """Side of the encoder's input where nothing learns; None: its own."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """Of :meth:`settings`, once for all who need them."""

    @property
    def name(self) -> str:
        return "/".join(part for part in (self.task, self.data, self.protocol, self.model) if part)

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        return out / CELLS / self.name

    def settings(self) -> dict[str, Any]:
        """What decides its figures: settings after recipe and defaults, hashes of data and weights; no paths.

        Raises:
            ValueError: no such data set, or the task refuses its settings.
        """
        if self.config is None:
            return {"kind": self.kind}
        if isinstance(self.config, BenchRunConfig):
            found = bench_settings(self.config)
        else:
            data = Dataset(self.config.dataset)
            found = plain(self.config) | {
                "dataset_fingerprint": data.fingerprint,
                "labels_sha256": data.labels_sha256,
                "encoder_sha256": weights_sha256(str(self.config.model)),
                BESIDE: beside_sha256(str(self.config.model)),
                "size": self.size,
            }
        # A folder by another path is the same model: its weights are known by their hash.
        named = {key: short_name(found[key]) for key in ("encoder", "model") if isinstance(found.get(key), str)}
        return {"kind": self.kind, **without(found | named, _FREE[self.kind])}

    @property
    def trainings(self) -> int:
        """How many there are in it."""
        if not isinstance(self.config, BenchRunConfig):
            return 0
        return self.config.seeds * (1 if self.config.protocol == "own" else self.config.folds)


@dataclass(frozen=True)
class CellEnd:
    """How a cell ended."""

    state: State
    reason: str = ""
    """Why there are no figures."""
    seconds: float = 0.0
    config: str = ""
    """Hash of :meth:`SuiteCell.settings`."""
    seeds: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)
    """The most telling row of each seed."""


def config_hash(settings: Mapping[str, Any]) -> str:
    """First 16 digits of the SHA-256 of settings."""
    return sha256(json.dumps(plain(dict(settings)), sort_keys=True).encode())[:16]


# ---- the plan -------------------------------------------------------------------------------------------------------


def cells_of(recipe: SuiteRecipe, out: Path) -> list[SuiteCell]:
    """All cells, tasks first, so that models stand side by side early.

    Raises:
        ValueError: settings that no task, or no command, takes; the sentence names the cell.
    """
    what = {label: _measures(label, task) for label, task in recipe.tasks.items()}
    labels = _labels(recipe, what)
    found: list[SuiteCell] = []
    for label, task in recipe.tasks.items():
        for data in task.data or recipe.data:
            for protocol in task.protocols if task.kind == "train" else ("",):
                for name, model in recipe.models.items():
                    cell = SuiteCell(
                        label, data, protocol, name, task.kind, None, label=labels[label], measures=what[label]
                    )
                    why = recipe.left_out(label, data, name) or _unfit(task, label, model)
                    try:
                        found.append(replace(cell, why_not=why) if why else _filled(cell, recipe, out))
                    except ValueError as error:
                        raise ValueError(f"{cell.name}: {error}") from None
    return found


def _unfit(task: SuiteTask, label: str, model: SuiteModel) -> str:
    """Why a model takes no part in a task, as far as the recipe tells."""
    if model.tasks and label not in model.tasks:
        return "the recipe names other tasks for this model"
    if model.llm and not task.ask:
        return "a language model behind an endpoint is asked, neither trained nor opened"
    return "it is opened here, not asked over an endpoint" if task.ask and model.encoder else ""


def _measures(label: str, task: SuiteTask) -> tuple[str, ...]:
    """Tasks that an entry's rows are of."""
    return task.evaluate or (("vqa",) if task.ask else (task.task or label,))


def _labels(recipe: SuiteRecipe, what: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What rows say of each entry: its own word, or its name where another entry measures the same otherwise.

    Raises:
        ValueError: two entries measure the same on the same data and have one label: their rows could not be told
            apart.
    """
    tasks, found = recipe.tasks, dict[str, str]()
    for label, task in tasks.items():
        # The questions of `bench llm` are those of `evaluate`, of other models: rows of both may stand in one column.
        rivals = [
            other
            for other in tasks
            if other != label
            and {*what[label]} & {*what[other]}
            and {task.kind, tasks[other].kind} != {"ask", "evaluate"}
            and {*(task.data or recipe.data)} & {*(tasks[other].data or recipe.data)}
        ]
        found[label] = task.label if task.label is not None else label if rivals else ""
        for other in rivals:
            if found.get(other) == found[label]:
                raise ValueError(f"The tasks {other} and {label} measure the same: give them different labels.")
    return found


def _filled(cell: SuiteCell, recipe: SuiteRecipe, out: Path) -> SuiteCell:
    task, model, data = recipe.tasks[cell.task], recipe.models[cell.model], recipe.data[cell.data]
    folder, path, seeds = cell.folder(out.resolve()), Path(data.path).resolve(), task.seeds or recipe.seeds
    if cell.kind == "train":
        settings = _merged(_merged(task.settings, data.settings), model.settings)
        settings |= {} if model.size is None else {"size": model.size}
        named = {"task": task.task or cell.task, "data": str(path), "encoder": model.encoder, "out": str(folder)}
        more = {"recipe": task.recipe, "protocol": cell.protocol, "folds": task.folds, "seeds": seeds}
        words = tuple(f"{name}={value}" for name, value in _words(settings))
        more |= {"cache": str(out.resolve() / CACHE / cell.data)}  # cells on one set share what is made of it
        whole = {**named, **more, "name": cell.data, "label": cell.model, "settings": words}
        return replace(cell, config=stage_config(BenchRunConfig, whole), seeds=seeds)
    own = {"dataset": str(path), "name": cell.data}
    if cell.kind == "ask":
        settings = _merged(task.settings, model.settings)
        own |= {"model": model.llm, "base_url": model.base_url, "label": cell.model, "out": str(folder)}
        return replace(cell, config=stage_config(BenchLlmConfig, {**settings, **own}))
    own |= {"model": model.encoder, "out": str(folder / ROWS)}
    for name in task.evaluate:
        find_measure(name)
    whole = {**task.settings, **own, "tasks": task.evaluate}
    return replace(cell, config=stage_config(EvaluateConfig, whole), size=model.size)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(first)
    for key, value in second.items():
        inside = found.get(key)
        found[key] = _merged(inside, value) if isinstance(inside, Mapping) and isinstance(value, Mapping) else value
    return found


def _words(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as NAME=VALUE takes them: dotted names, values in YAML."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _words(value, f"{prefix}{name}.")
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n...\n").strip()
            yield f"{prefix}{name}", text


# ---- doing ----------------------------------------------------------------------------------------------------------


def read_end(cell: SuiteCell, out: Path) -> CellEnd:
    """How a cell has ended: "not run" where it did not, or more seeds are asked for.

    Raises:
        ValueError: its folder was made with other settings.
    """
    if cell.why_not:
        return CellEnd("does not apply", cell.why_not)
    folder = cell.folder(out)
    made_with = as_then(folder / SETTINGS, cell.made_with)
    own = config_hash(made_with)
    if _begun(folder) and (folder / SETTINGS).is_file():
        same_or_refuse(folder / SETTINGS, made_with)
    if not (folder / END).is_file():
        return CellEnd("not run", config=own)
    try:
        end = stage_config(CellEnd, read_json(folder / END))
    except ValueError as error:
        raise ValueError(f"{folder / END} is broken ({error}); delete it and give the command again.") from None
    there = end.seeds >= cell.seeds and _rows_file(cell, out).is_file()  # somebody may have deleted its rows
    finished = end.config == own and (end.state != "done" or there)
    return end if finished else CellEnd("not run", config=own)


def _begun(folder: Path) -> bool:
    return any(True for name in _BEGUN for _ in folder.glob(name))


@dataclass(frozen=True)
class CellWork(Work[SuiteCell, CellEnd]):
    """A cell is an item; its result says how it ended, whatever happened."""

    out: Path

    def open(self, number: int) -> Callable[[SuiteCell], CellEnd]:
        """Nothing to read."""
        return self.do

    def name(self, item: SuiteCell) -> str:
        """Of the cell."""
        return item.name

    def given_up(self, item: SuiteCell) -> CellEnd:
        """A failure like any other: the process was killed each time."""
        return self._ended(item, CellEnd("failed", "its process was killed each time, most likely for lack of memory"))

    def do(self, cell: SuiteCell) -> CellEnd:
        """Train, evaluate or ask."""
        started, folder = time.monotonic(), cell.folder(self.out)
        folder.mkdir(parents=True, exist_ok=True)
        if not _begun(folder):  # it was refused, or killed before it began: that binds nobody
            (folder / SETTINGS).unlink(missing_ok=True)
        made_with = as_then(folder / SETTINGS, cell.made_with)
        same_or_refuse(folder / SETTINGS, made_with)
        end = CellEnd("done", config=config_hash(made_with), seeds=cell.seeds)
        try:
            end = replace(end, first=_done(cell))
        except UnsuitedEncoder as error:
            end = replace(end, state="does not apply", reason=str(error))
        except Exception as error:  # of one cell, whatever it is: the others go on, and it is told by name
            with whole_file(folder / FAILURE) as part:
                part.write_text(traceback.format_exc())
            what = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            end = replace(end, state="failed", reason=f"{what}{' '.join(str(error).split())[:500] or 'no message'}")
        return self._ended(cell, replace(end, seconds=round(time.monotonic() - started, 1)))

    def _ended(self, cell: SuiteCell, end: CellEnd) -> CellEnd:
        write_json(cell.folder(self.out) / END, asdict(end))
        return end


def _done(cell: SuiteCell) -> list[dict[str, Any]]:
    """Do a cell; its most telling rows."""
    if isinstance(cell.config, BenchRunConfig):
        first: list[dict[str, Any]] = bench_run(cell.config)["first"]
        return first
    if isinstance(cell.config, EvaluateConfig):
        encoder = open_encoder(cell.config.model, size=cell.size)
        encoder.name = cell.model
        rows: Sequence[Row] = evaluate(cell.config, encoder).rows
    else:
        assert cell.config is not None, "a cell that does not apply is not done"
        rows = bench_llm(cell.config).rows
    return [plain(row) for row in rows[:1]]


def rows_in(cell: SuiteCell, out: Path) -> list[Row]:
    """Rows of a finished cell, under the names of the recipe."""
    rows = read_results(_rows_file(cell, out)).rows
    return [replace(row, split=f"{row.split}, {cell.label}") if cell.label else row for row in rows]


def _rows_file(cell: SuiteCell, out: Path) -> Path:
    return cell.folder(out) / (LLM_ROWS if cell.kind == "ask" else ROWS)
