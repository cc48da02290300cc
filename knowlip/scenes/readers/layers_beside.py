"""Layers that terrain-corrected products keep beside their images: incidence angles on the ellipsoid say at which angle
the scene was seen, masks say what is no data, and where layover and shadow lie.

Layover and shadow are places that the products call valid, so they stay; how much of the scene they are is told.

Sources: HyP3 RTC product guide (ASF; `inc_map_ell` in radians, `ls_map` a sum of 4 for layover and 16 for shadow),
OPERA RTC-S1 product specification (JPL D-108758; `incidence_angle` in degrees, `mask` 1 shadow, 2 layover, 3 both, 255
fill), XML of PALSAR-2 level 2.2 (`MSK` 0 no data, 2 layover, 3 shadow, 5 invalid), Global PALSAR-2/PALSAR mosaic
dataset description (JAXA EORC; `mask` 0 no data, 100 layover, 150 shadow).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from knowlip.scenes.layers import family_of
from knowlip.scenes.opening import GDAL_OPTIONS, open_raster
from knowlip.scenes.raster import Raster, RasterFile

_MOST = 1024
"""Pixels along a side to which a layer is thinned out before it is counted."""
_MOST_TOLD = 8
_SANE_DEG = (5.0, 75.0)


@dataclass(frozen=True)
class LayerUse:
    """What is taken from the layers of a family: their names, and what their numbers mean."""

    incidence: str  # Layer of incidence angles on the ellipsoid, and what makes degrees of them.
    to_degrees: float
    mask: str  # Layer of layover and shadow.
    affected: Callable[[np.ndarray], np.ndarray]
    tested: Callable[[np.ndarray], np.ndarray]
    classes: tuple[int, ...]  # All that the mask may hold; with another one it is none.
    invalid: tuple[int, ...] = ()  # Classes of the mask that the product calls no data, or not valid.


_USES = {
    "HyP3 RTC": LayerUse(
        "inc_map_ell", 180 / math.pi, "ls_map", lambda v: (v & (4 | 16)) > 0, lambda v: v > 0, tuple(range(32))
    ),
    "OPERA RTC-S1": LayerUse(
        "incidence_angle", 1.0, "mask", lambda v: (v >= 1) & (v <= 3), lambda v: v <= 3, (0, 1, 2, 3, 255), (255,)
    ),
    "PALSAR-2 level 2.2": LayerUse(
        "", 1.0, "MSK", lambda v: (v == 2) | (v == 3), lambda v: (v > 0) & (v < 5), tuple(range(6)), (0, 5)
    ),
    "PALSAR mosaic": LayerUse(
        "", 1.0, "mask", lambda v: (v == 100) | (v == 150), lambda v: v > 0, (0, 50, 100, 150, 255), (0,)
    ),
}
_OPERA = re.compile(r"(OPERA_L2_RTC-S1)(_T\d{3}-\d{6}-IW\d_)")
_MOSAIC_IMAGE = "_sl_"
"""What names of a mosaic's images hold before the polarisation; those of its layers do not."""


@dataclass(frozen=True)
class Beside:
    """What the layers beside an image say."""

    incidence_deg: float  # Median over the scene; NaN: no layer says it.
    notes: tuple[str, ...]  # What they say, or that they are not used.
    used: tuple[Path, ...]  # Files.


def use_layers(path: Path, raster: Raster) -> Beside:
    """Look at the layers beside an image, and leave out its pixels that the product calls no data.

    Args:
        path: image of a product whose name follows a published naming.
        raster: of its pixels; gets the mask.
    """
    beside, shape = _layers_beside(path), raster.shape
    found = family_of(path.stem)
    use = _USES.get(found[0].name) if found else None
    angle, notes, used = math.nan, list[str](), list[Path]()
    # Angles first, then the mask, and of all others that they are there.
    if use is not None and use.incidence in beside:
        values, why = _thinned(beside[use.incidence], shape)
        held = values[np.isfinite(values) & (values > 0)] * use.to_degrees if values is not None else np.zeros(0)
        if held.size and _SANE_DEG[0] < float(np.median(held)) < _SANE_DEG[1]:
            angle = float(np.median(held))
            used.append(beside.pop(use.incidence))
        else:
            notes.append(f"{beside.pop(use.incidence).name} is not used: {why or 'it holds no incidence angles'}.")
    if use is not None and use.mask in beside:
        values, why = _thinned(beside[use.mask], shape)
        counted = values.astype(int) if values is not None and values.dtype.kind in "iu" else None
        # A mask of other classes than the published ones would mark what nobody said.
        known = counted is not None and bool(np.isin(counted, use.classes).all())
        tested = use.tested(counted) if counted is not None and known else np.zeros(0, bool)
        file = beside.pop(use.mask)
        if counted is None or not tested.any():
            notes.append(f"{file.name} is not used: {why or 'it holds no classes of layover and shadow'}.")
        else:
            used.append(file)
            if isinstance(raster, RasterFile) and use.invalid:
                raster.mask_file, raster.masked = file, use.invalid
            share = float((use.affected(counted) & tested).sum() / tested.sum())
            small = "less than 0.1%" if share < 0.0005 else f"{share:.1%}"
            told = f"Layover and shadow are {small} of the ground by {file.name}; they are kept, not masked."
            notes += [told] if share > 0 else []
    if beside:
        names = sorted(beside)
        more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
        notes.append(f"Layers beside it are not used: {', '.join(names[:_MOST_TOLD])}{more}.")
    return Beside(angle, tuple(notes), tuple(used))


def _layers_beside(path: Path) -> dict[str, Path]:
    """Layers of the product of an image that lie in its folder: name -> file."""
    found = family_of(path.stem)
    if found is None or not found[1]["layer"]:
        return {}
    family, match = found
    base, layers = path.stem[: match.start("layer")], dict[str, Path]()
    base = base.removesuffix(_MOSAIC_IMAGE)
    patterns = [f"{escape(base)}*"]
    if burst := _OPERA.match(path.stem):  # geometry of a burst is a product of its own
        patterns.append(f"{burst[1]}-STATIC{escape(burst[2])}*")
    for file in (one for pattern in patterns for one in sorted(path.parent.glob(pattern))):
        other = family.pattern.fullmatch(file.stem)
        layer = other["layer"] if other and other["layer"] else ""
        if file.suffix.lower() in (".tif", ".tiff") and layer and not family.images.fullmatch(layer):
            layers.setdefault(layer, file)
    return layers


def _thinned(path: Path, shape: tuple[int, int]) -> tuple[np.ndarray | None, str]:
    """Values of a layer thinned out, without those that the file declares to be none; None and why it is not used."""
    try:
        with rasterio.Env(**GDAL_OPTIONS), open_raster(path) as file:
            if (file.height, file.width) != shape:
                return None, f"it has {file.width} x {file.height} pixels, the image {shape[1]} x {shape[0]}"
            small = tuple(min(_MOST, side) for side in shape)
            values = file.read(1, out_shape=small, resampling=Resampling.nearest, masked=True)
    except (RasterioError, OSError) as error:
        return None, f"it cannot be read ({error})"
    return np.asarray(values.compressed()), ""
