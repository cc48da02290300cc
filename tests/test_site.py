"""The documentation site is built without a warning and without the network; every page stands in its navigation, and
every public name that it shows says what it is."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import knowlip
from tests.documented import ROOT

DOCS = ROOT / "docs"
SITE = DOCS / "site"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
SHOWN = [
    name
    for page in REFERENCE
    for name in re.findall(r"^\.\. auto(?:class|function):: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
"""Every name of the reference."""


def named(name: str) -> Any:
    """What a dotted name stands for."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    if any(find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")):
        pytest.skip("the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(SITE), str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_it_is_built_without_a_warning(site: Path) -> None:
    page = (site / "reference" / "knowlip.html").read_text()
    assert all(f'id="knowlip.{name}"' in page for name in knowlip.__all__ if name != "Dataset")
    assert 'id="knowlip.Dataset.tiles"' in (site / "reference" / "dataset.html").read_text()
    assert "simulated SAR scenes" in (site / "reference" / "commands.html").read_text()
    assert "Unreleased" in (site / "site" / "changelog.html").read_text()
    assert not (site / "package.html").exists()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    """A link may lead out; what a browser fetches by itself may not."""
    fetched = re.compile(
        r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*\b(?:src|data|srcset)=[\"']?\s*(?:https?:)?//"
        r"|<link\b(?![^>]*rel=[\"'](?:canonical|license)[\"'])[^>]*\bhref=[\"']?\s*(?:https?:)?//"
        r"|url\(\s*[\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//",
        re.IGNORECASE,
    )
    pages = [path for ending in ("html", "css") for path in site.rglob(f"*.{ending}")]
    assert len(pages) > 60
    for path in pages:
        assert not (found := fetched.search(path.read_text(encoding="utf-8"))), (
            f"{path.name}: {found[0] if found else ''}"
        )


def test_every_page_stands_in_the_navigation() -> None:
    pages = [page for some in yaml.safe_load((SITE / "navigation.yaml").read_text()).values() for page in some]
    there = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    missing = sorted(there - {*pages, "index", "package"})
    assert not missing, f"name these pages in docs/site/navigation.yaml: {', '.join(missing)}"
    assert not (gone := sorted({*pages} - there)), f"docs/site/navigation.yaml names pages that are not there: {gone}"
    assert len(pages) == len({*pages}), "docs/site/navigation.yaml names a page twice"


def test_the_reference_has_all_names_that_import_gives() -> None:
    assert {f"knowlip.{name}" for name in knowlip.__all__} <= {*SHOWN}
    for room in ("scenes", "dataset", "models", "models.encoders"):
        public = importlib.import_module(f"knowlip.{room}").__all__
        shown = {name.rpartition(".")[2] for name in SHOWN}
        assert not {name for name in public if not name.isupper()} - shown, f"knowlip.{room}"


def test_pages_of_the_reference_name_what_they_show_on_github_too() -> None:
    """The site makes the rest from docstrings; as plain Markdown a page would be empty without its table."""
    spec = importlib.util.spec_from_file_location("names", SITE / "names.py")
    assert spec is not None
    assert spec.loader is not None
    names = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(names)
    assert len(names.pages()) == len(REFERENCE) - 1
    for page in names.pages():
        assert names.renewed(page) == page.read_text(encoding="utf-8"), f"{page.name}: run python docs/site/names.py"
        rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert rows
        assert all(len(words) > 8 for _, words in rows)


def fields_without_words(kind: type) -> list[str]:
    """Annotated names in the body of a class that no string follows."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    silent = []
    for node, after in zip(body, [*body[1:], None]):
        told = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )
        if isinstance(node, ast.AnnAssign) and not told and not (name := ast.unparse(node.target)).startswith("_"):
            silent.append(name)
    return silent


@pytest.mark.parametrize("name", SHOWN)
def test_public_names_say_what_they_are(name: str) -> None:
    what = named(name)
    assert (what.__doc__ or "").strip(), f"{name} has no docstring"
    assert not re.match(r"\w+\([^)]*\)$", what.__doc__.splitlines()[0]), f"{name} has the docstring of a dataclass"
    if isinstance(what, type):
        members = {key: of for key, of in vars(what).items() if not key.startswith("_")}
        plain = {key: getattr(of, "__func__", of) for key, of in members.items()}
        silent = [
            key
            for key, of in plain.items()
            if (inspect.isfunction(of) or isinstance(of, property) or hasattr(of, "func")) and not inspect.getdoc(of)
        ]
        assert not silent + fields_without_words(what), f"{name}: {', '.join(silent + fields_without_words(what))}"
