"""Mistakes: wrong by the judge of truth, one sentence changed, and by no code that calibration or training uses."""

import ast
import builtins
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import pytest

from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import Sentence, joined, sentences_of
from knowlip.language.mistakes import MISTAKE_KINDS, mistakes
from knowlip.language.truth import judge
from tests.language.test_truth import make_truth, write
from tests.test_architecture import MODULES, imported

SETS = ("marine", "ground", "terrain")


def tiles(count: int) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Texts written from random truths, each sub-text with a sentence behind it that rests on the place."""
    rng, rows, truths = np.random.default_rng(0), [], []
    for number in range(count):
        kind = SETS[number % 3]
        truth = make_truth(rng, kind)
        truths.append(truth)
        for slot, (dimension, one) in enumerate(zip(DIMENSIONS[kind], write(truth), strict=True), 1):
            words = sentences_of(one.text, one.marks, one.evidence)
            text, marks = joined([*words, Sentence(f"Close to town {number}", "geo", "town")])
            rows.append((f"{number:03}", kind, slot, dimension, text, marks, one.evidence))
    names = ("tile_id", "instruction_set", "slot", "dimension", "text", "marks", "evidence")
    return pd.DataFrame(rows, columns=list(names)), truths


@pytest.mark.parametrize("kind", MISTAKE_KINDS)
def test_mistakes_are_wrong_by_truth(kind: str) -> None:
    table, truths = tiles(90)
    near = {row: [other for other in range(row % 3, 90, 3) if other != row] for row in range(90)}
    found = mistakes(table, range(90), np.random.default_rng(1), [kind], near)
    assert len(found) > 15
    verdicts = []
    for one in found:
        old = table.iloc[8 * one.row + one.slot]
        assert one.kind == kind
        before, after = sentences_of(old.text, old.marks), sentences_of(one.text, one.marks)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        assert after[-1] == before[-1], "what rests on the place stays"
        kind_of, dimension, truth = old.instruction_set, old.dimension, truths[one.row]
        was, now = (judge(kind_of, dimension, text, truth, 1000.0) for text in (old.text, one.text))  # type: ignore[arg-type]
        if was is True:
            verdicts.append(now)
    assert np.mean([verdict is False for verdict in verdicts]) > 0.7
    assert found == mistakes(table, range(90), np.random.default_rng(1), [kind], near)


def test_without_neighbours_there_is_no_mistake_of_that_kind() -> None:
    table, _ = tiles(6)
    assert not mistakes(table, range(6), np.random.default_rng(0), ["neighbour"])
    with pytest.raises(ValueError, match="no mistake of kind 'swap'"):
        mistakes(table, range(6), np.random.default_rng(0), ["swap"])


def reached(name: str) -> set[str]:
    """A module and all of ours that it imports, by whatever way."""
    found, todo = {name}, [name]
    while todo:
        for target, _, _ in imported(todo.pop()):
            if target in MODULES and target not in found:
                found.add(target)
                todo.append(target)
    return found


def test_nothing_that_trains_or_calibrates_knows_the_mistakes() -> None:
    mine, injected = "knowlip.language.mistakes", "knowlip.language.corruption"
    rooms = ("training", "scio", "objectives", "models")
    learning = [name for name in MODULES if name.startswith(tuple(f"knowlip.{room}." for room in rooms))]
    learning += ["knowlip.tasks.pretrain", "knowlip.tasks.vqa"]
    assert not [name for name in learning if mine in reached(name)]
    assert injected not in reached(mine)
    assert mine not in reached(injected)
    named = [name for name in MODULES if mine in {target for target, _, _ in imported(name)}]
    assert {name.split(".")[1] for name in named} <= {"benchmark", "tasks"}


def test_the_two_sources_of_errors_share_no_function() -> None:
    """What turns or edits words for the injected noise is not called for the mistakes."""
    called = [
        {node.func.id for node in ast.walk(ast.parse(path.read_text())) if _is_name(node)}
        for path in (MODULES[f"knowlip.language.{name}"] for name in ("corruption", "mistakes"))
    ]
    shared = {name for name in called[0] & called[1] if name not in vars(builtins)}
    # Reading claims and sentences, and what counts as another number, is no way of making errors.
    assert shared <= {"parse_claims", "count_holds", "joined", "sentences_of", "dataclass"}


def _is_name(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
