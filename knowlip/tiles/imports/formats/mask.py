"""Pairs of an image and a mask of class codes: no label files, no objects."""

from knowlip.tiles.imports.files import ImageFinder, split_in
from knowlip.tiles.imports.labels import LabelledImage, Problems
from knowlip.tiles.imports.masks import masks_of
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "pairs of image and class mask"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Every image that has a mask."""
    found = [
        LabelledImage(path, finder.name_of(path), (), mask.name, mask, split_in(path, finder.folder))
        for path, mask in masks_of(config, finder, problems).items()
    ]
    problems.unlabelled.extend(finder.unused())
    return found
