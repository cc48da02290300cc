"""All wordings of the layers that are not instances: no directions, no claims, sentences of a decent length."""

import random
import re

import pytest

from knowlip.annotators.measured.knowledge.radiometry import SCALES
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.grammar.engine import rendered
from knowlip.language.statements import Statement
from knowlip.language.wordings import STANDARD, topics_of

FILES = ("earth", "social", "radar", "calibration")
FILLED = {
    "country": "Kenya", "neighbour": "Uganda", "region": "Baringo", "part": "Oceania", "km": "12", "city": "Lodwar",
    "sea": "Java Sea", "airport": "Wilson Airport", "port": "Mombasa", "links": 7, "zone": "37", "n": "34",
    "type": "tanker", "shortest": "130", "longest": "280", "radius": "25", "towards": "southeast",
    "origin": "northwest", "band": "X", "facts": "HH, 3 m pixels, 4 looks, incidence angle 34 degrees",
    **{scale.slot: scale.words[3] for scale in SCALES},
}  # fmt: off
TURNS = [Turn.of(number) for number in range(1, 8)]


def renderings(file: str, most: int) -> list[tuple[str, str]]:
    """(topic, sentence): some renderings of each wording of a file."""
    found = []
    for name, topic in topics_of(STANDARD / f"{file}.yaml")[0].items():
        for wording in topic.wordings:
            statement = Statement(name, {slot: FILLED[slot] for slot in wording.slots})
            texts = {rendered(wording, statement, random.Random(number)) for number in range(most)}
            found += [(name, text) for text in sorted(texts)]
    return found


@pytest.mark.parametrize("file", FILES)
def test_sentences_are_short_and_whole(file: str) -> None:
    for topic, text in renderings(file, 8):
        words = re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", text)
        assert 2 <= len(words) <= 16, (topic, text)
        assert text[0].islower() or text.split()[0][0].isupper() or text[0].isdigit(), (topic, text)
        assert not re.search(r"\.|[:;!?{}\[\]<>|]|\s\s|\b(\w+) \1\b", text.replace("5.5", "5")), (topic, text)


@pytest.mark.parametrize("file", FILES)
def test_no_sentence_but_the_look_direction_changes_when_the_image_turns(file: str) -> None:
    for topic, text in renderings(file, 8):
        if topic != "look-direction":
            assert all(turn_words(text, turn) == text for turn in TURNS), (topic, text)


@pytest.mark.parametrize("file", FILES)
def test_the_reader_takes_nothing_from_them(file: str) -> None:
    for topic, text in renderings(file, 2):
        for kind in (InstructionSet.GROUND, InstructionSet.TERRAIN):
            for dimension in DIMENSIONS[kind]:
                assert not parse_claims(kind, dimension, text[0].upper() + text[1:]), (topic, text, dimension)


def test_the_vocabulary_is_rich() -> None:
    words = {word for file in FILES for _, text in renderings(file, 20) for word in re.findall(r"[a-z]+", text.lower())}
    assert len(words) > 1000
