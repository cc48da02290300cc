"""What a tile's texts claim as numbers that an image encoder can be taught: closed questions with the answers that the
text leaves open, and which of the nine regions hold what.

A text says a count exactly or as a range, and one type or two; so the target of a question is the *set* of answers that
agree with the text. What a text does not say is unknown and teaches nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from knowlip.base.vocabulary import LANDFORMS, REGIONS
from knowlip.language.claims import Claims, parse_claims, say_the_same
from knowlip.language.closed import CLOSED, HOLDS, LENGTHS_M, MAPPED, MOST, NONE, PERCENT, PLACES
from knowlip.language.dimensions import InstructionSet

_OF_AIRFIELDS: Final = ("runway", "apron", "grass", "pavement")
_CONTRADICTS: Final = ~np.isin([closed.name for closed in CLOSED], [*HOLDS.values()])
_WIDEST: Final = max(len(closed.answers) for closed in CLOSED)


@dataclass
class Grounding:
    """What texts claim, in numbers."""

    answers_QK: np.ndarray
    """bool (questions of `CLOSED`, longest list of answers): the answers that agree with the text; a row without any is
    unknown."""
    regions_M9: np.ndarray
    """int8 (`MAPPED`, 9): 1 the region holds it, 0 it does not, -1 unknown."""

    def phrases(self) -> list[str]:
        """Words for what each of the nine regions holds; "" where nothing is known of it."""
        held = self.regions_M9 == 1
        return [", ".join(name for name, row in zip(MAPPED, held) if row[region]) for region in range(9)]


def nothing() -> Grounding:
    """No claim at all."""
    return Grounding(np.zeros((len(CLOSED), _WIDEST), bool), np.full((len(MAPPED), 9), -1, np.int8))


def grounding_of(instruction_set: str, texts: Mapping[str, str]) -> Grounding:
    """What a tile's texts claim.

    Args:
        instruction_set: "ground", "marine" or "terrain".
        texts: dimension -> sub-text. Give one alone to learn what that one claims.
    """
    return grounding_of_claims(
        instruction_set,
        {dimension: parse_claims(instruction_set, dimension, text) for dimension, text in texts.items()},
    )


def grounding_of_claims(instruction_set: str, said: Mapping[str, Claims]) -> Grounding:
    """The same from claims by dimension that are read already."""
    result = nothing()
    terrain = instruction_set == InstructionSet.TERRAIN
    for dimension, claims in said.items():
        for read in (_read_land if terrain else _read_targets).get(dimension, ()):
            if claims:
                read(claims, result)
    return result


def contradict(instruction_set: str, dimension: str, one: str, other: str) -> bool:
    """Whether two sub-texts cannot both be right: no answer to some question agrees with both, or they see something
    in other regions; of what is no answer, whether they claim something else."""
    a, b = (grounding_of(instruction_set, {dimension: text}) for text in (one, other))
    # A list of landforms that leaves one out does not deny it to another list: what it names may still be right.
    asked = a.answers_QK.any(1) & b.answers_QK.any(1) & _CONTRADICTS
    mapped = (a.regions_M9 >= 0).any(1) & (b.regions_M9 >= 0).any(1)
    if not asked.any() and not mapped.any():
        return not say_the_same(instruction_set, dimension, one, other)
    apart = asked & ~(a.answers_QK & b.answers_QK).any(1)
    held_a, held_b = a.regions_M9 == 1, b.regions_M9 == 1
    elsewhere = mapped & held_a.any(1) & held_b.any(1) & ~(held_a & held_b).any(1)
    return bool(apart.any() or elsewhere.any())


def _answer(result: Grounding, name: str, *answers: str | None) -> None:
    """These answers agree with the text; those that are not on the list are passed over."""
    place = PLACES[name]
    for answer in answers:
        if answer in CLOSED[place].answers:
            result.answers_QK[place, CLOSED[place].answers.index(answer)] = True


def _hold(result: Grounding, name: str, regions: list[int]) -> None:
    """Of all regions these hold it."""
    if name in MAPPED:
        row = result.regions_M9[MAPPED.index(name)]
        row[:] = 0
        row[regions] = 1


def _count(claims: Claims, result: Grounding) -> None:
    low, high = claims.get("count_range") or [claims.get("count", -1)] * 2
    _answer(result, "count", *(str(min(number, MOST)) for number in range(max(0, low), high + 1)))


def _location(claims: Claims, result: Grounding) -> None:
    _hold(result, claims["category"], claims.get("regions", []))
    _answer(result, "region", *(REGIONS[number] for number in claims.get("regions", [])))


def _feature(claims: Claims, result: Grounding) -> None:
    _answer(result, "shape", claims.get("shape"))
    if "axis_deg" in claims:
        _answer(result, "axis", str(round(claims["axis_deg"])))


def _size(claims: Claims, result: Grounding) -> None:
    if "length_m" in claims:
        logs = np.abs(np.log(LENGTHS_M) - np.log(max(claims["length_m"], 1.0)))
        _answer(result, "length", str(LENGTHS_M[int(logs.argmin())]))


def _category(claims: Claims, result: Grounding) -> None:
    _answer(result, "type", *claims.get("types", [])[:1])


def _pattern(claims: Claims, result: Grounding) -> None:
    _answer(result, "pattern", claims.get("pattern"))


def _shares(claims: Claims, result: Grounding) -> None:
    for name in ("water", "grass", "pavement"):
        if name in claims.get("shares", {}):
            nearest = min(PERCENT, key=lambda percent: abs(percent - 100 * claims["shares"][name]))
            _answer(result, name, f"{nearest} %")


def _surroundings(claims: Claims, result: Grounding) -> None:
    if claims.get("open_water"):
        _answer(result, "open_water", "yes")
    elif any(name != "water" for name in claims.get("covers", [])):
        _answer(result, "open_water", "no")
    for name, regions in _landforms(claims).items():
        _hold(result, name, regions)


def _terrain(claims: Claims, result: Grounding) -> None:
    main, second = claims.get("main"), claims.get("second")
    _answer(result, "main", main)
    _answer(result, "second", second)
    for name, question in HOLDS.items():
        if name in (main, second):
            _answer(result, question, "yes")


def _function(claims: Claims, result: Grounding) -> None:
    _answer(result, "function", claims.get("function"))


def _where(claims: Claims, result: Grounding) -> None:
    if "where" in claims:  # a list of all that there is
        where = _landforms(claims)
        for name in (*LANDFORMS, "open land"):
            _hold(result, name, where.get(name, []))
        for name in LANDFORMS:
            _answer(result, HOLDS[name], "yes" if name in where else "no")


def _landforms(claims: Claims) -> dict[str, list[int]]:
    """Name in `MAPPED` -> regions; runways, aprons and the grass between them are an airfield too."""
    found: dict[str, set[int]] = {}
    for name, regions in claims.get("where", {}).items():
        for one in {name, "airfield" if name in _OF_AIRFIELDS else name}:
            found.setdefault(one, set()).update(regions)
    return {name: sorted(regions) for name, regions in found.items()}


def _layout(claims: Claims, result: Grounding) -> None:
    _answer(result, "layout", claims.get("layout"))


def _boundary(claims: Claims, result: Grounding) -> None:
    if claims.get("no_boundary"):
        _answer(result, "boundary", NONE)
        return
    _answer(result, "boundary", claims.get("side"))
    for name, cover in zip(("one_side", "other_side"), claims.get("between", [])):
        _answer(result, name, cover)


def _buildings(claims: Claims, result: Grounding) -> None:
    _answer(result, "buildings", claims.get("amount"))


def _roads(claims: Claims, result: Grounding) -> None:
    if "roads" in claims:
        _answer(result, "roads", "yes" if claims["roads"] else "no")
        _hold(result, "road", claims.get("regions", [])) if "regions" in claims or not claims["roads"] else None


def _water(claims: Claims, result: Grounding) -> None:
    if claims.get("water") is False:
        _answer(result, "water", "0 %")
    _shares(claims, result)


_Reader = Callable[[Claims, Grounding], None]
_read_targets: Final[Mapping[str, tuple[_Reader, ...]]] = {
    "Count": (_count,),
    "Location": (_location,),
    "Feature": (_feature,),
    "Size": (_size,),
    "Category": (_category,),
    "Distribution": (_pattern,),
    "Region": (_shares,),
    "Environment": (_surroundings,),
}
_read_land: Final[Mapping[str, tuple[_Reader, ...]]] = {
    "Terrain": (_terrain,),
    "Functionality": (_function,),
    "Distribution": (_where,),
    "Layout": (_layout,),
    "Boundary": (_boundary,),
    "Buildings": (_buildings,),
    "Roads": (_roads,),
    "Water": (_water,),
}
