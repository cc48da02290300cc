"""ICEYE: ground-range images with control points, complex ones as HDF5 with their orbit, and as amplitude and phase."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyproj
from rasterio.control import GroundControlPoint

from tests.scenes.products import Product
from tests.scenes.products.orbits import Circle
from tests.scenes.products.tiffs import write_tiff

LON, LAT, HEIGHT = 24.95, 60.17, 25.0
FACTOR = 2.37e-5
EPOCH = datetime(2021, 10, 26, 6, 9, 46)
LIGHT = 299792458.0


def stamp(second: float) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat(timespec="microseconds")


def corners(
    truth: Callable[[np.ndarray, np.ndarray], tuple], shape: tuple[int, int], mirrored: bool = False
) -> dict[str, list[float]]:
    """coord_*: column and row (of centres, from 1), latitude, longitude."""
    rows, columns = shape
    near, far = (columns, 1) if mirrored else (1, columns)
    found = {}
    for name, column, row in (
        ("first_near", near, 1),
        ("first_far", far, 1),
        ("last_near", near, rows),
        ("last_far", far, rows),
    ):
        lon, lat = truth(np.array([column - 0.5]), np.array([row - 0.5]))
        found[f"coord_{name}"] = [float(column), float(row), float(lat[0]), float(lon[0])]
    return found


def angles(width: int) -> np.ndarray:
    return np.linspace(28.0, 33.0, width)


def make(
    folder: Path,
    kind: str = "GRD",
    side: str = "right",
    orbit: bool = True,
    gcps: bool = True,
    factor: float | None = FACTOR,
    dtype: str = "int16",
) -> Product:
    """Write a product.

    Args:
        folder: of the product.
        kind: "GRD" (GeoTIFF and XML), "SLC" (HDF5), "COG" (complex as amplitude and phase, JSON).
        side: the radar looks to.
        orbit: put state vectors into the HDF5 file.
        gcps: put control points into the TIFF.
        factor: calibration factor; None: none.
        dtype: of an SLC's parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(11)
    if kind == "SLC":
        return _slc(folder, random, side, orbit, factor, dtype)
    shape, spacing = (280, 320), 2.5
    heading, mirrored = np.radians(347.0), side == "left"
    to_map = pyproj.Transformer.from_crs(4326, 32635, always_xy=True)
    x, y = to_map.transform(LON, LAT)

    def truth(columns, rows):
        """First line first in time, columns towards the right of the flight path; mildly curved."""
        across = spacing * np.asarray(columns, float)
        along = spacing * np.asarray(rows, float) + 2e-5 * across**2
        return to_map.transform(
            x + along * np.sin(heading) + across * np.cos(heading),
            y + along * np.cos(heading) - across * np.sin(heading),
            direction="INVERSE",
        )

    rows, columns = np.meshgrid(np.linspace(0, shape[0], 9), np.linspace(0, shape[1], 9), indexing="ij")
    lons, lats = truth(columns, rows)
    points = [
        GroundControlPoint(row=r, col=c, x=lon, y=lat)
        for r, c, lon, lat in zip(rows.ravel(), columns.ravel(), lons.ravel(), lats.ravel())
    ]
    options = {"gcps": points, "crs": "EPSG:4326"} if gcps else {}
    name = f"ICEYE_X6_{'GRD' if kind == 'GRD' else 'SLC'}_SM_153426_20211026T060946"
    if kind == "GRD":
        pixels = np.clip(random.rayleigh(900, (1, *shape)), 1, 65535).round().astype(np.uint16)
        write_tiff(folder / f"{name}.tif", pixels, **options)
        power = pixels[0].astype(float) ** 2 * (factor or 1)
        facts = {
            "product_type": "StripMap",
            "product_level": "GRD",
            "acquisition_mode": "stripmap",
            "look_side": side,
            "satellite_name": "ICEYE-X6",
            "acquisition_start_utc": stamp(0),
            "polarization": "VV",
            "orbit_direction": "ascending",
            "carrier_frequency": 9.65e9,
            "range_looks": 1,
            "azimuth_looks": 2,
            "incidence_near": 28.0,
            "incidence_center": 30.5,
            "incidence_far": 33.0,
            **corners(truth, shape, mirrored),
            **({} if factor is None else {"calibration_factor": factor}),
        }
        lines = "".join(f"<{key}>{value}</{key}>" for key, value in facts.items())
        (folder / f"{name}.xml").write_text(f'<?xml version="1.0"?>\n<Metadata>{lines}</Metadata>')
        return Product(folder / f"{name}.tif", truth, spacing, power)
    amplitude = random.rayleigh(900, shape).astype(np.float32)
    stored = np.stack([(65535 * (amplitude / 8000) ** 0.25).round(), random.integers(1, 65535, shape)])
    scale = 8000 / 65535.0**4
    path = folder / f"{name}.tif"
    write_tiff(path, stored.astype(np.uint16), **options)
    import rasterio

    with rasterio.open(path, "r+") as file:
        file.descriptions = ("amplitude", "phase")
        file.scales = (scale, 1.0)
    properties = {
        "datetime": stamp(0) + "Z",
        "start_datetime": stamp(0) + "Z",
        "platform": "ICEYE-X42",
        "sar:center_frequency": 9600000000,
        "sar:instrument_mode": "spotlight",
        "sar:looks_azimuth": 1,
        "sar:looks_range": 1,
        "sar:observation_direction": side,
        "sar:polarizations": ["VV"],
        "sar:product_type": "SLC-COG",
        "sat:orbit_state": "descending",
        "view:azimuth": 280.78,
        "view:incidence_angle": 31.94,
        "iceye:incidence_angle_near": 31.84,
        "iceye:incidence_angle_far": 32.05,
        "iceye:amplitude_mapping": {"function": "power", "parameters": {"exponent": 0.25, "scale": 1}},
        "iceye:calibration_factor": factor,
    }
    path.with_suffix(".json").write_text(json.dumps({"type": "Feature", "properties": properties}))
    theta = np.radians(np.interp(np.linspace(0, 1, shape[1]), [0, 0.5, 1], [31.84, 31.94, 32.05]))
    restored = stored[0] ** 4 * scale
    return Product(path, truth, spacing, restored**2 * (factor or 1) * np.sin(theta))


def _slc(
    folder: Path, random: np.random.Generator, side: str, orbit: bool, factor: float | None, dtype: str
) -> Product:
    import h5py

    shape, line, rate = (300, 260), 2.5e-4, 160e6
    spacing = LIGHT / (2 * rate)
    circle = Circle(LON, LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
    first = time - (shape[0] - 1) / 2 * line
    near = circle.range_and_rate(time, LON, LAT, HEIGHT)[0] - (shape[1] - 1) / 2 * spacing
    truth = circle.truth(first, line, near, spacing, HEIGHT, (LON, LAT))
    parts = random.normal(0, 800, (2, *shape)).astype(dtype)
    second = np.arange(-10.0, 11.0)
    vectors = [circle.at(t) for t in second]
    facts: dict[str, object] = {
        "product_name": "SLC_SM",
        "product_type": "StripMap",
        "acquisition_mode": "stripmap",
        "look_side": side,
        "satellite_name": "ICEYE-X6",
        "polarization": "VV",
        "orbit_direction": "ascending",
        "acquisition_start_utc": stamp(-1),
        "zerodoppler_start_utc": stamp(first),
        "azimuth_time_interval": line,
        "first_pixel_time": 2 * near / LIGHT,
        "range_sampling_rate": rate,
        "avg_scene_height": HEIGHT,
        "carrier_frequency": 9.65e9,
        "range_looks": 1,
        "azimuth_looks": 1,
        "sample_precision": dtype,
        "local_incidence_angle": angles(shape[1]),
        **corners(truth, shape),
    }
    if factor is not None:
        facts["calibration_factor"] = factor
    if orbit:
        facts["state_vector_time_utc"] = np.array([[stamp(t).encode()] for t in second])
        for axis, name in enumerate("XYZ"):
            facts[f"pos{name}"] = np.array([position[axis] for position, _ in vectors])
            facts[f"vel{name}"] = np.array([velocity[axis] for _, velocity in vectors])
    # Whole microseconds name the time of the first line, so the truth uses the same.
    rounded = (datetime.fromisoformat(stamp(first)) - EPOCH).total_seconds()
    truth = circle.truth(rounded, line, near, spacing, HEIGHT, (LON, LAT))
    path = folder / "ICEYE_X6_SLC_SM_153426_20211026T060946.h5"
    with h5py.File(path, "w") as file:
        for name, value in facts.items():
            file[name] = value
        file["s_i"], file["s_q"] = parts
    power = (parts.astype(float) ** 2).sum(axis=0) * (factor or 1) * np.sin(np.radians(angles(shape[1])))
    return Product(path, truth, spacing, power)
