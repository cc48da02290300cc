"""The three instruction sets with their eight dimensions each: what a tile is told about."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class InstructionSet(StrEnum):
    """What the eight sub-texts of a tile are about (paper, section 3.2)."""

    GROUND = "ground"
    """Aircraft and other targets on land."""
    MARINE = "marine"
    """Ships."""
    TERRAIN = "terrain"
    """The land itself."""

    @property
    def of_targets(self) -> bool:
        """Whether it counts and describes targets."""
        return self is not InstructionSet.TERRAIN


_TARGETS: Final = ("Count", "Location", "Feature", "Size", "Category", "Distribution", "Region", "Environment")
_LAND: Final = ("Terrain", "Functionality", "Distribution", "Layout", "Boundary", "Buildings", "Roads", "Water")

DIMENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    InstructionSet.GROUND: _TARGETS,
    InstructionSet.MARINE: _TARGETS,
    InstructionSet.TERRAIN: _LAND,
}
"""Instruction set -> its eight sub-texts in order (paper, section 3.2)."""

SLOTS: Final = 8
"""Sub-texts of a tile."""
QUESTION_OF: Final = {
    "Count": "How many targets are there?",
    "Location": "Where in the image are the targets?",
    "Feature": "How do the targets look in the radar image?",
    "Size": "How large are the targets?",
    "Category": "What kind of targets are they?",
    "Distribution": "How are they distributed over the image?",
    "Region": "In what region does this lie?",
    "Environment": "What surrounds them?",
    "Terrain": "What terrain does the image show?",
    "Functionality": "What is the area used for?",
    "Layout": "How is the area laid out?",
    "Boundary": "What boundaries can be seen?",
    "Buildings": "What buildings are there?",
    "Roads": "What roads are there?",
    "Water": "What water is there?",
}
"""Dimension of a sub-text -> the question that it answers."""
