"""What a command found, as GeoJSON (RFC 7946) in longitude and latitude."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from knowlip.base.files import whole_file
from knowlip.scenes.scene import counterclockwise


def write_geojson(path: Path, shapes: Sequence[BaseGeometry | None], rows: Sequence[Mapping[Any, Any]]) -> None:
    """Write a feature a row, whole or not at all.

    Args:
        path: where to.
        shapes: in degrees; None where the place is not known.
        rows: properties of each; unknown numbers become null.
    """
    features = [
        {"type": "Feature", "geometry": shape and mapping(counterclockwise(shape)), "properties": plain_properties(row)}
        for row, shape in zip(rows, shapes, strict=True)
    ]
    with whole_file(path) as part:
        part.write_text(json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False))


def plain_properties(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON values: numbers that are not known, or not finite, are null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def centre_of(shape: BaseGeometry | None) -> tuple[float | None, float | None]:
    """Longitude and latitude of the middle of a footprint, None where the place is not known."""
    if shape is None:
        return None, None
    # Of a footprint on both sides of the antimeridian the larger part: their common middle lies around the world.
    middle = max(getattr(shape, "geoms", [shape]), key=lambda part: part.area).centroid
    return round(float(middle.x), 7), round(float(middle.y), 7)
