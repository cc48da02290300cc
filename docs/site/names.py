"""The tables of names on the pages of docs/reference, which say on GitHub too what the site shows in full: each name
with the first sentence of its docstring, each command with its summary. `python docs/site/names.py` writes them."""

import importlib
import inspect
import re
from pathlib import Path

from knowlip.commands import COMMANDS, GROUPS

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
START, END = "<!-- names: made by docs/site/names.py -->", "<!-- end of names -->"
_SHOWN = re.compile(r"^\.\. auto(?:class|function|module):: (\S+)$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`[~.]*([^`]+)`")


def first_sentence(name: str) -> str:
    """What the docstring of a module, class or function begins with, as Markdown in a table."""
    try:
        what: object = importlib.import_module(name)
    except ImportError:
        module, _, last = name.rpartition(".")
        what = getattr(importlib.import_module(module), last)
    paragraph = " ".join((inspect.getdoc(what) or "").partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:;])\s(?=[A-Z`\"(])", paragraph, maxsplit=1)[0].rstrip(".:;")
    return _ROLE.sub(r"`\1`", sentence).replace("|", r"\|")


def table(page: str, text: str) -> str:
    """The table of a page."""
    if page == "commands.md":
        rows = [(f"`knowlip {name}`", COMMANDS[name].summary) for group in GROUPS.values() for name in group]
        return "\n".join(["| command | what it does |", "|---|---|", *(f"| {name} | {what} |" for name, what in rows)])
    rows = [(f"`{name}`", first_sentence(name)) for name in _SHOWN.findall(text)]
    return "\n".join(["| name | what it is |", "|---|---|", *(f"| {name} | {what} |" for name, what in rows)])


def renewed(path: Path) -> str:
    """The text of a page with its table as the code says it.

    Raises:
        ValueError: the page has no place for one.
    """
    text = path.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{path} has no lines {START!r} and {END!r}.")
    return f"{before}{START}\n{table(path.name, text)}\n{END}{after}"


def pages() -> list[Path]:
    """The pages that have one."""
    return sorted(path for path in REFERENCE.glob("*.md") if path.name != "README.md")


if __name__ == "__main__":
    for page in pages():
        page.write_text(renewed(page), encoding="utf-8")
