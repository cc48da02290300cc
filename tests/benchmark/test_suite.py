"""`knowlip bench suite` with the toy task of bench run: the grid, what goes on, what fails alone, what is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from knowlip.base.rows import read_results
from knowlip.benchmark import run as bench
from knowlip.benchmark.suite.cells import CellWork, cells_of, read_end
from knowlip.benchmark.suite.recipe import read_suite
from knowlip.cli import main
from knowlip.models.encoders import UnsuitedEncoder
from knowlip.tasks.runs import BenchTask
from tests.annotators.openai_stub import Stub, completion
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.benchmark.numbered import build
from tests.benchmark.test_bench_run import ToyConfig, calls, forget, stop_at, toy, toy_rows

breaks: dict[str, Exception] = {}
"""Encoder -> what its training raises."""
trained: list[tuple[str, int]] = []
"""Encoder and seed of each training."""


def breaking(config: ToyConfig) -> Any:
    if config.encoder in breaks:
        raise breaks[config.encoder]
    trained.append((config.encoder, config.seed))
    return toy(config)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for one in (calls, stop_at, forget, breaks, trained):
        one.clear()
    monkeypatch.setattr(bench, "find_bench_task", lambda name: BenchTask(ToyConfig, breaking, toy_rows))
    data = str(build_tiny_dataset(tmp_path / "set"))
    return {
        "about": "two models",
        "seeds": 2,
        "data": {"tiny": data},
        "models": {"small": "pixels:8", "large": {"encoder": "pixels:16", "settings": {"level": 0.6}}},
        "tasks": {"toy": {"settings": {"steps": 4}}},
    }


def run(recipe: dict[str, Any], folder: Path, *flags: str) -> int:
    (folder / "suite.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return main(["bench", "suite", str(folder / "suite.yaml"), "--out", str(folder / "out"), *flags])


def runs(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out" / "runs.json").read_text())["runs"]
    return found


def test_every_cell_is_trained_once_and_its_rows_are_collected(recipe: dict[str, Any], tmp_path: Path) -> None:
    assert run(recipe, tmp_path) == 0
    assert trained == [("pixels:8", 0), ("pixels:8", 1), ("pixels:16", 0), ("pixels:16", 1)]
    found = read_results(tmp_path / "out" / "rows.json")
    assert [(row.data, row.encoder) for row in found.rows if row.encoder[:5] != "floor"] == [
        ("tiny", "small"),
        ("tiny", "large"),
    ]
    told = found.details["suite"]["cells"]
    assert isinstance(told, list)
    assert [one["state"] for one in told] == ["done", "done"]
    assert [one["seed"] for one in runs(tmp_path)] == [0, 1, 0, 1]
    assert len({one["config"] for one in runs(tmp_path)}) == 2, "a hash for each model's settings"
    assert all(one["value"] is not None and one["n"] == 20 for one in runs(tmp_path))
    assert run(recipe, tmp_path) == 0
    assert len(trained) == 4, "what is finished is not trained again"
    recipe["seeds"] = 3
    recipe["models"]["third"] = "pixels:4"
    assert run(recipe, tmp_path) == 0
    assert trained[4:] == [("pixels:8", 2), ("pixels:16", 2), ("pixels:4", 0), ("pixels:4", 1), ("pixels:4", 2)]


def test_a_failure_is_told_by_name_and_the_others_go_on(
    recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe["models"] |= {"odd": "pixels:4", "blind": "pixels:2"}
    breaks.update({"pixels:8": ZeroDivisionError("halved"), "pixels:4": UnsuitedEncoder("It sees nothing.")})
    assert run(recipe, tmp_path) == 1, "it ran, and something is left out"
    said = capsys.readouterr().out
    assert "1 of 4 cells failed (toy/tiny/own/small: ZeroDivisionError: halved)" in said
    assert [(one["model"], one["state"]) for one in runs(tmp_path)[::2]] == [
        ("small", "failed"),
        ("large", "done"),
        ("odd", "does not apply"),
        ("blind", "done"),
    ]
    assert "halved" in (tmp_path / "out/cells/toy/tiny/own/small/failure.txt").read_text()
    assert {row.encoder for row in read_results(tmp_path / "out" / "rows.json").rows} >= {"large", "blind"}
    breaks.clear()
    before = len(trained)
    assert run(recipe, tmp_path) == 0
    assert {name for name, _ in trained[before:]} == {"pixels:8"}, "only what failed is tried again"


def test_where_no_cell_has_rows_the_suite_is_refused(
    recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks.update({"pixels:8": ValueError("No."), "pixels:16": ValueError("Neither.")})
    assert run(recipe, tmp_path) == 2
    assert "2 of 2 cells failed (toy/tiny/own/small: No; toy/tiny/own/large: Neither)" in capsys.readouterr().err
    del breaks["pixels:16"]
    assert run(recipe, tmp_path, "--json") == 1
    assert json.loads(capsys.readouterr().out)["failed"] == {"toy/tiny/own/small": "No."}


def test_a_stopped_suite_goes_on(recipe: dict[str, Any], tmp_path: Path) -> None:
    stop_at.append((1, 0))
    assert run(recipe, tmp_path) == 130
    stop_at.clear()
    assert run(recipe, tmp_path) == 0
    assert calls == [(0, 0), (1, 0), (0, 0), (1, 0)]


def test_a_cell_whose_rows_are_gone_is_collected_again(recipe: dict[str, Any], tmp_path: Path) -> None:
    assert run(recipe, tmp_path) == 0
    rows = tmp_path / "out" / "cells" / "toy" / "tiny" / "own" / "small" / "rows.json"
    before, whole = rows.read_text(), (tmp_path / "out" / "rows.json").read_text()
    rows.unlink()
    assert run(recipe, tmp_path) == 0
    assert json.loads(rows.read_text())["rows"] == json.loads(before)["rows"]
    assert json.loads((tmp_path / "out" / "rows.json").read_text())["rows"] == json.loads(whole)["rows"]
    assert len(trained) == 4, "what was trained stands"


@pytest.mark.parametrize("change", [{"tasks": {"toy": {"settings": {"steps": 5}}}}, {"models": {"small": "pixels:9"}}])
def test_other_settings_are_refused(
    recipe: dict[str, Any], change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, tmp_path) == 0
    assert run(recipe | change, tmp_path) == 2
    assert "use another output folder" in capsys.readouterr().err
    assert len(trained) == 4


def test_the_plan_is_counted_and_nothing_is_written(
    recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe["tasks"]["toy"] |= {"protocols": ["groups", "random"], "folds": 3}
    recipe["skip"] = [{"model": "small", "why": "a floor already"}]
    assert run(recipe, tmp_path, "--dry") == 0
    said = capsys.readouterr().out
    assert "4 cells, 2 does not apply, 2 not run, 2 cells to do, 12 trainings at most" in said
    assert "toy/tiny/random/small  does not apply: a floor already" in said
    assert not (tmp_path / "out").exists()


def test_rows_of_variants_do_not_stand_in_one_column(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["tasks"] = {"toy": {}, "few": {"task": "toy", "label": "4 steps", "settings": {"steps": 4}}}
    assert run(recipe, tmp_path) == 0
    splits = {row.split for row in read_results(tmp_path / "out" / "rows.json").rows}
    assert splits == {"test, toy", "test, 4 steps"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"modles": {}}, "holds 'modles'"),
        ({"data": {}}, "data must hold"),
        ({"data": {"../up": "x"}}, "has a name"),
        ({"data": {"a": "x", "A": "y"}}, "capitals alone"),
        ({"data": {"tiny": "nowhere"}}, "nowhere"),
        ({"models": {"m": {}}}, "an encoder or an llm"),
        ({"models": {"m": {"encoder": "pixels", "sise": 3}}}, "no setting sise"),
        ({"models": {"m": {"encoder": "pixels", "tasks": ["x"]}}}, "no task 'x'"),
        ({"tasks": {"toy": {"settings": {"depth": 3}}}}, "no setting depth"),
        ({"tasks": {"t": {"evaluate": ["os"]}}}, "no task 'os'"),
        ({"tasks": {"t": {"evaluate": ["vqa"], "ask": True}}}, "one of task, evaluate and ask"),
        ({"tasks": {"toy": {"protocols": []}}}, "one or more different"),
        ({"tasks": {"toy": {"label": "x"}, "t": {"task": "toy", "label": "x"}}}, "give them different labels"),
        ({"seeds": 0}, "seeds must be a whole number"),
        ({"baseline": "nobody"}, "baseline 'nobody'"),
        ({"skip": [{"why": "x", "model": "y"}]}, "no model 'y'"),
        ({"models": [1]}, "models must hold"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    recipe: dict[str, Any], change: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe | change, tmp_path) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_settings_of_task_data_and_model_are_merged_in_that_order(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["data"]["tiny"] = {"path": recipe["data"]["tiny"], "settings": {"level": 0.2, "size": 9}}
    recipe["tasks"]["toy"]["settings"] = {"learning_rate": 1e-5, "level": 0.1, "loggers": []}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    small, large = cells_of(read_suite(tmp_path / "s.yaml"), tmp_path / "out")
    assert small.settings()["task_settings.level"] == 0.2
    assert large.settings()["task_settings.level"] == 0.6
    assert small.settings()["task_settings.size"] == 9
    assert small.settings()["task_settings.learning_rate"] == 1e-5
    assert small.settings()["task_settings.loggers"] == []
    assert str(tmp_path) not in json.dumps(small.settings()), "a hash says nothing of this machine"


def test_a_language_model_is_asked_and_its_rows_stand_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    build(tmp_path / "numbered")
    settings = {"questions_per_type": 2, "openai": {"retries": 0}}
    recipe = {
        "data": {"numbered": str(tmp_path / "numbered")},
        "models": {"words": {"llm": "stub", "settings": {"blind": True}}, "pixels": "pixels"},
        "tasks": {"asked": {"ask": True, "settings": settings}},
    }
    with Stub(lambda body, number: completion("Answer: 2")) as stub:
        recipe["models"]["words"]["base_url"] = stub.url
        assert run(recipe, tmp_path) == 0
        before = len(stub.bodies)
        assert before > 0
        assert run(recipe, tmp_path) == 0
        assert len(stub.bodies) == before, "nothing is asked twice"
    found = read_results(tmp_path / "out" / "rows.json")
    assert {row.encoder for row in found.rows} == {"blind:words", "annotator:rules"}
    assert [(one["model"], one["state"]) for one in runs(tmp_path)] == [("words", "done"), ("pixels", "does not apply")]


def test_what_is_sent_to_other_processes_can_be_and_one_that_dies_is_a_failure(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    cell, _ = cells_of(read_suite(tmp_path / "s.yaml"), tmp_path / "out")
    work = pickle.loads(pickle.dumps(CellWork(tmp_path / "out")))
    assert pickle.loads(pickle.dumps(cell)) == cell
    cell.folder(tmp_path / "out").mkdir(parents=True)
    end = work.given_up(cell)
    assert end.state == "failed"
    assert "killed each time" in end.reason
    assert read_end(cell, tmp_path / "out").state == "not run", "it has not begun, so nothing binds"
