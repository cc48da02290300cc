"""The eight sentences of the ground and marine instruction sets."""

from collections import Counter
from typing import Final

import numpy as np

from knowlip.annotators.measured.evidence import Overall, Target, TileEvidence
from knowlip.annotators.measured.lines import running
from knowlip.annotators.types import SubText
from knowlip.base.vocabulary import region_of
from knowlip.language.definitions import (
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    PRESENT,
    arrangement,
    axial_difference,
    axial_mean,
    cover_share,
    regions_with,
)
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.phrases import (
    COVER_NAME,
    axis_word,
    in_regions,
    number_word,
    percent,
    round_length,
)

_MANY = 6
_STRIP: Final = 0.03
"""Share of runway from which its direction is told."""


def target_sentences(evidence: TileEvidence, near: str) -> tuple[SubText, ...]:
    """Write the eight sub-texts about ships or aircraft.

    Args:
        evidence: with at least one target.
        near: a place phrase such as "near a port", "" for none; it ends up in Environment.
    """
    category = evidence.category
    if category is None:
        raise ValueError("Target sentences need at least one target.")
    targets = [target for target in evidence.targets if target.category == category]
    overall = evidence.overall or overall_of_targets(category, targets)
    nouns = _Nouns(category, overall)
    writers = (_count, _location, _feature, _size, _category, _distribution, _region)
    written = []
    for dimension, write in zip(DIMENSIONS[InstructionSet.MARINE], writers):
        text, confidence = write(evidence, targets, nouns)
        written.append(SubText(dimension, text, round(min(1.0, max(0.0, confidence)), 3), "visual"))
    text, confidence = _environment(evidence, category)
    if near:
        text = f"{text}, {near}"
    written.append(SubText("Environment", text, round(confidence, 3), "geo" if near else "visual"))
    return tuple(written)


def overall_of_targets(category: str, targets: list[Target]) -> Overall:
    """What the targets are as a whole when they are all there is."""
    certainty, number = _certainty(targets), len(targets)
    length = float(np.median([target.length_m for target in targets]))
    name, most = Counter(target.type for target in targets).most_common(1)[0]
    return Overall(
        number=number,
        length_m=length,
        resolved=length >= (ELONGATED_FROM_M if category == "ship" else CROSS_FROM_M),
        type=name,
        pattern=arrangement([(target.x, target.y) for target in targets]),
        sure={
            "Count": certainty * 0.97 ** (number - 1),
            "Feature": certainty,
            "Size": 0.9 * certainty,
            "Category": certainty * (0.55 + 0.35 * most / number),
            "Distribution": 0.95 * certainty,
        },
    )


class _Nouns:
    """The category in words, in the right number, and what is said of all of them."""

    def __init__(self, category: str, overall: Overall) -> None:
        count = overall.number
        self.overall = overall
        self.category = category
        self.noun = category if count == 1 or category == "aircraft" else category + "s"
        self.plural = "aircraft" if category == "aircraft" else "ships"
        self.verb = "is" if count == 1 else "are"
        self.one = count == 1


def _certainty(targets: list[Target]) -> float:
    return float(np.mean([target.certainty for target in targets]))


def _hedge(confidence: float) -> str:
    return "possibly " if confidence < 0.5 else ""


def _count(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    count, confidence = nouns.overall.number, nouns.overall.sure["Count"]
    if count > _MANY:
        return f"about {number_word(count)} {nouns.noun} are visible in the scene", confidence
    return f"{_hedge(confidence)}{number_word(count)} {nouns.noun} {nouns.verb} visible in the scene", confidence


def _location(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    """The regions with most targets, until they hold two thirds of them."""
    held = Counter(region_of(target.x, target.y) for target in targets)
    chosen: list[int] = []
    covered = 0
    for region, number in sorted(held.items(), key=lambda item: (-item[1], item[0])):
        if covered * 3 >= len(targets) * 2:
            break
        chosen.append(region)
        covered += number
    where = in_regions(chosen)
    if nouns.one:
        return f"the {nouns.noun} lies {where}", _certainty(targets)
    most = "most " if covered < len(targets) else "the "
    return f"{most}{nouns.noun} lie {where}", _certainty(targets)


def _feature(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    sure = nouns.overall.sure["Feature"]
    if not nouns.overall.resolved:
        return f"small compact bright points, the structure of the {nouns.plural} is hardly resolved", sure
    if nouns.category == "ship":
        longest = max(targets, key=lambda target: target.length_m)
        heading = longest.heading_deg if len(targets) < 3 else axial_mean([target.heading_deg for target in targets])
        if axial_difference(heading, longest.heading_deg) > 30.0:
            heading = longest.heading_deg
        ending = "hull" if nouns.one else "hulls"
        return f"elongated bright {ending} with strong points, pointing {axis_word(heading)}", sure
    shape = "a bright cross shape" if nouns.one else "bright cross shapes"
    return f"{shape} of fuselage, wings and tail of the aircraft", sure


def _size(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    length, sure = round_length(nouns.overall.length_m), nouns.overall.sure["Size"]
    if nouns.one:
        return f"the {nouns.noun} is about {length} meters long", sure
    return f"the {nouns.noun} are typically about {length} meters long", sure


def _category(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    name, confidence = nouns.overall.type, nouns.overall.sure["Category"]
    hedge = "possibly" if confidence < 0.6 else "most likely"
    if nouns.one:
        return f"the {nouns.noun} is {hedge} a {name}", confidence
    others = Counter(target.type for target in targets if target.type != name).most_common(1)
    if others and others[0][1] * 3 >= len(targets):
        return f"the {nouns.plural} are {hedge} {name}s and {others[0][0]}s", confidence
    return f"the {nouns.plural} are {hedge} {name}s", confidence


_PATTERNS: Final = {
    "single": "a single {} stands alone",
    "row": "the {} are lined up in a row",
    "cluster": "the {} are clustered close together",
    "scattered": "the {} are scattered over the scene",
}


def _distribution(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    return _PATTERNS[nouns.overall.pattern].format(nouns.noun), nouns.overall.sure["Distribution"]


def _part(name: str, evidence: TileEvidence) -> str:
    """ " in the upper left and center" for where a cover concentrates, "" where it does not."""
    regions = regions_with(name, evidence.land)
    return f" {in_regions(regions)}" if 0 < len(regions) <= 3 else ""


def _region(evidence: TileEvidence, targets: list[Target], nouns: _Nouns) -> tuple[str, float]:
    if nouns.category == "ship":
        water = cover_share("water", evidence.shares)
        text = f"water covers about {percent(water)} percent of the scene"
        land = percent(1.0 - water)
        if land >= 10:
            text += f", land about {100 - percent(water)} percent"
        return text, evidence.sure("water")
    pavement = cover_share("pavement", evidence.shares)
    text = f"runway and apron cover about {percent(pavement)} percent of the scene"
    if (grass := cover_share("grass", evidence.shares)) >= 0.05:
        text += f", grass about {percent(grass)} percent"
    if cover_share("runway", evidence.shares) >= _STRIP:
        text += running(evidence.axes.get("runway"), "the runway pointing")
    return text, evidence.sure("runway", "apron", "grass")


def _environment(evidence: TileEvidence, category: str) -> tuple[str, float]:
    skip = {"water"} if category == "ship" else {"airfield"}
    around = [name for name, share in evidence.landforms.items() if share >= PRESENT and name not in skip][:2]
    sure = evidence.sure("water", *around)
    if category == "ship":
        if not around:
            if cover_share("water", evidence.shares) >= 0.85:
                one = len(evidence.targets) == 1
                return "open water surrounds the target" if one else "open water all around", sure
            return "water with a small stretch of coast", sure
        shore = "water" if cover_share("water", evidence.shares) >= PRESENT else "a shore"
        return f"{shore} bordered by {_bordering(around, evidence)}", sure
    if cover_share("grass", evidence.shares) >= PRESENT:
        around = ["grass", *around[:1]]
    if not around:
        return "paved airport ground all around", evidence.sure("apron")
    return f"airport ground bordered by {_bordering(around, evidence)}", sure


def _bordering(around: list[str], evidence: TileEvidence) -> str:
    """ "quays in the upper left and fields"."""
    first = COVER_NAME[around[0]] + _part(around[0], evidence)
    return first if len(around) == 1 else f"{first} and {COVER_NAME[around[1]]}"
