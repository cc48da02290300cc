"""Questions in people's words: which kind they are, and that those of no kind are told with the reason."""

import pytest

from knowlip.base.vocabulary import REGIONS, TARGET_CATEGORIES
from knowlip.language.asked import read_question
from knowlip.language.phrases import plural
from knowlip.language.questions import NUMBERED, TEMPLATES, QuestionType


@pytest.mark.parametrize("kind", list(QuestionType))
def test_every_question_that_is_taught_is_read_and_stays_as_it_is(kind: QuestionType) -> None:
    targets = kind in (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION)
    subjects = TARGET_CATEGORIES if targets else REGIONS if kind == QuestionType.REGIONAL_LANDFORM else ("",)
    for subject in subjects:
        for wording in TEMPLATES[kind]:
            words = wording.format(singular=subject, plural=plural(subject) if subject else "", region=subject)
            found = read_question(words)
            assert (found.type, found.subject, found.words, found.odd) == (kind, subject, words, ())
            again = read_question(words.lower().rstrip("?.") + "  ")
            assert (again.type, again.subject) == (kind, subject)


def test_regions_by_number_are_regions() -> None:
    for number, name in enumerate(REGIONS, 1):
        for wording in NUMBERED[QuestionType.REGIONAL_LANDFORM]:
            found = read_question(wording.format(region=f"region {number}"))
            assert (found.type, found.subject) == (QuestionType.REGIONAL_LANDFORM, name)


@pytest.mark.parametrize(
    ("words", "kind", "subject"),
    [
        ("how many boats can you see", "count", "ship"),
        ("Count the planes in this picture, please.", "count", "aircraft"),
        ("What's the main land-cover?", "main_landform", ""),
        ("which part of the image holds most aircraft?", "position", "aircraft"),
        ("What covers the bottom-left corner?", "regional_landform", "lower left"),
        ("what kind of vessels are these?", "recognition", "ship"),
        ("list the land covers", "all_landforms", ""),
    ],
)
def test_other_words_are_the_same_question(words: str, kind: str, subject: str) -> None:
    found = read_question(words)
    assert (found.type, found.subject, found.reason) == (kind, subject, "")
    assert read_question(found.words)[:2] == found[:2]  # what the model is asked is a question that it was taught


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("How many tankers are there?", '"tanker"'),
        ("How many ships are at the quay?", '"quay"'),
        ("How many ships are not visible?", '"not"'),
        ("Is there an oil spill?", "yes or no"),
        ("Are there any ships?", 'ask "How many ships are visible?"'),
        ("How many ships and aircraft are there?", "one at a time"),
        ("How many trees are visible?", '"trees"'),
        ("What is the landform on the left?", '"left" is more than one of the nine regions'),
        ("What is the landform in the upper left and the lower right?", "no kind"),
        ("ships", "none of these"),
        ("", "none of these"),
        ("🚢?", "none of these"),
    ],
)
def test_what_is_of_no_kind_is_told_why(words: str, why: str) -> None:
    found = read_question(words)
    assert found.type is None
    assert found.words == words
    assert why in found.reason or why == "no kind"
    assert found.reason.startswith("The model was taught to say how many ships")


def test_words_are_let_through_where_that_is_wanted() -> None:
    assert read_question("How many large ships are visible?").type is None
    assert read_question("How many large ships are visible?", 1).type == QuestionType.COUNT


@pytest.mark.parametrize(
    "words",
    [
        *("What number is on the ship?", "What is the number of the ship?", "How many images have ships?"),
        *("What kind of picture shows ships?", "Which class of radar shows ships?", "What is the image type of ships?"),
        *("Where is the picture of the aircraft?", "What is the location of the scene with ships?"),
        *("Which part of the ship is visible?", "What place is this with ships?", "How many windows show ships?"),
        *("Which type is each ship?", "Where is each ship?", "In which part of the image is the dominant landform?"),
    ],
)
def test_the_words_of_a_kind_may_ask_for_something_else(words: str) -> None:
    assert read_question(words).type is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("In this image, how many ships are there?", "count"),
        ("What is the number of ships in the scene?", "count"),
        ("What is the total number of aircraft?", "count"),
        ("Count the ships in this picture.", "count"),
        ("What is the ship type in this image?", "recognition"),
        ("What types of aircraft does the picture show?", "recognition"),
        ("Where in the image are the ships?", "position"),
        ("In which part of the scene are most aircraft?", "position"),
        ("What covers most of the area, which land cover?", "main_landform"),
    ],
)
def test_naming_the_image_makes_no_other_question(words: str, kind: str) -> None:
    assert str(read_question(words).type) == kind
