"""Figures that docs quote as rows of results are those of `benchmarks/results`: value, interval, floor and number."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple

import pytest

from knowlip.base.rows import Row
from tests.documented import ROOT

RESULTS = ROOT / "benchmarks" / "results"
HEAD = ["task", "measure", "of", "value", "95 % interval", "highest floor", "n"]
"""Of a table whose rows are rows of results."""


class Quoted(NamedTuple):
    page: str
    line: int
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def quoted() -> Iterator[Quoted]:
    """Rows of such tables on all pages."""
    for page in sorted(ROOT.glob("docs/*.md")):
        inside = False
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
            if cells == HEAD:
                inside = True
            elif not cells:
                inside = False
            elif inside and not set(line) <= set("|-: "):
                yield Quoted(page.name, number, tuple(cells))


QUOTED = list(quoted())


def rows_in(value: Any) -> Iterator[dict[str, Any]]:
    """Rows at any depth of a file of results."""
    if isinstance(value, dict):
        if {"metric", "encoder", "value", "floor", "n"} <= value.keys():
            yield value
        else:
            for item in value.values():
                yield from rows_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from rows_in(item)


@cache
def measured() -> list[Row]:
    """All rows of all results."""
    known = {one.name for one in fields(Row)}
    found: list[Row] = []
    for path in sorted(RESULTS.glob("*.json")):
        for row in rows_in(json.loads(path.read_text())):
            ci = row.get("ci")
            kept = {key: value for key, value in row.items() if key in known}
            found.append(Row(**{**kept, "ci": tuple(ci) if ci else None}))
    return found


def printed(row: Row) -> tuple[str, ...]:
    """A row as a table shows it, without its mark."""
    floor = f"{row.shown(row.floor)} {row.floor_name}" if row.floor is not None else "–"
    return row.metric, row.encoder, row.shown(row.value), row.shown_ci, floor, f"{row.n:,}"


def test_there_are_some() -> None:
    assert len(QUOTED) > 20
    assert len(measured()) > 100


@pytest.mark.parametrize("quote", QUOTED, ids=str)
def test_a_quoted_row_is_a_measured_one(quote: Quoted) -> None:
    """Remarks in brackets behind a measure are the page's own."""
    _, metric, of, value, interval, floor, n = quote.cells
    said = (re.sub(r" \(.*\)$", "", metric), of, re.sub(r"\s*[▲≈▼]$", "", value), interval, floor, n)
    same = [printed(row) for row in measured() if row.metric == said[0] and row.encoder == of]
    assert said in same, f"{quote.page} says {said}; benchmarks/results has {same[:3]}"


def test_files_that_pages_name_are_there() -> None:
    for page in sorted(ROOT.glob("docs/*.md")):
        for name in re.findall(r"benchmarks/results/(\w+\.json)", page.read_text(encoding="utf-8")):
            assert name == "NAME.json" or (RESULTS / name).is_file(), f"{page.name} names benchmarks/results/{name}"


def test_links_between_pages_lead_somewhere() -> None:
    """Files and headings; every page is reached from the first."""
    pages = sorted(ROOT.glob("docs/*.md"))
    reached = set()
    for page in [ROOT / "README.md", *pages]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if link.startswith("https:"):
                continue
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            reached.add(target)
            if heading and target.suffix == ".md":
                titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                there = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert heading in there, f"{page.name}: {link}"
    strangers = [page.name for page in pages if page.resolve() not in reached and page.name not in FIRST]
    assert not strangers


FIRST = ("package.md",)
"""Pages that are reached in another way: the description of the package."""
