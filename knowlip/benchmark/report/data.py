"""What the report says of the data: counts, and sample tiles with the history of their eight sub-texts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import DISTRUSTED, SCALES, Decision
from knowlip.benchmark.report.places import SPLITS
from knowlip.dataset import Dataset
from knowlip.language.definitions import TileTruth
from knowlip.language.truth import judge

_STATES: dict[str, tuple[str, str]] = {
    Decision.ANNOTATED: ("original", "original"),
    Decision.KEPT: ("original", "checked, kept"),
    Decision.SCREENED: ("screened", "screened as noise"),
    Decision.REWRITTEN: ("rewritten", "rewritten"),
    Decision.REJECTED: ("screened", "screened; rewriting refused"),
    Decision.PARAPHRASED: ("original", "in other words"),
}
"""Decision -> CSS class and words."""


def facts(data: Dataset) -> dict[str, Any]:
    """Counts by scale, split and sensor, and what was rejected."""
    # Counted from the index, not from dataset.json: the page shows what is there now.
    index = pd.DataFrame(data.index.drop(columns="geometry"))
    accepted = index[index["accepted"]]
    counts = Counter(zip(accepted["scale"], accepted["split"]))
    windows = accepted.groupby("scale")["window_m"].first().to_dict()
    blocks = accepted.groupby("split")["block"].nunique().to_dict()
    return {
        "scales": [
            {"name": scale, "window": f"{windows[scale]:g} m", "counts": [counts[scale, split] for split in SPLITS]}
            for scale in SCALES
            if scale in windows
        ],
        "totals": [sum(counts[scale, split] for scale in SCALES) for split in SPLITS],
        "blocks": [blocks.get(split, 0) for split in SPLITS],
        "sensors": [
            (
                sensor,
                part["sar:frequency_band"].iloc[0],
                f"{_range(part['resolution_m'])} m",
                part["scene_id"].nunique(),
                f"{len(part):,}",
            )
            for sensor, part in accepted.groupby("platform", sort=True)
        ],
        "tiles": len(index),
        "rejected": len(index) - len(accepted),
        "reasons": Counter(index.loc[~index["accepted"], "reject_reason"]).most_common(),
    }


def _range(values: pd.Series) -> str:
    """Smallest to largest in three digits, one number where they agree."""
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low}–{high}"


def choose_samples(data: Dataset, latest: pd.DataFrame, count: int, seed: int) -> list[str]:
    """Tiles to show: a fixed random draw of rewritten, screened, untouched and test tiles in turn, scenes spread."""
    tiles = data.tiles()
    tiles = tiles[tiles["tile_id"].isin(set(latest["tile_id"]))]
    touched = {
        kind: set(latest.loc[latest["decision"] == kind, "tile_id"]) for kind in (Decision.REWRITTEN, *DISTRUSTED)
    }
    kept = set(latest["tile_id"]) - set().union(*touched.values())
    test = set(tiles.loc[tiles["split"] == "test", "tile_id"])
    scene = dict(zip(tiles["tile_id"], tiles["scene_id"]))
    kind_of = dict(zip(latest["tile_id"], latest["instruction_set"]))
    order = [tiles["tile_id"].iloc[i] for i in np.random.default_rng(seed).permutation(len(tiles))]
    pools = [touched[Decision.REWRITTEN], touched[Decision.SCREENED] | touched[Decision.REJECTED], kept - test, test]
    chosen: list[str] = []
    while len(chosen) < min(count, len(order)):
        before = len(chosen)
        for pool in pools:
            left = [t for t in order if t in pool and t not in chosen]
            if not left or len(chosen) >= count:
                continue
            used = Counter([scene[t] for t in chosen] + [kind_of[t] for t in chosen])
            chosen.append(min(left, key=lambda t: used[kind_of[t]] * 2 + used[scene[t]]))
        if len(chosen) == before:
            break
    return chosen


def samples(
    data: Dataset, truths: Mapping[str, Any], revision: int | None, count: int, seed: int
) -> list[dict[str, Any]] | None:
    """Sample tiles with all eight sub-texts: what became of each, and whether it is true. None without texts."""
    if not data.revisions():
        return None
    original, latest = data.texts(0), data.texts(revision)
    tiles = data.tiles().set_index("tile_id")
    result = []
    for tile_id in choose_samples(data, latest, count, seed):
        tile, truth = tiles.loc[tile_id].to_dict(), truths.get(tile_id)
        before = original[original["tile_id"] == tile_id].set_index("slot").to_dict("index")
        after = latest[latest["tile_id"] == tile_id].to_dict("records")
        place = ", ".join(v for v in (tile["city"], tile["country"]) if v)
        words = [tile["split"], f"{tile['scale']}, {tile['window_m']:g} m", tile["platform"], place]
        words.append(f"{after[0]['instruction_set']} texts")
        result.append(
            {
                "tile_id": tile_id,
                "words": " · ".join(str(word) for word in words if word),
                "targets": truth["objects"] if truth else [],
                "judged": truth is not None,
                "texts": [_history(before[row["slot"]], row, truth, float(tile["window_m"])) for row in after],
            }
        )
    return result


def _history(
    old: Mapping[Any, Any], new: Mapping[Any, Any], truth: TileTruth | None, window_m: float
) -> dict[str, Any]:
    """One sub-text: what it says, what it said before, what was decided, and whether it is true."""

    def judged(row: Mapping[Any, Any]) -> bool | None:
        return judge(row["instruction_set"], row["dimension"], row["text"], truth, window_m) if truth else None

    kind, state = _STATES.get(str(new["decision"]), ("original", str(new["decision"])))
    changed = old["text"] != new["text"]
    return {
        "dimension": new["dimension"],
        "text": new["text"],
        "true": judged(new),
        "before": old["text"] if changed else None,
        "before_true": judged(old) if changed else None,
        "kind": kind,
        "state": state,
    }
