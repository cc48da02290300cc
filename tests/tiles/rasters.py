"""Tiny generated scenes."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine


def write_scene(
    path: Path,
    values: np.ndarray,
    left: float = 600000.0,
    top: float = 5750000.0,
    pixel: float = 4.0,
    crs: str | None = "EPSG:32631",
    nodata: float | None = None,
    tags: dict[str, str] | None = None,
    transform: Affine | None = None,
) -> Path:
    """Write `values` (H, W) as a GeoTIFF, north up unless a transform is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": crs, "transform": transform or Affine(pixel, 0, left, 0, -pixel, top)} if crs else {}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype=values.dtype,
        nodata=nodata,
        **options,
    ) as target:
        target.write(values, 1)
        target.update_tags(**(tags or {}))
    return path


def speckle(shape: tuple[int, int], seed: int = 0, texture: bool = True) -> np.ndarray:
    """Single-look amplitude, float32, mean power 1e4, with blocks of different brightness."""
    random = np.random.default_rng(seed)
    power = random.exponential(1e4, shape)
    if texture:
        bright = random.uniform(0.05, 8, (shape[0] // 16 + 1, shape[1] // 16 + 1))
        power *= np.kron(bright, np.ones((16, 16)))[: shape[0], : shape[1]]
    return np.sqrt(power).astype(np.float32)


def four_places(folder: Path, side: int = 70, dtype: str = "uint16") -> Path:
    """Four scenes of 280 x 280 m at places far apart (pixel 4 m), amplitude."""
    places = {"alpha": (32631, 600000), "bravo": (32631, 400000), "charlie": (32633, 500000), "delta": (32719, 300000)}
    for seed, (name, (code, left)) in enumerate(places.items()):
        values = np.clip(speckle((side, side), seed), 1, 65535).astype(dtype)
        tags = {
            "KNOWLIP_SENSOR": "sim-c",
            "KNOWLIP_BAND": "C",
            "KNOWLIP_UNITS": "amplitude",
            "KNOWLIP_DATE": "2025-06-01",
        }
        write_scene(folder / f"{name}.tif", values, left=left, crs=f"EPSG:{code}", tags=tags)
    return folder
