"""Find scenes in files and folders, and open each with the reader of its format."""

import re
from collections.abc import Iterable
from pathlib import Path

from knowlip.scenes.readers.chip import chip_entry, open_chip
from knowlip.scenes.readers.geotiff import open_geotiff
from knowlip.scenes.scene import Scene, SceneOverrides

_RASTERS = (".tif", ".tiff")
_CHIPS = (".png",)
_NOT_A_SCENE = re.compile(r"\.landcover\.tiff?$|label|mask", re.IGNORECASE)


def find_scenes(paths: Iterable[Path | str]) -> list[Path]:
    """Scene files among `paths`; folders are searched with all their subfolders.

    In folders, land-cover rasters of the simulator, label and mask rasters, hidden files and images without an entry
    in `metadata.json` are passed over. A file named by the user is always taken.

    Returns:
        Paths sorted, each once.

    Raises:
        ValueError: a path does not exist, or nothing was found.
    """
    places = [Path(path) for path in paths]
    found: set[Path] = set()
    for path in places:
        if path.is_dir():
            found.update(file for file in sorted(path.rglob("*")) if _is_scene(file, path))
        elif path.exists():
            found.add(path)
        else:
            raise ValueError(f"{path} does not exist.")
    if not found:
        where = ", ".join(str(path) for path in places) or "an empty list of paths"
        raise ValueError(f"No scene found in {where}: a GeoTIFF (.tif) or a chip listed in metadata.json is needed.")
    return sorted(found)


def _is_scene(file: Path, root: Path) -> bool:
    inner = file.relative_to(root)
    if any(part.startswith(".") for part in inner.parts) or not file.is_file():
        return False
    if any(_NOT_A_SCENE.search(part) for part in inner.parts):
        return False
    suffix = file.suffix.lower()
    return suffix in _RASTERS or (suffix in _CHIPS and chip_entry(file) is not None)


def open_scene(path: Path | str, overrides: SceneOverrides | None = None) -> Scene:
    """Open a scene lazily (header and a few samples are read).

    Args:
        path: a GeoTIFF or COG, or an 8-bit chip with an entry in the `metadata.json` beside it.
        overrides: what the user knows better than the file.

    Raises:
        ValueError: one sentence that says what is wrong with the file.
    """
    path = Path(path)
    overrides = overrides or SceneOverrides()
    if path.suffix.lower() in _CHIPS and path.exists():
        entry = chip_entry(path)
        if entry is not None:
            return open_chip(path, entry, overrides)
    return open_geotiff(path, overrides)


def unique_ids(ids: Iterable[str]) -> list[str]:
    """Make identifiers unique in order: the second "port" becomes "port-2" (or the next number that is free)."""
    ids = list(ids)
    taken: set[str] = set(ids)
    seen: set[str] = set()
    result = []
    for name in ids:
        unique = name
        count = 2
        while unique in seen or (unique != name and unique in taken):
            unique = f"{name}-{count}"
            count += 1
        seen.add(unique)
        result.append(unique)
    return result
