"""The commands and Python that README and docs show, taken out of their blocks."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
GUIDES = sorted(ROOT.glob("docs/contributing/*.md"))
"""Of what somebody adds; tests/test_extending.py does what they say."""
_KNOWLIP = re.compile(r"(?:\$ )?(?:\.venv/bin/|torchrun .*-m )?knowlip(?:\.cli)? (?=[a-z])")
_PROGRAM = re.compile(
    r"(?:\$ )?(?:\.venv/bin/)?"
    r"(knowlip|python -m|make|torchrun|pip|uv|ray|export|vllm|llama-server|git|docker|cd|curl|bash)(?=\s|$)"
)


class Line(NamedTuple):
    """A line of a block of commands."""

    page: str
    program: str
    """knowlip, `python -m`, make, pip, ..."""
    arguments: str
    """What stands behind the program, without the remark at its end."""

    def __str__(self) -> str:
        return f"{self.page}: {self.arguments}"


def blocks(page: Path) -> Iterator[str]:
    """Fenced and indented blocks of a page, without the fence; continued lines joined."""
    fence, lines = False, list[str]()
    for line in [*page.read_text(encoding="utf-8").splitlines(), ""]:
        is_fence = line.startswith("```")
        if not is_fence and (fence or line.startswith("    ") or (not line and lines)):
            lines.append(line if fence else line[4:])
            continue
        if any(lines):
            yield re.sub(r" *\\\n *", " ", "\n".join(lines)).strip("\n")
        lines, fence = [], fence != is_fence
    if any(lines):
        yield re.sub(r" *\\\n *", " ", "\n".join(lines)).strip("\n")


def is_python(block: str) -> bool:
    """Whether a block is Python: it can be compiled, and more than names and attributes stand in it."""
    try:
        body = ast.parse(block).body
    except SyntaxError:
        return False
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in body)


def commands() -> Iterator[Line]:
    """Every line of every block in which a program is called. What is none of a known program, nor a remark, comes with
    the program ""."""
    for page in PAGES:
        for block in blocks(page):
            lines = block.splitlines()
            if is_python(block) or not any(_PROGRAM.match(line) for line in lines):
                continue
            session = any(line.startswith("$ ") for line in lines)  # what does not begin so is what was printed
            for line in lines:
                if not line.strip() or line.startswith("#") or (session and not line.startswith("$ ")):
                    continue
                start, other = _KNOWLIP.match(line), _PROGRAM.match(line)
                if start:
                    yield Line(page.stem, "knowlip", re.split(r"\s{2,}|\s#", line[start.end() :])[0])
                elif other:
                    yield Line(page.stem, other[1], re.split(r"\s{2,}|\s#", line[other.end() :].strip())[0])
                else:
                    yield Line(page.stem, "", line)


def python_blocks() -> Iterator[tuple[str, str]]:
    """(page, Python) of every block of Python."""
    for page in (*PAGES, *GUIDES):
        yield from ((page.stem, block) for block in blocks(page) if is_python(block))


def spoken_of() -> Iterator[Line]:
    """Commands between backticks within a text (`knowlip a b ...`), parts of which may be left out."""
    for page in PAGES:
        for line in re.findall(r"`(?:knowlip) ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
            yield Line(page.stem, "knowlip", line if line.endswith("...") else f"{line} ...")


def words(arguments: str, optional: bool) -> list[str]:
    """Words of a command line; `[--flag X]` with the flag or without it."""
    option = re.compile(r"\[(--(?:[^\[\]]|\[[^\]]*\])*)\]")
    return shlex.split(option.sub(r"\1" if optional else "", arguments))
