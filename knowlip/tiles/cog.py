"""Native pixels of large windows as cloud-optimised GeoTIFFs: what a tile shows at 256 pixels, at all the sensor has.

Stored is power (calibrated where the scene is) as float32 on the grid of `Ground`: linear, so that it may be averaged;
not dB, which cannot hold a zero that is data, and not the stored amplitude, which would need the calibration beside it.
Pixels that are not data are NaN, because 0 is a possible value.
"""

import math
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as PixelWindow

from knowlip.base.files import whole_file
from knowlip.scenes import Scene
from knowlip.scenes.opening import WRITE_OPTIONS
from knowlip.tiles.ground import Ground
from knowlip.tiles.windows import Window

COG = "cog"
"""Folder inside the data set."""
_SNAP = 1e-5
_PIXELS = {"driver": "COG", "count": 1, "dtype": "float32", "nodata": math.nan, "overview_resampling": "AVERAGE"}
_STORED = {"compress": "DEFLATE", "predictor": "YES", "level": 1, "blocksize": 512}


class CogFolder:
    """Writes the COGs of one scene. Every file is whole or absent, and the same window gives the same bytes."""

    def __init__(self, dataset: Path, scene: Scene):
        self.dataset, self.scene = dataset, scene

    def path(self, root: Window) -> Path:
        return self.dataset / COG / f"{root.tile_id}.tif"

    def write(self, ground: Ground, root: Window) -> str:
        """Write a large window with all native pixels that it touches; what lies outside the scene is NaN.

        Returns:
            The path of the file relative to the data set.
        """
        window, (power, valid) = _native(ground, root)
        values = np.where(valid, power, np.float32(np.nan))
        place = ground.transform @ ground.transform.translation(window.col_off, window.row_off)
        crs = ground.crs.to_wkt() if ground.located else None
        grid = {"width": window.width, "height": window.height, "crs": crs, "transform": place}
        layout = {**_PIXELS, **_STORED, **grid}
        file = self.path(root)
        with whole_file(file) as part, rasterio.Env(**WRITE_OPTIONS), rasterio.open(part, "w", **layout) as target:
            target.write(values, 1)
            target.update_tags(**_tags(self.scene))
        return f"{COG}/{root.tile_id}.tif"

    def remove(self, roots: list[Window]) -> None:
        """Remove what was written for a scene that failed later."""
        for root in roots:
            self.path(root).unlink(missing_ok=True)


def _native(ground: Ground, root: Window) -> tuple[PixelWindow, tuple[np.ndarray, np.ndarray]]:
    """The whole pixels that a window touches."""
    inverse = ~ground.transform
    left, top = inverse @ (root.left, root.top)
    right, bottom = inverse @ (root.left + root.side, root.top - root.side)
    x, y = math.floor(left + _SNAP), math.floor(top + _SNAP)
    window = PixelWindow(x, y, math.ceil(right - _SNAP) - x, math.ceil(bottom - _SNAP) - y)
    return window, ground.read(window)


def _tags(scene: Scene) -> dict[str, str]:
    """What `knowlip build` reads back from a GeoTIFF."""
    tags = {
        "KNOWLIP_UNITS": "intensity",
        "KNOWLIP_SENSOR": scene.sensor,
        "KNOWLIP_BAND": scene.band,
        "KNOWLIP_POLARISATION": scene.polarisation,
        "KNOWLIP_LOOKS": f"{scene.looks:g}" if scene.looks else "",
        "KNOWLIP_INCIDENCE_DEG": _number(scene.incidence_deg),
        "KNOWLIP_LOOK_AZIMUTH_DEG": _number(scene.look_azimuth_deg),
        "KNOWLIP_LOOK_SIDE": scene.look_side,
        "KNOWLIP_ORBIT": scene.orbit,
        "KNOWLIP_DATE": scene.date,
        "KNOWLIP_RADIOMETRY": scene.radiometry,
        "KNOWLIP_QUANTITY": scene.quantity,
    }
    return {key: value for key, value in tags.items() if value}


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
