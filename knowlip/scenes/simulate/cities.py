"""Real cities that lend the scenes their coordinates: centre, airport and, on the coast, port (longitude, latitude)."""

from typing import Final, NamedTuple

Place = tuple[float, float]


class City(NamedTuple):
    """One city; `port` is None inland."""

    name: str
    centre: Place
    airport: Place
    port: Place | None


CITIES: Final[tuple[City, ...]] = (
    City("rotterdam", (4.48, 51.92), (4.44, 51.96), (4.14, 51.95)),
    City("madrid", (-3.70, 40.42), (-3.57, 40.49), None),
    City("singapore", (103.82, 1.35), (103.99, 1.36), (103.77, 1.28)),
    City("durban", (31.02, -29.86), (31.12, -29.61), (31.03, -29.88)),
    City("denver", (-104.99, 39.74), (-104.67, 39.86), None),
    City("santos", (-46.33, -23.96), (-46.30, -23.93), (-46.30, -23.98)),
    City("yokohama", (139.64, 35.44), (139.78, 35.55), (139.66, 35.45)),
    City("nairobi", (36.82, -1.29), (36.93, -1.32), None),
    City("houston", (-95.37, 29.76), (-95.34, 29.98), (-95.00, 29.68)),
    City("melbourne", (144.96, -37.81), (144.84, -37.67), (144.91, -37.83)),
    City("prague", (14.42, 50.09), (14.26, 50.10), None),
    City("shanghai", (121.47, 31.23), (121.81, 31.14), (121.60, 31.37)),
)
