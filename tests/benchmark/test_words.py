"""The measures of texts that the benchmarks of words and of marked tiles are made of."""

import pytest

from benchmarks.real_marks import MARKS, cover_of, forbidden_claims, judged
from benchmarks.words import Judged, calibration, share, visual_part
from knowlip.annotators.types import Annotation, SubText
from knowlip.language.definitions import COARSE
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.marks import Sentence, joined
from knowlip.language.statements import Statement

COARSE_TEXTS = {
    "Terrain": ("at this resolution, water and some housing", "land-coarse"),
    "Functionality": ("land use stays open under 10 m sampling", "limit-function"),
    "Distribution": ("water in the left part and unbuilt land in the right part", "where"),
    "Layout": ("split into two parts, water and built-up land", "layout-two-part"),
    "Boundary": ("edge between water and built-up land", "boundary"),
    "Buildings": ("moderately settled", "settlement-some"),
    "Roads": (Grammar.standard().say(Statement("roads-unresolved"), "tile"), "roads-unresolved"),
    "Water": ("water covers about 60 percent of the scene", "water"),
}


def note(tile: str = "t", **changed: tuple[str, str]) -> Annotation:
    texts = {**COARSE_TEXTS, **changed}
    kind = InstructionSet.TERRAIN
    parts = [SubText.of(name, [Sentence(texts[name][0], "visual", texts[name][1])], 0.9) for name in DIMENSIONS[kind]]
    return Annotation(tile, kind, tuple(parts))


def verdict(true: bool | None, confidence: float = 0.9, scene: str = "a") -> Judged:
    return Judged("terrain", "Water", "t", scene, "water", confidence, False, False, true)


def test_a_coarse_text_claims_nothing_that_cannot_be_seen():
    assert cover_of(note()) == "water"
    assert forbidden_claims(note()) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"Terrain": ("mainly flat farmland with fields", "terrain")},
        {"Roads": ("several roads cross the scene", "roads")},
        {"Roads": ("no clear road is visible", "roads-none")},
        {"Buildings": ("few scattered buildings", "buildings-few")},
        {"Functionality": ("airport area for air transport", "function")},
        {"Boundary": ("edge between woodland and fields", "boundary")},
    ],
)
def test_what_ten_metres_cannot_show_is_found(changed):
    assert forbidden_claims(note(**changed))


def test_targets_are_forbidden_at_ten_metres():
    kind = InstructionSet.GROUND
    texts = ["two aircraft are visible in the scene", *["unknown"] * 7]
    parts = [SubText(name, text, 0.5, "visual") for name, text in zip(DIMENSIONS[kind], texts)]
    assert "ground targets" in forbidden_claims(Annotation("t", kind, tuple(parts)))


def test_one_cover_for_all_tiles_reaches_the_floor_and_no_more():
    notes = {mark.tile_id: note(mark.tile_id, Terrain=("mainly unbuilt land", "land-coarse")) for mark in MARKS}
    result = judged(notes)
    assert result["tiles"] == 60
    assert result["floor_cover"] == "open land"
    assert result["land_cover"] == result["floor"] < 0.6


def test_marks_add_up_and_are_of_different_tiles():
    assert len({mark.tile_id for mark in MARKS}) == len(MARKS) == 60
    for mark in MARKS:
        assert mark.water + mark.built + mark.other == pytest.approx(1.0)
        assert set(mark.main) <= set(COARSE)


def test_only_visual_sentences_are_judged():
    sentences = [
        Sentence("water covers about 60 percent of the scene", "visual", "water"),
        Sentence("the nearest port is 3 km away", "geo", "nearest-port"),
    ]
    text, marks = joined(sentences)
    row = {"text": text, "marks": marks, "evidence": "visual"}
    assert visual_part(row) == ("Water covers about 60 percent of the scene", False)
    text, marks = joined([Sentence("roads are narrower than a pixel", "visual", "roads-unresolved")])
    assert visual_part({"text": text, "marks": marks, "evidence": "visual"})[1]


def test_what_claims_nothing_is_no_trial():
    assert share([verdict(True), verdict(False), verdict(None)])["n"] == 2
    assert share([verdict(None)]) == {}


def test_tiles_of_a_scene_count_as_one_place():
    """Ten scenes of 20 tiles that are all right or all wrong: as wide as ten trials, not as 200."""
    alike = [verdict(number % 2 == 0, scene=str(number)) for number in range(10) for _ in range(20)]
    mixed = [verdict(at < 9 + number % 3, scene=str(number)) for number in range(10) for at in range(20)]
    wide, narrow = (share(found)["ci"] for found in (alike, mixed))
    assert wide[1] - wide[0] > 0.4
    assert narrow[1] - narrow[0] < 0.15


def test_calibration_is_the_gap_between_what_is_said_and_what_is_true():
    found = [verdict(number < 8, 0.75, str(number)) for number in range(10)]
    result = calibration(found)
    assert result["bins"]["0.7"]["true"] == 0.8
    assert result["expected_calibration_error"] == pytest.approx(0.05)
