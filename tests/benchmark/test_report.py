"""The report: one valid, self-contained page, whatever is missing."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.report import ReportConfig, report
from knowlip.benchmark.report.build import read_log
from knowlip.pages.charts import line_chart, thin
from tests.benchmark.numbered import build
from tests.benchmark.test_evaluate import oracle_of

VOID = {"meta", "img", "br", "input", "link"}
SECTIONS = ("results", "places", "data", "texts", "training", "retrieval", "questions", "captions", "scio", "repeat")


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
    assert set(SECTIONS) <= set(parser.ids)
    assert len(parser.ids) == len(set(parser.ids))
    assert not re.search(r"https?://|@import|url\(", page)
    return page, parser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    data = build(folder / "ds")
    evaluate(EvaluateConfig(data.path, Path("model"), folder / "metrics.json"), oracle_of(data))
    run = folder / "run"
    run.mkdir()
    lines = [
        {"step": s, "stage": 1 + s // 40, "itc": 4 - s / 50, "itm": 0.63, "infill": 5.0, "tau": 0.07, "lr": 1e-4}
        for s in range(1, 100)
    ]  # fmt: skip
    (run / "log.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + '\n{"step": 100, "it')
    (run / "config.yaml").write_text("seed: 7 # <odd & marked>\n")
    return folder


def test_the_whole_report(folder: Path) -> None:
    out = folder / "report.html"
    result = report(ReportConfig(folder / "ds", out, folder / "run", folder / "metrics.json"))
    assert result["missing"] == []
    assert result["bytes"] == out.stat().st_size < 8_000_000
    page, parser = checked(out)
    assert parser.seen["img"] > 20
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
    evaluate(EvaluateConfig(data.path, Path("model"), tmp_path / "metrics.json"), oracle_of(data))
    report(ReportConfig(data.path, tmp_path / "report.html", metrics=tmp_path / "metrics.json"))
    page, _ = checked(tmp_path / "report.html")
    assert "agreement with the annotator" in page
    assert "has no truth" in page


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
