"""One small file per product format, found by its file: nothing is registered anywhere. Every reader module has

- `NAME`: the format in a few words,
- `matches(path) -> bool`: whether the path (a file, or the folder of a product) is the entry of such a product; cheap,
- `open_product(path, overrides) -> list[Scene]`: one scene per chosen polarisation, opened lazily,
- `parts(path) -> list[Path]` (optional): files that belong to the product and are no scenes of their own,
- `ORDER` (optional, 50): of asking; the first reader that matches takes the path.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType


@cache
def readers() -> tuple[ModuleType, ...]:
    """All readers in the order in which they are asked: by `ORDER`, then by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    found = [module for module in modules if hasattr(module, "matches")]
    return tuple(sorted(found, key=lambda module: (getattr(module, "ORDER", 50), module.__name__)))


def reader_of(path: Path) -> ModuleType | None:
    """The module that reads `path`; None where no reader knows it."""
    return next((module for module in readers() if module.matches(path)), None)


def parts_of(path: Path) -> list[Path]:
    """Files that the product at `path` owns beside its entry."""
    parts = getattr(reader_of(path), "parts", None)
    return list(parts(path)) if parts else []
