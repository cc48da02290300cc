"""One small file per product format. Every reader module has

- `NAME`: the format in a few words,
- `matches(path) -> bool`: whether the path (a file, or the folder of a product) is the entry of such a product; cheap,
- `open_product(path, overrides) -> list[Scene]`: one scene per chosen polarisation, opened lazily,
- `parts(path) -> list[Path]` (optional): files that belong to the product and are no scenes of their own.

The first reader that matches takes the path.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

READERS = (
    "sidecar",
    "sentinel1",
    "gaofen3",
    "terrasar",
    "capella",
    "iceye",
    "umbra",
    "nisar",
    "sicd",
    "opensarship",
    "chip",
    "geotiff",
)


def reader_of(path: Path) -> Any:
    """The module that reads `path`; None where no reader knows it."""
    for name in READERS:
        module = import_module(f"knowlip.scenes.readers.{name}")
        if module.matches(path):
            return module
    return None


def parts_of(path: Path) -> list[Path]:
    """Files that the product at `path` owns beside its entry."""
    parts = getattr(reader_of(path), "parts", None)
    return list(parts(path)) if parts else []
