"""The page in a headless Chromium that reaches nothing but this machine: search, ask, evidence, objects, uploads, with
and without WebGL, wide and narrow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knowlip.inference.web import model as model_module
from tests.browser import Browser, find_browser
from tests.inference.web.sites import over_http

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
KEY = "a-key-of-sixteen-letters"
YELLOW = (255, 210, 63)
"""Of outlines of objects."""
SECONDS = 60.0


def two_boxes(detector: Any, images: Any) -> list[pd.DataFrame]:
    rows = [(32.0, 32.0, 128.0, 96.0, 0.9), (128.0, 160.0, 224.0, 224.0, 0.7)]
    table = pd.DataFrame(rows, columns=["left", "top", "right", "bottom", "score"])
    return [table.assign(category="ship", corners=[[] for _ in rows], tile_id="") for _ in images]


@pytest.fixture(scope="module")
def url(archive: Path, detector: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_module, "found_in", two_boxes)
        with over_http(archive, detector=detector) as address:
            yield address


@contextmanager
def opened(url: str, profile: Path, width: int = 1280, height: int = 800, gl: bool = False) -> Iterator[Browser]:
    """The page once it is ready; when the block ends it must have had no error and have asked nobody else."""
    browser = Browser(str(PROGRAM), profile, width, height, gl)
    try:
        browser.open(url + "/")
        browser.wait("document.documentElement.dataset.ready === 'true'", SECONDS)
        yield browser
        # What the server refuses is said on the page; the browser notes it as well.
        assert [one for one in browser.errors if "status of 4" not in one] == []
        assert [one for one in browser.asked if not one.startswith((url, "blob:" + url, "data:", "about:"))] == []
    finally:
        browser.close()


def text(browser: Browser, selector: str) -> str:
    return str(browser.value(f"document.querySelector({selector!r})?.innerText ?? ''"))


def count(browser: Browser, selector: str) -> int:
    return int(browser.value(f"document.querySelectorAll({selector!r}).length"))


def fill(browser: Browser, **values: str) -> None:
    for name, value in values.items():
        browser.value(f"document.getElementById({name!r}).value = {value!r}")


def click(browser: Browser, selector: str) -> None:
    assert browser.value(f"document.querySelector({selector!r})?.click() ?? 'done'") == "done"


def search(browser: Browser, **values: str) -> None:
    """Ask, and wait for the answer to this question."""
    fill(browser, **values)
    browser.value("document.getElementById('search').requestSubmit()")
    browser.wait(
        "document.getElementById('hits').ariaBusy !== 'true' && "
        "!document.getElementById('status').innerText.startsWith('Searching')",
        SECONDS,
    )


def look(browser: Browser) -> None:
    """Open the first result, ask, and show evidence and objects."""
    click(browser, ".hit")
    browser.wait("document.querySelector('#tile-picture').naturalWidth === 256", SECONDS)
    browser.wait("document.getElementById('caption-more').innerText.includes('probability')", SECONDS)
    fill(browser, question="Count: [MASK] ships are visible")
    browser.value("document.getElementById('ask').requestSubmit()")
    browser.wait("document.querySelector('#answer .big') !== null", SECONDS)
    assert "probability" in text(browser, "#answer")
    click(browser, "#answer .row button")
    browser.wait("document.getElementById('tile-heat').naturalWidth === 512", SECONDS)
    click(browser, "#tile-detect")
    browser.wait("document.querySelector('#tile-detections .big') !== null", SECONDS)
    assert text(browser, "#tile-detections .big") == "2 ship"
    assert count(browser, "#tile-boxes polygon") == 2


def fits(browser: Browser) -> bool:
    """Whether nothing reaches out of the page sideways."""
    return bool(browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_search_ask_and_objects_on_the_map(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path / "profile", gl=True) as browser:
        if browser.value("document.documentElement.dataset.map") != "webgl":
            pytest.skip("this Chromium draws no WebGL without a graphics card")
        assert count(browser, ".hit") == count(browser, ".pin") == 4
        search(browser, text="a port with ships", sensor="sim-x")
        assert "best 4 first" in text(browser, "#status")
        look(browser)
        assert count(browser, ".pin[aria-current=true]") == count(browser, ".hit[aria-current=true]") == 1
        side = browser.value("document.querySelector('.map-wrap').getBoundingClientRect().toJSON()")

        def yellow() -> int:
            browser.screenshot(tmp_path / "page.png")
            with Image.open(tmp_path / "page.png") as picture:
                pixels = np.asarray(picture.convert("RGB"), int)
            part = pixels[int(side["top"]) : int(side["bottom"]), int(side["left"]) : int(side["right"])]
            return int((np.abs(part - YELLOW).max(-1) < 40).sum())

        ends = time.monotonic() + 10
        while yellow() <= 40:  # outlines of both, drawn by MapLibre
            assert time.monotonic() < ends
            time.sleep(0.2)
        browser.press("Escape")
        browser.wait("document.getElementById('tile').hidden")
        while yellow():
            assert time.monotonic() < ends + 10
            time.sleep(0.2)


def test_without_webgl_a_plain_map_does_the_same(url: str, scene: Path, tmp_path: Path) -> None:
    with opened(url, tmp_path / "profile") as browser:
        assert browser.value("document.documentElement.dataset.map") == "plain"
        assert "no WebGL" in text(browser, "#map-note")
        assert count(browser, ".plain .point") == 4
        search(browser, text="water", after="2100-01-01")
        assert "loosen them" in text(browser, "#status")
        assert count(browser, ".hit") == count(browser, ".plain .point") == 0
        search(browser, text="water", after="", near="Rotterdam")
        assert "say which" in text(browser, "#status")
        search(browser, near="")
        assert count(browser, ".plain .foot") == count(browser, ".plain .dot") == 4
        look(browser)
        assert count(browser, ".plain .box") == 2
        click(browser, "#tile-like")
        browser.wait("document.getElementById('like').hidden === false")
        click(browser, "#tile-close")
        # An upload, from the file to its windows on the map.
        click(browser, "#tab-upload")
        browser.choose("#file", scene)
        browser.value("document.getElementById('upload').requestSubmit()")
        browser.wait("document.querySelector('.job') !== null", SECONDS)
        browser.wait("document.querySelector('.job progress') === null", 180)
        assert "4 windows" in text(browser, ".job")
        click(browser, ".job .row button")
        browser.wait("document.querySelectorAll('.job ol li').length === 4", SECONDS)
        assert count(browser, ".plain g:nth-of-type(2) .foot") == 4
        click(browser, ".job .row button:last-child")
        browser.wait("document.querySelector('.job') === null")
        (tmp_path / "no.tif").write_text("no image")
        browser.choose("#file", tmp_path / "no.tif")
        browser.value("document.getElementById('upload').requestSubmit()")
        browser.wait("document.getElementById('upload-status').innerText.includes('neither a GeoTIFF')", SECONDS)


def test_on_a_phone_nothing_reaches_out_of_the_page(url: str, tmp_path: Path) -> None:
    with opened(url, tmp_path / "profile", 390, 844) as browser:
        assert fits(browser)
        click(browser, "#filters summary")
        assert fits(browser)
        search(browser, text="a port with more than five ships")
        assert fits(browser)
        look(browser)
        assert fits(browser)
        wide = browser.value("document.getElementById('tile').getBoundingClientRect().width")
        assert wide >= browser.value("document.documentElement.clientWidth")
        click(browser, "#tile-close")
        click(browser, "#tab-upload")
        assert fits(browser)


def test_the_page_asks_for_the_key(archive: Path, tmp_path: Path) -> None:
    with over_http(archive, KEY) as url:
        browser = Browser(str(PROGRAM), tmp_path / "profile", 1280, 800)
        try:
            browser.open(url + "/")
            browser.wait("document.getElementById('key-dialog').open", SECONDS)
            assert count(browser, ".hit") == 0
            fill(browser, key="wrong-key")
            click(browser, "#key-form button")
            browser.wait("document.getElementById('key-wrong').innerText.includes('wrong')", SECONDS)
            fill(browser, key=KEY)
            click(browser, "#key-form button")
            browser.wait("document.documentElement.dataset.ready === 'true'", SECONDS)
            browser.wait("document.querySelector('.hit img').naturalWidth === 256", SECONDS)
            assert not [one for one in browser.asked if KEY in one]
        finally:
            browser.close()
