"""The command: what is to do is done wherever it is wanted, what has failed is told by name, rows are collected.

OUT/cells/...      the folders of the cells (:mod:`knowlip.benchmark.suite.cells`)
OUT/rows.json      all rows of all finished cells, as `knowlip evaluate` writes them; `details.suite` says which rows
                   are of which cell, and why cells have none
OUT/runs.json      one row a run: cell, seed, hash of its settings, state, most telling figure
OUT/efficiency.json parameters, operations and images a second of each encoder, beside the baseline
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.rows import Json, Results, Row
from knowlip.benchmark.efficiency import Efficiency, efficiencies
from knowlip.benchmark.evaluate import weights_of
from knowlip.benchmark.run import ROWS, weights_sha256
from knowlip.benchmark.settings import SuiteConfig
from knowlip.benchmark.suite.cells import CellEnd, CellWork, SuiteCell, cells_of, read_end, rows_in
from knowlip.benchmark.suite.recipe import SuiteRecipe, read_suite
from knowlip.jobs.run import runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Processes, Ray, Where

RUNS: Final = "runs.json"
SPEED: Final = "efficiency.json"
_DECIDE: Final = ("knowlip", "torch", "torchvision", "timm", "numpy", "scikit-learn", "pyarrow")
"""Packages that decide what a cell comes to."""
_SHOWN: Final = 5
"""Failures that the sentence of the command names."""


def suite(config: SuiteConfig) -> dict[str, Any]:
    """Do every cell that is not done, and collect the rows of all.

    Returns:
        `plan`: name and state of each cell; `counts`; `failed`: cell and reason of those that were tried and have no
        rows; `out`.

    Raises:
        ValueError: the recipe or a cell's settings do not fit, other settings were used in `out`; or no cell that
            applies has rows: the sentence names those that failed.
    """
    recipe, out = read_suite(config.recipe), config.out.resolve()
    cells = [replace(cell, made_with=_settings(cell)) for cell in cells_of(recipe, out)]
    ends = {cell.name: read_end(cell, out) for cell in cells}
    todo = [cell for cell in cells if ends[cell.name].state in ("not run", "failed") and not cell.why_not]
    if config.dry:
        return _told(cells, ends, todo, out)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out / "lock", f"Another process runs in {out}: let it end, or use another output folder."):
        where, read = _where(config, cells, out), dict[str, list[Row]]()
        with runner(CellWork(out), where) as run:
            for number, (cell, end) in enumerate(run(todo), 1):
                ends[cell.name] = end
                said = f"{end.state}: {end.reason}" if end.reason else end.state
                say(f"cell {number} of {len(todo)}, {cell.name}: {said}")
                _collect(recipe, cells, ends, out, read)  # a stopped suite has the rows of what was finished
        _measure_speed(recipe, cells, ends, out)
        _collect(recipe, cells, ends, out, read)
    failed = {cell.name: ends[cell.name].reason for cell in cells if ends[cell.name].state == "failed"}
    if failed and not any(end.state == "done" for end in ends.values()):
        raise ValueError(f"{_failures(failed, len(cells))}. The same command tries them again.")
    return _told(cells, ends, [], out) | {"failed": failed}


def show(result: Mapping[str, Any]) -> str:
    """The plan, or what came of it, for people."""
    width = max((len(one["cell"]) for one in result["plan"]), default=0)
    lines = [f"{one['cell']:{width}}  {one['state']}{one['about']}" for one in result["plan"]]
    counts = ", ".join(f"{count:,} {name}" for name, count in result["counts"].items())
    failed = result.get("failed", {})
    told = f"{_failures(failed, len(result['plan']))}. The others have rows; the same command tries these again."
    return "\n".join([*lines, counts, *([told] if failed else []), result["out"]])


def _failures(failed: Mapping[str, str], cells: int) -> str:
    """How many failed, and the first ones with their reasons."""
    named = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in list(failed.items())[:_SHOWN])
    more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    return f"{len(failed)} of {cells} cells failed ({named}{more})"


def _settings(cell: SuiteCell) -> dict[str, Any]:
    """What a cell is made with; what its task would refuse is said by name before anything is trained."""
    try:
        return cell.settings()
    except ValueError as error:
        raise ValueError(f"{cell.name}: {error}") from None


def _where(config: SuiteConfig, cells: Sequence[SuiteCell], out: Path) -> Where:
    if config.where == "ray":
        data = {Path(str(getattr(cell.config, "data", getattr(cell.config, "dataset", "")))) for cell in cells}
        names = {str(getattr(cell.config, "encoder", getattr(cell.config, "model", ""))) for cell in cells}
        reads = data | {path.resolve() for name in names if (path := weights_of(name)) is not None}
        return Ray(config.address, out, tuple(sorted(path for path in reads if path.exists())), _DECIDE, config.gpu)
    return Processes(config.workers if config.where == "processes" else 1)


def _told(
    cells: Sequence[SuiteCell], ends: Mapping[str, CellEnd], todo: Sequence[SuiteCell], out: Path
) -> dict[str, Any]:
    plan = []
    for cell in cells:
        end, about = ends[cell.name], ""
        if cell.why_not or end.reason:
            about = f": {cell.why_not or end.reason}"
        elif end.first:
            row = Row(**{**end.first[0], "ci": end.first[0]["ci"] and tuple(end.first[0]["ci"])})
            about = f": {row.metric} {row.shown(row.value)}, {row.n:,} trials"
        elif cell.trainings:
            about = f": {cell.trainings} {'training' if cell.trainings == 1 else 'trainings'}"
        plan.append({"cell": cell.name, "state": end.state, "about": about, "config": end.config})
    counts: dict[str, int] = {"cells": len(cells), **Counter(str(end.state) for end in ends.values())}
    if todo:
        counts |= {"cells to do": len(todo), "trainings at most": sum(cell.trainings for cell in todo)}
    return {"plan": plan, "counts": counts, "out": str(out)}


# ---- collected ------------------------------------------------------------------------------------------------------


def _collect(
    recipe: SuiteRecipe, cells: Sequence[SuiteCell], ends: Mapping[str, CellEnd], out: Path, read: dict[str, list[Row]]
) -> None:
    """Write rows.json and runs.json; `read` keeps the rows of cells that were read before."""
    rows: dict[tuple[str, str, str, str, str], Row] = {}
    told: list[Json] = []
    runs: list[Json] = []
    for cell in cells:
        end = ends[cell.name]
        if end.state == "done" and cell.name not in read:
            read[cell.name] = rows_in(cell, out)
        own = read.get(cell.name, [])
        for row in own:
            # Cells of one task share their floors: the first stands for all, and what differs is said.
            rows[row.key] = _shared(rows[row.key], row) if row.key in rows else row
        keys: list[Json] = [list(row.key) for row in own]
        facts: dict[str, Json] = {
            **{"cell": cell.name, "task": cell.task, "data": cell.data, "protocol": cell.protocol},
            **{"model": cell.model, "kind": cell.kind, "label": cell.label, "config": end.config},
            "measures": list(cell.measures),
        }
        told.append({**facts, "state": end.state, "reason": end.reason, "seconds": end.seconds, "rows": keys})
        runs += _runs(cell, end, facts)
    speed = read_speed(out)
    details: dict[str, dict[str, Json]] = {"suite": {"cells": told}}
    if speed:
        details["efficiency"] = {name: asdict(one) for name, one in speed.items()}
    seconds = {cell.name: ends[cell.name].seconds for cell in cells}
    setup: dict[str, Json] = {"suite": recipe.about, "seeds": recipe.seeds, "baseline": recipe.baseline}
    Results(tuple(rows.values()), details, setup, seconds).write(out / ROWS)
    write_json(out / RUNS, {"runs": runs})


def _runs(cell: SuiteCell, end: CellEnd, facts: Mapping[str, Json]) -> list[Json]:
    """One entry a seed."""
    found: list[Json] = []
    for seed in range(cell.seeds if cell.config is not None else 1):
        first = end.first[seed] if seed < len(end.first) else {}
        figures = {name: first.get(name) for name in ("metric", "value", "ci", "n", "floor", "floor_name")}
        found.append({**facts, "seed": seed, "state": end.state, "reason": end.reason, **figures})
    return found


def _shared(kept: Row, other: Row) -> Row:
    """A row that several cells have."""
    if kept.value == other.value or kept.value is None or other.value is None:
        return kept
    ends = f"{kept.shown(min(kept.value, other.value))} and {kept.shown(max(kept.value, other.value))}"
    note = f"Cells of the suite differ here, the first is shown: between {ends}."
    return kept if "Cells of the suite differ" in kept.note else replace(kept, note=f"{kept.note} {note}".strip())


# ---- speed ----------------------------------------------------------------------------------------------------------


def read_speed(out: Path) -> dict[str, Efficiency]:
    """What was measured of encoders in the folder of a suite; {} where nothing was."""
    found = read_json(out / SPEED) if (out / SPEED).is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{out / SPEED} is broken: delete it and give the command again.")
    return {str(name): stage_config(Efficiency, value) for name, value in found.items()}


def _measure_speed(recipe: SuiteRecipe, cells: Sequence[SuiteCell], ends: Mapping[str, CellEnd], out: Path) -> None:
    """Measure the encoders of finished cells beside the baseline, those that were not measured with these weights."""
    if not recipe.baseline:
        return
    used = {cell.model for cell in cells if ends[cell.name].state == "done"}
    names = {name: model.encoder for name, model in recipe.models.items() if model.encoder and name in used}
    sizes = {name: recipe.models[name].size for name in names}
    ids = {
        name: f"{weights_sha256(encoder)}:{encoder.rpartition('/')[2]}:{sizes[name]}" for name, encoder in names.items()
    }
    known = read_speed(out)
    new = [name for name in names if name not in known or known[name].identity != ids[name]]
    if new:
        base = recipe.models[recipe.baseline]
        found = efficiencies(
            {name: (names[name], sizes[name], ids[name]) for name in new},
            (recipe.baseline, base.encoder, base.size),
        )
        kept = {name: one for name, one in known.items() if name in names}
        write_json(out / SPEED, {name: asdict(one) for name, one in (kept | found).items()})
