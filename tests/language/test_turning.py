"""Texts of others turn with their pixels only where every place in them is understood."""

import pytest

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES
from knowlip.language.directions import Turn
from knowlip.language.questions import NUMBERED, TEMPLATES, Posed, QuestionType, answers_of, numbered_region
from knowlip.language.turning import may_turn, text_may_turn

TURNS = [Turn.of(number) for number in range(1, 8)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        *(("Which quadrant holds the ship?", answer) for answer in ("first", "the second quadrant", "2", "Q3")),
        *(
            ("Where is it?", f"{place}")
            for place in ("third row", "3rd row, 1st column", "region five", "cell B2", "A1")
        ),
        *(
            ("Where is it?", place)
            for place in ("<12><30><45><60>", "{<12><30><45><60>|<90>}", "[12, 30]", "pixel 120 30")
        ),
        *(("Where is it?", place) for place in ("x1 12 y1 30", "12, 30, 45, 60", "0.1 0.2 0.3 0.4", "x=0.2")),
        *(("Where is it?", place) for place in ("up", "down", "in the foreground", "at 10% of the width", "port")),
        *(("Where is it?", place) for place in ("zone 2", "zone C", "position 3", "upper left, second", "far away")),
        *(("Which way does it head?", name) for name in ("N", "n", "NE", "ne", "NNW", "nw", "SE, S", "ne-sw")),
        *(("Where is it?", name) for name in ("South Holland", "south holland", "north sea", "North Sea")),
        *(("What is the heading of the ship?", number) for number in ("45", "90.5", "180 0")),
        ("In what direction is the ship heading, in degrees?", "45"),
        ("How many degrees is its heading?", "45"),
        *((f"Which {part} (1-9) has most ships?", "7") for part in ("block", "patch", "part", "area", "tile")),
        ("Give the number of the region with most ships.", "4"),
        ("Count the region of the ship.", "4"),
        *((f"Is there a ship in {place}?", "yes") for place in ("zone 3", "area 3", "block 2", "patch (1, 2)")),
        *((f"Is there a ship in {place}?", "no") for place in ("the third row", "the second quadrant", "row two")),
        ("Is it pointing up?", "yes"),
        ("Is the image landscape?", "yes"),
        ("Is there a ship at <12><30>?", "yes"),
        ("How many ships are in row 2?", "3"),
    ],
)
def test_what_may_place_something_in_other_words_stays(question: str, answer: str) -> None:
    assert Posed(question, answer).turned(Turn()) == Posed(question, answer)
    assert {Posed(question, answer).turned(turn) for turn in TURNS} == {None}


@pytest.mark.parametrize(
    ("question", "answer", "turned"),
    [
        ("Is there a ship?", "Yes.", "Yes."),
        ("Is a ship in the upper left?", "no", "no"),
        ("How many ships are there?", "3", "3"),
        ("How many ships are in the left half?", "three", "three"),
        ("What is the number of planes?", "3.0", "3.0"),
        ("What is it?", "Container ship", "Container ship"),
        ("What covers it?", "water, wood and built-up", "water, wood and built-up"),
        ("What is it?", "oil tanks", "oil tanks"),
        ("Where is it?", "The ships lie in the upper left.", "The ships lie in the lower right."),
        ("Where is it?", "center", "center"),
        ("Which region of the 3 x 3 grid?", "region 1", "region 9"),
        ("What is its heading?", "heading 45 degrees", "heading 225 degrees"),
        ("Which way?", "Northwest", "Southeast"),
    ],
)
def test_what_is_understood_turns(question: str, answer: str, turned: str) -> None:
    names = {"oil tanks", "container ship"}
    assert may_turn(question, answer, names)
    one = Posed(question, answer).turned(Turn(quarters=2), sure=True)
    assert one is not None
    assert one.answer == turned
    if "left" in question:
        assert "right" in one.question


@pytest.mark.parametrize("kind", QuestionType)
def test_our_own_questions_may_all_turn(kind: QuestionType) -> None:
    answers = answers_of(kind) or (", ".join(LANDFORMS),)
    assert {t.name for t in (*SHIP_TYPES, *AIRCRAFT_TYPES)} >= {*(answers if kind == "recognition" else ())}
    for wording in TEMPLATES[kind]:
        for region in REGIONS:
            for answer in answers:
                assert may_turn(wording.format(singular="ship", plural="ships", region=region), answer)
    for wording in NUMBERED.get(kind, ()):
        said = [numbered_region(answer) for answer in answers] if kind == "position" else answers
        assert all(may_turn(wording.format(plural="ships", region="region 3"), answer) for answer in said)


@pytest.mark.parametrize(
    "text",
    [
        *("A ship in cell B2.", "A ship in the third row.", "A ship at <12><30>.", "Two ships pointing up.", "NW"),
        *("\u5de6\u4e0a\u89d2\u6709\u8239", "Schiff \u00fcber dem Kai", "A ship of 12 to 30 m at y 0.5."),
        *("A ship heading ne.", "It points towards the nnw", "Two ships bound for s"),
        *("A ship in the foreground.", "A ship of heading 45.", "Zone 2 is empty.", "The ship at pixel 12 30."),
        *("The runway is 09/27.", "Runway 09L", "It is seen at N45E.", "It is oriented N 45\u00b0 E.", "30 px from it"),
        *("A ship at the foot of the image.", "Ships at pixel 120.", "The scene is 512 pixels wide."),
    ],
)
def test_captions_of_others_that_place_in_other_words_stay(text: str) -> None:
    assert not text_may_turn(text)


def test_captions_of_others_of_plain_words_turn() -> None:
    for text in (
        "In this image two ships lie in the upper left.",
        "A ship of heading 45 degrees, made up of up to 3 parts.",
        "Region 3 holds a ship; a port with dark background lies to the left.",
        "Built-up land; urban build-up; ships are lined up; 3 m pixels, 4 looks; targets of about 12 pixels.",
    ):
        assert text_may_turn(text)
