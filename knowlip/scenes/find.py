"""Find scenes in files and folders, and open each with the reader of its format."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from knowlip.base.progress import say
from knowlip.scenes.errors import UnknownFormat
from knowlip.scenes.layers import folder_of_layers, layer_of
from knowlip.scenes.levels import told_levels
from knowlip.scenes.readers import geotiff, opened, parts_of, reader_of
from knowlip.scenes.scene import Scene, SceneOverrides
from knowlip.scenes.terrain import over_terrain

_RASTERS = re.compile(
    r"\.(tiff?|img|npy|png|jpe?g|bmp|jp2|vrt|ntf|nitf|nsf|h5|hdf5?|nc|zip|dim|dat|raw|bin)", re.IGNORECASE
)
"""Ends of files that may hold a scene: those that are not read are told."""
_MOST_REASONS = 6
_LAND_COVER = ".landcover.tif"
"""What the simulator writes beside a scene, and a build reads as its truth."""


@dataclass(frozen=True)
class PassedOver:
    """A file of a searched folder that looks like a raster and is not read."""

    path: Path
    reason: str

    def record(self) -> dict[str, str]:
        return {"path": str(self.path), "reason": self.reason}


@dataclass(frozen=True)
class SceneSearch:
    """What a search found."""

    scenes: list[Path]  # Sorted, each once.
    passed_over: list[PassedOver]  # Sorted.


def find_scenes(paths: Iterable[Path | str]) -> list[Path]:
    """The scenes of :func:`search`; how many files were passed over is shown."""
    found = search(paths)
    if found.passed_over:
        say(f"  {passed_over_line(found.passed_over)}")
    return found.scenes


def search(paths: Iterable[Path | str]) -> SceneSearch:
    """Scene files and product folders among `paths`; folders are searched with all their subfolders, linked ones too.

    A product made of several files counts once. In folders, layers that are no backscatter (by name, see
    :mod:`knowlip.scenes.layers`), hidden files and images that nothing describes are passed over. A file named by the
    user is always taken; whether it is a scene is said when it is opened.

    Raises:
        ValueError: a path does not exist, or nothing was found.
    """
    places = [Path(path) for path in paths]
    found: set[Path] = set()
    passed: dict[Path, str] = {}
    for path in places:
        if not path.exists():
            raise ValueError(f"{path} does not exist.")
        found.update(_search(path, passed) if path.is_dir() else [path])
    over = [PassedOver(path, passed[path]) for path in sorted(passed.keys() - found)]
    if not found:
        where = ", ".join(str(path) for path in places) or "an empty list of paths"
        more = f" ({passed_over_line(over)})" if over else ""
        raise ValueError(
            f"No scene found in {where}: a GeoTIFF, a product folder of a known sensor, or a *.scene.yaml that "
            f"describes the images is needed.{more}"
        )
    return SceneSearch(sorted(found), over)


def passed_over_line(passed: list[PassedOver]) -> str:
    """How many files were passed over for which reason, in a line."""
    counts = Counter(item.reason for item in passed)
    return f"passed over: {', '.join(f'{count} ({reason})' for reason, count in counts.most_common(_MOST_REASONS))}"


def _search(root: Path, passed: dict[Path, str]) -> set[Path]:
    """Entries of products in a folder, without the files that other products own; what is not read goes to `passed`."""
    if reader_of(root):
        return {root}
    found: set[Path] = set()
    files_seen: list[Path] = []
    visited: set[Path] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if (place := here.resolve()) in visited:  # a link that leads back
            folders[:] = []
            continue
        visited.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        products = [name for name in folders if reader_of(here / name)]
        found.update(here / name for name in products)
        folders[:] = [name for name in folders if name not in products]
        files_seen += [here / name for name in files if not name.startswith(".")]
    for path in files_seen:
        reader = reader_of(path)
        # A reader of products knows its own files; any GeoTIFF may be a layer that stands beside images.
        if layer := _layer(path, root) if reader is geotiff else "":
            passed[path] = layer
        elif reader:
            found.add(path)
        elif _RASTERS.fullmatch(path.suffix) and path.is_file():
            passed[path] = "nothing describes it"
    owned = {part.resolve() for path in found for part in parts_of(path)}
    for path in [path for path in passed if path.resolve() in owned or path.name.lower().endswith(_LAND_COVER)]:
        del passed[path]
    return {path for path in found if path.resolve() not in owned}


def _layer(path: Path, root: Path) -> str:
    """Why a file of a searched folder is no scene, by its name or the folders it lies in; "" where it may be one."""
    if layer := layer_of(path.stem):
        return f"holds {layer}"
    folders = path.relative_to(root).parts[:-1]
    return next((f"lies in a folder {name}" for name in folders if folder_of_layers(name)), "")


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
    wanted = overrides or SceneOverrides()
    scenes: list[Scene] = [told_levels(_unheeded(scene, wanted)) for scene in opened(reader or geotiff, path, wanted)]
    if not wanted.dem:
        return scenes

    @lru_cache(maxsize=3)
    def at(height_m: float) -> list[Scene]:
        again: list[Scene] = opened(
            reader or geotiff, path, replace(wanted, dem="", dem_offset_m=0.0, height_m=height_m)
        )
        return again

    # Readers list the scenes of a product in one order, so each is found again at another height by its number.
    return [over_terrain(scene, wanted, lambda h, k=k: at(h)[k]) for k, scene in enumerate(scenes)]  # type: ignore[misc]


def _unheeded(scene: Scene, wanted: SceneOverrides) -> Scene:
    """The scene with notes of settings that its product leaves no room for: a wish is never dropped in silence."""
    notes = scene.notes
    calibration = scene.raster.calibration
    noisy = wanted.denoise and (calibration is None or calibration.noise is None)
    if noisy and not any("noise is not subtracted" in note.lower() for note in notes):
        notes += ("Noise is not subtracted: nothing that is read of the product describes it.",)
    if wanted.units and {wanted.units, scene.units} not in ({scene.units}, {"amplitude", "dn"}):
        notes += (f"Units {wanted.units} are not used: its pixels are read as {scene.units}, as the product says.",)
    return scene if notes is scene.notes else replace(scene, notes=notes)


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
