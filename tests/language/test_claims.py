"""Claims are read from our own sentences, from paraphrases, and from WordPiece decodings."""

import pytest

from knowlip.language.claims import UNMEASURED, parse_claims
from knowlip.language.truth import judge


@pytest.mark.parametrize(
    ("instruction_set", "dimension", "text", "expected"),
    [
        ("marine", "Count", "three ships are visible in the scene", {"count": 3, "category": "ship"}),
        ("marine", "Count", "Three vessels.", {"count": 3, "category": "ship"}),
        ("marine", "Count", "about 23 ships are visible in the scene", {"count": 23, "category": "ship"}),
        ("marine", "Count", "no ship is visible", {"count": 0, "category": "ship"}),
        ("ground", "Count", "A single airliner stands here", {"count": 1, "category": "aircraft"}),
        ("ground", "Count", "about two aircraft", {"count": 2, "category": "aircraft"}),
        (
            "marine",
            "Location",
            "most ships lie in the upper left and lower center",
            {"regions": [0, 7], "category": "ship"},
        ),
        (
            "marine",
            "Location",
            "ships lie in the upper - left , center - right",
            {"regions": [0, 5], "category": "ship"},
        ),
        ("marine", "Location", "The ship lies in the centre", {"regions": [4], "category": "ship"}),
        ("ground", "Location", "in the lower part", {"regions": [6, 7, 8], "category": "aircraft"}),
        ("ground", "Location", "northwest and eastern side", {"regions": [0, 2, 5, 8], "category": "aircraft"}),
        (
            "marine",
            "Feature",
            "elongated bright hulls with strong points, pointing northeast-southwest",
            {"shape": "elongated", "axis_deg": 45.0, "category": "ship"},
        ),
        (
            "marine",
            "Feature",
            "elongated bright hull , pointing north west - south east",
            {"shape": "elongated", "axis_deg": 135.0, "category": "ship"},
        ),
        (
            "ground",
            "Feature",
            "symmetrical points, possibly aircraft wings",
            {"shape": "cross", "category": "aircraft"},
        ),
        ("marine", "Size", "the ships are typically about 120 metres long", {"length_m": 120.0, "category": "ship"}),
        ("marine", "Size", "from 40 to 60 m, aircraft or ships", {"length_m": 50.0, "category": "ship"}),
        (
            "ground",
            "Category",
            "Might be narrow - body airliners and business jets",
            {"types": ["narrow-body airliner", "business jet"], "category": "aircraft"},
        ),
        ("marine", "Category", "most likely a container ship", {"types": ["container ship"], "category": "ship"}),
        ("marine", "Distribution", "the ships are lined up in a row", {"pattern": "row", "category": "ship"}),
        ("ground", "Distribution", "a single aircraft stands alone", {"pattern": "single", "category": "aircraft"}),
        (
            "marine",
            "Region",
            "water covers about 70 percent of the scene, land about 30 percent",
            {"shares": {"water": 0.7, "land": 0.3}},
        ),
        ("ground", "Region", "runway and apron cover about 20 % of the scene", {"shares": {"pavement": 0.2}}),
        ("ground", "Region", "40 % grass and 30 % runway", {"shares": {"grass": 0.4, "runway": 0.3}}),
        ("marine", "Environment", "open water all around", {"open_water": True}),
        (
            "marine",
            "Environment",
            "water bordered by quays in the left side and fields, near a port",
            {"covers": ["water", "quay", "field"], "where": {"quay": [0, 3, 6]}},
        ),
        (
            "terrain",
            "Terrain",
            "mainly flat farmland with fields, with some woodland",
            {"main": "field", "second": "wood"},
        ),
        ("terrain", "Functionality", "urban area with residential use, near an airport", {"function": "urban"}),
        ("terrain", "Functionality", "Airport area for air transport", {"function": "airport"}),
        (
            "terrain",
            "Distribution",
            "water in the upper left, built-up land in the center and lower right",
            {"where": {"water": [0], "built-up": [4, 8]}},
        ),
        (
            "terrain",
            "Layout",
            "mosaic of fields, water and woodland",
            {"layout": "mosaic", "covers": ["field", "water", "wood"]},
        ),
        ("terrain", "Layout", "Patchwork.", {"layout": "mosaic"}),
        (
            "terrain",
            "Boundary",
            "shoreline between water and fields, water to the left",
            {"between": ["water", "field"], "side": "left"},
        ),
        ("terrain", "Boundary", "no clear boundary inside the scene", {"no_boundary": True}),
        ("terrain", "Buildings", "many dense buildings, mostly in the center", {"amount": "many", "regions": [4]}),
        ("terrain", "Buildings", "No buildings are visible", {"amount": "none"}),
        ("terrain", "Roads", "no clear road is visible", {"roads": False}),
        ("terrain", "Roads", "several roads cross the lower left", {"roads": True, "regions": [6]}),
        ("terrain", "Water", "no open water is visible", {"water": False}),
        (
            "terrain",
            "Water",
            "water covers about 4 ##0 % of the scene, in the lower center",
            {"water": True, "regions": [7]},
        ),
        ("terrain", "Water", "water covers about 40 percent of the scene", {"water": True, "shares": {"water": 0.4}}),
        ("marine", "Count", "none visible", {"count": 0, "category": "ship"}),
        ("terrain", "Terrain", "The terrain is classified as plain", {"relief": ["plain"]}),
        ("terrain", "Terrain", "River network plain with low hills", {"main": "water", "relief": ["plain", "hills"]}),
        ("terrain", "Terrain", "Hilly or mountainous area, no plain", {"relief": ["hills", "mountains"]}),
        ("terrain", "Terrain", "steep valleys between ridges", {"relief": ["valley", "mountains"]}),
        ("terrain", "Layout", "Grid-like and centralized", {"arrangement": ["grid", "centralised"]}),
        (
            "terrain",
            "Layout",
            "Patchwork of fields in rectangular blocks",
            {"layout": "mosaic", "covers": ["field"], "arrangement": ["grid"]},
        ),
        (
            "terrain",
            "Layout",
            "irregular, dendritic, partly linear",
            {"arrangement": ["irregular", "network", "linear"]},
        ),
        ("terrain", "Layout", "scattered farmsteads without a grid", {"arrangement": ["scattered"]}),
        ("terrain", "Boundary", "Sharp, straight edges between blocks", {"edges": ["sharp", "straight"]}),
        (
            "terrain",
            "Boundary",
            "Gradual, winding transitions; no sharp or straight lines",
            {"edges": ["gradual", "winding"]},
        ),
        ("terrain", "Boundary", "no abrupt change but a smooth one", {"edges": ["gradual"]}),
        ("terrain", "Boundary", "no sharp boundary", {"no_boundary": True}),
        (
            "terrain",
            "Boundary",
            "sharp edge between water and buildings, water on the left",
            {"between": ["water", "built-up"], "side": "left", "edges": ["sharp"]},
        ),
    ],
)
def test_reads(instruction_set: str, dimension: str, text: str, expected: dict[str, object]) -> None:
    claims = parse_claims(instruction_set, dimension, text)
    if "##" in text:  # joined pieces give the share as well
        assert claims.pop("shares") == {"water": 0.4}
    assert claims == expected


@pytest.mark.parametrize("text", ["", "!!!", "lorem ipsum dolor sit amet", "[MASK] [MASK]"])
@pytest.mark.parametrize("dimension", ["Count", "Location", "Size", "Category", "Region", "Environment"])
def test_nothing_recognised_is_empty(dimension: str, text: str) -> None:
    assert parse_claims("marine", dimension, text) == {}


def test_what_truth_knows_nothing_of_is_not_judged() -> None:
    truth = {"objects": [], "buildings": 0, "shares": {"water": 0.7, "field": 0.3}, "grid": [{"water": 1.0}] * 9}
    for dimension, text in (("Terrain", "plain with hills"), ("Layout", "grid-like"), ("Boundary", "sharp edges")):
        assert set(parse_claims("terrain", dimension, text)) <= set(UNMEASURED)
        assert judge("terrain", dimension, text, truth, 256.0) is None
    assert judge("terrain", "Terrain", "river plain", truth, 256.0) is True
    assert judge("terrain", "Terrain", "wooded hills with forest", truth, 256.0) is False


def test_unknown_dimension_is_empty() -> None:
    assert parse_claims("marine", "Weather", "three ships") == {}
