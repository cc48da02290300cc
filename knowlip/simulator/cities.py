"""Real cities that lend the scenes their coordinates: centre, airport and, on the coast, port (longitude, latitude).

`cities.csv` holds 135: twelve spread by hand over coasts, climates and continents, then the first of `knowlip cities`
(towns of GeoNames, airports of airportsdata, ports of searoute).
"""

import csv
from pathlib import Path
from typing import Final, NamedTuple

Place = tuple[float, float]


class City(NamedTuple):
    """One city; `port` is None inland."""

    name: str
    centre: Place
    airport: Place
    port: Place | None


def _read() -> tuple[City, ...]:
    with Path(__file__).with_name("cities.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return tuple(
        City(
            row["name"],
            (float(row["lon"]), float(row["lat"])),
            (float(row["airport_lon"]), float(row["airport_lat"])),
            (float(row["port_lon"]), float(row["port_lat"])) if row["port_lon"] else None,
        )
        for row in rows
    )


CITIES: Final[tuple[City, ...]] = _read()
