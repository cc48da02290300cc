"""RADARSAT-2 and the RADARSAT Constellation Mission (RCM): product.xml with its images and look-up tables.

Detected pixels: quantity = (DN^2 + B) / A, complex ones: quantity = |DN|^2 / A^2, with the gains A and the offset B of
lutSigma, lutBeta and lutGamma.

Sources: RADARSAT-2 Product Format Definition (RN-RP-51-2713), RCM Image Product Format Definition (RCM-SP-53-0419).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np
from pyproj import Transformer

from knowlip.scenes.calibration import Field, Radiometry, Table
from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, UnknownFormat
from knowlip.scenes.geometry import GEOD, AffineGeometry, Geometry
from knowlip.scenes.names import second_of, slug, word_of
from knowlip.scenes.orbit import Orbit, at_height, seconds
from knowlip.scenes.quantities import relative
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.common import choose, gated, require_data, require_end
from knowlip.scenes.readers.geotiff import Header, raster_of, read_header
from knowlip.scenes.readers.relief import relief_note, require_inside
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.xml import need_count, need_number, need_text, number_at, read_xml, root_tag, text_of

NAME = "RADARSAT-2 and RCM"
_COMPACT = ("CH", "CV", "RH", "RV")
"""Of compact polarimetry: a circular wave is sent, H and V are received. RCM calls it C, RADARSAT-2's simulations R."""
_MOST_GAINS = 200_000
_TABLES = {"sigma0": "Sigma", "beta0": "Beta", "gamma0": "Gamma"}
_Image = tuple[str, tuple[Path, ...]]
"""Polarisation, and its file (or two: real and imaginary part)."""


@dataclass(frozen=True)
class RadarsatProduct:
    """A product on disk."""

    xml: Path
    root: Element

    @property
    def name(self) -> str:
        return str(self.xml)

    @property
    def rcm(self) -> bool:
        return self.root.find("sceneAttributes") is not None

    @property
    def image(self) -> Element:
        """Where rasters and their places are described."""
        return _need(self.root, ("imageReferenceAttributes", "imageAttributes"), self.name)


def matches(path: Path) -> bool:
    return _xml_of(path) is not None


def parts(path: Path) -> list[Path]:
    """Every file of the product's folder."""
    xml = _xml_of(path)
    if xml is None:
        return []
    top = xml.parent.parent if xml.parent.name == "metadata" else xml.parent
    folders = [top / name for name in ("imagery", "metadata", "preview", "support", "calibration")]
    inside = [member for folder in folders if folder.is_dir() for member in folder.rglob("*") if member.is_file()]
    return inside + [member for member in top.iterdir() if member.is_file() and member != path]


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    """One scene per chosen polarisation.

    Raises:
        SceneError: a file is missing or damaged, the look-up table does not fit, ScanSAR in slant range.
    """
    xml = _xml_of(path)
    if xml is None:
        raise UnknownFormat(f"{path} is no product of {NAME}.")
    product = RadarsatProduct(xml, read_xml(xml))
    images = _images(product)
    chosen = choose([name for name, _ in images], overrides, path)
    found = [image for image in images if image[0] in chosen]
    return [_open(path, product, image, len(found) > 1, overrides) for image in found]


def _open(path: Path, product: RadarsatProduct, image: _Image, many: bool, overrides: SceneOverrides) -> Scene:
    root, (polarisation, files) = product.root, image
    header, raster = _raster(product, files)
    side = word_of(_text(root, "antennaPointing"), "left", "right")
    orbit_path = "sourceAttributes/orbitAndAttitude/orbitInformation"
    passing = text_of(root, f"{orbit_path}/passDirection").lower()
    geometry, smooth, notes = _geometry(product, header, side, overrides)
    kind = _text(root, "productType").upper()
    slant = header.affine is None and "SLC" in kind
    tables: list[Path] = []
    if overrides.calibrate and any(_table_file(product, kind, polarisation).is_file() for kind in _TABLES):
        tables = _calibrate(product, raster, polarisation, overrides)
    else:  # geocoded products of RCM carry no tables
        notes += (relative(product.xml, overrides, "the product holds no look-up table"),)
    require_data(raster)
    angle = _incidence(product, header.shape[1])
    looks = [number_at(root, f".//numberOf{axis}Looks", 0.0) for axis in ("Range", "Azimuth")]
    satellite = need_text(root, "sourceAttributes/satellite", product.name)
    top = product.xml.parent.parent if product.xml.parent.name == "metadata" else product.xml.parent
    scene = Scene(
        path=path,
        scene_id=slug(top.name) + (f"-{polarisation.lower()}" if many else ""),
        raster=raster,
        geometry=geometry,
        sensor=overrides.sensor or ("rcm" if product.rcm else "radarsat-2"),
        unit=satellite,
        band=overrides.band or "C",
        polarisation=polarisation,
        looks=looks[0] * looks[1],
        incidence_deg=angle,
        look_azimuth_deg=_look_azimuth(geometry, header.shape, root, side),
        look_side=side,
        orbit=passing,
        date=second_of(_text(root, "zeroDopplerTimeFirstLine") or _text(root, "rawDataStartTime")),
        radiometry="calibrated" if raster.calibration else "relative",
        quantity=raster.calibration.quantity if raster.calibration else "none",
        mode=_text(root, "beamModeMnemonic") or _text(root, "acquisitionType"),
        product_type=kind,
        projection="map" if header.affine is not None else "slant" if slant else "ground",
        product=NAME,
        frequency_ghz=number_at(root, ".//radarCenterFrequency", math.nan) / 1e9,
        sources=(product.xml, *files, *tables),
        notes=notes,
    )
    scene = gated(scene, overrides, product.xml, smooth)
    if smooth is None or smooth is geometry or not isinstance(geometry, ControlPoints):
        return scene
    heights = _tie_points(product)[4]
    return replace(scene, notes=scene.notes + relief_note(heights, geometry.residual_m, scene.resolution_m))


def _xml_of(path: Path) -> Path | None:
    """product.xml at `path`, or in its folder (RCM: in `metadata`)."""
    if path.is_dir():
        return next((xml for sub in ("", "metadata") if (xml := path / sub / "product.xml") and _is_product(xml)), None)
    return path if path.name.lower() == "product.xml" and _is_product(path) else None


def _is_product(xml: Path) -> bool:
    if not xml.is_file() or root_tag(xml) != "product":
        return False
    with xml.open("rb") as stream:
        head = stream.read(4096)
    return b"rcmGsProductSchema" in head or b"rs2/prod/xml" in head


def _need(root: Element, names: tuple[str, ...], label: str) -> Element:
    found = next((element for name in names if (element := root.find(name)) is not None), None)
    if found is None:
        raise DamagedProduct(f"{label} has no element {names[0]}, is it the metadata of a product and complete?")
    return found


def _text(root: Element, tag: str) -> str:
    """Text of the first element with this tag, wherever it stands: both missions nest them differently."""
    return text_of(root, f".//{tag}")


def _images(product: RadarsatProduct) -> list[_Image]:
    """Polarisations with their files; a path that leaves the product is refused."""
    tag = "sceneAttributes/imageAttributes/ipdf" if product.rcm else "imageAttributes/fullResolutionImageData"
    elements = product.root.findall(tag)
    top = product.xml.parent.parent if product.xml.parent.name == "metadata" else product.xml.parent
    if len(product.root.findall("sceneAttributes/imageAttributes")) > 1:
        raise UnknownFormat(f"{product.xml} keeps its beams or bursts apart, which are not put together here.")
    found: dict[str, tuple[Path, ...]] = {}
    for element in elements:
        inside = PurePosixPath((element.text or "").strip().replace("\\", "/"))
        file = Path(str(product.xml.parent / inside))
        if inside.is_absolute() or not file.resolve().is_relative_to(top.resolve()):
            raise DamagedProduct(f"{product.xml} names an image outside the product: {inside}.")
        pole = element.get("pole", "").upper()
        if pole not in ("HH", "HV", "VH", "VV", *_COMPACT):
            continue
        found[pole] = (*found.get(pole, ()), file)
    if not found:
        raise DamagedProduct(f"{product.xml} lists no image.")
    if any(len(files) > 2 for files in found.values()):
        raise DamagedProduct(f"{product.xml} lists more than two files for a polarisation.")
    return list(found.items())


def _raster(product: RadarsatProduct, files: tuple[Path, ...]) -> tuple[Header, RasterFile]:
    """The image, checked against its annotation."""
    for file in files:
        if not file.is_file():
            raise DamagedProduct(f"{file} is missing, is the product complete?")
    try:
        header = read_header(files[0])
    except UnknownFormat as error:
        raise DamagedProduct(f"{files[0]} cannot be opened, is the product complete? ({error.__cause__})") from error
    size = (
        product.root.find("sceneAttributes/imageAttributes") if product.rcm else product.image.find("rasterAttributes")
    )
    if size is not None:
        names = ("numLines", "samplesPerLine") if product.rcm else ("numberOfLines", "numberOfSamplesPerLine")
        rows, columns = (need_count(size, name, product.name) for name in names)
        if header.shape != (rows, columns):
            there = f"{header.shape[1]} x {header.shape[0]} pixels"
            raise DamagedProduct(f"{files[0]} has {there}, its annotation says {columns} x {rows}.")
    if len(files) == 2:
        raster = raster_of(files[0], header, imaginary_file=files[1])
    else:
        raster = raster_of(files[0], header, 1, 2 if len(header.dtypes) == 2 else 0)
    if raster.units != "complex":
        raster.units = "amplitude"
    require_end(raster)
    return header, raster


def _tie_points(product: RadarsatProduct) -> np.ndarray:
    """Columns, rows (outer-corner convention), longitudes, latitudes and heights of the tie points, (5, N). They name
    pixel centres: orbit, times and ranges of a real RCM product meet them at 0.002 pixels so."""
    points = product.image.findall(".//imageTiePoint")
    places = ("imageCoordinate/pixel", "imageCoordinate/line")
    grounds = ("geodeticCoordinate/longitude", "geodeticCoordinate/latitude", "geodeticCoordinate/height")
    keys = (*places, *grounds)
    values = [[need_number(point, key, product.name) for key in keys] for point in points]
    return np.array(values, float).reshape(-1, 5).T + np.array([0.5, 0.5, 0, 0, 0])[:, None]


def _geometry(
    product: RadarsatProduct, header: Header, side: str, overrides: SceneOverrides
) -> tuple[Geometry, ControlPoints | None, tuple[str, ...]]:
    """The map transform, else the tie points; the same at one height where the orbit tells, and notes."""
    if header.affine is not None:
        assert isinstance(header.affine, AffineGeometry)
        return header.affine, None, ()
    columns, rows, lons, lats, heights = _tie_points(product)
    if len(columns):
        require_inside(columns, rows, header.shape, product.xml)
    points = ControlPoints(columns, rows, lons, lats)
    orbit = _orbit(product)
    if orbit is None or side not in ("left", "right"):
        if overrides.height_m is None:
            return points, None, ()
        return points, None, ("The height is not used: the metadata hold no orbit to use it with.",)
    level = float(np.median(heights)) if overrides.height_m is None else overrides.height_m
    if np.ptp(heights) < 1 and overrides.height_m is None:
        note = f"Its tie points lie at one height ({level:.0f} m); say a better one by --read.height_m."
        return points, None, (note,) if abs(level) > 1 else ()
    moved = at_height(orbit, lons, lats, heights, side, level)
    smooth = ControlPoints(columns, rows, *moved)
    return (points if overrides.height_m is None else smooth), smooth, ()


def _orbit(product: RadarsatProduct) -> Orbit | None:
    vectors = product.root.findall("sourceAttributes/orbitAndAttitude/orbitInformation/stateVector")
    if len(vectors) < 2:
        return None
    stamps = [need_text(vector, "timeStamp", product.name) for vector in vectors]
    times = np.array([seconds(stamp, stamps[0]) for stamp in stamps])
    positions, velocities = (
        np.array([[need_number(vector, f"{axis}{what}", product.name) for axis in "xyz"] for vector in vectors])
        for what in ("Position", "Velocity")
    )
    return Orbit(times, positions, velocities)


def _table_file(product: RadarsatProduct, quantity: str, polarisation: str) -> Path:
    """RADARSAT-2 has one table for all polarisations, beside product.xml; RCM one each, in `calibration`."""
    name = f"lut{_TABLES[quantity]}"
    places = [product.xml.parent / "calibration" / f"{name}_{polarisation}.xml", product.xml.parent / f"{name}.xml"]
    return next((place for place in places if place.is_file()), places[0 if product.rcm else 1])


def _numbers(element: Element, tag: str, name: str) -> np.ndarray:
    texts = [(found.text or "") for found in element.findall(tag)]
    try:
        values = np.array(" ".join(texts).split(), float)
    except ValueError:
        raise DamagedProduct(f"{name} holds something in {tag} that is no list of numbers.") from None
    if not 0 < len(values) <= _MOST_GAINS or not np.all(np.isfinite(values)):
        raise DamagedProduct(f"{name} holds {len(values)} numbers in {tag}; those of the pixels of a line are needed.")
    return values


def _columns(element: Element, first: str, count: int, width: int, name: str) -> np.ndarray:
    """Columns that `count` values stand for: by their first and step, else one for each of the `width` pixels."""
    start, step = number_at(element, first, 0.0), number_at(element, "stepSize", 1.0)
    columns = start + step * np.arange(count)
    stated = element.find("stepSize") is not None
    inside = columns.min() >= -abs(step) and columns.max() <= width - 1 + abs(step)
    if step == 0 or not inside or np.ptp(columns) < 0.9 * (width - 1) or not (stated or count == width):
        raise DamagedProduct(f"{name} holds {count} values, which do not stand for the {width} pixels of a line.")
    return np.asarray(columns)


def _rising(columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(columns, kind="stable")
    return columns[order], values[order]


def _calibrate(
    product: RadarsatProduct, raster: RasterFile, polarisation: str, overrides: SceneOverrides
) -> list[Path]:
    """Give the raster its calibration; files that it comes from."""
    file = _table_file(product, overrides.quantity, polarisation)
    width, complex_pixels = raster.shape[1], raster.units == "complex"
    if not file.is_file():
        raise NotCalibrated(f"{file} is missing, so there is no {overrides.quantity}; use --read.calibrate false.")
    lut = read_xml(file)
    gains = _numbers(lut, "gains", str(file))
    columns, gains = _rising(_columns(lut, "pixelFirstLutValue", len(gains), width, str(file)), gains)
    if np.any(gains <= 0):
        raise NotCalibrated(f"{file} holds gains that are not positive; read it with --read.calibrate false.")
    offset = need_number(lut, "offset", str(file))
    first = np.zeros(1)
    gain = Table(first, columns, (1 / (gains**2 if complex_pixels else gains))[None, :])
    files = [file]
    # Noise is a level of beta nought; in numbers of the pixels it is that times the gains of beta nought.
    noise = np.full(width, -offset if not complex_pixels else 0.0)
    if overrides.denoise:
        level, source = _noise(product, polarisation, width)
        beta = read_xml(_table_file(product, "beta0", polarisation))
        scale = _numbers(beta, "gains", product.name)
        at, scale = _rising(_columns(beta, "pixelFirstLutValue", len(scale), width, product.name), scale)
        noise = noise + level * np.interp(np.arange(width), at, scale**2 if complex_pixels else scale)
        files.append(source)
    field: Field | None = Table(first, np.arange(float(width)), noise[None, :]) if np.any(noise != 0) else None
    raster.calibration = Radiometry(overrides.quantity, gain, field)
    return files


def _noise(product: RadarsatProduct, polarisation: str, width: int) -> tuple[np.ndarray, Path]:
    """Noise equivalent beta nought of every column, linear, and the file that says it."""
    file = product.xml.parent / "calibration" / f"noiseLevels_{polarisation}.xml"
    root = read_xml(file) if file.is_file() else product.root
    for element in root.iter("referenceNoiseLevel"):
        kind = text_of(element, "sarCalibrationType") or element.get("incidenceAngleCorrection", "")
        if kind.lower().startswith("beta"):
            levels = _numbers(element, "noiseLevelValues", str(file))
            columns = _columns(element, "pixelFirstNoiseValue", len(levels), width, str(file))
            at, levels = _rising(columns, levels)
            return 10 ** (np.interp(np.arange(width), at, levels) / 10), file if file.is_file() else product.xml
    raise NotCalibrated(f"{product.xml} describes no noise of beta nought; read it with --read.denoise false.")


def _incidence(product: RadarsatProduct, width: int) -> float:
    """Incidence angle of the middle column in degrees; NaN where nothing says it."""
    file = product.xml.parent / "calibration" / "incidenceAngles.xml"
    if file.is_file() and file.stat().st_size > 10:
        root = read_xml(file)
        angles = _numbers(root, "angles", str(file))
        at, angles = _rising(_columns(root, "pixelFirstAnglesValue", len(angles), width, str(file)), angles)
        return float(np.interp((width - 1) / 2, at, angles))
    ends = [number_at(product.root, f".//{name}", math.nan) for name in _ENDS]
    near = ends[0] if math.isfinite(ends[0]) else ends[2]
    far = ends[1] if math.isfinite(ends[1]) else ends[3]
    return (near + far) / 2


_ENDS = ("incAngNearRng", "incAngFarRng", "incidenceAngleNearRange", "incidenceAngleFarRange")


def _look_azimuth(geometry: Geometry, shape: tuple[int, int], root: Element, side: str) -> float:
    """From the near to the far end of the middle line; of a map product, across its heading."""
    heading = number_at(root, ".//satelliteHeading", math.nan)
    if isinstance(geometry, AffineGeometry):
        return (heading + (-90 if side == "left" else 90)) % 360 if side else math.nan
    xs, ys = geometry.forward(np.array([0.5, shape[1] - 0.5]), np.full(2, shape[0] / 2))
    lons, lats = Transformer.from_crs(geometry.crs, 4326, always_xy=True).transform(xs, ys)
    azimuth = GEOD.inv(lons[0], lats[0], lons[1], lats[1])[0]
    return float((azimuth + (180 if _text(root, "pixelTimeOrdering").lower() == "decreasing" else 0)) % 360)
