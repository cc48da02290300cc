"""Settings of the commands that use a model, apart from what loads one so that their help comes at once."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.base.generation import GenerationConfig


def _model() -> Path | None:
    """$KNOWLIP_MODEL where it is set."""
    named = os.environ.get("KNOWLIP_MODEL")
    return Path(named) if named else None


def _check_metres(metres_per_pixel: float | None) -> None:
    if metres_per_pixel is not None and not 0 < metres_per_pixel < math.inf:
        raise ValueError(f"--metres_per_pixel is {metres_per_pixel:g}: give the size of a pixel on the ground, e.g. 3.")


@dataclass(frozen=True)
class CaptionConfig:
    """What to describe, and how."""

    POSITIONAL: ClassVar = ("images",)

    images: list[Path]
    """8-bit images (PNG, JPEG) or SAR rasters."""
    model: Path | None = field(default_factory=_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    metres_per_pixel: float | None = None
    """Side of a pixel of the images on the ground; taken from the georeferencing of rasters where not given."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=512))
    """How texts are written; the model's own length ends one before max_new_tokens."""

    def __post_init__(self) -> None:
        _check_metres(self.metres_per_pixel)


@dataclass(frozen=True)
class AskConfig:
    """What to ask about which image."""

    POSITIONAL: ClassVar = ("image", "question")

    image: Path
    """8-bit image (PNG, JPEG) or SAR raster."""
    question: str
    """In words; or a description with one [MASK], which is filled."""
    model: Path | None = field(default_factory=_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    metres_per_pixel: float | None = None
    """Side of a pixel of the image on the ground; taken from the georeferencing of a raster where not given."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=32))
    """How answers are written."""

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("The question is empty.")
        _check_metres(self.metres_per_pixel)


@dataclass(frozen=True)
class SearchConfig:
    """What to look for, and where."""

    POSITIONAL: ClassVar = ("dataset", "text")

    dataset: Path
    """Data set whose tiles are searched; needs no texts."""
    text: str
    """What to look for, in words."""
    model: Path | None = field(default_factory=_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    top: int = 10
    """How many tiles."""
    out: Path | None = None
    """Also write the footprints there as GeoJSON."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("The text to search for is empty.")
        if self.top < 1:
            raise ValueError("--top must be at least 1.")
