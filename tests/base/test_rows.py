"""Rows: what they refuse, where they stand to their floor, and files that come from anywhere."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knowlip.base.examples import ShownExample, ShownItem, read_examples, write_examples
from knowlip.base.rows import Results, Row, highest_floor, merged, read_results

ROW = Row("demo", "test", "vqa", "ours", "count accuracy", 0.5, (0.4, 0.6), 40, 0.3, "majority answer")


@pytest.mark.parametrize(
    ("value", "ci", "floor", "standing"),
    [
        (0.5, (0.4, 0.6), 0.39, "above"),
        (0.5, (0.4, 0.6), 0.41, "level"),
        (0.5, (0.4, 0.6), 0.7, "below"),
        (0.8791, (0.8790, 0.8792), 0.8788, "level"),  # 87.9 = 87.9
        (0.8791, None, 0.8788, "level"),
        (0.5, None, 0.3, None),
        (0.5, (0.4, 0.6), None, None),
    ],
)
def test_standing(value: float, ci: tuple[float, float] | None, floor: float | None, standing: str | None) -> None:
    row = replace(ROW, value=value, ci=ci, floor=floor, floor_name="" if floor is None else "blind")
    assert row.standing == standing


def test_lower_may_be_better() -> None:
    row = replace(ROW, metric="count error", unit="number", better="lower", value=0.5, ci=(0.4, 0.6), floor=0.7)
    assert row.standing == "above"
    assert replace(row, floor=0.3).standing == "below"
    assert (row.shown(row.value), row.shown_ci) == ("0.500", "0.400–0.600")
    assert (ROW.shown(0.1234), ROW.shown(None), ROW.shown_ci) == ("12.3 %", "–", "40.0–60.0")


def test_the_highest_floor_counts() -> None:
    assert highest_floor({"majority": 0.2, "blind": 0.3, "chance": None}) == (0.3, "blind")
    assert highest_floor({"median": 2.0, "mean": 1.5}, "lower") == (1.5, "mean")
    assert highest_floor({"first": 0.2, "second": 0.2}) == (0.2, "first")
    assert highest_floor({"chance": None}) == (None, "")


def test_rows_of_before_they_said_their_folds_are_read(tmp_path: Path) -> None:
    plain: Any = Results((replace(ROW, folds=3), ROW)).plain()
    del plain["rows"][1]["folds"]
    (tmp_path / "m.json").write_text(json.dumps(plain))
    assert [row.folds for row in read_results(tmp_path / "m.json").rows] == [3, 0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"value": float("nan")}, "not finite"),
        ({"floor": float("inf")}, "not finite"),
        ({"ci": (0.1, float("nan"))}, "not finite"),
        ({"ci": (0.6, 0.4)}, "upside down"),
        ({"value": None}, "no note"),
        ({"floor_name": ""}, "floor and its name"),
        ({"floor": None}, "floor and its name"),
        ({"encoder": ""}, "lacks the name"),
        ({"n": -1}, "trials"),
    ],
)
def test_what_a_row_refuses(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(ROW, **change)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    silent = replace(ROW, metric="position accuracy", value=None, ci=None, note="no clear answer", n=0)
    results = Results(
        (ROW, silent), {"vqa": {"count": {"answers": 4}}}, {"encoders": {"ours": "ab"}}, {"evaluate": 1.5}
    )
    results.write(tmp_path / "m.json")
    assert read_results(tmp_path / "m.json") == results
    many = " ".join(
        f"No training pixel of fold {fold} is one of {', '.join(map(str, range(99)))}." for fold in range(9)
    )
    Results((replace(ROW, note=many),)).write(tmp_path / "many.json")
    assert read_results(tmp_path / "many.json").rows[0].note == many, "what nine folds have to say"
    assert results.encoders == {"ours": "ab"}
    later = replace(ROW, value=0.7, ci=None)
    assert merged([ROW, silent], [later]) == (later, silent)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"value": "0.5"}, "not a number"),
        ({"value": True}, "not a number"),
        ({"value": 10**400}, "64 bits"),
        ({"ci": [0.1]}, "two numbers"),
        ({"ci": {"0": 1}}, "two numbers"),
        ({"n": 4.5}, "whole number"),
        ({"metric": ["x"]}, "text of at most"),
        ({"note": "x" * 30_000}, "text of at most"),
        ({"encoder": "x" * 2000}, "text of at most"),
        ({"unit": "metres"}, "unit of a row"),
        ({"extra": 1}, "must have"),
        ({"folds": "5"}, "folds of a row must be a whole number"),
        ({"folds": True}, "folds of a row must be a whole number"),
        ({"folds": 1}, "0 \\(none\\) or from 2"),
    ],
)
def test_hostile_rows_are_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    plain: Any = Results((ROW,)).plain()
    plain["rows"][0] |= change
    (tmp_path / "m.json").write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=why):
        read_results(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"rows": [{"data": "x"}]}', "must have"),
        ('{"rows": [7]}', "not an object"),
        ('{"rows": [], "details": [1]}', "details is not an object"),
        ('{"rows": [], "seconds": {"a": "b"}}', "not a number"),
        ('{"rows": 3}', "no results of `knowlip evaluate`"),
        ("[]", "no results of `knowlip evaluate`"),
        ('{"retrieval": {}, "setup": {}}', "run `knowlip evaluate` again"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match=why):
        read_results(tmp_path / "m.json")


def test_examples_come_back_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "examples.json"
    one = ShownExample(
        "vqa", "questions", ShownItem("how many?", "t1"), (ShownItem("2", right=False),), (ShownItem("3"),)
    )
    write_examples(path, [one])
    assert read_examples(path) == (one,)
    good = json.loads(path.read_text())
    for change in ({"task": 3}, {"asked": "t1"}, {"given": [{"text": "x"}]}, {"given": 4}):
        path.write_text(json.dumps({"examples": [good["examples"][0] | change]}))
        with pytest.raises(ValueError, match="broken example"):
            read_examples(path)
    path.write_text('{"retrieval": {}}')
    with pytest.raises(ValueError, match="run it again"):
        read_examples(path)
