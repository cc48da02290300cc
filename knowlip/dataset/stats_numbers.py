"""All numbers of a data set: distributions over its accepted tiles, reasons of the rejected ones, targets, classes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from knowlip.base.progress import track
from knowlip.base.vocabulary import SCALES, landform_shares
from knowlip.dataset.annotations import IGNORE, iter_masks, mask_count
from knowlip.dataset.layout import SPLITS
from knowlip.dataset.png import decode_png
from knowlip.dataset.reader import Dataset

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"
EDGES = np.geomspace(1, 2048, 45)
"""Bins of lengths, four an octave."""
_AIRPORT, _PORT, _TOWN = 0.05, 0.02, 0.35
"""Shares of airfield, quay and built-up land from which a tile counts as airport, port or town."""


def measure(data: Dataset) -> dict[str, Any]:
    """Measure a data set.

    Returns:
        {"dataset", "fingerprint", "tiles", "accepted", "scenes", "area_km2" (of accepted large tiles, None where
        unknown), "rejected": {reason: n}, "by": {"sensor" | "band" | "polarisation" | "resolution_m" | "country" |
        "city" | "scene_type" | "scale" | "split": {value: n}}, "sensor_scale": {sensor: {scale: n}}, "sensor_split",
        "targets", "mask_shares": {class: share of the pixels that have one}, "texts": {"revisions", "tiles"}}.
        Counts are of accepted tiles.
    """
    # Rejected tiles are counted by reason alone: they have no pixels, so that nothing else of them is in the set.
    rows = data.tiles()
    everything = data.table.select(["accepted", "reject_reason"]).to_pandas()
    masks = _mask_counts(data)
    types = scene_types(data, masks)
    distributions = {
        "sensor": _counts(rows["platform"]),
        "band": _counts(rows["sar:frequency_band"]),
        "polarisation": _counts("+".join(sorted(names)) for names in rows["sar:polarizations"]),
        "resolution_m": _by_number(rows["resolution_m"]),
        "country": _counts(rows["country"]),
        "city": _counts(rows["city"]),
        "scene_type": _counts(types[tile] for tile in rows["tile_id"]),
        "scale": _in_order(rows["scale"], SCALES),
        "split": _in_order(rows["split"], SPLITS),
    }
    large = rows[rows["scale"] == "large"]
    areas = [
        shape[0] * shape[1] * spacing**2 / 1e6
        for shape, spacing in zip(large["proj:shape"], large["metres_per_pixel"])
        if np.isfinite(spacing)
    ]
    return {
        "dataset": data.path.resolve().name,
        "fingerprint": data.fingerprint,
        "tiles": len(everything),
        "accepted": len(rows),
        "scenes": int(rows["scene_id"].nunique()),
        "located": int(np.isfinite(rows["lon"]).sum()),
        "area_km2": round(float(sum(areas)), 3) if areas else None,
        "rejected": _counts(everything.loc[~everything["accepted"], "reject_reason"]),
        "by": distributions,
        "sensor_scale": _cross(rows, "scale", SCALES),
        "sensor_split": _cross(rows, "split", SPLITS),
        "targets": targets(data, rows),
        "mask_shares": _mask_shares(data, masks),
        "texts": {"revisions": data.revisions(), "tiles": int(data.texts()["tile_id"].nunique())},
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    """Value -> how often, the most frequent first; "" is "unknown"."""
    counts = Counter(str(value) or UNKNOWN for value in values)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _in_order(values: Iterable[str], order: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    return {name: counts[name] for name in order if counts[name]}


def _by_number(values: Iterable[float]) -> dict[str, int]:
    """Rounded to two digits, in rising order; unknown last."""
    counts = Counter(float(f"{value:.2g}") if np.isfinite(value) else np.inf for value in values)
    return {UNKNOWN if key == np.inf else f"{key:g}": counts[key] for key in sorted(counts)}


def _cross(rows: "pd.DataFrame", column: str, order: Iterable[str]) -> dict[str, dict[str, int]]:
    """Sensor -> value of the column -> how many tiles."""
    sensors = _counts(rows["platform"])
    return {name: _in_order(rows.loc[rows["platform"].replace("", UNKNOWN) == name, column], order) for name in sensors}


def scene_types(data: Dataset, masks: dict[str, np.ndarray]) -> dict[str, str]:
    """Scene type of every accepted tile: of its land cover where there is truth, else the most frequent class of its
    mask, else "unknown"."""
    truth, names = data.truth(), data.mask_classes
    types: dict[str, str] = {}
    for tile in data.tiles()["tile_id"]:
        if tile in truth:
            types[tile] = _scene_type(truth[tile].get("shares", {}))
        elif tile in masks and masks[tile].any():
            types[tile] = names.get(int(masks[tile].argmax()), UNKNOWN)
        else:
            types[tile] = UNKNOWN
    return types


def _scene_type(shares: Mapping[str, float]) -> str:
    """Airport, port or town where there is enough of them, else the land cover that dominates."""
    if not shares:
        return UNKNOWN
    forms = landform_shares(shares)
    if shares.get("runway", 0.0) + shares.get("apron", 0.0) >= _AIRPORT:
        return "airport"
    if forms["quay"] >= _PORT:
        return "port"
    if forms["built-up"] >= _TOWN:
        return "town"
    name = max(forms, key=lambda form: forms[form])
    return {"airfield": "airport", "built-up": "town", "quay": "port"}.get(name, name)


def targets(data: Dataset, rows: "pd.DataFrame") -> dict[str, Any]:
    """Objects of the large tiles (smaller scales show the same ones again).

    Returns:
        {"objects", "tiles_with", "per_tile": {number: tiles}, "categories": {name: {"count", "types": {type: n},
        "length_m": {"count", "low", "median", "high"}, "width_m", "lengths_m": counts between `EDGES`, "lengths_px"}},
        "box_px": {"count", "low", "median", "high"}}. Sizes in metres are stated ones, else those of the box where the
        pixel spacing is known; low and high are the 5th and 95th percentile. `box_px` is the square root of the box's
        area in pixels.
    """
    # Stated lengths are of the object, those of boxes of what is seen of it; labels of whole images have neither.
    large = rows[rows["scale"] == "large"].set_index("tile_id")
    found = data.annotations()
    found = found[found["tile_id"].isin(large.index)].reset_index(drop=True)
    whole = (found["width"] == 1) & (found["height"] == 1)
    tiles = large.loc[found["tile_id"]]
    shapes = np.array([list(shape) for shape in tiles["proj:shape"]], float).reshape(-1, 2)
    spacing = tiles["metres_per_pixel"].to_numpy()
    sides = np.column_stack([found["width"] * shapes[:, 1], found["height"] * shapes[:, 0]])
    for i, corners in enumerate(found["corners"]):
        if len(corners):
            points = np.asarray(corners).reshape(4, 2) * shapes[i, ::-1]
            sides[i] = np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[2] - points[1])
    sides[whole] = np.nan
    long_m = np.where(found["length_m"].notna(), found["length_m"], sides.max(axis=1) * spacing)
    short_m = np.where(found["width_m"].notna(), found["width_m"], sides.min(axis=1) * spacing)
    categories = {}
    for name, count in _counts(found["category"]).items():
        here = (found["category"] == name).to_numpy()
        lengths = long_m[here]
        categories[name] = {
            "count": count,
            "types": {key: n for key, n in _counts(found.loc[here, "type"]).items() if key != UNKNOWN},
            "length_m": _spread(lengths),
            "width_m": _spread(short_m[here]),
            "lengths_m": _histogram(lengths),
            "lengths_px": _histogram(sides[here].max(axis=1)),
        }
    per_tile = found.groupby("tile_id").size().reindex(large.index, fill_value=0)
    histogram = Counter(int(value) for value in per_tile) if len(found) else Counter()
    return {
        "objects": len(found),
        "tiles_with": int((per_tile > 0).sum()),
        "per_tile": {str(number): histogram[number] for number in sorted(histogram)},
        "categories": categories,
        "box_px": _spread(np.sqrt(sides.prod(axis=1))),
    }


def _histogram(values: np.ndarray) -> list[int]:
    """How many values lie between the neighbours in `EDGES`; beyond its ends: in the outer ones. [] without values."""
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    counts, _ = np.histogram(np.clip(known, EDGES[0], EDGES[-1]), EDGES)
    return [int(count) for count in counts]


def _spread(values: np.ndarray) -> dict[str, float | int]:
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return {"count": 0, "low": 0.0, "median": 0.0, "high": 0.0}
    low, median, high = (round(float(value), 2) for value in np.percentile(known, (5, 50, 95)))
    return {"count": len(known), "low": low, "median": median, "high": high}


def _mask_counts(data: Dataset) -> dict[str, np.ndarray]:
    """tile_id -> (255,) pixels of every class."""
    return {
        tile_id: np.bincount(decode_png(png).ravel(), minlength=256)[:IGNORE]
        for tile_id, png, _ in track(iter_masks(data.path), "count classes of masks", mask_count(data.path))
    }


def _mask_shares(data: Dataset, masks: dict[str, np.ndarray]) -> dict[str, float]:
    if not masks:
        return {}
    total = np.sum(list(masks.values()), axis=0)
    return {name: round(float(total[code] / max(1, total.sum())), 4) for code, name in data.mask_classes.items()}
