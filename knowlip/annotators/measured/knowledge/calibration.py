"""Layer 5, calibration: the layers checked against each other, said in words and told to the composer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.knowledge.earth import climate_topic
from knowlip.annotators.measured.knowledge.surroundings import Surroundings, surroundings_of
from knowlip.annotators.measured.visible import seen_metres
from knowlip.annotators.types import TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import InstructionSet
from knowlip.language.phrases import round_length
from knowlip.language.statements import Evidence, Layer, Statement, Value

Verdict = Literal["supported", "contradicted", "open"]

NEAR_KM: Final = 8.0
"""Distance within which an airport bears out aircraft and runways; a port reaches twice as far."""
_FITS: Final = 1.1
"""Factor by which a measured length may leave the range of its type and still fit."""
_NO_PORT_KM: Final = 30.0
"""Distance to the sea and to the nearest listed port from which there are no quays."""
_ENOUGH_PX, _FEW_PX = 15.0, 6.0
_LARGE_WATER, _LARGE_LAND = 0.4, 0.3
_SURE_FROM, _UNSURE_BELOW = 0.8, 0.55
"""Mean confidence of the claims from which, and below which, the tile as a whole is called clear or unclear."""
_ARID: Final = ("climate-desert-hot", "climate-desert-cold")
_TREELESS: Final = (*_ARID, "climate-tundra", "climate-ice")
_FERTILE: Final = (
    "climate-oceanic",
    "climate-subtropical",
    "climate-continental",
    "climate-mediterranean",
    "climate-steppe-cold",
    "climate-savanna",
    "climate-highland",
)
_EVIDENT: Final = ("check-field-fits", "check-wood-fits", "check-certainty-high")
_WOODED: Final = ("climate-rainforest", "climate-monsoon", "climate-oceanic", "climate-continental", "climate-boreal")


@dataclass(frozen=True)
class Check:
    """One comparison of two layers."""

    statement: Statement
    verdict: Verdict
    dimensions: tuple[str, ...] = ()
    """Whose claims it bears on."""


def without_ports(evidence: TileEvidence, request: TileRequest) -> TileEvidence:
    """The evidence with quays taken for built-up land where no port can be: far from the sea and from every listed
    port. Both are bright and rectangular; the place decides.

    Args:
        evidence: what was seen.
        request: the tile, whose place may be unknown: then nothing is changed.
    """
    if may_have_port(request):
        return evidence
    return replace(evidence, shares=_as_buildings(evidence.shares), grid=tuple(map(_as_buildings, evidence.grid)))


def may_have_port(request: TileRequest) -> bool:
    """Whether sea-going ships and quays can be there, as far as the place is known: near the sea, or near a listed
    port that is no depot inland."""
    place = surroundings_of(request)
    if place is None or place.coast.km < _NO_PORT_KM:
        return True
    return any(port.km < _NO_PORT_KM and port.kind != "inland" for port in place.ports)


def _as_buildings(shares: Mapping[str, float]) -> dict[str, float]:
    quay = shares.get("quay", 0.0)
    return {**shares, "quay": 0.0, "built-up": shares.get("built-up", 0.0) + quay}


def checks(
    request: TileRequest, evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]
) -> list[Check]:
    """All comparisons that the tile allows: contradictions first, then support, then the sum of them.

    Args:
        request: the tile, with its place and parent.
        evidence: what was seen.
        kind: the instruction set.
        mains: dimension -> what is said of what was seen.
    """
    place = surroundings_of(request)
    found = list(_targets(request, evidence, kind, mains) if kind.of_targets else _land(evidence, place))
    if place is not None:
        found += _of_place(evidence, kind, mains, place)
    found += _of_parent(request, evidence, kind, mains)
    rank: Sequence[Verdict] = ("contradicted", "supported", "open")
    found.sort(key=lambda check: rank.index(check.verdict))
    return found + list(_sum(found, mains))


def statements(
    request: TileRequest, evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]
) -> list[Statement]:
    """What the comparisons of :func:`checks` say."""
    return [check.statement for check in checks(request, evidence, kind, mains)]


def worth_saying(found: Sequence[Check]) -> list[Statement]:
    """What the comparisons say, but for those that bear out what nobody would doubt."""
    return [check.statement for check in found if check.statement.topic not in _EVIDENT]


def verdicts(found: Sequence[Check], mains: Mapping[str, Statement]) -> dict[str, Verdict]:
    """Topic of a main sentence -> what the comparisons make of it; one contradiction outweighs support.

    Args:
        found: of :func:`checks`.
        mains: dimension -> what is said of what was seen.
    """
    result: dict[str, Verdict] = {}
    for check in found:  # contradictions come first
        for dimension in check.dimensions:
            if check.verdict != "open" and dimension in mains:
                result.setdefault(mains[dimension].topic, check.verdict)
    return result


def _check(
    topic: str, verdict: Verdict, dimensions: tuple[str, ...] = (), evidence: Evidence = "prior", **slots: Value
) -> Check:
    return Check(Statement(topic, slots, evidence, Layer.CALIBRATION), verdict, dimensions)


def _targets(
    request: TileRequest, evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]
) -> Iterator[Check]:
    """Size against type, size against pixels, targets against the ground they are on."""
    overall = evidence.overall
    lengths = sorted(target.length_m for target in evidence.targets if target.category == evidence.category)
    if not lengths:
        return
    length = overall.length_m if overall else lengths[len(lengths) // 2]
    types = {kind.name: kind for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES)}
    said = mains.get("Category")
    named = said.slots.get("types") if said is not None and said.topic == "category" else None
    first = types.get(str(named[0])) if isinstance(named, list | tuple) and len(named) == 1 else None
    low, high = first.length_m if first is not None else (0.0, 0.0)
    printed = low <= round_length(length) <= high  # as the reader sees both
    if first is not None and (printed or not low / _FITS <= length <= high * _FITS):
        fits = printed
        slots: dict[str, Value] = {"type": first.name, "shortest": str(round(low)), "longest": str(round(high))}
        topic = "check-length-fits" if fits else "check-length-off"
        yield _check(topic, "supported" if fits else "contradicted", ("Size", "Category"), "prior", **slots)
    # Against the pixels of the scene, not of the tile: interpolation adds pixels and no shape.
    pixels = length / max(seen_metres(request), 1e-6)
    if pixels >= _ENOUGH_PX:
        yield _check("check-pixels-enough", "supported", ("Feature", "Size"), n=str(round(pixels)))
    elif pixels <= _FEW_PX:
        yield _check("check-pixels-few", "open", n=str(max(1, round(pixels))))
    shares = evidence.shares
    if kind is InstructionSet.MARINE and shares.get("water", 0.0) >= _LARGE_WATER:
        yield _check("check-ships-water", "supported", ("Category", "Count"))
    if kind is InstructionSet.GROUND and shares.get("runway", 0.0) + shares.get("apron", 0.0) >= 0.08:
        yield _check("check-aircraft-pavement", "supported", ("Category", "Count"))


def _land(evidence: TileEvidence, place: Surroundings | None) -> Iterator[Check]:
    """Cover against climate."""
    climate = climate_topic(place) if place else ""
    if not climate:
        return
    if evidence.shares.get("wood", 0.0) >= _LARGE_LAND:
        if climate in _TREELESS:
            yield _check("check-wood-odd", "contradicted", ("Terrain", "Functionality"), "geo")
        elif climate in _WOODED:
            yield _check("check-wood-fits", "supported", ("Terrain",), "geo")
    if evidence.shares.get("field", 0.0) >= _LARGE_LAND:
        if climate in _ARID:
            yield _check("check-field-dry", "open", (), "geo")
        elif climate in _FERTILE:
            yield _check("check-field-fits", "supported", ("Terrain", "Functionality"), "geo")


def _of_place(
    evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement], place: Surroundings
) -> Iterator[Check]:
    """What was seen against what gazetteers and maps know of the place."""
    function = mains["Functionality"].slots.get("function") if "Functionality" in mains else None
    water, built = evidence.shares.get("water", 0.0), evidence.shares.get("built-up", 0.0)
    # Distances are wide enough for the points of gazetteers, which stand for whole airports and harbours.
    bears = ("Category", "Count") if kind.of_targets else ("Functionality",)
    if kind is InstructionSet.GROUND or function == "airport":
        if place.airport is not None and place.airport.km <= NEAR_KM:
            yield _check("check-airport-near", "supported", bears, "geo")
        elif place.airport is None:
            yield _check("check-airport-none", "contradicted", bears, "geo")
    if kind is InstructionSet.MARINE or function == "port":
        if any(port.km <= 2 * NEAR_KM and port.kind != "inland" for port in place.ports):
            yield _check("check-port-near", "supported", bears, "geo")
        elif place.coast.km > 100.0 and not place.ports:
            yield _check("check-port-none", "contradicted", bears, "geo")
    settled = place.town is not None and place.town.km < 5.0
    about_water = ("Region", "Environment") if kind.of_targets else ("Water", "Terrain")
    if water >= _LARGE_WATER and abs(place.coast.km) <= 8.0:
        yield _check("check-water-coast", "supported", about_water, "geo")
    elif water >= _LARGE_WATER and place.coast.km > 60.0:
        yield _check("check-water-inland", "open", (), "geo")
    elif water <= 0.03 and place.coast.km < -8.0 and not settled:
        yield _check("check-dry-at-sea", "contradicted", about_water, "geo")
    if built >= 0.15 and place.town is not None:
        about = () if kind.of_targets else ("Buildings", "Functionality")
        if settled:
            yield _check("check-town-near", "supported", about, "geo")
        elif place.town.km > 30.0:
            yield _check("check-town-none", "contradicted", about, "geo")


def _of_parent(
    request: TileRequest, evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]
) -> Iterator[Check]:
    """What was seen against the larger tile's text."""
    parent = request.parent
    if parent is None:
        return
    category = evidence.category
    if kind.of_targets and category is not None:
        seen = parent.counts.get(category)
        here = sum(target.category == category for target in evidence.targets)
        if parent.instruction_set == kind and (seen is None or seen >= here):
            yield _check("check-parent-targets", "supported", ("Category",), "parent")
        elif seen is not None and seen < here:
            yield _check("check-parent-fewer", "contradicted", ("Count",), "parent")
    elif parent.instruction_set == kind and mains["Functionality"].evidence == "visual":
        same = parse_claims(kind, "Functionality", parent.text_of("Functionality")).get("function")
        if same == mains["Functionality"].slots.get("function"):
            yield _check("check-parent-land", "supported", ("Functionality",), "parent")


def _sum(found: Sequence[Check], mains: Mapping[str, Statement]) -> Iterator[Check]:
    """What the comparisons and confidences come to."""
    against = sum(check.verdict == "contradicted" for check in found)
    support = sum(check.verdict == "supported" for check in found)
    if against:
        yield _check("check-conflict", "open")
    elif support >= 3:
        yield _check("check-agree", "open")
    sure = sum(main.confidence for main in mains.values()) / max(1, len(mains))
    kind = "high" if sure >= _SURE_FROM else "low" if sure < _UNSURE_BELOW else "fair"
    yield _check(f"check-certainty-{kind}", "open")
