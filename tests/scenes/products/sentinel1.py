"""Tiny Sentinel-1 GRD and SLC products with the file names and XML of the product specification S1-RS-MDA-52-7441."""

import re
import shutil
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from tests.scenes.products import Product
from tests.scenes.products.swath import Swath, texture

START = datetime(2021, 1, 5, 5, 33, 11, 250000)
STEM = "20210105t053311-20210105t053336-036000-0437a5"
NAMESPACES = (
    'xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:safe="http://www.esa.int/safe/sentinel-1.0" '
    'xmlns:s1="http://www.esa.int/safe/sentinel-1.0/sentinel-1" '
    'xmlns:s1sarl1="http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1" xmlns:gml="http://www.opengis.net/gml"'
)
BURST_LINES, BURST_STEP, BURST_EDGE = 40, 30, 2
"""Lines of a burst, lines from one to the next, lines without valid samples at both of its ends."""
VALID = (6, 9)
"""Samples without data at the left and right of every line of a burst."""


def calibration_of(quantity: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The factor A over lines and pixels, with a term that only bilinear interpolation reproduces."""
    scale = {"sigma0": 1.0, "beta0": 0.8, "gamma0": 1.1, "dn": 1.2}[quantity]
    return lambda lines, pixels: scale * (400 + 0.3 * lines - 0.2 * pixels + 0.002 * lines * pixels)


def noise_of(old: bool) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Noise power over lines and pixels; in the new schema range and azimuth parts, in two swaths."""
    if old:
        return lambda lines, pixels: 900 + 1.5 * pixels + 0.0 * lines
    return lambda lines, pixels: (900 + 1.5 * pixels) * (1 + np.where(pixels < 60, 0.001, -0.002) * lines)


def make(
    folder: Path,
    kind: str = "GRD",
    polarisations: tuple[str, ...] = ("VV", "VH"),
    shape: tuple[int, int] = (130, 150),
    heading: float = 347.0,
    lon: float = 11.4,
    lat: float = 48.2,
    height: Callable[[np.ndarray, np.ndarray], np.ndarray] | float = 0.0,
    old_noise: bool = False,
    quantity: str = "sigma0",
    denoise: bool = False,
    bursts: int = 4,
    updates: tuple[tuple[float, float], ...] = (),
) -> Product:
    """Write a product.

    Args:
        folder: gets the .SAFE folder.
        kind: "GRD" (IW, 10 m), "SLC" (IW1, bursts) or "SM" (stripmap SLC, no bursts).
        polarisations: of the product.
        shape: rows and columns; rows of a burst product follow from `bursts`.
        heading: of the platform, degrees from north.
        lon: of the middle.
        lat: of the middle.
        height: of the terrain over rows and columns in metres, or the same everywhere.
        old_noise: noise annotation as before IPF 2.9.
        quantity: which power is expected of the first polarisation (VV's place in `polarisations`).
        denoise: whether noise is removed in it.
        bursts: how many.
        updates: of the conversion to ground range: row (outer-corner convention) and how many columns further from the
            radar a pixel lies there. Points of the geolocation grid follow the nearest one.
    """
    if kind == "SLC":
        shape = (BURST_STEP * (bursts - 1) + BURST_LINES, shape[1])
    spacing = {"GRD": (10.0, 10.0), "SLC": (14.0, 2.33), "SM": (4.0, 1.9)}[kind]
    swath = Swath(shape, *spacing, lon=lon, lat=lat, heading=heading, slant=kind != "GRD")
    name = {"GRD": "S1A_IW_GRDH_1SDV", "SLC": "S1A_IW_SLC__1SDV", "SM": "S1A_S3_SLC__1SDV"}[kind]
    safe = folder / f"{name}_20210105T053311_20210105T053336_036000_0437A5_B3C5.SAFE"
    if safe.exists():
        shutil.rmtree(safe)
    for part in ("measurement", "annotation/calibration", "preview"):
        (safe / part).mkdir(parents=True)
    (safe / "preview" / "quick-look.png").write_bytes(b"\x89PNG\r\n")
    objects, power = [], None
    mode, swath_name = {"GRD": ("IW", "IW"), "SLC": ("IW", "IW1"), "SM": ("SM", "S3")}[kind]
    for number, polarisation in enumerate(polarisations, 1):
        stem = f"s1a-{swath_name.lower()}-{'grd' if kind == 'GRD' else 'slc'}-{polarisation.lower()}-{STEM}-{number:03}"
        image = np.round(texture(shape, number).view(float)).view(complex)
        stored, lines, valid = _stored(image, kind, bursts)
        _write(safe / "measurement" / f"{stem}.tiff", np.abs(stored) if kind == "GRD" else stored)
        tiff = stored.shape
        (safe / "annotation" / f"{stem}.xml").write_text(
            _annotation(swath, kind, mode, swath_name, polarisation, tiff, bursts, height, updates=updates)
        )
        calibration = safe / "annotation" / "calibration"
        (calibration / f"calibration-{stem}.xml").write_text(_calibration(tiff, swath_name, polarisation))
        (calibration / f"noise-{stem}.xml").write_text(_noise(tiff, old_noise or kind != "GRD"))
        objects += [
            ("s1Level1ProductSchema", f"./annotation/{stem}.xml"),
            ("s1Level1CalibrationSchema", f"./annotation/calibration/calibration-{stem}.xml"),
            ("s1Level1NoiseSchema", f"./annotation/calibration/noise-{stem}.xml"),
            ("s1Level1MeasurementSchema", f"./measurement/{stem}.tiff"),
        ]
        if power is None:
            pixels = np.arange(shape[1])[None, :]
            detected = np.round(np.abs(image)) if kind == "GRD" else np.abs(image)
            noise = noise_of(old_noise or kind != "GRD")(lines[:, None], pixels) if denoise else 0.0
            power = np.maximum(detected**2 - noise, 0) / calibration_of(quantity)(lines[:, None], pixels) ** 2
            power = np.where(valid, power, 0)
    (safe / "manifest.safe").write_text(_manifest(kind, mode, swath_name, polarisations, objects))
    level = height if isinstance(height, float) else 0.0
    return Product(safe, lambda columns, rows: swath.place(columns, rows, level), swath.pixel_m, power)


def _stored(image: np.ndarray, kind: str, bursts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image as the TIFF holds it, the TIFF's line of every output row, and where output pixels are valid."""
    rows, columns = image.shape
    if kind != "SLC":
        return image, np.arange(rows), np.ones(image.shape, bool)
    parts, lines = [], np.zeros(rows, int)
    for k in range(bursts):
        part = image[k * BURST_STEP : k * BURST_STEP + BURST_LINES].copy()
        # What is not valid must not be seen: it is made very bright.
        part[:BURST_EDGE] = part[-BURST_EDGE:] = part[:, : VALID[0]] = part[:, columns - VALID[1] :] = 9999
        parts.append(part)
        overlap = (BURST_LINES - BURST_STEP) // 2
        start = k * BURST_STEP + (overlap if k else 0)
        lines[start : k * BURST_STEP + BURST_LINES] = np.arange(start, k * BURST_STEP + BURST_LINES) + k * (
            BURST_LINES - BURST_STEP
        )
    valid = np.ones(image.shape, bool)
    valid[:BURST_EDGE] = valid[-BURST_EDGE:] = valid[:, : VALID[0]] = valid[:, columns - VALID[1] :] = False
    return np.concatenate(parts), lines, valid


def _write(path: Path, values: np.ndarray) -> None:
    dtype = "complex_int16" if values.dtype.kind == "c" else "uint16"
    values = values.astype(np.complex64) if values.dtype.kind == "c" else np.round(values).astype(np.uint16)
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=dtype
        ) as file,
    ):
        file.write(values, 1)


def _time(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _array(tag: str, values: np.ndarray | list[float], form: str = "%.9e") -> str:
    return f'<{tag} count="{len(values)}">{" ".join(form % value for value in values)}</{tag}>'


LINE_SECONDS = 0.002055556


def _annotation(
    swath: Swath,
    kind: str,
    mode: str,
    swath_name: str,
    polarisation: str,
    tiff: tuple[int, int],
    bursts: int,
    height: Callable[[np.ndarray, np.ndarray], np.ndarray] | float,
    nodes: int = 11,
    updates: tuple[tuple[float, float], ...] = (),
) -> str:
    columns = np.unique(np.linspace(0, tiff[1] - 1, nodes).astype(int))
    if kind == "SLC":
        # As in real products: the first line of every burst, and the last line; time tells where that is.
        lines = np.array([*(k * BURST_LINES for k in range(bursts)), tiff[0] - 1])
        rows = np.array([*(k * BURST_STEP for k in range(bursts)), swath.shape[0] - 1])
    else:
        lines = rows = np.unique(np.linspace(0, tiff[0] - 1, 9).astype(int))
    points = []
    for line, row in zip(lines, rows):
        heights = (
            np.full(len(columns), height) if isinstance(height, float) else height(np.full(len(columns), row), columns)
        )
        seen = columns + 0.5 + (min(updates, key=lambda one: abs(one[0] - row - 0.5))[1] if updates else 0.0)
        lons, lats = swath.place(seen, row + 0.5, heights)
        for pixel, lon, lat, h, inc, distance in zip(
            columns, lons, lats, heights, swath.incidence(seen), swath.slant_range(seen)
        ):
            points.append(
                f"<geolocationGridPoint><azimuthTime>{_time(row * LINE_SECONDS)}</azimuthTime>"
                f"<slantRangeTime>{2 * distance / 299792458:.15e}</slantRangeTime><line>{line}</line><pixel>{pixel}"
                f"</pixel><latitude>{lat:.15e}</latitude><longitude>{lon:.15e}</longitude><height>{h:.9e}</height>"
                f"<incidenceAngle>{inc:.9e}</incidenceAngle><elevationAngle>{inc - 4:.9e}</elevationAngle>"
                "</geolocationGridPoint>"
            )
    looks = (5, 1) if kind == "GRD" else (1, 1)
    first = np.full(BURST_LINES, VALID[0])
    first[:BURST_EDGE] = first[-BURST_EDGE:] = -1
    last = np.where(first < 0, -1, tiff[1] - 1 - VALID[1])
    listed = "".join(
        f"<burst><azimuthTime>{_time(k * BURST_STEP * LINE_SECONDS)}</azimuthTime>"
        f"<azimuthAnxTime>{2100 + k * 2.7:.9e}</azimuthAnxTime><sensingTime>{_time(k * 2.7)}</sensingTime>"
        f"<byteOffset>{k * 4 * tiff[1] * BURST_LINES}</byteOffset>"
        f"{_array('firstValidSample', first, '%d')}{_array('lastValidSample', last, '%d')}</burst>"
        for k in range(bursts if kind == "SLC" else 0)
    )
    ground = np.linspace(0, tiff[1] * swath.column_m, 50)
    conversions = "".join(
        f"<coordinateConversion><azimuthTime>{_time((row - 0.5) * LINE_SECONDS)}</azimuthTime><gr0>0.0</gr0>"
        + _array(
            "grsrCoefficients",
            np.polynomial.Polynomial.fit(ground, swath.slant_range(ground / swath.column_m + 0.5 + moved), 4)
            .convert()
            .coef,
            "%.15e",
        )
        + "</coordinateConversion>"
        for row, moved in updates
    )
    platform_heading = (swath.heading + 180) % 360 - 180
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<product><adsHeader><missionId>S1A</missionId><productType>{"GRD" if kind == "GRD" else "SLC"}</productType>
<polarisation>{polarisation}</polarisation><mode>{"S3" if kind == "SM" else mode}</mode><swath>{swath_name}</swath>
<startTime>{_time(0)}</startTime><stopTime>{_time((swath.shape[0] - 1) * LINE_SECONDS)}</stopTime>
<absoluteOrbitNumber>36000</absoluteOrbitNumber><missionDataTakeId>276389</missionDataTakeId>
<imageNumber>001</imageNumber></adsHeader>
<generalAnnotation><productInformation><pass>{"Ascending" if abs(platform_heading) < 90 else "Descending"}</pass>
<timelinessCategory>Fast-24h</timelinessCategory><platformHeading>{platform_heading:.9e}</platformHeading>
<projection>{"Ground Range" if kind == "GRD" else "Slant Range"}</projection>
<rangeSamplingRate>6.434523812571428e+07</rangeSamplingRate><radarFrequency>5.405000454334350e+09</radarFrequency>
<azimuthSteeringRate>1.590368784000000e+00</azimuthSteeringRate></productInformation></generalAnnotation>
<imageAnnotation><imageInformation><productFirstLineUtcTime>{_time(0)}</productFirstLineUtcTime>
<productLastLineUtcTime>{_time((swath.shape[0] - 1) * LINE_SECONDS)}</productLastLineUtcTime>
<ascendingNodeTime>2021-01-05T04:58:00.000000</ascendingNodeTime><anchorTime>{_time(0)}</anchorTime>
<productComposition>Slice</productComposition><sliceNumber>1</sliceNumber><sliceList count="0"/>
<slantRangeTime>{2 * swath.slant_range(np.array(0.5)) / 299792458:.15e}</slantRangeTime>
<pixelValue>{"Detected" if kind == "GRD" else "Complex"}</pixelValue>
<outputPixels>16 bit {"Unsigned" if kind == "GRD" else "Signed"} Integer</outputPixels>
<rangePixelSpacing>{swath.column_m:.6e}</rangePixelSpacing><azimuthPixelSpacing>{swath.row_m:.6e}</azimuthPixelSpacing>
<azimuthTimeInterval>{LINE_SECONDS:.15e}</azimuthTimeInterval><azimuthFrequency>486.48</azimuthFrequency>
<numberOfSamples>{tiff[1]}</numberOfSamples><numberOfLines>{tiff[0]}</numberOfLines>
<zeroDopMinusAcqTime>-1.0</zeroDopMinusAcqTime>
<incidenceAngleMidSwath>{swath.incidence_deg:.9e}</incidenceAngleMidSwath></imageInformation>
<processingInformation><swathProcParamsList count="1"><swathProcParams><swath>{swath_name}</swath>
<rangeProcessing><numberOfLooks>{looks[0]}</numberOfLooks></rangeProcessing>
<azimuthProcessing><numberOfLooks>{looks[1]}</numberOfLooks></azimuthProcessing></swathProcParams>
</swathProcParamsList></processingInformation></imageAnnotation>
<swathTiming><linesPerBurst>{BURST_LINES if kind == "SLC" else 0}</linesPerBurst>
<samplesPerBurst>{tiff[1] if kind == "SLC" else 0}</samplesPerBurst>
<burstList count="{bursts if kind == "SLC" else 0}">{listed}</burstList></swathTiming>
<coordinateConversion><coordinateConversionList count="{len(updates)}">{conversions}</coordinateConversionList>
</coordinateConversion>
<geolocationGrid><geolocationGridPointList count="{len(points)}">{"".join(points)}</geolocationGridPointList>
</geolocationGrid></product>
"""


def _calibration(tiff: tuple[int, int], swath_name: str, polarisation: str) -> str:
    pixels = np.array([*range(0, tiff[1] - 1, 40), tiff[1] - 1])
    vectors = "".join(
        f"<calibrationVector><azimuthTime>{_time(line * LINE_SECONDS)}</azimuthTime><line>{line}</line>"
        + _array("pixel", pixels, "%d")
        + "".join(
            _array(tag, calibration_of(quantity)(np.array(line), pixels))
            for tag, quantity in (("sigmaNought", "sigma0"), ("betaNought", "beta0"), ("gamma", "gamma0"), ("dn", "dn"))
        )
        + "</calibrationVector>"
        for line in (-20, 0, tiff[0] // 2, tiff[0] + 15)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<calibration><adsHeader><missionId>S1A</missionId><polarisation>{polarisation}</polarisation><swath>{swath_name}</swath>
</adsHeader><calibrationInformation><absoluteCalibrationConstant>1.000000e+00</absoluteCalibrationConstant>
</calibrationInformation><calibrationVectorList count="4">{vectors}</calibrationVectorList></calibration>
"""


def _noise(tiff: tuple[int, int], old: bool) -> str:
    tag, values = ("noiseVector", "noiseLut") if old else ("noiseRangeVector", "noiseRangeLut")
    # Vectors need not be given at the same samples.
    places = [np.array([0, 70, tiff[1] - 1]), np.array([0, 33, 90, tiff[1] - 1])]
    vectors = "".join(
        f"<{tag}><azimuthTime>{_time(line * LINE_SECONDS)}</azimuthTime><line>{line}</line>"
        f"{_array('pixel', pixels, '%d')}{_array(values, 900 + 1.5 * pixels)}</{tag}>"
        for line, pixels in zip((0, tiff[0] - 1), places)
    )
    lists = f'<{tag}List count="2">{vectors}</{tag}List>'
    if not old:
        lines = np.array([0, 50, tiff[0] - 1])
        blocks = "".join(
            f"<noiseAzimuthVector><swath>IW{n}</swath><firstAzimuthLine>0</firstAzimuthLine><firstRangeSample>{a}"
            f"</firstRangeSample><lastAzimuthLine>{tiff[0] - 1}</lastAzimuthLine><lastRangeSample>{b}</lastRangeSample>"
            f"{_array('line', lines, '%d')}{_array('noiseAzimuthLut', 1 + slope * lines)}</noiseAzimuthVector>"
            for n, (a, b, slope) in enumerate(((0, 59, 0.001), (60, tiff[1] - 1, -0.002)), 1)
        )
        lists += f'<noiseAzimuthVectorList count="2">{blocks}</noiseAzimuthVectorList>'
    header = "<adsHeader><missionId>S1A</missionId></adsHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<noise>{header}{lists}</noise>\n'


def _manifest(
    kind: str, mode: str, swath_name: str, polarisations: tuple[str, ...], objects: list[tuple[str, str]]
) -> str:
    ids = [re.sub("[^a-z0-9]", "", Path(href).stem) + schema[8:12] for schema, href in objects]
    listed = "".join(
        f'<dataObject ID="{identity}" repID="{schema}"><byteStream mimeType="text/xml" size="1">'
        f'<fileLocation locatorType="URL" href="{href}"/></byteStream></dataObject>'
        for identity, (schema, href) in zip(ids, objects)
    )
    metadata, units = "", ""
    for n, (identity, (schema, _)) in enumerate(zip(ids, objects)):
        pointer = f'<dataObjectPointer dataObjectID="{identity}"/>'
        if schema.endswith("MeasurementSchema"):
            about = " ".join(f"{name}Annotation" for name in ids[n - 3 : n])
            units += (
                f'<xfdu:contentUnit unitType="Measurement Data Unit" repID="{schema}" dmdID="{about}">{pointer}'
                "</xfdu:contentUnit>"
            )
        else:
            metadata += (
                f'<metadataObject ID="{identity}Annotation" classification="DESCRIPTION" category="DMD">{pointer}'
                "</metadataObject>"
            )
            units += f'<xfdu:contentUnit unitType="Metadata Unit" repID="{schema}">{pointer}</xfdu:contentUnit>'
    taken = "".join(
        f"<s1sarl1:transmitterReceiverPolarisation>{name}</s1sarl1:transmitterReceiverPolarisation>"
        for name in polarisations
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU {NAMESPACES} version="esa/safe/sentinel-1.0/sentinel-1/sar/level-1/slc/standard/iwdp">
<informationPackageMap><xfdu:contentUnit unitType="SAFE Archive Information Package">{units}
</xfdu:contentUnit></informationPackageMap><metadataSection>{metadata}
<safe:platform><safe:nssdcIdentifier>2014-016A</safe:nssdcIdentifier><safe:familyName>SENTINEL-1</safe:familyName>
<safe:number>A</safe:number><s1sarl1:instrumentMode><s1sarl1:mode>{mode}</s1sarl1:mode>
<s1sarl1:swath>{swath_name}</s1sarl1:swath></s1sarl1:instrumentMode></safe:platform>
<safe:orbitReference><safe:orbitNumber type="start">36000</safe:orbitNumber>
<safe:orbitNumber type="stop">36000</safe:orbitNumber>
<safe:relativeOrbitNumber type="start">95</safe:relativeOrbitNumber>
<safe:relativeOrbitNumber type="stop">95</safe:relativeOrbitNumber><s1:pass>ASCENDING</s1:pass>
<s1:ascendingNodeTime>2021-01-05T04:58:00.000000</s1:ascendingNodeTime></safe:orbitReference>
<safe:startTime>{_time(0)}</safe:startTime><safe:stopTime>{_time(25)}</safe:stopTime>
<s1sarl1:missionDataTakeID>276389</s1sarl1:missionDataTakeID>{taken}
<s1sarl1:productType>{"GRD" if kind == "GRD" else "SLC"}</s1sarl1:productType></metadataSection>
<dataObjectSection>{listed}</dataObjectSection></xfdu:XFDU>
"""
