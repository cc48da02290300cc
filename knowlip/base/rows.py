"""Results as rows: one figure each, with its interval, its number of trials, and the highest floor beside it.

Whatever measures writes rows; tables, report, model card and leaderboards read them and know no task. A results file
(`knowlip evaluate --out`) is JSON: `{"rows": [...], "details": {task: {...}}, "setup": {...}, "seconds": {...}}`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.settings import plain

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What a JSON file can hold."""

Unit = Literal["share", "number"]
Better = Literal["higher", "lower"]
Standing = Literal["above", "level", "below"]

ANNOTATOR: Final = "annotator:"
OTHER_IMAGE: Final = "other-image:"
BLIND: Final = "blind:"
"""What the encoder of a reference row begins with."""
_LONGEST: Final = 1000
"""Characters of a text in a row of a file."""
_LONGEST_NOTE: Final = 20_000
"""Of its note, which holds what each of many folds and seeds has to say."""
_MOST_ROWS: Final = 100_000
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Raises:
        ValueError: a figure that is not finite, a missing value without a note, a floor without a name.
    """

    data: str
    """Name of the data set."""
    split: str
    """Which part of it was measured."""
    task: str
    """Name of the module in `knowlip/tasks` that measured it."""
    encoder: str
    """Name of the model; "annotator:NAME" for the teacher's own figure on the same trials, "other-image:NAME" for what
    the model says of the image of another tile (:mod:`knowlip.dataset.others`), "blind:NAME" for a language model
    that is shown no image."""
    metric: str
    """In words, e.g. "count accuracy" or "image to text R@1"."""
    value: float | None
    """None where it cannot be had; `note` says why."""
    ci: tuple[float, float] | None
    """95 % interval."""
    n: int
    """Trials behind the value."""
    floor: float | None
    """The highest of what one reaches without the model."""
    floor_name: str
    """How that is reached, e.g. "majority answer"."""
    note: str = ""
    """Why there is no value, or what it is other than its name says (an agreement; training data unknown)."""
    unit: Unit = "share"
    """"share" (0 to 1, printed in per cent) or "number"."""
    better: Better = "higher"
    """Which way the figure is good: "higher" or "lower"."""
    folds: int = 0
    """Parts that the tiles were divided into (protocols random and groups), of which each model learned all but one; 0
    where the set's own split was measured, or nothing says it."""

    def __post_init__(self) -> None:
        figures = [self.value, self.floor, *(self.ci or ())]
        if any(figure is not None and not math.isfinite(figure) for figure in figures):
            raise ValueError(f"The row {self.name} holds a figure that is not finite.")
        if not all((self.data, self.split, self.task, self.encoder, self.metric)):
            raise ValueError(f"The row {self.name} lacks the name of its data, split, task, encoder or metric.")
        if self.value is None and not self.note:
            raise ValueError(f"The row {self.name} has no value and no note that says why.")
        if (self.floor is None) != (not self.floor_name):
            raise ValueError(f"The row {self.name} must have a floor and its name, or neither.")
        if self.ci is not None and self.ci[0] > self.ci[1]:
            raise ValueError(f"The interval of the row {self.name} is upside down.")
        if self.n < 0:
            raise ValueError(f"The row {self.name} has {self.n} trials.")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"The row {self.name} has {self.folds} folds: that is 0 (none) or from 2.")

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What two rows of one figure share."""
        return self.data, self.split, self.task, self.encoder, self.metric

    @property
    def is_reference(self) -> bool:
        """Whether it stands beside a model's figure on the same trials and is not that of a model that looks."""
        return self.encoder.startswith((ANNOTATOR, OTHER_IMAGE, BLIND))

    @property
    def name(self) -> str:
        """The key as one word."""
        return "/".join(self.key)

    @property
    def standing(self) -> Standing | None:
        """Where the value stands to the floor, "above" being better whatever `better` says.

        "above" and "below" only where the whole interval lies there; "level" where the interval holds the floor, or
        both print alike. None where the value or floor is missing, or they print differently and there is no interval.
        """
        if self.value is None or self.floor is None:
            return None
        if self.shown(self.value) == self.shown(self.floor):
            return "level"
        if self.ci is None:
            return None
        low, high = self.ci if self.better == "higher" else (-self.ci[1], -self.ci[0])
        floor = self.floor if self.better == "higher" else -self.floor
        return "above" if low > floor else "below" if high < floor else "level"

    def shown(self, figure: float | None) -> str:
        """A figure of this row as it is printed: "12.3 %" of a share, "0.123" of a number, "–" of nothing."""
        if figure is None:
            return "–"
        return f"{100 * figure:.1f} %" if self.unit == "share" else f"{figure:.3f}"

    @property
    def shown_ci(self) -> str:
        """The interval as it is printed: "10.0–20.0", or "–"."""
        if self.ci is None:
            return "–"
        return "–".join(self.shown(end).removesuffix(" %") for end in self.ci)


MARKS: Final[Mapping[Standing | None, str]] = {"above": "▲", "level": "≈", "below": "▼", None: ""}
"""How a standing is marked everywhere."""
MARKS_TOLD: Final = (
    "▲ the whole 95 % interval lies above the highest floor (what one reaches without the model), ≈ it holds it, "
    "▼ it lies below"
)


def highest_floor(
    floors: Mapping[str, float | None], better: Better = "higher"
) -> tuple[float, str] | tuple[None, Literal[""]]:
    """The floor that is hardest to clear, and its name; the first of equal ones. (None, "") where there is none."""
    sign = 1 if better == "higher" else -1
    known = [(value, name) for name, value in floors.items() if value is not None]
    return max(known, key=lambda pair: sign * pair[0]) if known else (None, "")


def merged(*groups: Iterable[Row]) -> tuple[Row, ...]:
    """All rows in order; a later row takes the place of an earlier one with the same key."""
    return tuple({row.key: row for group in groups for row in group}.values())


@dataclass(frozen=True)
class Results:
    """What `knowlip evaluate` found."""

    rows: tuple[Row, ...]
    details: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    """Task -> what only those look at who look closer; see docs/evaluation.md."""
    setup: Mapping[str, Json] = field(default_factory=dict)
    """What was measured and how: data set fingerprint, tiles, limits, seed, encoders."""
    seconds: Mapping[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Json]:
        """As in the file."""
        found: dict[str, Json] = plain(self)
        return found

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.plain())

    @property
    def encoders(self) -> Mapping[str, Json]:
        """Name of each model -> SHA-256 of its weights, "" where that is not known."""
        found = self.setup.get("encoders")
        return found if isinstance(found, Mapping) else {}


def read_results(path: Path) -> Results:
    """Read a results file, which may come from anywhere.

    Raises:
        ValueError: it is missing, no results file, too large, of before rows, or a row is not as it must be.
    """
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} has more than {_MOST_BYTES >> 20} MB: that is no file of results.")
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
        if isinstance(found, dict) and {"retrieval", "vqa", "setup"} & found.keys():
            raise ValueError(f"{path} was written before results were rows: run `knowlip evaluate` again.")
        raise ValueError(f"{path} holds no results of `knowlip evaluate`.")
    if len(found["rows"]) > _MOST_ROWS:
        raise ValueError(f"{path} has more than {_MOST_ROWS:,} rows.")
    try:
        rows = tuple(row_from(value) for value in found["rows"])
        details, setup, seconds = (_object(found.get(name, {}), name) for name in ("details", "setup", "seconds"))
        return Results(
            rows,
            {name: _object(value, f"details.{name}") for name, value in details.items()},
            setup,
            {name: _number(value) for name, value in seconds.items()},
        )
    except ValueError as error:
        raise ValueError(f"{path} holds broken results: {error}") from None


def row_from(value: object) -> Row:
    """A row from what a JSON file holds.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    if not isinstance(value, dict):
        raise ValueError("a row is not an object.")
    names = {one.name for one in fields(Row)}
    needed = names - {"note", "unit", "better", "folds"}
    if value.keys() - names or needed - value.keys():
        raise ValueError(f"a row must have {', '.join(sorted(needed))}, and may have note, unit, better, folds.")
    texts = {name: value[name] for name in (*names - {"value", "ci", "n", "floor", "folds"},) if name in value}
    for name, text in texts.items():
        most = _LONGEST_NOTE if name == "note" else _LONGEST
        if not isinstance(text, str) or len(text) > most:
            raise ValueError(f"{name} of a row must be a text of at most {most} characters.")
    for name, kind in (("unit", Unit), ("better", Better)):
        if texts.get(name, get_args(kind)[0]) not in get_args(kind):
            raise ValueError(f"{name} of a row must be {' or '.join(get_args(kind))}.")
    ci, n, folds = value["ci"], value["n"], value.get("folds", 0)
    if ci is not None and not (isinstance(ci, list | tuple) and len(ci) == 2):
        raise ValueError("ci of a row must be two numbers or null.")
    for name, number in (("n", n), ("folds", folds)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError(f"{name} of a row must be a whole number.")
    pair = None if ci is None else (_number(ci[0]), _number(ci[1]))
    figure, floor = (None if value[name] is None else _number(value[name]) for name in ("value", "floor"))
    return Row(**texts, value=figure, ci=pair, n=n, floor=floor, folds=folds)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a figure is not a number.")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a figure is not finite.") from None


def _object(value: object, name: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object.")
    return value
