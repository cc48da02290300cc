"""SAR theory is told only where what causes it was seen; brightness and texture are measured; layers are compared."""

from dataclasses import replace

import numpy as np
import pytest

from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.knowledge import calibration, radar, radiometry
from knowlip.annotators.types import TileRequest
from knowlip.language.dimensions import InstructionSet
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import COMPASS, Turn
from knowlip.language.grammar import Grammar
from knowlip.language.statements import Layer, Statement

GRAMMAR = Grammar.standard()


def image(seed: int = 0, low: int = 60, high: int = 160) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (64, 64)).astype(np.uint8)


def request_at(lon: float = 4.48, lat: float = 51.92, **more: object) -> TileRequest:
    base = TileRequest("tile", image(), 1.0, "small", "sim-x", "X", lon, lat, {"city": "somewhere"})
    return replace(base, **more)  # type: ignore[arg-type]


def evidence_of(shares: dict[str, float], *targets: Target, certainty: dict[str, float] | None = None) -> TileEvidence:
    return TileEvidence(256.0, targets, shares, (shares,) * 9, certainty or {})


def target(category: str, length: float, kind: str) -> Target:
    return Target(category, 0.5, 0.5, length, length / 5, 20.0, kind)


def theory(evidence: TileEvidence) -> set[str]:
    statements = radar.statements(request_at(), evidence)
    return {one.topic.removeprefix("theory-") for one in statements if one.topic.startswith("theory-")}


@pytest.mark.parametrize(
    ("shares", "told", "not_told"),
    [
        ({"water": 0.9}, {"water"}, {"runway", "corner", "wood", "hull"}),
        ({"runway": 0.1, "grass": 0.6}, {"runway", "grass"}, {"water", "road", "quay"}),
        ({"built-up": 0.5, "road": 0.05}, {"corner", "layover", "shadow", "road"}, {"water", "fuselage"}),
        ({"wood": 0.6, "field": 0.3}, {"wood", "field"}, {"corner", "quay"}),
        ({"water": 0.05, "wood": 0.05}, set(), {"water", "wood"}),
    ],
)
def test_scattering_is_explained_where_its_cause_was_seen(
    shares: dict[str, float], told: set[str], not_told: set[str]
) -> None:
    found = theory(evidence_of(shares))
    assert told <= found
    assert not found & not_told


def test_a_cover_that_did_not_stand_out_is_not_explained() -> None:
    assert "water" not in theory(evidence_of({"water": 0.5}, certainty={"water": 0.3}))


def test_targets_are_explained_by_their_size() -> None:
    water = {"water": 0.9}
    assert {"hull", "superstructure"} <= theory(evidence_of(water, target("ship", 200, "tanker")))
    small = theory(evidence_of(water, target("ship", 20, "fishing boat")))
    assert "boat" in small
    assert not small & {"hull", "superstructure"}
    apron = {"apron": 0.5}
    assert "fuselage" in theory(evidence_of(apron, target("aircraft", 70, "wide-body airliner")))
    assert "light-aircraft" in theory(evidence_of(apron, target("aircraft", 16, "business jet")))


def test_the_sensor_is_told_as_far_as_it_is_known() -> None:
    def topics(**more: object) -> set[str]:
        return {one.topic for one in radar.statements(request_at(**more), evidence_of({}))}

    known = ("sensor", "looks-", "look-", "polarisation-")
    assert not any(topic.startswith(known) for topic in topics())
    assert "band-x" in topics()
    assert "band-c" in topics(band="C")
    assert not any(topic.startswith("band") for topic in topics(band=""))
    assert "looks-single" in topics(looks=1.0)
    assert "looks-few" in topics(looks=3.0)
    assert "looks-many" in topics(looks=12)
    assert "polarisation-cross" in topics(polarisations=("VH",))
    assert "polarisation-vv" in topics(polarisations=("VV",))
    assert "polarisation-several" in topics(polarisations=("VV", "VH"))
    assert not any(topic.startswith("polarisation") for topic in topics(polarisations=("RH",)))


def test_one_sentence_holds_what_is_known_of_the_sensor() -> None:
    def said(**more: object) -> list[str]:
        found = radar.statements(request_at(**more), evidence_of({}))
        return [GRAMMAR.say(one, "key") for one in found if one.topic == "sensor"]

    everything = {"incidence_deg": 37.6, "looks": 3.0, "polarisations": ("hh",), "resolution_m": 0.9996}
    assert said(**everything) == ["X band radar, HH, 1 m pixels, 3 looks, incidence angle 38 degrees"]
    assert said(looks=1.2, polarisations=("VV", "VH", "VV")) == ["X band radar, VV and VH, 1 look"]
    assert said(resolution_m=12.4, incidence_deg=91.0) == ["X band radar, 12 m pixels"]
    assert said(band="") == said() == []
    (text,) = said(band="S", **everything)
    assert all(turn_words(text, Turn.of(number)) == text for number in range(1, 8))


def test_only_the_look_direction_names_directions_and_it_turns_with_the_image() -> None:
    for octant, towards in enumerate(COMPASS):
        request = request_at(look_azimuth_deg=45.0 * octant + 7.0)
        one = next(one for one in radar.statements(request, evidence_of({})) if one.topic == "look-direction")
        assert one.slots == {"towards": towards, "origin": COMPASS[(octant + 4) % 8]}
        for number in range(8):
            turn = Turn.of(number)
            turned = turn.azimuth(45.0 * octant)
            other = replace(request, look_azimuth_deg=turned)
            expected = next(one for one in radar.statements(other, evidence_of({})) if one.topic == "look-direction")
            for key in "abcd":
                text = turn_words(GRAMMAR.say(one, key), turn)
                assert text is not None
                assert text == GRAMMAR.say(expected, key) or sorted(text.split()) != sorted(
                    GRAMMAR.say(one, key).split()
                )
                assert expected.slots["towards"] in text
                assert expected.slots["origin"] in text


def test_brightness_follows_the_pixels() -> None:
    def level(pixels: np.ndarray, slot: str) -> int:
        scale = next(scale for scale in radiometry.SCALES if scale.slot == slot)
        word = next(one.slots[slot] for one in radiometry.statements(pixels) if slot in one.slots)
        return scale.words.index(str(word))

    levels = [level(image(0, mean - 20, mean + 20), "brightness") for mean in (60, 100, 118, 126, 136, 190)]
    assert levels == [0, 1, 2, 3, 4, 5]
    assert level(np.full((64, 64), 100, np.uint8), "contrast") == 0
    assert level(image(0, 1, 255), "contrast") == 5
    assert level(image(0, 1, 255), "range") == 5
    assert level(image(0, 1, 255), "grain") > level(image(0, 90, 110), "grain")
    striped = np.repeat(np.array([80, 170], np.uint8), 8)[np.arange(64) % 16][:, None].repeat(64, 1)
    assert level(striped, "lines") == 5
    assert level(image(), "lines") <= 1


def test_no_level_shares_a_word_with_another() -> None:
    """Texts of unlike images must not be alike by a word of a level."""
    words = [word for scale in radiometry.SCALES for word in scale.words]
    assert len(words) == len(set(words))
    assert all(len(scale.words) == len(scale.limits) + 1 for scale in radiometry.SCALES)
    assert all(list(scale.limits) == sorted(scale.limits) for scale in radiometry.SCALES)


def test_without_valid_pixels_nothing_was_measured() -> None:
    assert radiometry.statements(np.zeros((16, 16), np.uint8)) == []


def mains_of(**statements: Statement) -> dict[str, Statement]:
    return dict(statements)


def checked(request: TileRequest, evidence: TileEvidence, kind: InstructionSet, **mains: Statement) -> dict[str, str]:
    return {
        check.statement.topic: check.verdict for check in calibration.checks(request, evidence, kind, mains_of(**mains))
    }


def test_a_length_is_held_against_its_type() -> None:
    category = Statement("category", {"types": ["tanker"], "category": "ship"})
    size = Statement("size", {"length_m": 200})
    for length, topic in ((200.0, "check-length-fits"), (60.0, "check-length-off")):
        evidence = evidence_of({"water": 0.9}, target("ship", length, "tanker"))
        found = calibration.checks(request_at(), evidence, InstructionSet.MARINE, {"Category": category, "Size": size})
        one = next(check for check in found if check.statement.topic == topic)
        assert one.statement.slots == {"type": "tanker", "shortest": "130", "longest": "280"}
        expected = "supported" if topic.endswith("fits") else "contradicted"
        assert calibration.verdicts(found, {"Category": category, "Size": size})["size"] == expected


def test_airports_bear_out_aircraft_or_cast_doubt_on_them() -> None:
    evidence = evidence_of({"apron": 0.5}, target("aircraft", 40, "narrow-body airliner"))
    count = Statement("count", {"number": 1, "category": "aircraft"})
    denver, sahara = request_at(-104.67, 39.86), request_at(5.0, 24.0)
    found = checked(denver, evidence, InstructionSet.GROUND, Count=count)
    assert found["check-airport-near"] == "supported"
    assert "check-conflict" not in found
    found = checked(sahara, evidence, InstructionSet.GROUND, Count=count)
    assert found["check-airport-none"] == "contradicted"
    assert "check-conflict" in found
    against = calibration.checks(sahara, evidence, InstructionSet.GROUND, {"Count": count})
    assert calibration.verdicts(against, {"Count": count}) == {"count": "contradicted"}
    assert against[0].verdict == "contradicted"


def test_ships_need_a_port_or_a_sea() -> None:
    evidence = evidence_of({"water": 0.8}, target("ship", 100, "cargo ship"))
    assert "check-port-near" in checked(request_at(), evidence, InstructionSet.MARINE)
    assert "check-port-none" in checked(request_at(5.0, 24.0), evidence, InstructionSet.MARINE)


def test_water_is_held_against_the_coast_and_woods_against_the_climate() -> None:
    function = Statement("function", {"function": "open water"})
    water = evidence_of({"water": 0.8})
    terrain = InstructionSet.TERRAIN
    assert "check-water-coast" in checked(request_at(4.0, 51.95), water, terrain, Functionality=function)
    assert "check-water-inland" in checked(request_at(-104.67, 39.86), water, terrain, Functionality=function)
    wood = evidence_of({"wood": 0.8})
    forest = Statement("function", {"function": "forest"})
    assert checked(request_at(5.0, 24.0), wood, terrain, Functionality=forest)["check-wood-odd"] == "contradicted"
    assert checked(request_at(), wood, terrain, Functionality=forest)["check-wood-fits"] == "supported"


def test_of_an_unknown_place_only_physics_and_scale_are_compared() -> None:
    evidence = evidence_of({"apron": 0.5}, target("aircraft", 40, "narrow-body airliner"))
    for check in calibration.checks(request_at(float("nan"), 0.0), evidence, InstructionSet.GROUND, {}):
        assert check.statement.evidence == "prior"


def test_confidence_in_words_follows_the_claims() -> None:
    def word(confidence: float) -> str:
        main = Statement("function", {"function": "mixed"}, confidence=confidence)
        found = checked(request_at(), evidence_of({}), InstructionSet.TERRAIN, Functionality=main)
        return next(topic for topic in found if topic.startswith("check-certainty"))

    assert [word(value) for value in (0.95, 0.7, 0.3)] == [
        "check-certainty-high",
        "check-certainty-fair",
        "check-certainty-low",
    ]


def test_what_is_said_has_the_evidence_and_layer_of_its_topic() -> None:
    shares = {"water": 0.3, "built-up": 0.3, "wood": 0.2, "quay": 0.1, "road": 0.05}
    evidence = evidence_of(shares, target("ship", 200, "tanker"))
    request = request_at(look_azimuth_deg=100.0, incidence_deg=36.0, polarisations=("HH",), looks=3.0, resolution_m=1.0)
    said = radar.statements(request, evidence)
    said += calibration.statements(request, evidence, InstructionSet.MARINE, {})
    for statement in said:
        assert statement.evidence == GRAMMAR.evidence_of(statement.topic), statement
        assert statement.layer == GRAMMAR.layer_of(statement.topic)
        assert statement.layer in (Layer.RADAR, 5)
        assert GRAMMAR.say(statement, "key")
