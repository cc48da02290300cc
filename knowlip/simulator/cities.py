"""Real cities that lend the scenes their coordinates: centre, airport and, on the coast, port (longitude, latitude).

`cities.csv` holds 135: twelve spread by hand over coasts, climates and continents, then the first of `knowlip cities`
(towns of GeoNames, airports of airportsdata, ports of searoute).
"""

import csv
from pathlib import Path
from typing import Final, NamedTuple

from knowlip.simulator.shapes import Point


class City(NamedTuple):
    """One city; `port` is None inland."""

    name: str
    centre: Point
    airport: Point
    port: Point | None


def _read() -> tuple[City, ...]:
    with Path(__file__).with_name("cities.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))

    def point(row: dict[str, str], what: str = "") -> Point:
        return float(row[f"{what}lon"]), float(row[f"{what}lat"])

    ports = [point(row, "port_") if row["port_lon"] else None for row in rows]
    return tuple(City(row["name"], point(row), point(row, "airport_"), port) for row, port in zip(rows, ports))


CITIES: Final[tuple[City, ...]] = _read()
