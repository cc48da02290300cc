"""Pairs of an image and a mask of class codes: no label files, no objects."""

from knowlip.tiles.imports.labels import ImageFinder, LabelledImage, Problems, split_in
from knowlip.tiles.imports.masks import mask_key, masks_of
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "pairs of image and class mask"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Every image that has a mask."""
    found, masks = [], masks_of(config, finder)
    for path in finder.paths:
        mask = masks.get(mask_key(path, config.image_suffix))
        if mask is None:
            problems.unlabelled.append(finder.name_of(path))
            continue
        found.append(LabelledImage(path, finder.name_of(path), (), mask.name, mask, split_in(path, finder.folder)))
    return found
