"""The figures of several files in one: each where it belongs, and null with a reason where no file holds it."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import eyes
from knowlip.base.rows import Results, Row
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.questions import QUESTION_TYPES


def results() -> Results:
    def row(task: str, metric: str, value: float | None, encoder: str = "shipped", note: str = "") -> Row:
        floor = (None, "") if value is None else (0.3, "majority answer")
        ci = None if value is None else (0.4, 0.6)
        return Row("sea", "test", task, encoder, metric, value, ci, 50, *floor, note)

    rows = (
        row("vqa", "count accuracy", 0.5),
        row("vqa", "count accuracy", 0.35, "annotator:measured"),
        row("vqa", "count accuracy", 0.31, "other-image:shipped"),
        row("vqa", "position accuracy", None, note="No test tile gives a clear answer."),
        row("retrieve", "image to text R@1", 0.25),
        row("retrieve", "image to text R@1 re-ranked", 0.28),
    )
    details: dict[str, dict[str, Any]] = {
        "looking": {"image_gain": {"marine Count": {"gain": 0.12}, "terrain Water": {"gain": 0.3}}},
        "screening": {"decisions": {"auroc": 0.7, "auroc_of_dimension": 0.6}},
    }
    return Results(rows, details, {"encoders": {"shipped": "abc"}})


def truth(names: dict[str, float]) -> dict[str, Any]:
    overall = {"before": {"value": 0.8}, "after": {"value": 0.83}, "difference": {"value": 0.03, "ci": [0.01, 0.05]}}
    evidence = {name: {"auroc": {"value": value, "ci": [0, 1]}} for name, value in names.items()}
    return {"natural": {"evidence": evidence}, "passes": [{"overall": {}}, {"overall": overall}]}


def test_every_figure_that_is_asked_for_is_there_or_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results().write(tmp_path / "metrics.json")
    (tmp_path / "texts.json").write_text(json.dumps(truth({"all": 0.81, "nll": 0.75, "deltas": 0.5})))
    (tmp_path / "other.json").write_text(json.dumps(truth({"all": 0.66, "nll": 0.6})))
    figure = {"value": 0.6, "ci": [0.55, 0.65]}
    arms = {"oracle": {"n_seeds": 5, "written": {"all": figure}, "questions": {"all": {"value": 0.1, "ci": None}}}}
    (tmp_path / "ablation.json").write_text(json.dumps({"arms": arms}))
    line = "eyes --metrics metrics.json --texts texts.json --texts_other other.json --ablation ablation.json"
    line += " --paper_texts texts.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*line.split(), "--out", "out.json"])
    eyes.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert {"value", "baseline", "ratio", "unit", "machine", "date", "commit"} <= found.keys()
    assert set(found["image_gain"]) == set(DIMENSIONS)
    assert all(set(found["image_gain"][name]) == set(DIMENSIONS[name]) for name in DIMENSIONS)
    assert found["image_gain"]["marine"]["Count"] == 0.12
    assert found["image_gain"]["ground"]["Count"] is None
    assert set(found["questions"]) == set(QUESTION_TYPES)
    assert found["questions"]["count"] == {"accuracy": 0.5, "blind": 0.3, "annotator": 0.35, "ci": [0.4, 0.6], "n": 50}
    assert found["reasons"]["questions.position.accuracy"] == "No test tile gives a clear answer."
    assert found["retrieval"] == {
        "image_to_text_r1": 0.25,
        "text_to_image_r1": None,
        "reranked_image_to_text_r1": 0.28,
    }
    assert found["scio"] == {"auroc": 0.81, "auroc_other_image": 0.66, "auroc_dimension_rate": 0.6, "evidence": "all"}
    assert found["rewriting"]["own_texts"] == {"before": 0.8, "after": 0.83, "difference_ci": [0.01, 0.05]}
    assert found["rewriting"]["noisy_texts"] == {"before": None, "after": None, "difference_ci": None}
    assert found["ablation"] == {"oracle": {"mean": 0.6, "ci": [0.55, 0.65], "n_seeds": 5, "outcome": "written"}}
    assert found["cpu_seconds"] is None
    assert found["paper"]["scio"]["auroc"] == 0.5
    assert found["paper"]["rewriting"]["own_texts"]["after"] == 0.83
    assert found["paper"]["questions"]["count"]["accuracy"] is None

    def missing(part: dict[str, Any], name: str = "") -> set[str]:
        names = set()
        for key, value in part.items():
            if isinstance(value, dict):
                names |= missing(value, f"{name}{key}.")
            elif value is None:
                names.add(f"{name}{key}")
        return names

    paper = found.pop("paper")
    assert missing({key: value for key, value in found.items() if key != "reasons"}) == found["reasons"].keys()
    assert missing({key: value for key, value in paper.items() if key != "reasons"}) == paper["reasons"].keys()
    assert "figures of the model are missing" in capsys.readouterr().out


def test_without_answers_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["eyes", "--out", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit, match="give --metrics"):
        eyes.main()
    assert not (tmp_path / "out.json").exists()


def test_questions_of_other_places_stand_in_place_of_those_of_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results().write(tmp_path / "metrics.json")
    told = [("model", 0.7, 0.2), ("annotator", 0.4, 0.2), ("readout", 0.9, 0.2)]
    rows = [
        Row(data, "all", "vqa", who, "count accuracy", value, (0.6, 0.8), 90, floor, "majority answer")
        for data in ("first", "second")
        for who, value, floor in told
    ]
    rows[3] = replace(rows[3], value=0.1)
    (tmp_path / "steps.json").write_text(json.dumps({"rows": [asdict(row) for row in rows]}))
    monkeypatch.chdir(tmp_path)
    line = "eyes --metrics metrics.json --questions steps.json --out out.json"
    monkeypatch.setattr(sys, "argv", line.split())
    eyes.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["questions"]["count"] == {"accuracy": 0.7, "blind": 0.2, "annotator": 0.4, "ci": [0.6, 0.8], "n": 90}
    assert found["questions"]["position"]["accuracy"] is None
