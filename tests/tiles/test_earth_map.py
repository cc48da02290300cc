"""Climate zones and the distance to the sea at places that are well known."""

import math

import pytest

from knowlip.tiles.earth_map import climate_zone, coast


@pytest.mark.parametrize(
    ("lon", "lat", "zone"),
    [
        (4.48, 51.92, "Cfb"),  # Rotterdam
        (103.82, 1.35, "Af"),  # Singapore
        (-104.7, 39.86, "BSk"),  # Denver
        (31.24, 30.04, "BWh"),  # Cairo
        (23.73, 37.98, "Csa"),  # Athens
        (37.62, 55.75, "Dfb"),  # Moscow
        (-95.4, 29.76, "Cfa"),  # Houston
        (-40.0, 75.0, "EF"),  # Greenland's ice
        (-150.0, 0.0, ""),  # mid-Pacific
        (179.99, 89.99, ""),  # the pole, where the picture has a legend
        (-180.0, 90.0, ""),
    ],
)
def test_climate_zones_are_those_of_the_textbook(lon: float, lat: float, zone: str) -> None:
    assert climate_zone(lon, lat) == zone


@pytest.mark.parametrize(
    ("lon", "lat", "low", "high"),
    [
        (4.0, 51.95, 0.0, 6.0),  # Maasvlakte
        (103.99, 1.36, 0.0, 6.0),  # Changi
        (0.7, 49.75, 8.0, 18.0),  # behind Saint-Valery-en-Caux
        (-0.1, 51.5, 25.0, 60.0),  # London to the estuary
        (-95.37, 29.76, 30.0, 60.0),  # Houston
        (-104.67, 39.86, math.inf, math.inf),  # Denver
        (50.5, 42.0, math.inf, math.inf),  # the Caspian is a lake
        (-87.0, 43.0, math.inf, math.inf),  # so is Lake Michigan
        (-150.0, 0.0, -math.inf, -math.inf),
        (0.0, 90.0, -math.inf, -math.inf),
        (0.0, -90.0, math.inf, math.inf),
        (2.6, 51.6, -60.0, -35.0),  # off Ostend
    ],
)
def test_distance_to_the_coast_has_its_sign(lon: float, lat: float, low: float, high: float) -> None:
    assert low <= coast(lon, lat).km <= high


def test_islands_are_told_from_mainland() -> None:
    assert coast(14.4, 35.9).island  # Malta
    assert coast(139.7, 35.7).island  # Honshu
    assert not coast(4.48, 51.92).island
    assert not coast(134.0, -25.0).island  # Australia is a continent


def test_nothing_breaks_at_the_antimeridian() -> None:
    west, east = coast(-179.99, 65.8), coast(179.99, 65.8)
    assert math.copysign(1, west.km) == math.copysign(1, east.km)
    assert abs(abs(west.km) - abs(east.km)) < 8.0


def test_distance_agrees_with_a_ruler() -> None:
    """Along a parallel from the Pacific coast of Chile, where it runs from north to south."""
    near, far = coast(-71.0, -28.0).km, coast(-70.5, -28.0).km
    ruler = 0.5 * 111.32 * math.cos(math.radians(28.0))
    assert far - near == pytest.approx(ruler, abs=6.0)
