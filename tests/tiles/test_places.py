"""Gazetteer look-ups: known places, distances against a haversine, the antimeridian, speed."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest

from knowlip.tiles.places import country_name, describe_places, resolve_place

ROTTERDAM, SCHIPHOL, SINGAPORE = (4.4792, 51.9225), (4.7639, 52.3086), (103.82, 1.265)


def haversine(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    a, b, c, d = map(math.radians, (lon1, lat1, lon2, lat2))
    h = math.sin((d - b) / 2) ** 2 + math.cos(b) * math.cos(d) * math.sin((c - a) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))


def test_known_places() -> None:
    rotterdam, schiphol, singapore = describe_places(*zip(ROTTERDAM, SCHIPHOL, SINGAPORE))
    assert rotterdam["country"] == schiphol["country"] == "Netherlands"
    assert rotterdam["city"] == "Rotterdam"
    assert rotterdam["region"] == "South Holland"
    assert rotterdam["city_km"] < 2
    assert rotterdam["port"] == "Rotterdam"
    assert "Rotterdam" in rotterdam["airport"]
    assert "Schiphol" in schiphol["airport"]
    assert schiphol["airport_km"] < 2
    assert singapore["country"] == "Singapore"
    assert singapore["port_km"] < 10


def test_keys_types_and_finiteness() -> None:
    for place in describe_places([0.0, -140.0, 0.0], [0.0, -48.0, -90.0]):  # mid-ocean and the pole as well
        assert list(place) == ["country", "region", "city", "city_km", "airport", "airport_km", "port", "port_km"]
        for key, value in place.items():
            assert isinstance(value, float if key.endswith("_km") else str)
            assert not key.endswith("_km") or (math.isfinite(value) and value >= 0)


def test_distance_is_great_circle() -> None:
    # Point Nemo: the nearest land is about 2,690 km away, the nearest town farther
    place = describe_places([-123.3933], [-48.8767])[0]
    assert 2600 < place["city_km"] < 3200
    # one degree of longitude east of the town's own point, at its latitude
    town = describe_places([ROTTERDAM[0]], [ROTTERDAM[1]])[0]
    assert town["city_km"] == pytest.approx(haversine(*ROTTERDAM, 4.47917, 51.9225), abs=0.1)


def test_antimeridian_neighbours_are_near() -> None:
    # Taveuni (Fiji) straddles 180 degrees: seen from either side, the same town at about the same distance
    west, east, wrapped = describe_places([179.99, -179.99, 180.01], [-16.85, -16.85, -16.85])
    assert west["country"] == east["country"] == "Fiji"
    assert west["airport"] == east["airport"]
    assert abs(west["airport_km"] - east["airport_km"]) < 2.2
    assert wrapped == east


def test_only_airports_with_runways() -> None:
    rng = np.random.default_rng(0)
    places = describe_places(rng.uniform(-125, -70, 200), rng.uniform(26, 49, 200))
    assert not any("Heliport" in place["airport"] or "Seaplane" in place["airport"] for place in places)


def test_country_names_are_everyday_names() -> None:
    assert [country_name(code) for code in ("NL", "VN", "KR", "XK", "TW")] == [
        "Netherlands",
        "Vietnam",
        "South Korea",
        "Kosovo",
        "Taiwan",
    ]
    assert country_name("NA") == "Namibia"  # not a missing value
    assert country_name("??") == "??"


def test_empty_and_bad_input() -> None:
    assert describe_places([], []) == []
    with pytest.raises(ValueError, match="as many"):
        describe_places([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="finite"):
        describe_places([float("nan")], [1.0])
    with pytest.raises(ValueError, match="between -90 and 90"):
        describe_places([1.0], [91.0])


def test_thousands_of_points_are_fast_and_quiet() -> None:
    rng = np.random.default_rng(1)
    describe_places([0.0], [0.0])
    started = time.perf_counter()
    assert len(describe_places(rng.uniform(-180, 180, 5000), rng.uniform(-90, 90, 5000))) == 5000
    assert time.perf_counter() - started < 2.0
    code = "import sys; from knowlip.tiles.places import describe_places as d; d([4], [52])"
    code += "; print('searoute' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "lon", "lat", "within_km"),
    [  # coordinates from national maps and aeronautical charts, not from the gazetteers
        ("Rotterdam, Netherlands", 4.48, 51.92, 5),
        ("rotterdam, nl", 4.48, 51.92, 5),
        ("NLRTM", 4.4, 51.92, 15),
        ("port of Antwerpen", 4.38, 51.25, 15),
        ("AMS", 4.7639, 52.3086, 2),
        ("EHAM", 4.7639, 52.3086, 2),
        ("Schiphol", 4.7639, 52.3086, 2),
        ("Changi", 103.9893, 1.3592, 3),
        ("São Paulo, BR", -46.633, -23.55, 10),
        ("Springfield, Illinois", -89.65, 39.8, 5),
        ("Washington, D.C., US", -77.04, 38.9, 10),
        ("Shanghai", 121.47, 31.23, 10),
        ("4.5, 51.9", 4.5, 51.9, 0.001),
    ],
)
def test_named_places(text: str, lon: float, lat: float, within_km: float) -> None:
    name, found_lon, found_lat = resolve_place(text)
    assert name
    assert haversine(lon, lat, found_lon, found_lat) < within_km


def test_a_name_of_several_places_is_refused_with_names_that_work() -> None:
    with pytest.raises(ValueError, match=r"2 places named 'Rotterdam'") as caught:
        resolve_place("Rotterdam")
    offered = str(caught.value).split("'")[3::2]
    assert [resolve_place(name)[0] for name in offered] == offered
    assert any("Netherlands" in name for name in offered)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Roterdam", "did you mean .*Rotterdam"),
        ("Rotterdam, Japan", "no 'Rotterdam' in 'Japan'; known are .*Netherlands"),
        ("Qqqqqqx", "knows no place named 'Qqqqqqx'"),
        ("", "names no place"),
        ("120,95", "longitude .* comes first"),
    ],
)
def test_unknown_places_are_refused_with_suggestions(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_place(text)
