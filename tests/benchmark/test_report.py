"""The report: one valid, self-contained page, whatever is missing."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from knowlip.base.examples import ShownExample, ShownItem, write_examples
from knowlip.base.rows import Results, Row
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.report import ReportConfig, report
from knowlip.benchmark.report.build import read_log
from knowlip.pages.charts import line_chart, thin
from tests.benchmark.numbered import build
from tests.benchmark.test_evaluate import oracle_of

VOID = {"meta", "img", "br", "input", "link"}
SECTIONS = {"results", "places", "data", "texts", "training", "repeat"}
TASKS = {"task-Retrieve", "task-Caption", "task-VQA", "task-Screening"}


class Balanced(HTMLParser):
    """Fails on tags that do not close in order, images without a text alternative, and anything from a network."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.seen[tag] = self.seen.get(tag, 0) + 1
        if values.get("id"):
            self.ids.append(str(values["id"]))
        for name in ("src", "href"):
            assert values.get(name) is None or str(values[name]).startswith(("data:image/", "#")), values[name]
        assert tag != "img" or values.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(path: Path) -> tuple[str, Balanced]:
    page = path.read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert set(parser.ids) >= SECTIONS
    assert len(parser.ids) == len(set(parser.ids))
    assert not re.search(r"https?://|@import|url\(", page)
    return page, parser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = build(folder / "ds")
    evaluate(EvaluateConfig(data.path, "model", folder / "metrics.json"), oracle_of(data))
    run = folder / "run"
    run.mkdir()
    lines = [
        {"step": s, "stage": 1 + s // 40, "itc": 4 - s / 50, "itm": 0.63, "infill": 5.0, "tau": 0.07, "lr": 1e-4}
        for s in range(1, 100)
    ]
    (run / "log.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + '\n{"step": 100, "it')
    (run / "config.yaml").write_text("seed: 7 # <odd & marked>\n")
    return folder


def test_the_whole_report(folder: Path) -> None:
    out = folder / "report.html"
    result = report(ReportConfig(folder / "ds", out, folder / "run", folder / "metrics.json"))
    assert result["missing"] == []
    assert result["bytes"] == out.stat().st_size < 8_000_000
    page, parser = checked(out)
    assert set(parser.ids) >= TASKS
    assert parser.seen["img"] > 20
    for words in ("An image looks for its text", "Random questions", "Texts of random images", "annotator:rules"):
        assert words in page
    assert "prior 0.6365" in page
    assert "seed: 7 # &lt;odd &amp; marked&gt;" in page
    assert "too &lt;dark&gt;" in page
    assert page.count('class="subtexts"') == 8
    assert "<del>" in page
    assert "rewritten</span>" in page
    assert "screened; rewriting refused" in page
    assert "prefers-color-scheme: dark" in page


def test_only_a_data_set_without_truth_and_texts(tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False, revisions=False)
    out = tmp_path / "report.html"
    result = report(ReportConfig(data.path, out))
    assert set(result["missing"]) == {"metrics", "examples", "log", "truth"}
    page, _ = checked(out)
    assert "These scenes have no truth" in page
    assert "Nothing was measured yet" in page


def test_the_page_without_truth_speaks_of_agreement(tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False)
    evaluate(EvaluateConfig(data.path, "model", tmp_path / "metrics.json"), oracle_of(data))
    report(ReportConfig(data.path, tmp_path / "report.html", metrics=tmp_path / "metrics.json"))
    page, _ = checked(tmp_path / "report.html")
    assert "agreement with the annotator" in page
    assert "has no truth" in page


def test_rows_of_a_task_that_nobody_knows_are_shown_and_escaped(tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False, revisions=False)
    ours = ("toy", "a<i>", "<u>score</u>", 0.9, (0.8, 0.95), 10, 0.5, "<s>coin</s>", "<em>why")
    better = Row("<b>set</b>", "test", *ours)
    worse = replace(better, metric="error", better="lower", unit="number", value=2.0, ci=(1.5, 2.5), floor=1.0)
    given = (ShownItem("<script>", right=False, note="<q>"), ShownItem(tile_id="t1", right=True))
    example = ShownExample("toy", "<h1>kind", ShownItem("<p>what?", "t0"), given, (ShownItem("<a>"),), "<note>")
    details = {"toy": {"<x>": {"before": 0.5, "after": 0.6, "n": 3}, "y": {"before": 0.7, "after": 0.6, "n": 4}}}
    Results((better, worse), details).write(tmp_path / "metrics.json")
    write_examples(tmp_path / "examples.json", [example, replace(example, kind="other", asked=ShownItem(tile_id="t2"))])
    report(ReportConfig(data.path, tmp_path / "report.html", metrics=tmp_path / "metrics.json"))
    page, parser = checked(tmp_path / "report.html")
    assert "task-TOY" in parser.ids
    assert "90.0 % ▲" in page
    assert "2.000 ▼" in page
    assert "above the highest floor in 1 of 2 figures" in page
    shown = html.unescape(page)
    for odd in ("<u>score</u>", "<s>coin</s>", "<em>why", "<script>", "<q>", "<h1>kind", "<p>what?"):
        assert odd in shown
        assert odd not in re.sub("<script>\n", "", page)


def test_results_of_before_rows_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"retrieval": {}, "vqa": {}, "setup": {}}')
    with pytest.raises(ValueError, match="run `knowlip evaluate` again"):
        report(ReportConfig(folder / "ds", tmp_path / "x.html", metrics=tmp_path / "old.json"))


def test_a_named_file_that_is_missing_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        report(ReportConfig(folder / "ds", folder / "x.html", metrics=folder / "nothing.json"))
    assert not (folder / "x.html").exists()


def test_logs_of_resumed_runs(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "itc": 3}\n{"step": 2, "itc": 2}\n{"step": 2, "itc": 1}\n{"st')
    assert [line["itc"] for line in read_log(path)] == [3, 1]
    path.write_text('{"step"\n{"step": 2}\n')
    with pytest.raises(ValueError, match="Line 1"):
        read_log(path)


def test_charts() -> None:
    assert len(thin(np.array([(float(i), 1.0) for i in range(10_000)]))) <= 400
    assert line_chart("x", [(1.0, float("nan")), (2.0, 1.0)]) is None
    flat = line_chart("flat", [(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)])
    assert flat is not None
    assert "<path" in flat.svg
    assert flat.last == "2"
