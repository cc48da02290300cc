"""Find scenes in files and folders, and open each with the reader of its format."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from knowlip.scenes.errors import UnknownFormat
from knowlip.scenes.readers import geotiff, parts_of, reader_of
from knowlip.scenes.scene import Scene, SceneOverrides

_NOT_A_SCENE = re.compile(r"\.landcover\.tiff?$|label|mask", re.IGNORECASE)


def find_scenes(paths: Iterable[Path | str]) -> list[Path]:
    """Scene files and product folders among `paths`; folders are searched with all their subfolders.

    A product made of several files counts once. In folders, land-cover rasters of the simulator, label and mask
    rasters, hidden files and images that nothing describes are passed over. A file named by the user is always taken.

    Returns:
        Paths sorted, each once.

    Raises:
        ValueError: a path does not exist, or nothing was found.
    """
    places = [Path(path) for path in paths]
    found: set[Path] = set()
    for path in places:
        if not path.exists():
            raise ValueError(f"{path} does not exist.")
        found.update(_search(path) if path.is_dir() else [path])
    if not found:
        where = ", ".join(str(path) for path in places) or "an empty list of paths"
        raise ValueError(
            f"No scene found in {where}: a GeoTIFF, a product folder of a known sensor, or a *.scene.yaml that "
            "describes the images is needed."
        )
    return sorted(found)


def _search(root: Path) -> set[Path]:
    """Entries of products in a folder, without the files that other products own."""
    if reader_of(root):
        return {root}
    found: set[Path] = set()
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        products = [name for name in folders if reader_of(here / name)]
        found.update(here / name for name in products)
        folders[:] = [name for name in folders if name not in products]
        found.update(here / name for name in files if not name.startswith(".") and reader_of(here / name))
    found = {path for path in found if not _NOT_A_SCENE.search(str(path.relative_to(root)))}
    owned = {part.resolve() for path in found for part in parts_of(path)}
    return {path for path in found if path.resolve() not in owned}


def open_scenes(path: Path | str, overrides: SceneOverrides | None = None) -> list[Scene]:
    """Open a product lazily (headers and a few samples are read): one scene per chosen polarisation or member.

    Args:
        path: a file or the folder of a product.
        overrides: what the user knows better than the file.

    Raises:
        SceneError: one sentence that says what is wrong with the product; its type says which kind of refusal it is.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist.")
    reader = reader_of(path)
    if reader is None and path.is_dir():
        raise UnknownFormat(f"{path} is a folder, and no product of a known sensor.")
    scenes: list[Scene] = (reader or geotiff).open_product(path, overrides or SceneOverrides())
    return scenes


def open_scene(path: Path | str, overrides: SceneOverrides | None = None) -> Scene:
    """The first scene of a product, see :func:`open_scenes`."""
    return open_scenes(path, overrides)[0]


def unique_ids(ids: Iterable[str]) -> list[str]:
    """Make identifiers unique in order: the second "port" becomes "port-2" (or the next number that is free)."""
    ids = list(ids)
    taken: set[str] = set(ids)
    seen: set[str] = set()
    result = []
    for name in ids:
        unique, count = name, 2
        while unique in seen or (unique != name and unique in taken):
            unique = f"{name}-{count}"
            count += 1
        seen.add(unique)
        result.append(unique)
    return result
