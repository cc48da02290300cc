"""Tiny TerraSAR-X Level 1b products with the file names and XML of the format specification TX-GS-DD-3307."""

import shutil
import struct
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning

from tests.scenes.products import Product
from tests.scenes.products.swath import Swath, texture

START = datetime(2011, 1, 1, 5, 12, 34, 123456)
LIGHT = 299_792_458.0
ROW_SECONDS = 0.0004
FACTORS = {"HH": 2.5e-5, "VV": 3.1e-5, "HV": 2.7e-5, "VH": 2.9e-5}
UTM, MAP_M, MAP_LEFT, MAP_TOP = 32632, 2.5, 691_000.0, 5_335_000.0


def noise_of(rows: np.ndarray, tau: np.ndarray, rows_total: int, reference: float) -> np.ndarray:
    """Noise in squared digital numbers: linear in time between two estimates, a line in range time each."""
    share = rows / (rows_total - 1)
    offset = (tau - reference) * 1e6
    return (400 + 30 * offset) * (1 - share) + (700 - 20 * offset) * share


def make(
    folder: Path,
    variant: str = "MGD",
    polarisations: tuple[str, ...] = ("HH",),
    shape: tuple[int, int] = (260, 280),
    heading: float = 190.0,
    left: bool = False,
    georef: bool = True,
    flipped: bool = False,
    projection: bool = True,
    quantity: str = "sigma0",
    denoise: bool = False,
    mission: str = "TSX",
    height: float = 0.0,
    relief: float = 0.0,
    counted_from: int = 1,
) -> Product:
    """Write a product.

    Args:
        folder: gets the product's folder.
        variant: "SSC", "MGD", "GEC" or "EEC".
        polarisations: of the product.
        shape: rows and columns.
        heading: of the platform, degrees from north.
        left: whether it looks left.
        georef: whether ANNOTATION/GEOREF.xml is there.
        flipped: the last line and the far range come first (MGD).
        projection: whether the annotation carries the slant to ground polynomial (MGD).
        quantity: which power is expected of the first polarisation.
        denoise: whether noise is removed in it.
        mission: TSX, TDX or PAZ.
        height: of the terrain above the ellipsoid.
        relief: of terrain between the points of the grid (amplitude, metres).
        counted_from: number of the first column and row in the grid of SSC.
    """
    spacing = (2.2, 1.36) if variant == "SSC" else (2.5, 2.5)
    swath = Swath(shape, *spacing, heading=heading, slant=variant == "SSC", left=left)
    mapped = variant in ("GEC", "EEC")
    stamp = "20110101T051234_20110101T051235"
    name = f"{mission}1_SAR__{variant}_{'____' if variant == 'SSC' else 'SE__'}_SM_S_SRA_{stamp}"
    product = folder / name
    if product.exists():
        shutil.rmtree(product)
    for part in ("IMAGEDATA", "ANNOTATION", "PREVIEW"):
        (product / part).mkdir(parents=True)
    transform = Affine(MAP_M, 0, MAP_LEFT, 0, -MAP_M, MAP_TOP)
    files = []
    power = None
    columns, rows = np.arange(shape[1])[None, :] + 0.5, np.arange(shape[0])[:, None] + 0.5
    for number, polarisation in enumerate(polarisations):
        image = np.round(texture(shape, number).view(float)).view(complex)
        if variant == "SSC":
            files.append(f"IMAGE_{polarisation}_SRA_strip_005.cos")
            _cosar(product / "IMAGEDATA" / files[-1], image)
        else:
            image = np.maximum(np.round(np.abs(image)), 1)
            files.append(f"IMAGE_{polarisation}_SRA_strip_005.tif")
            _tiff(product / "IMAGEDATA" / files[-1], image, transform if mapped else None)
        if power is None:
            angle = np.radians(_incidence(swath, columns, mapped, flipped))
            factor = {"beta0": 1.0, "sigma0": np.sin(angle), "gamma0": np.tan(angle)}[quantity]
            noise = 0.0
            if denoise:
                tau = _tau(swath, columns, mapped, flipped)
                noise = noise_of(rows - 0.5, tau, shape[0], _tau(swath, np.array(shape[1] / 2), mapped, flipped))
            power = FACTORS[polarisation] * np.maximum(np.abs(image) ** 2 - noise, 0) * factor

    def place(x: np.ndarray, y: np.ndarray, h: np.ndarray | float = height) -> tuple[np.ndarray, np.ndarray]:
        if mapped:
            to_lonlat = Transformer.from_crs(UTM, 4326, always_xy=True)
            return to_lonlat.transform(MAP_LEFT + MAP_M * np.asarray(x), MAP_TOP - MAP_M * np.asarray(y))
        if flipped:
            x, y = shape[1] - np.asarray(x), shape[0] - np.asarray(y)
        return swath.place(x, y, h)

    def coordinate(tag: str, x: float, y: float) -> str:
        lon, lat = (float(v) for v in place(np.array(x), np.array(y)))
        return (
            f"<{tag}><refRow>{y + 0.5:.12g}</refRow><refColumn>{x + 0.5:.12g}</refColumn><lat>{lat:.15g}</lat>"
            f"<lon>{lon:.15g}</lon><azimuthTimeUTC>{_time(_seconds(y, shape[0], flipped))}</azimuthTimeUTC>"
            f"<rangeTime>{float(_tau(swath, np.array(x), mapped, flipped)):.17g}</rangeTime>"
            f"<incidenceAngle>{float(_incidence(swath, np.array(x), mapped, flipped)):.15g}</incidenceAngle></{tag}>"
        )

    right, bottom = shape[1] - 0.5, shape[0] - 0.5
    coordinates = coordinate("sceneCenterCoord", shape[1] / 2, shape[0] / 2) + "".join(
        coordinate("sceneCornerCoord", x, y) for x, y in ((0.5, 0.5), (right, 0.5), (0.5, bottom), (right, bottom))
    )
    (product / f"{name}.xml").write_text(
        _main(swath, variant, polarisations, files, coordinates, mission, height, projection, mapped, flipped)
    )
    if georef:
        (product / "ANNOTATION" / "GEOREF.xml").write_text(
            _georef(swath, variant, place, mapped, flipped, height, relief, counted_from)
        )
    return Product(product, place, MAP_M if mapped else swath.pixel_m, power)


def _incidence(swath: Swath, columns: np.ndarray, mapped: bool, flipped: bool) -> np.ndarray:
    """Degrees; on the map a curve of its own along the columns."""
    if mapped:
        return 30 + 0.01 * columns + 1e-5 * columns**2
    return swath.incidence(swath.shape[1] - columns if flipped else columns)


def _tau(swath: Swath, columns: np.ndarray, mapped: bool, flipped: bool) -> np.ndarray:
    if mapped:
        return 4e-3 + 1e-9 * np.asarray(columns, float)
    return 2 * swath.slant_range(swath.shape[1] - columns if flipped else columns) / LIGHT


def _seconds(row: float, rows: int, flipped: bool) -> float:
    return (rows - row if flipped else row) * ROW_SECONDS


def _time(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds") + "Z"


def _tiff(path: Path, values: np.ndarray, transform: Affine | None) -> None:
    where = {"crs": f"EPSG:{UTM}", "transform": transform} if transform is not None else {}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype="uint16", **where
        ) as file,
    ):
        file.write(values.astype(np.uint16), 1)


def _cosar(path: Path, image: np.ndarray) -> None:
    """One burst: a header line, three lines of annotation, then lines of first and last valid sample and samples."""
    rows, columns = image.shape
    width = columns + 2
    line = width * 4
    header = struct.pack(">7I4s2Id", line * (rows + 4), 1, columns, rows, 1, line, rows + 4, b"CSAR", 1, 1, 1.0)
    valid = struct.pack(">2I", 1, columns)
    lines = [header.ljust(line, b"\0")]
    for value in (1, 1, columns):
        lines.append(b"\0" * 8 + struct.pack(">I", value) * columns)
    for row in image:
        pairs = np.column_stack([row.real, row.imag]).astype(">i2")
        lines.append(valid + pairs.tobytes())
    path.write_bytes(b"".join(lines))


def _main(
    swath: Swath,
    variant: str,
    polarisations: tuple[str, ...],
    files: list[str],
    coordinates: str,
    mission: str,
    height: float,
    projection: bool,
    mapped: bool,
    flipped: bool,
) -> str:
    rows, columns = swath.shape
    reference = float(_tau(swath, np.array(columns / 2), mapped, flipped))
    images = "".join(
        f'<imageData layerIndex="{n}"><file><location><host>.</host><path>IMAGEDATA</path><filename>{file}</filename>'
        f"</location></file><polLayer>{polarisation}</polLayer></imageData>"
        for n, (polarisation, file) in enumerate(zip(polarisations, files), 1)
    )
    constants = "".join(
        f'<calibrationConstant layerIndex="{n}"><polLayer>{polarisation}</polLayer>'
        f"<calFactor>{FACTORS[polarisation]:.10e}</calFactor></calibrationConstant>"
        for n, polarisation in enumerate(polarisations, 1)
    )
    estimates = "".join(
        f"<imageNoise><timeUTC>{_time(_seconds(row, rows, flipped))}</timeUTC><noiseEstimate>"
        f"<validityRangeMin>0</validityRangeMin><validityRangeMax>1</validityRangeMax>"
        f"<referencePoint>{reference:.17g}</referencePoint><polynomialDegree>1</polynomialDegree>"
        f'<coefficient exponent="0">{a}</coefficient><coefficient exponent="1">{b * 1e6}</coefficient>'
        "</noiseEstimate></imageNoise>"
        for row, a, b in ((0.5, 400, 30), (rows - 0.5, 700, -20))
    )
    noise = "".join(f'<noise layerIndex="{n}">{estimates}</noise>' for n in range(1, len(polarisations) + 1))
    specific = ""
    if variant == "MGD" and projection:
        distance = swath.slant_range(np.linspace(0, columns, 50))
        ground = np.linspace(0, columns, 50) * swath.column_m
        fit = np.polynomial.Polynomial.fit((2 * distance / LIGHT - reference) * 1e6, ground, 3).convert()
        listed = "".join(
            f'<coefficient exponent="{n}">{float(c) * 1e6**n:.17g}</coefficient>' for n, c in enumerate(fit.coef)
        )
        specific = (
            "<projectedImageInfo><slantToGroundRangeProjection><validityRangeMin>0</validityRangeMin>"
            f"<referencePoint>{reference:.17g}</referencePoint><polynomialDegree>3</polynomialDegree>{listed}"
            "</slantToGroundRangeProjection></projectedImageInfo>"
        )
    plane = {"SSC": "SLANTRANGE", "MGD": "GROUNDRANGE"}.get(variant, "MAP")
    return f"""<level1Product xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<generalHeader fileVersion="1"><mission>{mission}-1</mission></generalHeader>
<productComponents><annotation><type>GEOREF</type><file><location><path>ANNOTATION</path><filename>GEOREF.xml</filename></location></file>
</annotation>{images}</productComponents>
<productInfo><missionInfo><mission>{mission}-1</mission><absOrbit>20123</absOrbit>
<orbitDirection>{"DESCENDING" if 90 < swath.heading < 270 else "ASCENDING"}</orbitDirection></missionInfo>
<acquisitionInfo><sensor>SAR</sensor><imagingMode>SM</imagingMode>
<lookDirection>{"LEFT" if swath.left else "RIGHT"}</lookDirection><polarisationMode>SINGLE</polarisationMode>
</acquisitionInfo><productVariantInfo><productType>{variant}_SM_S</productType>
<productVariant>{variant}</productVariant><projection>{plane}</projection></productVariantInfo>
<imageDataInfo><imageDataType>{"COMPLEX" if variant == "SSC" else "DETECTED"}</imageDataType>
<imageDataFormat>{"COSAR" if variant == "SSC" else "GEOTIFF"}</imageDataFormat><imageRaster>
<numberOfRows>{rows}</numberOfRows><numberOfColumns>{columns}</numberOfColumns></imageRaster></imageDataInfo>
<sceneInfo><sceneID>C1</sceneID><start><timeUTC>{_time(0)}</timeUTC></start><stop><timeUTC>{_time(rows * ROW_SECONDS)}
</timeUTC></stop>{coordinates}<sceneAverageHeight>{height}</sceneAverageHeight><headingAngle>{swath.heading}
</headingAngle></sceneInfo></productInfo>
<productSpecific>{specific}</productSpecific>
<instrument><radarParameters><centerFrequency>9.65e+09</centerFrequency></radarParameters></instrument>
<processing><processingParameter><rangeLooks>{1.6}</rangeLooks><azimuthLooks>{1.5}</azimuthLooks></processingParameter>
</processing><calibration>{constants}</calibration>{noise}</level1Product>
"""


def _georef(
    swath: Swath,
    variant: str,
    place: object,
    mapped: bool,
    flipped: bool,
    height: float,
    relief: float,
    counted_from: int,
) -> str:
    rows, columns = swath.shape
    rng = np.random.default_rng(0)
    points = []
    # Times of the grid count from reference times of their own.
    early, near = 0.01, 1e-5
    for iaz, row in enumerate(np.linspace(0, rows - 1, 8).astype(int), 1):
        for irg, column in enumerate(np.linspace(0, columns - 1, 8).astype(int), 1):
            x, y = column + 0.5, row + 0.5
            h = height + relief * rng.uniform(-1, 1)
            lon, lat = (float(v) for v in place(np.array(x), np.array(y), np.array(h)))  # type: ignore[operator]
            pixel = f"<row>{row + counted_from}</row><col>{column + counted_from}</col>" if variant == "SSC" else ""
            points.append(
                f'<gridPoint iaz="{iaz}" irg="{irg}"><t>{_seconds(y, rows, flipped) - early:.12e}</t>'
                f"<tau>{float(_tau(swath, np.array(x), mapped, flipped)) - near:.17e}</tau><lat>{lat:.15g}</lat>"
                f"<lon>{lon:.15g}</lon><inc>{float(_incidence(swath, np.array(x), mapped, flipped)):.15g}</inc>"
                f"<elev>30</elev><height>{h}</height>{pixel}</gridPoint>"
            )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<geoReference><referenceFrames><sphere><ellipsoidID>WGS84</ellipsoidID></sphere></referenceFrames><geolocationGrid>
<numberOfGridPoints><total>64</total><azimuth>8</azimuth><range>8</range></numberOfGridPoints><gridReferenceTime>
<tReferenceTimeUTC>{_time(early)}</tReferenceTimeUTC><tauReferenceTime>{near:.17e}</tauReferenceTime>
</gridReferenceTime>{"".join(points)}</geolocationGrid></geoReference>
"""
