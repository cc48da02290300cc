"""TIFFs without a place of their own, written without GDAL's warning about it."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning


def write_tiff(
    path: Path, pixels: np.ndarray, tags: dict[str, str] | None = None, dtype_name: str = "", **options: object
) -> None:
    """Write `pixels` (bands, rows, columns) of any data type; `dtype_name`: GDAL's, where numpy has none."""
    bands, rows, columns = pixels.shape
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=columns,
            height=rows,
            count=bands,
            dtype=dtype_name or pixels.dtype,
            **options,
        ) as target,
    ):
        target.write(pixels)
        target.update_tags(**(tags or {}))
