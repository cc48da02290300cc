"""What texts claim in numbers: known sentences, silence about what is not said, and turns."""

import numpy as np
import pytest

from knowlip.base.vocabulary import REGIONS
from knowlip.language.closed import CLOSED, MAPPED, MOST
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.groundings import Grounding, contradict, grounding_of, nothing


def answers(found: Grounding) -> dict[str, list[str]]:
    return {
        question.name: [answer for answer, yes in zip(question.answers, row) if yes]
        for question, row in zip(CLOSED, found.answers_QK)
        if row.any()
    }


def held(found: Grounding) -> dict[str, list[int]]:
    return {name: np.flatnonzero(row == 1).tolist() for name, row in zip(MAPPED, found.regions_M9) if (row >= 0).all()}


def test_a_text_about_aircraft() -> None:
    found = grounding_of(
        "ground",
        {
            "Count": "There are eleven aircraft",
            "Location": "Most aircraft stand in the upper left and upper center parts",
            "Category": "Mostly fighters, with some business jets",
            "Size": "The aircraft are about 16 m long",
        },
    )
    regions = ["upper left", "upper center"]
    assert answers(found) == {"count": ["11"], "region": regions, "type": ["fighter"], "length": ["15"]}
    assert held(found) == {"aircraft": [0, 1]}


def test_a_range_leaves_several_answers_open_and_large_counts_meet_in_the_last() -> None:
    assert answers(grounding_of("marine", {"Count": "Between two and four ships"}))["count"] == ["2", "3", "4"]
    assert answers(grounding_of("marine", {"Count": "There are 37 ships"}))["count"] == [str(MOST)]


def test_a_text_about_land() -> None:
    found = grounding_of(
        "terrain",
        {
            "Terrain": "Mainly farmland with some woods",
            "Distribution": "Farmland in the upper left, woods in the lower right",
            "Buildings": "There are no buildings in the scene",
            "Water": "No water surface can be recognized",
            "Boundary": "The scene has no major boundary",
        },
    )
    said = answers(found)
    assert said["main"] == ["field"]
    assert said["second"] == ["wood"]
    assert said["buildings"] == ["none"]
    assert said["water"] == ["0 %"]
    assert said["boundary"] == ["none"]
    assert "one_side" not in said
    assert held(found)["field"] == [0]
    assert held(found)["wood"] == [8]
    assert held(found)["water"] == []  # a list of all that there is


def test_what_is_not_said_is_unknown() -> None:
    silent = grounding_of("terrain", {"Layout": "Something else entirely"})
    assert np.array_equal(silent.answers_QK, nothing().answers_QK)
    assert (silent.regions_M9 == -1).all()


@pytest.mark.parametrize("number", range(8))
def test_regions_turn_as_the_words_do(number: int) -> None:
    turn = Turn.of(number)
    for region, name in enumerate(REGIONS):
        text = f"Most ships lie in the {name}"
        turned = turn_words(text, turn)
        assert turned is not None
        assert held(grounding_of("marine", {"Location": turned})) == {"ship": [turn.region(region)]}


def test_silence_is_no_answer() -> None:
    assert "open_water" not in answers(grounding_of("marine", {"Environment": "Water surrounds the ships"}))
    assert "second" not in answers(grounding_of("terrain", {"Terrain": "Urban land dominates the area"}))
    found = grounding_of("terrain", {"Distribution": "Runways in the upper left, fields in the lower right"})
    assert held(found)["airfield"] == [0]


@pytest.mark.parametrize(
    ("kind", "dimension", "one", "other", "apart"),
    [
        ("marine", "Count", "There is one ship", "Between one and four ships", False),
        ("marine", "Count", "There are nine ships", "Between one and four ships", True),
        ("marine", "Location", "The ships lie in the upper left", "The ships lie in the lower right", True),
        ("marine", "Location", "The ships lie in the upper left", "Ships in the upper left and upper center", False),
        ("terrain", "Roads", "There are no roads in the scene", "There are several roads", True),
    ],
)
def test_texts_contradict_where_no_answer_agrees_with_both(
    kind: str, dimension: str, one: str, other: str, apart: bool
) -> None:
    assert contradict(kind, dimension, one, other) is apart
    assert contradict(kind, dimension, other, one) is apart
    assert not contradict(kind, dimension, one, one)


def test_a_longer_list_of_landforms_is_no_contradiction() -> None:
    one, more = "Farmland in the center", "Farmland in the center and water in the upper left"
    assert not contradict("terrain", "Distribution", one, more)
    assert contradict("terrain", "Distribution", one, "Farmland in the upper left")
