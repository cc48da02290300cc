"""One small file per product format, found by its file: nothing is registered anywhere. Every reader module has

- `NAME`: the format in a few words,
- `matches(path) -> bool`: whether the path (a file, or the folder of a product) is the entry of such a product; cheap,
- `open_product(path, overrides) -> list[Scene]`: one scene per chosen polarisation, opened lazily,
- `parts(path) -> list[Path]` (optional): files that belong to the product and are no scenes of their own,
- `ORDER` (optional, 50): of asking; the first reader that matches takes the path.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from knowlip.base.plugins import loaded_plugins, tell_hidden
from knowlip.base.progress import say
from knowlip.scenes.errors import SceneError
from knowlip.scenes.scene import Scene


def readers() -> tuple[Any, ...]:
    """All readers in the order in which they are asked: by `ORDER`, then by name; those of others are among them."""
    added = loaded_plugins("readers", ("NAME", "matches", "open_product"))
    tell_hidden("readers", _own())
    return _in_order({**added, **_own()})


@cache
def _own() -> dict[str, ModuleType]:
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)}
    return {name: module for name, module in modules.items() if hasattr(module, "matches")}


def _in_order(found: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(found[name] for name in sorted(found, key=lambda name: (getattr(found[name], "ORDER", 50), name)))


def reader_of(path: Path) -> Any:
    """The module that reads `path`; None where no reader knows it. One of a plug-in may be asked before one of
    ours that knows the path too: which of them reads it is said."""
    found = next((reader for reader in readers() if _takes(reader, path)), None)
    if found is not None and not _ours(found):
        hidden = next((reader for reader in _in_order(_own()) if reader.matches(path)), None)
        if hidden is not None:
            _said(f"  {path} is read by the plug-in {found.NAME}, and not as {hidden.NAME} by KnowLIP")
    return found


@cache
def _said(sentence: str) -> None:
    say(sentence)


def _ours(reader: Any) -> bool:
    return isinstance(reader, ModuleType) and reader.__name__.startswith(__name__)


def _takes(reader: Any, path: Path) -> bool:
    """Whether a reader takes a path; one of others that fails takes nothing, and that is said."""
    if _ours(reader):
        return bool(reader.matches(path))
    try:
        return bool(reader.matches(path))
    except Exception as error:  # code of a plug-in: it must not take the whole search with it
        say(f"  the reader {reader.NAME} of a plug-in fails on {path} ({type(error).__name__}: {error}): passed over")
        return False


def opened(reader: Any, path: Path, overrides: Any) -> list[Any]:
    """Scenes of a product by its reader.

    Raises:
        SceneError: the reader refuses the product, or is of a plug-in and fails.
    """
    if _ours(reader):
        return list(reader.open_product(path, overrides))
    try:
        scenes = list(reader.open_product(path, overrides))
    except ValueError:
        raise
    except Exception as error:  # it is another's code: whatever goes wrong in it is said with its name
        what = f"fails on it ({type(error).__name__}: {error})"
        raise SceneError(f"{path}: the reader {reader.NAME} of a plug-in {what}.") from error
    if strange := next((one for one in scenes if not isinstance(one, Scene)), None):
        raise SceneError(f"{path}: the reader {reader.NAME} of a plug-in gave a {type(strange).__name__}, not a Scene.")
    return scenes


def parts_of(path: Path) -> list[Path]:
    """Files that the product at `path` owns beside its entry."""
    parts = getattr(reader_of(path), "parts", None)
    return list(parts(path)) if parts else []
