"""Statements: what is to be said of a tile before it is put into words, and what each of the words rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal

Evidence = Literal["visual", "geo", "prior", "parent"]
"""What a sentence rests on: the pixels of the tile, where the tile lies, general knowledge, or the larger tile's
text."""
EVIDENCE: Final[tuple[Evidence, ...]] = ("visual", "geo", "prior", "parent")
SEEN: Final[tuple[Evidence, ...]] = ("visual",)
"""What a reader of the image alone can say."""


class Layer(IntEnum):
    """The five layers of the cognitive chain of thought (paper, section 3.2)."""

    EARTH = 1
    """Where on Earth: country, region, coast, climate, nearest city, airport and port."""
    SOCIAL = 2
    """What people do there: size of the place, function, transport."""
    RADAR = 3
    """Why it looks so: scattering, speckle, geometry, band, polarisation."""
    INSTANCE = 4
    """What is there: count, place, size, type; cover and layout of land."""
    CALIBRATION = 5
    """How the layers bear each other out, and how sure that makes it."""


Value = str | int | float | Sequence[str] | Sequence[int] | Mapping[str, object] | None
Slots = Mapping[str, Value]
"""Name of a slot -> its value; numbers in the units that the wording names."""


@dataclass(frozen=True)
class Statement:
    """One thing to say: a topic of the grammar and the values that its wordings are filled with."""

    topic: str
    """Key of the grammar, e.g. "count" or "nearest-city"."""
    slots: Slots = field(default_factory=dict, hash=False)
    evidence: Evidence = "visual"
    layer: Layer = Layer.INSTANCE
    confidence: float = 1.0
    """Probability that it is true, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"The confidence of {self.topic} is {self.confidence}; it must lie between 0 and 1.")
