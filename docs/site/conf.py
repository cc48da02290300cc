"""The documentation site: `make docs`. The pages are the Markdown files of docs/ as they stand, in the order of
navigation.yaml; the reference is made of docstrings. Nothing is fetched, neither here nor by the pages."""

import contextlib
import io
import os
import re
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

import knowlip
from knowlip.base.parsing import parse_command
from knowlip.commands import COMMANDS, GROUPS

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
FROM_ROOT = {"site/changelog": "CHANGELOG.md", "site/contributing": "CONTRIBUTING.md", "site/notice": "NOTICE.md"}
"""Page -> the file above docs/ whose text it shows."""
COMMAND_PAGE = "reference/commands"
LEFT_OUT = {"package"}
"""Pages that are for elsewhere: the description in the package index."""

project = "KnowLIP"
author = "The KnowLIP authors"
copyright = "The KnowLIP authors, Apache-2.0"
release = version = knowlip.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["**.ipynb", *(f"{name}.md" for name in LEFT_OUT)]
default_role = "code"
smartquotes = False
highlight_language = "none"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!knowlip\.).*")]
"""Names of other projects have no page here."""

myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"KnowLIP {knowlip.__version__}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

_LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s:]+)(?P<rest>(?:#[^)\s]*)?)\)")


def navigation() -> dict[str, list[str]]:
    """Heading -> pages below it; pages that navigation.yaml does not name are last, so that a new one is found."""
    named: dict[str, list[str]] = yaml.safe_load((DOCS / "site" / "navigation.yaml").read_text(encoding="utf-8"))
    there = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    more = sorted(there - {page for pages in named.values() for page in pages} - LEFT_OUT - {root_doc})
    return {**named, **({"More": more} if more else {})}


def links(text: str, folder: Path, page: Path) -> str:
    """Markdown whose links are of files in `folder`, for the page of the site: what is no page of it becomes plain
    text, so that nothing leads out of the site."""
    pages = {name: f"{page_}.md" for page_, name in FROM_ROOT.items()}

    def one(found: re.Match[str]) -> str:
        target = (folder / found["path"]).resolve()
        if target.is_relative_to(ROOT) and (name := target.relative_to(ROOT).as_posix()) in pages:
            target = DOCS / pages[name]
        if target.is_dir() and (target / "README.md").is_file():
            target = target / "README.md"
        if not target.is_relative_to(DOCS) or target.suffix not in (".md", ".png", ".ipynb"):
            return found["text"]
        path = os.path.relpath(target, page.parent)
        return f"{found['mark']}[{found['text']}]({path}{found['rest']})"

    return _LINK.sub(one, text)


def commands() -> str:
    """What `--help` says of every command, as Markdown."""
    os.environ["COLUMNS"] = "100"
    parts = []
    for heading, group in GROUPS.items():
        parts.append(f"## {heading[:1].upper()}{heading[1:]}")
        for name in group:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                parse_command(name, COMMANDS[name].summary, COMMANDS[name].kind(), ["--help"])
            parts.append(f"### `knowlip {name}`\n\n```text\n{said.getvalue().strip()}\n```")
    return "\n\n".join(parts)


def read_page(app: "Sphinx", name: str, source: list[str]) -> None:
    """The text of a page before it is parsed."""
    page = DOCS / f"{name}.md"
    file = ROOT / FROM_ROOT[name] if name in FROM_ROOT else page
    text = links(file.read_text(encoding="utf-8"), file.parent, page)
    if name == root_doc:
        for heading, pages in navigation().items():
            text += f"\n\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n" + "\n".join(pages) + "\n```\n"
    if name == COMMAND_PAGE:
        text += f"\n\n{commands()}\n"
    source[0] = text


def made_anew(app: "Sphinx", env: "BuildEnvironment", *changes: set[str]) -> list[str]:
    """Pages whose text depends on more than their own file."""
    return [root_doc, COMMAND_PAGE, *FROM_ROOT]


def name_of(app: "Sphinx", env: "BuildEnvironment", node: "pending_xref", text: "Element") -> "Element | None":
    """A name of ours that stands somewhere else than its page says: that page where there is one, plain text where it
    is not public. One that does not exist is an error; names of other projects have their sites on the network."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("knowlip."):
        return None
    last = target.rpartition(".")[2]
    domain = env.domains.python_domain
    same = {found for found, what in domain.objects.items() if found.endswith(f".{last}") and what.objtype == "class"}
    if node["reftype"] in ("class", "obj") and len(same) == 1:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "class", same.pop(), node, text)
    return text if exists(target) else None


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for stop in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:stop]))
        except ImportError:
            continue
        try:
            for part in parts[stop:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


_KEPT: dict[str, list[str]] = {}
_SECTIONS = ("Args:", "Raises:", "Returns:", "Yields:")


def keep_words(app: "Sphinx", what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Before napoleon, which takes the words of a field before a colon for its type."""
    if what in ("attribute", "property", "data") and not any(line.strip() in _SECTIONS for line in lines):
        _KEPT[name] = list(lines)


def give_words(app: "Sphinx", what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """After napoleon: the words of a field as they stand."""
    lines[:] = _KEPT.pop(name, lines)


def short_signature(
    app: "Sphinx", what: str, name: str, of: object, options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None] | None:
    """A dataclass by the names of its fields, whose types stand below; a protocol, which nobody calls, without."""
    if what == "class" and getattr(of, "_is_protocol", False):
        return "", None
    if what != "class" or not isinstance(of, type) or not is_dataclass(of):
        return None
    given = [field for field in fields(of) if field.init]
    needed = [field.name for field in given if field.default is MISSING and field.default_factory is MISSING]
    more = ", ..." if len(given) > len(needed) else ""
    return f"({', '.join(needed) + more if needed else '...'})", None


def setup(app: "Sphinx") -> None:
    app.connect("autodoc-process-docstring", keep_words, priority=400)
    app.connect("autodoc-process-docstring", give_words, priority=600)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("source-read", read_page)
    app.connect("env-get-outdated", made_anew)
    app.connect("missing-reference", name_of)
