"""Wordings of a user's own file: used only where they are read back as what they say."""

import random
from collections.abc import Iterator
from typing import Final

from knowlip.language.claims import Claims, parse_claims
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar.meaning import claims_of, dimension_of
from knowlip.language.grammar.rendering import fits, rendered
from knowlip.language.grammar.samples import named, sampled, set_of
from knowlip.language.marks import Sentence, joined
from knowlip.language.topics import CLAIMING
from knowlip.language.wordings import Topic, Wording

_SAMPLES: Final = 24
"""Statements with which each wording is tried."""
_TRIES: Final = 1500
"""Statements among which those are looked for that a wording fits."""
_MAIN: Final = {
    "Count": "three targets are visible",
    "Location": "found in the upper left",
    "Feature": "compact bright points",
    "Size": "about 60 meters long",
    "Category": "tanker",
    "Region": "60 percent water and 40 percent land",
    "Environment": "bordered by fields",
    "Terrain": "mainly fields",
    "Functionality": "used as farmland",
    "Layout": "uniform fields",
    "Boundary": "edge between fields and water",
    "Buildings": "few buildings",
    "Roads": "a road crosses the scene",
    "Water": "water covers about 40 percent of the scene",
}
_DISTRIBUTION: Final = {True: "the targets are lined up in a row", False: "fields in the upper left"}
"""Main sentences by dimension; "Distribution" is of targets or of land."""


def check_wordings(topic: Topic, standard: Topic, where: str) -> None:
    """Raise `ValueError`, which names topic and wording, unless all wordings say what the standard ones say.

    Args:
        topic: as a user's file has it.
        standard: the topic of the same name that it stands for.
        where: how errors name the file.
    """
    if (topic.evidence, topic.layer) != (standard.evidence, standard.layer):
        raise ValueError(
            f"{where}: the topic {topic.name} rests on {standard.evidence}, layer {standard.layer}; it must say so."
        )
    slots = set().union(*(wording.slots | wording.when.keys() for wording in standard.wordings))
    for wording in topic.wordings:
        if strange := (wording.slots | wording.when.keys()) - slots - {"hedge"}:
            known = ", ".join(sorted(slots - {"hedge"})) or "none"
            fault = f"has the slot {min(strange)}, which its statements do not fill; they fill {known}"
        else:
            fault = _misread(topic.name, wording) if topic.name in CLAIMING else _heard(topic.name, wording)
        if fault:
            raise ValueError(f"{where}: the topic {topic.name} has the wording {wording.text!r}, which {fault}.")


def _misread(topic: str, wording: Wording) -> str:
    """What is wrong with a wording that makes claims; "" where every rendering is read back."""
    chance, tried = random.Random(f"{topic}/{wording.text}"), 0
    for _ in range(_TRIES):
        statement = sampled(topic, chance)
        if not fits(wording, statement):
            continue
        text = rendered(wording, statement, chance, tried % 3)
        instruction_set, wanted = set_of(statement), claims_of(statement)
        found = parse_claims(instruction_set, str(dimension_of(topic, instruction_set)), text)
        if found != wanted:
            return f"gives {text!r}, read as {_told(found)} instead of {_told(wanted)}"
        tried += 1
        if tried == _SAMPLES:
            return ""
    return "" if tried else "fits no statement of its topic: it must name each slot that has a value"


def _heard(topic: str, wording: Wording) -> str:
    """What is wrong with a wording that must make no claims; "" where it changes those of no sentence before it."""
    chance = random.Random(f"{topic}/{wording.text}")
    for _ in range(3):
        text = rendered(wording, named(wording, topic, chance), chance)
        for instruction_set, dimension, main in _mains():
            both, _ = joined([Sentence(main, "visual"), Sentence(text, "geo")])
            found, wanted = (parse_claims(instruction_set, dimension, words) for words in (both, main))
            if found != wanted:
                return f"gives {text!r}: behind a {dimension} it is read as {_told(found)} instead of {_told(wanted)}"
    return ""


def _mains() -> Iterator[tuple[InstructionSet, str, str]]:
    for instruction_set in (InstructionSet.MARINE, InstructionSet.TERRAIN):
        for dimension in DIMENSIONS[instruction_set]:
            yield instruction_set, dimension, _MAIN.get(dimension, _DISTRIBUTION[instruction_set.of_targets])


def _told(claims: Claims) -> str:
    return ", ".join(f"{name} {value}" for name, value in claims.items()) or "nothing"
