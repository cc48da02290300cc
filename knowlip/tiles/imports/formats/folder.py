"""Class folders: no label files, every image is of the class that its folder names."""

import re
from pathlib import Path

from knowlip.tiles.imports.files import IMAGES, ImageFinder, empty_folders, folder_split, split_in
from knowlip.tiles.imports.labels import Label, LabelledImage, Problems
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a folder a class"
_NO_IMAGES = ("", ".txt", ".csv", ".md", ".xml", ".json", ".yaml", ".yml", ".html", ".pdf", ".py", ".db", ".ini")
"""Endings of files that nobody takes for an image of a class."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Every image with the name of its folder, or the part of its path that `class_names` says, as the label of the
    whole image; the split is named by a folder above.

    Raises:
        ValueError: images stand beside the class folders or the folders are splits, so they have no class.
    """
    empty = _without_images(finder, problems)
    if config.class_names:
        named = [_named(path, config.class_names, finder, problems) for path in finder.paths]
        there = {image.things[0].category for image in named}
        matches = [re.search(config.class_names, f"{name}/") for name in empty]
        problems.empty_folders += sorted({match[1] for match in matches if match is not None} - there)
        return named
    problems.empty_folders += empty
    classes = {path.parent.name for path in finder.paths}
    if classes and all(map(folder_split, classes)):
        raise ValueError(
            f"{finder.paths[0]} stands in the folder of a split, not of a class: label files need another --format."
        )
    if odd := sorted(filter(folder_split, classes)) if _are_split(finder) else []:
        problems.notes.append(f"{', '.join(odd[:3])} holds images itself and is taken for a class, not for a split.")
    # Rome/ship and Oslo/ship are one class, ship/other and plane/other are two: nothing tells which, so it is said.
    places: dict[str, set[str]] = {}
    for path in finder.paths:
        below = path.parent.relative_to(finder.folder).parts
        places.setdefault(path.parent.name, set()).add("/".join(part for part in below if not folder_split(part)))
    for name, alike in places.items():
        if len(alike) > 1:
            first = " and ".join(sorted(alike)[:2])
            problems.notes.append(f"{len(alike)} folders are one class, {name} ({first}): rename those that are not.")
    found = []
    for path in finder.paths:
        if path.parent == finder.folder:
            raise ValueError(f"{path} stands in no class folder; give the folder of the classes with --images.")
        problems.read += 1
        found.append(labelled(path, path.parent.name, finder, split_in(path.parent, finder.folder)))
    return found


def _without_images(finder: ImageFinder, problems: Problems) -> list[str]:
    """Folders in which no image is; files of other kinds are a note, as they may be images that are not read."""
    empty, others = empty_folders(finder.folder, IMAGES)
    unread = {ending: count for ending, count in sorted(others.items()) if ending not in _NO_IMAGES}
    if unread:
        told = ", ".join(f"{count} {ending}" for ending, count in [*unread.items()][:10])
        problems.notes.append(f"Files of other kinds are passed over in the class folders: {told}.")
    return [path.relative_to(finder.folder).as_posix() for path in empty]


def _are_split(finder: ImageFinder) -> bool:
    """Whether a folder above some class folder is named after a split."""
    return any(split_in(path.parent, finder.folder) for path in finder.paths)


def labelled(path: Path, category: str, finder: ImageFinder, split: str) -> LabelledImage:
    """An image with the label of the whole of it."""
    thing = Label(category, (0.0, 0.0, 0.0, 0.0), whole_image=True)
    return LabelledImage(path, finder.name_of(path), (thing,), split=split)


def _named(path: Path, pattern: str, finder: ImageFinder, problems: Problems) -> LabelledImage:
    found = re.search(pattern, path.relative_to(finder.folder).as_posix())
    if found is None or not found[1]:
        raise ValueError(f"class_names {pattern!r} finds no class in {path}; --only names the images of the set.")
    problems.read += 1
    return labelled(path, found[1], finder, split_in(path, finder.folder))
