"""Which of the six questions the labels of an image answer clearly, and why the others are not asked.

A label says where the middle of a target is to the pixel, and how much of the area is water to the per mille; nobody
who looks can. An answer that would be another one if a label were off by a little is therefore no answer: such
questions are left out and counted by the reason. With every margin at 0, and targets that are cut by the edge taken as
they are, what is left are the answers of :func:`knowlip.language.tile_facts.facts_from_truth`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from knowlip.base.vocabulary import LANDFORMS, REGIONS, region_of
from knowlip.language.categories import IGNORED, is_kind_of, unknown, untyped
from knowlip.language.questions import MAX_COUNT, OF_TARGETS, QuestionType
from knowlip.language.tile_facts import CLEAR_LEAD, MIN_SHARE, Facts, clear_landform

ANY_TARGET: Final = "target"
"""What recognition asks of where the labels name categories and no finer types."""
DIFFICULT: Final = "a target is marked as difficult"
IGNORED_PART: Final = "a part of the image is marked as ignored"
ALSO_OTHERS: Final = "the image holds targets of another category that are of this kind too, as warships are ships"
MAY_BE_ONE: Final = "nobody knows what a target of the image is"
_WHOLE: Final = "the label is of the whole image"
CUT: Final = "a target is cut by the edge"
CUT_SHARE: Final = 0.05
"""A target of whose outline more lies outside the image is cut by its edge."""
_UNSEEN: Final = "too much of it is unlabelled"


class Spot(NamedTuple):
    """A labelled target."""

    category: str
    type: str
    """Finer than the category; "" where the label does not say."""
    x: float
    """Middle in fractions of the image, as `y`."""
    y: float
    doubtful: bool = False
    """Whether its label says that it is hard to see."""
    whole: bool = False
    """Whether its label is of the whole image, and says neither where nor how many."""
    outside: float = 0.0
    """Share of its outline that lies outside the image; NaN where it ends at the edge and nobody knows."""


@dataclass(frozen=True)
class Clearness:
    """How far from another answer an answer must be."""

    border: float = 0.02
    """A target whose middle is this near to a border of regions (share of the image's side) may lie in either."""
    lead: float = CLEAR_LEAD
    """Share of the area by which the main landform must lead the next."""
    presence: float = 0.02
    """A landform whose share is this near to the 10 % from which it is named leaves the list of all landforms open."""
    most: int = MAX_COUNT
    """More targets are not asked for by number."""
    cut: float = CUT_SHARE
    """A target of whose outline more than this share lies outside the image, or that ends at its edge, is counted by
    some and not by others; 1 takes all as they are."""

    def __post_init__(self) -> None:
        if not (0 <= self.border < 1 / 6 and 0 <= self.lead < 1 and 0 <= self.presence < MIN_SHARE):
            raise ValueError("clear: border must lie from 0 to below 1/6, lead below 1, presence below 0.1.")
        if not 0 <= self.cut <= 1:
            raise ValueError(f"clear.cut must lie from 0 to 1, not {self.cut}.")
        if not 1 <= self.most <= MAX_COUNT:
            raise ValueError(f"clear.most must lie from 1 to {MAX_COUNT}, the largest number that is an answer.")


@dataclass(frozen=True)
class ImageLabels:
    """What the labels of an image say."""

    spots: tuple[Spot, ...]
    categories: tuple[str, ...]
    """Those that could be there and are looked for; () where no targets are labelled."""
    typed: bool
    """Whether the labels of this data set name types."""
    forms: Mapping[str, float] = field(default_factory=dict)
    """Landform, or another class of a mask -> share; {} where no land is labelled."""
    grid: Sequence[Mapping[str, float]] = ()
    """The same of each of the nine regions."""
    unlabelled: float = 0.0
    """Share of the image in which nobody has labelled the land; `forms` are shares of the rest."""
    grid_unlabelled: Sequence[float] = ()
    """The same of each of the nine regions; () where all of each is labelled."""
    boxed: bool = True
    """Whether targets are labelled one by one in this data set, so that no label means that there is none."""


Reasons = dict[QuestionType, str]
"""Type -> why no question of it is asked."""


def clear_facts(said: ImageLabels, clear: Clearness) -> tuple[Facts, Reasons]:
    """What may be asked, and why the rest may not."""
    found: Reasons = {}
    counts, types, regions = _targets(said, clear, found)
    main, landforms, grid = _land(said, clear, found)
    return Facts(counts, types, regions, main, landforms, grid), found


def _targets(
    said: ImageLabels, clear: Clearness, found: Reasons
) -> tuple[dict[str, int] | None, dict[str, str] | None, dict[str, int] | None]:
    """Numbers, types and regions by category."""
    if not said.categories:
        for kind in (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION):
            found[kind] = "no targets are labelled in this data set"
        return None, None, None
    counts: dict[str, int] = {}
    types: dict[str, str] = {}
    regions: dict[str, int] = {}
    ignored = any(spot.category in IGNORED for spot in said.spots)
    for category in said.categories:
        mine = [spot for spot in said.spots if spot.category == category]
        # A target that is hard to see may or may not be counted, and may be what tips the majority.
        if ignored or any(spot.doubtful for spot in mine):
            found |= dict.fromkeys(OF_TARGETS, IGNORED_PART if ignored else DIFFICULT)
            continue
        if why := also_others(category, (spot.category for spot in said.spots)):
            found |= dict.fromkeys(OF_TARGETS if said.typed else (QuestionType.COUNT, QuestionType.POSITION), why)
            continue
        if any(spot.whole for spot in mine) or not (mine or said.boxed):
            found |= dict.fromkeys((QuestionType.COUNT, QuestionType.POSITION), _WHOLE)
        elif any(is_cut(spot.outside, clear.cut) for spot in mine):
            found |= dict.fromkeys((QuestionType.COUNT, QuestionType.POSITION), CUT)
        else:
            number, region = _number_and_region(mine, clear, found)
            counts |= {} if number is None else {category: number}
            regions |= {} if region is None else {category: region}
        if mine and said.typed:
            name = _majority(spot.type for spot in mine)
            if name:
                types[category] = name
            else:
                found[QuestionType.RECOGNITION] = "no type has more than half of the targets"
    if QuestionType.COUNT in found:  # where one number is open, nobody is asked about another that is none
        counts = {category: number for category, number in counts.items() if number}
    if not said.spots:
        found |= dict.fromkeys((QuestionType.RECOGNITION, QuestionType.POSITION), "no target in the image")
    if not said.typed and len(said.categories) == 1:
        found[QuestionType.RECOGNITION] = "the labels know one category and no types"
    elif not said.typed and said.spots:
        name = _majority(spot.category for spot in said.spots)
        if name and untyped(name):
            found[QuestionType.RECOGNITION] = "most targets have a category that does not say what they are"
        elif name and not ignored and not any(spot.doubtful for spot in said.spots):
            types[ANY_TARGET] = name
        else:
            found.setdefault(QuestionType.RECOGNITION, "no category has more than half of the targets")
    return counts, types, regions


def _number_and_region(mine: Sequence[Spot], clear: Clearness, found: Reasons) -> tuple[int | None, int | None]:
    """How many targets there are of a category and the region of most, where they are clear."""
    number = len(mine) if len(mine) <= clear.most else None
    if number is None:
        found[QuestionType.COUNT] = f"more than {clear.most} targets"
    region, why = clear_region([(spot.x, spot.y) for spot in mine], clear.border)
    if region is None and mine:
        found[QuestionType.POSITION] = why
    return number, region


def also_others(category: str, there: Iterable[str]) -> str:
    """Why somebody who is asked for targets of one category may count others of the image as well; "" where none is.

    Args:
        category: that is asked for.
        there: categories of all targets of the image.
    """
    others = {*there} - {category}
    if any(is_kind_of(name, category) for name in others):
        return ALSO_OTHERS
    return MAY_BE_ONE if any(map(unknown, others)) else ""


def is_cut(outside: float, most: float = CUT_SHARE) -> bool:
    """Whether a target is cut by the edge of the image so far that some count it and some do not.

    Args:
        outside: share of its outline outside of the image; NaN where it ends at the edge and nobody knows.
        most: so much may be; 1 takes all as they are.
    """
    return outside > most or (math.isnan(outside) and most < 1)


def _majority(names: Iterable[str]) -> str:
    """The name that more than half have; "" where none does, or it is "" itself."""
    listed = list(names)
    name, number = Counter(listed).most_common(1)[0]
    return name if 2 * number > len(listed) else ""


def clear_region(points: Sequence[tuple[float, float]], border: float) -> tuple[int | None, str]:
    """The region (0 to 8) that holds most points however each near a border is told, or why there is none.

    Args:
        points: x, y in fractions of the image.
        border: how near to a border of regions a point may lie in either.
    """
    at_least: Counter[int] = Counter()
    at_most: Counter[int] = Counter()
    for x, y in points:
        possible = {region_of(x + dx, y + dy) for dx in (-border, border) for dy in (-border, border)}
        at_most.update(possible)
        if len(possible) == 1:
            at_least.update(possible)
    for region, number in at_least.items():
        if all(number > most for other, most in at_most.items() if other != region):
            return region, ""
    exact = Counter(region_of(x, y) for x, y in points).most_common(2)
    tied = len(exact) == 2 and exact[0][1] == exact[1][1]
    return None, "no region holds more targets than every other" if tied else "a target lies on a border of regions"


def _land(
    said: ImageLabels, clear: Clearness, found: Reasons
) -> tuple[str | None, tuple[str, ...] | None, tuple[str | None, ...] | None]:
    """The main landform, all landforms, and those of the nine regions."""
    if not said.forms:
        for kind in (QuestionType.MAIN_LANDFORM, QuestionType.ALL_LANDFORMS, QuestionType.REGIONAL_LANDFORM):
            found[kind] = "no land is labelled in the image"
        return None, None, None
    # What nobody has labelled may be any one landform: answers are those that stay whatever it is.
    main = _main(said.forms, said.unlabelled, clear.lead)
    if main is None:
        near = clear_landform(said.forms, clear.lead) is None
        found[QuestionType.MAIN_LANDFORM] = "two landforms have about the same share" if near else _UNSEEN
    own = sorted({*said.forms} - {*LANDFORMS})
    seen = {name: said.forms.get(name, 0.0) * (1 - said.unlabelled) for name in (*LANDFORMS, *own)}
    landforms = tuple(name for name, share in seen.items() if share >= MIN_SHARE)
    if any(abs(share - MIN_SHARE) < clear.presence for share in seen.values()):
        found[QuestionType.ALL_LANDFORMS] = f"a landform has about {MIN_SHARE:.0%} of the area"
        landforms = ()
    elif said.unlabelled and any(
        share < MIN_SHARE < share + said.unlabelled + clear.presence for share in seen.values()
    ):
        found[QuestionType.ALL_LANDFORMS] = _UNSEEN
        landforms = ()
    elif not landforms:
        found[QuestionType.ALL_LANDFORMS] = f"no landform has {MIN_SHARE:.0%} of the area"
    unlabelled = said.grid_unlabelled or (0.0,) * len(said.grid)
    grid = tuple(_main(cell, open_, clear.lead) if cell else None for cell, open_ in zip(said.grid, unlabelled))
    if len(grid) != len(REGIONS) or not any(grid):
        near = not any(clear_landform(cell, clear.lead) for cell in said.grid if cell)
        found[QuestionType.REGIONAL_LANDFORM] = "no region has a clear landform" if near else _UNSEEN
    return main, landforms or None, grid if len(grid) == len(REGIONS) else None


def _main(shares: Mapping[str, float], unlabelled: float, lead: float) -> str | None:
    """The landform that leads by so much even where all that is unlabelled is the next.

    Args:
        shares: landform -> share of what is labelled.
        unlabelled: share of the area that is not.
        lead: share of the area.
    """
    return clear_landform(shares, (lead + unlabelled) / (1 - unlabelled)) if unlabelled < 1 else None
