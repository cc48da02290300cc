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

from knowlip.scenes.control import gate
from knowlip.scenes.errors import DamagedProduct, NoLocation, UnknownFormat
from knowlip.scenes.geometry import AffineGeometry, Geometry
from knowlip.scenes.names import slug
from knowlip.scenes.readers.choose import choose
from knowlip.scenes.readers.complete import require_end
from knowlip.scenes.readers.geotiff import geometry_of, raster_of, read_header, require_data
from knowlip.scenes.readers.relief import relief_note, require_inside
from knowlip.scenes.readers.terrasar_calibration import read_calibration
from knowlip.scenes.readers.terrasar_points import grid_points, on_map, scene_points
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


def matches(path: Path) -> bool:
    return _main_file(path) is not None


def parts(path: Path) -> list[Path]:
    """Rasters and annotations beside the main annotation."""
    main = _main_file(path)
    if main is None:
        return []
    folders = [main.parent / name for name in ("IMAGEDATA", "ANNOTATION", "PREVIEW", "SUPPORT")]
    return [member for folder in folders if folder.is_dir() for member in folder.rglob("*") if member.is_file()]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: a file is missing, truncated or contradicts another; there is no calibration factor.
    """
    main_path = _main_file(path)
    if main_path is None:
        raise UnknownFormat(f"{path} is not a TerraSAR-X product.")
    name = str(main_path)
    main = read_xml(main_path)
    if main.tag != "level1Product":
        raise UnknownFormat(f"{name} is not the main annotation of a TerraSAR-X product: its root is <{main.tag}>.")
    layers = _layers(main, main_path)
    chosen = choose([layer.polarisation for layer in layers], overrides, path)
    found = [layer for layer in layers if layer.polarisation in chosen]
    return [_open(path, main_path, main, layer, len(found) > 1, overrides) for layer in found]


def _open(path: Path, main_path: Path, main: Element, layer: _Layer, many: bool, overrides: SceneOverrides) -> Scene:
    name = str(main_path)
    info = "productInfo/"
    mission = need_text(main, info + "missionInfo/mission", name).upper()
    sensor = _SENSORS.get(mission[:3])
    variant = need_text(main, info + "productVariantInfo/productVariant", name).upper()
    if sensor is None or variant not in _VARIANTS:
        raise UnknownFormat(f"{name} is a {variant} product of {mission}; TerraSAR-X SSC, MGD, GEC and EEC are read.")
    mode = text_of(main, info + "acquisitionInfo/imagingMode").upper()
    if variant == "SSC" and mode == "SC":
        raise UnknownFormat(f"{name} is a ScanSAR SSC, whose bursts are not put together; use the MGD or GEC product.")
    start_text = need_text(main, info + "sceneInfo/start/timeUTC", name)
    start = time_of(start_text, name)

    if not layer.path.is_file():
        raise DamagedProduct(f"{layer.path} is missing, is the product complete?")
    try:
        header = read_header(layer.path)
    except UnknownFormat as error:
        raise DamagedProduct(f"{layer.path} cannot be opened, is it complete? ({error.__cause__})") from error
    stated = tuple(
        need_count(main, info + f"imageDataInfo/imageRaster/numberOf{axis}", name) for axis in ("Rows", "Columns")
    )
    if header.shape != stated:
        raise DamagedProduct(
            f"{layer.path} has {header.shape[1]} x {header.shape[0]} pixels, its annotation says "
            f"{stated[1]} x {stated[0]}."
        )
    raster = raster_of(layer.path, header)
    if raster.units != "complex":
        raster.units = "amplitude"
    require_end(raster)

    points = scene_points(main, start, name)
    georef = main_path.parent / "ANNOTATION" / "GEOREF.xml"
    sources = [main_path, layer.path]
    if georef.is_file():
        points = grid_points(read_xml(georef), main, points, start, str(georef))
        sources.append(georef)
    side = text_of(main, info + "acquisitionInfo/lookDirection").lower()
    heading = number_at(main, info + "sceneInfo/headingAngle", math.nan)
    azimuth = (heading + (-90 if side == "left" else 90)) % 360
    geometry: Geometry
    smooth = None
    if _VARIANTS[variant] == "map":
        geometry = geometry_of(header, layer.path, overrides)
        if not isinstance(geometry, AffineGeometry):
            raise NoLocation(f"{layer.path} is geocoded by its annotation, but carries no map transform.")
        points = on_map(points, geometry, name)
    else:
        require_inside(points.columns, points.rows, header.shape, main_path)
        level = float(np.median(points.heights)) if overrides.height_m is None else overrides.height_m
        smooth = points.at_height(level, azimuth)
        geometry = (points if overrides.height_m is None else smooth).control_points()
    if overrides.calibrate:
        raster.calibration = read_calibration(
            main, layer.number, overrides.quantity, overrides.denoise, points, header.shape, start, name
        )
    require_data(raster)
    raster.close()

    looks = [number_at(main, f"processing/processingParameter/{axis}Looks", 0.0) for axis in ("range", "azimuth")]
    scene = Scene(
        path=path,
        scene_id=slug(main_path.stem) + (f"-{layer.polarisation.lower()}" if many else ""),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or sensor,
        band=overrides.band or "X",
        polarisation=layer.polarisation,
        looks=1.0 if variant == "SSC" else looks[0] * looks[1],
        incidence_deg=number_at(main, info + "sceneInfo/sceneCenterCoord/incidenceAngle", math.nan),
        look_azimuth_deg=azimuth,
        look_side=side,
        orbit=text_of(main, info + "missionInfo/orbitDirection").lower(),
        date=start_text[:19] + "Z",
        radiometry="calibrated" if overrides.calibrate else "relative",
        quantity=overrides.quantity if overrides.calibrate else "none",
        mode=_MODES.get(mode, mode.lower()),
        product_type=variant,
        projection=_VARIANTS[variant],
        product=NAME,
        frequency_ghz=number_at(main, "instrument/radarParameters/centerFrequency", math.nan) / 1e9,
        sources=tuple(sources),
    )  # fmt: skip
    if smooth is None:
        return scene
    # Relief moves points of the grid by more than pixels: whether they belong together shows at one height.
    gate(smooth.control_points(), path, scene.resolution_m, overrides.max_residual_m)
    return replace(scene, notes=relief_note(points.heights, geometry.residual_m, scene.resolution_m))


def _main_file(path: Path) -> Path | None:
    """The main annotation at `path`, or directly inside it where it is a folder."""
    if path.is_dir():
        found = sorted(member for member in path.glob("*.xml") if _MAIN.fullmatch(member.name) and member.is_file())
        return found[0] if found else None
    if path.suffix.lower() != ".xml" or not path.is_file():
        return None
    return path if _MAIN.fullmatch(path.name) or root_tag(path) == "level1Product" else None


def _layers(main: Element, main_path: Path) -> list[_Layer]:
    """Layers with their rasters; a path that leaves the product is refused."""
    name = str(main_path)
    layers = []
    for number, element in enumerate(main.findall("productComponents/imageData"), 1):
        inside = PurePosixPath(text_of(element, "file/location/path", ".")) / need_text(
            element, "file/location/filename", name
        )
        if inside.is_absolute() or ".." in inside.parts:
            raise DamagedProduct(f"{name} names a raster outside the product: {inside}.")
        layers.append(_Layer(
            element.get("layerIndex", str(number)), need_text(element, "polLayer", name).upper(),
            main_path.parent / inside,
        ))  # fmt: skip
    if not layers:
        raise DamagedProduct(f"{name} lists no image (productComponents/imageData).")
    return layers
