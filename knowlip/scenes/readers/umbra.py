"""Umbra open data: geocoded detected images (`*_GEC.tif`) with their `*_METADATA.json`.

These are relative amplitudes: no calibration is delivered with them, and none is made up here. SICDs of Umbra are read
by the SICD reader.
"""

import math
import re
from pathlib import Path
from typing import Any

from knowlip.base.documents import read_json
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import date_of, scene_id_of, second_of, word_of
from knowlip.scenes.quantities import finite, relative
from knowlip.scenes.readers.common import ProductFiles, gated, require_data, require_polarisation
from knowlip.scenes.readers.geotiff import geometry_of, raster_of, read_header
from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "Umbra"
_NAME = re.compile(r"^(?P<stem>.*)_GEC(?:[_-]\w+)?\.tiff?$", re.IGNORECASE)
_OTHERS = re.compile(r"^[_-](?:CSI|SIDD|SICD|CPHD)\b|^[_-](?:CSI|SIDD|SICD|CPHD)[_.-]", re.IGNORECASE)


def _is_image(path: Path) -> bool:
    """A `*_GEC.tif` with "UMBRA" in its name or Umbra's metadata beside it."""
    return bool(_NAME.match(path.name)) and ("umbra" in path.name.lower() or _metadata_of(path) is not None)


def _siblings(tiff: Path) -> list[Path]:
    """The other forms of the same collect (colour subapertures, SIDD, SICD): the ground they show is the same."""
    stem = _stem(tiff)
    named = [entry for entry in sorted(tiff.parent.iterdir()) if entry != tiff and entry.name.startswith(stem)]
    return [entry for entry in named if _OTHERS.match(entry.name[len(stem) :])]


_FILES = ProductFiles(NAME, _is_image, _siblings)
matches, parts = _FILES.matches, _FILES.parts


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open a geocoded image of Umbra.

    Raises:
        SceneError: no place, no valid pixel, or beta0 or gamma0 asked for.
    """
    tiff = _FILES.entry(path)
    header = read_header(tiff)
    geometry = geometry_of(header, tiff, overrides)
    metadata = _metadata_of(tiff)
    collects = _read(metadata) if metadata else {}
    note = relative(tiff, overrides, "open data of Umbra are relative amplitudes without a calibration")
    polarisations = [str(name).upper() for name in collects.get("polarizations") or []]
    polarisation = polarisations[0] if len(polarisations) == 1 else ""
    require_polarisation(polarisation, overrides, path)
    raster = raster_of(tiff, header, overrides.raster_band or 1)
    # Open data carry no scale: what is known is that detected numbers are amplitudes.
    raster.units = raster.units if raster.units == "complex" else overrides.units or "amplitude"
    require_data(raster)
    scene = Scene(
        path=path,
        scene_id=scene_id_of(tiff),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or "umbra",
        band=overrides.band or str(collects.get("radarBand") or "X"),
        polarisation=polarisation,
        incidence_deg=finite(collects.get("angleIncidenceDegrees")),
        look_azimuth_deg=_look_azimuth(collects),
        look_side=word_of(collects.get("observationDirection"), "left", "right"),
        orbit=word_of(collects.get("satelliteTrack"), "ascending", "descending"),
        date=second_of(str(collects.get("startAtUTC") or "")) or date_of(tiff.name),
        radiometry="relative",
        mode=str(collects.get("imagingMode") or "").lower(),
        product_type="GEC",
        projection="map" if isinstance(geometry, AffineGeometry) else "",
        product=NAME,
        frequency_ghz=finite(collects.get("radarCenterFrequencyHz")) / 1e9,
        sources=(tiff, metadata) if metadata else (tiff,),
        notes=(note,),
    )
    return [gated(scene, overrides, tiff)]


def _stem(tiff: Path) -> str:
    found = _NAME.match(tiff.name)
    return found["stem"] if found else tiff.stem


def _metadata_of(tiff: Path) -> Path | None:
    file = tiff.with_name(f"{_stem(tiff)}_METADATA.json")
    return file if file.is_file() else None


def _read(metadata: Path) -> dict[str, Any]:
    """The single collect, with what stands above it; refused where it is no JSON, or not Umbra's."""
    try:
        found = read_json(metadata)
    except ValueError as error:
        raise DamagedProduct(str(error)) from error
    collects = found.get("collects") if isinstance(found, dict) else None
    if not isinstance(collects, list) or not collects or not isinstance(collects[0], dict):
        raise DamagedProduct(f"{metadata} has no list `collects`.")
    return {**found, **collects[0]}


def _look_azimuth(collect: dict[str, Any]) -> float:
    """Umbra states the azimuth from the scene to the satellite; the radar looks the other way."""
    azimuth = finite(collect.get("angleAzimuthDegrees"))
    return (azimuth + 180) % 360 if math.isfinite(azimuth) else math.nan
