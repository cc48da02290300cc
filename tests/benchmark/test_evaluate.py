"""The whole evaluation with a model that knows everything, on a data set by the real writer."""

import json
from pathlib import Path
from typing import Any

import pytest

from knowlip.benchmark.evaluate import EvaluateConfig, evaluate
from knowlip.benchmark.table import print_table, rows
from knowlip.dataset import Dataset
from knowlip.language.captions import compose_text
from knowlip.language.questions import QUESTION_TYPES
from knowlip.tasks.questions import questions_of
from tests.benchmark.fakes import Oracle
from tests.benchmark.numbered import COUNT, TRAIN, VAL, build


def oracle_of(data: Dataset, **card: Any) -> Oracle:
    texts = {tile_id: compose_text(part) for tile_id, part in data.texts(0).groupby("tile_id")}
    model = Oracle([texts[f"t{n}"] for n in range(COUNT)], questions_of(data, "test"))
    model.card = {"dataset_fingerprint": data.fingerprint, "train_blocks": ["b0"], "run": "demo", "revision": 2} | card
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("numbered") / "ds")


@pytest.fixture(scope="module")
def result(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("out") / "metrics.json"
    return evaluate(EvaluateConfig(data.path, Path("model"), out), oracle_of(data)), out


def test_documented_keys_and_perfect_scores(result: tuple[dict[str, Any], Path]) -> None:
    metrics, out = result
    assert json.loads(out.read_text()) == metrics
    for direction in ("image_to_text", "text_to_image"):
        scores = metrics["retrieval"][direction]
        assert (scores["r1"], scores["r5"], scores["r10"], scores["n"]) == (1.0, 1.0, 1.0, COUNT - VAL)
        assert scores["chance_r1"] == pytest.approx(1 / (COUNT - VAL))
    for kind in QUESTION_TYPES:
        scores = metrics["vqa"][kind]
        if scores["n"]:
            assert scores["accuracy"] == 1.0
            assert 0 <= scores["majority"] <= 1
    assert metrics["vqa"]["count"]["source"] == "truth"
    assert metrics["caption"]["bleu4"] == pytest.approx(1.0)
    assert metrics["caption"]["claims"]["true"] == metrics["caption"]["claims"]["annotator_true"]
    assert metrics["setup"]["clusters"] == "geographic blocks"
    assert metrics["seconds"]["evaluate"] >= 0


def test_scio_is_scored_on_the_decided_tiles(result: tuple[dict[str, Any], Path]) -> None:
    metrics, _ = result
    scio, accuracy = metrics["scio"], metrics["text_accuracy"]
    assert scio["precision"] == 1.0
    assert scio["per_dimension"]["marine Count"]["recall"] == 1.0
    assert scio["auroc"] > 0.5
    assert scio["decided"] == TRAIN * 8
    assert accuracy["tiles"] == TRAIN
    assert accuracy["rewritten"] == {"n": 3, "mended": 3, "spoiled": 0, "blurred": 0}
    assert accuracy["before"] < accuracy["after"] < accuracy["after_without_screened"]


def test_decisions_of_another_run_do_not_count(data: Dataset, tmp_path: Path) -> None:
    metrics = evaluate(
        EvaluateConfig(data.path, Path("model"), tmp_path / "m.json"), oracle_of(data, run="other", revision=0)
    )
    assert metrics["scio"]["precision"] is None
    assert "No revision" in metrics["scio"]["reason"]
    assert metrics["text_accuracy"]["before"] == metrics["text_accuracy"]["after"]


def test_examples_are_kept_for_the_report(result: tuple[dict[str, Any], Path]) -> None:
    examples = json.loads(result[1].with_name("examples.json").read_text())
    assert len(examples["retrieval"]["image_to_text"]) == len(examples["caption"]) == 6
    assert all(row["right"] and row["given"] == row["answer"] for row in examples["vqa"])


def test_places_of_training_are_refused(data: Dataset, tmp_path: Path) -> None:
    config = EvaluateConfig(data.path, Path("model"), tmp_path / "m.json", split="train")
    with pytest.raises(ValueError, match="part of the training"):
        evaluate(config, oracle_of(data))
    config.split = "test"
    with pytest.raises(ValueError, match="part of the training"):
        evaluate(config, oracle_of(data, dataset_fingerprint="other", train_blocks=[f"b{VAL // 2}"]))
    assert not (tmp_path / "m.json").exists()


def test_a_model_from_elsewhere_is_measured_with_a_note(data: Dataset, tmp_path: Path) -> None:
    nameless = oracle_of(data)
    nameless.card = {}
    config = EvaluateConfig(data.path, Path("model"), tmp_path / "m.json")
    (note,) = evaluate(config, nameless)["setup"]["notes"]
    assert "not known what model was trained on" in note
    assert evaluate(config, oracle_of(data))["setup"]["notes"] == []


def test_without_truth_values_are_null_with_a_reason(tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False)
    metrics = evaluate(EvaluateConfig(data.path, Path("model"), tmp_path / "m.json"), oracle_of(data))
    assert metrics["scio"]["precision"] is None
    assert "no truth" in metrics["scio"]["reason"]
    assert metrics["text_accuracy"]["before"] is None
    assert metrics["caption"]["claims"]["true"] is None
    assert metrics["vqa"]["count"]["source"] == "annotator"
    assert metrics["vqa"]["count"]["accuracy"] == 1.0
    assert any("agreement" in row["name"] for row in rows(metrics))


def test_limits_are_kept_and_repeatable(data: Dataset, tmp_path: Path) -> None:
    config = EvaluateConfig(data.path, Path("model"), tmp_path / "m.json")
    config.limits.tiles, config.limits.captions, config.limits.questions_per_type = 10, 4, 3
    config.limits.rerank_queries = 0
    one, two = (evaluate(config, oracle_of(data)) for _ in range(2))
    assert one["retrieval"]["image_to_text"]["n"] == 10
    assert "reranked" not in one["retrieval"]["image_to_text"]
    assert one["caption"]["n"] == 4
    assert max(row["n"] for row in one["vqa"].values()) == 3
    one.pop("seconds"), two.pop("seconds")
    assert one == two


def test_the_table_names_every_group(result: tuple[dict[str, Any], Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["group"] for row in rows(result[0])} == {"Retrieval", "Questions", "Captions", "Screening", "Texts"}
    print_table(result[0])
    assert "chance 4.2 %" in capsys.readouterr().err
