"""What is said of known places, and that nothing is said of unknown ones."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.knowledge import dimensions_of, earth, social
from knowlip.annotators.measured.knowledge.names import MOST_CHARACTERS, clean_name
from knowlip.annotators.measured.knowledge.surroundings import airport_kind, rounded_km, surroundings
from knowlip.annotators.measured.knowledge.world import region_of_country, sea_off
from knowlip.annotators.types import TileRequest
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.statements import Statement
from knowlip.language.wordings import STANDARD, topics_of
from knowlip.simulator.cities import CITIES

PLACES = {
    "Rotterdam": (4.48, 51.92),
    "Denver": (-104.67, 39.86),
    "Nairobi": (36.92, -1.32),
    "Changi": (103.99, 1.36),
    "Singapore": (103.82, 1.35),
    "mid-Pacific": (-150.0, 0.0),
    "antimeridian": (180.0, 65.0),
    "north pole": (0.0, 90.0),
    "south pole": (0.0, -90.0),
    "Sahara": (5.0, 24.0),
    "El Paso": (-106.48, 31.75),
    "Malta": (14.4, 35.9),
}


def request_at(lon: float, lat: float, **more: object) -> TileRequest:
    image = np.full((16, 16), 100, np.uint8)
    base = TileRequest("tile", image, 1.0, "large", "sim-x", "X", lon, lat, {"city": "somewhere"})
    return replace(base, **more)  # type: ignore[arg-type]


def said(name: str) -> dict[str, Statement]:
    return {statement.topic: statement for statement in earth.statements(request_at(*PLACES[name]))}


def test_rotterdam_has_its_port_sea_and_climate() -> None:
    found = said("Rotterdam")
    assert found["port-hub"].slots["port"] == "Rotterdam"
    assert int(str(found["port-hub"].slots["links"])) > 50
    assert found["sea-name"].slots == {"sea": "North Sea"}
    assert found["place-region"].slots == {"region": "South Holland", "country": "the Netherlands"}
    assert "climate-oceanic" in found
    assert "town-in" in found
    assert found["utm-zone"].slots == {"zone": "31"}


def test_denver_lies_inland_beside_an_international_airport() -> None:
    found = said("Denver")
    assert found["airport-international"].slots == {
        "airport": "Denver International Airport"
    }  # no distance: it is there
    assert "coast-inland" in found
    assert "climate-steppe-cold" in found
    assert "sea-name" not in found
    assert found["city-principal"].slots["city"] == "Denver"


def test_nairobi_is_a_tropical_highland_without_sea() -> None:
    found = said("Nairobi")
    assert found["place-part"].slots == {"part": "Eastern Africa"}
    assert "climate-highland" in found
    assert "climate-oceanic" not in found
    assert "latitude-equatorial" in found
    assert not any(topic.startswith("port-") for topic in found)


def test_a_nearest_town_across_the_strait_does_not_move_the_country() -> None:
    """The town nearest to Changi airport is in Malaysia by some gazetteers; airport and port say otherwise."""
    assert said("Changi")["place-country"].slots == {"country": "Singapore"}
    for name, pair in {"Singapore": {"Singapore", "Malaysia"}, "El Paso": {"the United States", "Mexico"}}.items():
        assert set(said(name)["place-border"].slots.values()) == pair


def test_the_open_ocean_has_no_country_and_no_region() -> None:
    found = said("mid-Pacific")
    assert found["sea-name"].slots == {"sea": "Pacific Ocean"}
    assert "coast-ocean" in found
    assert not any(topic.startswith(("place-", "climate-", "airport-", "port-")) for topic in found)


def test_poles_and_antimeridian() -> None:
    assert {"coast-ocean", "latitude-polar", "sea-name"} <= said("north pole").keys()
    assert {"coast-inland", "climate-ice", "latitude-polar"} <= said("south pole").keys()
    assert "climate-tundra" in said("antimeridian")
    assert said("antimeridian").keys() == {statement.topic for statement in earth.statements(request_at(-180.0, 65.0))}
    for lon in (180.0, -180.0, 540.0):
        assert earth.statements(request_at(lon, 65.0)) == earth.statements(request_at(180.0, 65.0))


def fitting(name: str, category: str | None = None, **shares: float) -> set[str]:
    targets = (Target(category, 0.5, 0.5, 40.0, 8.0, 20.0, "tanker"),) if category else ()
    evidence = TileEvidence(256.0, targets, shares, (shares,) * 9)
    known = earth.statements(request_at(*PLACES[name]))
    return {one.topic for one in earth.fitting(known, evidence)}


def test_airports_are_named_where_they_show_and_ports_where_water_does() -> None:
    assert "airport-international" in fitting("Denver", "aircraft", apron=0.3)
    assert "airport-international" in fitting("Denver", runway=0.1, grass=0.8)
    assert "airport-international" not in fitting("Denver", field=0.9)
    assert {"port-hub", "sea-name"} <= fitting("Rotterdam", "ship", water=0.6)
    assert not {"port-hub", "sea-name"} & fitting("Rotterdam", field=0.9)
    assert "port-hub" not in fitting("Rotterdam", "aircraft", apron=0.5)


def test_on_open_water_the_way_to_the_sea_is_not_told() -> None:
    assert "coast-inland" in fitting("Denver", field=1.0)
    assert "coast-inland" not in fitting("Denver", water=0.95)


def test_closed_airports_and_distances_within_an_airport_are_not_told() -> None:
    names = {airport.name for airport in surroundings(31.02, -29.88).airports}  # old Durban airport
    assert names
    assert "Durban International Airport" not in names
    (near,) = (one for one in earth.statements(request_at(-104.70, 39.86)) if one.topic == "airport-international")
    assert near.slots == {"airport": "Denver International Airport"}
    (far,) = (one for one in earth.statements(request_at(-104.80, 39.86)) if one.topic == "airport-international")
    assert int(str(far.slots["km"])) > 8


def test_remote_places_are_called_so() -> None:
    assert int(str(said("Sahara")["town-remote"].slots["km"])) >= 100
    assert "place-country" not in said("Sahara")


def test_an_island_is_an_island() -> None:
    assert "coast-island" in said("Malta")
    assert "coast-island" not in said("Rotterdam")


@pytest.mark.parametrize(
    "unknown",
    [
        {"lon": math.nan, "lat": math.nan},
        {"lon": math.nan},
        {"lat": math.nan},
        {"lat": math.inf},
        {"place": {}},
        {"place": {"city": "", "country": ""}},
    ],
)
def test_of_an_unknown_place_nothing_is_said(unknown: dict[str, object]) -> None:
    request = replace(request_at(4.48, 51.92), **unknown)  # type: ignore[arg-type]
    assert earth.statements(request) == []
    for function in ("airport", "port", "farmland", "forest", "open water", "urban", "mixed"):
        statements = social.statements(request, function)  # type: ignore[arg-type]
        assert statements
        assert all(statement.evidence == "prior" for statement in statements)
        assert not any(statement.slots for statement in statements)


def test_farming_follows_the_climate() -> None:
    def use(name: str) -> str:
        return social.statements(request_at(*PLACES[name]), "farmland")[0].topic

    assert [use(name) for name in ("Rotterdam", "Denver", "Nairobi", "Sahara", "Changi")] == [
        "farm-oceanic",
        "farm-steppe",
        "farm-highland",
        "farm-oasis",
        "farm-wet-tropics",
    ]


def test_use_follows_the_kind_of_airport_and_port() -> None:
    assert social.statements(request_at(*PLACES["Denver"]), "airport")[0].topic == "use-airport-international"
    assert social.statements(request_at(*PLACES["Rotterdam"]), "port")[0].topic == "use-port-hub"
    assert social.statements(request_at(*PLACES["Denver"]), "port")[0].topic == "use-port"  # a depot is no harbour
    assert social.statements(request_at(*PLACES["mid-Pacific"]), "open water")[0].topic == "use-ocean"
    assert social.statements(request_at(*PLACES["Denver"]), "open water")[0].topic == "use-inland-water"


def test_a_part_of_a_big_port_is_not_a_small_port() -> None:
    """Europoort has no liner services of its own in the gazetteer, Rotterdam 20 km away has all of them."""
    assert social.statements(request_at(4.14, 51.95), "port")[0].topic in ("use-port", "use-port-hub")


def test_few_listed_towns_beside_a_big_city_are_not_called_few_people() -> None:
    """The gazetteer lists hardly ten places around Nairobi and Denver."""
    for name in ("Nairobi", "Denver"):
        assert not any(one.topic.startswith("settled") for one in social.statements(request_at(*PLACES[name]), "urban"))
    dense = {one.topic: one for one in social.statements(request_at(*PLACES["Rotterdam"]), "urban")}
    assert dense["settled-dense"].evidence == "geo"


@pytest.mark.parametrize(
    ("name", "iata", "kind"),
    [
        ("Denver International Airport", "DEN", "international"),
        ("George Bush Intcntl/Houston Airport", "IAH", "international"),
        ("Rotterdam Airport", "RTM", "civil"),
        ("Seppe Airport", "", "field"),
        ("Tengah Air Base", "TGA", "military"),
        ("RAF Lakenheath", "LKZ", "military"),
        ("Base Aerea de Santos Airport", "SSZ", "military"),
    ],
)
def test_kinds_of_airports(name: str, iata: str, kind: str) -> None:
    assert airport_kind(name, iata) == kind


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("St. Louis", "St Louis"),
        ("George Bush Intcntl/Houston Airport", "George Bush Intercontinental-Houston"),
        ("Frankfurt (Oder)", "Frankfurt"),
        ("Washington, D.C.", "Washington"),
        ("Václav Havel", "Václav Havel"),
        ("Xi'an", "Xi'an"),
        ("東京", "東京"),
        ("x", ""),
        ("12; 34", ""),
        ("...", ""),
        ("Harbour. Three ships: upper left; ignore this", "Harbour Three ships upper left ignore"),
        ("<b>{km}</b>[a|b]", "b km -b"),
        ("a\nb\x00cd\u202eef", "a b cd ef"),
        ("Aaaa " * 30, "Aaaa Aaaa Aaaa Aaaa Aaaa Aaaa Aaaa Aaaa"),
    ],
)
def test_names_are_cleaned(name: str, clean: str) -> None:
    result = clean_name(name)
    assert len(result) <= MOST_CHARACTERS
    assert not re.search(r"[.:;,!?{}\[\]|<>\n]", result)
    if name != "<b>{km}</b>[a|b]":
        assert result == clean


def test_distances_are_said_as_well_as_they_are_known() -> None:
    assert [rounded_km(km) for km in (0.0, 1.4, 1.6, 12.4, 23.0, 97.9, 148.0)] == [
        None,
        None,
        "2",
        "12",
        "25",
        "100",
        "150",
    ]


def test_names_of_all_gazetteers_fit_into_a_sentence() -> None:
    """Some tens of places from the whole Earth, all words that are said of them."""
    grammar, chance = Grammar.standard(), np.random.default_rng(3)
    for lon, lat in zip(chance.uniform(-180, 180, 60), chance.uniform(-70, 75, 60)):
        for statement in earth.statements(request_at(float(lon), float(lat))):
            text = grammar.say(statement, "key")
            assert not re.search(r"\.\s|[:;{}\[\]|]", text)
            assert len(text) < 200


@pytest.mark.parametrize("file", ["earth", "social", "radar", "calibration"])
def test_every_topic_stands_under_dimensions_that_there_are(file: str) -> None:
    for topic in topics_of(STANDARD / f"{file}.yaml")[0]:
        for kind in InstructionSet:
            assert dimensions_of(topic, kind), topic
            assert set(dimensions_of(topic, kind)) <= set(DIMENSIONS[kind])


def test_parts_of_the_world() -> None:
    assert region_of_country("KE") == ("Eastern Africa", "Africa")
    assert region_of_country("RU") == region_of_country("") == ("", "")
    assert sea_off(3.0, 54.0) == "North Sea"
    assert sea_off(-64.8, 12.0) == "Caribbean Sea"
    assert sea_off(0.0, 80.0)


def test_places_are_quick_when_the_gazetteers_are_read() -> None:
    import time

    surroundings(0.0, 0.0)
    started = time.process_time()
    for step in range(50):
        surroundings(4.0 + step / 100, 51.5)
    assert (time.process_time() - started) / 50 < 0.006  # twice what it may take, for a busy machine


def test_all_that_is_known_of_a_place_has_a_wording() -> None:
    """Cities of the simulator and points around them: ports with and without liner services, islands, polar land."""
    grammar = Grammar.standard()
    topics = set()
    for city in CITIES[::3]:
        for east in (0.0, 0.3):
            for statement in earth.statements(request_at(city.centre[0] + east, city.centre[1])):
                assert grammar.fitting(statement), statement
                topics.add(statement.topic)
    assert {"port-hub", "port-liner", "port-small", "port-inland"} <= topics
