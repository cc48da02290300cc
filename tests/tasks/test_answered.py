"""The figures of answers, against counting by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from knowlip.language.questions import Question
from knowlip.models import TextTokenizer
from knowlip.tasks.answered import (
    ERROR_FLOOR,
    calibrated,
    calibration_error,
    count_confusion,
    measured_rows,
    risk_coverage,
)
from knowlip.tasks.answering import spelled, told_apart
from knowlip.tasks.answers import blind_answers
from knowlip.tasks.blind import blind_medians, blind_shares
from knowlip.tasks.runs import FLOOR


def test_confidence_is_scaled_on_the_other_half_of_the_groups() -> None:
    """Scores that are three times too sure get a temperature of about three, whichever half they are in."""
    rng = np.random.default_rng(0)
    scores, right, groups = [], [], []
    for number in range(2000):
        logits = rng.normal(0, 1.5, 4)
        chance = np.exp(logits) / np.exp(logits).sum()
        right.append(int(rng.choice(4, p=chance)))
        scores.append(3 * logits)
        groups.append(f"group-{number % 40}")
    sure, temperatures = calibrated(scores, right, groups)
    assert all(2.6 < float(one) < 3.4 for one in temperatures.split(" and "))
    hit = np.array([int(score.argmax()) == place for score, place in zip(scores, right)], float)
    raw = np.array([float(np.exp(score.max() - np.logaddexp.reduce(score))) for score in scores])
    assert calibration_error(sure, hit) < 0.04 < 0.1 < calibration_error(raw, hit)
    alone, told = calibrated(scores[:3], right[:3], ["one"] * 3)
    assert told == ""
    assert alone == pytest.approx(raw[:3])


def test_right_answers_that_are_no_digits_have_no_error_and_are_counted() -> None:
    answers = ["three"] * 3 + ["3.0"] * 2 + ["2"] * 15
    kinds = {"tile_id": [f"t{n}" for n in range(20)], "group": [f"g{n}" for n in range(20)], "type": "count"}
    said = {"subject": "ship", "question": "?", "answer": answers, "ranked": answers, "confidence": 0.5, "raw": 0.5}
    table = pd.DataFrame({**kinds, **said, "generated": [None] * 20, "other": [None] * 20, "annotator": [None] * 20})
    found = {row.metric: row for row in measured_rows(table, "d", "test", "m")}
    row = found["count mean absolute error, ranked"]
    assert (row.value, row.n) == (0.0, 15)
    assert "5 questions whose right answer is no number in digits are left out." in row.note
    none = measured_rows(table[table["answer"] == "three"], "d", "test", "m")
    row = next(one for one in none if one.metric == "count mean absolute error, ranked")
    assert (row.value, row.n) == (None, 0)
    assert "3 questions" in row.note


def test_no_answer_without_bounds_makes_the_mean_error() -> None:
    right, said = ["2", "2", "9" * 400, "\u0663"], ["3", "infinity", "2", "3"]
    kinds = {"tile_id": [f"t{n}" for n in range(4)], "group": [f"g{n}" for n in range(4)], "type": "count"}
    table = pd.DataFrame({**kinds, "subject": "ship", "question": "?", "answer": right, "ranked": said})
    table = table.assign(confidence=0.5, raw=0.5, generated="1e400", other=None, annotator=None)
    found = {row.metric: row for row in measured_rows(table, "d", "test", "m")}
    row = found["count mean absolute error, ranked"]
    assert (row.value, row.n) == (1.0, 1)
    assert "2 questions whose right answer is no number" in row.note
    assert "1 answers that are no number are left out." in row.note
    assert found["count mean absolute error, written"].value is None


def test_risk_over_coverage_by_hand() -> None:
    coverage, risk = risk_coverage(np.array([0.2, 0.9, 0.5, 0.5]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk == pytest.approx([0.0, 1 / 3, 0.5])


def test_figures_of_confidence_do_not_depend_on_the_order_of_equally_sure_answers() -> None:
    """Half of the answers are right and all are as sure: whichever stand first, the surest half is half right."""
    sure, hit = np.full(40, 0.5), np.r_[np.ones(20), np.zeros(20)]
    assert calibration_error(sure, hit) == calibration_error(sure, hit[::-1]) == 0.0
    rng, columns = np.random.default_rng(0), ["tile_id", "group", "type", "subject", "question", "answer", "ranked"]
    rows = [[f"t{n}", f"g{n}", "count", "ship", "?", "1", str(n % 3)] for n in range(60)]
    table = pd.DataFrame(rows, columns=columns).assign(generated=None, other=None, annotator=None)
    table["confidence"] = table["raw"] = np.r_[np.full(20, 0.9), np.full(30, 0.5), np.full(10, 0.2)]
    tables = [table, table[::-1], table.iloc[rng.permutation(60)], table.sort_values("ranked")]
    found = [{row.metric: row for row in measured_rows(one, "d", "test", "m")} for one in tables]
    names = ("accuracy of the surest half, ranked", "calibration error, ranked", "risk over coverage, ranked")
    for name in names:
        assert [one[name].value for one in found[1:]] == pytest.approx([found[0][name].value] * 3)
    # By hand: 20 answers of 0.9 (7 right), then ten thirtieths of the 30 of 0.5 (10 right).
    right = np.array([n % 3 == 1 for n in range(60)], float)
    by_hand = (right[:20].sum() + right[20:50].mean() * 10) / 30
    half = found[0][names[0]]
    assert (half.value, half.n) == (pytest.approx(by_hand), 30)
    assert half.ci is not None
    assert half.ci[0] < by_hand < half.ci[1]
    gaps = [20 * abs(0.9 - right[:20].mean()), 30 * abs(0.5 - right[20:50].mean()), 10 * abs(0.2 - right[50:].mean())]
    wide = np.r_[np.full(20, 0.9), np.full(30, 0.5), np.full(10, 0.2)]
    assert calibration_error(wide, right) <= sum(gaps) / 60 + 1e-9


def test_who_is_silent_on_hard_counts_is_held_against_floors_of_the_same_questions() -> None:
    answers = ["1"] * 10 + ["9"] * 10
    kinds = {"tile_id": [f"t{n}" for n in range(20)], "group": [f"g{n}" for n in range(20)], "type": "count"}
    said = {"subject": "ship", "question": "?", "answer": answers, "ranked": answers, "confidence": 0.5, "raw": 0.5}
    table = pd.DataFrame({**kinds, **said, "other": [None] * 20, "annotator": [None] * 20})
    table["generated"] = ["2"] * 10 + ["many"] * 10
    table[f"{FLOOR}majority answer"] = "1"
    found = {row.metric: row for row in measured_rows(table, "d", "test", "m") if row.encoder == "m"}
    written, ranked = (found[f"count mean absolute error, {how}"] for how in ("written", "ranked"))
    assert (written.value, written.floor, written.n) == (1.0, 0.0, 10)
    assert (ranked.value, ranked.floor, ranked.n) == (0.0, 4.0, 20)


def test_rows_count_exact_answers_and_errors_of_numbers() -> None:
    numbers = np.arange(40) % 5
    table = pd.DataFrame(
        {
            "tile_id": [f"t{n}" for n in range(40)],
            "group": [f"g{n // 2}" for n in range(40)],
            "type": ["count"] * 20 + ["position"] * 20,
            "subject": "ship",
            "question": "?",
            "answer": [str(n) for n in numbers[:20]] + ["center"] * 20,
            "ranked": [str(min(n + 1, 4)) for n in numbers[:20]] + ["center"] * 15 + ["upper left"] * 5,
            "confidence": np.linspace(0.3, 0.9, 40),
            "raw": np.linspace(0.3, 0.9, 40),
            "generated": ["two"] * 4 + [str(n) for n in numbers[4:20]] + ["center"] * 20,
            "other": [None] * 20 + ["upper left"] * 20,
            "annotator": [None] * 40,
            "floor:majority answer": ["0"] * 20 + ["center"] * 20,
            "floor:CFAR": ["2"] * 20 + [None] * 20,
        }
    )
    found = {(row.encoder, row.metric): row for row in measured_rows(table, "d", "test", "m")}
    assert found["m", "count accuracy, ranked"].value == pytest.approx(0.2)
    assert found["m", "count accuracy, ranked"].floor == pytest.approx(0.2)
    assert found["m", "count accuracy, written"].value == pytest.approx(0.8)
    assert found["m", "position accuracy, ranked"].value == pytest.approx(0.75)
    assert found["m", "mean accuracy, ranked"].value == pytest.approx((0.2 + 0.75) / 2)
    # CFAR says nothing of positions: its mean takes the best other floor there.
    assert found["m", "mean accuracy, ranked"].floor == pytest.approx((0.2 + 1.0) / 2)
    error = found["m", "count mean absolute error, ranked"]
    assert (error.value, error.better, error.floor_name) == (pytest.approx(0.8), "lower", "CFAR")
    assert found["floor:CFAR", "count mean absolute error"].value == pytest.approx(np.abs(numbers[:20] - 2).mean())
    written = found["m", "count mean absolute error, written"]
    assert (written.value, written.n) == (0.0, 16)
    assert written.note.startswith("4 answers that are no number")
    assert found["other-image:m", "position accuracy"].value == 0.0
    assert ("other-image:m", "count accuracy") not in found
    assert found["m", "accuracy of the surest half, ranked"].value == pytest.approx(0.75)
    counts = count_confusion(table)
    assert counts["classes"] == ["0", "1", "2", "3", "4"]
    assert np.array(counts["counts"]).tolist() == (4 * np.array([np.eye(5)[min(n + 1, 4)] for n in range(5)])).tolist()


def test_what_is_written_is_compared_as_it_can_be_written_and_silence_is_told() -> None:
    table = pd.DataFrame(
        {
            "tile_id": [f"t{n}" for n in range(40)],
            "group": [f"g{n}" for n in range(40)],
            "type": "recognition",
            "subject": "",
            "question": "?",
            "answer": "A220",
            "ranked": "A220",
            "confidence": 0.5,
            "raw": 0.5,
            "generated": ["a220"] * 30 + ["b737"] * 10,
            "written_answer": "a220",
            "other": None,
            "annotator": [""] * 35 + ["A220"] * 5,
        }
    )
    found = {(row.encoder, row.metric): row for row in measured_rows(table, "d", "test", "m")}
    assert found["m", "recognition accuracy, written"].value == pytest.approx(0.75)
    annotator = found["annotator:texts", "recognition accuracy"]
    assert annotator.value == pytest.approx(0.125)
    assert "Silent on 35" in annotator.note


def counted(answers: list[str], ranked: str, **more: Any) -> pd.DataFrame:
    """Counts with one answer to all."""
    number = len(answers)
    return pd.DataFrame(
        {
            "tile_id": [f"t{n}" for n in range(number)],
            "group": [f"t{n}" for n in range(number)],
            "type": "count",
            "subject": "ship",
            "question": "?",
            "answer": answers,
            "ranked": ranked,
            "confidence": 0.5,
            "raw": 0.5,
            "generated": None,
            "written_answer": answers,
            "other": None,
            "annotator": None,
            **more,
        }
    )


def test_the_training_median_is_a_floor_of_the_error() -> None:
    rng = np.random.default_rng(0)
    train = [str(n) for n in rng.choice([0, 0, 1, 2, 3, 4, 6, 9], 400)]
    asked = [Question(f"b{n}", "count", "how many?", one, "ship") for n, one in enumerate(train[:200])]
    known = [Question(f"a{n}", "count", "how many?", one, "ship") for n, one in enumerate(train[200:])]
    medians = blind_medians(known, asked)
    middle = f"{np.median([int(one) for one in train[200:]]):g}"
    assert {*medians["median"]} == {middle}
    floors = {f"{FLOOR}{name}": said for name, said in blind_answers(known, asked).items()}
    floors |= {f"{ERROR_FLOOR}{name}": said for name, said in medians.items()}
    rows = measured_rows(counted(train[:200], middle, **floors), "d", "test", "never looks")
    error = next(one for one in rows if one.metric == "count mean absolute error, ranked")
    assert (error.value, error.floor_name, error.standing) == (error.floor, "median", "level")
    assert any((one.encoder, one.metric) == ("floor:median", "count mean absolute error") for one in rows)
    assert not any("median" in one.floor_name for one in rows if "absolute" not in one.metric)


def test_medians_are_those_of_the_subject_and_the_wording() -> None:
    seen = [("ships?", "1", "ship"), ("ships?", "2", "ship"), ("vessels?", "9", "ship"), ("planes?", "4", "aircraft")]
    train = [Question("a", "count", words, answer, subject) for words, answer, subject in seen]
    unseen = [("ships?", "ship"), ("boats?", "ship"), ("tanks?", "tank")]
    asked = [Question("b", "count", words, "0", subject) for words, subject in unseen]
    assert blind_medians(train, asked)["blind, median by wording"] == ["1.5", "2", "3"]
    shares = blind_shares(train, asked)
    assert shares["blind, by wording"] == pytest.approx([1 / 2, 1 / 3, 1 / 4])
    assert shares["majority answer"] == pytest.approx([1 / 4] * 3)


def test_an_order_by_how_easy_the_kind_is_needs_no_image() -> None:
    rng = np.random.default_rng(1)
    hit = np.append(rng.random(300) < 0.9, rng.random(300) < 0.3)
    sure = np.append(np.full(300, 0.9), np.full(300, 0.3))
    table = counted(["1"] * 600, "1", confidence=sure, raw=sure)
    table["type"] = ["main_landform"] * 300 + ["recognition"] * 300
    table["answer"] = table["written_answer"] = np.where(hit, "water", "wood")
    table["ranked"] = table["floor:blind, by wording"] = "water"
    table["sure:blind, by wording"] = sure
    table["other"] = np.where(rng.random(600) < 0.5, table["answer"], "quay")
    table["other_confidence"] = table["other_raw"] = 0.5
    own = {one.metric: one for one in measured_rows(table, "d", "test", "m") if one.encoder == "m"}
    for metric in ("accuracy of the surest half, ranked", "risk over coverage, ranked", "calibration error, ranked"):
        assert own[metric].value == pytest.approx(own[metric].floor or -1, abs=1e-9), metric
        assert own[metric].standing != "above"
    table["ranked"], table["other"] = "quay", table["answer"]
    own = {one.metric: one for one in measured_rows(table, "d", "test", "m") if one.encoder == "m"}
    assert own["accuracy of the surest half, ranked"].floor_name == "other image"


def test_what_the_vocabulary_cannot_spell_is_never_right() -> None:
    table = counted(["船", "机"] * 20, "船 or 机", written_answer=None, generated="", alike=True)
    table["type"] = "recognition"
    own = {one.metric: one for one in measured_rows(table, "d", "test", "m") if one.encoder == "m"}
    for how, told in (("written", "cannot be spelled"), ("ranked", "the same to the model")):
        assert own[f"recognition accuracy, {how}"].value == 0.0
        assert f"40 {'right' if how == 'written' else 'chosen'} answers" in own[f"recognition accuracy, {how}"].note
        assert told in own[f"recognition accuracy, {how}"].note


def test_answers_are_told_apart_as_the_model_reads_them() -> None:
    tokenizer = TextTokenizer.train(["ship", "a220 and 3.5"], 200)
    assert [spelled(tokenizer, text) for text in ("ship", "A220", "船", "ship 船")] == ["ship", "a220", None, None]
    assert told_apart(tokenizer, ["ship", "船", "机", "3.5"]) == ["ship", "船 or 机", "船 or 机", "3.5"]


def test_an_error_of_no_number_is_told() -> None:
    rows = measured_rows(
        counted(["1", "2"] * 20, "1 or 2", alike=True, **{"floor:majority answer": "1"}), "d", "t", "m"
    )
    error = next(one for one in rows if one.encoder == "m" and "absolute" in one.metric)
    assert (error.value, error.n, error.floor) == (None, 0, 0.5)
    assert "40 answers that are no number" in error.note


def test_a_question_is_the_same_wording_whatever_its_capitals() -> None:
    def asked(words: str, answer: str) -> Question:
        return Question("t", "x", words, answer)  # type: ignore[arg-type]

    train = [asked("Is it Water?", "yes")] * 2 + [asked("Is it land?", "no")] * 3
    found = blind_answers(train, [asked("is it water ?", "yes"), asked("IS IT LAND", "no"), asked("Why?", "no")])
    assert found["blind, by wording"] == ["yes", "no", "no"]
