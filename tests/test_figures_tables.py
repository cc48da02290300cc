"""Tables of docs/results.md whose rows are no rows of results (those: tests/test_figures.py): each decimal of such a
row is a figure of the files that its section names, or the row is listed here with the reason why no file holds it all.

This is weaker than the comparison of whole rows: a figure that is wrongly another one of the same files passes."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from tests.documented import ROOT
from tests.test_figures import HEAD, QUOTED, RESULTS

FILES = {
    "fit_screen": ("screen",),
    "fit_quality_reference": ("quality",),
    "vision_segment": ("vision",),
    "vision_classify": ("vision",),
    "vision_detect": ("vision",),
    "screening": ("screening_cost",),
    "whole_scenes": ("use",),
    "serve": ("use",),
    "scio_truth": ("scio_truth", "scio_truth_noisy"),
    "pretrain_step": ("pretrain_step_tiny_cpu",),
}
"""Benchmark -> its files, where they have other names."""
NO_FILE = {"What the demo's recipe was chosen by": "no file of these runs is kept"}
"""Section -> why no file holds its rows."""
_NOT_KEPT = "no file that is kept holds all of its figures"
PARTLY = {
    "20,000 x 20,000 | 7,581 |": "the median of two runs of the file",
    "place of pixels on 33 generated": _NOT_KEPT,
    "SSDD, judge half": _NOT_KEPT,
    "published weights of all-MiniLM": "the number of parameters is the model's",
    "int8 (static, 100 training tiles) of the shipped": _NOT_KEPT,
    "int8 (static, 100 training tiles) of a Faster": _NOT_KEPT,
    "cost of screening eight removals": "a quotient of two figures of the file",
    "the same: count, exact": _NOT_KEPT,
    "pointing game of answers": _NOT_KEPT,
    "ViTDet on the packaged DINOv2": "published figures of others stand beside ours",
}
"""How rows begin of which a decimal is in no file, and why."""
_NUMBER = re.compile(r"(?<![\w.,:/x-])(-?(?:\d{1,3}(?:,\d{3})+|\d+)\.\d+)(?![\w]*[-/:]\d)")
_SCALES = (1, 100, 1000, 1e-3, 1e-6, 1e-9)
"""A share as per cent, seconds as ms, bytes as MB: what a page may print a figure as."""


class TableRow(NamedTuple):
    section: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"results.md:{self.line}"


def table_rows() -> Iterator[TableRow]:
    """Rows of all tables but those of rows of results, without their heads."""
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    section, quoted = "", False
    for number, (line, after) in enumerate(zip(lines, [*lines[1:], ""]), 1):
        if line.startswith("## "):
            section = line[3:]
        if not line.startswith("|"):
            quoted = False
            continue
        head = after.startswith("|") and set(after) <= set("|-: ")
        quoted = quoted or [cell.strip() for cell in line.strip("|").split("|")] == HEAD
        if not quoted and not head and not set(line) <= set("|-: "):
            yield TableRow(section, number, line)


ROWS = list(table_rows())


def numbers(value: Any) -> Iterator[float]:
    """All numbers of a file of results."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@cache
def figures_of(section: str) -> tuple[float, ...]:
    """All figures of the files that a section of the page names, itself or by its benchmarks."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    body = re.split(r"^## ", text.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    names = [name for one in re.findall(r"benchmarks\.(\w+)", body) for name in FILES.get(one, (one,))]
    names += re.findall(r"benchmarks/results/(\w+)\.json", body)
    there = [RESULTS / f"{name}.json" for name in dict.fromkeys(names) if (RESULTS / f"{name}.json").is_file()]
    return tuple(number for path in there for number in numbers(json.loads(path.read_text())))


def unheld(row: TableRow) -> list[str]:
    """Decimals of a row that no figure of its files is printed as."""
    found = []
    for text in _NUMBER.findall(row.text):
        value, half = float(text.replace(",", "")), 0.5 * 10 ** -len(text.partition(".")[2])
        if not any(abs(one * scale - value) <= half * 1.000001 for one in figures_of(row.section) for scale in _SCALES):
            found.append(text)
    return found


def first_words(row: TableRow) -> str:
    return row.text.strip("| ").replace("*", "")


@pytest.mark.parametrize("row", [row for row in ROWS if row.section not in NO_FILE], ids=str)
def test_decimals_of_a_row_are_measured_ones(row: TableRow) -> None:
    if any(first_words(row).startswith(start) for start in PARTLY):
        pytest.skip("listed in PARTLY with its reason")
    assert not unheld(row), f"{row}: no file of this section holds {', '.join(unheld(row))}: {row.text[:80]}"


def test_what_is_listed_is_needed() -> None:
    """An entry whose row is held by now, or is gone, goes."""
    assert {*NO_FILE} <= {row.section for row in ROWS}
    assert not any(figures_of(section) for section in NO_FILE)
    for start in PARTLY:
        assert any(first_words(row).startswith(start) and unheld(row) for row in ROWS), start


def test_how_much_is_held() -> None:
    """Counts what is held and how, for whoever asks with -s; most of it must be."""
    how = Counter({"whole rows of results": sum(quote.page == "results.md" for quote in QUOTED)})
    for row in ROWS:
        partly = any(first_words(row).startswith(start) for start in PARTLY)
        words = not _NUMBER.search(row.text)
        how[
            "no file is kept"
            if row.section in NO_FILE
            else "partly, with a reason"
            if partly
            else "no decimals"
            if words
            else "each decimal is in a file"
        ] += 1
    print("\ndocs/results.md:", ", ".join(f"{count} {name}" for name, count in how.items()))
    assert how["no file is kept"] + how["partly, with a reason"] < 0.2 * how.total()


def test_tables_are_whole() -> None:
    """A row behind a blank line is no row of a table: pages show it as text."""
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        lines = [
            *re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE).splitlines()
        ]
        for before, line, after in zip(["", *lines], lines, [*lines[1:], ""]):
            if line.startswith("|") and not before.startswith("|"):
                assert after.startswith("|"), f"{page.name}: {line[:80]}"
                assert set(after) <= set("|-: "), f"{page.name}: {line[:80]}"
