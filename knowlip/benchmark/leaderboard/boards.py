"""Rows become boards: one task on one split of one version of one data set, a line an encoder, a column a metric.

What differs in data set, split, protocol or version stands on another board; what differs in n within a column is
marked and takes no part in a comparison.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

from knowlip.base.rows import ANNOTATOR, BLIND, MARKS, OTHER_IMAGE, Better, Row, Standing, Unit
from knowlip.benchmark.leaderboard.sources import ABLATION, Missing, Sources, Told
from knowlip.language.questions import QUESTION_TYPES
from knowlip.tasks.protocols import FOLDS
from knowlip.tasks.runs import FLOOR

HOWS: Final = (
    "linear probe",
    "k-NN",
    "fine-tuned",
    "ranked",
    "written",
    "cosine",
    "re-ranked",
)
"""How a figure was had, as metrics say it behind a comma: it belongs to the line."""
_TABLES: Final = {
    4: ("Classification, detection, segmentation", ("classify", "detect", "segment")),
    6: ("Retrieval and captions", ("retrieve", "caption")),
    7: ("Questions", ("vqa",)),
    8: ("Ablation", (ABLATION,)),
    0: ("Beside the paper's tables", ()),
}
"""Number of the paper's table -> title and tasks; 0 takes all others."""
_MAIN: Final[Mapping[str, str]] = {
    "classify": r"top-[13]",
    "detect": r"AP50|AP|AP75|AP50, (inshore|offshore)",
    "segment": r"mIoU|OA",
    "retrieve": r"mean recall|(image to text|text to image) R@(1|5|10)( re-ranked)?",
    "caption": r"BLEU-4.*|CIDEr.*|METEOR.*|SPICE.*|true claims(, asked)?",
    "vqa": r".* accuracy|replies that could be read|count mean absolute error",
    ABLATION: r".* accuracy",
    "looking": r"image gain, \w+|attention on targets / uniform",
    "pointing": r"pointing, \w+|energy in boxes, \w+|(insertion|deletion), \w+",
    "screening": r".*",
}
"""Metrics of a task that its board shows; all others stand in the files and under the board."""
_MOST_BOARDS, _MOST_CELLS = 2_000, 20_000
_FIRST: Final = (
    *("top-1", "top-3", "AP50", "AP", "mIoU", "OA", "mean recall", "mean accuracy"),
    *(f"{kind.replace('_', ' ')} accuracy" for kind in QUESTION_TYPES),
)
"""Metrics that come first, the most telling one first, questions in the order of the paper's Table 7."""


@dataclass(frozen=True)
class Entry:
    """A figure in its place."""

    told: Told
    other_n: bool = False
    """It has another number of trials than the rest of its column: marked, and compared with nothing."""
    floor: tuple[float, str] | None = None
    """The highest that is known of its trials: its own, or that of its column."""

    @property
    def row(self) -> Row:
        return self.told.row

    @property
    def mark(self) -> str:
        """Where it stands to its floor; "∅" where it has none."""
        if self.row.encoder.startswith(FLOOR) or self.row.value is None:
            return ""
        return "∅" if self.floor is None else MARKS[self.standing]

    @property
    def standing(self) -> Standing | None:
        """Where it stands to its floor."""
        if self.floor is None:
            return None
        return replace(self.row, floor=self.floor[0], floor_name=self.floor[1]).standing


@dataclass
class Column:
    """A metric of a board."""

    metric: str
    unit: Unit
    better: Better
    n: int
    """Trials of most of its figures."""
    floor: tuple[float, str] | None
    """The highest one that any figure of it names."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """Line -> figure."""

    @property
    def ranked(self) -> list[tuple[str, Entry]]:
        """Lines of models that can be compared, the best first."""
        sign = -1 if self.better == "higher" else 1
        known = [
            (line, one)
            for line, one in self.entries.items()
            if one.row.value is not None and not one.other_n and is_model(one.row)
        ]
        return sorted(known, key=lambda pair: (sign * (pair[1].row.value or 0), pair[0]))


@dataclass
class Board:
    """A task on a split of a data set."""

    number: int
    """Of the paper's table that it belongs to; 0: none."""
    task: str
    data: str
    split: str
    version: str
    """First digits of the data set's fingerprint, where the files name several; "" else."""
    columns: list[Column]
    rest: list[Column]
    """Metrics that are no part of the table."""
    lines: list[str]
    """Models, the best first, then who does not look, then floors."""
    notes: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    """Cells of a suite that have no figure here."""
    encoders: dict[str, str] = field(default_factory=dict)
    """Line -> its encoder."""

    @property
    def name(self) -> str:
        version = f", version {self.version}" if self.version else ""
        return f"{self.task} on {self.data}, {self.split}{version}"

    def why_none(self, line: str, column: Column) -> str:
        """Why a line has no figure in a column: as far as files say, or that it was not run."""
        entry = column.entries.get(line)
        if entry is not None:
            return entry.row.note
        one = self._why.get(self.encoders.get(line, ""))
        return "not run" if one is None else f"{one.state}: {one.reason}" if one.reason else one.state

    @cached_property
    def _why(self) -> Mapping[str, Missing]:
        return {one.model: one for one in reversed(self.missing)}

    @property
    def unrun(self) -> list[Missing]:
        """Cells of a suite whose model has no line here at all."""
        there = {*self.encoders.values()}
        return [one for one in self.missing if one.model not in there]


class BoardTable(NamedTuple):
    """A table of the paper, and what was measured for it here."""

    number: int
    title: str
    boards: tuple[Board, ...]


def is_model(row: Row) -> bool:
    """Whether it is of a model that looks at the image that it is asked about."""
    return not row.is_reference and not row.encoder.startswith(FLOOR)


def line_of(row: Row) -> tuple[str, str]:
    """Line and column of a row: how a figure was had goes to the line."""
    metric, how = row.metric, ""
    for one in HOWS:
        if metric.endswith(f", {one}"):
            metric, how = metric.removesuffix(f", {one}"), one
            break
    return (f"{row.encoder}, {how}" if how else row.encoder), metric


def tables_of(sources: Sources) -> list[BoardTable]:
    """All that was read, on boards, in the order of the paper's tables; those without a row are left out."""
    groups: dict[tuple[str, str, str], list[Told]] = defaultdict(list)
    for told in sources.rows:
        groups[told.row.task, told.row.data, told.split].append(told)
    if len(groups) > _MOST_BOARDS:
        raise ValueError(f"There are {len(groups):,} boards in what was given, more than {_MOST_BOARDS:,}: give less.")
    boards = []
    for (task, data, split), rows in groups.items():
        number = next((number for number, (_, tasks) in _TABLES.items() if task in tasks), 0)
        for version, part in _versions(rows).items():
            boards.append(_board((number, task, data, split, version), part, sources.missing))
    boards.sort(key=lambda board: (board.task, board.data, board.split, board.version))
    return [
        BoardTable(number, title, tuple(board for board in boards if board.number == number))
        for number, (title, _) in _TABLES.items()
        if any(board.number == number for board in boards)
    ]


def _versions(rows: Sequence[Told]) -> dict[str, list[Told]]:
    """Rows by version of their data set; those that do not say theirs go with the only one, or stand alone."""
    named = {(told.fingerprint, told.labels) for told in rows if told.fingerprint}
    if len(named) < 2:
        return {"": list(rows)}
    # Labels that some files do not state tell versions apart only among those that do.
    several = {tiles for tiles, _ in named if len({labels for other, labels in named if other == tiles and labels}) > 1}
    found: dict[str, list[Told]] = defaultdict(list)
    for told in rows:
        if told.fingerprint:
            labels = f" {told.labels[:8] or 'labels not stated'}" if told.fingerprint in several else ""
            found[f"{told.fingerprint[:8]}{labels}"].append(told)
    if len(found) < 2:
        return {"": list(rows)}
    if unknown := [told for told in rows if not told.fingerprint]:
        found["not stated"] = unknown
    return found


def _board(key: tuple[int, str, str, str, str], rows: Sequence[Told], missing: Sequence[Missing]) -> Board:
    number, task, data, split, version = key
    columns: dict[str, Column] = {}
    of_files, again = Counter[str](), Counter[tuple[str, str]]()
    encoders: dict[str, str] = {}
    for told in rows:
        line, metric = line_of(told.row)
        column = columns.get(metric)
        if column is not None and (column.unit, column.better) != (told.row.unit, told.row.better):
            metric = f"{metric} ({told.row.unit}, {told.row.better} is better)"  # another figure of the same name
            column = columns.get(metric)
        if column is None:
            column = columns[metric] = Column(metric, told.row.unit, told.row.better, 0, None)
        if line in column.entries:  # the same figure of two files: both are shown, and from where
            if _same(column.entries[line].row, told.row):
                continue
            line = f"{line} ({told.source})"
            of_files[told.source] += 1
            again[metric, line] += 1
            line = line if again[metric, line] == 1 else f"{line} #{again[metric, line]}"
        column.entries[line] = Entry(told)
        encoders[line] = told.row.encoder
    for column in columns.values():
        _settle(column)
    main = re.compile(_MAIN.get(task, ".*"))
    ordered = sorted(columns.values(), key=lambda one: _order(one.metric))
    own, rest = ([one for one in ordered if bool(main.fullmatch(one.metric)) == wanted] for wanted in (True, False))
    if not own:
        own, rest = rest, []
    board = Board(number, task, data, split, version, own, rest, _lines([*own, *rest]), encoders=encoders)
    if len(board.lines) * len(own) > _MOST_CELLS:
        raise ValueError(
            f"{board.name[:200]} has {len(board.lines):,} lines and {len(own):,} metrics, more than {_MOST_CELLS:,} "
            "cells: that is no table."
        )
    board.missing = [one for one in missing if one.belongs_to(data, task, split)]
    if of_files:
        board.notes.append("Two files have other figures of the same line: both stand here, with their files.")
    if version == "" and len({told.fingerprint for told in rows}) > 1:
        board.notes.append("Some files do not state the version of the data set: they are taken to have this one.")
    if silent := sorted({told.source for told in rows if told.divided and not told.said_folds and is_model(told.row)}):
        board.notes.append(
            f"Files that do not say into how many parts tiles were divided are taken to have {FOLDS}: "
            f"{', '.join(silent[:5])}."
        )
    if split.startswith("random"):
        board.notes.append("Copies stand on both sides: what is measured is memory too.")
    return board


def _same(one: Row, other: Row) -> bool:
    """Whether two files hold the same figure, whatever they note of it."""
    if one.value is None or other.value is None:
        return one.value == other.value
    return one.n == other.n and abs(one.value - other.value) < 1e-9


def _settle(column: Column) -> None:
    """What most figures of a column share: of models, where there are any, since they are what is compared."""
    known = [one.row for one in column.entries.values() if one.row.value is not None]
    counts = Counter(row.n for row in known if is_model(row)) or Counter(row.n for row in known)
    column.n = counts.most_common(1)[0][0] if counts else 0
    sign = 1 if column.better == "higher" else -1
    # What a line of floors reaches on these trials is one too, whoever measured it.
    floors = [
        (figure, name)
        for line, one in column.entries.items()
        for figure, name in ((one.row.floor, one.row.floor_name), (_reached(one.row), line.removeprefix(FLOOR)))
        if figure is not None and (one.row.value is None or one.row.n == column.n)
    ]
    column.floor = max(floors, key=lambda pair: sign * pair[0]) if floors else None
    for line, one in column.entries.items():
        other_n = one.row.value is not None and one.row.n != column.n
        own = None if one.row.floor is None else (one.row.floor, one.row.floor_name)
        column.entries[line] = Entry(one.told, other_n, own if other_n else column.floor or own)


def _reached(row: Row) -> float | None:
    """What a floor's own line reaches; None of other lines."""
    return row.value if row.encoder.startswith(FLOOR) else None


def _order(metric: str) -> tuple[int, list[tuple[int, str]]]:
    """The first ones first, then by name with numbers as numbers: R@5 before R@10."""
    parts = [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d{1,9})", metric)]
    return (_FIRST.index(metric) if metric in _FIRST else len(_FIRST)), parts


def _lines(columns: Sequence[Column]) -> list[str]:
    """Lines in the order of the first column that they stand in, those of other trials behind the rest."""
    found: dict[str, tuple[int, int, bool, float, str]] = {}
    for number, column in enumerate(columns):
        sign = -1 if column.better == "higher" else 1
        for line, one in column.entries.items():
            value = one.row.value
            place = (_kind(one.row.encoder), number, one.other_n, 1e30 if value is None else sign * value, line)
            found.setdefault(line, place)
    return sorted(found, key=lambda line: found[line])


def _kind(encoder: str) -> int:
    starts = (OTHER_IMAGE, BLIND, ANNOTATOR, FLOOR)
    return next((number for number, one in enumerate(starts, 1) if encoder.startswith(one)), 0)
