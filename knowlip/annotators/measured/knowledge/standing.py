"""Under which dimensions a topic of these layers may stand."""

from collections.abc import Mapping
from typing import Final

from knowlip.language.dimensions import DIMENSIONS, InstructionSet

_STANDING: Final[Mapping[str, tuple[str, str]]] = {
    # topic or beginning of a topic: dimensions of targets, dimensions of terrain
    "place-": ("Environment Region", "Functionality Terrain"),
    "latitude-": ("Environment", "Terrain"),
    "utm-zone": ("Environment", "Terrain"),
    "town-": ("Environment", "Functionality Terrain"),
    "city-": ("Environment", "Functionality Terrain"),
    "sensor": ("Region Feature Environment", "Layout Distribution Terrain"),
    # Dark pixels are what water is known by, edges and lines what roads are.
    "radiometry-tone": ("Feature Region Environment", "Water Layout Terrain"),
    "radiometry-texture": ("Distribution Feature Environment", "Roads Boundary Distribution"),
    "airport-": ("Environment", "Functionality Terrain"),
    "port-": ("Environment", "Functionality Terrain"),
    "coast-": ("Environment", "Functionality Terrain"),
    "sea-name": ("Environment", "Water Terrain"),
    "climate-": ("Environment", "Functionality Terrain"),
    "use-airport": ("Environment", "Functionality"),
    "airport-routine": ("Environment", "Functionality"),
    "use-port": ("Environment", "Functionality"),
    "port-routine": ("Environment", "Functionality"),
    "farm-": ("Environment", "Functionality"),
    "use-farm": ("Environment", "Functionality"),
    "woods-": ("Environment", "Functionality"),
    "use-woods": ("Environment", "Functionality"),
    "use-water": ("Environment", "Functionality"),
    "use-roadstead": ("Environment", "Functionality"),
    "use-sea": ("Environment", "Functionality"),
    "use-ocean": ("Environment", "Functionality"),
    "use-inland-water": ("Environment", "Functionality"),
    "water-routine": ("Environment", "Functionality"),
    "use-metropolis": ("Environment", "Functionality"),
    "use-town": ("Environment", "Functionality"),
    "urban-routine": ("Environment", "Functionality"),
    "use-mixed": ("Environment", "Functionality"),
    "mixed-routine": ("Environment", "Functionality"),
    "settled-": ("Environment", "Functionality Terrain"),
    "theory-runway": ("Region Environment", "Functionality Terrain"),
    "theory-water": ("Region Environment", "Water"),
    "theory-hull": ("Feature Category", "Water"),
    "theory-superstructure": ("Feature Category", "Water"),
    "theory-boat": ("Size Feature", "Water"),
    "theory-motion": ("Location Feature", "Water"),
    "theory-fuselage": ("Feature Category", "Functionality"),
    "theory-light-aircraft": ("Size Feature", "Functionality"),
    "theory-parts": ("Count Feature", "Functionality"),
    "theory-corner": ("Environment Region", "Buildings"),
    "theory-layover": ("Environment Region", "Buildings"),
    "theory-shadow": ("Environment Region", "Buildings"),
    "theory-quay": ("Environment Region", "Functionality Terrain"),
    "theory-wood": ("Environment Region", "Terrain Distribution"),
    "theory-field": ("Environment Region", "Terrain Distribution"),
    "theory-grass": ("Region Environment", "Terrain Distribution"),
    "theory-road": ("Environment Region", "Roads"),
    "theory-sidelobes": ("Feature Region", "Layout Distribution"),
    "band-": ("Region Feature", "Terrain Distribution"),
    "polarisation-": ("Region Feature", "Terrain Distribution"),
    "looks-": ("Region Feature", "Layout Distribution"),
    "look-direction": ("Region Location", "Layout Distribution"),
    "check-length": ("Size Category", "Functionality"),
    "check-pixels": ("Size Feature", "Layout"),
    "check-ships": ("Category Environment", "Functionality"),
    "check-aircraft": ("Category Environment", "Functionality"),
    "check-wood": ("Environment", "Terrain"),
    "check-field": ("Environment", "Functionality Terrain"),
    "check-airport": ("Environment Category", "Functionality"),
    "check-port": ("Environment Category", "Functionality"),
    "check-water": ("Region Environment", "Water Terrain"),
    "check-dry": ("Region Environment", "Terrain"),
    "check-town": ("Environment", "Buildings Functionality"),
    "check-parent-targets": ("Category", "Functionality"),
    "check-parent-fewer": ("Count", "Functionality"),
    "check-parent-land": ("Environment", "Functionality"),
    "check-": ("Environment Count", "Layout Functionality"),
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
