"""Settings of `knowlip index`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knowlip.inference.scene_settings import PredictWordsConfig


@dataclass(frozen=True, kw_only=True)
class IndexConfig(PredictWordsConfig):
    """What goes into an archive, and what out of it."""

    POSITIONAL: ClassVar = ("scenes",)

    scenes: list[Path] = ()  # type: ignore[assignment]
    """Scene files, folders of them, and data sets (their accepted tiles)."""
    remove: list[str] = ()  # type: ignore[assignment]
    """Names of sources to remove, as `knowlip index --out ARCHIVE` lists them."""
