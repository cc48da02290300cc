"""8-bit image chips whose corners stand in a `metadata.json` list beside them (no georeferencing of their own).

Each entry holds `fragment_filename`, `corners_EPSG:CODE` (upper left, upper right, lower right, lower left), and
optionally `sar_tile_name` (product name) and `sar_tile_sensing_date` (dd.mm.yyyy).
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyproj
from affine import Affine

from knowlip.base.documents import read_json
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, sensor_of
from knowlip.scenes.readers.common import require_data, require_polarisation
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.units import settle

NAME = "8-bit chip with corners"
ORDER = 80
"""Behind the sensors' own products."""
_SUFFIXES = (".png", ".jpg", ".jpeg")
_CORNERS = "corners_"


def chip_entry(path: Path) -> dict[str, Any] | None:
    """The entry of a chip in the `metadata.json` of its folder, or None where it has none."""
    listing = path.parent / "metadata.json"
    entries = read_json(listing) if listing.is_file() else None
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return next((entry for entry in entries if entry.get("fragment_filename") == path.name), None)


def matches(path: Path) -> bool:
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    try:
        return chip_entry(path) is not None
    except ValueError:  # a broken metadata.json: opening the chip says so, and other scenes are still found
        return True


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a chip that `metadata.json` describes.

    Raises:
        SceneError: unreadable image, missing or degenerate corners, or no valid pixel.
    """
    entry = chip_entry(path) or {}
    raster = raster_of(path, read_header(path), overrides.raster_band or 1)
    polarisation = require_polarisation(polarisation_of(str(entry.get("sar_tile_name", ""))), overrides, path)
    notes = settle(raster, overrides.units)
    key = next((key for key in entry if key.startswith(_CORNERS)), None)
    corners = entry[key] if key else None
    if not isinstance(corners, list) or len(corners) != 4:
        raise NoLocation(f"metadata.json gives no four corners (corners_EPSG:CODE) for {path}.")
    try:
        crs = pyproj.CRS.from_user_input(str(key).removeprefix(_CORNERS))
        (left, top), (right, right_y), _, (bottom_x, bottom) = [(float(x), float(y)) for x, y in corners]
    except (pyproj.exceptions.CRSError, TypeError, ValueError) as error:
        raise NoLocation(f"metadata.json gives corners of {path} that cannot be understood ({error}).") from error
    # Three corners span the grid; the fourth follows, because a chip is a parallelogram in its own projection.
    rows, columns = raster.shape
    across, down = (right - left) / columns, (bottom_x - left) / rows
    transform = Affine(across, down, left, (right_y - top) / columns, (bottom - top) / rows, top)
    if transform.determinant == 0:
        raise NoLocation(f"metadata.json gives corners of {path} that enclose no area.")
    require_data(raster)
    product = str(entry.get("sar_tile_name", ""))
    sensor, band = sensor_of(product)
    scene = Scene(
        path=path,
        scene_id=scene_id_of(Path(f"{path.parent.name}-{path.name}")),
        raster=raster,
        geometry=AffineGeometry(crs, transform),
        sensor=overrides.sensor or sensor or "unknown",
        band=overrides.band or band,
        polarisation=polarisation,
        date=date_of(product) or _day(str(entry.get("sar_tile_sensing_date", ""))),
        radiometry="relative",
        projection="map",
        product=NAME,
        sources=(path, path.parent / "metadata.json"),
        notes=tuple(notes),
    )
    return [scene]


def _day(text: str) -> str:
    try:
        return datetime.strptime(text, "%d.%m.%Y").date().isoformat()
    except ValueError:
        return ""
