"""Short captions of an image from its labels: what there is, how many and where, in five wordings (the texts of the
paper's retrieval and captioning, section 4.4).

A caption holds the statements of the eight sub-texts that a box or a mask alone supports; :mod:`~.templates` has the
wordings, and :mod:`knowlip.language.claims` reads each of them back.
"""

from dataclasses import replace
from typing import Final

from knowlip.annotators.labels.facts import UNTYPED, LabelFacts
from knowlip.annotators.labels.target_texts import target_texts
from knowlip.annotators.labels.terrain_texts import terrain_texts
from knowlip.language.captions import sentence
from knowlip.language.phrases import UNKNOWN

WORDINGS: Final = 5
"""Captions an image can have."""


def captions(facts: LabelFacts, count: int = WORDINGS) -> tuple[str, ...]:
    """Captions of one image, all of which say the same; () where the labels say nothing.

    Of every category of targets, those of most targets first, the number, the types where the labels name some, and
    the regions; of an image without targets that there are none; of labelled land the largest covers and where they
    lie.

    Args:
        facts: what the labels say.
        count: how many, at most `WORDINGS`.

    Raises:
        ValueError: more are asked for than there are wordings.
    """
    if not 1 <= count <= WORDINGS:
        raise ValueError(f"An image can have 1 to {WORDINGS} captions, not {count}.")
    found = [_caption(replace(facts, wording=number)) for number in range(count)]
    return tuple(found) if found[0] else ()


def _caption(facts: LabelFacts) -> str:
    numbers = facts.counts
    said: list[str] = []
    for category in sorted({*numbers} - {*UNTYPED}, key=lambda name: (-numbers[name], name)):
        mine = tuple(target for target in facts.targets if target.category == category)
        texts = target_texts(replace(facts, targets=mine, usual=category))
        names = (
            ("Count", "Category", "Location")
            if any(target.type.lower() not in UNTYPED for target in mine)
            else ("Count", "Location")
        )
        said += [texts[name] for name in names]
    if facts.shares:
        texts = terrain_texts(facts)
        said += [texts["Terrain"], texts["Distribution"]]
    return " ".join(sentence(text[:1].upper() + text[1:]) for text in said if text != UNKNOWN)
