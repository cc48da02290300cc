"""Short captions of an image from its labels: what there is, how many and where, in five wordings (the texts of the
paper's retrieval and captioning, section 4.4).

A caption holds the statements of the eight sub-texts that a box or a mask alone supports; :mod:`~.templates` has the
wordings, and :mod:`knowlip.language.claims` reads each of them back.
"""

from dataclasses import replace
from typing import Final

from knowlip.annotators.labels.facts import LabelFacts
from knowlip.annotators.labels.target_texts import article, target_texts
from knowlip.annotators.labels.templates import choose
from knowlip.annotators.labels.terrain_texts import terrain_texts
from knowlip.language.captions import sentence
from knowlip.language.categories import IGNORED, untyped
from knowlip.language.clear import CUT, CUT_SHARE, DIFFICULT, IGNORED_PART, also_others, is_cut
from knowlip.language.definitions import PRESENT
from knowlip.language.phrases import UNKNOWN

WORDINGS: Final = 5
"""Captions an image can have."""
_UNSEEN: Final = f"more than {PRESENT:.0%} of the image has no class of land"
"""Of so much, what nobody has labelled could be a cover of its own, or the largest."""


def captions(facts: LabelFacts, count: int = WORDINGS, cut: float = CUT_SHARE) -> tuple[str, ...]:
    """Captions of one image, all of which say the same; () where the labels say nothing.

    Of every category of targets, those of most targets first, the number, the types where the labels name some, and
    the regions; where the label is of the whole image, the category or the types alone; of an image without targets
    that there are none; of labelled land the largest covers and where they lie. What `unsaid` tells is left out.

    Args:
        facts: what the labels say.
        count: how many, at most `WORDINGS`.
        cut: of a target's outline so much may lie outside the image (:func:`~knowlip.language.clear.is_cut`).

    Raises:
        ValueError: more are asked for than there are wordings.
    """
    if not 1 <= count <= WORDINGS:
        raise ValueError(f"An image can have 1 to {WORDINGS} captions, not {count}.")
    found = [_caption(replace(facts, wording=number), cut) for number in range(count)]
    return tuple(found) if found[0] else ()


def unsaid(facts: LabelFacts, cut: float = CUT_SHARE) -> tuple[str, ...]:
    """Why captions pass over categories of targets, one reason each, and over the land."""
    reasons = [why for category in _categories(facts) if (why := _doubt(facts, category, cut))]
    return (*reasons, *([_UNSEEN] if facts.shares and facts.open_share > PRESENT else []))


def _categories(facts: LabelFacts) -> list[str]:
    """What there is to say of targets, most targets first."""
    numbers = facts.counts
    return sorted((name for name in numbers if not untyped(name)), key=lambda name: (-numbers[name], name))


def _doubt(facts: LabelFacts, category: str, cut: float) -> str:
    """Why the number of targets of a category is open; "" where it is not."""
    if any(target.category in IGNORED for target in facts.targets):
        return IGNORED_PART
    mine = [one for one in facts.targets if one.category == category]
    if any(one.difficult for one in mine):
        return DIFFICULT
    if why := also_others(category, facts.counts):
        return why
    return CUT if any(is_cut(one.outside, cut) and not one.whole for one in mine) else ""


def _caption(facts: LabelFacts, cut: float) -> str:
    said: list[str] = []
    for category in _categories(facts):
        mine = tuple(target for target in facts.targets if target.category == category)
        typed = any(not untyped(target.type) for target in mine)
        if _doubt(facts, category, cut):
            continue
        if any(target.whole for target in mine) and not typed:
            said.append(choose("shown", facts.chance, types=article(category, 1)))
            continue
        texts = target_texts(replace(facts, targets=mine, usual=category))
        names: tuple[str, ...] = ("Count", "Category", "Location") if typed else ("Count", "Location")
        if any(target.whole for target in mine):
            names = ("Category",)
        said += [texts[name] for name in names]
    if facts.shares and facts.open_share <= PRESENT:
        texts = terrain_texts(facts)
        said += [texts["Terrain"], texts["Distribution"]]
    return " ".join(sentence(text[:1].upper() + text[1:]) for text in said if text != UNKNOWN)
