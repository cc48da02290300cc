"""Where tiles lie, for maps and catalogues: GeoJSON (RFC 7946), GeoPackage, and a static STAC collection with an item a
tile. Tiles of unknown place are in no map: they are counted, and an export without a single place is refused.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely

from knowlip.dataset.export.captions import caption
from knowlip.dataset.export.job import Export, ExportTile, image_place

_STAC = "1.0.0"
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/sar/v1.0.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
]
_PREFIXES = ("proj:", "sar:", "sat:", "view:")
_OWN = (
    "platform",
    "split",
    "scale",
    "city",
    "country",
    "quantity",
    "radiometry",
    "metres_per_pixel",
    "geolocation_rms_m",
)
"""Columns of the index that every format carries beside those with STAC's prefixes."""
_UNDATED = "0001-01-01T00:00:00Z"


def write_geojson(job: Export) -> None:
    """SPLIT.geojson: a feature a tile, with its footprint, its properties and its caption."""
    for split, tiles in job.splits():
        features = [
            {
                "type": "Feature",
                "id": tile.tile_id,
                "bbox": bbox_of(shape),
                "geometry": shapely.geometry.mapping(shapely.orient_polygons(shape)),
                "properties": {
                    "tile_id": tile.tile_id,
                    **facts,
                    "caption": caption(tile),
                    "objects": len(tile.objects),
                },
            }
            for tile, shape, facts in _placed(job, tiles)
        ]
        if features:
            collection = {"type": "FeatureCollection", "features": features}
            (job.out / f"{split}.geojson").write_text(json.dumps(collection, sort_keys=True, allow_nan=False) + "\n")


def write_gpkg(job: Export) -> None:
    """tiles.gpkg with the layer `tiles`: what QGIS and ArcGIS open. Lists become JSON texts."""
    import geopandas
    import pyogrio

    rows, shapes = [], []
    for tile, shape, facts in _placed(job, job.tiles):
        flat = {name: json.dumps(value) if isinstance(value, list) else value for name, value in facts.items()}
        rows.append({"tile_id": tile.tile_id, **flat, "caption": caption(tile), "objects": len(tile.objects)})
        # One kind of geometry a layer, so that every reader takes it: polygons become multi-polygons of one.
        shapes.append(shapely.multipolygons([shape]) if shape.geom_type == "Polygon" else shape)
    frame = geopandas.GeoDataFrame(rows, geometry=shapes, crs=4326)
    # The time of writing is part of the format; a fixed one gives the same bytes for the same data set.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        frame.to_file(job.out / "tiles.gpkg", layer="tiles", driver="GPKG", engine="pyogrio")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def write_stac(job: Export) -> None:
    """collection.json, and items/SPLIT/TILE.json beside images/SPLIT/TILE.png."""
    placed, name = list(_placed(job, job.tiles)), job.data.path.resolve().name or "tiles"
    links, boxes, times = [], [], []
    # Items are written one by one; of all of them only footprints and dates are kept, for the extent.
    for tile, shape, facts in placed:
        place = f"items/{tile.split}/{tile.tile_id}.json"
        path = job.out / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_item(tile, shape, facts, name), sort_keys=True, allow_nan=False) + "\n")
        links.append({"rel": "item", "href": f"./{place}", "type": "application/geo+json"})
        boxes.append(shape)
        times += [facts["datetime"]] if facts.get("datetime") else []
    job.write_images(image_place)
    interval = [_instant(min(times)), _instant(max(times))] if times else [None, None]
    collection = {
        "type": "Collection",
        "stac_version": _STAC,
        "stac_extensions": [],
        "id": name,
        "description": f"{len(placed)} tiles of synthetic aperture radar images with texts.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [bbox_of(shapely.union_all(boxes))]},
            "temporal": {"interval": [interval]},
        },
        "links": [{"rel": "root", "href": "./collection.json", "type": "application/json"}, *links],
    }
    (job.out / "collection.json").write_text(json.dumps(collection, sort_keys=True, indent=1) + "\n")


def bbox_of(shape: Any) -> list[float]:
    """West, south, east, north in degrees; west > east where the shape crosses the antimeridian, that is where it has
    parts that end at 180 degrees on either side (RFC 7946, section 5.2)."""
    west, south, east, north = (float(value) for value in shape.bounds)
    parts = shapely.bounds(shapely.get_parts(shape))
    if west > -180 or east < 180 or len(parts) < 2:
        return [west, south, east, north]
    # The widest stretch of longitudes that no part lies in is what the box leaves out.
    parts = parts[np.argsort(parts[:, 0], kind="stable")]
    reached = np.maximum.accumulate(parts[:, 2])
    gap = int(np.argmax(parts[1:, 0] - reached[:-1]))
    if parts[gap + 1, 0] <= reached[gap]:
        return [west, south, east, north]
    return [float(parts[gap + 1, 0]), south, float(reached[gap]), north]


def unplaced(job: Export) -> int:
    """Tiles whose place is unknown, which maps leave out."""
    return len(job.tiles) - sum(1 for _ in _placed(job, job.tiles, quiet=True))


def _placed(
    job: Export, tiles: list[ExportTile], quiet: bool = False
) -> Iterator[tuple[ExportTile, Any, dict[str, Any]]]:
    """Tiles with a footprint, that, and what the index says of them.

    Raises:
        ValueError: not one tile of the export has a place.
    """
    index = job.data.index.set_index("tile_id")
    known = {name for name, shape in index["geometry"].items() if shape is not None and not shape.is_empty}
    if not quiet and not any(tile.tile_id in known for tile in job.tiles):
        raise ValueError(
            f"{job.data.path} knows the place of none of these tiles, so there is nothing to put on a map."
        )
    columns = [name for name in index.columns if name in (*_OWN, "datetime") or name.startswith(_PREFIXES)]
    for tile in tiles:
        if tile.tile_id in known:
            row = index.loc[tile.tile_id]
            facts = {name: _plain(row[name]) for name in columns}
            yield tile, row["geometry"], {name: value for name, value in facts.items() if value is not None}


def _plain(value: Any) -> Any:
    """A JSON value; None for what is not known."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat().replace("+00:00", "Z")  # NaT is not itself
    return value if value not in ("", None) else None


def _instant(text: str) -> str:
    """RFC 3339 of an ISO date, or date and time (UTC where it does not say)."""
    if len(text) == len("2020-01-01"):
        return f"{text}T00:00:00Z"
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}Z"


def _item(tile: ExportTile, shape: Any, facts: dict[str, Any], collection: str) -> dict[str, Any]:
    """A STAC item. A tile without a date has `datetime` null and the range of all times, as the standard asks for."""
    properties = {name: value for name, value in facts.items() if name != "datetime"}
    properties |= {"title": tile.tile_id, "caption": caption(tile), "objects": len(tile.objects)}
    if facts.get("datetime"):
        properties["datetime"] = _instant(str(facts["datetime"]))
    else:
        properties |= {"datetime": None, "start_datetime": _UNDATED, "end_datetime": "9999-12-31T23:59:59Z"}
    up = "../" * 2
    return {
        "type": "Feature",
        "stac_version": _STAC,
        "stac_extensions": _EXTENSIONS,
        "id": tile.tile_id,
        "bbox": bbox_of(shape),
        "geometry": shapely.geometry.mapping(shapely.orient_polygons(shape)),
        "properties": properties,
        "links": [
            {"rel": "root", "href": f"{up}collection.json", "type": "application/json"},
            {"rel": "collection", "href": f"{up}collection.json", "type": "application/json"},
        ],
        "collection": collection,
        "assets": {"image": {"href": f"{up}{image_place(tile)}", "type": "image/png", "roles": ["data"]}},
    }
