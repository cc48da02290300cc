"""Under which dimensions a topic of these layers may stand."""

from collections.abc import Mapping
from typing import Final

from knowlip.language.dimensions import DIMENSIONS, InstructionSet

_STANDING: Final[Mapping[str, tuple[str, str]]] = {
    # topic or beginning of a topic: dimensions of targets, dimensions of terrain
    "place-": ("Region Environment", "Terrain Functionality Layout"),
    "latitude-": ("Environment Region", "Terrain Layout"),
    "utm-zone": ("Region", "Layout"),
    "town-": ("Environment Region", "Functionality Buildings Roads"),
    "city-": ("Environment Region", "Functionality Buildings Roads"),
    "radiometry-tone": ("Feature Region Environment", "Layout Terrain"),
    "radiometry-texture": ("Distribution Feature Environment", "Boundary Distribution"),
    "airport-": ("Environment Region Category", "Functionality Roads"),
    "port-": ("Environment Region Category", "Functionality Water"),
    "coast-": ("Environment Region", "Terrain Water Boundary"),
    "sea-name": ("Environment Region", "Water Terrain Boundary"),
    "climate-": ("Environment Region", "Terrain Functionality"),
    "use-airport": ("Environment Category", "Functionality Layout"),
    "airport-routine": ("Environment Distribution Region", "Functionality Layout"),
    "use-port": ("Environment Category", "Functionality Water"),
    "port-routine": ("Environment Distribution Region", "Functionality Layout Water"),
    "farm-": ("Environment", "Functionality Layout Distribution"),
    "use-farm": ("Environment", "Functionality Layout Distribution"),
    "woods-": ("Environment", "Functionality Terrain Layout"),
    "use-woods": ("Environment", "Functionality Terrain Layout"),
    "use-water": ("Environment Region", "Water Functionality"),
    "use-roadstead": ("Environment Region Distribution", "Water Functionality"),
    "use-sea": ("Environment Region Distribution", "Water Functionality"),
    "use-ocean": ("Environment Region Distribution", "Water Functionality"),
    "use-inland-water": ("Environment Region", "Water Functionality"),
    "water-routine": ("Environment Region", "Water Functionality"),
    "use-metropolis": ("Environment", "Functionality Buildings Roads"),
    "use-town": ("Environment", "Functionality Buildings Roads"),
    "urban-routine": ("Environment", "Buildings Roads Layout"),
    "use-mixed": ("Environment", "Functionality Layout Distribution"),
    "mixed-routine": ("Environment", "Functionality Layout Roads"),
    "settled-": ("Environment Region", "Buildings Functionality Roads"),
    "theory-runway": ("Region Environment", "Functionality Roads Layout"),
    "theory-water": ("Region Environment", "Water Boundary"),
    "theory-hull": ("Feature Category", "Water"),
    "theory-superstructure": ("Feature Category Location", "Water"),
    "theory-boat": ("Size Feature", "Water"),
    "theory-motion": ("Location Distribution", "Water"),
    "theory-fuselage": ("Feature Category", "Functionality"),
    "theory-light-aircraft": ("Size Feature", "Functionality"),
    "theory-parts": ("Count Location Feature", "Functionality"),
    "theory-corner": ("Environment", "Buildings Layout"),
    "theory-layover": ("Environment Location", "Buildings Boundary"),
    "theory-shadow": ("Environment Region", "Buildings Boundary"),
    "theory-quay": ("Environment Region", "Functionality Boundary Water"),
    "theory-wood": ("Environment Region", "Terrain Distribution"),
    "theory-field": ("Environment Region", "Terrain Distribution Layout"),
    "theory-grass": ("Region Environment", "Terrain Distribution"),
    "theory-road": ("Environment Region", "Roads"),
    "theory-sidelobes": ("Feature Location Count", "Buildings Distribution"),
    "incidence-": ("Location Region Size", "Boundary Layout Terrain"),
    "band-": ("Feature Region Size", "Terrain Distribution Layout"),
    "polarisation-": ("Feature Category Region", "Terrain Distribution"),
    "looks-": ("Count Feature Distribution", "Distribution Layout Boundary"),
    "look-direction": ("Location Distribution", "Boundary Buildings"),
    "spacing-": ("Size Count Category", "Layout Buildings Roads"),
    "check-": ("Category Size Count Environment", "Functionality Layout Boundary"),
}


def dimensions_of(topic: str, instruction_set: InstructionSet) -> tuple[str, ...]:
    """The dimensions under which a topic may stand, the most fitting first; () for a topic that is not of these layers.

    The longest entry that the topic begins with decides.
    """
    entry = max((name for name in _STANDING if topic.startswith(name)), key=len, default="")
    if not entry:
        return ()
    allowed = tuple(_STANDING[entry][0 if instruction_set.of_targets else 1].split())
    assert set(allowed) <= set(DIMENSIONS[instruction_set]), f"{entry} stands under a dimension that there is not"
    return allowed
