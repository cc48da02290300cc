"""A large synthetic scene, written strip by strip: sea, fields and a town under gamma speckle, without a collar."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

from knowlip.base.progress import track

PIXEL_M = 1.0
_CELL = 64
"""Ground is drawn in cells of this many pixels."""
_STRIP = 512


def write_large_scene(path: Path, side: int, dtype: str, seed: int = 0, compress: str = "") -> None:
    """Write a tiled GeoTIFF of side x side pixels of 1 m in UTM 31N.

    Args:
        path: the file.
        side: pixels.
        dtype: "uint16" (4-look amplitude, scaled) or "complex64" (single look).
        seed: of ground and speckle.
        compress: GDAL's name of a compression; empty: none, as sensors deliver such files.
    """
    more = {"compress": compress, "predictor": 2} if compress else {}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=1,
        dtype=dtype,
        crs="EPSG:32631",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        BIGTIFF="YES",
        transform=Affine(PIXEL_M, 0, 5e5, 0, -PIXEL_M, 5.8e6),
        **more,
    ) as target:
        target.update_tags(KNOWLIP_UNITS="complex" if dtype == "complex64" else "amplitude", KNOWLIP_DATE="2025-06-01")
        for row, values in _strips(side, dtype, seed):
            window = rasterio.windows.Window(0, row, side, values.shape[0])
            target.write(values, 1, window=window)


def _strips(side: int, dtype: str, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    random = np.random.default_rng(seed)
    cells = -(-side // _CELL) + 1
    ground = _ground(cells, random)
    bank = random.standard_gamma(4.0, 1 << 22).astype(np.float32) / 4
    waves = random.standard_normal((2, 1 << 22)).astype(np.float32) * np.float32(np.sqrt(0.5))
    for row in track(range(0, side, _STRIP), f"draw a scene of {side} pixels"):
        rows = min(_STRIP, side - row)
        power = np.repeat(np.repeat(ground[row // _CELL : (row + rows - 1) // _CELL + 1], _CELL, 0), _CELL, 1)
        power = power[row % _CELL : row % _CELL + rows, :side].copy()
        _streets(power, row, ground)
        shift = int(random.integers(1 << 22))
        if dtype == "complex64":
            parts = [np.resize(np.roll(wave, shift), power.shape) for wave in waves]
            yield row, (np.sqrt(power) * (parts[0] + 1j * parts[1])).astype(np.complex64)
        else:
            amplitude = np.sqrt(power * np.resize(np.roll(bank, shift), power.shape)) * 400
            yield row, np.clip(amplitude, 1, 65535).astype(np.uint16)


def _ground(cells: int, random: np.random.Generator) -> np.ndarray:
    """Mean power of each cell: water, fields that differ from each other, and a town of bright blocks."""
    height = ndimage.gaussian_filter(random.standard_normal((cells, cells)), cells / 12)
    fields = ndimage.zoom(random.uniform(0.1, 0.6, (cells // 4 + 2, cells // 4 + 2)), 4, order=0)[:cells, :cells]
    town = random.lognormal(0.5, 1.0, (cells, cells))
    low, high = np.quantile(height, [0.35, 0.75])
    return np.where(height < low, 0.01, np.where(height > high, town, fields)).astype(np.float32)


def _streets(power: np.ndarray, first_row: int, ground: np.ndarray) -> None:
    """Dark lines every 64 pixels and bright points, where the ground is a town."""
    rows = (first_row + np.arange(power.shape[0])) % _CELL
    columns = np.arange(power.shape[1]) % _CELL
    built = power > 0.6
    power[(rows[:, None] < 6) & built] = 0.05
    power[(columns[None, :] < 6) & built] = 0.05
    points = built & (rows[:, None] % 16 == 9) & (columns[None, :] % 16 == 9)
    power[points] *= 60
