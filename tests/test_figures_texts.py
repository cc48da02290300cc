"""The table of docs/text-analysis.md is benchmarks/results/text_stats.json: each figure is one of its own source's."""

import json
import re

from tests.documented import ROOT
from tests.test_figures_tables import numbers

FILE = ROOT / "benchmarks" / "results" / "text_stats.json"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def test_each_figure_of_the_table_is_of_its_source() -> None:
    page = (ROOT / "docs" / "text-analysis.md").read_text(encoding="utf-8")
    table = page.partition("| | measured | paper |\n")[2].partition("\n\n")[0].splitlines()[1:]
    said = json.loads(FILE.read_text())
    known = [[*numbers(one)] for one in said["corpora"]]
    known[0] += numbers(said["projection"])
    checked = 0
    for line in table:
        for cell, values in zip(line.strip("| ").split(" | ")[1:], known):
            for text in NUMBER.findall(cell):
                half = 0.5 * 10 ** -len(text.partition(".")[2]) * 1.000001
                value = float(text.replace(",", ""))
                assert any(abs(one * scale - value) <= half for one in values for scale in (1, 100)), f"{line}: {text}"
                checked += 1
    assert checked > 40
    assert said["command"].partition(" --out")[0] in page
