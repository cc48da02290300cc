"""Sections about the data: the map, the facts, and sample tiles with the history of their eight sub-texts."""

# ruff: noqa: E501 (markup is easier to read in one line)

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import DISTRUSTED, SCALES, Decision
from knowlip.benchmark.report.maps import SPLITS, place_panels, world_map
from knowlip.benchmark.report.marks import missing, picture, table, verdict
from knowlip.benchmark.report.pictures import Pictures
from knowlip.dataset import Dataset
from knowlip.language.truth import judge

_STATES: dict[str, tuple[str, str]] = {
    Decision.ANNOTATED: ("original", "original"),
    Decision.KEPT: ("original", "checked, kept"),
    Decision.SCREENED: ("screened", "screened as noise"),
    Decision.REWRITTEN: ("rewritten", "rewritten"),
    Decision.REJECTED: ("screened", "screened; rewriting refused"),
}


def map_section(data: Dataset) -> str:
    """World map and a panel a place."""
    panels, left_out = place_panels(data)
    keys = "".join(f'<span class="key key-{split}">{split}</span>' for split in SPLITS)
    more = f'<p class="muted">{left_out} more places are not drawn.</p>' if left_out else ""
    return (
        f"<p>Each number is a place; its pie shows how its tiles are split. Splits follow geographic blocks, so no ground "
        f'is shared between training and test. {keys}</p>{world_map(data.index)}<div class="places">{panels}</div>{more}'
        '<p class="credit">Coastline: Natural Earth, public domain.</p>'
    )


def facts_section(data: Dataset) -> str:
    """Counts by scale, split and sensor, and what was rejected."""
    index = pd.DataFrame(data.index.drop(columns="geometry"))
    accepted = index[index["accepted"]]
    counts = Counter(zip(accepted["scale"], accepted["split"]))
    windows = accepted.groupby("scale")["window_m"].first().to_dict()
    rows = [
        [
            f'{scale} <span class="muted">{windows[scale]:g} m</span>',
            *(f"{counts[scale, split]:,}" for split in SPLITS),
            f"<b>{sum(counts[scale, split] for split in SPLITS):,}</b>",
        ]
        for scale in SCALES
        if scale in windows
    ]
    totals = [sum(counts[scale, split] for scale in SCALES) for split in SPLITS]
    rows.append(["<b>all</b>", *(f"<b>{n:,}</b>" for n in totals), f"<b>{sum(totals):,}</b>"])
    blocks = accepted.groupby("split")["block"].nunique().to_dict()
    rows.append(
        [
            '<span class="muted">geographic blocks</span>',
            *(str(blocks.get(s, 0)) for s in SPLITS),
            str(sum(blocks.values())),
        ]
    )
    by_scale = table(["scale", *SPLITS, "all"], rows, numeric=(1, 2, 3, 4))
    sensor_rows = [
        [
            escape(str(sensor)),
            escape(str(part["sar:frequency_band"].iloc[0])),
            _range(part["resolution_m"]) + " m",
            str(part["scene_id"].nunique()),
            f"{len(part):,}",
        ]
        for sensor, part in accepted.groupby("platform", sort=True)
    ]
    by_sensor = table(["sensor", "band", "resolution", "places", "tiles"], sensor_rows, numeric=(2, 3, 4))
    rejected = index[~index["accepted"]]
    reasons = Counter(rejected["reject_reason"])
    if reasons:
        most = max(reasons.values())
        bars = "".join(
            f"<li><span>{escape(str(reason)) or 'no reason given'}</span>"
            f'<span class="bar"><i style="width:{100 * count / most:.1f}%"></i></span><b>{count:,}</b></li>'
            for reason, count in reasons.most_common()
        )
        share = len(rejected) / len(index)
        refused = f'<p>{len(rejected):,} of {len(index):,} tiles ({100 * share:.1f} %) were rejected:</p><ul class="bars">{bars}</ul>'
    else:
        refused = f"<p>All {len(index):,} tiles passed the quality filter.</p>"
    return (
        f'<div class="columns"><div><h3>Tiles</h3>{by_scale}</div><div><h3>Sensors</h3>{by_sensor}</div>'
        f"<div><h3>Rejected</h3>{refused}</div></div>"
    )


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


def samples_section(
    data: Dataset, truths: Mapping[str, Any], pictures: Pictures, revision: int | None, count: int, seed: int
) -> str:
    """Sample tiles with all eight sub-texts: what became of each, and whether it is true."""
    if not data.revisions():
        return missing("The data set has no texts yet.")
    original, latest = data.texts(0), data.texts(revision)
    chosen = choose_samples(data, latest, count, seed)
    tiles = data.tiles().set_index("tile_id")
    cards = []
    for tile_id in chosen:
        tile = tiles.loc[tile_id].to_dict()
        before = original[original["tile_id"] == tile_id].set_index("slot").to_dict("index")
        after = latest[latest["tile_id"] == tile_id].to_dict("records")
        truth = truths.get(tile_id)
        items = "".join(_history(before[row["slot"]], row, truth, float(tile["window_m"])) for row in after)
        place = ", ".join(v for v in (tile["city"], tile["country"]) if v)
        words = [tile["split"], f"{tile['scale']}, {tile['window_m']:g} m", tile["platform"], place]
        words.append(f"{after[0]['instruction_set']} texts")
        cards.append(
            f'<article class="sample"><div class="tile">{picture(pictures.uri(tile_id, 288), f"SAR tile {tile_id}", "full")}'
            f"{_targets(truth)}</div><div><h3><code>{escape(tile_id)}</code></h3>"
            f'<p class="muted">{escape(" · ".join(str(word) for word in words if word))}</p>'
            f'<ol class="subtexts">{items}</ol></div></article>'
        )
    note = (
        "Marks compare each claim with the truth of the simulated scene."
        if truths
        else "These scenes have no truth, so no claim can be called true or wrong."
    )
    toggle = (
        '<label class="toggle"><input type="checkbox" id="show-targets" checked> outline true ships and aircraft</label>'
        if truths
        else ""
    )
    return f"<p>A fixed random draw over all kinds of decisions. {note} {toggle}</p>" + "".join(cards)


def _history(old: Mapping[Any, Any], new: Mapping[Any, Any], truth: Mapping[str, Any] | None, window_m: float) -> str:
    """One sub-text: what it says, what it said before, what was decided, and whether it is true."""
    kind, words = _STATES.get(str(new["decision"]), ("original", str(new["decision"])))

    def judged(row: Mapping[Any, Any]) -> str:
        if truth is None:
            return ""
        return verdict(judge(row["instruction_set"], row["dimension"], row["text"], truth, window_m))

    said = f'<span class="said">{escape(new["text"])}</span> {judged(new)}'
    if old["text"] != new["text"]:
        former = f"<del>{escape(old['text'])}</del> {judged(old)}"
        said = f'{former}<br><span class="arrow" role="img" aria-label="became">→</span> {said}'
    state = f'<span class="state {kind}">{words}</span>'
    return f'<li class="{kind}"><b>{escape(new["dimension"])}</b><div>{said} {state}</div></li>'


def _targets(truth: Mapping[str, Any] | None) -> str:
    if not truth or not truth["objects"]:
        return ""
    shapes = "".join(
        f'<polygon points="{" ".join(f"{100 * x:.2f},{100 * y:.2f}" for x, y in item["polygon"])}">'
        f"<title>{escape(item['type'])}, {item['length_m']:.0f} m</title></polygon>"
        for item in truth["objects"]
    )
    return f'<svg class="targets" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
