"""The paper's equations and own words lead to the code: each stands in a docstring of the module that does it."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

WHERE = {
    "Eq. 4": "objectives.itc",
    "Eq. 5": "objectives.itm",
    "Eq. 6": "objectives.infill",
    "Eq. 7": "training.losses",
    "Eq. 8": "scio.evidence",
    "Eq. 9": "scio.evidence",
    "Eq. 10": "scio.screening",
    "Eq. 11": "scio.screening",
    "Eq. 12": "scio.reconstruction",
    "Eq. 13": "scio.reconstruction",
    "Eq. 14": "scio.reconstruction",
    "Eq. 15": "scio.reconstruction",
    "Algorithm 1": "scio.reconstruction",
    "SRC": "tiles.windows",
    "GLCM": "tiles.glcm",
    "kNN": "tiles.quality",
    "HCoT": "annotators.openai.prompt",
    "HCoT-MIS": "annotators.annotate",
    "MLM": "objectives.infill",
}
"""What the paper (arXiv 2509.23927) prints -> module."""
EQUATIONS = re.compile(r"\bEqs?\. ?(\d+)(?:[-\u2013](\d+))?")


def docstrings(path: Path) -> str:
    """All of a file: its own, of classes and functions, and below fields."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    strings = (node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    return "\n".join(one.value for one in strings if isinstance(one.value, str))


def numbers(text: str) -> set[int]:
    """Equations that a text names; "Eqs. 12-15" are four."""
    return {n for first, last in EQUATIONS.findall(text) for n in range(int(first), int(last or first) + 1)}


@pytest.mark.parametrize("word", WHERE)
def test_what_the_paper_prints_is_found_in_the_code(word: str) -> None:
    spec = find_spec(f"knowlip.{WHERE[word]}")
    assert spec is not None
    assert spec.origin is not None
    text = docstrings(Path(spec.origin))
    if word.startswith("Eq. "):
        assert int(word[4:]) in numbers(text)
    else:
        assert re.search(rf"\b{word}\b(?!-)", text)


def test_ranges_of_equations_are_read() -> None:
    assert numbers("Eq. 4, Eqs. 12-15 and Eqs. 8\u20139") == {4, 12, 13, 14, 15, 8, 9}
