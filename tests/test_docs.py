"""Every command line that README and docs show is one that the parser takes: its flags, values and recipes exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowlip.base.parsing import parse_command
from knowlip.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
STARTS = re.compile(r"(?:\$ )?(?:\.venv/bin/|.* -m )?knowlip(?:\.cli)? (?=[a-z])")


def blocks(text: str) -> Iterator[str]:
    """Lines of fenced and of indented blocks, continued lines joined."""
    fenced, lines = False, []
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    return iter(re.sub(r" *\\\n *", " ", "\n".join(lines)).splitlines())


def command_lines(page: Path) -> Iterator[str]:
    """What stands behind `knowlip` in blocks (`a b`), and between backticks within a text (`a b ...`)."""
    text = page.read_text()
    for line in blocks(text):
        if start := STARTS.match(line):
            yield re.split(r"\s{2,}|\s#", line[start.end() :])[0]
    for line in re.findall(r"`(?:knowlip) ([a-z][^`]*)`", text):
        yield line if line.endswith("...") else f"{line} ..."


LINES = [(page.stem, line) for page in PAGES for line in dict.fromkeys(command_lines(page))]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_the_command_lines_of_the_docs_are_understood(page: str, line: str) -> None:
    """Parsed, not run. `[--flag X]` is tried with the flag, N is a number, and ... stands for what is left out."""
    words = shlex.split(re.sub(r"\[(--[^\]]*\]?)\]", r"\1", line))
    part = "..." in words
    words = [{"N": "1"}.get(word, word.removesuffix("...")) for word in words if word != "..."]
    if part and words[-1].startswith("--"):
        words.pop()  # a flag alone, spoken of without its value
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
    if part and name is None and any(known.startswith(f"{words[0]} ") for known in COMMANDS):
        return  # a group of commands, spoken of as `knowlip dataset`
    assert name is not None, "there is no such command"
    kind, arguments = COMMANDS[name].kind(), words[len(name.split()) :]
    try:
        parse_command(name, "", kind, arguments)
    except ValueError as error:
        missing = re.search(r"required: ([\w, ]+)", str(error))
        if not part or missing is None:
            raise
        given = [one if one in getattr(kind, "POSITIONAL", ()) else f"--{one}=X" for one in missing[1].split(", ")]
        parse_command(name, "", kind, [*given, *arguments])
