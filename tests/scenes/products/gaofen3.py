"""Gaofen-3 products: level 1A (complex int16) and 1B (detected) with RPCs, level 2 on a map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
from affine import Affine
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from tests.scenes.products import Product
from tests.scenes.products.tiffs import write_tiff

LON, LAT, HEIGHT = 113.3, 22.9, 12.0
SHAPE = (260, 300)
SPACING = (5.0, 4.5)
"""Metres per row and per column."""
CONSTANTS = {"HH": ("1521.7", "20.5"), "HV": ("812.25", "19.125"), "VH": ("800.0", "19.0"), "VV": ("1400.5", "21.25")}
"""QualifyValue and CalibrationConst."""
LETTERS = {("HH",): "HH", ("VV",): "VV", ("HH", "HV"): "HHHV", ("VV", "VH"): "VVVH", ("HH", "HV", "VH", "VV"): "AHV"}
RPB = {
    "LINE_OFF": "lineOffset",
    "SAMP_OFF": "sampOffset",
    "LAT_OFF": "latOffset",
    "LONG_OFF": "longOffset",
    "HEIGHT_OFF": "heightOffset",
    "LINE_SCALE": "lineScale",
    "SAMP_SCALE": "sampScale",
    "LAT_SCALE": "latScale",
    "LONG_SCALE": "longScale",
    "HEIGHT_SCALE": "heightScale",
    "LINE_NUM_COEFF": "lineNumCoef",
    "LINE_DEN_COEFF": "lineDenCoef",
    "SAMP_NUM_COEFF": "sampNumCoef",
    "SAMP_DEN_COEFF": "sampDenCoef",
}


def rpcs(height: float = HEIGHT) -> dict[str, object]:
    """RPCs of a right-looking image on an ascending orbit: heading 348 degrees, curved by some pixels."""
    rows, columns = SHAPE
    lat_scale = rows * SPACING[0] / 2 / 110_700.0
    lon_scale = columns * SPACING[1] / 2 / (111_320.0 * np.cos(np.radians(LAT)))
    heading = np.radians(348.0)
    east, north = columns * SPACING[1] / 2, rows * SPACING[0] / 2
    line, sample, line_below, sample_below = np.zeros(20), np.zeros(20), np.zeros(20), np.zeros(20)
    line[[1, 2, 3, 7]] = np.sin(heading) * east / north, np.cos(heading), 0.001, 0.004
    sample[[1, 2, 3, 4]] = np.cos(heading), -np.sin(heading) * north / east, -0.08, 0.003
    line_below[[0, 1]], sample_below[[0, 2]] = (1, 0.002), (1, -0.003)
    return {
        "LINE_OFF": (rows - 1) / 2,
        "SAMP_OFF": (columns - 1) / 2,
        "LAT_OFF": LAT,
        "LONG_OFF": LON,
        "HEIGHT_OFF": height,
        "LINE_SCALE": rows / 2,
        "SAMP_SCALE": columns / 2,
        "LAT_SCALE": lat_scale,
        "LONG_SCALE": lon_scale,
        "HEIGHT_SCALE": 500.0,
        "LINE_NUM_COEFF": line,
        "LINE_DEN_COEFF": line_below,
        "SAMP_NUM_COEFF": sample,
        "SAMP_DEN_COEFF": sample_below,
    }


def rpb_text(values: dict[str, object]) -> str:
    """As Gaofen's ground system writes them."""
    lines = ['satId = "GF3";', 'bandId = "1";', "BEGIN_GROUP = IMAGE", "\terrBias = 0.0;"]
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            numbers = ",\n".join(f"\t\t\t{number:+.15E}" for number in value)
            lines.append(f"\t{RPB[name]} = (\n{numbers});")
        else:
            lines.append(f"\t{RPB[name]} = {float(value)!r};")
    return "\n".join([*lines, "END_GROUP = IMAGE", "END;"])


def rpc00b_text(values: dict[str, object]) -> str:
    """As other tools write them."""
    lines = []
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            lines += [f"{name}_{i}: {number:.15E}" for i, number in enumerate(value, 1)]
        else:
            lines.append(f"{name}: {float(value)!r} pixels")
    return "\n".join(lines)


def gdal_truth(values: dict[str, object], height: float = HEIGHT):
    """Pixels -> longitude and latitude by GDAL's RPC transformer, which counts pixels from the outer corner."""
    rpc = RPC(
        **{
            name.lower(): list(value) if isinstance(value, np.ndarray) else float(value)
            for name, value in values.items()
        },
        err_bias=0.0,
        err_rand=0.0,
    )

    def truth(columns, rows):
        with RPCTransformer(rpc, rpc_height=height, rpc_pixel_error_threshold=1e-4) as transformer:
            lons, lats = transformer.xy(np.ravel(rows), np.ravel(columns), offset="ul")
        return np.asarray(lons).reshape(np.shape(columns)), np.asarray(lats).reshape(np.shape(columns))

    return truth


def meta_xml(level: str, mode: str, corners: dict[str, tuple[float, float]], constants: dict) -> str:
    def by_polarisation(index: int) -> str:
        return "".join(f"<{p}>{constants.get(p, ('NULL', 'NULL'))[index]}</{p}>" for p in ("HH", "HV", "VH", "VV"))

    corner = "".join(
        f"<{name}><latitude>{lat}</latitude><longitude>{lon}</longitude></{name}>"
        for name, (lon, lat) in corners.items()
    )
    return f"""<?xml version="1.0" encoding="UTF-8" ?>
<product>
  <satellite>GF3</satellite><orbitID>2599</orbitID><Direction>ASC</Direction>
  <sensor>
    <sensorID>SAR</sensorID><imagingMode>FSI</imagingMode><lamda>0.0555</lamda>
    <RadarCenterFrequency>5.400012</RadarCenterFrequency><lookDirection>R</lookDirection>
    <waveParams><waveNum>1</waveNum><wave waveCode="0"><centerLookAngle>29.0</centerLookAngle></wave></waveParams>
    <polarParams><polarNum>1</polarNum><polar><polarMode>{mode}</polarMode></polar></polarParams>
  </sensor>
  <platform><CenterTime>2017-02-06 10:16:51.123456</CenterTime></platform>
  <productinfo>
    <productLevel>{level[1]}</productLevel><productType>{"SLC" if level == "L1A" else "GEO"}</productType>
    <productPolar>{mode}</productPolar>
  </productinfo>
  <imageinfo>
    <imagingTime><start>2017-02-06 10:16:49.000001</start><end>2017-02-06 10:16:53.000001</end></imagingTime>
    <corner>{corner}</corner>
    <width>{SHAPE[1]}</width><height>{SHAPE[0]}</height>
    <QualifyValue>{by_polarisation(0)}</QualifyValue>
  </imageinfo>
  <processinfo>
    <CalibrationConst>{by_polarisation(1)}</CalibrationConst>
    <MultilookRange>{1 if level == "L1A" else 2}</MultilookRange><MultilookAzimuth>1</MultilookAzimuth>
    <incidenceAngleNearRange>30.0</incidenceAngleNearRange><incidenceAngleFarRange>32.0</incidenceAngleFarRange>
  </processinfo>
</product>
"""


def make(
    folder: Path,
    level: str = "L1A",
    polarisations: Sequence[str] = ("HH", "HV"),
    constants: dict[str, tuple[str, str]] | None = None,
    rpc: str = "rpc",
    incidence: bool = True,
    dtype: str = "int16",
) -> Product:
    """Write a product; `power` is of the first polarisation.

    Args:
        folder: of the product.
        level: "L1A" (complex, two bands), "L1B" (detected), "L2" (detected, on a map).
        polarisations: one TIFF each.
        constants: QualifyValue and CalibrationConst; default: `CONSTANTS`.
        rpc: suffix of the RPC file ("rpc": as the ground system writes it, "rpb": the other spelling); "": none.
        incidence: write `*.incidence.xml`.
        dtype: of complex pixels' parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    constants = {p: CONSTANTS[p] for p in polarisations} if constants is None else constants
    mode = LETTERS[tuple(polarisations)]
    name = f"GF3_SAY_FSI_002599_E113.3_N22.9_20170206_{level}_{{}}_L10002161234"
    values = rpcs()
    truth = gdal_truth(values)
    options: dict[str, object] = {}
    if level == "L2":
        to_map = pyproj.Transformer.from_crs(4326, 32649, always_xy=True)
        x, y = to_map.transform(LON, LAT)
        transform = Affine(SPACING[1], 0, round(x), 0, -SPACING[0], round(y))
        options = {"crs": "EPSG:32649", "transform": transform}

        def truth(columns, rows):
            return to_map.transform(
                round(x) + SPACING[1] * np.asarray(columns),
                round(y) - SPACING[0] * np.asarray(rows),
                direction="INVERSE",
            )

    random = np.random.default_rng(3)
    expected = None
    for polarisation in polarisations:
        if level == "L1A":
            pixels = random.normal(0, 900, (2, *SHAPE)).astype(dtype)
            power, most = (pixels.astype(float) ** 2).sum(axis=0), 32767.0
        else:
            pixels = np.clip(random.rayleigh(4000, (1, *SHAPE)), 1, 65535).astype(np.uint16)
            power, most = pixels[0].astype(float) ** 2, 65535.0
        write_tiff(folder / f"{name.format(polarisation)}.tiff", pixels, **options)
        if rpc and level != "L2":
            text = rpb_text(values) if rpc == "rpc" else rpc00b_text(values)
            (folder / f"{name.format(polarisation)}.{rpc}").write_text(text)
        if expected is None and "NULL" not in constants.get(polarisation, ("NULL",)):
            qualify, constant = (float(value) for value in constants[polarisation])
            expected = power * (qualify / most) ** 2 / 10 ** (constant / 10)
    rows, columns = SHAPE
    places = {
        "topLeft": (0.5, 0.5),
        "topRight": (columns - 0.5, 0.5),
        "bottomLeft": (0.5, rows - 0.5),
        "bottomRight": (columns - 0.5, rows - 0.5),
    }
    corners = {key: tuple(float(v[0]) for v in truth(np.array([c]), np.array([r]))) for key, (c, r) in places.items()}
    meta = folder / f"{name.format(mode)}.meta.xml"
    meta.write_text(meta_xml(level, mode, corners, constants))
    if incidence and level != "L2":
        angles = "".join(f"<incidenceValue>{v:.6f}</incidenceValue>" for v in np.linspace(30, 32, columns))
        (folder / meta.name.replace(".meta.xml", ".incidence.xml")).write_text(
            f"<incidenceAngle><numberofIncidenceValue>{columns}</numberofIncidenceValue><stepSize>1</stepSize>{angles}"
            "</incidenceAngle>"
        )
    return Product(meta, truth, min(SPACING), expected)
