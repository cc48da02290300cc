"""The oracle of the readout: what truth puts into its slots answers every question that the slots have a place for."""

import numpy as np
import pytest
import torch

from benchmarks.oracle_steps import read_off, told_answers
from knowlip.base.vocabulary import SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.closed import CLOSED, MAPPED, TYPES
from knowlip.language.definitions import TileTruth, TrueObject
from knowlip.language.questions import QUESTION_TYPES, tile_questions
from knowlip.language.tile_facts import facts_from_truth
from knowlip.models.readout import Answers


def ship(kind: str, x: float, y: float) -> TrueObject:
    corners = [[x - 0.02, y - 0.01], [x + 0.02, y - 0.01], [x + 0.02, y + 0.01], [x - 0.02, y + 0.01]]
    return {
        "category": "ship",
        "type": kind,
        "length_m": 40.0,
        "width_m": 20.0,
        "heading_deg": 90.0,
        "x": x,
        "y": y,
        "polygon": corners,
    }


def truth() -> TileTruth:
    """Water above, fields below, a town below to the right; three ships, two of them in the upper left."""
    grid: list[dict[str, float]] = [{"water": 0.95, "field": 0.05}] * 3 + [{"water": 0.6, "field": 0.4}] * 3
    grid += [{"field": 0.9, "wood": 0.1}] + [{"built-up": 0.7, "field": 0.3}] * 2
    shares = {name: float(np.mean([cell.get(name, 0.0) for cell in grid])) for name in ("water", "field", "built-up")}
    kinds = [SHIP_TYPES[0].name, SHIP_TYPES[0].name, SHIP_TYPES[1].name]
    objects = [ship(kind, x, y) for kind, x, y in zip(kinds, (0.1, 0.2, 0.6), (0.1, 0.2, 0.4))]
    return {"objects": objects, "buildings": 9, "bridges": 0, "tanks": 0, "shares": shares, "grid": grid}


def said(side: int = 12) -> Answers:
    """An image that says nothing."""
    longest = max(len(question.answers) for question in CLOSED)
    return Answers(
        torch.full((1, len(TARGET_CATEGORIES), side, side), -6.0),
        torch.zeros(1, 2, side, side),
        torch.zeros(1, len(TYPES), side, side),
        torch.full((1, len(CLOSED), longest), -3.0),
        torch.zeros(1, len(MAPPED), 9),
    )


@pytest.mark.parametrize("seed", range(4))
def test_told_the_truth_the_slots_answer_every_question(seed: int) -> None:
    told = told_answers(said(), [truth()])
    closed, regions = told.closed_BQK[0].numpy(), told.regions_BM9[0].numpy()
    questions = tile_questions("tile", facts_from_truth(truth()), seed)
    assert {question.type for question in questions} == {*QUESTION_TYPES}
    for question in questions:
        assert read_off(question, closed, regions) == question.answer, question.question


def test_targets_lie_in_their_cells_with_their_size() -> None:
    told = told_answers(said(), [truth()])
    number = told.log_rates_BLGG[0, TARGET_CATEGORIES.index("ship")].exp()
    assert number.sum() == pytest.approx(3, abs=0.03)
    assert [float(number[place]) for place in ((1, 1), (2, 2), (4, 7))] == [1, 1, 1]
    torch.testing.assert_close(told.log_sizes_B2GG[0, :, 4, 7].exp(), torch.tensor([0.04, 0.02]))


def test_nothing_told_is_what_the_image_said() -> None:
    before = said()
    before.closed_BQK[0, 0, 5] = 1.0
    after = told_answers(before, [])
    torch.testing.assert_close(after.closed_BQK, before.closed_BQK)
