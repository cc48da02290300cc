"""Every page at 1,280 and at 390 px, in light and dark, in one browser: nothing is cut or moved sideways, every text
can be read, every line, bar and mark can be seen, everything has a name, markup in names of others is text. A page
without a row in `PAGES` fails."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, find_browser
from tests.documented import ROOT
from tests.pages.makers import PAGES, Hostile

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
PROGRAM = find_browser()
MEASURE = (Path(__file__).parent / "measure.js").read_text()
NAMED = {
    *("button", "textbox", "searchbox", "combobox", "checkbox", "link", "slider", "spinbutton", "tab", "progressbar"),
    *("image", "img", "Canvas", "meter", "dialog"),
}
"""Roles that a screen reader must be able to name."""
OPENED = "document.readyState === 'complete' && document.querySelector('h1') !== null"


def pages_of_the_package() -> set[str]:
    """Files that are whole pages: HTML that no other page is built on or takes in."""
    found = {str(path.relative_to(ROOT / "knowlip")): path.read_text() for path in (ROOT / "knowlip").rglob("*.html")}
    used = {
        name for text in found.values() for name in re.findall(r'{% (?:extends|from|include|import) "([^"]+)"', text)
    }
    whole = {name for name, text in found.items() if re.search(r"<!doctype|{% extends ", text, re.IGNORECASE)}
    return {name for name in whole if name.removeprefix("pages/templates/") not in used}


def test_every_page_has_a_row() -> None:
    assert pages_of_the_package() == PAGES.keys(), "a page that is new must be made by tests/pages/makers.py"
    makers = [
        path for path in (ROOT / "knowlip").rglob("*.py") if re.search(r"<html|<!doctype", path.read_text(), re.I)
    ]
    assert makers == [], "pages are made by templates, which escape"


def search_and_ask(browser: Browser) -> None:
    """The page of an archive: a window opened, a question asked."""
    browser.wait("document.documentElement.dataset.ready === 'true' && document.querySelector('.hit') !== null", 30)
    browser.value("document.querySelector('.hit').click()")
    browser.wait("document.querySelector('#tile-picture').naturalWidth > 0", 30)
    browser.value("document.getElementById('question').value = 'Count: [MASK] ships'")
    browser.value("document.getElementById('ask').requestSubmit()")
    browser.wait("document.querySelector('#answer .big') !== null", 30)
    browser.wait("document.getElementById('caption-more').innerText !== ''", 30)


READY: dict[str, Callable[[Browser], None]] = {
    "pages/templates/audit.html": lambda browser: browser.wait(
        "document.querySelectorAll('li').length === 8 && document.getElementById('tile').naturalWidth > 0"
    ),
    "pages/templates/label.html": lambda browser: browser.wait("document.getElementById('tile').naturalWidth > 0"),
    "inference/web/static/index.html": search_and_ask,
}
"""What a page that is worked on must have done before it is looked at."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine")
    browser = Browser(str(PROGRAM), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def unnamed(browser: Browser) -> list[str]:
    """Controls and pictures that the browser itself finds no name for."""
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in NAMED]
    return [json.dumps(node["role"]["value"]) for node in shown if not node.get("name", {}).get("value", "").strip()]


def sized(browser: Browser, width: int, height: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20))))"
    browser.call("Runtime.evaluate", expression=drawn, awaitPromise=True)


def measured(browser: Browser, scheme: str) -> dict[str, list[str]]:
    """What is wrong, by kind; nothing of it where all is well."""
    browser.call(
        "Emulation.setEmulatedMedia",
        features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # nothing is measured while it fades
        ],
    )
    found = json.loads(browser.value(MEASURE))
    found |= {"unnamed": unnamed(browser), "errors": list(browser.errors)}
    return {kind: one for kind, one in found.items() if one}


FAINT = """<!doctype html><html lang=en><meta name=viewport content="width=device-width"><title>t</title>
<style>:root { --line: #dddddd } i { display: block; width: 9px; height: 9px }</style><h1>t</h1>
<svg width=200 height=100 aria-label=chart><path d="M0 5L200 5" stroke="#dddddd" fill=none /><rect class=wash
 y=10 width=9 height=9 fill="#eeeeee" /><path d="M0 30L200 30" stroke="#cccccc" stroke-width=2 fill=none /><rect x=50
 y=40 width=90 height=40 fill="#0b6e8f" /><path d="M60 60L120 60" stroke="#1c2226" stroke-width=2 fill=none /><circle
 cx=20 cy=70 r=9 fill="#bbbbbb" /><circle cx=160 cy=70 r=9 fill="#0b6e8f" /></svg><i style="background: #cfcfcf"></i>
<i style="background: #767676"></i>"""
"""A page with a net, a wash, and of each kind of mark one that is seen and one that is not."""


def test_marks_that_nobody_sees_are_found(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "faint.html").write_text(FAINT)
    sized(browser, 390, 400)
    browser.open((tmp_path / "faint.html").as_uri())
    browser.wait(OPENED)
    found = [one.partition(" of ")[0] for one in measured(browser, "light")["graphics"]]
    assert found == [
        "1.61: path rgb(204, 204, 204) none",
        "2.79: path rgb(28, 34, 38) none",
        "1.92: circle none rgb(187, 187, 187)",
        "1.56: I.  rgb(207, 207, 207)",
    ]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_can_be_read(name: str, hostile: Hostile, browser: Browser) -> None:
    wrong: dict[str, Any] = {}
    with PAGES[name](hostile) as url:
        for width in WIDTHS:
            browser.errors.clear()
            sized(browser, width, 844)
            browser.open(url)
            browser.wait(OPENED)
            READY.get(name, lambda _: None)(browser)
            browser.value("for (const e of document.querySelectorAll('details')) e.open = true")
            # So tall that no part of the page has to be scrolled to.
            sized(browser, width, max(844, int(browser.value("document.documentElement.scrollHeight")) + 50))
            for scheme in SCHEMES:
                if found := measured(browser, scheme):
                    wrong[f"{width} px, {scheme}"] = found
            ran = "[...document.querySelectorAll('*')].filter(e => e.getAttributeNames().some(a => a.startsWith('on')))"
            assert browser.value(f"{ran}.length") == 0
    assert wrong == {}, json.dumps(wrong, indent=1)
