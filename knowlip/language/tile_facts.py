"""What is known of a tile, from its truth, its labels or the claims of its annotator: what the six questions ask for.

None stands where nothing is known or nothing is clear: a tie between regions, no type in the majority, a landform that
leads the next by less than five points of share.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd

from knowlip.base.vocabulary import LANDFORMS, TARGET_CATEGORIES, landform_shares, region_of
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import TileTruth
from knowlip.language.dimensions import InstructionSet

MIN_SHARE: Final = 0.10
"""A landform below this share is not part of the `all_landforms` answer."""
CLEAR_LEAD: Final = 0.05
"""Share of the area by which a landform leads the next where it is the answer."""


@dataclass(frozen=True)
class Facts:
    """What is known of a tile; None where nothing is known."""

    counts: dict[str, int] | None = None
    """Category -> number of targets."""
    types: dict[str, str] | None = None
    """Category -> the type of more than half of its targets."""
    regions: dict[str, int] | None = None
    """Category -> number (0 to 8) of the region with most of its targets."""
    main: str | None = None
    landforms: tuple[str, ...] | None = None
    grid: tuple[str | None, ...] | None = None
    """Main landform of each of the nine regions."""


def clear_landform(shares: Mapping[str, float], lead: float = CLEAR_LEAD) -> str | None:
    """The landform at least so much of the area (five points of share) ahead of every other, or None.

    Args:
        shares: landform -> share; those of `LANDFORMS` that are missing have none.
        lead: share by which it must lead.
    """
    ordered = sorted({**dict.fromkeys(LANDFORMS, 0.0), **shares}.items(), key=lambda item: -item[1])
    return ordered[0][0] if ordered[0][1] - ordered[1][1] >= lead else None


def _only_mode(values: Iterable[Any]) -> Any | None:
    """The single most frequent value, None for a tie or nothing."""
    common = Counter(values).most_common(2)
    if not common or (len(common) == 2 and common[0][1] == common[1][1]):
        return None
    return common[0][0]


def facts_from_objects(objects: Iterable[Mapping[str, str | int]], categories: Iterable[str]) -> Facts:
    """What the objects of a tile say: their number, the type of most, the region of most.

    Args:
        objects: `category`, `type` ("" where unknown) and `region` (0 to 8) of each.
        categories: those that could be there; others are passed over.
    """
    listed, counts, types, regions = list(objects), {}, {}, {}
    for category in categories:
        mine = [one for one in listed if one["category"] == category]
        counts[category] = len(mine)
        kind = _only_mode(one["type"] for one in mine)
        if kind and sum(one["type"] == kind for one in mine) * 2 > len(mine):
            types[category] = kind
        region = _only_mode(one["region"] for one in mine)
        if region is not None:
            regions[category] = region
    return Facts(counts=counts, types=types, regions=regions)


def facts_from_truth(truth: TileTruth) -> Facts:
    """What the truth of a tile (objects, shares, grid) says about the six questions."""
    objects: list[dict[str, str | int]] = [
        {"category": one["category"], "type": one["type"], "region": region_of(one["x"], one["y"])}
        for one in truth["objects"]
    ]
    known = facts_from_objects(objects, TARGET_CATEGORIES)
    shares = landform_shares(truth["shares"])
    return replace(
        known,
        main=clear_landform(shares),
        landforms=tuple(name for name in LANDFORMS if shares[name] >= MIN_SHARE),
        grid=tuple(clear_landform(landform_shares(cell)) for cell in truth["grid"]),
    )


_AIRFIELD: Final = frozenset({"runway", "apron", "grass", "pavement", "airfield"})


def _landform(cover: str) -> str | None:
    """The landform that a cover word of the annotator belongs to; None for "land" and others without one."""
    name = "airfield" if cover in _AIRFIELD else cover
    return name if name in LANDFORMS else None


def facts_from_texts(instruction_set: str, texts: Mapping[str, str]) -> Facts:
    """What an annotator claims about a tile, as far as its sentences can be read.

    Args:
        instruction_set: "ground", "marine" or "terrain".
        texts: dimension -> sub-text.
    """
    claims = {name: parse_claims(instruction_set, name, text) for name, text in texts.items()}
    if instruction_set != InstructionSet.TERRAIN:
        count, place, kind = (claims.get(name, {}) for name in ("Count", "Location", "Category"))
        category = next((c["category"] for c in (count, place, kind) if "category" in c), "ship")
        regions = place.get("regions", [])
        return Facts(
            counts={category: count["count"]} if "count" in count else None,
            types={category: kind["types"][0]} if kind.get("types") else None,
            regions={category: regions[0]} if len(regions) == 1 else None,
        )
    terrain = claims.get("Terrain", {})
    where: dict[str, list[int]] = claims.get("Distribution", {}).get("where", {})
    named = {_landform(cover) for cover in (terrain.get("main", ""), terrain.get("second", ""), *where)}
    in_region = [{_landform(cover) for cover, held in where.items() if region in held} - {None} for region in range(9)]
    return Facts(
        main=_landform(terrain.get("main", "")),
        landforms=tuple(name for name in LANDFORMS if name in named) or None,
        grid=tuple(next(iter(names)) if len(names) == 1 else None for names in in_region),
    )


def facts_of_texts(texts: pd.DataFrame) -> dict[str, Facts]:
    """Tile -> what its annotator claims.

    Args:
        texts: columns tile_id, instruction_set, dimension, text, as `Dataset.texts()` gives them.
    """
    return {
        str(tile_id): facts_from_texts(rows["instruction_set"].iloc[0], dict(zip(rows["dimension"], rows["text"])))
        for tile_id, rows in texts.groupby("tile_id", sort=True)
    }
