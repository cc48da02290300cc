"""Images of a radar without a public product format, described by a YAML: every way to state the place."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pyproj import Geod, Transformer

from tests.scenes.products import Product
from tests.scenes.swath import ground

KINDS = ("crs", "corners", "gcps", "center", "rpc")
SHAPE = 60, 80
_GEOD = Geod(ellps="WGS84")


def make(folder: Path, kind: str = "center", **changes: Any) -> Product:
    """A `.npy` image of amplitudes with its YAML.

    Args:
        folder: where to write.
        kind: one of `KINDS`.
        changes: further keys of the YAML.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = SHAPE
    amplitude = np.random.default_rng(1).rayleigh(100, SHAPE).astype(np.float32) + 1
    np.save(folder / "qilu.npy", amplitude)
    keys: dict[str, Any] = {
        "sensor": "qilu-1",
        "frequency_ghz": 15.2,
        "polarisation": "VV",
        "units": "amplitude",
        "calibration": {"quantity": "sigma0", "amplitude_factor": 0.01},
        "date": "2023-05-06",
    }
    truth, pixel_m, place = globals()[f"_{kind}"](folder, columns, rows)
    path = folder / "qilu.scene.yaml"
    path.write_text(yaml.safe_dump({**keys, **place, **changes}))
    return Product(path, truth, pixel_m, amplitude**2 * np.float32(1e-4))


def _crs(folder: Path, columns: int, rows: int) -> tuple[Any, float, dict[str, Any]]:
    """A rotated transform in UTM."""
    a, b, c, d, e, f = 2.0, -1.0, 500_000.0, -1.0, -2.0, 4_000_000.0
    back = Transformer.from_crs(32650, 4326, always_xy=True)

    def truth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return back.transform(a * x + b * y + c, d * x + e * y + f)

    return truth, 5**0.5, {"crs": "EPSG:32650", "transform": [a, b, c, d, e, f]}


def _corners(folder: Path, columns: int, rows: int) -> tuple[Any, float, dict[str, Any]]:
    truth, pixel_m, _ = _center(folder, columns, rows)
    lons, lats = truth(np.array([0.0, columns, columns, 0]), np.array([0.0, 0, rows, rows]))
    return truth, pixel_m, {"corners": [[float(lon), float(lat)] for lon, lat in zip(lons, lats)]}


def _gcps(folder: Path, columns: int, rows: int) -> tuple[Any, float, dict[str, Any]]:
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, columns, 5), np.linspace(0, rows, 4)))
    lons, lats = ground(x, y, 3.0)
    points = [[float(value) for value in point] for point in zip(x, y, lons, lats)]
    return lambda columns, rows: ground(columns, rows, 3.0), 3.0, {"gcps": points}


def _center(folder: Path, columns: int, rows: int) -> tuple[Any, float, dict[str, Any]]:
    """By geodesics from the centre: the image's upward axis points to 30 degrees east of north."""
    lon, lat, spacing, heading = 118.5, 36.2, 0.5, 30.0

    def truth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        right, up = (np.asarray(x) - columns / 2) * spacing, (rows / 2 - np.asarray(y)) * spacing
        azimuth = heading + np.degrees(np.arctan2(right, up))
        full = np.full(azimuth.shape, 1.0)
        lons, lats, _ = _GEOD.fwd(full * lon, full * lat, azimuth, np.hypot(right, up))
        return np.asarray(lons), np.asarray(lats)

    return truth, spacing, {"center": [lon, lat], "spacing_m": spacing, "heading_deg": heading}


def _rpc(folder: Path, columns: int, rows: int) -> tuple[Any, float, dict[str, Any]]:
    from tests.scenes.products.geotiff import gdal_truth, rpcs

    values = rpcs(columns, rows)
    lines = [f"{key}: {value}" for key, value in values.items() if not key.endswith("_COEFF")]
    for key in ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"):
        lines += [f"{key}_{i}: {value:.15e}" for i, value in enumerate(values[key], 1)]
    (folder / "qilu_RPC.TXT").write_text("\n".join(lines) + "\n")
    return gdal_truth(values), 10.0, {"rpc": "qilu_RPC.TXT"}
