"""Statements about labelled land cover: the terrain instruction set."""

from typing import Final

from knowlip.annotators.labels.facts import LabelFacts
from knowlip.annotators.labels.templates import choose
from knowlip.language.definitions import (
    PRESENT,
    adjacent,
    building_amount,
    layout_margins,
    layout_shares,
    regions_with,
    side_of,
)
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.phrases import COVER_NAME, UNKNOWN, in_regions, side_phrase

_MAIN: Final = {"water": "open water", "field": "farmland", "quay": "port land with quays"}
_USES: Final = {
    "airport": "an airport",
    "port": "a port for shipping",
    "farmland": "farmland",
    "forest": "forest",
    "open water": "open water",
    "urban": "an urban area",
    "mixed": "an area of mixed use",
}
_PLACED: Final = 0.07
"""Smallest share of a cover whose place is told."""
_ONE_SIDE: Final = 0.25
_PARTS: Final = {"uniform": 0, "two-part": 2, "mosaic": 3}
"""Layout -> covers that it needs."""
_ROAD: Final = 0.005
_WATER: Final = 0.03
_FEW_BUILDINGS: Final = 3
"""So many buildings are still none, where their share says so."""


def terrain_texts(facts: LabelFacts) -> dict[str, str]:
    """Dimension -> text."""
    writers = (_terrain, _functionality, _distribution, _layout, _boundary, _buildings, _roads, _water)
    names = DIMENSIONS[InstructionSet.TERRAIN]
    return {name: write(facts) if facts.shares else UNKNOWN for name, write in zip(names, writers)}


def _name(cover: str) -> str:
    return COVER_NAME.get(cover, cover)


def _terrain(facts: LabelFacts) -> str:
    names = list(facts.forms)
    main = _MAIN.get(names[0], _name(names[0]))
    second = next((name for name in names[1:2] if facts.forms[name] >= PRESENT), None)
    if second is None or names[0] == "land":  # "land" is no landform: named second it would stand for the first
        return choose("terrain", facts.chance, main=main)
    return choose("terrain second", facts.chance, main=main, second=_name(second))


def _functionality(facts: LabelFacts) -> str:
    """What the shares say by the definitions that texts are judged by; what masks cannot tell stays unknown."""
    forms, built = facts.forms, facts.share("built-up")
    if facts.exact:
        if facts.share("pavement") >= 0.02:
            return choose("function", facts.chance, use=_USES["airport"])
        if forms["quay"] >= 0.02:
            return choose("function", facts.chance, use=_USES["port"])
        if built >= 0.2:
            return choose("function", facts.chance, use=_USES["urban"])
        for use, cover in (("farmland", "field"), ("forest", "wood")):
            if forms[cover] >= 0.3 and forms[cover] == max(forms.values()):
                return choose("function", facts.chance, use=_USES[use])
    if forms["water"] >= 0.6:
        return choose("function", facts.chance, use=_USES["open water"])
    if facts.exact and max(forms.values()) < 0.6:
        return choose("function", facts.chance, use=_USES["mixed"])
    return UNKNOWN


def _where(name: str, facts: LabelFacts) -> str:
    """ " in the upper left", "" where the cover concentrates nowhere."""
    places = regions_with(name, facts.land)
    return f" {in_regions(places)}" if places else ""


def _distribution(facts: LabelFacts) -> str:
    names = [name for name, share in facts.forms.items() if share >= _PLACED][:3]
    parts = [_name(name) + where for name in names if (where := _where(name, facts))]
    return choose("where", facts.chance, parts=", ".join(parts)) if parts else UNKNOWN


def _layout(facts: LabelFacts) -> str:
    """The layout whose condition is met by the widest margin."""
    names, shares = list(facts.forms), [*facts.forms.values(), 0.0, 0.0]
    margins = layout_margins(*_largest(facts))
    # only what can be named: of two parts both, of a mosaic all three
    named = sum(share >= PRESENT / 2 for share in shares[:3])
    margins = {name: margin for name, margin in margins.items() if named >= _PARTS[name]}
    best = max(margins, key=lambda name: margins[name])
    if margins[best] < 0:
        return UNKNOWN
    words = dict(zip(("one", "two", "three"), map(_name, [*names, "", ""])))
    return choose(f"layout {best}", facts.chance, **words)


def _largest(facts: LabelFacts) -> tuple[float, float, float]:
    """The three largest shares, of landforms where they are told apart, else of whatever is."""
    if facts.exact:
        return layout_shares(facts.shares)
    total = sum(facts.forms.values()) or 1.0
    first, second, third = [*(share / total for share in facts.forms.values()), 0.0, 0.0][:3]
    return first, second, third


def _boundary(facts: LabelFacts) -> str:
    names = list(facts.forms)
    pairs = [(names[0], other) for other in names[1:] if facts.forms[other] >= _PLACED]
    pairs = [pair for pair in pairs if adjacent(*pair, facts.land)]
    if not pairs:
        return choose("boundary none", facts.chance) if _largest(facts)[1] < 0.15 else UNKNOWN
    one, other = pairs[0] if pairs[0][1] != "water" else (pairs[0][1], pairs[0][0])
    side = side_of(one, other, facts.land, _ONE_SIDE)
    where = f", {_name(one)} {side_phrase(side)}" if side else ""
    edge = "shoreline" if one == "water" else "edge"
    return choose("boundary", facts.chance, one=_name(one), two=_name(other), edge=edge, side=where)


def _buildings(facts: LabelFacts) -> str:
    if "built-up" not in facts.known:
        return UNKNOWN
    share = facts.share("built-up")
    amount = building_amount(share)
    if amount == "none" and (facts.buildings or 0) > _FEW_BUILDINGS:
        amount = "few"
    return choose(f"buildings {amount}", facts.chance, where=_where("built-up", facts))


def _roads(facts: LabelFacts) -> str:
    if "road" not in facts.known:
        return UNKNOWN
    if facts.share("road") < _ROAD:
        return choose("roads none", facts.chance)
    return choose("roads", facts.chance, where=_where("road", facts))


def _water(facts: LabelFacts) -> str:
    if "water" not in facts.known:
        return UNKNOWN
    share = facts.share("water")
    if share < _WATER:
        return choose("water none", facts.chance)
    where = _where("water", facts)
    return choose("water", facts.chance, share=round(100 * share), where=f",{where}" if where else "")
