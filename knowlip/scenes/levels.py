"""Levels that no ground has and pixels that no radar has: what tells that a calibration or a CRS is another's."""

from dataclasses import replace

import numpy as np

from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.scene import Scene

_SANE_DB = -70.0, 40.0
"""Median levels of calibrated scenes lie between the noise floor of radars and the strongest city."""
_SANE_PIXEL_M = 0.01, 5_000.0
_EVERY = 6
"""Of the 25 places that are looked at for data, each of this number."""


def told_levels(scene: Scene) -> Scene:
    """The scene, with a note where its calibrated power has a median that no ground has, or is mostly nothing, or its
    pixels on a map are of a size that cannot be."""
    if isinstance(scene.geometry, AffineGeometry) and scene.located:
        side = scene.resolution_m
        if not _SANE_PIXEL_M[0] <= side <= _SANE_PIXEL_M[1]:
            scene = _told(scene, f"Its pixels are {side:.3g} m wide, which no radar image has: is its CRS another?")
    if scene.radiometry != "calibrated":
        return scene
    # A few places are enough: a factor of another image is off by tens of decibels everywhere.
    read = [scene.raster.read(window) for window in scene.raster._probes()[::_EVERY]]
    scene.raster.close()
    power = np.concatenate([power[valid] for power, valid in read])
    if not power.size:
        return scene
    median = float(np.median(power))
    if median <= 0:
        none = float(np.mean(power <= 0))
        calibration = scene.raster.calibration
        noisy = calibration is not None and calibration.noise is not None
        why = ", as the noise that is taken off is larger than they are" if noisy else ""
        return _told(scene, f"{none:.0%} of its sampled pixels have no power{why}: doubt them.")
    level = 10 * np.log10(median)
    if _SANE_DB[0] <= level <= _SANE_DB[1]:
        return scene
    return _told(
        scene,
        f"Its {scene.quantity} has a median of {level:.0f} dB, which no ground has: its calibration, or its units, are "
        "not those of its pixels (--read.calibrate false reads them as relative numbers).",
    )


def _told(scene: Scene, note: str) -> Scene:
    return replace(scene, notes=(*scene.notes, note))
