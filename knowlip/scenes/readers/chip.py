"""8-bit image chips whose corners stand in a `metadata.json` list beside them (no georeferencing of their own).

Each entry holds `fragment_filename`, `corners_EPSG:CODE` (upper left, upper right, lower right, lower left), and
optionally `sar_tile_name` (product name) and `sar_tile_sensing_date` (dd.mm.yyyy).
"""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pyproj
from affine import Affine

from knowlip.files import read_json
from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, sensor_of
from knowlip.scenes.readers.geotiff import open_raster
from knowlip.scenes.scene import Scene, SceneOverrides

_CORNERS = "corners_"


def chip_entry(path: Path) -> dict[str, Any] | None:
    """The entry of a chip in the `metadata.json` of its folder, or None where it has none."""
    listing = path.parent / "metadata.json"
    if not listing.is_file():
        return None
    entries = read_json(listing)
    if not isinstance(entries, list):
        return None
    for entry in entries:
        if isinstance(entry, dict) and entry.get("fragment_filename") == path.name:
            return entry
    return None


def open_chip(path: Path, entry: dict[str, Any], overrides: SceneOverrides) -> Scene:
    """Open a chip that `metadata.json` describes.

    Raises:
        ValueError: unreadable image, missing or degenerate corners, or no valid pixel.
    """
    raster, _ = open_raster(path, overrides.raster_band)
    raster.units = overrides.units or "dn"
    key = next((key for key in entry if key.startswith(_CORNERS)), None)
    corners = entry[key] if key else None
    if not isinstance(corners, list) or len(corners) != 4:
        raise ValueError(f"metadata.json gives no four corners (corners_EPSG:CODE) for {path}.")
    try:
        crs = pyproj.CRS.from_user_input(str(key).removeprefix(_CORNERS))
        (left, top), (right, right_y), _, (bottom_x, bottom) = [(float(x), float(y)) for x, y in corners]
    except (pyproj.exceptions.CRSError, TypeError, ValueError) as error:
        raise ValueError(f"metadata.json gives corners of {path} that cannot be understood ({error}).") from error
    rows, columns = raster.shape
    transform = Affine(
        (right - left) / columns, (bottom_x - left) / rows, left,
        (right_y - top) / columns, (bottom - top) / rows, top,
    )  # fmt: skip
    if transform.determinant == 0:
        raise ValueError(f"metadata.json gives corners of {path} that enclose no area.")
    if not raster.has_data():
        raise ValueError(f"{path} holds no valid pixel: all of it is nodata.")
    raster.close()
    product = str(entry.get("sar_tile_name", ""))
    sensor, band = sensor_of(product)
    return Scene(
        path=path,
        scene_id=scene_id_of(Path(f"{path.parent.name}-{path.name}")),
        sensor=overrides.sensor or sensor or "unknown",
        band=overrides.band or band,
        polarisation=overrides.polarisation or polarisation_of(product),
        units=raster.units,
        looks=0.0,
        incidence_deg=math.nan,
        look_azimuth_deg=math.nan,
        date=date_of(product) or _day(str(entry.get("sar_tile_sensing_date", ""))),
        radiometry="relative",
        crs=crs,
        transform=transform,
        raster=raster,
    )


def _day(text: str) -> str:
    try:
        return datetime.strptime(text, "%d.%m.%Y").date().isoformat()
    except ValueError:
        return ""
