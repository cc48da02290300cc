"""Settings of the commands that use a model, apart from what loads one so that their help comes at once."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.base.generation import GenerationConfig


def _model(usual: str) -> Path:
    """$KNOWLIP_MODEL, or what the demo leaves."""
    return Path(os.environ.get("KNOWLIP_MODEL", usual))


@dataclass(frozen=True)
class CaptionConfig:
    """What to describe, and how."""

    POSITIONAL: ClassVar = ("images",)

    images: list[Path]
    """8-bit images (PNG, JPEG) or SAR rasters."""
    model: Path = field(default_factory=lambda: _model("demo/pretrain/model"))
    """Model folder, or USER/REPO of the Hugging Face hub; $KNOWLIP_MODEL, where it is set, is the default."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=512))
    """How texts are written; the model's own length ends one before max_new_tokens."""


@dataclass(frozen=True)
class AskConfig:
    """What to ask about which image."""

    POSITIONAL: ClassVar = ("image", "question")

    image: Path
    """8-bit image (PNG, JPEG) or SAR raster."""
    question: str
    """In words; or a description with one [MASK], which is filled."""
    model: Path = field(default_factory=lambda: _model("demo/finetune/model"))
    """Model folder, or USER/REPO of the Hugging Face hub; $KNOWLIP_MODEL, where it is set, is the default."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=32))
    """How answers are written."""

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ValueError("The question is empty.")


@dataclass(frozen=True)
class SearchConfig:
    """What to look for, and where."""

    POSITIONAL: ClassVar = ("dataset", "text")

    dataset: Path
    """Data set whose tiles are searched; needs no texts."""
    text: str
    """What to look for, in words."""
    model: Path = field(default_factory=lambda: _model("demo/pretrain/model"))
    """Model folder, or USER/REPO of the Hugging Face hub; $KNOWLIP_MODEL, where it is set, is the default."""
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
