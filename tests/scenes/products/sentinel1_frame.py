"""A Sentinel-1 GRD of the size that ESA delivers (250 x 170 km, 25,400 samples a line), with pixels in a band of lines
only: the rest of its TIFF takes no room on disk and is read as no data."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from tests.scenes.products import Product
from tests.scenes.products.sentinel1 import LINE_SECONDS, STEM, _annotation, _array, _manifest, _time
from tests.scenes.products.swath import Swath

FRAME = (16_700, 25_400)
"""Lines and samples."""
_GAIN = 480.0
_AT_ONCE = 200
_NODES = 21
"""Points of the geolocation grid along a line, as in real products."""


def relief(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Heights of the terrain in metres: hills of 300 m over tens of kilometres."""
    return 150 + 150 * np.sin(rows / 2600) * np.cos(columns / 3100)


def write_frame(
    folder: Path,
    shape: tuple[int, int] = FRAME,
    lines: tuple[int, int] = (0, 0),
    date: int = 0,
    lon: float = 11.4,
    lat: float = 48.2,
    heading: float = 347.0,
) -> Product:
    """Write a product of one polarisation.

    Args:
        folder: gets the .SAFE folder.
        shape: lines and samples.
        lines: first and one past the last line that hold speckle; the others hold none.
        date: number of a repeat pass: its frame begins some lines later, as those of repeat passes do.
        lon: of the middle.
        lat: of the middle.
        heading: of the platform, degrees from north.
    """
    moved = lat + 0.0007 * date
    swath = Swath(shape, 10.0, 10.0, lon=lon + 0.0005 * date, lat=moved, heading=heading, incidence_deg=39.0)
    day = f"2021{1 + date // 28:02d}{1 + date % 28:02d}"
    safe = folder / f"S1A_IW_GRDH_1SDV_{day}T053311_{day}T053336_036000_0437A5_B3C5.SAFE"
    for part in ("measurement", "annotation/calibration"):
        (safe / part).mkdir(parents=True)
    stem = f"s1a-iw-grd-vv-{STEM}-001".replace("20210105", day)
    _write(safe / "measurement" / f"{stem}.tiff", shape, lines, date)
    annotation = _annotation(swath, "GRD", "IW", "IW", "VV", shape, 0, relief, _NODES)
    annotation = annotation.replace("2021-01-05", f"{day[:4]}-{day[4:6]}-{day[6:]}")
    (safe / "annotation" / f"{stem}.xml").write_text(annotation)
    (safe / "annotation" / "calibration" / f"calibration-{stem}.xml").write_text(_calibration(shape))
    objects = [
        ("s1Level1ProductSchema", f"./annotation/{stem}.xml"),
        ("s1Level1CalibrationSchema", f"./annotation/calibration/calibration-{stem}.xml"),
        ("s1Level1MeasurementSchema", f"./measurement/{stem}.tiff"),
    ]
    (safe / "manifest.safe").write_text(_manifest("GRD", "IW", "IW", ("VV",), objects))
    return Product(safe, lambda columns, rows: swath.place(columns, rows, relief(rows, columns)), 10.0)


def _write(path: Path, shape: tuple[int, int], lines: tuple[int, int], seed: int) -> None:
    """In strips of one line and not compressed, as real ones are."""
    random = np.random.default_rng(seed)
    bank = np.sqrt(random.standard_gamma(4.4, 1 << 20) / 4.4).astype(np.float32)
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=shape[0],
            width=shape[1],
            count=1,
            dtype="uint16",
            blockysize=1,
            SPARSE_OK=True,
            BIGTIFF="NO",
        ) as file,
    ):
        across = np.arange(shape[1])
        for first in range(lines[0], lines[1], _AT_ONCE):
            down = np.arange(first, min(first + _AT_ONCE, lines[1]))
            ground = 90 + 60 * np.sin(down[:, None] / 37) * np.cos(across / 53)
            speckle = np.resize(np.roll(bank, int(random.integers(len(bank)))), ground.shape)
            values = np.clip(np.round(ground * speckle), 1, 65535).astype(np.uint16)
            file.write(values, 1, window=Window(0, first, shape[1], len(down)))


def _calibration(shape: tuple[int, int]) -> str:
    """Vectors a second apart, every 40 samples, as in real products."""
    pixels = np.array([*range(0, shape[1] - 1, 40), shape[1] - 1])
    vectors = "".join(
        f"<calibrationVector><azimuthTime>{_time(line * LINE_SECONDS)}</azimuthTime><line>{line}</line>"
        + _array("pixel", pixels, "%d")
        + "".join(
            _array(tag, scale * (_GAIN + 60 * np.cos(pixels / 9000)), "%.6e")
            for tag, scale in (("sigmaNought", 1.0), ("betaNought", 0.8), ("gamma", 1.1), ("dn", 1.2))
        )
        + "</calibrationVector>"
        for line in range(-200, shape[0] + 700, 670)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<calibration><adsHeader><missionId>S1A</missionId><polarisation>VV</polarisation><swath>IW</swath>
</adsHeader><calibrationInformation><absoluteCalibrationConstant>1.000000e+00</absoluteCalibrationConstant>
</calibrationInformation><calibrationVectorList>{vectors}</calibrationVectorList></calibration>
"""
