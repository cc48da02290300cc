"""Every page, built from a data set whose names and texts are markup: nothing of it runs."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from knowlip.annotators.audit import AuditConfig, text_audit, the_sample
from knowlip.annotators.audit.page import Sheets
from knowlip.annotators.audit.store import Verdicts
from knowlip.annotators.stats import TextStatsConfig, text_stats
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.report import ReportConfig, report
from knowlip.dataset import Dataset, writer
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats
from knowlip.pages.render import render
from knowlip.scio.report import ScioReportConfig, scio_report
from tests.benchmark import numbered
from tests.benchmark.test_evaluate import oracle_of

HOSTILE = "</script></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>\" ' {{7*7}} $\\frac$ %s"
TITLE = f"title {HOSTILE}"


class Page(HTMLParser):
    """Counts scripts, and holds what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.handlers, self.seen = 0, [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag in ("script", "iframe", "object", "embed", "base", "form")
        for name, value in attributes:
            reached = name in ("src", "href") and not str(value).startswith(("data:image/", "#"))
            if name.startswith("on") or reached:
                self.handlers.append((tag, name, value))

    def handle_data(self, data: str) -> None:
        self.seen += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with markup for places, sensors, reasons and texts, and what `evaluate` and two raters make of it."""
    folder = tmp_path_factory.mktemp("hostile")
    text_of, write_scene = numbered.text_of, writer.write_scene

    def write(out, place, rows, *rest):
        for row in rows:
            row |= {"city": HOSTILE, "country": HOSTILE, "region": HOSTILE, "platform": HOSTILE}
            row["reject_reason"] = row["reject_reason"] and HOSTILE
        return write_scene(out, place, rows, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbered, "text_of", lambda number, name: f"{text_of(number, name)} {HOSTILE}")
        patch.setattr(writer, "write_scene", write)
        data = numbered.build(folder / "ds")
    evaluate(EvaluateConfig(data.path, "model", folder / "metrics.json"), oracle_of(data))
    return folder


def checked(path: Path, scripts: int, *words: str) -> None:
    page = Page(path.read_text())
    assert page.scripts == scripts
    assert page.handlers == []
    for word in words:
        assert word in page.seen


def test_report(folder: Path) -> None:
    report(ReportConfig(folder / "ds", folder / "report.html", metrics=folder / "metrics.json", title=TITLE))
    checked(folder / "report.html", 1, TITLE, HOSTILE)


def test_statistics(folder: Path) -> None:
    dataset_stats(DatasetStatsConfig(folder / "ds", folder / "stats", TITLE))
    checked(folder / "stats" / "stats.html", 0, TITLE, HOSTILE)
    source = f"{HOSTILE.replace('=', '')}={folder / 'ds'}"
    text_stats(TextStatsConfig(source, folder / "text", clouds=False, projection="none", title=TITLE))
    checked(folder / "text" / "text-stats.html", 0, TITLE)


def test_scio(folder: Path) -> None:
    scio_report(ScioReportConfig(folder / "ds", folder / "scio"))
    checked(folder / "scio" / "scio-report.html", 0, "alert(1)</script>")


def test_audit(folder: Path) -> None:
    data, config = Dataset(folder / "ds"), AuditConfig(folder / "ds", out=folder / "audit", report=folder / "audited")
    sample = the_sample(data, data.revisions()[-1], folder / "audit" / "sample.json", config)
    verdicts, sheets = Verdicts(folder / "audit" / "verdicts.jsonl"), Sheets(data, sample)
    tile = sample.tiles[0]
    for slot in sheets.slots[tile]:
        verdicts.judge(HOSTILE, tile, slot, "right")
    verdicts.note(HOSTILE, tile, HOSTILE)
    text_audit(config)
    checked(folder / "audited" / "audit.html", 0, HOSTILE)


@pytest.mark.parametrize("template", ["audit.html", "label.html"])
def test_served_pages_hold_no_data(template: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(render(template, nonce="n"))
    checked(tmp_path / "page.html", 1)
