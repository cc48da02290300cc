"""What goes into an annotator and what comes out: one tile and its place in, eight sub-texts out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from knowlip.dataset.mentions import Box, check_mention
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.marks import Sentence, joined, sentences_of
from knowlip.language.statements import EVIDENCE, Evidence

__all__ = ["Annotation", "Annotator", "Box", "SubText", "TileRequest"]


@dataclass(frozen=True)
class SubText:
    """One of the eight sentences about a tile."""

    dimension: str
    """Name in `dimensions.DIMENSIONS`."""
    text: str
    """One or more sentences."""
    confidence: float
    """0 to 1."""
    evidence: Evidence
    """Of the first sentence, which is what the sub-text is about."""
    marks: str = ""
    """Where each sentence ends and what it rests on, see :mod:`knowlip.language.marks`."""

    @classmethod
    def of(cls, dimension: str, sentences: Sequence[Sentence], confidence: float) -> "SubText":
        """From sentences, the first of which is what the sub-text is about."""
        text, marks = joined(sentences)
        return cls(dimension, text, confidence, sentences[0].evidence, marks)

    @property
    def sentences(self) -> list[Sentence]:
        """What it says, sentence by sentence."""
        return sentences_of(self.text, self.marks, self.evidence)

    def __post_init__(self) -> None:
        if self.evidence not in EVIDENCE:
            raise ValueError(f"{self.dimension} rests on {self.evidence!r}; use {', '.join(EVIDENCE)}.")
        sentences_of(self.text, self.marks, self.evidence)  # refuses marks that do not fit
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"The confidence of {self.dimension} is {self.confidence}; it must lie between 0 and 1.")


@dataclass(frozen=True)
class Annotation:
    """The eight sub-texts of one tile, in the order of `DIMENSIONS[instruction_set]`."""

    tile_id: str
    """Of the request."""
    instruction_set: InstructionSet
    """By which the tile was looked at; it says which eight dimensions there are."""
    sub_texts: tuple[SubText, ...]
    """Eight."""
    counts: dict[str, int] = field(default_factory=dict, hash=False)
    """Category ("ship", "aircraft", ...) -> how many the annotator sees; a category that is not there is unknown."""
    boxes: tuple[Box, ...] = ()
    """Objects that the annotator points at, in fractions of the tile; they need not be all that it counts."""

    def __post_init__(self) -> None:
        check_mention(self.tile_id, self.counts, self.boxes)
        if self.instruction_set not in DIMENSIONS:
            raise ValueError(
                f"{self.tile_id} names the instruction set {self.instruction_set!r}; use {', '.join(DIMENSIONS)}."
            )
        object.__setattr__(self, "instruction_set", InstructionSet(self.instruction_set))
        found = tuple(sub_text.dimension for sub_text in self.sub_texts)
        if found != DIMENSIONS[self.instruction_set]:
            raise ValueError(
                f"{self.tile_id} has the sub-texts {', '.join(found) or 'none'}; "
                f"{self.instruction_set} needs {', '.join(DIMENSIONS[self.instruction_set])} in this order."
            )

    def text_of(self, dimension: str) -> str:
        """The text of one dimension, "" where this instruction set has no such dimension."""
        return next((sub_text.text for sub_text in self.sub_texts if sub_text.dimension == dimension), "")


class Neighbours(TypedDict, total=False):
    """What lies nearest to a tile; missing or "" where unknown."""

    country: str
    region: str
    city: str
    city_km: float
    airport: str
    airport_km: float
    port: str
    port_km: float


@dataclass(frozen=True, eq=False)
class TileFrame:
    """A large tile in its finest pixels, which all tiles cut from it lie in."""

    pixels: NDArray[np.uint8]
    """(H, W), as `TileRequest.image`."""
    metres_per_pixel: float
    seen: dict[str, Any] = field(default_factory=dict)
    """What an annotator has computed of it, kept for the next tile."""


@dataclass(frozen=True, eq=False)
class TileWindow:
    """Where a tile lies in a frame."""

    frame: TileFrame
    rows: slice
    columns: slice

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Those of the tile alone."""
        return self.frame.pixels[self.rows, self.columns]


@dataclass(frozen=True, eq=False)
class TileRequest:
    """A tile as an annotator sees it. Never holds truth."""

    tile_id: str
    """Name of the tile."""
    image: NDArray[np.uint8]
    """(H, W), 8 bit, 0 = no data, logarithmic brightness."""
    metres_per_pixel: float
    """Of `image`."""
    scale: str
    """ "large", "medium" or "small"."""
    sensor: str
    """Its name, e.g. "sentinel-1"; "unknown"."""
    band: str
    """Radar frequency band, e.g. "C"; "" unknown."""
    lon: float
    """NaN, as `lat`, where the place is not known."""
    lat: float
    """Degrees, as `lon`."""
    place: Neighbours = field(default_factory=Neighbours)
    """Nearest town, airport and port, as far as they are known."""
    look_azimuth_deg: float | None = None
    """Direction the radar looks towards, clockwise from north; None unknown."""
    parent: Annotation | None = None
    """Annotation of the tile one scale up."""
    detail: NDArray[np.uint8] | None = None
    """(H', W') the same window in finer pixels, as `image`; None where only the tile is at hand."""
    within: TileWindow | None = None
    """The large tile around it, `detail` being its window; None where it is not at hand."""
    incidence_deg: float | None = None
    """Of the middle of the scene; None unknown."""
    polarisations: tuple[str, ...] = ()
    """As "VV"; () unknown."""
    looks: float | None = None
    """Equivalent number of looks; None unknown."""
    resolution_m: float | None = None
    """Pixel spacing of the scene that the tile was cut from; None unknown."""
    levels_db: tuple[float, float] | None = None
    """Power of levels 1 and 255 in dB, between which levels are linear; None where they are not, or unknown."""
    calibrated: bool = False
    """Whether that is backscatter, as the scene states."""


class Annotator(Protocol):
    """Anything that turns a tile into eight sub-texts. Implementations must be deterministic for the same request."""

    name: str
    """As `--annotator` takes it."""

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile."""
        ...
