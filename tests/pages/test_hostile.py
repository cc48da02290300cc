"""Every page, built from a data set whose names and texts are markup: nothing of it runs."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from knowlip.annotators.audit import AuditConfig, text_audit, the_sample
from knowlip.annotators.audit.page import Sheets
from knowlip.annotators.audit.store import Verdicts
from knowlip.annotators.stats import TextStatsConfig, text_stats
from knowlip.base.rows import Results
from knowlip.benchmark.report import ReportConfig, report
from knowlip.dataset import Dataset
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats
from knowlip.pages.render import render
from knowlip.scio.report import ScioReportConfig, scio_report
from tests.pages.makers import HOSTILE, TITLE, Hostile


class Page(HTMLParser):
    """Counts scripts, and holds what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.handlers, self.seen = 0, [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag in ("script", "iframe", "object", "embed", "base", "form")
        for name, value in attributes:
            reached = name in ("src", "href") and not str(value).startswith(("data:image/", "data:,", "#"))
            if name.startswith("on") or reached:
                self.handlers.append((tag, name, value))

    def handle_data(self, data: str) -> None:
        self.seen += data


@pytest.fixture(scope="module")
def folder(hostile: Hostile) -> Path:
    """A data set with markup for places, sensors, reasons and texts."""
    return hostile.folder


def checked(path: Path, scripts: int, *words: str) -> None:
    page = Page(path.read_text())
    assert page.scripts == scripts
    assert page.handlers == []
    for word in words:
        assert word in page.seen


def test_report(folder: Path, hostile: Hostile, tmp_path: Path) -> None:
    Results(hostile.rows(), {}, {}).write(tmp_path / "metrics.json")
    report(ReportConfig(folder / "ds", tmp_path / "report.html", metrics=tmp_path / "metrics.json", title=TITLE))
    checked(tmp_path / "report.html", 1, TITLE, HOSTILE)


def test_statistics(folder: Path, tmp_path: Path) -> None:
    dataset_stats(DatasetStatsConfig(folder / "ds", tmp_path / "stats", TITLE))
    checked(tmp_path / "stats" / "stats.html", 0, TITLE, HOSTILE)
    source = f"{HOSTILE.replace('=', '')}={folder / 'ds'}"
    text_stats(TextStatsConfig(source, tmp_path / "text", clouds=False, projection="none", title=TITLE))
    checked(tmp_path / "text" / "text-stats.html", 0, TITLE)


def test_scio(folder: Path, tmp_path: Path) -> None:
    scio_report(ScioReportConfig(folder / "ds", tmp_path / "scio"))
    checked(tmp_path / "scio" / "scio-report.html", 0, "alert(1)</script>")


def test_audit(folder: Path, tmp_path: Path) -> None:
    data, config = (
        Dataset(folder / "ds"),
        AuditConfig(folder / "ds", out=tmp_path / "audit", report=tmp_path / "audited"),
    )
    sample = the_sample(data, data.revisions()[-1], tmp_path / "audit" / "sample.json", config)
    verdicts, sheets = Verdicts(tmp_path / "audit" / "verdicts.jsonl"), Sheets(data, sample)
    tile = sample.tiles[0]
    for slot in sheets.slots[tile]:
        verdicts.judge(HOSTILE, tile, slot, "right")
    verdicts.note(HOSTILE, tile, HOSTILE)
    text_audit(config)
    checked(tmp_path / "audited" / "audit.html", 0, HOSTILE)


@pytest.mark.parametrize("template", ["audit.html", "label.html"])
def test_served_pages_hold_no_data(template: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(template, nonce="n"))
    checked(tmp_path / "page.html", 1)
