"""Judge sub-texts against the exact truth of a tile, one stated rule per dimension (docs/measured-annotator.md)."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, cast

import numpy as np

from knowlip.base.vocabulary import landform_shares, region_of
from knowlip.language.claims import UNMEASURED, Claims, parse_claims
from knowlip.language.definitions import (
    BUILDING_AMOUNTS,
    COARSE,
    CROSS_FROM_M,
    ELONGATED_FROM_M,
    LENGTH_TOLERANCE,
    PRESENT,
    TileTruth,
    TrueObject,
    adjacent,
    arrangement,
    axial_difference,
    axial_mean,
    centre_of,
    count_holds,
    cover_share,
    holds,
    layout_margins,
    layout_shares,
)
from knowlip.language.dimensions import InstructionSet

SHARE_TOLERANCE: Final = 0.15
AXIS_TOLERANCE_DEG: Final = 30.0
_AMOUNT_SLACK: Final = 0.05


def judge(instruction_set: str, dimension: str, text: str, truth: TileTruth, window_m: float) -> bool | None:
    """Whether a sub-text is true.

    Args:
        instruction_set: the set the text was written for: "ground", "marine" or "terrain".
        dimension: its dimension; what is judged is every claim that :func:`parse_claims` finds, and all must hold.
        text: the sub-text.
        truth: tile truth: `objects` (targets whose centre is in the tile), `buildings`, `shares`, `grid` (nine shares).
        window_m: side of the tile in metres.

    Returns:
        True or False; None where the text makes no claim that truth can verify.
    """
    found = parse_claims(instruction_set, dimension, text)
    claims = cast(Claims, {name: value for name, value in found.items() if name not in UNMEASURED})
    if not claims:
        return None
    if instruction_set == InstructionSet.TERRAIN:
        rule = _TERRAIN_RULES.get(dimension)
        return None if rule is None else rule(claims, truth)
    if dimension == "Region":
        return _region(claims, truth)
    if dimension == "Environment":
        return _environment(claims, truth)
    targets = [item for item in truth["objects"] if item["category"] == claims["category"]]
    target_rule = _TARGET_RULES.get(dimension)
    return None if target_rule is None else target_rule(claims, targets)


def _mostly(name: str, regions: Sequence[int], truth: TileTruth) -> bool:
    return sum(holds(name, region, truth) for region in regions) * 2 > len(regions)


def _count(claims: Claims, targets: list[TrueObject]) -> bool:
    if "count_range" in claims:
        low, high = claims["count_range"]
        return low <= len(targets) <= high
    return count_holds(claims["count"], len(targets))


def _location(claims: Claims, targets: list[TrueObject]) -> bool:
    """More than half of the targets lie in the claimed regions, and at least half of those hold a target."""
    at = [region_of(target["x"], target["y"]) for target in targets]
    claimed = set(claims["regions"])
    return sum(region in claimed for region in at) * 2 > len(at) and len(claimed & set(at)) * 2 >= len(claimed)


def _feature(claims: Claims, targets: list[TrueObject]) -> bool:
    if not targets:
        return False
    length = float(np.median([target["length_m"] for target in targets]))
    shape = claims.get("shape")
    ship = claims["category"] == "ship"
    if shape is not None:
        large = length >= (ELONGATED_FROM_M if ship else CROSS_FROM_M)
        true = ("elongated" if ship else "cross") if large else "compact"
        if shape != true:
            return False
    if "axis_deg" in claims:
        longest = max(targets, key=lambda target: target["length_m"])
        axes = [float(longest["heading_deg"]), axial_mean([float(target["heading_deg"]) for target in targets])]
        return any(axial_difference(claims["axis_deg"], axis) <= AXIS_TOLERANCE_DEG for axis in axes)
    return True


def _size(claims: Claims, targets: list[TrueObject]) -> bool:
    if not targets:
        return False
    true = float(np.median([target["length_m"] for target in targets]))
    return bool(abs(claims["length_m"] - true) <= LENGTH_TOLERANCE * true)


def _category(claims: Claims, targets: list[TrueObject]) -> bool:
    counts = Counter(target["type"] for target in targets)
    return bool(counts) and counts[claims["types"][0]] == max(counts.values())


def _pattern(claims: Claims, targets: list[TrueObject]) -> bool:
    return claims["pattern"] == arrangement([(target["x"], target["y"]) for target in targets])


def _near(claimed: float, true: float) -> bool:
    return abs(claimed - true) <= SHARE_TOLERANCE


def _region(claims: Claims, truth: TileTruth) -> bool:
    return all(_near(share, cover_share(name, truth["shares"])) for name, share in claims["shares"].items())


def _environment(claims: Claims, truth: TileTruth) -> bool:
    if claims.get("open_water") and cover_share("water", truth["shares"]) < 0.8:
        return False
    if not all(cover_share(name, truth["shares"]) >= PRESENT for name in claims.get("covers", [])):
        return False
    return _where(claims, truth) if "where" in claims else True


def _terrain(claims: Claims, truth: TileTruth) -> bool:
    forms = landform_shares(truth["shares"])
    main = max(forms, key=lambda name: forms[name])
    second = claims.get("second")
    if "open land" in (claims["main"], second):
        main = max(COARSE, key=lambda name: cover_share(name, truth["shares"]))
    return claims["main"] == main and (second is None or cover_share(second, truth["shares"]) >= PRESENT / 2)


def _functionality(claims: Claims, truth: TileTruth) -> bool:
    forms = landform_shares(truth["shares"])
    categories = {item["category"] for item in truth["objects"]}
    return {
        "airport": cover_share("pavement", truth["shares"]) >= 0.02 or "aircraft" in categories,
        "port": forms["quay"] >= 0.02 or "ship" in categories,
        "farmland": forms["field"] >= 0.3 and forms["field"] > forms["built-up"],
        "forest": forms["wood"] >= 0.3 and forms["wood"] > forms["built-up"],
        "open water": forms["water"] >= 0.6,
        "urban": forms["built-up"] >= 0.2,
        "mixed": max(forms.values()) < 0.6,
    }[claims["function"]]


def _where(claims: Claims, truth: TileTruth) -> bool:
    return all(_mostly(name, regions, truth) for name, regions in claims["where"].items())


def _layout(claims: Claims, truth: TileTruth) -> bool:
    if any(cover_share(name, truth["shares"]) < PRESENT / 2 for name in claims.get("covers", [])):
        return False
    coarse = "open land" in claims.get("covers", [])
    return layout_margins(*layout_shares(truth["shares"], coarse))[claims["layout"]] >= 0


def _boundary(claims: Claims, truth: TileTruth) -> bool:
    if claims.get("no_boundary"):
        return layout_shares(truth["shares"])[1] < 0.15
    one, other = claims["between"]
    if min(cover_share(one, truth["shares"]), cover_share(other, truth["shares"])) < 0.05:
        return False
    if not adjacent(one, other, truth):
        return False
    if "side" not in claims:
        return True
    (x_one, y_one), (x_other, y_other) = centre_of(one, truth), centre_of(other, truth)
    return {
        "left": x_one < x_other,
        "right": x_one > x_other,
        "above": y_one < y_other,
        "below": y_one > y_other,
    }[claims["side"]]


def _buildings(claims: Claims, truth: TileTruth) -> bool:
    share = cover_share("built-up", truth["shares"])
    low, high = BUILDING_AMOUNTS[claims["amount"]]
    if claims["amount"] == "none" and truth["buildings"] > 3:
        return False
    if not low - _AMOUNT_SLACK <= share < high + _AMOUNT_SLACK:
        return False
    return "regions" not in claims or _mostly("built-up", claims["regions"], truth)


def _roads(claims: Claims, truth: TileTruth) -> bool:
    share = cover_share("road", truth["shares"])
    if not claims["roads"]:
        return share < 0.01
    return share >= 0.005 and ("regions" not in claims or _mostly("road", claims["regions"], truth))


def _water(claims: Claims, truth: TileTruth) -> bool:
    share = cover_share("water", truth["shares"])
    if not claims["water"]:
        return share < 0.05
    if share < 0.03 or ("shares" in claims and not _near(claims["shares"]["water"], share)):
        return False
    return "regions" not in claims or _mostly("water", claims["regions"], truth)


_TARGET_RULES: Final[dict[str, Callable[[Claims, list[TrueObject]], bool]]] = {
    "Count": _count,
    "Location": _location,
    "Feature": _feature,
    "Size": _size,
    "Category": _category,
    "Distribution": _pattern,
}
_TERRAIN_RULES: Final[dict[str, Callable[[Claims, TileTruth], bool]]] = {
    "Terrain": _terrain,
    "Functionality": _functionality,
    "Distribution": _where,
    "Layout": _layout,
    "Boundary": _boundary,
    "Buildings": _buildings,
    "Roads": _roads,
    "Water": _water,
}
