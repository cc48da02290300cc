"""Sentences of a sub-text, what they rest on, and what is left when only some kinds stay."""

import pytest

from knowlip.language.marks import Sentence, joined, resting_on, sentences_of

THREE = [
    Sentence("three ships of 0.5 km", "visual", "count"),
    Sentence("Rotterdam lies 2 km away.", "geo", "city"),
    Sentence("steel reflects strongly", "prior"),
]


def test_sentences_come_back_as_they_went_in():
    text, marks = joined(THREE)
    assert text == "Three ships of 0.5 km. Rotterdam lies 2 km away. Steel reflects strongly"
    found = sentences_of(text, marks)
    assert [(s.evidence, s.topic) for s in found] == [("visual", "count"), ("geo", "city"), ("prior", "")]
    assert [s.text for s in found] == ["Three ships of 0.5 km", "Rotterdam lies 2 km away", "Steel reflects strongly"]


def test_only_what_is_seen_stays():
    text, marks = joined(THREE)
    assert resting_on(text, marks, "visual", ("visual",)) == "Three ships of 0.5 km"
    assert resting_on(text, marks, "visual", ("geo", "prior")) == "Rotterdam lies 2 km away. Steel reflects strongly"
    assert resting_on("a city", "", "geo", ("visual",)) == ""
    assert resting_on("a city", "", "geo", ("geo",)) == "a city"


@pytest.mark.parametrize("marks", ["5 visual", "999 visual", "x visual", "5 guess", "21 visual; 20 geo", ";"])
def test_marks_of_another_text_are_refused(marks):
    with pytest.raises(ValueError, match="mark"):
        sentences_of("Three ships of 0.5 km. More", marks)


def test_nothing_is_no_sub_text():
    with pytest.raises(ValueError, match="at least one"):
        joined([])
    with pytest.raises(ValueError, match="empty"):
        joined([Sentence(" ", "visual")])
