"""Layer 3, SAR theory: why the tile looks as it does. Each effect is told only where what causes it was seen."""

from collections.abc import Iterator
from typing import Final

from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.knowledge import radiometry
from knowlip.annotators.measured.visible import seen_metres
from knowlip.annotators.types import TileRequest
from knowlip.language.definitions import CROSS_FROM_M, ELONGATED_FROM_M
from knowlip.language.directions import COMPASS
from knowlip.language.statements import Layer, Statement, Value

SEEN_FROM: Final = 0.10
"""Share of a cover from which its scattering is explained."""
_COVERS: Final = (
    # cover, smallest share, topics
    ("runway", 0.03, ("theory-runway",)),
    ("quay", 0.04, ("theory-quay",)),
    ("built-up", SEEN_FROM, ("theory-corner", "theory-layover", "theory-shadow")),
    ("water", SEEN_FROM, ("theory-water",)),
    ("wood", SEEN_FROM, ("theory-wood",)),
    ("field", 0.2, ("theory-field",)),
    ("grass", 0.15, ("theory-grass",)),
    ("road", 0.02, ("theory-road",)),
)
_SURE_FROM: Final = 0.6
"""Certainty of a cover from which it counts as seen."""
_BANDS: Final = frozenset(("Ku", "X", "C", "S", "L", "P"))
_RINGS_FROM: Final = ("frequent", "plentiful")
"""Levels of saturated peaks from which side lobes are spoken of."""


def statements(request: TileRequest, evidence: TileEvidence) -> list[Statement]:
    """What was measured of brightness and texture, why it looks so, and what the sensor adds: in turn."""
    measured = radiometry.statements(request.image)
    peaks = next((str(one.slots["peaks"]) for one in measured if "peaks" in one.slots), "")
    why = [*_of_targets(evidence), *_of_covers(evidence)]
    if peaks in _RINGS_FROM:
        why.append(_said("theory-sidelobes"))
    # Effects of what was seen first: they tell tiles apart, the sensor's are the same all over a scene.
    return [*measured, *_sensor(request), *why[:2], *_effects_of_sensor(request), *why[2:]]


def _said(topic: str, **slots: Value) -> Statement:
    return Statement(topic, slots, "prior", Layer.RADAR)


def _of_targets(evidence: TileEvidence) -> Iterator[Statement]:
    """Why ships and aircraft look as they do at their size."""
    targets = [target for target in evidence.targets if target.category == evidence.category]
    if not targets:
        return
    lengths = sorted(target.length_m for target in targets)
    length = evidence.overall.length_m if evidence.overall else lengths[len(lengths) // 2]
    if evidence.category == "ship":
        yield _said("theory-hull" if length >= ELONGATED_FROM_M else "theory-boat")
        if length >= ELONGATED_FROM_M:
            yield _said("theory-superstructure")
        yield _said("theory-motion")
    else:
        yield _said("theory-fuselage" if length >= CROSS_FROM_M else "theory-light-aircraft")
        yield _said("theory-parts")


def _of_covers(evidence: TileEvidence) -> Iterator[Statement]:
    """Why the covers look as they do, those that take most room for their kind first."""
    shares = [
        (evidence.shares.get(cover, 0.0) / least, topics)
        for cover, least, topics in _COVERS
        if evidence.shares.get(cover, 0.0) >= least and evidence.sure(cover) >= _SURE_FROM
    ]
    seen = [topics for _, topics in sorted(shares, key=lambda item: -item[0])]
    for depth in range(3):
        for topics in seen:
            if depth < len(topics):
                yield _said(topics[depth])


def _sensor(request: TileRequest) -> Iterator[Statement]:
    """How the scene was taken, in one sentence; nothing of what is not known."""
    facts = []
    if _polarisation(request.polarisations):
        facts.append(" and ".join(dict.fromkeys(channel.upper() for channel in request.polarisations)))
    if request.resolution_m is not None and request.resolution_m > 0:
        # What is said of shapes is seen in the pixels that were looked at, which may be coarser than the scene's.
        seen, pixels = seen_metres(request), f"{_metres(request.resolution_m)} m pixels"
        facts.append(f"{pixels} averaged to {_metres(seen)} m" if seen >= 1.5 * request.resolution_m else pixels)
    if request.looks is not None and request.looks > 0:
        looks = max(1, round(request.looks))
        facts.append(f"{looks} {'look' if looks == 1 else 'looks'}")
    if request.incidence_deg is not None and 0.0 < request.incidence_deg < 90.0:
        facts.append(f"incidence angle {round(request.incidence_deg)} degrees")
    if request.band in _BANDS and facts:
        # "S" would be read as south, which turns with the pixels.
        yield _said("sensor", band="10 cm" if request.band == "S" else request.band, facts=", ".join(facts))


def _metres(size: float) -> str:
    """To two digits, and to the metre from 100 m on: "1.2e+02" is no word."""
    return f"{size:.2g}" if size < 99.5 else f"{size:.0f}"


def _effects_of_sensor(request: TileRequest) -> Iterator[Statement]:
    """What the band, the polarisation and the number of looks bring about, and where the radar looked to."""
    if request.look_azimuth_deg is not None:
        octant = round(request.look_azimuth_deg % 360.0 / 45.0) % 8
        yield _said("look-direction", towards=COMPASS[octant], origin=COMPASS[(octant + 4) % 8])
    if request.band in _BANDS:
        yield _said(f"band-{request.band.lower()}")
    if request.looks is not None and request.looks > 0:
        kind = "single" if request.looks < 1.5 else "few" if request.looks < 6.5 else "many"
        yield _said(f"looks-{kind}")
    if topic := _polarisation(request.polarisations):
        yield _said(topic)


def _polarisation(channels: tuple[str, ...]) -> str:
    """The topic of the polarisations of a product; "" for none or unheard-of ones."""
    names = {channel.upper() for channel in channels}
    if not names or not names <= {"HH", "VV", "HV", "VH"}:
        return ""
    if len(names) > 1:
        return "polarisation-several"
    name = names.pop()
    return "polarisation-cross" if name in ("HV", "VH") else f"polarisation-{name.lower()}"
