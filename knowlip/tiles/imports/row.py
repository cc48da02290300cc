"""The index row of an imported tile: what is known is filled in, everything else is openly unknown."""

from typing import Any

import numpy as np
import pyarrow as pa

from knowlip.dataset.layout import INDEX_SCHEMA, data_levels
from knowlip.tiles.imports.labels import LabelledImage
from knowlip.tiles.imports.pixels import Grey
from knowlip.tiles.imports.settings import ImportConfig
from knowlip.tiles.quality import statistics


def index_row(
    tile_id: str, scene_id: str, tile: np.ndarray, grey: Grey, image: LabelledImage, split: str, config: ImportConfig
) -> dict[str, Any]:
    """Row of a tile (H, W) uint8. Every tile is its own root; the place is unknown; without a known pixel spacing the
    transform counts pixels."""
    height, width = tile.shape
    spacing = config.metres_per_pixel or image.metres_per_pixel
    row: dict[str, Any] = {field.name: _unknown(field.type) for field in INDEX_SCHEMA}
    row |= {"tile_id": tile_id, "id": tile_id, "scene_id": scene_id, "root_id": tile_id, "scale": "large"}
    row |= {"split": split, "window_m": spacing * max(height, width) if spacing else None}
    row |= {"proj:transform": [spacing or 1.0, 0.0, 0.0, 0.0, -(spacing or 1.0), 0.0], "proj:shape": [height, width]}
    row |= {"platform": config.sensor, "sar:frequency_band": config.band, "geolocation": "unknown", "quantity": "none"}
    row |= {"sar:polarizations": [config.polarisation] if config.polarisation else [], "geolocation_rms_m": 0.0}
    row |= {"resolution_m": spacing, "metres_per_pixel": spacing, "native_px": float(max(height, width))}
    row |= {"quantiser": grey.quantiser, "quantiser_lo": grey.lo_db, "quantiser_hi": grey.hi_db}
    row["lut_sha256"] = grey.lut_sha256
    tile = data_levels(tile, grey.quantiser)
    return row | {"valid_fraction": round(float((tile > 0).mean()), 4), **statistics(tile)}


def _unknown(kind: pa.DataType) -> Any:
    if kind == pa.string() or pa.types.is_timestamp(kind) or pa.types.is_binary(kind):
        return ""
    if pa.types.is_list(kind):
        return []
    if pa.types.is_boolean(kind):
        return False
    return None if pa.types.is_floating(kind) else 0
