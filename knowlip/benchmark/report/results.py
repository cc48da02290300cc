"""What the report says of results: it reads rows, details and examples, and knows no task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from knowlip.base.examples import ShownExample
from knowlip.base.rows import ANNOTATOR, MARKS, MARKS_TOLD, Json, Results, Row
from knowlip.pages.charts import Dot, change_chart, dot_chart


@dataclass(frozen=True)
class Card:
    """A headline number with a note; shares are drawn as a bar that also shows the floor."""

    name: str
    value: str
    note: str
    share: float | None = None
    reference: float | None = None


@dataclass(frozen=True)
class DetailTable:
    """Figures that are no rows."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    chart: Markup | None = None


@dataclass(frozen=True)
class TaskPart:
    """The section of one task."""

    title: str
    rows: tuple[Row, ...]
    chart: Markup | None
    notes: tuple[str, ...]
    tables: tuple[DetailTable, ...]
    examples: tuple[tuple[str, tuple[ShownExample, ...]], ...]
    """Kind and those of this kind."""


def title_of(task: str) -> str:
    """ "retrieve" -> "Retrieve", "vqa" -> "VQA"."""
    words = task.replace("_", " ")
    return words.upper() if len(words) <= 3 else words[0].upper() + words[1:]


def headline(results: Results) -> list[Card]:
    """The first measured figure of each task, and in how many its model is above the floor."""
    cards, several = [], len({row.data for row in results.rows}) > 1
    for (task, data), group in groupby(results.rows, key=lambda row: (row.task, row.data)):
        rows = [row for row in group if row.value is not None and not row.is_reference]
        if rows and (value := rows[0].value) is not None:
            row, above = rows[0], sum(row.standing == "above" for row in rows)
            floor = f"{row.floor_name} {row.shown(row.floor)}; " if row.floor is not None else ""
            cards.append(
                Card(
                    f"{title_of(task)}{f' on {data}' if several else ''}: {row.metric}",
                    f"{row.shown(value)} {MARKS[row.standing]}",
                    f"{floor}above the highest floor in {above} of {len(rows)} figures",
                    _share(row, value),
                    _share(row, row.floor),
                )
            )
    return cards


def table(results: Results) -> dict[str, object]:
    """Every row beside its highest floor, with bars where it is a share; of several data sets each is named."""
    several = len({row.data for row in results.rows}) > 1
    return {
        "rows": [
            {
                "row": row,
                "title": title_of(row.task) + (f" on {row.data}" if several else ""),
                "mark": MARKS[row.standing],
                "share": _share(row, row.value),
                "floor": _share(row, row.floor),
                "ci": [_share(row, end) for end in row.ci] if row.ci and row.unit == "share" else None,
            }
            for row in results.rows
        ],
        "marks": MARKS_TOLD,
        "clusters": results.setup.get("clusters", "clusters of tiles"),
    }


def _share(row: Row, figure: float | None) -> float | None:
    """A figure as the length of a bar; None for what is no share."""
    return None if figure is None or row.unit != "share" else min(1.0, max(0.0, figure))


def task_parts(results: Results, examples: Sequence[ShownExample]) -> list[TaskPart]:
    """A section for each task that has rows, in their order."""
    parts = []
    for task in dict.fromkeys(row.task for row in results.rows):
        rows = tuple(row for row in results.rows if row.task == task)
        mine = [example for example in examples if example.task == task]
        kinds = dict.fromkeys(example.kind for example in mine)
        parts.append(
            TaskPart(
                title_of(task),
                rows,
                _chart(task, rows),
                tuple(dict.fromkeys(row.note for row in rows if row.note and not row.is_reference)),
                tuple(detail_tables(results.details.get(task, {}))),
                tuple((kind, tuple(one for one in mine if one.kind == kind)) for kind in kinds),
            )
        )
    return parts


def _chart(task: str, rows: Sequence[Row]) -> Markup | None:
    """The shares among the rows; the annotator's own figure is the second mark of a row."""
    teachers = {row.metric: row.value for row in rows if row.encoder.startswith(ANNOTATOR)}
    shares = [row for row in rows if row.unit == "share" and row.value is not None and not row.is_reference]
    one = len({row.encoder for row in shares}) < 2
    dots = [
        Dot(
            row.metric if one else f"{row.metric}, {row.encoder}",
            row.value,
            row.ci,
            row.floor,
            teachers.get(row.metric),
            row.standing,
        )
        for row in shares
    ]
    return dot_chart(dots, f"{title_of(task)} with 95 % intervals beside the highest floors") if dots else None


def detail_tables(details: Mapping[str, Json], title: str = "") -> Iterator[DetailTable]:
    """Tables of what a task wrote beside its rows, by shape alone.

    Mappings with the same keys are the rows of one table (where they hold "before" and "after", these are drawn too);
    other mappings are tables of names and values, with tables of what lies deeper behind them.
    """
    inner = {name: value for name, value in details.items() if isinstance(value, Mapping)}
    if len(inner) > 1 and len(inner) == len(details) and len({frozenset(one) for one in inner.values()}) == 1:
        flat = {name: dict(_flat(value)) for name, value in inner.items()}
        head = tuple(dict.fromkeys(key for row in flat.values() for key in row))
        rows = tuple((name, *(row.get(key, "") for key in head)) for name, row in flat.items())
        yield DetailTable(title, ("", *(key.replace("_", " ") for key in head)), rows, _changes(inner, title))
        return
    facts = tuple((key.replace("_", " "), value) for key, value in _flat(details, deep=False))
    if facts:
        yield DetailTable(title, ("", ""), facts)
    for name, value in inner.items():
        yield from detail_tables(value, f"{title}: {name}".replace("_", " ").removeprefix(": "))


def _flat(values: Mapping[str, Json], deep: bool = True) -> Iterator[tuple[str, str]]:
    """Names and printed values; one level deeper "outer: inner"."""
    for name, value in values.items():
        if not isinstance(value, Mapping):
            if (said := _said(value)) is not None:
                yield name, said
        elif deep:
            yield from ((f"{name}: {key}", said) for key, said in _flat(value, deep=False))


def _said(value: Json) -> str | None:
    """A value as it is printed; None for long lists."""
    if value is None or isinstance(value, str):
        return value or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
        return "–".join(f"{end:.3f}" for end in value)
    if isinstance(value, Sequence) and all(isinstance(one, str) for one in value):
        return ", ".join(str(one) for one in value) or "–"
    return None


def _changes(rows: Mapping[str, Mapping[str, Json]], title: str) -> Markup | None:
    """Before and after of each row on a common scale, where rows hold both as shares."""

    def share(value: Json) -> float | None:
        return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None

    pairs = [(name, share(row.get("before")), share(row.get("after")), row.get("n")) for name, row in rows.items()]
    found: Iterable[tuple[str, float, float, int]] = (
        (name, before, after, count if isinstance(count, int) else 0)
        for name, before, after, count in pairs
        if before is not None and after is not None
    )
    changes = list(found)
    return change_chart(changes, f"{title}, before and after") if changes else None
