"""GeoTIFF and COG (and any other raster that GDAL reads and that carries a CRS and an affine transform)."""

import math
import warnings
from pathlib import Path
from typing import Any

import pyproj
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, sensor_of
from knowlip.scenes.raster import GDAL_OPTIONS, RasterFile
from knowlip.scenes.scene import UNITS, Scene, SceneOverrides


def open_geotiff(path: Path, overrides: SceneOverrides) -> Scene:
    """Open a georeferenced raster.

    Units come from the overrides, else from the tag KNOWLIP_UNITS or the band's unit, else from the data: float with
    negative values is dB, other float is intensity, integers are uncalibrated numbers (`dn`).

    Raises:
        ValueError: missing, not a raster, complex, without CRS, or without a single valid pixel.
    """
    raster, header = open_raster(path, overrides.raster_band)
    if header["crs"] is None:
        hint = " It has ground control points only: geocode it first." if header["gcps"] else ""
        raise ValueError(f"{path} has no coordinate reference system, so its place on the ground is unknown.{hint}")
    if header["transform"].is_identity or header["transform"].determinant == 0:
        raise ValueError(f"{path} has a coordinate reference system but no usable geotransform.")
    tags = header["tags"]
    raster.units = units_of(raster, overrides, tags.get("KNOWLIP_UNITS", "") or header["band_units"])
    if not raster.has_data():
        raise ValueError(f"{path} holds no valid pixel: all of it is nodata.")
    raster.close()
    sensor, band = sensor_of(path.name)
    described = polarisation_of(header["description"])
    return Scene(
        path=path,
        scene_id=scene_id_of(path),
        sensor=overrides.sensor or tags.get("KNOWLIP_SENSOR", "") or sensor or "unknown",
        band=overrides.band or tags.get("KNOWLIP_BAND", "") or band,
        polarisation=(
            overrides.polarisation or tags.get("KNOWLIP_POLARISATION", "") or described or polarisation_of(path.name)
        ),
        units=raster.units,
        looks=number(tags.get("KNOWLIP_LOOKS"), 0.0),
        incidence_deg=number(tags.get("KNOWLIP_INCIDENCE_DEG"), math.nan),
        look_azimuth_deg=number(tags.get("KNOWLIP_LOOK_AZIMUTH_DEG"), math.nan),
        date=tags.get("KNOWLIP_DATE", "") or date_of(path.name),
        radiometry=tags.get("KNOWLIP_RADIOMETRY", ""),
        crs=header["crs"],
        transform=header["transform"],
        raster=raster,
    )


def open_raster(path: Path, raster_band: int) -> tuple[RasterFile, dict[str, Any]]:
    """Open one band of a file and return it with what its header says; refuses what is no detected SAR raster."""
    if not path.exists():
        raise ValueError(f"{path} does not exist.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a raster file.")
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.Env(**GDAL_OPTIONS),
            rasterio.open(path) as source,
        ):
            header = {
                "crs": pyproj.CRS.from_user_input(source.crs.to_wkt()) if source.crs else None,
                "transform": source.transform,
                "tags": source.tags(),
                "gcps": bool(source.gcps[0]),
                "description": (source.descriptions[raster_band - 1] or "") if raster_band <= source.count else "",
                "band_units": (source.units[raster_band - 1] or "").lower() if raster_band <= source.count else "",
            }
            count, shape, nodata = source.count, (source.height, source.width), source.nodata
            dtype = source.dtypes[raster_band - 1] if raster_band <= count else ""
    except (RasterioError, OSError) as error:
        raise ValueError(f"{path} is not a raster that can be opened ({error}).") from error
    if not dtype:
        raise ValueError(f"{path} has {count} band(s), so raster_band: {raster_band} does not exist.")
    if dtype.startswith("complex"):
        raise ValueError(
            f"{path} holds complex pixels ({dtype}): detect it first (amplitude = absolute value), as float32."
        )
    if min(shape) < 1:
        raise ValueError(f"{path} is empty ({shape[1]} x {shape[0]} pixels).")
    return RasterFile(path, raster_band, "dn", shape, dtype, nodata), header


def units_of(raster: RasterFile, overrides: SceneOverrides, stated: str) -> str:
    """Decide the units, see :func:`open_geotiff`."""
    if overrides.units:
        return overrides.units
    if stated in UNITS:
        return stated
    if not raster.dtype.startswith("float"):
        return "dn"
    raster.units = "db"  # so that negative values count as valid while looking
    return "db" if bool((raster.samples() < 0).any()) else "intensity"


def number(text: str | None, default: float) -> float:
    """A number from a tag; `default` where it is absent or not a number."""
    try:
        return float(text) if text else default
    except ValueError:
        return default
