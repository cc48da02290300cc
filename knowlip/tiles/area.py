"""Areas of interest: polygons of a GeoJSON file in longitude and latitude (RFC 7946)."""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import shapely
from shapely.affinity import translate

from knowlip.base.documents import read_json


@lru_cache(maxsize=8)
def read_area(path: Path) -> Any:
    """Union of all polygons of a GeoJSON file as a shapely geometry within -180 to 180 degrees.

    A ring that crosses the antimeridian may go beyond 180 degrees (170 to 190), or jump from one side to the other
    (170 to -170): steps of more than 180 degrees are taken the short way round. Read once in a process.

    Raises:
        ValueError: the file is missing or too large, is no GeoJSON, holds no polygon, or is not in degrees.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: screen.area names a GeoJSON file.")
    document = read_json(path)
    try:
        polygons = [_polygon(rings) for rings in _rings(document)]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is not GeoJSON with polygons ({error!r}).") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not polygons:
        raise ValueError(f"{path} holds no polygon.")
    return _folded(shapely.union_all(polygons))


def _rings(item: dict[str, Any]) -> list[list[Any]]:
    """Coordinates of every polygon in a GeoJSON object."""
    kind = item["type"]
    if kind == "FeatureCollection":
        return [rings for feature in item["features"] for rings in _rings(feature)]
    if kind == "Feature":
        return _rings(item["geometry"]) if item["geometry"] is not None else []
    if kind == "GeometryCollection":
        return [rings for part in item["geometries"] for rings in _rings(part)]
    if kind == "Polygon":
        return [item["coordinates"]]
    if kind == "MultiPolygon":
        return list(item["coordinates"])
    raise ValueError(f"{kind} is no area; give a Polygon, a MultiPolygon or a FeatureCollection of them.")


def _polygon(rings: list[Any]) -> Any:
    unrolled = [_ring(ring) for ring in rings]
    first = unrolled[0][0][0]
    for ring in unrolled[1:]:  # holes on the same turn of the globe as their outline
        turn = 360.0 * round((first - ring[0][0]) / 360.0)
        ring[:] = [(lon + turn, lat) for lon, lat in ring]
    polygon: Any = shapely.Polygon(unrolled[0], unrolled[1:])
    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon)
    if polygon.area <= 0:
        raise ValueError("a polygon has no area.")
    return polygon


def _ring(ring: list[Any]) -> list[tuple[float, float]]:
    """Points of a ring without jumps across the antimeridian."""
    points: list[tuple[float, float]] = []
    for point in ring:
        lon, lat = float(point[0]), float(point[1])
        if not (math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 360 and abs(lat) <= 90):
            raise ValueError(f"({lon:g}, {lat:g}) is no longitude and latitude in degrees.")
        if points:
            lon -= 360.0 * round((lon - points[-1][0]) / 360.0)
        points.append((lon, lat))
    if len(points) < 4:
        raise ValueError("a ring needs at least four points, the last like the first.")
    return points


def _folded(area: Any) -> Any:
    """What lies beyond +-180 degrees, moved to the other side."""
    parts = []
    for turn in (-1, 0, 1):
        part = shapely.intersection(area, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        if not part.is_empty:
            parts.append(translate(part, -360.0 * turn))
    return shapely.union_all(parts)
