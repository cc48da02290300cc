"""The whole evaluation with a model that knows everything, on a data set by the real writer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowlip.base.examples import read_examples
from knowlip.base.rows import Results, Row, read_results
from knowlip.benchmark.evaluate import EvaluateConfig, evaluate, short_name
from knowlip.benchmark.table import print_table
from knowlip.dataset import Dataset
from knowlip.language.captions import compose_texts
from knowlip.language.questions import QUESTION_TYPES
from knowlip.models.encoders import EncoderCard
from knowlip.tasks.answers import candidates
from knowlip.tasks.bench import Bench, MeasureLimits, find_measure
from knowlip.tasks.questions import questions_of
from tests.benchmark.fakes import Oracle
from tests.benchmark.numbered import COUNT, SIDE, TRAIN, VAL, build


def oracle_of(data: Dataset, fingerprint: str = "", blocks: tuple[str, ...] = ("b0",), revision: int = 2) -> Oracle:
    texts = compose_texts(data.texts(0))
    model = Oracle([texts[f"t{n}"] for n in range(COUNT)], questions_of(data, "test"), side=SIDE)
    model.card = EncoderCard(("numbered",), fingerprint or data.fingerprint, blocks, revision)
    return model


def config_of(data: Dataset, out: Path, **more: Any) -> EvaluateConfig:
    return EvaluateConfig(data.path, "model", out, **more)


def row(results: Results, task: str, metric: str, encoder: str = "oracle") -> Row:
    (found,) = (one for one in results.rows if (one.task, one.metric, one.encoder) == (task, metric, encoder))
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("numbered") / "ds")


@pytest.fixture(scope="module")
def result(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    out = tmp_path_factory.mktemp("out") / "metrics.json"
    return evaluate(config_of(data, out), oracle_of(data)), out


def test_a_perfect_model_has_perfect_rows(result: tuple[Results, Path]) -> None:
    results, out = result
    assert read_results(out) == results
    for direction in ("image to text", "text to image"):
        for k in (1, 5, 10):
            found = row(results, "retrieve", f"{direction} R@{k}")
            assert (found.value, found.n) == (1.0, COUNT - VAL)
    found = row(results, "retrieve", "text to image R@1")
    assert (found.floor, found.floor_name) == (pytest.approx(1 / (COUNT - VAL)), "chance")
    asked = [row(results, "vqa", f"{kind.replace('_', ' ')} accuracy") for kind in QUESTION_TYPES]
    for found in asked:
        if found.n:
            assert found.value == 1.0
            assert 0 <= (found.floor or 0) <= 1
    assert results.details["vqa"]["count"]["source"] == "truth"  # type: ignore[index, call-overload]
    assert row(results, "caption", "BLEU-4").value == pytest.approx(1.0)
    teacher = row(results, "caption", "true claims", "annotator:rules")
    assert row(results, "caption", "true claims").value == teacher.value
    assert results.setup["clusters"] == "geographic blocks"
    assert results.seconds["evaluate"] >= 0
    assert {one.data for one in results.rows} == {"ds"}


def test_the_same_is_asked_with_the_image_of_another_tile(result: tuple[Results, Path], data: Dataset) -> None:
    """The oracle answers for the tile that it sees: with another one it is right where both share the answer."""
    results, _ = result
    for kind in ("count", "recognition", "position"):
        metric, detail = f"{kind} accuracy", results.details["vqa"][kind]
        assert isinstance(detail, dict)
        twin = row(results, "vqa", metric, "other-image:oracle")
        assert (twin.n, twin.floor) == (COUNT - VAL, row(results, "vqa", metric).floor)
        assert detail["other_image"]["accuracy"] == twin.value
        assert detail["other_image"]["difference"] == pytest.approx(1 - (twin.value or 0))
        low, high = detail["other_image"]["difference_ci"]
        assert low <= detail["other_image"]["difference"] <= high
    others, oracle = Bench(data.path).others, oracle_of(data)
    first = candidates(questions_of(data, "train"))["recognition"][0]  # of what it has no answer to
    asked = [one for one in questions_of(data, "test") if one.type == "recognition"]
    right = [oracle.answers.get((others[one.tile_id], one.question), first) == one.answer for one in asked]
    assert row(results, "vqa", "recognition accuracy", "other-image:oracle").value == pytest.approx(np.mean(right))


def test_a_model_that_does_not_look_answers_the_same(data: Dataset, tmp_path: Path) -> None:
    class Blind(Oracle):
        def tokens(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 1, 1), float(VAL))

    texts = compose_texts(data.texts(0))
    model = Blind([texts[f"t{n}"] for n in range(COUNT)], questions_of(data, "test"), side=SIDE)
    results = evaluate(config_of(data, tmp_path / "m.json", tasks=("vqa", "caption")), model)
    twins = [one for one in results.rows if one.encoder == "other-image:oracle"]
    assert len(twins) >= 4
    for twin in twins:
        own = row(results, twin.task, twin.metric)
        assert (twin.value, twin.ci, twin.n) == (own.value, own.ci, own.n)
    for detail in results.details["vqa"].values():
        assert isinstance(detail, dict)
        assert detail["other_image"]["difference"] == 0


def test_captions_are_true_by_set_and_dimension(result: tuple[Results, Path], data: Dataset) -> None:
    """The oracle writes the annotator's words, freely or asked: its truth is the annotator's in every dimension."""
    results, _ = result
    free, asked = row(results, "caption", "true claims"), row(results, "caption", "true claims, asked")
    assert (asked.value, asked.n) == (free.value, free.n)
    assert row(results, "caption", "true claims, asked, marine", "annotator:rules").value == asked.value
    assert row(results, "caption", "captions of the tile's own set").value == 1.0
    twin_row = row(results, "caption", "true claims, asked", "other-image:oracle")
    assert (asked.floor or 0) >= (twin_row.value or 1)
    details: Any = results.details["caption"]
    wrong = sum(n % 4 == 0 for n in range(VAL, COUNT)) / (COUNT - VAL)
    of_count = row(results, "caption", "true claims, asked, marine Count")
    assert of_count.value == pytest.approx(1 - wrong)
    assert details["asked"]["marine Count"]["true"] == details["true_claims"]["marine Count"]["true"] == of_count.value
    assert details["asked"]["marine Count"]["annotator"] == of_count.value
    assert all(None not in one.values() or one["reason"] for one in details["asked"].values())
    others = Bench(data.path).others
    said = {n: (n % 3 + 1) % 3 + 1 if n % 4 == 0 else n % 3 + 1 for n in range(COUNT)}
    twin = details["asked"]["marine Count"]
    assert twin["other_image_n"] == len(others) == COUNT - VAL
    assert twin["other_image"] <= max(map(list(said.values()).count, said.values())) / COUNT + 0.2
    assert row(results, "caption", "true claims, asked, marine Location", "oracle").n == COUNT - VAL


def test_the_highest_floor_stands_beside_each_figure(result: tuple[Results, Path]) -> None:
    results, _ = result
    for kind in QUESTION_TYPES:
        found, detail = row(results, "vqa", f"{kind.replace('_', ' ')} accuracy"), results.details["vqa"].get(kind)
        if found.n:
            assert isinstance(detail, dict)
            assert found.floor == max(detail["floors"].values())
            assert detail["floors"][found.floor_name] == found.floor
    assert all(one.floor_name for one in results.rows if one.value is not None)


def test_the_annotator_is_scored_on_the_same_questions(result: tuple[Results, Path]) -> None:
    """Its count is wrong for every fourth tile, everything else that it says is true."""
    results, _ = result
    model, teacher = (row(results, "vqa", "count accuracy", name) for name in ("oracle", "annotator:rules"))
    assert (teacher.n, teacher.floor) == (model.n, model.floor)
    wrong = sum(n % 4 == 0 for n in range(VAL, COUNT))
    assert teacher.value == pytest.approx(1 - wrong / (COUNT - VAL))
    assert teacher.note == ""
    landform = row(results, "vqa", "main landform accuracy", "annotator:rules")
    assert landform.value == 0.0
    assert landform.note.startswith(f"It says something of 0 of {landform.n}; silence counts as wrong.")
    assert "Interval: Wilson's score over" in landform.note, "all are wrong: a bootstrap would say from 0 to 0"
    mean = row(results, "vqa", "mean accuracy", "annotator:rules")
    assert mean.n == sum(one.n for one in results.rows if one.task == "vqa" and one.encoder == "oracle") - mean.n


def test_scio_is_scored_on_the_decided_tiles(result: tuple[Results, Path]) -> None:
    results, _ = result
    decisions, texts = (results.details["screening"][name] for name in ("decisions", "texts"))
    assert isinstance(decisions, dict)
    assert isinstance(texts, dict)
    assert row(results, "screening", "precision").value == decisions["precision"] == 1.0
    assert decisions["per_dimension"]["marine Count"]["recall"] == 1.0
    assert decisions["auroc"] > 0.5
    assert decisions["decided"] == TRAIN * 8
    assert texts["tiles"] == TRAIN
    assert texts["rewritten"] == {"n": 3, "corrected": 3, "broken": 0, "unverifiable": 0}
    assert texts["before"] < texts["after"] < texts["after_without_screened"]
    found = row(results, "screening", "true sub-texts")
    assert (found.value, found.floor, found.floor_name) == (texts["after"], texts["before"], "before")


def test_decisions_of_another_run_do_not_count(data: Dataset, tmp_path: Path) -> None:
    results = evaluate(config_of(data, tmp_path / "m.json"), oracle_of(data, revision=0))
    found = row(results, "screening", "precision")
    assert found.value is None
    assert "No revision" in found.note
    texts = results.details["screening"]["texts"]
    assert isinstance(texts, dict)
    assert texts["before"] == texts["after"]


def test_examples_are_kept_for_the_report(result: tuple[Results, Path]) -> None:
    examples = read_examples(result[1].with_name("examples.json"))
    kinds = [one.kind for one in examples]
    assert kinds.count("An image looks for its text") == kinds.count("Texts of random images") == 6
    asked = [one for one in examples if one.task == "vqa"]
    assert asked
    assert all(one.given[0].right and one.given[0].text == one.wanted[0].text for one in asked)


def test_places_of_training_are_refused(data: Dataset, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "m.json", split="train")
    with pytest.raises(ValueError, match="part of the training"):
        evaluate(config, oracle_of(data))
    with pytest.raises(ValueError, match="part of the training"):
        evaluate(replace(config, split="test"), oracle_of(data, "other", (f"b{VAL // 2}",)))
    assert not (tmp_path / "m.json").exists()


def test_a_model_from_elsewhere_is_measured_with_a_note(data: Dataset, tmp_path: Path) -> None:
    nameless = oracle_of(data)
    nameless.card = EncoderCard(("unknown",))
    results = evaluate(config_of(data, tmp_path / "m.json"), nameless)
    assert "not known what oracle was trained on" in row(results, "caption", "CIDEr").note
    assert "not taught by the texts" in row(results, "screening", "precision").note
    assert "not known" not in row(results, "caption", "true claims", "annotator:rules").note
    results = evaluate(config_of(data, tmp_path / "m.json"), oracle_of(data))
    assert not any("not known" in one.note for one in results.rows)


def test_an_encoder_without_texts_has_empty_rows_that_say_why(data: Dataset, tmp_path: Path) -> None:
    results = evaluate(replace(config_of(data, tmp_path / "m.json"), model="pixels:8"))
    assert {one.encoder for one in results.rows} == {"pixels:8"}
    assert all(one.value is None and one.note for one in results.rows)
    assert results.encoders == {"pixels:8": ""}


def test_tasks_are_found_by_name(data: Dataset, tmp_path: Path) -> None:
    results = evaluate(config_of(data, tmp_path / "m.json", tasks=("caption",)), oracle_of(data))
    assert {one.task for one in results.rows} == {"caption"}
    for name in ("nothing", "images", "../evil", "os"):
        with pytest.raises(ValueError, match=r"no task .* that measures; there are caption, .*retrieve, .*vqa"):
            find_measure(name)


def test_without_truth_values_are_null_with_a_reason(tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False)
    results = evaluate(config_of(data, tmp_path / "m.json"), oracle_of(data))
    for metric in ("precision", "true sub-texts"):
        found = row(results, "screening", metric)
        assert found.value is None
        assert "no truth" in found.note
    assert row(results, "caption", "true claims").value is None
    found = row(results, "vqa", "count accuracy")
    assert found.value == 1.0
    assert "greement" in found.note
    assert not any(one.encoder.startswith("annotator:") for one in results.rows)


def test_limits_are_kept_and_repeatable(data: Dataset, tmp_path: Path) -> None:
    limits = MeasureLimits(tiles=10, captions=4, questions_per_type=3, rerank_queries=0)
    config = config_of(data, tmp_path / "m.json", limits=limits)
    one, two = (evaluate(config, oracle_of(data)) for _ in range(2))
    assert row(one, "retrieve", "image to text R@1").n == 10
    assert not any("re-ranked" in found.metric for found in one.rows)
    assert row(one, "caption", "CIDEr").n == 4
    assert max(found.n for found in one.rows if found.task == "vqa" and "mean" not in found.metric) == 3
    assert replace(one, seconds={}) == replace(two, seconds={})


def test_settings_that_would_measure_something_else_are_refused(data: Dataset, tmp_path: Path) -> None:
    for limits in ({"captions": -1}, {"questions_per_type": -5}, {"max_new_tokens": 0}):
        with pytest.raises(ValueError, match=rf"limits\.{next(iter(limits))} must not be below"):
            MeasureLimits(**limits)
    for more, said in (({"k_test": -1}, "k_test"), ({"vqa_mode": "ranked"}, "vqa_mode"), ({"tasks": ()}, "tasks")):
        with pytest.raises(ValueError, match=said):
            config_of(data, tmp_path / "m.json", **more)
    off = config_of(data, tmp_path / "m.json", tasks=("vqa",), limits=MeasureLimits(questions_per_type=0))
    assert row(evaluate(off, oracle_of(data)), "vqa", "count accuracy").note == "Questions were turned off."


def test_the_table_shows_rows_as_they_are(result: tuple[Results, Path], capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(result[0].rows[0], task="toy", metric="[bold]x[/] score", note="[red]why[/]")
    print_table(replace(result[0], rows=(*result[0].rows, odd)))
    said = capsys.readouterr().err
    for words in ("retrieve: oracle", "4.2 % chance", "toy: oracle", "[bold]x[/] score", "[red]why[/]", "▲ the whole"):
        assert words in said


def test_names_of_models_carry_no_path(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    assert short_name(str(tmp_path / "run" / "model")) == "run"
    assert short_name(f"knowlip:{tmp_path / 'run'}") == "run"
    assert short_name("timm:vit_tiny@/data/weights/w.pth") == "timm:vit_tiny@w.pth"
    assert short_name("random:vit_tiny") == "random:vit_tiny"
    assert short_name("user/repo") == "user/repo"


def test_tiles_without_texts_are_told_where_others_have_some(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held, model = sorted(data.tiles("test")["tile_id"]), oracle_of(data)
    whole = Dataset.texts
    monkeypatch.setattr(Dataset, "texts", lambda self, *a, **k: _without(whole(self, *a, **k), {*held[:3]}))
    results = evaluate(config_of(data, tmp_path / "m.json", tasks=("caption",)), model)
    told = capsys.readouterr().err
    assert f"3 of {len(held)} test tiles have no texts and are not measured." in told
    assert "that training never saw" in told
    assert (results.setup["tiles"], results.setup["tiles_without_texts"]) == (len(held) - 3, 3)
    model.card = EncoderCard(("unknown",))
    evaluate(config_of(data, tmp_path / "m.json", tasks=("caption",)), model)
    assert "never saw" not in capsys.readouterr().err


def _without(texts: Any, tile_ids: set[str]) -> Any:
    return texts[~texts["tile_id"].isin(tile_ids)]
