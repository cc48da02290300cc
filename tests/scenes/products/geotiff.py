"""GeoTIFFs located by a north-up or rotated transform, by control points of a swath, and by RPCs."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from tests.scenes.products import Product
from tests.scenes.swath import ground

KINDS = ("north-up", "degrees", "rotated", "antimeridian", "polar", "gcps", "rpc")
SHAPE = 60, 80
_AFFINES = {
    "north-up": (32650, Affine(3, 0, 500_000, 0, -3, 4_000_000)),
    "degrees": (4326, Affine(9e-5, 0, 5.0, 0, -9e-5, 60.0)),
    "rotated": (32650, Affine.translation(500_000, 4_000_000) @ Affine.rotation(33) @ Affine.scale(3, -3)),
    "antimeridian": (3832, Affine(10, 0, 3_339_000, 0, -10, 900_000)),
    "polar": (3413, Affine(40, 0, -1000, 0, -40, -555_000)),
}
_METRES = {
    "north-up": 3.0,
    "degrees": 5.0,
    "rotated": 3.0,
    "antimeridian": 9.9,
    "polar": 40.0,
    "gcps": 10.0,
    "rpc": 10.0,
}


def make(folder: Path, kind: str = "north-up", values: np.ndarray | None = None, **options: Any) -> Product:
    """A one-band float32 GeoTIFF of power.

    Args:
        folder: where to write.
        kind: one of `KINDS`, or "swath": 250 x 170 km of 10 m pixels with control points, almost all of it a hole.
        values: (rows, columns) power; speckle where None.
        options: passed to rasterio.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "swath":
        return _swath(folder)
    power = np.random.default_rng(2).exponential(1, SHAPE).astype(np.float32) if values is None else values
    rows, columns = power.shape
    path = folder / f"{kind}.tif"
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": 1,
        "dtype": power.dtype,
        **options,
    }
    if kind in _AFFINES:
        code, transform = _AFFINES[kind]
        profile |= {"crs": f"EPSG:{code}", "transform": transform}
        to_lonlat = Transformer.from_crs(code, 4326, always_xy=True)

        def truth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return to_lonlat.transform(*(transform @ (np.asarray(x, float), np.asarray(y, float))))

    elif kind == "gcps":
        # A wide swath seen through few pixels: as far apart as in a real product.
        scale = 25_000 / columns
        x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, columns, 21), np.linspace(0, rows, 10)))

        def truth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return ground(np.asarray(x) * scale, np.asarray(y) * scale)

        points = [GroundControlPoint(r, c, lon, lat) for c, r, lon, lat in zip(x, y, *truth(x, y))]
        profile |= {"gcps": points, "crs": "EPSG:4326"}
    else:
        coefficients = rpcs(columns, rows)
        profile |= {"rpcs": RPC(**{key.lower(): value for key, value in coefficients.items()}, err_bias=0, err_rand=0)}
        truth = gdal_truth(coefficients)
    with rasterio.open(path, "w", **profile) as file:
        file.write(power, 1)
    return Product(path, truth, _METRES[kind] * (25_000 / columns if kind == "gcps" else 1), power)


def _swath(folder: Path) -> Product:
    columns, rows = 25_000, 17_000
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, columns, 21), np.linspace(0, rows, 10)))
    points = [GroundControlPoint(r, c, lon, lat) for c, r, lon, lat in zip(x, y, *ground(x, y))]
    path = folder / "swath.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=columns,
        count=1,
        dtype="uint8",
        gcps=points,
        crs="EPSG:4326",
        nodata=0,
        tiled=True,
        SPARSE_OK=True,
    ) as file:
        middle = rasterio.windows.Window(columns // 2 - 64, rows // 2 - 64, 128, 128)
        file.write(np.full((128, 128), 9, np.uint8), 1, window=middle)
    return Product(path, ground, 10.0)


def rpcs(columns: int, rows: int) -> dict[str, Any]:
    """Coefficients of a plausible view: mostly linear, with relief, cubic terms and true denominators."""
    rng = np.random.default_rng(3)
    half = 10.0 * max(columns, rows) / 2 / 111_000
    values: dict[str, Any] = {
        "LINE_OFF": rows / 2,
        "SAMP_OFF": columns / 2,
        "LAT_OFF": 31.0,
        "LONG_OFF": 121.5,
        "HEIGHT_OFF": 20.0,
        "LINE_SCALE": rows / 2,
        "SAMP_SCALE": columns / 2,
        "LAT_SCALE": rows * half / max(columns, rows),
        "LONG_SCALE": columns * half / max(columns, rows) / np.cos(np.radians(31)),
        "HEIGHT_SCALE": 500.0,
    }
    for name, lon, lat in (("LINE", 0.15, -1.0), ("SAMP", 1.0, 0.15)):
        values[f"{name}_NUM_COEFF"] = [0.001, lon, lat, 0.2, *(1e-3 * rng.standard_normal(16))]
        values[f"{name}_DEN_COEFF"] = [1.0, *(1e-3 * rng.standard_normal(3)), *(1e-4 * rng.standard_normal(16))]
    return values


def gdal_truth(values: dict[str, Any]) -> Any:
    """Pixel coordinates -> longitude and latitude at the height offset, by GDAL."""
    rpc = RPC(**{key.lower(): value for key, value in values.items()}, err_bias=0, err_rand=0)

    def truth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        heights = np.full(x.size, values["HEIGHT_OFF"])
        with RPCTransformer(rpc, RPC_PIXEL_ERROR_THRESHOLD=1e-6, RPC_MAX_ITERATIONS=50) as transformer:
            lons, lats = transformer.xy(y.ravel(), x.ravel(), zs=heights, offset="ul")
        return np.reshape(lons, x.shape), np.reshape(lats, x.shape)

    return truth
