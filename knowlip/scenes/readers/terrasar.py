"""TerraSAR-X, TanDEM-X and PAZ Level 1b: the main annotation (TSX1_SAR__*.xml) or the folder it lies in.

Detected products (MGD, GEC, EEC) hold GeoTIFFs, single-look slant-range complex ones (SSC) COSAR files.

Source: TerraSAR-X Level 1b Product Format Specification (TX-GS-DD-3307).
"""

import math
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.names import slug
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.common import choose, gated, require_data, require_end
from knowlip.scenes.readers.geotiff import Header, geometry_of, raster_of, read_header
from knowlip.scenes.readers.relief import relief_note, require_inside
from knowlip.scenes.readers.terrasar_calibration import read_calibration
from knowlip.scenes.readers.terrasar_points import Points, grid_points, on_map, scene_points
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need_count, need_text, number_at, read_xml, root_tag, text_of, time_of

NAME = "TerraSAR-X Level 1b"
_MAIN = re.compile(r"(TSX1|TDX1|PAZ1)_SAR__.*\.xml", re.IGNORECASE)
_SENSORS = {"TSX": "terrasar-x", "TDX": "tandem-x", "PAZ": "paz"}
_MODES = {"SM": "stripmap", "SC": "scansar", "SL": "spotlight", "HS": "high-resolution spotlight", "ST": "staring"}
_VARIANTS = {"SSC": "slant", "MGD": "ground", "GEC": "map", "EEC": "map"}


class _Layer(NamedTuple):
    number: str
    polarisation: str
    path: Path


class _Annotation(NamedTuple):
    """The main annotation, and what most of reading needs of it."""

    path: Path
    root: Element

    @property
    def name(self) -> str:
        return str(self.path)

    def text(self, where: str) -> str:
        """Text of an element of productInfo; "" where it is absent."""
        return text_of(self.root, f"productInfo/{where}")

    def need(self, where: str) -> str:
        """Text of an element of productInfo that must be there."""
        return need_text(self.root, f"productInfo/{where}", self.name)


def matches(path: Path) -> bool:
    return _main_file(path) is not None


def parts(path: Path) -> list[Path]:
    """Rasters and annotations beside the main annotation."""
    main = _main_file(path)
    if main is None:
        return []
    folders = [main.parent / name for name in ("IMAGEDATA", "ANNOTATION", "AUXRASTER", "PREVIEW", "SUPPORT")]
    return [member for folder in folders if folder.is_dir() for member in folder.rglob("*") if member.is_file()]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: a file is missing, truncated or contradicts another; there is no calibration factor.
    """
    main_path = _main_file(path)
    if main_path is None:
        raise UnknownFormat(f"{path} is not a TerraSAR-X product.")
    main = _Annotation(main_path, read_xml(main_path))
    if main.root.tag != "level1Product":
        tag = main.root.tag
        raise UnknownFormat(f"{main_path} is not the main annotation of a TerraSAR-X product: its root is <{tag}>.")
    layers = _layers(main)
    chosen = choose([layer.polarisation for layer in layers], overrides, path)
    found = [layer for layer in layers if layer.polarisation in chosen]
    return [_open(path, main, layer, len(found) > 1, overrides) for layer in found]


def _open(path: Path, main: _Annotation, layer: _Layer, many: bool, overrides: SceneOverrides) -> Scene:
    name, mission = main.name, main.need("missionInfo/mission").upper()
    sensor = _SENSORS.get(mission[:3])
    variant = main.need("productVariantInfo/productVariant").upper()
    if sensor is None or variant not in _VARIANTS:
        raise UnknownFormat(f"{name} is a {variant} product of {mission}; TerraSAR-X SSC, MGD, GEC and EEC are read.")
    mode = main.text("acquisitionInfo/imagingMode").upper()
    if variant == "SSC" and mode == "SC":
        raise UnknownFormat(f"{name} is a ScanSAR SSC, whose bursts are not put together; use the MGD or GEC product.")
    start_text = main.need("sceneInfo/start/timeUTC")
    start = time_of(start_text, name)
    header, raster = _raster(main, layer)
    points = scene_points(main.root, start, name)
    georef = main.path.parent / "ANNOTATION" / "GEOREF.xml"
    sources = [main.path, layer.path]
    if georef.is_file():
        points = grid_points(read_xml(georef), main.root, points, start, str(georef))
        sources.append(georef)
    side = main.text("acquisitionInfo/lookDirection").lower()
    heading = number_at(main.root, "productInfo/sceneInfo/headingAngle", math.nan)
    azimuth = (heading + (-90 if side == "left" else 90)) % 360
    geometry: Geometry
    smooth = None
    if _VARIANTS[variant] == "map":
        geometry = geometry_of(header, layer.path, overrides)
        if not isinstance(geometry, AffineGeometry):
            raise NoLocation(f"{layer.path} is geocoded by its annotation, but carries no map transform.")
        points = on_map(points, geometry, name)
    elif not (np.isfinite(points.columns).all() and np.isfinite(points.rows).all()):
        raise NoLocation(f"{name} names no pixels of its corners (refColumn, refRow) and of its geolocation grid.")
    else:
        require_inside(points.columns, points.rows, header.shape, main.path)
        level = float(np.median(points.heights)) if overrides.height_m is None else overrides.height_m
        smooth = points.at_height(level, azimuth)
        geometry = (points if overrides.height_m is None else smooth).control_points()
    if overrides.calibrate:
        raster.calibration = read_calibration(main.root, layer.number, overrides, points, header.shape, start, name)
    require_data(raster)
    looks = [number_at(main.root, f"processing/processingParameter/{axis}Looks", 0.0) for axis in ("range", "azimuth")]
    scene = Scene(
        path=path,
        scene_id=slug(main.path.stem) + (f"-{layer.polarisation.lower()}" if many else ""),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or sensor,
        band=overrides.band or "X",
        polarisation=layer.polarisation,
        looks=1.0 if variant == "SSC" else looks[0] * looks[1],
        incidence_deg=number_at(main.root, "productInfo/sceneInfo/sceneCenterCoord/incidenceAngle", math.nan),
        look_azimuth_deg=azimuth,
        look_side=side,
        orbit=main.text("missionInfo/orbitDirection").lower(),
        date=start_text[:19] + "Z",
        radiometry="calibrated" if overrides.calibrate else "relative",
        quantity=overrides.quantity if overrides.calibrate else "none",
        mode=_MODES.get(mode, mode.lower()),
        product_type=variant,
        projection=_VARIANTS[variant],
        product=NAME,
        frequency_ghz=number_at(main.root, "instrument/radarParameters/centerFrequency", math.nan) / 1e9,
        sources=tuple(sources),
    )
    if smooth is None:
        return scene
    # Relief moves points of the grid by more than pixels: whether they belong together shows at one height.
    gated(scene, overrides, path, smooth.control_points())
    notes = relief_note(points.heights, geometry.residual_m, scene.resolution_m)
    return replace(scene, notes=notes + _side_note(smooth, side, azimuth))


def _side_note(points: Points, side: str, azimuth: float) -> tuple[str, ...]:
    """A note where ranges grow the other way than the look direction of the annotation says."""
    if not side or not math.isfinite(azimuth):
        return ()
    line = np.flatnonzero(points.rows == points.rows[np.argmin(np.abs(points.rows - np.median(points.rows)))])
    near, far = line[np.argmin(points.tau[line])], line[np.argmax(points.tau[line])]
    if near == far:
        return ()
    away = GEOD.inv(points.lons[near], points.lats[near], points.lons[far], points.lats[far])[0]
    if math.cos(math.radians(away - azimuth)) > 0:
        return ()
    other = "right" if side == "left" else "left"
    return (f"Its annotation says that it looks {side}, and ranges grow as where a radar looks {other}: doubt both.",)


def _raster(main: _Annotation, layer: _Layer) -> tuple[Header, RasterFile]:
    """The pixels of a layer, checked against what the annotation says."""
    if not layer.path.is_file():
        raise DamagedProduct(f"{layer.path} is missing, is the product complete?")
    try:
        header = read_header(layer.path)
    except UnknownFormat as error:
        raise DamagedProduct(f"{layer.path} cannot be opened, is it complete? ({error.__cause__})") from error
    size = "productInfo/imageDataInfo/imageRaster/numberOf"
    rows, columns = (need_count(main.root, size + axis, main.name) for axis in ("Rows", "Columns"))
    if header.shape != (rows, columns):
        there = f"{header.shape[1]} x {header.shape[0]} pixels"
        raise DamagedProduct(f"{layer.path} has {there}, its annotation says {columns} x {rows}.")
    raster = raster_of(layer.path, header)
    if raster.units != "complex":
        raster.units = "amplitude"
    require_end(raster)
    return header, raster


def _main_file(path: Path) -> Path | None:
    """The main annotation at `path`, or directly inside it where it is a folder."""
    if path.is_dir():
        found = sorted(member for member in path.glob("*.xml") if _MAIN.fullmatch(member.name) and member.is_file())
        return found[0] if found else None
    if path.suffix.lower() != ".xml" or not path.is_file():
        return None
    return path if _MAIN.fullmatch(path.name) or root_tag(path) == "level1Product" else None


def _layers(main: _Annotation) -> list[_Layer]:
    """Layers with their rasters; a path that leaves the product is refused."""
    name = main.name
    layers = []
    for number, element in enumerate(main.root.findall("productComponents/imageData"), 1):
        file = need_text(element, "file/location/filename", name)
        inside = PurePosixPath(text_of(element, "file/location/path", ".")) / file
        if inside.is_absolute() or ".." in inside.parts:
            raise DamagedProduct(f"{name} names a raster outside the product: {inside}.")
        polarisation = need_text(element, "polLayer", name).upper()
        layers.append(_Layer(element.get("layerIndex", str(number)), polarisation, main.path.parent / inside))
    polarisations = [layer.polarisation for layer in layers]
    if len(set(polarisations)) < len(polarisations):
        raise DamagedProduct(f"{name} lists two images of one polarisation: {', '.join(polarisations)}.")
    if not layers:
        raise DamagedProduct(f"{name} lists no image (productComponents/imageData).")
    return layers
