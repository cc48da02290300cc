"""Pages fit: on a screen of 1,280 px and on a phone of 390 px nothing is cut or needs scrolling sideways, and the
browser has nothing to complain of."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.report import ReportConfig, report
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.benchmark.numbered import build
from tests.benchmark.test_evaluate import oracle_of
from tests.browser import Browser, find_browser

WIDTHS = (1280, 390)
PROGRAM = find_browser()
# What reaches out of the window, unless it lies in something that is meant to be moved sideways, as a wide map is; and
# what is hidden of texts and of the cells of tables.
MEASURE = """(() => {
  const root = document.documentElement, wide = root.clientWidth, out = [], cut = [];
  const named = e => e.tagName + '.' + e.className + ' ' + e.textContent.trim().slice(0, 40);
  const moved = e => e.closest('svg, nav, pre, .skip, .mosaic, .scroll:has(svg), .scroll:has(img)');
  for (const e of document.querySelectorAll('body *')) {
    if (moved(e) || !e.getClientRects().length) continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (box.right > wide + 1 || box.left < -1) out.push(named(e));
    const hides = ['hidden', 'clip'].includes(style.overflowX) || e.matches('.scroll');
    if (hides && e.textContent.trim() && e.scrollWidth > e.clientWidth + 1) cut.push(named(e));
  }
  return JSON.stringify({wide: root.scrollWidth - wide, out: out.slice(0, 5), cut: cut.slice(0, 5)});
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> page."""
    folder = tmp_path_factory.mktemp("pages")
    data = build(folder / "ds")
    evaluate(EvaluateConfig(data.path, "model", folder / "metrics.json"), oracle_of(data))
    run = folder / "run"
    run.mkdir()
    lines = [{"step": s, "stage": 1 + s // 40, "itc": 4 - s / 50, "itm": 0.63, "infill": 5.0} for s in range(1, 100)]
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (run / "config.yaml").write_text("seed: 7\n")
    report(ReportConfig(data.path, folder / "report.html", run, folder / "metrics.json"))
    tiny = build_tiny_dataset(folder / "tiny")
    annotate(AnnotateConfig(tiny, workers=1))
    dataset_stats(DatasetStatsConfig(tiny, folder / "stats"))
    return {"report": folder / "report.html", "stats": next((folder / "stats").glob("*.html"))}


@pytest.fixture(scope="module", params=WIDTHS)
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(str(PROGRAM), tmp_path_factory.mktemp("profile"), request.param, 844)
    yield browser
    browser.close()


@pytest.mark.parametrize("name", ["report", "stats"])
def test_a_page_fits(name: str, pages: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    browser.open(pages[name].as_uri())
    browser.wait("document.readyState === 'complete' && document.querySelector('h1') !== null")
    found = json.loads(browser.value(MEASURE))
    assert found == {"wide": 0, "out": [], "cut": []}
    assert browser.errors == []
