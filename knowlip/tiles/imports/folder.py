"""Class folders and image-and-mask pairs: the formats without label files."""

from pathlib import Path

from knowlip.tiles.imports.labels import IMAGES, ImageFinder, Label, LabelledImage, Problems, files_under, split_in


def read_folders(finder: ImageFinder) -> list[LabelledImage]:
    """Every image with the name of its folder as the label of the whole image.

    Raises:
        ValueError: images stand beside the class folders, so they have no class.
    """
    found = []
    for path in finder.paths:
        if path.parent == finder.folder:
            raise ValueError(f"{path} stands in no class folder; give the folder of the classes with --images.")
        thing = Label(path.parent.name, (0.0, 0.0, 0.0, 0.0), whole_image=True)
        found.append(LabelledImage(path, finder.name_of(path), (thing,), split=split_in(path, finder.folder)))
    return found


def read_pairs(finder: ImageFinder, masks: dict[str, Path], suffix: str, problems: Problems) -> list[LabelledImage]:
    """Every image that has a mask."""
    found = []
    for path in finder.paths:
        mask = masks.get(mask_key(path, suffix))
        if mask is None:
            problems.unlabelled.append(finder.name_of(path))
            continue
        found.append(LabelledImage(path, finder.name_of(path), (), mask.name, mask, split_in(path, finder.folder)))
    return found


def mask_key(path: Path, suffix: str) -> str:
    """What an image and its mask share: the name without extension and without the end that only one of them has."""
    return path.stem.removesuffix(suffix)


def masks_by_key(place: Path, suffix: str, image: Path | None) -> dict[str, Path]:
    """Masks by their key. A single mask file belongs to a single image (`image`), whatever their names."""
    if place.is_file() and image is not None:
        return {mask_key(image, ""): place}
    return {mask_key(path, suffix): path for path in files_under(place, IMAGES)}
