"""What is said of ships and aircraft: one statement for each dimension of the ground and marine instruction sets."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from knowlip.annotators.measured.evidence import Overall, Target, TileEvidence
from knowlip.annotators.measured.land_statements import bounded
from knowlip.annotators.measured.lines import worth_a_word
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, region_of
from knowlip.language.definitions import (
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    LENGTH_TOLERANCE,
    PRESENT,
    arrangement,
    axial_difference,
    axial_mean,
    cover_share,
    regions_with,
    spread_of,
)
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.phrases import percent, round_length
from knowlip.language.statements import Slots, Statement

_STRIP: Final = 0.03
"""Share of runway from which its direction is told."""
_OPEN: Final = 0.85
"""Share of water from which nothing but water is spoken of."""
_WHOLE_ENOUGH: Final = 60
"""Percent of an airfield's tile below which its shares leave too much unsaid."""
_MANY: Final = 4
"""Number of targets from which the place of most of them is told as such."""
_OFF_LINE: Final = 0.25
"""Largest spread of a row's regions across its line, as a share of its length."""


def target_statements(evidence: TileEvidence) -> dict[str, Statement]:
    """What is said under each dimension.

    Args:
        evidence: with at least one target.

    Raises:
        ValueError: no target.
    """
    category = evidence.category
    if category is None:
        raise ValueError("Target statements need at least one target.")
    targets = [target for target in evidence.targets if target.category == category]
    overall = evidence.overall or overall_of_targets(category, targets)
    return {
        dimension: write(evidence, category, targets, overall)
        for dimension, write in zip(DIMENSIONS[InstructionSet.MARINE], _WRITERS, strict=True)
    }


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
        regions=regions_of(targets),
        sure={
            "Location": certainty,
            "Count": certainty * 0.97 ** (number - 1),
            "Feature": certainty,
            "Size": 0.9 * certainty,
            "Category": certainty * (0.55 + 0.35 * most / number),
            "Distribution": 0.95 * certainty,
        },
    )


def regions_of(targets: Sequence[Target]) -> tuple[int, ...]:
    """The regions with most targets, until they hold two thirds of them."""
    chosen: list[int] = []
    covered = 0
    for region, number in Counter(region_of(target.x, target.y) for target in targets).most_common():
        if covered * 3 >= len(targets) * 2:
            break
        chosen.append(region)
        covered += number
    return tuple(chosen)


def _certainty(targets: Sequence[Target]) -> float:
    return float(np.mean([target.certainty for target in targets]))


def _count(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    return Statement(
        "count", {"category": category, "number": overall.number}, confidence=bounded(overall.sure["Count"])
    )


def _location(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    outside = sum(region_of(target.x, target.y) not in overall.regions for target in targets)
    one = overall.number == 1
    regions = _touching(overall.regions) if one else overall.regions
    slots: Slots = {
        "category": category,
        "regions": sorted(regions),
        "one": one,
        "most": outside > 0 and overall.number >= _MANY,
    }
    return Statement("location", slots, confidence=bounded(overall.sure["Location"]))


def _touching(regions: Sequence[int]) -> list[int]:
    """Of the likeliest regions of one target those that touch the likeliest: it lies in one place."""
    first = regions[:1]
    return [
        region
        for region in regions
        for one in first
        if max(abs(region // 3 - one // 3), abs(region % 3 - one % 3)) <= 1
    ]


def _feature(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    sure, one = bounded(overall.sure["Feature"]), overall.number == 1
    if not overall.resolved:
        return Statement("feature-compact", {"category": category, "one": one}, confidence=sure)
    if category == "aircraft":
        return Statement("feature-cross", {"category": category, "one": one}, confidence=sure)
    longest = max(targets, key=lambda target: target.length_m)
    heading = longest.heading_deg if len(targets) < 3 else axial_mean([target.heading_deg for target in targets])
    if axial_difference(heading, longest.heading_deg) > 30.0:
        heading = longest.heading_deg
    return Statement("feature-elongated", {"category": category, "axis_deg": heading, "one": one}, confidence=sure)


def _size(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    slots: Slots = {"category": category, "length_m": round_length(overall.length_m), "one": overall.number == 1}
    return Statement("size", slots, confidence=bounded(overall.sure["Size"]))


def _category(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    """The main type, and another that a third of the targets have; none that is far off the length that is told."""
    types, one = [overall.type], overall.number == 1
    others = Counter(target.type for target in targets if target.type != overall.type).most_common(1)
    if not one and others and others[0][1] * 3 >= len(targets):
        types.append(others[0][0])
    types = [name for name in types if _is_of_length(name, overall.length_m)] or types[:1]
    slots: Slots = {"category": category, "types": types, "one": one}
    return Statement("category", slots, confidence=bounded(overall.sure["Category"]))


def _is_of_length(name: str, length_m: float) -> bool:
    """Whether targets of a type may have a median length, with the tolerance that lengths have."""
    low, high = next(kind.length_m for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES) if kind.name == name)
    return low * (1.0 - LENGTH_TOLERANCE) <= length_m <= high * (1.0 + LENGTH_TOLERANCE)


def _distribution(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    pattern = overall.pattern
    if pattern == "row" and not _in_line(overall.regions):
        pattern = "scattered"
    slots: Slots = {"category": category, "two": overall.number == 2}
    return Statement(f"pattern-{pattern}", slots, confidence=bounded(overall.sure["Distribution"]))


def _in_line(regions: Sequence[int]) -> bool:
    """Whether a row of targets may lie in these regions."""
    return len(regions) < 3 or spread_of([(region % 3, region // 3) for region in regions])[1] <= _OFF_LINE


def _region(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    """Shares of a twentieth and more."""
    if category == "ship":
        water = max(10, percent(cover_share("water", evidence.shares)))  # ships float
        shares = {name: share for name, share in (("water", water), ("land", 100 - water)) if share}
        slots: Slots = {"shares": shares, "axis_deg": None, "full": 100 in shares.values()}
        return Statement("shares", slots, confidence=bounded(evidence.sure("water")))
    shares = {name: percent(cover_share(name, evidence.shares)) for name in ("pavement", "grass")}
    shares = {name: share for name, share in shares.items() if share}
    if shares and sum(shares.values()) < _WHOLE_ENOUGH:  # what the rest mostly is
        rest = {name: share for name, share in evidence.landforms.items() if name != "airfield"}
        main = max(rest, key=lambda name: rest[name])
        if percent(rest[main]) >= 10:
            shares[main] = percent(rest[main])
    if not shares:
        main, share = next(iter(evidence.landforms.items()))
        slots = {"shares": {main: percent(share)}, "axis_deg": None, "full": percent(share) == 100}
        return Statement("shares", slots, confidence=bounded(evidence.sure(main)))
    axis = None
    if cover_share("runway", evidence.shares) >= _STRIP:
        axis = worth_a_word(evidence.axes.get("runway"))
    sure = bounded(evidence.sure("runway", "apron", "grass"))
    slots = {"shares": shares, "axis_deg": axis, "full": 100 in shares.values()}
    return Statement("shares", slots, confidence=sure)


def _environment(evidence: TileEvidence, category: str, targets: list[Target], overall: Overall) -> Statement:
    """What lies around: landforms of a tenth of the tile and more, and where they concentrate."""
    skip = {"water"} if category == "ship" else {"airfield"}
    around = [name for name, share in evidence.landforms.items() if share >= PRESENT and name not in skip][:2]
    sure = bounded(evidence.sure("water", *around))
    water = cover_share("water", evidence.shares)
    if category == "ship" and not around and water >= _OPEN:
        return Statement("open-water", {"category": category, "one": overall.number == 1}, confidence=sure)
    if category == "aircraft" and cover_share("grass", evidence.shares) >= PRESENT:
        around = ["grass", *around[:1]]
    covers: dict[str, object] = {name: _part(name, evidence) for name in around}
    if category == "ship" and water >= PRESENT:
        covers = {"water": [], **covers}
    if category == "aircraft" and not covers:
        covers = {"pavement": []}
    slots: Slots = {"covers": covers or {"water": []}, "category": category, "one": overall.number == 1}
    return Statement("around", slots, confidence=sure)


def _part(name: str, evidence: TileEvidence) -> list[int]:
    """The regions where a cover concentrates, none where it does not."""
    regions = regions_with(name, evidence.land)
    return regions if len(regions) <= 3 else []


_WRITERS: Final[tuple[Callable[[TileEvidence, str, list[Target], Overall], Statement], ...]] = (
    _count,
    _location,
    _feature,
    _size,
    _category,
    _distribution,
    _region,
    _environment,
)
