"""What truth teaches the readout: all that it settles, however the tile is turned, in the place of what texts claim."""

from typing import Any

import numpy as np
import pytest

from knowlip.base.vocabulary import LANDFORMS, REGIONS
from knowlip.language.closed import CLOSED, MAPPED
from knowlip.language.definitions import TileTruth
from knowlip.language.directions import Turn
from knowlip.language.groundings import Grounding, grounding_of
from knowlip.language.true_groundings import put_right, true_answers, true_grounding, turned_truth

PLACES = {question.name: place for place, question in enumerate(CLOSED)}


def target(x: float, y: float, kind: str = "fishing boat", category: str = "ship", heading: float = 30.0) -> Any:
    corners = [[x - 0.02, y - 0.01], [x + 0.02, y - 0.01], [x + 0.02, y + 0.01], [x - 0.02, y + 0.01]]
    size = {"length_m": 20.0, "width_m": 6.0, "heading_deg": heading}
    return {"category": category, "type": kind, "x": x, "y": y, "polygon": corners, **size}


def truth(*objects: Any) -> TileTruth:
    """Water left, fields in the middle, built up on the right."""
    grid = [{"water": 1.0}, {"field": 1.0}, {"built-up": 0.9, "road": 0.1}] * 3
    shares = {"water": 1 / 3, "field": 1 / 3, "built-up": 0.3, "road": 0.1 / 3}
    return {"objects": list(objects), "shares": shares, "grid": grid, "buildings": 0, "bridges": 0, "tanks": 0}


def said(grounding: Grounding) -> dict[str, list[str]]:
    rows = zip(CLOSED, grounding.answers_QK, strict=True)
    return {closed.name: [one for one, yes in zip(closed.answers, row) if yes] for closed, row in rows if row.any()}


def regions(grounding: Grounding, name: str) -> list[int]:
    return np.flatnonzero(grounding.regions_M9[MAPPED.index(name)] == 1).tolist()


def test_truth_answers_what_it_settles_and_no_more() -> None:
    three = truth(target(0.1, 0.1), target(0.2, 0.2), target(0.1, 0.5, "tanker"))
    found = true_answers(three)
    assert found == {
        "count": "3",
        "region": REGIONS[0],
        "type": "fishing boat",
        "water": "30 %",
        "grass": "0 %",
        "pavement": "0 %",
        **{f"holds {name}": "yes" if name in ("water", "field", "built-up") else "no" for name in LANDFORMS},
    }, "no landform leads clearly"
    assert true_answers(truth())["count"] == "0"
    assert "region" not in true_answers(truth(target(0.1, 0.1), target(0.9, 0.9))), "a tie"
    assert "type" not in true_answers(truth(target(0.1, 0.1), target(0.1, 0.2, "tanker"))), "no majority"
    assert true_answers(truth(*[target(0.5, 0.5)] * 40))["count"] == "21"
    grounding = true_grounding(three)
    assert {name: answers[0] for name, answers in said(grounding).items()} == found
    assert regions(grounding, "ship") == [0, 3]
    assert regions(grounding, "aircraft") == []
    assert regions(grounding, "water") == [0, 3, 6]
    assert regions(grounding, "road") == [2, 5, 8]
    assert (grounding.regions_M9 >= 0).all()


@pytest.mark.parametrize("number", range(8))
def test_truth_turns_with_the_pixels(number: int) -> None:
    turn, one = Turn.of(number), truth(target(0.1, 0.45), target(0.55, 0.9))
    pixels = np.zeros((9, 9))
    for region, shares in enumerate(one["grid"]):
        pixels[region // 3 * 3 : region // 3 * 3 + 3, region % 3 * 3 : region % 3 * 3 + 3] = shares.get("water", 0)
    for at in one["objects"]:
        pixels[int(at["y"] * 9), int(at["x"] * 9)] += 7
    moved, turned = turned_truth(one, turn), turn.pixels(pixels)
    for region, shares in enumerate(moved["grid"]):
        part = turned[region // 3 * 3 : region // 3 * 3 + 3, region % 3 * 3 : region % 3 * 3 + 3]
        assert np.median(part) == shares.get("water", 0)
    for at in moved["objects"]:
        assert turned[int(at["y"] * 9), int(at["x"] * 9)] >= 7
        x, y = np.mean(at["polygon"], 0)
        assert (x, y) == pytest.approx((at["x"], at["y"]))
        assert at["heading_deg"] == pytest.approx(turn.azimuth(30.0))
    assert turned_truth(moved, turn.inverse)["grid"] == one["grid"]
    assert one["objects"][0]["x"] == 0.1, "the truth itself stays"


def test_what_truth_does_not_settle_stays_what_texts_claim() -> None:
    texts = {"Count": "Five ships.", "Distribution": "The ships lie in a row."}
    claimed = grounding_of("marine", texts)
    assert said(claimed)["count"] == ["5"], "the test needs a text that is read"
    found = put_right(claimed, truth(target(0.1, 0.1)))
    assert said(found)["count"] == ["1"]
    assert said(found).get("pattern") == said(claimed).get("pattern")
    assert said(claimed)["count"] == ["5"], "what was claimed is not changed"
    assert all(regions(found, name) == regions(true_grounding(truth()), name) for name in LANDFORMS)
