"""How often a tile's text contradicts that of the tile around it, with the parent's text given and without.

    python -m benchmarks.consistency DATASET [--out benchmarks/results/consistency.json]

Every tile is annotated twice by the measured annotator: down the chain (each tile told its parent's text), and each by
itself. The parent that a text is held against is of the same kind: that of the chain, or the one written by itself.
What contradicts is defined in :func:`conflicts`. Floor: template texts from truth, which are true; chance: the texts of
the chain against the parent of another tile. One process, one thread.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotate_accuracy import true_set
from benchmarks.record import record
from knowlip.annotators.labels import LabelsAnnotator
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.types import Annotation
from knowlip.annotators.workers import tile_request
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import wilson

KINDS = ("function", "water", "built-up", "category", "count")
_COVERS = {
    "airport": ("airfield", "runway", "apron", "pavement"),
    "port": ("quay",),
    "farmland": ("field",),
    "forest": ("wood",),
    "open water": ("water",),
    "urban": ("built-up",),
}


def claims_of(note: Annotation) -> dict[str, dict[str, Any]]:
    """Dimension -> claims."""
    return {sub.dimension: parse_claims(note.instruction_set, sub.dimension, sub.text) for sub in note.sub_texts}


def _covers(claims: Mapping[str, dict[str, Any]]) -> set[str]:
    """All covers that a text names as being there."""
    named: set[str] = set()
    for claim in claims.values():
        named |= {str(claim[key]) for key in ("main", "second") if claim.get(key)}
        named |= {*claim.get("covers", ()), *claim.get("where", ()), *claim.get("between", ())}
        named |= {name for name, share in claim.get("shares", {}).items() if share > 0}
    if claims.get("Buildings", {}).get("amount", "none") != "none":
        named.add("built-up")
    if claims.get("Water", {}).get("water") or claims.get("Environment", {}).get("open_water"):
        named.add("water")
    return named


def _function(kind: str, claims: Mapping[str, dict[str, Any]]) -> str | None:
    function = claims.get("Functionality", {}).get("function")
    return str(function) if function else {"ground": "airport", "marine": "port"}.get(kind)


def _water(kind: str, claims: Mapping[str, dict[str, Any]]) -> float | None:
    """Share of water that a text claims; None where it does not say."""
    if kind != "terrain":
        share = claims.get("Region", {}).get("shares", {}).get("water")
        return None if share is None else float(share)
    water = claims.get("Water", {})
    if water.get("water") is False:
        return 0.0
    share = water.get("shares", {}).get("water")
    return None if share is None else float(share)


def conflicts(child: Annotation, parent: Annotation) -> dict[str, bool]:
    """Which statements of a tile cannot be true together with those of the tile around it (four times its area).

    A kind is left out where one of the two does not speak on it.

    - function: the tile's use is not its parent's, neither is mixed, and the parent names no cover that makes the use
      (an urban tile in a farmland parent that names built-up land is no conflict).
    - water: at least 20 % where the parent has none (it would be 5 % of it), or none where the parent is 90 % water.
    - built-up: some or many buildings (15 % and more) where the parent has none (less than 3 %).
    - category: ships or aircraft in a parent whose text is about none, or about the others.
    - count: more of them than in the parent.
    """
    here, there = claims_of(child), claims_of(parent)
    found: dict[str, bool] = {}
    one, other = _function(child.instruction_set, here), _function(parent.instruction_set, there)
    if child.instruction_set == "terrain" and one and other:
        named = _covers(there)
        excused = one == other or "mixed" in (one, other) or any(cover in named for cover in _COVERS[one])
        found["function"] = not excused
    inner, outer = _water(child.instruction_set, here), _water(parent.instruction_set, there)
    if inner is not None and outer is not None:
        found["water"] = (inner >= 0.2 and outer == 0.0) or (inner == 0.0 and outer >= 0.9)
    amount, around = here.get("Buildings", {}).get("amount"), there.get("Buildings", {}).get("amount")
    if amount and around:
        found["built-up"] = around == "none" and amount in ("some", "many")
    if child.instruction_set != "terrain":
        found["category"] = parent.instruction_set != child.instruction_set
        inside, whole = (claims.get("Count", {}).get("count") for claims in (here, there))
        if not found["category"] and inside is not None and whole is not None:
            found["count"] = inside > whole
    return found


def annotate(dataset: Dataset) -> dict[str, dict[str, Annotation]]:
    """ "chain", "alone" and "labels" -> tile_id -> annotation."""
    measured, labels = MeasuredAnnotator(), LabelsAnnotator(dataset)
    done: dict[str, dict[str, Annotation]] = {"chain": {}, "alone": {}, "labels": {}}
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale)
        for row, image in zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"]))):
            plain, tile = {str(key): value for key, value in row.items()}, row["tile_id"]
            parent = done["chain"].get(row["parent_id"])
            alone = measured.annotate(tile_request(plain, image, None))
            done["alone"][tile] = alone
            done["chain"][tile] = measured.annotate(tile_request(plain, image, parent)) if parent else alone
            done["labels"][tile] = labels.annotate_tile(tile)
    return done


def rates(found: Mapping[str, dict[str, bool]]) -> dict[str, Any]:
    """Shares with intervals: of pairs with any conflict, and of each kind among the pairs that speak on it."""

    def share(values: list[bool]) -> dict[str, Any]:
        if not values:
            return {"pairs": 0}
        interval = [round(end, 4) for end in wilson(sum(values), len(values))]
        return {"pairs": len(values), "share": round(float(np.mean(values)), 4), "interval": interval}

    return {
        "any": share([any(kinds.values()) for kinds in found.values()]),
        **{kind: share([kinds[kind] for kinds in found.values() if kind in kinds]) for kind in KINDS},
    }


def by_scenes(chain: Mapping[str, bool], alone: Mapping[str, bool], scenes: Mapping[str, str]) -> dict[str, Any]:
    """Share of conflicts with the chain less that without, and its 95 % interval from drawing whole scenes: tiles of
    one scene are not independent of each other."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tile, conflict in chain.items():
        sums[scenes[tile]][0] += int(conflict) - int(alone[tile])
        sums[scenes[tile]][1] += 1
    table = np.array(list(sums.values()))
    drawn = table[np.random.default_rng(0).integers(len(table), size=(10_000, len(table)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return {
        "scenes": len(table),
        "value": round(float(table[:, 0].sum() / table[:, 1].sum()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


def measure(dataset: Dataset) -> dict[str, Any]:
    """Annotate, compare, count."""
    done, truths = annotate(dataset), dataset.truth()
    tiles = dataset.tiles()
    parents = {tile: parent for tile, parent in zip(tiles["tile_id"], tiles["parent_id"]) if parent in done["chain"]}
    scales, windows = (dict(zip(tiles["tile_id"], tiles[name])) for name in ("scale", "window_m"))
    found = {
        name: {tile: conflicts(notes[tile], notes[parent]) for tile, parent in parents.items()}
        for name, notes in done.items()
    }
    rng, chance = np.random.default_rng(0), {}
    for scale in SCALES[1:]:
        ours = [tile for tile in sorted(parents) if scales[tile] == scale]
        for tile, donor in zip(ours, rng.permutation(len(ours))):
            chance[tile] = conflicts(done["chain"][tile], done["chain"][parents[ours[donor]]])
    any_of = {name: {tile: any(kinds.values()) for tile, kinds in pairs.items()} for name, pairs in found.items()}
    changed = Counter((any_of["chain"][tile], any_of["alone"][tile]) for tile in parents)
    true: dict[str, list[bool]] = defaultdict(list)
    for name, notes in done.items():
        for tile, note in notes.items():
            for sub in note.sub_texts:
                verdict = judge(note.instruction_set, sub.dimension, sub.text, truths[tile], windows[tile])
                true[name] += [] if verdict is None else [verdict]
    return {
        "interval": rates(found["chain"])["any"]["interval"],
        "baseline_interval": rates(found["alone"])["any"]["interval"],
        "difference": by_scenes(any_of["chain"], any_of["alone"], dict(zip(tiles["tile_id"], tiles["scene_id"]))),
        "tiles": len(done["chain"]),
        "pairs": len(parents),
        "chain": rates(found["chain"]),
        "alone": rates(found["alone"]),
        "truth_texts": rates(found["labels"]),
        "other_parent": rates(chance),
        "by_scale": {
            scale: {
                name: rates({t: kinds for t, kinds in pairs.items() if scales[t] == scale})["any"]
                for name, pairs in found.items()
            }
            for scale in SCALES[1:]
        },
        "paired": {"only_chain": changed[True, False], "only_alone": changed[False, True], "both": changed[True, True]},
        "true_sub_texts": {name: round(float(np.mean(values)), 4) for name, values in true.items()},
        "true_set_chosen": {
            name: round(float(np.mean([note.instruction_set == true_set(truths[t]) for t, note in notes.items()])), 4)
            for name, notes in done.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/consistency.json"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    result = measure(dataset) | {"dataset_fingerprint": dataset.fingerprint}
    unit = "share of tiles whose text contradicts its parent's; baseline: annotated without the parent's text"
    value, baseline = (result[name]["any"]["share"] for name in ("chain", "alone"))
    record(arguments.out, value, baseline, unit, result, "one process")
    for name in ("chain", "alone", "truth_texts", "other_parent"):
        print(name, {kind: row.get("share") for kind, row in result[name].items()})
    print(result["difference"], result["paired"], result["true_sub_texts"])


if __name__ == "__main__":
    main()
