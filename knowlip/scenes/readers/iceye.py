"""ICEYE: ground-range images (GRD GeoTIFF) and single-look complex ones (SLC HDF5, or GeoTIFF of amplitude and phase),
with metadata in an XML or JSON file of the same name, in the HDF5 file, or in the TIFF's tags.

K = `calibration_factor`: SLC pixels are radar brightness, beta0 = K * DN^2 and sigma0 = K * DN^2 * sin(theta); GRD
pixels hold the sine already, sigma0 = K * DN^2 (ICEYE Product Documentation, Radiometric Calibration).
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from rasterio.windows import Window

from knowlip.base.documents import read_json
from knowlip.scenes.calibration import Constant, Radiometry, Table
from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.names import scene_id_of, second_of, word_of
from knowlip.scenes.opening import require_file
from knowlip.scenes.quantities import conversion, finite, relative
from knowlip.scenes.raster import Raster, RasterFile
from knowlip.scenes.readers.common import ProductFiles, gated, require_data, require_polarisation
from knowlip.scenes.readers.geotiff import Header, raster_of, read_header
from knowlip.scenes.readers.hdf5 import Hdf5Raster, dataset_at, import_h5py, item_at, require_plain
from knowlip.scenes.readers.iceye_places import Facts, angles_of, corners_of, look_azimuth_of, places_of
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import number_at, read_xml, text_of

NAME = "ICEYE"
_NAME = re.compile(r"^ICEYE_.*\.(?:tiff?|h5|hdf5)$", re.IGNORECASE)
_PREVIEW = re.compile(r"thumb|quicklook|preview|_QLK", re.IGNORECASE)
_LARGEST = 100_000
"""Metadata arrays with more values than this are pixels."""


@dataclass
class _MappedAmplitude(RasterFile):
    """Amplitudes that were raised to a power before they became integers: DN = factor * stored^(1 / exponent), with the
    scale of the band as GDAL states it."""

    exponent: float = 1.0
    factor: float = 1.0

    @property
    def table(self) -> np.ndarray | None:
        """None: values are no longer the stored integers that a table is looked up by."""
        return None

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        stored, mask = super().values(window)
        valid = stored != 0 if self.nodata is None else stored != self.nodata
        amplitude = np.float32(self.factor) * stored.astype(np.float32) ** np.float32(1 / self.exponent)
        return amplitude, valid if mask is None else mask & valid


def _is_image(path: Path) -> bool:
    return bool(_NAME.match(path.name)) and not _PREVIEW.search(path.name)


def _previews(image: Path) -> list[Path]:
    return sorted(entry for entry in image.parent.iterdir() if _NAME.match(entry.name) and _PREVIEW.search(entry.name))


_FILES = ProductFiles(NAME, _is_image, _previews)
matches, parts = _FILES.matches, _FILES.parts


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """Open an image of ICEYE.

    Places come from the TIFF's map transform, control points or RPCs, else (SLC) from the orbit, zero-Doppler times and
    ranges at `avg_scene_height` or `overrides.height_m`, else from the four corners in the metadata, which is noted.

    Raises:
        SceneError: no metadata, no place, no valid pixel, or a quantity that the product cannot give.
    """
    image = _FILES.entry(path)
    h5 = image.suffix.lower() in (".h5", ".hdf5")
    header = None if h5 else read_header(image)
    facts, sources = _facts_h5(image) if header is None else _facts_tiff(image, header)
    raster = _h5_raster(image, facts) if header is None else _tiff_raster(image, header, facts)
    if overrides.units and raster.units != "complex":
        raster.units = overrides.units
    slant = h5 or "SLC" in str(facts.get("product_type", image.name)).upper()
    polarisation = _text(facts, "polarization")[:2].upper() or "VV"  # the only one that the satellites have
    require_polarisation(polarisation, overrides, path)
    places = places_of(image, header, facts, raster.shape, slant, overrides)
    geometry = places.geometry
    angles = angles_of(facts, raster.shape[1], slant)
    notes = list(places.notes) + _calibrate(raster, facts, angles, slant, image, overrides)
    require_data(raster)
    looks = finite(facts.get("range_looks")) * finite(facts.get("azimuth_looks"))
    scene = Scene(
        path=path,
        scene_id=scene_id_of(image),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or "iceye",
        unit=_text(facts, "satellite_name"),
        band=overrides.band or "X",
        polarisation=polarisation,
        looks=looks if looks > 0 else 0.0,
        incidence_deg=float(angles[len(angles) // 2]),
        look_azimuth_deg=_look_azimuth(facts),
        look_side=word_of(_text(facts, "look_side"), "left", "right"),
        orbit=word_of(_text(facts, "orbit_direction"), "ascending", "descending"),
        date=second_of(_text(facts, "acquisition_start_utc")),
        radiometry="calibrated" if raster.calibration else "relative",
        quantity=raster.calibration.quantity if raster.calibration else "none",
        mode=_text(facts, "acquisition_mode") or _text(facts, "product_type"),
        product_type="SLC" if slant else "GRD",
        projection="map" if isinstance(geometry, AffineGeometry) and not slant else "slant" if slant else "ground",
        product=NAME,
        frequency_ghz=finite(facts.get("carrier_frequency")) / 1e9,
        sources=(image, *sources),
        notes=tuple(notes),
    )
    scene = gated(scene, overrides, image, places.smooth)
    return [replace(scene, notes=scene.notes + places.relief(scene.resolution_m))]


def _facts_h5(image: Path) -> tuple[Facts, list[Path]]:
    """Everything in the HDF5 file but pixels; refused where it is none, or holds no pixels."""
    try:
        require_file(image)
        with import_h5py().File(image, "r") as file:
            others = [(name, item_at(file, name)) for name in file if name not in ("s_i", "s_q")]
            arrays = [(name, item) for name, item in others if hasattr(item, "external") and item.shape is not None]
            small = [(name, item) for name, item in arrays if item.size <= _LARGEST]
            for _, item in small:
                require_plain(item, image)
            facts = {name.lower(): _plain(item[()]) for name, item in small}
            parts = [dataset_at(file, name, 2) for name in ("s_i", "s_q")]
            if any(part is None for part in parts) or parts[0].shape != parts[1].shape:
                raise DamagedProduct(f"{image} has no pixels s_i and s_q of one shape, is it an SLC of ICEYE?")
            facts["shape"], facts["dtype"] = file["s_i"].shape, str(file["s_i"].dtype)
    except OSError as error:
        raise UnknownFormat(f"{image} is no HDF5 file that can be opened ({error}).") from error
    return facts, []


def _plain(value: Any) -> Any:
    """Bytes as text, single numbers as numbers."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [item.decode() if isinstance(item, bytes) else str(item) for item in value.ravel()]
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.item()
    return value.decode() if isinstance(value, bytes) else value


def _facts_tiff(image: Path, header: Header) -> tuple[Facts, list[Path]]:
    """Metadata under the names of the XML files, whichever of XML, JSON and tags there is; refused without any."""
    facts: Facts = {name.lower(): value for name, value in header.tags.items()}
    xml, json = image.with_suffix(".xml"), image.with_suffix(".json")
    sources = []
    if xml.is_file():
        facts |= _facts_xml(read_xml(xml))
        sources.append(xml)
    elif json.is_file():
        try:
            found = read_json(json)
        except ValueError as error:
            raise DamagedProduct(str(error)) from error
        properties = found.get("properties", found) if isinstance(found, dict) else {}
        if not isinstance(properties, dict):
            raise DamagedProduct(f"{json} holds no list of named properties.")
        facts |= {name.lower(): value for name, value in properties.items()}
        sources.append(json)
    facts = {name.removeprefix("iceye:"): value for name, value in facts.items()}
    for name, other in _STAC.items():
        if other in facts:
            facts.setdefault(name, facts[other])
    if not {"calibration_factor", "product_type", "acquisition_start_utc"} & set(facts):
        raise DamagedProduct(f"{image} has no metadata: put {xml.name} or {json.name} beside it.")
    return facts, sources


def _facts_xml(root: Element) -> Facts:
    """Single values by their tag in lower case; state vectors and polynomials by the names that HDF5 files have."""
    facts: Facts = {element.tag.lower(): (element.text or "").strip() for element in root if not len(element)}
    vectors = root.findall("Orbit_State_Vectors/orbit_vector")
    if vectors:
        facts["state_vector_time_utc"] = [text_of(vector, "time") for vector in vectors]
        for name in ("posX", "posY", "posZ", "velX", "velY", "velZ"):
            facts[name.lower()] = [finite(text_of(vector, name)) for vector in vectors]
    for tag, name in (("GRSR", "grsr"), ("Incidence_Angle", "incidence_angle")):
        terms = [finite(text_of(term, "value")) for term in root.findall(f"{tag}_Coefficients/coefficient")]
        if terms and np.all(np.isfinite(terms)):
            facts[f"{name}_coefficients"] = terms
            facts[f"{name}_ground_range_origin"] = number_at(root, f"{tag}_Coefficients/ground_range_origin", 0.0)
    return facts


_NAMES = """product_type=sar:product_type polarization=sar:polarizations look_side=sar:observation_direction
orbit_direction=sat:orbit_state acquisition_start_utc=start_datetime view_azimuth=view:azimuth
acquisition_mode=sar:instrument_mode carrier_frequency=sar:center_frequency range_looks=sar:looks_range
azimuth_looks=sar:looks_azimuth incidence_center=view:incidence_angle incidence_near=incidence_angle_near
incidence_far=incidence_angle_far"""
_STAC = dict(entry.split("=") for entry in _NAMES.split())
"""Names of the XML files -> names of the JSON files."""


def _h5_raster(image: Path, facts: Facts) -> Raster:
    rows, columns = facts["shape"]
    shape = int(rows), int(columns)
    return Hdf5Raster(image, "complex", shape, facts["dtype"], None, dataset="s_i", imaginary="s_q")


def _tiff_raster(image: Path, header: Header, facts: Facts) -> RasterFile:
    """The band with amplitudes; a real and an imaginary part where the bands say so."""
    names = [name.lower() for name in header.descriptions]
    mapping = facts.get("amplitude_mapping")
    mapping = mapping if isinstance(mapping, dict) else {}
    if len(names) == 2 and mapping.get("function") is None and not any("ampl" in name for name in names):
        return raster_of(image, header, 1, 2)
    band = next((number for number, name in enumerate(names, 1) if "ampl" in name), 1)
    raster = raster_of(image, header, band)
    if str(mapping.get("function", "none")).lower() in ("none", "linear") or raster.units == "complex":
        return raster
    parameters = mapping.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    exponent = finite(parameters.get("exponent"))
    if mapping["function"] != "power" or not exponent > 0:
        raise UnknownFormat(f"{image} stores amplitudes through {mapping}, which is not known here.")
    band_scale = header.scales[band - 1]
    inside = finite(parameters.get("scale", 1))
    scale = band_scale / (inside if inside > 0 else 1.0)
    kept = raster.path, "amplitude", raster.shape, raster.dtype, raster.nodata
    return _MappedAmplitude(*kept, raster_band=band, exponent=exponent, factor=scale)


def _text(facts: Facts, name: str) -> str:
    value = facts.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value).strip()


def _calibrate(
    raster: Raster, facts: Facts, angles: np.ndarray, slant: bool, image: Path, overrides: SceneOverrides
) -> list[str]:
    factor = finite(_text(facts, "calibration_factor"))
    if not math.isfinite(factor):
        return [relative(image, overrides, "its metadata give no calibration_factor")]
    if not overrides.calibrate or raster.units not in ("complex", "dn", "amplitude"):
        return [relative(image, overrides, "its pixels are no longer the numbers of the product")]
    factors = conversion("beta0" if slant else "sigma0", overrides.quantity, angles, image) * factor
    same = len(factors) == 1 or np.ptp(factors) == 0
    table = Table(np.zeros(1), np.arange(len(factors), dtype=float), factors[None, :])
    raster.calibration = Radiometry(overrides.quantity, Constant(float(factors[0])) if same else table)
    return []


def _look_azimuth(facts: Facts) -> float:
    """From the near to the far corners of the first line; else as stated, seen from the scene; NaN where unknown."""
    corners = corners_of(facts)
    return (finite(facts.get("view_azimuth")) + 180) % 360 if corners is None else look_azimuth_of(corners)
