"""Outlines of objects from vector files of others: GeoJSON and GeoPackage, by their first bytes, and nothing else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas
import pyogrio
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from knowlip.base.documents import read_json
from knowlip.scenes.opening import require_file

_SQLITE: Final = b"SQLite format 3\0"
_MOST_OBJECTS: Final = 1_000_000
_MOST_BYTES: Final = 2**30
_LONGEST: Final = 100
"""Characters of a category."""


@dataclass(frozen=True)
class MapObjects:
    """Objects of a vector file."""

    objects: Sequence[tuple[shapely.Polygon, str]]
    """Outline in `crs`, and category."""
    crs: CRS
    dropped: Counter[str]
    """Why others are not among them -> how many."""


def read_objects(path: Path, category: str, category_is: str) -> MapObjects:
    """Read outlines with their categories. Several polygons of one object are as many objects.

    Args:
        path: a GeoJSON (RFC 7946, or with the `crs` of its draft) or a GeoPackage of one layer.
        category: field that says what an object is.
        category_is: what all are; the field is not looked at.

    Raises:
        ValueError: another kind of file, one that is broken or too large, or no object has the field.
    """
    require_file(path)
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} has more than 1 GiB: give the part of it that lies on the tiles.")
    # The first bytes decide, not the name: GDAL would try every driver that it has on a file of another kind.
    with path.open("rb") as stream:
        start = stream.read(16)
    shapes, fields, crs = _geopackage(path) if start == _SQLITE else _geojson(path)
    if len(shapes) > _MOST_OBJECTS:
        raise ValueError(f"{path} holds {len(shapes):,} objects; {_MOST_OBJECTS:,} are read at most.")
    if shapes and not category_is and not any(category in one for one in fields):
        known = sorted({name for one in fields[:100] for name in one})[:10]
        raise ValueError(
            f"No object of {path} has a field {category!r} ({', '.join(known) or 'there are no fields'}): name it with "
            "--category, or say with --category_is what all of them are."
        )
    found, dropped = list[tuple[shapely.Polygon, str]](), Counter[str]()
    for shape, said in zip(shapes, fields, strict=True):
        name = category_is or str(said.get(category) or "").strip()
        outlines = _outlines(shape)
        if not outlines:
            dropped["no outline (a point, a line, nothing, or no area)"] += 1
        elif not name or len(name) > _LONGEST or not name.isprintable():
            dropped["no category, or one that is no plain name"] += len(outlines)
        else:
            found += [(outline, name) for outline in outlines]
    return MapObjects(found, crs, dropped)


def _outlines(shape: Any) -> list[shapely.Polygon]:
    parts = [shape] if isinstance(shape, shapely.Polygon) else getattr(shape, "geoms", ())
    polygons = [part for part in parts if isinstance(part, shapely.Polygon)]
    whole = [part if part.is_valid else part.convex_hull for part in polygons]
    return [part for part in whole if isinstance(part, shapely.Polygon) and part.area > 0]


def _geojson(path: Path) -> tuple[list[Any], list[dict[str, Any]], CRS]:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise ValueError(f"{path} is neither a GeoJSON FeatureCollection nor a GeoPackage.")
    shapes, fields = [], []
    for number, feature in enumerate(document["features"]):
        said = feature.get("properties") if isinstance(feature, dict) else None
        try:
            shape = shapely.geometry.shape(feature["geometry"]) if feature["geometry"] is not None else None
        except Exception as error:  # shapely raises whatever its parts meet in coordinates that are none
            raise ValueError(f"{path}: object {number} has no geometry that can be read ({error!r}).") from error
        shapes.append(shape)
        fields.append(said if isinstance(said, dict) else {})
    return shapes, fields, _crs_of(document, path)


def _crs_of(document: dict[str, Any], path: Path) -> CRS:
    """Longitude and latitude, as RFC 7946 has it; the draft before it could name another."""
    said = document.get("crs")
    if said is None:
        return CRS.from_epsg(4326)
    name = said.get("properties", {}).get("name") if isinstance(said, dict) else None
    try:
        return CRS.from_user_input(str(name))
    except CRSError:
        raise ValueError(f"{path} names a CRS that is not known: {str(name)[:80]!r}.") from None


def _geopackage(path: Path) -> tuple[list[Any], list[dict[str, Any]], CRS]:
    try:
        layers = pyogrio.list_layers(path)
        if len(layers) != 1:
            raise ValueError(f"{path} has {len(layers)} layers; give a GeoPackage of one.")
        frame = geopandas.read_file(path, engine="pyogrio", rows=_MOST_OBJECTS + 1)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError) as error:
        raise ValueError(f"{path} is no readable GeoPackage ({error}).") from error
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.crs is None:
        raise ValueError(f"{path} does not say where its objects lie: give a layer with a geometry and a CRS.")
    fields = frame.drop(columns=frame.geometry.name)
    return list(frame.geometry), [dict(zip(fields.columns, row)) for row in fields.itertuples(index=False)], frame.crs
