"""Capella Space: geocoded (GEO, GEC) and single-look complex (SLC) GeoTIFFs with their `*_extended.json` (or the same
JSON in the TIFF's image description).

Power = (scale_factor * DN)^2 in the quantity that `collect.image.radiometry` names, DN^2 = I^2 + Q^2 for complex pixels
(Capella SAR Products Format Specification 1.8).
"""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pyproj import Transformer

from knowlip.base.documents import parse_json, read_json
from knowlip.scenes.calibration import Constant, Radiometry
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, PoorGeolocation, SlantRange, UnknownFormat
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry, geodetic
from knowlip.scenes.names import scene_id_of, second_of, word_of
from knowlip.scenes.orbit import LIGHT_M_S, Orbit, PolarImage, SlantImage, polar_grid, seconds, slant_grid
from knowlip.scenes.quantities import conversion, finite, relative
from knowlip.scenes.raster import Raster
from knowlip.scenes.readers.common import ProductFiles, gated, require_data, require_polarisation
from knowlip.scenes.readers.geotiff import Header, geometry_of, raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "Capella"
_NAME = re.compile(r"^CAPELLA_C\d+_\w+\.tiff?$", re.IGNORECASE)
_PREVIEW = re.compile(r"_preview\.tiff?$", re.IGNORECASE)
_QUANTITIES = {"sigma_nought": "sigma0", "beta_nought": "beta0", "gamma_nought": "gamma0"}
_CENTRE_M = 100.0
"""How far the middle of the image may lie from where the metadata say."""


def _is_image(path: Path) -> bool:
    return bool(_NAME.match(path.name)) and not _PREVIEW.search(path.name)


def _previews(tiff: Path) -> list[Path]:
    previews = [tiff.with_name(f"{tiff.stem}_preview{suffix}") for suffix in (".tif", ".tiff")]
    return [preview for preview in previews if preview.is_file()]


_FILES = ProductFiles(NAME, _is_image, _previews)
matches, parts = _FILES.matches, _FILES.parts


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open an image of Capella.

    GEO and GEC carry a map transform. SLC are placed by control points or RPCs in the TIFF, else by their orbit and
    Doppler polynomial (`slant_plane`) or polar format (`pfa`), at the height of the scene centre or
    `overrides.height_m`.

    Raises:
        SceneError: no metadata, a geometry that cannot be projected, no valid pixel, or a quantity that the product
            cannot give.
    """
    tiff = _FILES.entry(path)
    header = read_header(tiff)
    collect, product_type, sources = _metadata(tiff, header)
    image, radar = _table(collect, "image", tiff), _table(collect, "radar", tiff)
    bands = len(header.dtypes)
    if bands > 2:
        raise UnknownFormat(f"{tiff} has {bands} bands; one, or a real and an imaginary one, are expected.")
    raster = raster_of(tiff, header, 1, 2 if bands == 2 else 0)
    polarisation = f"{radar.get('transmit_polarization', '')}{radar.get('receive_polarization', '')}".upper()
    require_polarisation(polarisation, overrides, path)
    centre = image.get("center_pixel") or {}
    incidence = finite(centre.get("incidence_angle"))
    geometry = _geometry(_Collect(collect, image, radar, header, tiff), overrides)
    # After the geometry: a product in a plane that cannot be placed is refused for that, not for its radiometry.
    notes = _calibrate(raster, image, incidence, tiff, overrides)
    require_data(raster)
    scene = Scene(
        path=path,
        scene_id=scene_id_of(tiff),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or "capella",
        band=overrides.band or "X",
        polarisation=polarisation,
        looks=_looks(image),
        incidence_deg=incidence,
        look_azimuth_deg=_look_azimuth(collect, centre, radar, tiff),
        look_side=str(radar.get("pointing", "")).lower(),
        orbit=word_of((collect.get("state") or {}).get("direction"), "ascending", "descending"),
        date=second_of(str(centre.get("center_time") or collect.get("start_timestamp") or "")),
        radiometry="calibrated" if raster.calibration else "relative",
        quantity=raster.calibration.quantity if raster.calibration else "none",
        mode=str(collect.get("mode", "")),
        product_type=product_type,
        projection="map" if isinstance(geometry, AffineGeometry) else "slant",
        product=NAME,
        frequency_ghz=finite(radar.get("center_frequency")) / 1e9,
        sources=(tiff, *sources),
        notes=tuple(notes),
    )
    return [gated(scene, overrides, tiff)]


class _Collect(NamedTuple):
    """Tables of the metadata, and the image that they describe."""

    collect: dict[str, Any]
    image: dict[str, Any]
    radar: dict[str, Any]
    header: Header
    tiff: Path


def _metadata(tiff: Path, header: Header) -> tuple[dict[str, Any], str, list[Path]]:
    """`collect`, the product type, and the files it comes from.

    Raises:
        DamagedProduct: neither the sidecar nor the TIFF holds it.
    """
    sidecar = tiff.with_name(f"{tiff.stem}_extended.json")
    try:
        text = header.tags.get("TIFFTAG_IMAGEDESCRIPTION", "")
        found = read_json(sidecar) if sidecar.is_file() else parse_json(text, "TIFFTAG_IMAGEDESCRIPTION")
    except ValueError as error:
        raise DamagedProduct(f"{tiff} has no readable metadata: put {sidecar.name} beside it ({error}).") from error
    if not isinstance(found, dict) or not isinstance(found.get("collect"), dict):
        raise DamagedProduct(f"The metadata of {tiff} have no table `collect`.")
    return found["collect"], str(found.get("product_type", "")), [sidecar] if sidecar.is_file() else []


def _table(parent: dict[str, Any], name: str, tiff: Path) -> dict[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise DamagedProduct(f"The metadata of {tiff} have no table `{name}`.")
    return found


def _looks(image: dict[str, Any]) -> float:
    enl = finite(image.get("enl"))
    looks = finite(image.get("range_looks")) * finite(image.get("azimuth_looks"))
    return enl if enl > 0 else looks if looks > 0 else 0.0


def _calibrate(
    raster: Raster, image: dict[str, Any], incidence: float, tiff: Path, overrides: SceneOverrides
) -> list[str]:
    held = _QUANTITIES.get(str(image.get("radiometry", "")).lower(), "")
    scale = finite(image.get("scale_factor"))
    if overrides.units and raster.units != "complex":
        raster.units = overrides.units
    if not held or not math.isfinite(scale):
        return [relative(tiff, overrides, "its metadata give no scale_factor with a radiometry")]
    if scale < 0:
        return [relative(tiff, overrides, f"its metadata give a scale_factor of {scale:g}, which cannot be")]
    if str(image.get("calibration", "full")).lower() == "none":
        return [relative(tiff, overrides, "its metadata say calibration: none")]
    if not overrides.calibrate or raster.units not in ("complex", "dn"):
        return [relative(tiff, overrides, "its pixels are no longer the numbers of the product")]
    factor = float(conversion(held, overrides.quantity, incidence, tiff))
    raster.calibration = Radiometry(overrides.quantity, Constant(scale**2 * factor))
    if held != overrides.quantity:
        return [f"Brought from {held} to {overrides.quantity} with the incidence angle of the scene centre."]
    return []


def _geometry(product: _Collect, overrides: SceneOverrides) -> Geometry:
    image, header, tiff = product.image, product.header, product.tiff
    if header.affine or header.gcps or header.rpcs:
        return geometry_of(header, tiff, overrides)
    grid = image.get("image_geometry") or {}
    place = {"slant_plane": _slant_plane, "pfa": _polar}.get(str(grid.get("type")))
    if place is None:
        raise SlantRange(
            f"{tiff} lies in a slant plane of type {grid.get('type')!r}, which is not brought to the ground; "
            "take the GEO or SICD product of the same collect."
        )
    try:
        if (int(image["rows"]), int(image["columns"])) != header.shape:
            raise ValueError(f"it has not the stated {image['columns']} x {image['rows']} pixels")
        target = geodetic(np.array(image["center_pixel"]["target_position"], float).reshape(3))
        lon, lat, height = (float(value) for value in target)
        points = place(product, grid, height if overrides.height_m is None else overrides.height_m)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SlantRange(f"{tiff} is in slant range and its metadata do not describe its grid ({error}).") from error
    # Two statements of one place: where the grid puts the middle, and where the metadata say it is.
    middle = points.forward(np.array([header.shape[1] / 2]), np.array([header.shape[0] / 2]))
    found = Transformer.from_crs(points.crs, 4326, always_xy=True).transform(*middle)
    miss = float(GEOD.inv(lon, lat, found[0][0], found[1][0])[2])
    if overrides.height_m is None and miss > max(_CENTRE_M, overrides.max_residual_m):
        raise PoorGeolocation(
            f"{tiff}: orbit and Doppler put its middle {miss:.0f} m from where its metadata say; if that is good "
            "enough, raise --read.max_residual_m."
        )
    return points


def _slant_plane(product: _Collect, grid: dict[str, Any], height: float) -> ControlPoints:
    """Rows are times, columns slant ranges, with the Doppler frequency of the stated polynomial."""
    orbit, first = _orbit(product.collect, str(grid["first_line_time"]))
    line, near, spacing = (grid[key] for key in ("delta_line_time", "range_to_first_sample", "delta_range_sample"))
    doppler = np.atleast_2d(np.array(grid["doppler_centroid_polynomial"]["coefficients"], float))
    wavelength = LIGHT_M_S / float(product.radar["center_frequency"])
    image = SlantImage(product.header.shape, first, float(line), float(near), float(spacing), _side(product.radar))

    def rate(distance: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.polynomial.polynomial.polyval2d(distance, after, doppler) * wavelength / 2

    return slant_grid(orbit, image, height, rate)


def _polar(product: _Collect, grid: dict[str, Any], height: float) -> ControlPoints:
    """Polar format. Polar angle 0 is the direction of rising rows; ValueError where that is not the line of sight."""
    time = str(product.image["center_pixel"]["center_time"])
    orbit, at = _orbit(product.collect, time)
    polynomial = np.polynomial.Polynomial
    angle = polynomial(np.array(grid["polar_angle_polynomial"]["coefficients"], float))
    scale = polynomial(np.array(grid["spatial_frequency_scale_factor_polynomial"]["coefficients"], float))
    after = seconds(time, str(product.collect["start_timestamp"]))
    theta = float(angle(after))
    reference = np.array(grid["scene_reference_point_ecef"], float)
    row, column = (np.array(grid[f"{axis}_direction"], float) for axis in ("row", "col"))
    sight = reference - orbit.at(np.array([at]))[0][0]
    seen = np.array([sight @ row, sight @ column])
    if np.array([np.cos(theta), np.sin(theta)]) @ seen < 0.999 * np.linalg.norm(seen):
        raise ValueError("its polar angles do not follow its line of sight")
    line, sample = (float(value) for value in grid["scene_reference_point_row_col"])
    spacing = float(grid["row_sample_spacing"]), float(grid["col_sample_spacing"])
    turning, stretching = (theta, float(angle.deriv()(after))), (float(scale(theta)), float(scale.deriv()(theta)))
    shape, side = product.header.shape, _side(product.radar)
    image = PolarImage(shape, at, reference, (line, sample), spacing, turning, stretching, side)
    return polar_grid(orbit, image, height)


def _side(radar: dict[str, Any]) -> str:
    side = word_of(radar.get("pointing"), "left", "right")
    if not side:
        raise ValueError("it does not say to which side the radar looks")
    return side


def _orbit(collect: dict[str, Any], epoch: str) -> tuple[Orbit, float]:
    """The orbit in seconds after its first state vector, and the epoch in the same."""
    vectors = collect["state"]["state_vectors"]
    start = str(vectors[0]["time"])
    times = np.array([seconds(str(vector["time"]), start) for vector in vectors])
    positions = np.array([vector["position"] for vector in vectors], float)
    velocities = np.array([vector["velocity"] for vector in vectors], float)
    return Orbit(times, positions, velocities), seconds(epoch, start)


def _look_azimuth(collect: dict[str, Any], centre: dict[str, Any], radar: dict[str, Any], tiff: Path) -> float:
    """From the point below the antenna at the centre time to the scene centre; NaN where metadata lack either."""
    try:
        orbit, at = _orbit(collect, str(centre["center_time"]))
        target = np.array(centre["target_position"], float)
    except (KeyError, TypeError, ValueError, IndexError):
        return math.nan
    position = orbit.at(np.array([at]))[0][0]
    below, scene = geodetic(position), geodetic(target)
    # The azimuth at the scene, not at the platform: meridians converge between them.
    return float((GEOD.inv(scene[0], scene[1], below[0], below[1])[0] + 180) % 360)
