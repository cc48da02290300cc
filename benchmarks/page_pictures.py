"""The pictures of pages in docs/images, made of a finished demo: report.png, web.png, web-phone.png, audit.png.

    make demo
    python -m benchmarks.page_pictures demo --work FOLDER

Needs Chromium and the extra `serve`. The report is made anew; an archive of six of the demo's cities and a sample of
its texts are made in FOLDER, and stay there. Look at each picture before it is committed. (text-stats.png is
`overview.png` of the command in docs/text-analysis.md; dataset-stats.png that of `knowlip dataset stats`.)
"""

import argparse
import base64
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from knowlip.annotators.audit import AuditConfig, the_sample
from knowlip.annotators.audit.page import Sheets, make_app
from knowlip.annotators.audit.store import Verdicts
from knowlip.benchmark.report import ReportConfig, report
from knowlip.dataset import Dataset
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.settings import ServeConfig
from knowlip.inference.web.site import open_site
from tests.browser import Browser, find_browser
from tests.serving import at_address

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
CITIES: Final = ("denver", "durban", "madrid", "rotterdam", "santos", "singapore")
VERDICTS: Final = ("right", "right", "right", "right", "unsure")
WAIT: Final = 300.0
"""Seconds for an answer: a machine that does something else besides draws and answers slowly."""
WORDS, QUESTION = "container port with ships", "How many ships are visible?"


def shot(browser: Browser) -> Image.Image:
    """What is seen, in 256 colours, once it stands still."""
    browser.wait("[...document.images].every(one => one.complete || one.loading === 'lazy')", WAIT)
    time.sleep(1.5)
    taken = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    return few_colours(Image.open(io.BytesIO(taken)).convert("RGB"))


def few_colours(picture: Image.Image) -> Image.Image:
    """In 256 colours, as small as pictures of pages can be."""
    return picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def sized(browser: Browser, width: int, height: int, scheme: str = "light") -> None:
    """A window of a width and height, in light or dark."""
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setScrollbarsHidden", hidden=True)
    scheme_and_motion = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
    browser.call("Emulation.setEmulatedMedia", features=[{"name": a, "value": b} for a, b in scheme_and_motion])


def of_report(browser: Browser, demo: Path, work: Path) -> None:
    """The top of the report."""
    out = work / "report.html"
    files = {"run": demo / "pretrain", "metrics": demo / "metrics.json", "examples": demo / "examples.json"}
    report(ReportConfig(demo / "dataset", out, **files))
    sized(browser, 1280, 900)
    browser.open(out.resolve().as_uri())
    browser.wait("document.querySelector('table.results') !== null")
    sized(browser, 1280, 1500)
    shot(browser).save(IMAGES / "report.png", optimize=True)


def of_audit(browser: Browser, demo: Path, work: Path) -> None:
    """A tile with targets, judged in part."""
    data, config = Dataset(demo / "dataset"), AuditConfig(demo / "dataset", revision=0)
    sheets = Sheets(data, the_sample(data, 0, work / "sample.json", config))
    (work / "verdicts.jsonl").unlink(missing_ok=True)
    verdicts = Verdicts(work / "verdicts.jsonl")
    shown = next(tile for tile in sheets.tiles if sheets.instruction_set[tile] == "marine")
    for slot, verdict in zip(sheets.slots[shown], VERDICTS):
        verdicts.judge("ann", shown, slot, verdict)  # type: ignore[arg-type]
    with at_address(make_app(sheets, verdicts)) as url:
        sized(browser, 1400, 900, "dark")
        browser.open(f"{url}?rater=ann")
        browser.wait("document.getElementById('tile').naturalWidth > 0")
        for _ in range(sheets.number[shown]):
            browser.press("ArrowRight")
        browser.wait(f"document.body.innerText.includes({shown!r})")
        browser.press("g")  # the nine regions
        browser.wait("document.getElementById('tile').naturalWidth > 0")
        end = browser.value("document.documentElement.scrollHeight")
        sized(browser, 1400, min(1300, int(end)), "dark")
        shot(browser).save(IMAGES / "audit.png", optimize=True)


def of_archive(browser: Browser, demo: Path, work: Path) -> None:
    """A search, an answer and its evidence; on a desk and on a phone, where list and window are two pictures."""
    scenes = [demo / "scenes" / f"{city}-{band}.tif" for city in CITIES for band in ("c", "ku", "x")]
    if not (work / "archive" / "archive.json").is_file():
        index(IndexConfig(scenes=scenes, out=work / "archive"))
    with open_site(ServeConfig(index=work / "archive"), "") as site, at_address(site) as url:
        sized(browser, 1280, 900)
        searched(browser, url)
        asked(browser)
        shot(browser).save(IMAGES / "web.png", optimize=True)
        sized(browser, 390, 844)
        searched(browser, url)
        phone = [shot(browser)]
        asked(browser)
        beside([*phone, shot(browser)]).save(IMAGES / "web-phone.png", optimize=True)


def searched(browser: Browser, url: str) -> None:
    """The page with results."""
    browser.open(url)
    browser.wait("document.documentElement.dataset.ready === 'true'", WAIT)
    browser.value(f"document.getElementById('text').value = {WORDS!r}")
    browser.value("document.getElementById('search').requestSubmit()")
    browser.wait(
        "document.getElementById('hits').ariaBusy !== 'true' && document.querySelector('.hit .meter') !== null", WAIT
    )


def asked(browser: Browser) -> None:
    """The same with a window opened, a question answered and its evidence shown."""
    browser.value("document.querySelectorAll('.hit')[1].click()")  # the first shows an airport
    browser.wait("document.querySelector('#tile-picture').naturalWidth > 0", WAIT)
    browser.wait("document.getElementById('caption-more').innerText !== ''", WAIT)
    browser.value(f"document.getElementById('question').value = {QUESTION!r}")
    browser.value("document.getElementById('ask').requestSubmit()")
    browser.wait("document.querySelector('#answer .big') !== null", WAIT)
    browser.value("document.querySelector('#answer .row button')?.click()")
    browser.wait("document.getElementById('tile-heat').naturalWidth > 0", WAIT)


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row with a gap."""
    gap, high = 24, max(one.height for one in pictures)
    whole = Image.new("RGB", (sum(one.width for one in pictures) + gap * (len(pictures) - 1), high), "#dcdcd8")
    left = 0
    for one in pictures:
        whole.paste(one.convert("RGB"), (left, 0))
        left += one.width + gap
    return few_colours(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for what the pictures are made of")
    options = parser.parse_args()
    program = find_browser()
    if program is None:
        raise SystemExit("There is no Chromium on this machine.")
    options.work.mkdir(parents=True, exist_ok=True)
    browser = Browser(program, options.work / "profile", 1280, 900, gl=True)
    try:
        of_report(browser, options.demo, options.work)
        of_audit(browser, options.demo, options.work)
        of_archive(browser, options.demo, options.work)
    finally:
        browser.close()


if __name__ == "__main__":
    main()
