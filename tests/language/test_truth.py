"""The judge against an oracle: sentences written from truth are true, those of another tile mostly are not."""

from typing import Any

import numpy as np
import pytest

from knowlip.annotators.measured.compose import TextOptions, compose
from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.target_statements import target_statements
from knowlip.annotators.measured.terrain_statements import terrain_statements
from knowlip.annotators.types import SubText
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.language.dimensions import InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.truth import judge

GRAMMAR = Grammar.standard()


def make_truth(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    """A random tile truth: a harbour ("marine"), an airfield ("ground") or land ("terrain")."""
    objects = []
    if kind != "terrain":
        table = SHIP_TYPES if kind == "marine" else AIRCRAFT_TYPES
        for _ in range(rng.integers(1, 7)):
            target = table[rng.integers(len(table))]
            objects.append(
                {
                    "category": "ship" if kind == "marine" else "aircraft",
                    "type": target.name,
                    "length_m": rng.uniform(*target.length_m),
                    "width_m": rng.uniform(*target.width_m),
                    "heading_deg": rng.uniform(0, 360),
                    "x": rng.random(),
                    "y": rng.random(),
                }
            )
    weights = {
        "marine": {"water": 0.5, "quay": 0.3, "field": 0.2},
        "ground": {"runway": 0.2, "apron": 0.2, "grass": 0.4, "built-up": 0.2},
        "terrain": dict(zip(("water", "field", "wood", "built-up", "road"), rng.dirichlet(np.full(5, 0.7)) + 0.02)),
    }[kind]
    cells = rng.dirichlet([3 * weight for weight in weights.values()], size=9)
    cells[cells < 0.01] = 0.0
    cells /= cells.sum(axis=1, keepdims=True)
    shares = dict(zip(weights, cells.mean(axis=0).tolist()))
    grid = [dict(zip(weights, cell.tolist())) for cell in cells]
    return {
        "objects": objects,
        "buildings": int(100 * shares.get("built-up", 0)),
        "bridges": 0,
        "tanks": 0,
        "shares": shares,
        "grid": grid,
    }


def write(truth: dict[str, Any]) -> tuple[SubText, ...]:
    fields = ("category", "x", "y", "length_m", "width_m", "heading_deg", "type")
    targets = tuple(Target(*(item[name] for name in fields)) for item in truth["objects"])
    evidence = TileEvidence(1024.0, targets, truth["shares"], tuple(truth["grid"]))
    mains = target_statements(evidence) if targets else terrain_statements(evidence, None)
    kind = InstructionSet.TERRAIN
    if targets:
        kind = InstructionSet.MARINE if targets[0].category == "ship" else InstructionSet.GROUND
    return compose(f"{truth['shares']}", "large", kind, mains, [], None, TextOptions(words=0), GRAMMAR)


@pytest.mark.parametrize("kind", ["marine", "ground", "terrain"])
def test_texts_from_truth_are_true_and_swapped_ones_mostly_false(kind: str) -> None:
    rng = np.random.default_rng(7)
    truths = [make_truth(rng, kind) for _ in range(80)]
    texts = [write(truth) for truth in truths]
    own = [
        [judge(kind, text.dimension, text.text, truth, 1024.0) for text in eight] for truth, eight in zip(truths, texts)
    ]
    assert None not in np.array(own, dtype=object)
    assert np.mean(np.array(own, dtype=float)) > 0.985  # rounding of shares at a rule's limit
    swapped = [
        judge(kind, text.dimension, text.text, truth, 1024.0)
        for truth, eight in zip(truths, texts[1:] + texts[:1])
        for text in eight
    ]
    assert np.mean([verdict is False for verdict in swapped]) > 0.5


def test_text_for_the_wrong_set_is_wrong() -> None:
    rng = np.random.default_rng(3)
    land = make_truth(rng, "terrain")
    for text in write(make_truth(rng, "marine"))[:6]:
        assert judge("marine", text.dimension, text.text, land, 1024.0) is False


def ships(*lengths: float, x: float = 0.1, y: float = 0.1) -> dict[str, Any]:
    objects = [
        {"category": "ship", "type": "tanker", "length_m": length, "width_m": 30.0, "heading_deg": 10.0, "x": x, "y": y}
        for length in lengths
    ]
    return {"objects": objects, "buildings": 0, "shares": {"water": 1.0}, "grid": [{"water": 1.0}] * 9}


@pytest.mark.parametrize(
    ("text", "count", "verdict"),
    [
        ("three ships", 3, True),
        ("two ships", 3, False),
        ("about ten ships", 12, True),
        ("about eight ships", 12, False),
        ("no ship", 0, True),
        ("one ship", 0, False),
        ("between two and four ships", 4, True),
        ("two to four ships", 5, False),
        ("at least two and at most four ships", 1, False),
    ],
)
def test_count(text: str, count: int, verdict: bool) -> None:
    assert judge("marine", "Count", text, ships(*[200.0] * count), 1024.0) is verdict


@pytest.mark.parametrize(
    ("dimension", "text", "verdict"),
    [
        ("Location", "in the upper left", True),
        ("Location", "in the lower right", False),
        ("Location", "throughout the scene", False),
        ("Feature", "elongated hulls pointing north-south", True),
        ("Feature", "elongated hulls pointing east-west", False),
        ("Feature", "compact points", False),
        ("Size", "the ship is about 240 meters long", True),
        ("Size", "the ship is about 100 meters long", False),
        ("Category", "most likely a tanker", True),
        ("Category", "most likely a bulk carrier", False),
        ("Category", "most likely a fighter", False),
        ("Distribution", "the ships are clustered close together", True),
        ("Distribution", "a single ship", False),
        ("Region", "water covers about 90 percent", True),
        ("Region", "water covers about 50 percent", False),
        ("Environment", "open water all around", True),
        ("Environment", "water bordered by quays", False),
        ("Environment", "a lovely day", None),
        ("Count", "a lovely day", None),
    ],
)
def test_target_rules(dimension: str, text: str, verdict: bool | None) -> None:
    assert judge("marine", dimension, text, ships(200.0, 220.0), 1024.0) is verdict


LEFT_WATER = {
    "objects": [],
    "buildings": 40,
    "shares": {"water": 0.34, "field": 0.40, "built-up": 0.24, "road": 0.02},
    "grid": [{"water": 1.0}, {"field": 1.0}, {"built-up": 0.7, "field": 0.24, "road": 0.06}] * 3,
}


@pytest.mark.parametrize(
    ("dimension", "text", "verdict"),
    [
        ("Terrain", "mainly flat farmland, with some built-up land", True),
        ("Terrain", "mainly water", False),
        ("Functionality", "agricultural area with farmland", True),
        ("Functionality", "airport area", False),
        ("Distribution", "water in the left side, built-up land in the upper right", True),
        ("Distribution", "water in the right side", False),
        ("Layout", "mosaic of fields, water and built-up land", True),
        ("Layout", "one continuous expanse of fields", False),
        ("Boundary", "shoreline between water and fields, water to the left", True),
        ("Boundary", "shoreline between water and fields, water to the right", False),
        ("Boundary", "edge between water and woodland", False),
        ("Boundary", "no clear boundary inside the scene", False),
        ("Buildings", "some buildings, mostly in the right side", True),
        ("Buildings", "many dense buildings", False),
        ("Buildings", "no buildings are visible", False),
        ("Roads", "a road crosses the upper right", True),
        ("Roads", "a road crosses the upper left", False),
        ("Roads", "no clear road is visible", False),
        ("Water", "water covers about 30 percent of the scene, in the left side", True),
        ("Water", "water covers about 60 percent of the scene", False),
        ("Water", "no open water is visible", False),
        ("Layout", "pretty", None),
    ],
)
def test_terrain_rules(dimension: str, text: str, verdict: bool | None) -> None:
    assert judge("terrain", dimension, text, LEFT_WATER, 512.0) is verdict


COARSE = {
    "objects": [],
    "buildings": 0,
    "shares": {"water": 0.3, "field": 0.28, "wood": 0.22, "built-up": 0.2},
    "grid": [{"water": 0.9, "wood": 0.1}, {"field": 0.6, "wood": 0.4}, {"built-up": 0.6, "field": 0.4}] * 3,
}


@pytest.mark.parametrize(
    ("dimension", "text", "verdict"),
    [
        ("Terrain", "mainly unbuilt land, with some water", True),  # fields and woods together are half
        ("Terrain", "mainly water", True),  # of the landforms the largest
        ("Terrain", "mainly water, with some unbuilt land", False),
        ("Layout", "split into two parts, unbuilt land and water", True),  # 0.8 of water, built-up and the rest
        ("Layout", "uniform unbuilt land", False),
        ("Distribution", "unbuilt land in the upper center", True),
        ("Distribution", "unbuilt land in the upper left", False),
    ],
)
def test_land_that_is_neither_water_nor_built_up(dimension: str, text: str, verdict: bool) -> None:
    assert judge("terrain", dimension, text, COARSE, 1024.0) is verdict
