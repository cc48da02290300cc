"""Targets of the readout from an annotator's boxes: where they lie when a tile turns, and what is not known."""

from typing import Any

import numpy as np
import pytest
import torch

from knowlip.dataset.mentions import Box, Mention
from knowlip.language.closed import TYPES
from knowlip.language.directions import Turn
from knowlip.language.groundings import nothing
from knowlip.training.groundings import targets_of, true_mention

SIDE = 6


def one(counts: dict[str, int], *boxes: Box) -> Mention:
    return Mention("tile", "measured", counts, boxes)


@pytest.mark.parametrize("number", range(8))
def test_boxes_turn_with_the_pixels(number: int) -> None:
    turn, box = Turn.of(number), Box("ship", 0.05, 0.55, 0.2, 0.1)
    found = targets_of([nothing()], [one({"ship": 1, "aircraft": 0}, box)], [number], SIDE)
    x, y = turn.place(box.x + box.width / 2, box.y + box.height / 2)
    row, column = int(y * SIDE), int(x * SIDE)
    assert found.number_BLGG[0, 0].sum() == found.number_BLGG[0, 0, row, column] == 1
    assert found.known_BL.tolist() == [[True, True]]
    size = (0.1, 0.2) if turn.swaps_axes else (0.2, 0.1)
    np.testing.assert_allclose(found.log_size_B2GG[0, :, row, column].exp(), size, rtol=1e-6)
    assert int(found.log_size_B2GG.isfinite().sum()) == 2


def test_a_count_that_is_not_pointed_at_is_unknown() -> None:
    five = targets_of([nothing()] * 2, [one({"ship": 5}), None], [0, 0], SIDE)
    assert five.known_BL.tolist() == [[False, False], [False, False]]
    assert five.number_BLGG.sum() == 0


def test_truth_points_at_all_its_targets() -> None:
    def outline(x: float, y: float) -> list[list[float]]:
        return [[x - 0.1, y - 0.05], [x + 0.1, y - 0.05], [x + 0.1, y + 0.05], [x - 0.1, y + 0.05]]

    objects = [{"category": "ship", "x": x, "y": y, "polygon": outline(x, y)} for x, y in ((0.25, 0.75), (0.98, 0.5))]
    truth: Any = {"objects": objects}
    found = true_mention("tile", truth)
    assert found.counts == {"ship": 2, "aircraft": 0}
    assert found.boxes[1][1:] == pytest.approx((0.88, 0.45, 0.12, 0.1)), "the part inside"
    taught = targets_of([nothing()], [found], [0], SIDE)
    assert taught.known_BL.all()
    assert taught.number_BLGG[0, 0].sum() == 2


def target(kind: str, x: float, y: float, half: float = 0.02) -> dict[str, Any]:
    corners = [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]]
    return {"type": kind, "category": "ship", "x": x, "y": y, "polygon": corners}


@pytest.mark.parametrize("number", range(8))
def test_truth_tells_what_each_target_is_wherever_it_turns(number: int) -> None:
    truth: Any = {"objects": [target("tanker", 0.05, 0.55), target("fighter", 0.9, 0.9)]}
    found = targets_of([nothing()] * 2, [None, None], [number] * 2, SIDE, [truth, None])
    assert int((found.type_BGG >= 0).sum()) == 2
    for one_of in truth["objects"]:
        x, y = Turn.of(number).place(one_of["x"], one_of["y"])
        assert TYPES[found.type_BGG[0, int(y * SIDE), int(x * SIDE)]] == one_of["type"]
    assert (found.type_BGG[1] == -1).all(), "an annotator does not tell it"


def test_a_type_is_told_where_the_target_counts() -> None:
    """Of one that reaches over the edge in the middle of what is inside, of one outside nowhere."""
    truth: Any = {"objects": [target("tanker", 0.99, 0.5, 0.3), target("fighter", 1.5, 0.5)]}
    found = targets_of([nothing()], [true_mention("tile", truth)], [0], SIDE, [truth])
    assert torch.equal(found.type_BGG[0] >= 0, found.number_BLGG[0, 0] > 0)
    assert int((found.type_BGG >= 0).sum()) == 1


@pytest.mark.parametrize(("others", "known"), [(["tanker"], True), (["fighter"], False), (["submarine"], False)])
def test_a_cell_of_several_types_teaches_none(others: list[str], known: bool) -> None:
    truth: Any = {"objects": [target(kind, 0.5, 0.5) for kind in ["tanker", *others]]}
    found = targets_of([nothing()], [None], [0], SIDE, [truth]).type_BGG
    assert bool((found >= 0).any()) is known
