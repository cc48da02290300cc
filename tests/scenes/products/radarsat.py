"""RADARSAT-2 and RCM products: images, look-up tables, tie points and orbit, with the truth of every pixel."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from affine import Affine

from tests.scenes.products import Product
from tests.scenes.products.orbits import Circle
from tests.scenes.products.tiffs import write_tiff

LON, LAT, HEIGHT = -63.6, 44.6, 40.0
EPOCH = datetime(2022, 6, 5, 7, 3, 20)
SHAPE, SPACING, LINE = (180, 220), 6.25, 8.9e-4
TERMS = [0.0, 0.5, 6e-7, -3e-13]
RCM = 'xmlns="rcmGsProductSchema"'
RS2 = 'xmlns="http://www.rsi.ca/rs2/prod/xml/schemas"'


def stamp(second: float) -> str:
    return (EPOCH + timedelta(seconds=float(second))).isoformat(timespec="microseconds") + "Z"


def make(
    folder: Path,
    rcm: bool = True,
    poles: tuple[str, ...] = ("HH", "HV"),
    side: str = "right",
    complex_pixels: bool = False,
    quantity: str = "sigma0",
    denoise: bool = False,
    relief: float = 0.0,
    tables: bool = True,
    mapped: bool = False,
) -> Product:
    """Write a product in a folder of its own, of which the first polarisation is described by the result.

    Args:
        folder: gets the product's folder.
        rcm: RCM's layout, with pixels from far to near; else RADARSAT-2's.
        poles: polarisations.
        side: the radar looks to.
        complex_pixels: single-look complex: two bands.
        quantity: that `power` is in.
        denoise: whether `power` is without noise.
        relief: height of a hill in the middle of the tie points, metres.
        tables: write look-up tables.
        mapped: a map transform in place of tie points.
    """
    random = np.random.default_rng(4)
    circle = Circle(LON, LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
    first = round(time - (SHAPE[0] - 1) / 2 * LINE, 6)
    near = circle.range_and_rate(time, LON, LAT, HEIGHT)[0] - 350.0

    def places(columns, rows, heights=None):
        found = []
        heights = np.full(np.size(columns), HEIGHT) if heights is None else heights
        for column, row, height in zip(np.ravel(columns), np.ravel(rows), heights):
            away = (SHAPE[1] - 0.5 - column if rcm else column - 0.5) * SPACING
            distance = near + np.polyval(TERMS[::-1], away)
            found.append(circle.ground(first + (row - 0.5) * LINE, distance, 0.0, height, (LON, LAT)))
        lons, lats = np.array(found).T
        return lons.reshape(np.shape(columns)), lats.reshape(np.shape(columns))

    name = "RCM2_OK1_PK2_1_16M5_20220605_070317_HH_HV_GRD" if rcm else "RS2_OK1_PK2_DK3_S7_20220605_070317_HH_HV_SGF"
    top = folder / name
    meta = top / "metadata" if rcm else top
    calibration = meta / "calibration"
    for place in (top / "imagery" if rcm else top, calibration if rcm else top):
        place.mkdir(parents=True, exist_ok=True)
    order = np.arange(SHAPE[1])[::-1] if rcm else np.arange(SHAPE[1])  # columns in the order of the tables
    offset = 25.0
    gains = {q: base * (1 + 1e-3 * np.arange(SHAPE[1])) for q, base in (("Sigma", 3e5), ("Beta", 2e5), ("Gamma", 4e5))}
    step = -1 if rcm else 1
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<lut {RCM if rcm else RS2}>'
    if tables:
        for kind, values in gains.items():
            text = head
            if rcm:
                text += f"<pixelFirstLutValue>{order[0]}</pixelFirstLutValue><stepSize>{step}</stepSize>"
            text += f"<offset>{offset}</offset><gains>{' '.join(map(str, values))}</gains></lut>"
            for pole in poles if rcm else ("",):
                file = calibration / f"lut{kind}_{pole}.xml" if rcm else top / f"lut{kind}.xml"
                file.write_text(text)
    levels = np.linspace(-26, -30, 12)
    every = (SHAPE[1] - 1) / 11 * 1.001
    noise = (
        "<referenceNoiseLevel><sarCalibrationType>Beta Nought</sarCalibrationType>"
        f"<pixelFirstNoiseValue>{order[0]}</pixelFirstNoiseValue><stepSize>{step * every}</stepSize>"
        f"<noiseLevelValues>{' '.join(map(str, levels))}</noiseLevelValues></referenceNoiseLevel>"
    )
    if rcm:
        for pole in poles:
            (calibration / f"noiseLevels_{pole}.xml").write_text(f"<noiseLevels {RCM}>{noise}</noiseLevels>")
    powers, images = {}, ""
    for pole in poles:
        file = (top / "imagery" if rcm else top) / (f"2_1_{pole}.tif" if rcm else f"imagery_{pole}.tif")
        if complex_pixels:
            pixels = random.normal(0, 800, (2, *SHAPE)).round().astype(np.int16)
            powers[pole] = (pixels.astype(float) ** 2).sum(axis=0)
        else:
            pixels = np.clip(random.rayleigh(900, (1, *SHAPE)), 1, 65535).round().astype(np.uint16)
            powers[pole] = pixels[0].astype(float) ** 2
        options = {}
        if mapped:
            options = {"crs": "EPSG:32620", "transform": Affine(SPACING, 0, 450000, 0, -SPACING, 4940000)}
        write_tiff(file, pixels, **options)
        tag = "ipdf" if rcm else "fullResolutionImageData"
        images += f'<{tag} pole="{pole}">{"../imagery/" if rcm else ""}{file.name}</{tag}>'
    rows, columns = np.meshgrid(np.linspace(0, SHAPE[0] - 1, 9), np.linspace(0, SHAPE[1] - 1, 9), indexing="ij")
    rows, columns = rows.ravel(), columns.ravel()
    bump = relief * np.exp(-((rows - 90) ** 2 + (columns - 110) ** 2) / 30**2)
    lons, lats = places(columns + 0.5, rows + 0.5, HEIGHT + bump)
    ties = "".join(
        f"<imageTiePoint><imageCoordinate><line>{r}</line><pixel>{c}</pixel></imageCoordinate><geodeticCoordinate>"
        f"<latitude>{lat}</latitude><longitude>{lon}</longitude><height>{h}</height></geodeticCoordinate></imageTiePoint>"
        for r, c, lon, lat, h in zip(rows, columns, lons, lats, HEIGHT + bump)
    )
    grid = "" if mapped else f"<geographicInformation><geolocationGrid>{ties}</geolocationGrid></geographicInformation>"
    vectors = ""
    for second in np.arange(-20.0, 21.0, 2.0):
        position, velocity = circle.at(second)
        numbers = "".join(f"<{a}Position>{p}</{a}Position>" for a, p in zip("xyz", position))
        numbers += "".join(f"<{a}Velocity>{v}</{a}Velocity>" for a, v in zip("xyz", velocity))
        vectors += f"<stateVector><timeStamp>{stamp(second)}</timeStamp>{numbers}</stateVector>"
    source = (
        f"<sourceAttributes><satellite>{'RCM-2' if rcm else 'RADARSAT-2'}</satellite>"
        f"<beamModeMnemonic>{'16M5' if rcm else 'S7'}</beamModeMnemonic><radarParameters>"
        f"<radarCenterFrequency>5.405e9</radarCenterFrequency><antennaPointing>{side.title()}</antennaPointing>"
        f"{'' if rcm else noise}</radarParameters><orbitAndAttitude><orbitInformation>"
        f"<passDirection>Ascending</passDirection>{vectors}</orbitInformation></orbitAndAttitude></sourceAttributes>"
    )
    kind = "SLC" if complex_pixels else "GRD" if rcm else "SGF"
    generation = (
        f"<imageGenerationParameters><generalProcessingInformation><productType>{kind}</productType>"
        "</generalProcessingInformation><sarProcessingInformation>"
        f"<zeroDopplerTimeFirstLine>{stamp(first)}</zeroDopplerTimeFirstLine><numberOfRangeLooks>1</numberOfRangeLooks>"
        "<numberOfAzimuthLooks>4</numberOfAzimuthLooks><incidenceAngleNearRange>29</incidenceAngleNearRange>"
        "<incidenceAngleFarRange>30</incidenceAngleFarRange></sarProcessingInformation></imageGenerationParameters>"
    )
    ordering = f"<pixelTimeOrdering>{'Decreasing' if rcm else 'Increasing'}</pixelTimeOrdering>"
    rows_columns = f"<numLines>{SHAPE[0]}</numLines><samplesPerLine>{SHAPE[1]}</samplesPerLine>"
    if rcm:
        body = (
            f"{source}{generation}<imageReferenceAttributes><rasterAttributes>{ordering}</rasterAttributes>{grid}"
            f"</imageReferenceAttributes><sceneAttributes><imageAttributes>{images}{rows_columns}"
            "<incAngNearRng>29</incAngNearRng><incAngFarRng>30</incAngFarRng></imageAttributes></sceneAttributes>"
        )
        angles = "".join(f"<angles>{angle}</angles>" for angle in np.linspace(29, 30, SHAPE[1]))
        first_angle = f"<pixelFirstAnglesValue>{order[0]}</pixelFirstAnglesValue><stepSize>-1</stepSize>"
        (calibration / "incidenceAngles.xml").write_text(
            f"<incidenceAngles {RCM}>{first_angle}{angles}</incidenceAngles>"
        )
    else:
        size = f"<numberOfLines>{SHAPE[0]}</numberOfLines><numberOfSamplesPerLine>{SHAPE[1]}</numberOfSamplesPerLine>"
        body = (
            f"{source}{generation}<imageAttributes><rasterAttributes>{size}{ordering}</rasterAttributes>{grid}{images}"
            "</imageAttributes>"
        )
    (meta / "product.xml").write_text(f'<?xml version="1.0"?>\n<product {RCM if rcm else RS2}>{body}</product>')
    table = np.empty(SHAPE[1])
    table[order] = gains[{"sigma0": "Sigma", "beta0": "Beta", "gamma0": "Gamma"}[quantity]]
    beta = np.empty(SHAPE[1])
    beta[order] = gains["Beta"]
    power = powers[poles[0]]
    subtracted = np.zeros(SHAPE[1])
    if denoise:
        at = order[0] + step * every * np.arange(12)
        ends = np.argsort(at)
        linear = 10 ** (np.interp(np.arange(SHAPE[1]), at[ends], levels[ends]) / 10)
        subtracted = linear * (beta**2 if complex_pixels else beta)
    if complex_pixels:
        power = np.maximum(power - subtracted, 0) / table**2
    else:
        power = np.maximum(power + offset - subtracted, 0) / table
    return Product(top, places, SPACING, power if tables else powers[poles[0]])
