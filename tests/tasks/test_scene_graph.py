"""Tuples of texts, and how two texts that say the same in other words agree."""

import pytest

from knowlip.tasks.metrics import CaptionScorer, scene_graph
from knowlip.tasks.metrics.scene_graph import NAME, agreement, facts, scene_graph_scores

pytestmark = pytest.mark.skipif(bool(scene_graph.no_parser()), reason=scene_graph.no_parser() or "the parser is there")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two large ships.", {("ship",), ("ship", "two"), ("ship", "large")}),
        (
            "Aircraft are parked beside the hangar.",
            {("aircraft",), ("hangar",), ("aircraft", "park beside", "hangar")},
        ),
        ("The runway is long and straight.", {("runway",), ("runway", "long"), ("runway", "straight")}),
        ("Buildings along the road.", {("building",), ("road",), ("building", "along", "road")}),
        ("A road crosses the fields.", {("road",), ("field",), ("road", "cross", "field")}),
        ("A cargo ship is moored.", {("cargo ship",), ("cargo ship", "moor")}),
        ("", set()),
    ],
)
def test_what_a_text_says(text: str, expected: set[tuple[str, ...]]) -> None:
    assert set(facts([text])[0]) == expected


def test_agreement_counts_each_tuple_once() -> None:
    ship, two, three = ("ship",), ("ship", "two"), ("ship", "three")
    assert agreement(frozenset([ship, two]), frozenset([ship, two])) == 1.0
    assert agreement(frozenset([ship, two]), frozenset([ship, three])) == pytest.approx(0.5)
    assert agreement(frozenset(), frozenset([ship])) == 0.0
    # Two synonyms of one word match it once, and an equal word comes first.
    assert agreement(frozenset([("vessel",), ("ship",)]), frozenset([("watercraft",), ("ship",)])) == 1.0
    assert agreement(frozenset([("vessel",), ("ship",)]), frozenset([("ship",)])) == pytest.approx(2 / 3)


def test_other_words_for_the_same_agree_and_other_things_do_not() -> None:
    references = [["Two ships lie at the quay.", "The harbor holds two ships."]]
    same, near, none = (
        scene_graph_scores([text], references)[0]
        for text in (
            "Two ships lie at the quay.",
            "Two ships lie at the wharf.",
            "Fields and woods fill the image.",
        )
    )
    assert same > near > none == 0.0


def test_it_has_a_name_of_its_own() -> None:
    found = CaptionScorer([["two ships"], ["a wood"]]).scores(["two ships", "a wood"])
    assert found[NAME].value == 1.0
    assert "SPICE" not in NAME
