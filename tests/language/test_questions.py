"""Questions from truth: right answers, closed vocabularies, determinism, the cap on zeros."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from knowlip.language.questions import (
    QUESTION_TYPES,
    TEMPLATES,
    answers_of,
    askables,
    make_questions,
    questions_from_texts,
    sentences,
    tile_askables,
)
from knowlip.language.tile_facts import Facts, facts_from_texts, facts_from_truth


def truth_of(ships: list[tuple[str, float, float]], shares: dict[str, float] | None = None) -> dict[str, Any]:
    shares = shares or {"water": 0.6, "field": 0.25, "quay": 0.1, "road": 0.05}
    return {
        "objects": [{"category": "ship", "type": kind, "x": x, "y": y, "length_m": 100.0} for kind, x, y in ships],
        "buildings": 0,
        "shares": shares,
        "grid": [{"water": 1.0}] * 6 + [{"field": 0.9}] * 3,
    }


def answers(questions: list[Any]) -> dict[str, str]:
    return {q.type: q.answer for q in questions}


def test_answers_follow_from_truth() -> None:
    truth = truth_of([("tanker", 0.1, 0.1), ("tanker", 0.2, 0.3), ("fishing boat", 0.9, 0.9)])
    found = {q.type: q for q in make_questions({"t": truth}, seed=4)}
    assert answers(list(found.values())) | {"regional_landform": ""} == {
        "count": "3",
        "recognition": "tanker",
        "position": "upper left",
        "main_landform": "water",
        "all_landforms": "water, field, quay",
        "regional_landform": "",
    }
    regional = found["regional_landform"]
    assert regional.subject in regional.question
    assert regional.answer == ("field" if regional.subject.startswith("lower") else "water")


def test_unclear_answers_are_not_asked() -> None:
    truth = truth_of([("tanker", 0.1, 0.1), ("fishing boat", 0.9, 0.9)], {"water": 0.5, "field": 0.48})
    assert set(answers(make_questions({"t": truth}))) == {"count", "all_landforms", "regional_landform"}
    crowd = truth_of([("tanker", 0.1, 0.1)] * 21)
    assert "count" not in answers(make_questions({"t": crowd}))


def test_answers_stay_in_the_closed_vocabulary() -> None:
    for kind in QUESTION_TYPES:
        closed = answers_of(kind)
        questions = make_questions({f"t{n}": truth_of([("tanker", 0.5, 0.5)] * n) for n in range(1, 8)})
        assert closed is None or {q.answer for q in questions if q.type == kind} <= set(closed)
    with pytest.raises(ValueError, match="no question type"):
        answers_of("colour")


def test_sentences_hold_every_question_and_answer() -> None:
    known = set(sentences())
    truths = {f"t{n}": truth_of([("tanker", 0.5, 0.5)] * (n % 4)) for n in range(40)}
    for question in make_questions(truths):
        assert question.question in known
        assert question.type == "all_landforms" or question.answer in known


def test_seed_decides_wordings_and_order_does_not() -> None:
    truths = {f"t{n}": truth_of([("tanker", 0.5, 0.5)] * (n % 4 + 1)) for n in range(40)}
    one, again = make_questions(truths, 1), make_questions(dict(reversed(truths.items())), 1)
    assert one == again
    other = make_questions(truths, 2)
    assert [q.answer for q in one if q.type == "count"] == [q.answer for q in other if q.type == "count"]
    assert [q.question for q in one] != [q.question for q in other]
    assert all(len({q.question for q in one if q.type == kind}) >= len(TEMPLATES[kind]) for kind in QUESTION_TYPES)


def test_zero_counts_are_capped() -> None:
    truths = {f"empty{n}": truth_of([]) for n in range(50)} | {
        f"t{n}": truth_of([("tanker", 0.5, 0.5)] * (n % 3 + 1)) for n in range(9)
    }
    counts = Counter(q.answer for q in make_questions(truths) if q.type == "count")
    assert counts == {"0": 3, "1": 3, "2": 3, "3": 3}


def test_the_annotators_claims_make_marked_questions() -> None:
    rows = [
        ("m", "marine", "Count", "two ships are visible"),
        ("m", "marine", "Location", "in the upper left"),
        ("m", "marine", "Category", "probably tankers"),
        ("g", "terrain", "Terrain", "mainly water with some woods"),
        ("g", "terrain", "Distribution", "water in the upper part, woods in the lower left"),
    ]
    questions = questions_from_texts(pd.DataFrame(rows, columns=["tile_id", "instruction_set", "dimension", "text"]))
    assert {q.source for q in questions} == {"annotator"}
    assert answers([q for q in questions if q.tile_id == "m"]) == {
        "count": "2",
        "recognition": "tanker",
        "position": "upper left",
    }
    found = answers([q for q in questions if q.tile_id == "g"])
    assert found["main_landform"] == "water"
    assert found["all_landforms"] == "water, wood"
    grid = facts_from_texts("terrain", {r[2]: r[3] for r in rows[3:]}).grid
    assert grid == ("water", "water", "water", None, None, None, "wood", None, None)


def test_a_range_answers_no_count() -> None:
    texts = {"Count": "between three and five ships are visible", "Location": "found in the upper left"}
    facts = facts_from_texts("marine", texts)
    assert facts.counts is None
    assert facts.regions == {"ship": 0}


def test_an_empty_tile_of_two_other_categories_is_asked_about_both() -> None:
    facts = Facts(counts={"bridge": 0, "tank": 0}, landforms=("water",))
    assert {one.subject for one in tile_askables("t", facts) if one.type == "count"} == {"bridge", "tank"}
    known = replace(facts, counts={"ship": 0, "aircraft": 0})
    assert {one.subject for one in tile_askables("t", known) if one.type == "count"} == {"ship"}


def test_all_that_any_seed_asks_is_askable() -> None:
    truths = {f"t{n}": truth_of([("tanker", 0.5, 0.1 * n)] * (n % 4)) for n in range(12)}
    truths["mixed"] = truth_of([("tanker", 0.5, 0.5)] * 2)
    truths["mixed"]["objects"] += [{"category": "aircraft", "type": "fighter", "x": 0.9, "y": 0.1, "length_m": 18.0}]
    truths["airfield"] = truth_of([], {"grass": 0.9})
    found = askables({tile_id: facts_from_truth(truth) for tile_id, truth in truths.items()})
    known = {(one.tile_id, one.type, words, one.answer, one.subject) for one in found for words in one.wordings}
    asked = {
        (q.tile_id, q.type, q.question, q.answer, q.subject)
        for seed in range(200)
        for q in make_questions(truths, seed)
    }
    assert asked <= known
    more = {(q[0], q[1], q[4]) for q in known} - {(q[0], q[1], q[4]) for q in asked}
    assert more == {("mixed", kind, "aircraft") for kind in ("count", "recognition", "position")}
    for tile_id in truths:
        rates = Counter()
        for one in found:
            if one.tile_id == tile_id and one.subject != "aircraft":
                rates[one.type] += one.rate
        assert all(rate == pytest.approx(1) for kind, rate in rates.items() if kind != "count"), "one of each type"
    counts = Counter()
    for one in found:
        if one.type == "count":
            counts[one.answer] += one.rate
    assert counts == pytest.approx({"0": 4, "1": 4, "2": 4, "3": 3})
    assert [one.subject for one in found if one.tile_id == "airfield" and one.type == "count"] == ["aircraft"]
    empty = {f"t{n}": facts_from_truth(truth_of([])) for n in range(5)}
    assert "count" not in {one.type for one in askables(empty)}, "nothing but zeros"
