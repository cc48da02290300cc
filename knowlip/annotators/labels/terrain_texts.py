"""Statements about labelled land cover: the terrain instruction set."""

from typing import Final

from knowlip.annotators.labels.facts import Facts
from knowlip.annotators.labels.templates import UNKNOWN, choose
from knowlip.annotators.measured.phrases import COVER_NAME, in_regions
from knowlip.language.definitions import (
    BUILDING_AMOUNTS,
    PRESENT,
    adjacent,
    centre_of,
    holds,
    layout_shares,
)

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
_ROAD: Final = 0.005
_WATER: Final = 0.03
_FEW_BUILDINGS: Final = 3
"""So many buildings are still none, where their share says so."""


def terrain_texts(facts: Facts) -> dict[str, str]:
    """Dimension -> text."""
    if not facts.shares:
        return dict.fromkeys(
            ("Terrain", "Functionality", "Distribution", "Layout", "Boundary", "Buildings", "Roads", "Water"), UNKNOWN
        )
    return {
        "Terrain": _terrain(facts),
        "Functionality": _functionality(facts),
        "Distribution": _distribution(facts),
        "Layout": _layout(facts),
        "Boundary": _boundary(facts),
        "Buildings": _buildings(facts),
        "Roads": _roads(facts),
        "Water": _water(facts),
    }


def _name(cover: str) -> str:
    return COVER_NAME.get(cover, cover)


def _terrain(facts: Facts) -> str:
    names = list(facts.forms)
    main = _MAIN.get(names[0], _name(names[0]))
    second = next((name for name in names[1:2] if facts.forms[name] >= PRESENT), None)
    if second is None or names[0] == "land":  # "land" is no landform: named second it would stand for the first
        return choose("terrain", facts.tile_id, main=main)
    return choose("terrain second", facts.tile_id, main=main, second=_name(second))


def _functionality(facts: Facts) -> str:
    """What the shares say by the definitions that texts are judged by; what masks cannot tell stays unknown."""
    forms, built = facts.forms, facts.share("built-up")
    if facts.exact:
        if facts.share("pavement") >= 0.02:
            return choose("function", facts.tile_id, use=_USES["airport"])
        if forms["quay"] >= 0.02:
            return choose("function", facts.tile_id, use=_USES["port"])
        if built >= 0.2:
            return choose("function", facts.tile_id, use=_USES["urban"])
        for use, cover in (("farmland", "field"), ("forest", "wood")):
            if forms[cover] >= 0.3 and forms[cover] == max(forms.values()):
                return choose("function", facts.tile_id, use=_USES[use])
    if forms["water"] >= 0.6:
        return choose("function", facts.tile_id, use=_USES["open water"])
    if facts.exact and max(forms.values()) < 0.6:
        return choose("function", facts.tile_id, use=_USES["mixed"])
    return UNKNOWN


def _places(name: str, facts: Facts) -> list[int]:
    """Regions that hold a cover (of an airfield: in the sense of "airfield ground")."""
    return [region for region in range(9) if holds(name, region, facts.as_truth)]


def _where(name: str, facts: Facts) -> str:
    """ " in the upper left", "" where the cover concentrates nowhere."""
    places = _places(name, facts)
    return f" {in_regions(places)}" if places else ""


def _distribution(facts: Facts) -> str:
    names = [name for name, share in facts.forms.items() if share >= _PLACED][:3]
    parts = [_name(name) + where for name in names if (where := _where(name, facts))]
    return choose("where", facts.tile_id, parts=", ".join(parts)) if parts else UNKNOWN


def _layout(facts: Facts) -> str:
    """The layout whose condition is met by the widest margin."""
    names, shares = list(facts.forms), list(facts.forms.values())
    first, second, third = layout_shares(facts.shares) if facts.exact else _largest(shares)
    named = [share >= PRESENT / 2 for share in [*shares, 0.0, 0.0][:3]]
    margins = {"uniform": (first - 0.70) / 0.08}
    if all(named[:2]):
        margins["two-part"] = min(first + second - 0.75, second - 0.15) / 0.06
    if all(named):
        margins["mosaic"] = (third - 0.08) / 0.04
    best = max(margins, key=lambda name: margins[name])
    if margins[best] < 0:
        return UNKNOWN
    words = dict(zip(("one", "two", "three"), map(_name, [*names, "", ""])))
    return choose(f"layout {best}", facts.tile_id, **words)


def _largest(shares: list[float]) -> tuple[float, float, float]:
    total = sum(shares) or 1.0
    first, second, third = [*(share / total for share in shares), 0.0, 0.0][:3]
    return first, second, third


def _boundary(facts: Facts) -> str:
    names, truth = list(facts.forms), facts.as_truth
    pairs = [(names[0], other) for other in names[1:] if facts.forms[other] >= _PLACED]
    pairs = [pair for pair in pairs if adjacent(*pair, truth)]
    if not pairs:
        lonely = (layout_shares(facts.shares) if facts.exact else _largest(list(facts.forms.values())))[1] < 0.15
        return choose("boundary none", facts.tile_id) if lonely else UNKNOWN
    one, other = pairs[0] if pairs[0][1] != "water" else (pairs[0][1], pairs[0][0])
    (x_one, y_one), (x_other, y_other) = centre_of(one, truth), centre_of(other, truth)
    dx, dy, side = x_other - x_one, y_other - y_one, ""
    if max(abs(dx), abs(dy)) >= _ONE_SIDE:
        word = ("left" if dx > 0 else "right") if abs(dx) >= abs(dy) else ("above" if dy > 0 else "below")
        side = f", {_name(one)} {f'to the {word}' if word in ('left', 'right') else word}"
    edge = "shoreline" if one == "water" else "edge"
    return choose("boundary", facts.tile_id, one=_name(one), two=_name(other), edge=edge, side=side)


def _buildings(facts: Facts) -> str:
    if "built-up" not in facts.known:
        return UNKNOWN
    share = facts.share("built-up")
    amount = next(name for name, (low, high) in BUILDING_AMOUNTS.items() if low <= share < high)
    if amount == "none" and (facts.buildings or 0) > _FEW_BUILDINGS:
        amount = "few"
    return choose(f"buildings {amount}", facts.tile_id, where=_where("built-up", facts))


def _roads(facts: Facts) -> str:
    if "road" not in facts.known:
        return UNKNOWN
    if facts.share("road") < _ROAD:
        return choose("roads none", facts.tile_id)
    return choose("roads", facts.tile_id, where=_where("road", facts))


def _water(facts: Facts) -> str:
    if "water" not in facts.known:
        return UNKNOWN
    share = facts.share("water")
    if share < _WATER:
        return choose("water none", facts.tile_id)
    where = _where("water", facts)
    return choose("water", facts.tile_id, share=round(100 * share), where=f",{where}" if where else "")
