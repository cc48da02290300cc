"""Capella: geocoded images in UTM, and complex ones in slant range with their orbit."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyproj
from affine import Affine

from tests.scenes.products import Product
from tests.scenes.products.orbits import TO_EARTH, Circle
from tests.scenes.products.tiffs import write_tiff

LON, LAT, HEIGHT = -118.27, 33.74, -20.0
EPOCH = datetime(2020, 11, 18, 18, 51, 23)
SCALE = 0.0023
FREQUENCY = 9.65e9


def stamp(second: float) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat(timespec="microseconds") + "123Z"


def polar(circle: Circle, time: float, shape: tuple[int, int]) -> tuple[dict, Callable]:
    """Polar format in the slant plane, and where its pixels lie: the place whose range, and change of range with time,
    are those that the image formation gives the pixel (both by numerical differentiation of the true orbit)."""
    target = np.array(TO_EARTH.transform(LON, LAT, HEIGHT))
    position, velocity = circle.at(time)
    row = (target - position) / np.linalg.norm(target - position)
    normal = np.cross(row, velocity)
    normal /= np.linalg.norm(normal)
    column = np.cross(normal, row)
    clock = np.linspace(-2, 2, 41)

    def sight(t: float) -> np.ndarray:
        seen = target - circle.at(time + t)[0]
        return np.array([seen @ row, seen @ column]) / np.linalg.norm(seen)

    sights = np.array([sight(t) for t in clock])
    angles, lengths = np.arctan2(sights[:, 1], sights[:, 0]), np.hypot(*sights.T)
    fit = np.polynomial.polynomial.polyfit
    # The collection starts two seconds before the origin of `stamp`.
    angle = fit(clock + time + 2, angles, 5)
    scale = fit(angles, lengths, 4)
    spacing, centre = (0.4, 0.5), (shape[0] // 2, shape[1] // 2)
    value = np.polynomial.polynomial.polyval

    def projected(t: float, x: float, y: float) -> float:
        theta = value(t + time + 2, angle)
        return value(theta, scale) * (x * np.cos(theta) + y * np.sin(theta))

    step = 1e-3
    distance = circle.range_and_rate(time, LON, LAT, HEIGHT)[0]

    def place(x: float, y: float) -> tuple[float, float]:
        speed = (projected(step, x, y) - projected(-step, x, y)) / (2 * step)
        own = (
            circle.range_and_rate(time + step, LON, LAT, HEIGHT)[0]
            - circle.range_and_rate(time - step, LON, LAT, HEIGHT)[0]
        ) / (2 * step)
        return circle.ground(time, distance + projected(0, x, y), -(own + speed), HEIGHT, (LON, LAT))

    def truth(columns, rows):
        found = [
            place((r - 0.5 - centre[0]) * spacing[0], (c - 0.5 - centre[1]) * spacing[1])
            for c, r in zip(np.ravel(columns), np.ravel(rows))
        ]
        lons, lats = np.array(found).T
        return lons.reshape(np.shape(columns)), lats.reshape(np.shape(columns))

    return {
        "scene_reference_point_row_col": list(centre),
        "scene_reference_point_ecef": list(target),
        "row_sample_spacing": spacing[0],
        "col_sample_spacing": spacing[1],
        "row_direction": list(row),
        "col_direction": list(column),
        "slant_plane_normal": list(normal),
        "ground_plane_normal": list(normal),
        "polar_angle_polynomial": {"type": "standard", "degree": 5, "coefficients": list(angle)},
        "spatial_frequency_scale_factor_polynomial": {"type": "standard", "degree": 4, "coefficients": list(scale)},
    }, truth


def make(
    folder: Path,
    kind: str = "GEO",
    radiometry: str = "sigma_nought",
    calibration: str = "full",
    side: str = "right",
    squint_hz: float = 0.0,
    sidecar: bool = True,
    geometry: str = "slant_plane",
    looks: int = 9,
) -> Product:
    """Write a product.

    Args:
        folder: of the product.
        kind: "GEO", "GEC" or "SLC".
        radiometry: what power means.
        calibration: "full" to "none".
        side: the radar looks to.
        squint_hz: Doppler centroid in the middle of an SLC.
        sidecar: metadata beside the TIFF; else in its image description.
        geometry: type of an SLC's grid: "slant_plane", "pfa", or an unknown one (made as "pfa").
        looks: of a geocoded image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    name = f"CAPELLA_C02_SP_{kind}_HH_20201118185123_20201118185127"
    options: dict = {}
    circle = Circle(LON, LAT, side=side)
    image: dict = {}
    if kind == "SLC":
        shape, line, spacing = (240, 320), 3e-4, 0.9
        rate = squint_hz * (299792458.0 / FREQUENCY) / 2
        # The antenna sees the centre with this rate at some time; the image is around that.
        time = 0.0
        for _ in range(20):
            time += (circle.range_and_rate(time, LON, LAT, HEIGHT)[1] - rate) / 97.0
        centre = circle.range_and_rate(time, LON, LAT, HEIGHT)[0]
        first, near = time - (shape[0] - 1) / 2 * line, centre - (shape[1] - 1) / 2 * spacing
        truth = circle.truth(first, line, near, spacing, HEIGHT, (LON, LAT), lambda distance, after: rate)
        pixels = random.normal(0, 700, (2, *shape)).astype(np.int16)
        power = (pixels.astype(float) ** 2).sum(axis=0)
        pixels = (pixels[:1] + 1j * pixels[1:]).astype(np.complex64)
        options = {"dtype_name": "complex_int16"}
        image["image_geometry"] = {
            "type": "slant_plane",
            "first_line_time": stamp(first),
            "delta_line_time": line,
            "range_to_first_sample": near,
            "delta_range_sample": spacing,
            "doppler_centroid_polynomial": {"type": "standard", "degree": 1, "coefficients": [[squint_hz, 0.0]]},
        }
        pixel_m = 0.9
        if geometry != "slant_plane":
            image["image_geometry"], truth = polar(circle, time, shape)
            image["image_geometry"]["type"], pixel_m = geometry, 0.4
    else:
        shape, time = (250, 270), 0.0
        to_map = pyproj.Transformer.from_crs(4326, 32611, always_xy=True)
        x, y = (round(value) for value in to_map.transform(LON, LAT))
        pixel_m = 0.5
        options = {"crs": "EPSG:32611", "transform": Affine(pixel_m, 0, x, 0, -pixel_m, y)}

        def truth(columns, rows):
            return to_map.transform(
                x + pixel_m * np.asarray(columns), y - pixel_m * np.asarray(rows), direction="INVERSE"
            )

        mean = 2.0e6
        pixels = np.sqrt(random.gamma(looks, mean / looks, (1, *shape))).round().astype(np.uint16)
        power = pixels[0].astype(float) ** 2
        image["image_geometry"] = {"type": "geotransform"}
    second = np.arange(-8.0, 9.0, 1.0)
    vectors = [{"time": stamp(t), "position": list(circle.at(t)[0]), "velocity": list(circle.at(t)[1])} for t in second]
    metadata = {
        "product_version": "1.8.0",
        "product_type": kind,
        "collect": {
            "start_timestamp": stamp(-2),
            "stop_timestamp": stamp(2),
            "collect_id": "a",
            "platform": "capella-2",
            "mode": "spotlight",
            "radar": {
                "center_frequency": FREQUENCY,
                "pointing": side,
                "transmit_polarization": "H",
                "receive_polarization": "H",
            },
            "state": {"direction": "ascending", "state_vectors": vectors},
            "image": {
                **image,
                "rows": shape[0],
                "columns": shape[1],
                "scale_factor": SCALE,
                "azimuth_looks": float(looks),
                "range_looks": 1.0,
                "enl": float(looks if kind != "SLC" else 1),
                "radiometry": radiometry,
                "calibration": calibration,
                "center_pixel": {
                    "incidence_angle": 32.5,
                    "look_angle": 30.0,
                    "squint_angle": 0.1,
                    "target_position": list(TO_EARTH.transform(LON, LAT, HEIGHT)),
                    "center_time": stamp(time),
                },
            },
        },
    }
    tags = {} if sidecar else {"TIFFTAG_IMAGEDESCRIPTION": json.dumps(metadata)}
    if "dtype_name" in options:
        write_tiff(folder / f"{name}.tif", pixels, tags, dtype_name="complex_int16")
    else:
        write_tiff(folder / f"{name}.tif", pixels, tags, **options)
    if sidecar:
        (folder / f"{name}_extended.json").write_text(json.dumps(metadata))
    write_tiff(folder / f"{name}_preview.tif", np.ones((1, 8, 8), np.uint8), **{**options, "dtype_name": "uint8"})
    return Product(folder / f"{name}.tif", truth, pixel_m, power * SCALE**2 if calibration != "none" else None)
