"""Files of results, which may come from anywhere, become rows with where they come from.

Read are: files of rows (`knowlip evaluate`, `bench run`, `bench suite`, `bench llm`, benchmarks/results/*.json with
rows), `knowlip dataset audit`'s floors and `knowlip ablation`'s arms; folders of bench run, suite and llm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import read_json, read_yaml
from knowlip.base.parsing import stage_config
from knowlip.base.rows import OTHER_IMAGE, Row, row_from
from knowlip.benchmark.ablation_outcomes import OUTCOMES
from knowlip.benchmark.ablation_table import ALL
from knowlip.benchmark.efficiency import Efficiency
from knowlip.benchmark.llm.run import RESULTS as LLM_ROWS
from knowlip.benchmark.run import ROWS
from knowlip.benchmark.run import SETTINGS as BENCH
from knowlip.benchmark.suite.cells import CELLS
from knowlip.language.questions import QUESTION_TYPES
from knowlip.tasks.protocols import APART, FOLDS, OWN, RANDOM, Protocol
from knowlip.tasks.runs import FLOOR, METRICS

_TOLD: Final = ("command", "commit", "cpu_seconds", "date", "machine")
"""What rows in benchmarks/results have besides: how they were measured."""
_MOST_ROWS: Final = 100_000
_MOST_BYTES: Final = 64 << 20
_MOST_CELLS: Final = 10_000
_PARTS: Final[tuple[Protocol, ...]] = ("random", "groups")
"""Protocols that divide tiles anew; rows name them as their split."""
_SPLITS: Final = {OWN: "test", APART: "groups", RANDOM: "random"}
_AUDITED: Final = {
    "floors": ("classify", "top-1"),
    "detection": ("detect", "AP50"),
    "segmentation": ("segment", "mIoU"),
}
"""Part of an audit -> task and metric of its figures."""
ABLATION: Final = "ablation"
"""Task of an ablation's rows."""


@dataclass(frozen=True)
class Told:
    """A row and what is known of it besides."""

    row: Row
    source: str
    """Name of the file."""
    fingerprint: str = ""
    """Of the data set's tiles; "" where the file does not say."""
    labels: str = ""
    """Hash of its labels; "" where the file does not say."""
    config: str = ""
    """Hash of all settings, of a suite."""
    runs: tuple[tuple[Path, ...], ...] = ()
    """Run folders that it was measured in: of each seed its folds. () where they are not at hand."""
    dataset: Path | None = None
    """Folder of the data set, where the runs name it."""
    folds: int = 0
    """Parts that the tiles were divided into, as far as the file says besides the row; 0: it does not."""

    @property
    def divided(self) -> bool:
        """Whether its protocol divides tiles anew."""
        return self.row.split.split(", ")[0] in _PARTS

    @property
    def said_folds(self) -> int:
        """Parts as the row says, else as its file does; 0 where neither does."""
        return self.row.folds or self.folds

    @property
    def split(self) -> str:
        """The row's, with the number of parts where it is not the usual one: more parts leave more to learn from."""
        other = self.divided and self.said_folds not in (0, FOLDS)
        return f"{self.row.split}, {self.said_folds} parts" if other else self.row.split


@dataclass(frozen=True)
class Missing:
    """A cell of a suite without figures."""

    model: str
    task: str
    """Label in the suite's recipe."""
    measures: tuple[str, ...]
    """Tasks that its rows would be of."""
    data: str
    protocol: str
    state: str
    reason: str
    label: str = ""
    """What rows would say behind their split."""

    def belongs_to(self, data: str, task: str, split: str) -> bool:
        """Whether its rows would stand on a board."""
        if self.data != data or task not in self.measures or (self.label and f", {self.label}, " not in f"{split}, "):
            return False
        first = split.split(", ")[0]
        return first == self.protocol if first in _PARTS else self.protocol in ("", "own")


@dataclass
class Sources:
    """Everything that was read."""

    rows: list[Told] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    efficiency: dict[str, Efficiency] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """Name -> what it is."""


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read files and folders of results.

    Raises:
        ValueError: one is missing, of no known kind, too large, or broken: the sentence names it.
    """
    found = Sources()
    for path in paths:
        file = _file_of(path)
        name = _free_name(file, found.files)
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"{file} has more than {_MOST_BYTES >> 20} MB: that is no file of results.")
        content = read_json(file)
        if not isinstance(content, dict):
            raise ValueError(f"{file} holds no results.")
        try:
            if isinstance(content.get("rows"), list):
                found.files[name] = _read_rows(file, name, content, found)
            elif isinstance(content.get("sets"), dict):
                found.files[name] = _read_audit(name, content["sets"], found)
            elif isinstance(content.get("arms"), dict):
                found.files[name] = _read_ablation(name, content, found)
            else:
                raise ValueError("it holds neither rows, nor an audit's sets, nor an ablation's arms.")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            what = str(error) if isinstance(error, ValueError) else "something in it has another type or is missing."
            raise ValueError(f"{file} holds no results that can be read: {what}") from None
    if not found.rows:
        raise ValueError("There is no row in what was given: a leaderboard needs one.")
    return found


def _file_of(path: Path) -> Path:
    """The file of results that is meant."""
    if path.is_dir():
        for name in (ROWS, LLM_ROWS):
            if (path / name).is_file():
                return path / name
        raise ValueError(f"{path} has no {ROWS} and no {LLM_ROWS}: it is no folder of finished results.")
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    return path


def _free_name(file: Path, taken: Mapping[str, str]) -> str:
    """A short name that no other file has."""
    short = file.parent.name if file.name in (ROWS, LLM_ROWS) else file.stem
    name, number = short, 2
    while name in taken:
        name, number = f"{short} ({number})", number + 1
    return name


# ---- rows -----------------------------------------------------------------------------------------------------------


def _read_rows(file: Path, name: str, content: Mapping[str, Any], found: Sources) -> str:
    if len(content["rows"]) > _MOST_ROWS:
        raise ValueError(f"it has more than {_MOST_ROWS:,} rows.")
    setup, details = (_object(content.get(part, {}), part) for part in ("setup", "details"))
    version = _version(setup)
    rows = [
        _no_per_cent(row_from({key: value for key, value in _object(one, "a row").items() if key not in _TOLD}))
        for one in content["rows"]
    ]
    if "suite" in details:
        cells = _object(details["suite"], "details.suite").get("cells", [])
        if not isinstance(cells, list) or len(cells) > _MOST_CELLS:
            raise ValueError("details.suite.cells is no list, or too long.")
        of, done = _cells(file.parent, cells, found)
        found.rows += [replace(of[row.key], row=row, source=name) if row.key in of else Told(row, name) for row in rows]
        for label, value in _object(details.get("efficiency", {}), "details.efficiency").items():
            found.efficiency[str(label)[:200]] = stage_config(Efficiency, _object(value, "an efficiency"))
        return f"suite, {done} of {len(cells)} cells with figures, {len(rows):,} rows"
    runs = bench_runs(file.parent) if file.name == ROWS else ()
    data = _dataset_of(file.parent) if runs else None
    folds = _folds(setup)
    found.rows += [Told(row, name, *version, "", _runs_of(row, runs), data, folds) for row in rows]
    return f"{'bench run' if runs else 'rows'}, {len(rows):,} rows"


def _cells(root: Path, cells: Sequence[Any], found: Sources) -> tuple[dict[tuple[str, ...], Told], int]:
    """What is known of each row's cell; cells without figures go to `found.missing`."""
    of: dict[tuple[str, ...], Told] = {}
    done = 0
    for one in cells:
        cell = _object(one, "a cell")
        told = {
            part: _text(cell[part])
            for part in ("cell", "model", "task", "data", "protocol", "state", "reason", "config")
        }
        if told["state"] != "done":
            measures = tuple(_text(task) for task in cell["measures"])
            named = {part: told[part] for part in ("model", "task", "data", "protocol", "state", "reason")}
            named["label"] = _text(cell.get("label", ""))  # suites of former versions do not say it
            found.missing.append(Missing(measures=measures, **named))
            continue
        done += 1
        # The name of a cell becomes a path: only one below the suite's own folder is looked into.
        folder = (root / CELLS / told["cell"]).resolve()
        inside = folder.is_relative_to((root / CELLS).resolve())
        runs, data = (bench_runs(folder), _dataset_of(folder)) if inside and folder.is_dir() else ((), None)
        known = _settings(folder) if inside else {}
        for key in cell["rows"]:
            row_key = tuple(_text(part) for part in key)
            of.setdefault(row_key, Told(_NO_ROW, "", *_version(known), told["config"], runs, data, _folds(known)))
    return of, done


_NO_ROW: Final = Row("-", "-", "-", "-", "-", 0.0, None, 0, None, "")
"""In place of a row until it is known."""


def bench_runs(folder: Path) -> tuple[tuple[Path, ...], ...]:
    """Finished run folders of a bench run: of each seed its folds; () where there are none."""
    seeds = sorted(folder.glob("seed-*"), key=lambda one: (len(one.name), one.name))
    found = tuple(tuple(sorted(one for one in seed.glob("fold-*") if (one / METRICS).is_file())) for seed in seeds)
    return tuple(seed for seed in found if seed)


def _runs_of(row: Row, runs: tuple[tuple[Path, ...], ...]) -> tuple[tuple[Path, ...], ...]:
    return () if row.is_reference or row.encoder.startswith(FLOOR) else runs


def _settings(folder: Path) -> Mapping[str, Any]:
    for name in (BENCH, "cell.yaml"):
        if (folder / name).is_file() and isinstance(known := read_yaml(folder / name), dict):
            return known
    return {}


def _version(known: Mapping[str, Any]) -> tuple[str, str]:
    """Hashes of a data set's tiles and labels."""
    tiles, labels = (known.get(name, "") for name in ("dataset_fingerprint", "labels_sha256"))
    return (tiles if isinstance(tiles, str) else ""), (labels if isinstance(labels, str) else "")


def _folds(known: Mapping[str, Any]) -> int:
    """Parts that tiles were divided into; 0 where nothing says."""
    folds = known.get("folds", 0)
    return folds if isinstance(folds, int) and not isinstance(folds, bool) and 2 <= folds <= _MOST_ROWS else 0


def _dataset_of(folder: Path) -> Path | None:
    known = _settings(folder).get("data")
    path = Path(known) if isinstance(known, str) and known else None
    return path if path is not None and path.is_dir() else None


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise ValueError("a name is no text of at most 1,000 characters.")
    return value


# ---- audits and ablations -------------------------------------------------------------------------------------------


def _read_audit(name: str, sets: Mapping[str, Any], found: Sources) -> str:
    """Floors of `knowlip dataset audit`."""
    before = len(found.rows)
    for data, facts in sets.items():
        for part, (task, metric) in _AUDITED.items():
            for protocol, floors in _object(_object(facts, "a set").get(part, {}), part).items():
                split, note = _SPLITS.get(protocol, str(protocol)), "Of `knowlip dataset audit`."
                if protocol == OWN:
                    split, note = _held_out(facts, split, note)
                named = _object(floors, "floors")
                best = max(named, key=lambda one: _of(named[one]), default="")
                for floor, figure in named.items():
                    raw = {
                        **{"data": data, "split": split, "task": task, "encoder": f"{FLOOR}{floor}", "metric": metric},
                        **{"value": _of(figure), "ci": figure.get("ci"), "n": figure["n"]},
                        **{"floor": _of(named[best]), "floor_name": best, "note": note},
                    }
                    found.rows.append(Told(row_from(raw), name))
    return f"audit of {len(sets)} sets, {len(found.rows) - before} floors"


def _held_out(facts: Mapping[str, Any], split: str, note: str) -> tuple[str, str]:
    """What an audit asked about of a set's own split, and the note of it: val and test are asked about together, which
    is no board of models that were measured on test alone."""
    held = facts.get("held_out")
    if held is None:
        return split, f"{note} Of val and test together, where the set has both: an older audit does not say."
    if not isinstance(held, list) or not held:
        raise ValueError("an audit's held_out is no list of splits.")
    return " and ".join(_text(one) for one in held), note


def _of(figure: Mapping[str, Any]) -> float:
    """The value of a floor: a share of tiles has another name there."""
    value = figure["top1"] if "top1" in figure else figure["value"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a floor is no number.")
    return float(value)


def _read_ablation(name: str, content: Mapping[str, Any], found: Sources) -> str:
    """Arms of `knowlip ablation`: each outcome over all trials, and each type of question."""
    floors, fingerprint = _object(content.get("floors", {}), "floors"), _text(content.get("dataset_fingerprint", ""))
    differences = _object(content.get("differences", {}), "differences")
    trials: dict[str, int] = {}
    for arm, measured in content["arms"].items():
        there = _object(measured, "an arm")
        outcomes = {one: _object(there[one], one) for one in OUTCOMES if one in there}
        if not outcomes:
            raise ValueError(f"the arm {arm} holds none of {', '.join(OUTCOMES)}: run the ablation again.")
        for outcome, groups in outcomes.items():
            wanted = (ALL, *QUESTION_TYPES) if outcome == "questions" else (ALL,)
            # The many groups of an outcome (instruction sets, dimensions) stay in the file: a board of them shows none.
            for kind in (kind for kind in wanted if kind in groups):
                figure, than = _object(groups[kind], kind), _object(differences.get(arm, {}), arm)
                change = _object(than.get(outcome, {}), outcome).get(kind)
                floor = floors.get(kind) or ([0.5, "chance"] if outcome == "chosen" else [None, ""])
                metric = f"{outcome if kind == ALL else kind.replace('_', ' ')} accuracy"
                note = _change(change, _text(than.get("than", ""))) if change else ""
                found.rows.append(Told(_arm_row(arm, metric, figure, floor, note), name, fingerprint))
                trials[kind] = int(figure["n"])
                if figure.get("blind") is not None:
                    blind = {**figure, "value": figure["blind"], "ci": None}
                    twin = _arm_row(f"{OTHER_IMAGE}{arm}", metric, blind, floor, "")
                    found.rows.append(Told(twin, name, fingerprint))
    for kind, (value, told) in floors.items():
        row = _arm_row(f"{FLOOR}{told}", f"{kind.replace('_', ' ')} accuracy", {"value": value}, [value, told], "")
        found.rows.append(Told(replace(row, n=trials.get(kind, 0)), name, fingerprint))
    return f"ablation, {len(content['arms'])} arms"


def _no_per_cent(row: Row) -> Row:
    """The row, unless a share of it is a number of per cent, which would be the best of its column.

    Raises:
        ValueError: a share that is none.
    """
    figures = [one for one in (row.value, row.floor, *(row.ci or ())) if one is not None]
    if row.unit == "share" and any(abs(one) > 1 + 1e-6 for one in figures):
        raise ValueError(
            f"the row {row.name:.200} holds {figures[0]:g}: a share lies between 0 and 1, per cent are none."
        )
    return row


def _change(change: Mapping[str, Any], than: str) -> str:
    """By how much an arm is better than the one it is held against."""
    told = f"{100 * change['value']:+.1f} points against {than}"
    ends = " to ".join(f"{100 * one:.1f}" for one in change.get("ci") or ())
    return f"{told} ({ends})." if ends else f"{told}."


def _arm_row(arm: str, metric: str, figure: Mapping[str, Any], floor: Sequence[Any], note: str) -> Row:
    return row_from(
        {
            **{"data": "simulated", "split": "test", "task": ABLATION, "encoder": arm, "metric": metric},
            **{"value": figure["value"], "ci": figure.get("ci"), "n": figure.get("n", 0)},
            **{"floor": floor[0], "floor_name": floor[1], "note": note},
        }
    )


def of_models(rows: Sequence[Told]) -> Iterator[Told]:
    """Rows of what looks at the images that it is asked about: no floors, no annotator, no blind or other image."""
    for told in rows:
        if not told.row.is_reference and not told.row.encoder.startswith(FLOOR):
            yield told
