"""Umbra open data: a geocoded image in UTM, rotated or not, with its metadata and sibling products."""

import json
from pathlib import Path

import numpy as np
import pyproj
from affine import Affine

from tests.scenes.products import Product
from tests.scenes.products.tiffs import write_tiff

LON, LAT = -79.57, 8.97


def make(folder: Path, rotation_deg: float = 0.0, siblings: bool = False, metadata: bool = True) -> Product:
    """Write a product; `power` is the squared amplitude, for there is no calibration."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "2023-07-18-02-30-32_UMBRA-04"
    to_map = pyproj.Transformer.from_crs(4326, 32617, always_xy=True)
    x, y = (round(value) for value in to_map.transform(LON, LAT))
    spacing = 0.35
    angle = np.radians(rotation_deg)
    c, s = spacing * np.cos(angle), spacing * np.sin(angle)
    pixels = np.clip(np.random.default_rng(7).rayleigh(40, (1, 300, 260)), 1, 255).astype(np.uint8)
    write_tiff(folder / f"{stem}_GEC.tif", pixels, crs="EPSG:32617", transform=Affine(c, s, x, s, -c, y))
    if metadata:
        collect = {
            "id": "5ba5b849",
            "taskId": "2e00bde3",
            "startAtUTC": "2023-07-18T02:30:33+00:00",
            "endAtUTC": "2023-07-18T02:30:36.374803+00:00",
            "radarBand": "X",
            "radarCenterFrequencyHz": 9600001094.9,
            "polarizations": ["VV"],
            "angleAzimuthDegrees": 122.1,
            "angleGrazingDegrees": 42.6,
            "angleIncidenceDegrees": 47.4,
            "satelliteTrack": "ASCENDING",
            "observationDirection": "LEFT",
        }
        (folder / f"{stem}_METADATA.json").write_text(
            json.dumps(
                {
                    "version": "1.0.0",
                    "vendor": "Umbra Space",
                    "imagingMode": "SPOTLIGHT",
                    "umbraSatelliteName": "UMBRA_04",
                    "collects": [collect],
                    "derivedProducts": {"GEC": [{"numRows": 300, "numColumns": 260}]},
                }
            )
        )
    if siblings:
        write_tiff(
            folder / f"{stem}_CSI.tif",
            np.ones((3, 300, 260), np.uint8),
            crs="EPSG:32617",
            transform=Affine(spacing, 0, x, 0, -spacing, y),
        )
        (folder / f"{stem}_CPHD.cphd").write_bytes(b"CPHD/1.0.1\n")

    def truth(columns, rows):
        columns, rows = np.asarray(columns, float), np.asarray(rows, float)
        return to_map.transform(x + c * columns + s * rows, y + s * columns - c * rows, direction="INVERSE")

    return Product(folder / f"{stem}_GEC.tif", truth, spacing, pixels[0].astype(float) ** 2)
