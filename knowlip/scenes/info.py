"""What is understood of SAR products: `knowlip scene info PATH...`."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rasterio.windows import Window
from shapely.geometry import mapping

from knowlip.base.progress import track
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import SceneError
from knowlip.scenes.find import find_scenes, open_scenes
from knowlip.scenes.scene import Scene, SceneOverrides

_STRIP = 4_000_000
"""Pixels read at a time."""
_SAMPLE = 2_000_000
"""About so many pixels of a scene decide its percentiles."""
_SIDE = 64
"""Side in pixels of the windows in which looks are measured."""
_WINDOWS = 400
_TOLD = 3
"""Refusals told in full where every product is refused."""
_BINS = np.arange(-150.0, 200.0, 0.05)
"""Bins of the histogram of power in dB."""


@dataclass(frozen=True)
class SceneInfoConfig:
    """What to look at."""

    POSITIONAL: ClassVar = ("paths",)

    paths: list[Path]
    """Scene files and product folders; other folders are searched."""
    read: SceneOverrides = field(default_factory=SceneOverrides)
    """What is known better than the files say, and how products are read."""
    pixels: bool = True
    """Also read the pixels: valid share, percentiles of power, measured looks. False: headers only."""


def scene_info(config: SceneInfoConfig) -> dict[str, Any]:
    """Open every product and describe its scenes (all polarisations, unless the user names one).

    Returns:
        {"scenes": one description a scene, see :func:`describe`, "refused": [{"path", "kind", "sentence"}]}

    Raises:
        ValueError: a path does not exist, or every product is refused; the sentence names the kinds.
    """
    read = config.read
    if not read.polarisation:
        read = dataclasses.replace(read, polarisation="all")
    scenes: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    for path in track(find_scenes(config.paths), "look at scenes"):
        try:
            scenes += [describe(scene, config.pixels) for scene in open_scenes(path, read)]
        except ValueError as error:
            kind = error.kind if isinstance(error, SceneError) else "bad-setting"
            refused.append({"path": str(path), "kind": kind, "sentence": str(error)})
    if not scenes:
        more = f" ({len(refused) - _TOLD} more are refused.)" if len(refused) > _TOLD else ""
        raise ValueError(" ".join(f"[{item['kind']}] {item['sentence']}" for item in refused[:_TOLD]) + more)
    return {"scenes": scenes, "refused": refused}


def describe(scene: Scene, pixels: bool = True) -> dict[str, Any]:
    """A scene as a JSON value; None where something is not known.

    Args:
        scene: an open scene.
        pixels: also read all pixels, strip by strip.
    """
    rows, columns = scene.shape
    width, height = scene.pixel_size_m
    geometry = scene.geometry
    facts: dict[str, Any] = {
        "path": str(scene.path),
        "scene_id": scene.scene_id,
        "product": scene.product,
        "sensor": scene.sensor,
        "band": scene.band,
        "frequency_ghz": known(scene.frequency_ghz),
        "polarisation": scene.polarisation,
        "mode": scene.mode,
        "product_type": scene.product_type,
        "projection": scene.projection,
        "date": scene.date,
        "orbit": scene.orbit,
        "look_side": scene.look_side,
        "look_azimuth_deg": known(scene.look_azimuth_deg, 2),
        "incidence_deg": known(scene.incidence_deg, 3),
        "looks": scene.looks or None,
        "units": scene.units,
        "dtype": scene.dtype,
        "nodata": known(scene.nodata),
        "radiometry": scene.radiometry,
        "quantity": scene.quantity,
        "geometry": geometry.kind,
        "geometry_model": geometry.model if isinstance(geometry, ControlPoints) else "",
        "geometry_residual_m": known(geometry.residual_m, 3),
        "crs": _crs_name(scene),
        "size_px": [columns, rows],
        "pixel_m": [round(width, 4), round(height, 4)],
        "resolution_m": round(scene.resolution_m, 4),
        "size_km": [round(columns * width / 1000, 3), round(rows * height / 1000, 3)],
        "center": [round(value, 6) for value in scene.center] if scene.located else None,
        "footprint": mapping(scene.footprint) if scene.located else None,
        "notes": list(scene.notes),
    }
    try:
        if pixels:
            facts |= measure(scene)
    finally:
        scene.raster.close()
    return facts


def measure(scene: Scene) -> dict[str, Any]:
    """Facts that need the pixels: `valid_fraction`, `power_db` (percentiles 1, 50, 99), `looks_measured`.

    Pixels are read once, strip by strip. Looks are mean^2 / variance of power in the most homogeneous tenth of 64-pixel
    windows; texture lowers them, resampling that correlates neighbours does not raise them.
    """
    rows, columns = scene.shape
    stride = max(1, math.isqrt(rows * columns // _SAMPLE))
    # Strips begin on the stride and hold whole windows, so that what is measured does not depend on their height.
    step = max(1, _STRIP // columns // (_SIDE * stride)) * _SIDE * stride
    every = max(1, math.isqrt((rows // _SIDE) * (columns // _SIDE) // _WINDOWS))
    counts = np.zeros(len(_BINS) + 1, np.int64)
    valid_pixels, looks = 0, []
    for top in range(0, rows, step):
        power, valid = scene.read(Window(0, top, columns, min(step, rows - top)))
        valid_pixels += int(np.count_nonzero(valid))
        sample = power[::stride, ::stride][valid[::stride, ::stride]]
        levels = np.digitize(10 * np.log10(sample[sample > 0]), _BINS)
        counts += np.bincount(levels, minlength=len(counts))
        for row in range(0, power.shape[0] - _SIDE + 1, _SIDE * every):
            for column in range(0, columns - _SIDE + 1, _SIDE * every):
                here = slice(row, row + _SIDE), slice(column, column + _SIDE)
                if valid[here].all() and (variance := power[here].var(dtype=np.float64)) > 0:
                    looks.append(float(power[here].mean(dtype=np.float64)) ** 2 / float(variance))
    return {
        "valid_fraction": round(valid_pixels / (rows * columns), 6),
        "power_db": _percentiles(counts),
        "looks_measured": round(float(np.quantile(looks, 0.95)), 2) if looks else None,
    }


def _percentiles(counts: np.ndarray) -> dict[str, float] | None:
    """Percentiles of a histogram over `_BINS`, to half a bin."""
    if not counts.sum():
        return None
    share = np.cumsum(counts) / counts.sum()
    middles = np.append(_BINS, _BINS[-1]) - 0.025
    return {str(percent): round(float(middles[np.searchsorted(share, percent / 100)]), 2) for percent in (1, 50, 99)}


def known(value: float | None, digits: int = 6) -> float | None:
    """A rounded number, None where it is not known."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def _crs_name(scene: Scene) -> str:
    if not scene.located:
        return ""
    code = scene.crs.to_epsg()
    return f"EPSG:{code}" if code else scene.crs.to_string()


def show(result: dict[str, Any]) -> str:
    """The result as text for people."""
    blocks = [_block(facts) for facts in result["scenes"]]
    blocks += [f"{item['path']}\n  refused     {item['kind']}: {item['sentence']}" for item in result["refused"]]
    return "\n\n".join(blocks)


def _block(facts: dict[str, Any]) -> str:
    lines = {
        "sensor": _words(
            facts["sensor"], facts["band"] and f"{facts['band']} band", _unit(facts["frequency_ghz"], " GHz"),
            facts["polarisation"], facts["mode"], facts["product_type"], f"read as {facts['product']}",
        ),
        "acquired": _words(
            facts["date"], facts["orbit"], facts["look_side"] and f"looking {facts['look_side']}",
            _unit(facts["look_azimuth_deg"], "° (look direction)"), _unit(facts["incidence_deg"], "° incidence"),
        ),
        "radiometry": _words(
            facts["radiometry"] or "radiometry not stated", facts["quantity"] if facts["quantity"] != "none" else "",
            f"stored as {facts['units']} ({facts['dtype']})", _unit(facts["nodata"], "", "nodata "),
            _unit(facts["looks"], " looks"), _unit(facts.get("looks_measured"), " looks measured"),
        ),
        "power": _power(facts),
        "geometry": _words(
            {"local": "place unknown"}.get(facts["geometry"], facts["geometry"]), facts["geometry_model"],
            f"residual {facts['geometry_residual_m']:g} m" if facts["geometry_residual_m"] else "",
            facts["projection"] and f"{facts['projection']} projection",
            facts["crs"] if facts["crs"].startswith("EPSG") else "",
        ),
        "size": (
            f"{facts['size_px'][0]} x {facts['size_px'][1]} pixels of {facts['pixel_m'][0]:.4g} x "
            f"{facts['pixel_m'][1]:.4g} m = {facts['size_km'][0]:.4g} x {facts['size_km'][1]:.4g} km"
        ),
        "center": "{1:.5f}, {0:.5f} (latitude, longitude)".format(*facts["center"]) if facts["center"] else "",
    }  # fmt: skip
    text = [f"{facts['path']} [{facts['scene_id']}]"]
    text += [f"  {name:10}  {line}" for name, line in lines.items() if line]
    return "\n".join(text + [f"  note        {note}" for note in facts["notes"]])


def _power(facts: dict[str, Any]) -> str:
    if "valid_fraction" not in facts:
        return ""
    text = f"{facts['valid_fraction']:.2%} of the pixels valid"
    if facts["power_db"]:
        low, middle, high = facts["power_db"].values()
        text += f", {low:.1f} / {middle:.1f} / {high:.1f} dB at 1 / 50 / 99 %"
    return text


def _unit(value: float | None, unit: str, before: str = "") -> str:
    return "" if value is None else f"{before}{value:g}{unit}"


def _words(*words: str) -> str:
    return ", ".join(word for word in words if word)
