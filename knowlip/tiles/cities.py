"""`knowlip cities`: pick cities worldwide for a data set, with an area of interest each, and draw what they cover."""

import csv
import io
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from knowlip.base.files import whole_file, write_json
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.scenes.scene import lonlat_polygon
from knowlip.tiles.cities_map import draw
from knowlip.tiles.cities_pick import Candidates, candidates, pick
from knowlip.tiles.gazetteers import airports, country_code, country_name, distance_km, ports, towns
from knowlip.tiles.places import resolve_place

THEMES = ("", "port", "airport", "urban")
CSV, GEOJSON, MAP = "cities.csv", "cities.geojson", "cities.png"


@dataclass(frozen=True)
class CitiesConfig:
    """Which cities, and how large the area of each."""

    out: Path = Path("cities")
    """Folder for cities.csv, cities.geojson (areas) and cities.png (map)."""
    number: int = 135
    """How many cities."""
    theme: str = ""
    """"port", "airport" or "urban": what makes a city important. Empty: all three."""
    country: list[str] = field(default_factory=list)
    """Only these countries: names or ISO codes."""
    near: str = ""
    """Only near this place: "lon,lat" or a name, as in "Rotterdam, Netherlands"."""
    near_km: float = 1000.0
    """How near."""
    min_distance_km: float = 200.0
    """Smallest distance between two cities."""
    side_km: float = 20.0
    """Side of the square area of interest of a city."""
    dataset: Path | None = None
    """A data set whose tiles are counted by city and drawn on the map."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number must be at least 1, not {self.number}.")
        if self.theme not in THEMES:
            raise ValueError(f'theme must be "port", "airport" or "urban", not {self.theme!r}.')
        for name in ("near_km", "side_km"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value}.")
        if self.side_km > 500:
            raise ValueError(f"side_km must be at most 500, not {self.side_km:g}.")
        if not (math.isfinite(self.min_distance_km) and self.min_distance_km >= 0):
            raise ValueError(f"min_distance_km must be at least 0, not {self.min_distance_km}.")


def cities(config: CitiesConfig) -> dict[str, Any]:
    """Pick cities and write the list, their areas of interest and a map.

    Returns:
        {"cities": [{"name", "country", "country_code", "region", "lon", "lat", "score", "port_score", "airport_score",
        "urban_score", "name_score", "port", "port_km", "airport", "iata", "airport_km", "area_lon", "area_lat",
        "tiles"}], "countries", "files", "dataset", "covered", "tiles_elsewhere"}; the last three are empty or None
        without a data set, as `tiles` is.

    Raises:
        ValueError: settings that cannot work, an unknown country or place, no city that fits, no data set.
    """
    # Everything that can be refused is looked at before the folder is made: a wrong name leaves nothing behind.
    found = candidates()
    chosen = pick(_allowed(config, found), config.theme, config.number, config.min_distance_km)
    if not chosen:
        raise ValueError("No city fits: allow more countries, a larger near_km, or another theme.")
    if len(chosen) < config.number:
        say(f"  {len(chosen)} cities fit, not {config.number}; a smaller min_distance_km lets more in")
    rows = [_row(found, i, config.theme) for i in chosen]
    areas = [square(row["area_lon"], row["area_lat"], config.side_km) for row in rows]
    tiles = _tile_places(config.dataset) if config.dataset else None
    elsewhere = _count_tiles(rows, areas, tiles) if tiles is not None else None
    config.out.mkdir(parents=True, exist_ok=True)
    files = [config.out / name for name in (CSV, GEOJSON, MAP)]
    _write_csv(files[0], rows)
    write_json(files[1], _collection(rows, areas))
    draw(files[2], rows, tiles)
    return {
        "cities": rows,
        "countries": len({row["country_code"] for row in rows}),
        "files": [str(file) for file in files],
        "dataset": str(config.dataset or ""),
        "covered": sum(bool(row["tiles"]) for row in rows) if tiles is not None else None,
        "tiles_elsewhere": elsewhere,
    }


def show(result: dict[str, Any]) -> str:
    """The result for people: the list by importance, and where the files are."""
    rows = result["cities"]
    width = max(len(row["name"]) for row in rows)
    lines = []
    for row in rows:
        near = [f"port {row['port']}" if row["port"] else "", row["iata"]]
        tiles = "" if row["tiles"] is None else f"  {row['tiles']:>6} tiles"
        lines.append(
            f"{row['name']:{width}}  {row['country_code']}  {row['lon']:9.4f} {row['lat']:8.4f}  {row['score']:.2f}"
            f"{tiles}  {', '.join(part for part in near if part)}"
        )
    most = ", ".join(f"{code} {n}" for code, n in Counter(row["country_code"] for row in rows).most_common(5))
    lines.append(f"{len(rows)} cities in {result['countries']} countries (most: {most})")
    if result["dataset"]:
        lines.append(
            f"{result['dataset']} covers {result['covered']} of them; {result['tiles_elsewhere']} tiles lie elsewhere"
        )
    return "\n".join([*lines, f"written: {', '.join(result['files'])}"])


def square(lon: float, lat: float, side_km: float) -> shapely.Geometry:
    """Square around a point, sides north-south and east-west at its centre; two parts across the antimeridian.

    The square is drawn in an azimuthal equidistant projection of the point, so that its sides are true to scale.
    """
    half = side_km * 500.0
    local = f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84"
    back = Transformer.from_crs(local, 4326, always_xy=True)
    steps = np.linspace(-half, half, 9)[:-1]
    ends = np.full(8, half)
    xs, ys = np.concatenate([steps, ends, -steps, -ends]), np.concatenate([-ends, steps, ends, -steps])
    return lonlat_polygon(*(np.round(values, 6) for values in back.transform(xs, ys)))


def _allowed(config: CitiesConfig, found: Candidates) -> NDArray[np.bool_]:
    t = towns()
    allowed = np.ones(len(found.town), bool)
    if config.country:
        codes = {text: country_code(text) for text in config.country}
        for text, code in codes.items():
            if not code:
                raise ValueError(f"There is no country {text!r}; give a name or an ISO 3166 code such as NL.")
        allowed &= np.isin([t.countries[i] for i in found.town], list(codes.values()))
    if config.near:
        _, lon, lat = resolve_place(config.near)
        allowed &= distance_km(t.lons[found.town], t.lats[found.town], lon, lat) <= config.near_km
    return allowed


def _row(found: Candidates, i: int, theme: str) -> dict[str, Any]:
    # The area lies around what makes the city important: a port's basins may be 30 km from the town's centre.
    t, a, p = towns(), airports(), ports()
    town, port, airport = int(found.town[i]), int(found.port[i]), int(found.airport[i])
    lon, lat = float(t.lons[town]), float(t.lats[town])
    row: dict[str, Any] = {
        "name": t.names[town],
        "country": country_name(t.countries[town]),
        "country_code": t.countries[town],
        "region": t.regions[town],
        "lon": lon,
        "lat": lat,
        "score": round(float(found.score(theme)[i]), 4),
        "port_score": round(float(found.port_score[i]), 4),
        "airport_score": round(float(found.airport_score[i]), 4),
        "urban_score": round(float(found.urban_score[i]), 4),
        "name_score": round(float(found.name_score[i]), 4),
    }
    center = lon, lat
    for kind, gazetteer, k in (("port", p, port), ("airport", a, airport)):
        there = k >= 0
        row[kind] = gazetteer.names[k] if there else ""
        if kind == "airport":
            row["iata"] = gazetteer.codes[k][0] if there else ""
        row[f"{kind}_km"] = (
            round(float(distance_km(lon, lat, gazetteer.lons[k], gazetteer.lats[k])), 1) if there else None
        )
        if there and theme == kind:
            center = float(gazetteer.lons[k]), float(gazetteer.lats[k])
    return {**row, "area_lon": center[0], "area_lat": center[1], "tiles": None}


def _tile_places(dataset: Path) -> NDArray[np.float64]:
    """(N, 2) longitudes and latitudes of the accepted tiles whose place is known."""
    rows = Dataset(dataset).tiles()
    places = rows[["lon", "lat"]].to_numpy(np.float64)
    return places[np.isfinite(places).all(axis=1)]


def _count_tiles(rows: list[dict[str, Any]], areas: list[shapely.Geometry], places: NDArray[np.float64]) -> int:
    """Fill in how many tiles have their centre in a city's area; return how many lie in none."""
    tree = shapely.STRtree(areas)
    tile, area = tree.query(shapely.points(places), predicate="intersects")
    for number, row in enumerate(rows):
        row["tiles"] = int((area == number).sum())
    return len(places) - len(np.unique(tile))


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def _collection(rows: list[dict[str, Any]], areas: list[shapely.Geometry]) -> dict[str, Any]:
    """GeoJSON of the areas, as `screen.area` of a build reads it."""
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": row, "geometry": json.loads(shapely.to_geojson(area))}
            for row, area in zip(rows, areas)
        ],
    }
