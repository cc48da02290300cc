"""Statements about labelled ships, aircraft and other objects: the ground and marine instruction sets."""

from collections import Counter
from typing import Final

import numpy as np

from knowlip.annotators.labels.facts import LabelFacts, LabelTarget
from knowlip.annotators.labels.templates import choose
from knowlip.base.vocabulary import region_of
from knowlip.language.categories import untyped
from knowlip.language.definitions import (
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    PRESENT,
    arrangement,
    axial_difference,
    axial_mean,
    regions_with,
)
from knowlip.language.dimensions import InstructionSet
from knowlip.language.phrases import COVER_NAME, UNKNOWN, axis_word, in_regions, listing, number_word, plural

_OPEN: Final = 0.85
_ELONGATED: Final = 2.0
"""Length over width from which a shape without known metres is elongated."""
_WORTH_A_SHARE: Final = 0.03
_SURROUNDINGS: Final = ("water", "quay", "pavement", "grass", "built-up", "field", "wood", "land")


class Nouns(dict[str, object]):
    """The category in words, in the right number, and the verbs that go with it."""

    def __init__(self, category: str, count: int) -> None:
        verbs = ("is", "lies", "shows", "measures") if count == 1 else ("are", "lie", "show", "measure")
        super().__init__(zip(("is", "lie", "show", "measure"), verbs))
        self["noun"] = category if count == 1 else plural(category)


def target_texts(facts: LabelFacts) -> dict[str, str]:
    """Dimension -> text; "unknown" for what the labels leave open."""
    targets = [target for target in facts.targets if target.category == facts.category]
    nouns = Nouns(facts.category, len(targets))
    if not targets:
        counted = choose("count none", facts.chance, **nouns) if facts.counts.get(facts.category) == 0 else UNKNOWN
        rest = dict.fromkeys(("Location", "Feature", "Size", "Category", "Distribution"), UNKNOWN)
    else:
        counted = choose("count", facts.chance, number=number_word(len(targets)), **nouns)
        rest = {
            "Location": _location(facts, targets, nouns),
            "Feature": _feature(facts, targets, nouns),
            "Size": _size(facts, targets, nouns),
            "Category": _category(facts, targets, nouns),
            "Distribution": _pattern(facts, targets, nouns),
        }
    if any(target.whole for target in targets):  # such a label says what there is, neither how many nor where
        counted = UNKNOWN
        rest |= dict.fromkeys(("Location", "Size", "Distribution"), UNKNOWN)
    return {"Count": counted, **rest, "Region": _region(facts), "Environment": _environment(facts, nouns)}


def _location(facts: LabelFacts, targets: list[LabelTarget], nouns: Nouns) -> str:
    return choose(
        "location", facts.chance, where=in_regions({region_of(target.x, target.y) for target in targets}), **nouns
    )


def _feature(facts: LabelFacts, targets: list[LabelTarget], nouns: Nouns) -> str:
    """From the length where metres are known, else from the aspect of rotated boxes."""
    length = float(np.median([target.length_m for target in targets]))
    aspect = float(np.median([target.aspect for target in targets]))
    if facts.category == "ship":
        if np.isnan(length) and np.isnan(aspect):
            return UNKNOWN
        long = length >= ELONGATED_FROM_M if not np.isnan(length) else aspect >= _ELONGATED
        if not long:
            return choose("feature compact", facts.chance, **nouns)
        return choose("feature elongated", facts.chance, axis=_axis(targets), **nouns)
    if facts.category != "aircraft" or np.isnan(length):
        return UNKNOWN
    return choose("feature cross" if length >= CROSS_FROM_M else "feature compact", facts.chance, **nouns)


def _axis(targets: list[LabelTarget]) -> str:
    """ ", pointing east-west" where headings are known and most targets share one."""
    headings = [target.heading_deg for target in targets]
    if np.isnan(headings).any():
        return ""
    mean = axial_mean(headings)
    if sum(axial_difference(heading, mean) <= 30.0 for heading in headings) * 2 <= len(headings):
        return ""
    return f", pointing {axis_word(mean)}"


def _size(facts: LabelFacts, targets: list[LabelTarget], nouns: Nouns) -> str:
    for name, lengths in (
        ("size", [target.length_m for target in targets]),
        ("size pixels", [target.length_px for target in targets]),
    ):
        if not np.isnan(lengths).any():
            return choose(name, facts.chance, length=max(1, round(float(np.median(lengths)))), **nouns)
    return UNKNOWN


def _category(facts: LabelFacts, targets: list[LabelTarget], nouns: Nouns) -> str:
    """The types by number, the category itself where no finer type is labelled."""
    types = Counter(target.type for target in targets if not untyped(target.type))
    if not types:
        return choose("category", facts.chance, types=article(facts.category, len(targets)), **nouns)
    ordered = sorted(types, key=lambda name: (-types[name], name))
    names = [article(name, types[name]) for name in ordered]
    return choose("category", facts.chance, types=listing(names), **nouns)


def article(name: str, number: int) -> str:
    """A category or type with the article of one, or the plural of more."""
    if number > 1:
        return plural(name)
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _pattern(facts: LabelFacts, targets: list[LabelTarget], nouns: Nouns) -> str:
    name = arrangement([(target.x, target.y) for target in targets])
    return choose(f"pattern {name}", facts.chance, **nouns)


def _region(facts: LabelFacts) -> str:
    """Water and land for ships; runway and apron, grass and what else is there for the others."""
    if not facts.shares:
        return UNKNOWN
    if facts.instruction_set is InstructionSet.MARINE:
        names = ["water", "land"] if "water" in facts.known else []
    else:
        names = [name for name in _SURROUNDINGS if name != "land" or not facts.exact]
    shares = [(name, facts.share(name)) for name in names]
    shares = [(name, share) for name, share in shares if share >= _WORTH_A_SHARE]
    if not shares:
        return UNKNOWN
    forward = ", ".join(f"{COVER_NAME[name]} {round(100 * share)} percent" for name, share in shares)
    reverse = ", ".join(f"{round(100 * share)} percent {COVER_NAME[name]}" for name, share in shares)
    return choose("shares", facts.chance, covers=forward, reversed=reverse)


def _environment(facts: LabelFacts, nouns: Nouns) -> str:
    if not facts.shares:
        return UNKNOWN
    water = facts.share("water") if "water" in facts.known else 0.0
    names = [name for name in _SURROUNDINGS if name != "land" or not facts.exact]
    around = sorted((name for name in names if facts.share(name) >= PRESENT), key=lambda name: -facts.share(name))[:3]
    if water >= _OPEN and around == ["water"]:
        return choose("environment open", facts.chance, **nouns)
    if not around:
        return UNKNOWN
    covers = listing([COVER_NAME[name] + _part(name, facts) for name in around])
    return choose("environment", facts.chance, covers=covers, **nouns)


def _part(name: str, facts: LabelFacts) -> str:
    regions = regions_with(name, facts.land)
    return f" {in_regions(regions)}" if 0 < len(regions) <= 3 else ""
