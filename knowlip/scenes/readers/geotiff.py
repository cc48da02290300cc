"""GeoTIFF and COG, and any other raster that GDAL reads: real or complex, any data type, located by an affine transform
(rotated or not), by control points, or by RPCs."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, sensor_of
from knowlip.scenes.raster import GDAL_OPTIONS, Raster, RasterFile
from knowlip.scenes.readers.common import choose, gated, require_data
from knowlip.scenes.rpc import Rpc
from knowlip.scenes.scene import UNITS, Scene, SceneOverrides

NAME = "GeoTIFF"
ORDER = 90
"""Any GeoTIFF: behind all that knows better."""
_SUFFIXES = (".tif", ".tiff")
_REAL_PARTS = (("real", "imag"), ("i", "q"), ("re", "im"))


def matches(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file()


@dataclass(frozen=True)
class Header:
    """What GDAL says of a raster without reading its pixels."""

    crs: pyproj.CRS | None
    transform: Affine
    gcps: list[Any]
    gcp_crs: pyproj.CRS | None
    rpcs: dict[str, Any] | None
    tags: dict[str, str]
    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    descriptions: tuple[str, ...]
    band_units: tuple[str, ...]

    @property
    def affine(self) -> AffineGeometry | None:
        """The map transform; None where there is none."""
        plain = self.transform.is_identity or self.transform.determinant == 0
        return None if self.crs is None or plain else AffineGeometry(self.crs, self.transform)


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a georeferenced raster.

    Units come from the overrides, else from the tag KNOWLIP_UNITS or the band's unit, else from the data: complex is
    detected, float with negative values is dB, other float is intensity, integers are uncalibrated numbers (`dn`).

    Raises:
        SceneError: not a raster, without location, or without a single valid pixel.
    """
    header = read_header(path)
    geometry = geometry_of(header, path, overrides)
    tags = header.tags
    sensor, band = sensor_of(path.name)
    scenes = []
    bands = _bands(header, path, overrides)
    for number, imaginary, polarisation in bands:
        raster = raster_of(path, header, number, imaginary)
        raster.units = units_of(raster, overrides, tags.get("KNOWLIP_UNITS", "") or header.band_units[number - 1])
        require_data(raster)
        # What a tag of KnowLIP says (the simulator and stored COGs write them) is known, a file name only suggests.
        scene = Scene(
            path=path,
            scene_id=scene_id_of(path) + (f"-{(polarisation or f'b{number}').lower()}" if len(bands) > 1 else ""),
            raster=raster,
            geometry=geometry,
            sensor=overrides.sensor or tags.get("KNOWLIP_SENSOR", "") or sensor or "unknown",
            band=overrides.band or tags.get("KNOWLIP_BAND", "") or band,
            polarisation=polarisation or tags.get("KNOWLIP_POLARISATION", "") or polarisation_of(path.name),
            looks=number_of(tags.get("KNOWLIP_LOOKS"), 0.0),
            incidence_deg=number_of(tags.get("KNOWLIP_INCIDENCE_DEG"), math.nan),
            look_azimuth_deg=number_of(tags.get("KNOWLIP_LOOK_AZIMUTH_DEG"), math.nan),
            date=tags.get("KNOWLIP_DATE", "") or date_of(path.name),
            radiometry=tags.get("KNOWLIP_RADIOMETRY", ""),
            projection="map" if geometry.kind == "affine" else "",
            product=NAME,
        )
        scenes.append(gated(scene, overrides, path))
    return scenes


def read_header(path: Path, source: str = "") -> Header:
    """Open a raster and keep what its header says; `source`: GDAL's name of it, where that is not the path (a member of
    an archive, a subdataset)."""
    if not source and path.is_dir():
        raise UnknownFormat(f"{path} is a folder, not a raster file.")
    try:
        quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
        with quiet, rasterio.Env(**GDAL_OPTIONS), rasterio.open(source or path) as file:
            # Copied into plain values, so that the file is closed: an archive of chips opens thousands.
            gcps, gcp_crs = file.gcps
            header = Header(
                crs=pyproj.CRS.from_user_input(file.crs.to_wkt()) if file.crs else None,
                transform=file.transform,
                gcps=list(gcps),
                gcp_crs=pyproj.CRS.from_user_input(gcp_crs.to_wkt()) if gcp_crs else None,
                rpcs=file.rpcs.to_dict() if file.rpcs else None,
                tags=file.tags(),
                shape=(file.height, file.width),
                dtypes=tuple(file.dtypes),
                nodata=tuple(file.nodatavals),
                descriptions=tuple(text or "" for text in file.descriptions),
                band_units=tuple((text or "").lower() for text in file.units),
            )
    except (RasterioError, OSError) as error:
        raise UnknownFormat(f"{path} is not a raster that can be opened ({error}).") from error
    if min(header.shape) < 1:
        raise DamagedProduct(f"{path} is empty ({header.shape[1]} x {header.shape[0]} pixels).")
    return header


def raster_of(path: Path, header: Header, band: int = 1, imaginary: int = 0, source: str = "") -> RasterFile:
    """One band of a file, units still to be decided ("dn", or "complex" where pixels are complex)."""
    if not 1 <= band <= len(header.dtypes):
        raise ValueError(f"{path} has {len(header.dtypes)} band(s), so raster_band: {band} does not exist.")
    dtype = header.dtypes[band - 1]
    units = "complex" if imaginary or dtype.startswith("complex") else "dn"
    return RasterFile(path, units, header.shape, dtype, header.nodata[band - 1], None, band, imaginary, source)


def geometry_of(header: Header, path: Path, overrides: SceneOverrides) -> Geometry:
    """Affine transform, else control points, else RPCs.

    Raises:
        NoLocation: none of them is there.
    """
    if header.affine is not None:
        return header.affine
    if header.gcps:
        return control_points(header.gcps, header.gcp_crs)
    if header.rpcs:
        return Rpc.of(header.rpcs, overrides.height_m)
    if header.crs is not None:
        raise NoLocation(f"{path} has a coordinate reference system but no usable geotransform.")
    raise NoLocation(
        f"{path} has no coordinate reference system, control points or RPCs, so its place on the ground is unknown: "
        f"describe it in {path.stem}.scene.yaml (docs/scenes.md)."
    )


def control_points(gcps: Iterable[Any], crs: pyproj.CRS | None) -> ControlPoints:
    """Control points of GDAL (col, row, x, y) in any CRS."""
    columns, rows, xs, ys = (np.array(values, float) for values in zip(*((p.col, p.row, p.x, p.y) for p in gcps)))
    if crs is not None and not crs.is_geographic:
        xs, ys = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(xs, ys)
    return ControlPoints(columns, rows, xs, ys)


def units_of(raster: Raster, overrides: SceneOverrides, stated: str = "") -> str:
    """Decide the units, see :func:`open_product`."""
    if raster.units == "complex":
        return "complex"
    if overrides.units:
        return overrides.units
    if stated in UNITS:
        return stated
    if not raster.dtype.startswith("float"):
        return "dn"
    raster.units = "db"  # so that negative values count as valid while looking
    return "db" if bool((raster.samples() < 0).any()) else "intensity"


def number_of(text: str | None, default: float) -> float:
    """A number from a tag; `default` where it is absent or not a number."""
    try:
        return float(text) if text else default
    except ValueError:
        return default


def _bands(header: Header, path: Path, overrides: SceneOverrides) -> list[tuple[int, int, str]]:
    """(band, band of the imaginary part or 0, polarisation) of the scenes to open."""
    named = "" if overrides.polarisation.lower() == "all" else overrides.polarisation.upper()
    if overrides.raster_band:
        described = header.descriptions[overrides.raster_band - 1 : overrides.raster_band]
        return [(overrides.raster_band, 0, named or polarisation_of("".join(described)))]
    lower = tuple(text.strip().lower() for text in header.descriptions)
    if len(lower) == 2 and (lower in _REAL_PARTS or overrides.units == "complex"):
        return [(1, 2, named or polarisation_of(path.name))]
    found = {polarisation_of(text): number for number, text in enumerate(header.descriptions, 1)}
    found.pop("", None)
    if found:
        return [(found[name], 0, name) for name in choose(list(found), overrides, path)]
    return [(1, 0, named)]
