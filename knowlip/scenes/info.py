"""What is understood of SAR products: `knowlip scene info PATH...`."""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rasterio.windows import Window
from shapely.geometry import mapping

from knowlip.base.progress import track
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import SceneError
from knowlip.scenes.find import open_scenes, search
from knowlip.scenes.scene import Scene, SceneOverrides, counterclockwise

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
        {"scenes": one description a scene, see :func:`describe`, "refused": [{"path", "kind", "sentence"}],
        "passed_over": [{"path", "reason"}] of files in searched folders}

    Raises:
        ValueError: a path does not exist, or every product is refused; the sentence names the kinds.
    """
    read = config.read
    if not read.polarisation:
        read = dataclasses.replace(read, polarisation="all")
    scenes: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    found = search(config.paths)
    for path in track(found.scenes, "look at scenes"):
        try:
            scenes += [describe(scene, config.pixels) for scene in open_scenes(path, read)]
        except ValueError as error:
            kind = error.kind if isinstance(error, SceneError) else "bad-setting"
            refused.append({"path": str(path), "kind": kind, "sentence": str(error)})
    if not scenes:
        more = f" ({len(refused) - _TOLD} more are refused.)" if len(refused) > _TOLD else ""
        raise ValueError(" ".join(f"[{item['kind']}] {item['sentence']}" for item in refused[:_TOLD]) + more)
    return {"scenes": scenes, "refused": refused, "passed_over": [item.record() for item in found.passed_over]}


def describe(scene: Scene, pixels: bool = True) -> dict[str, Any]:
    """A scene as a JSON value, None where something is not known; with `pixels` they are all read, strip by strip."""
    rows, columns = scene.shape
    width, height = scene.pixel_size_m
    geometry = scene.geometry
    # The order is that of the printed JSON: what the file is, how it was taken, what its numbers mean, where they lie.
    facts: dict[str, Any] = {
        "path": str(scene.path),
        **_said(scene, "scene_id product sensor unit band"),
        "frequency_ghz": known(scene.frequency_ghz),
        **_said(scene, "polarisation mode product_type projection date orbit look_side"),
        "look_azimuth_deg": known(scene.look_azimuth_deg, 2),
        "incidence_deg": known(scene.incidence_deg, 3),
        "looks": scene.looks or None,
        **_said(scene, "units dtype"),
        "nodata": known(scene.nodata),
        **_said(scene, "radiometry quantity"),
        "geometry": geometry.kind,
        "geometry_model": geometry.model if isinstance(geometry, ControlPoints) else "",
        "geometry_residual_m": known(geometry.residual_m, 3),
        "crs": _crs_name(scene),
        "size_px": [columns, rows],
        "pixel_m": [round(width, 4), round(height, 4)],
        "resolution_m": round(scene.resolution_m, 4),
        "size_km": [round(columns * width / 1000, 3), round(rows * height / 1000, 3)],
        "center": [round(value, 6) for value in scene.center] if scene.located else None,
        "footprint": mapping(counterclockwise(scene.footprint)) if scene.located else None,
        "notes": list(scene.notes),
    }
    try:
        if pixels:
            facts |= measure(scene)
    finally:
        scene.raster.close()
    return facts


def _said(scene: Scene, names: str) -> dict[str, str]:
    """Properties of a scene that are taken as they are."""
    return {name: getattr(scene, name) for name in names.split()}


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
    blocks += [f"{item['path']}\n  passed over {item['reason']}" for item in result["passed_over"]]
    return "\n\n".join(blocks)


_LINES = {
    "sensor": "{sensor}|{unit}|{band} band|{frequency_ghz:g} GHz|{polarisation}|{mode}|{product_type}|"
    "read as {product}",
    "acquired": "{date}|{orbit}|looking {look_side}|{look_azimuth_deg:g}° (look direction)|"
    "{incidence_deg:g}° incidence",
    "radiometry": "{radiometry}|{quantity}|stored as {units} ({dtype})|nodata {nodata:g}|{looks:g} looks|"
    "{looks_measured:g} looks measured",
    "power": "{valid_fraction:.2%} of the pixels valid|{power_db[1]:.1f} / {power_db[50]:.1f} / {power_db[99]:.1f} dB "
    "at 1 / 50 / 99 %",
    "geometry": "{geometry}|{geometry_model}|residual {geometry_residual_m:g} m|{projection} projection|{crs}",
    "size": "{size_px[0]} x {size_px[1]} pixels of {pixel_m[0]:.4g} x {pixel_m[1]:.4g} m = {size_km[0]:.4g} x "
    "{size_km[1]:.4g} km",
    "center": "{center[1]:.5f}, {center[0]:.5f} (latitude, longitude)",
}
"""Lines of a scene's description; a part between bars is left out where its fact is not known."""


def _block(facts: dict[str, Any]) -> str:
    shown = {
        **facts,
        "radiometry": facts["radiometry"] or "radiometry not stated",
        "quantity": facts["quantity"].replace("none", ""),
        "geometry": facts["geometry"].replace("local", "place unknown"),
        "geometry_residual_m": facts["geometry_residual_m"] or None,
        "crs": facts["crs"] if facts["crs"].startswith("EPSG") else "",
        "power_db": {int(percent): level for percent, level in (facts.get("power_db") or {}).items()} or None,
    }
    text = [f"{facts['path']} [{facts['scene_id']}]"]
    for name, line in _LINES.items():
        parts = [part for part in line.split("|") if shown.get(re.split(r"[{}:\[]", part)[1]) not in (None, "")]
        if parts:
            text.append(f"  {name:10}  {', '.join(parts).format_map(shown)}")
    return "\n".join(text + [f"  note        {note}" for note in facts["notes"]])
