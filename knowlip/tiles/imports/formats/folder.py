"""Class folders: no label files, every image is of the class that its folder names."""

from knowlip.tiles.imports.files import ImageFinder, folder_split, split_in
from knowlip.tiles.imports.labels import Label, LabelledImage, Problems
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a folder a class"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Every image with the name of its folder as the label of the whole image; the split is named by a folder above.

    Raises:
        ValueError: images stand beside the class folders or the folders are splits, so they have no class.
    """
    classes = {path.parent.name for path in finder.paths}
    if classes and all(map(folder_split, classes)):
        raise ValueError(
            f"{finder.paths[0]} stands in the folder of a split, not of a class: label files need another --format."
        )
    found = []
    for path in finder.paths:
        if path.parent == finder.folder:
            raise ValueError(f"{path} stands in no class folder; give the folder of the classes with --images.")
        problems.read += 1
        thing = Label(path.parent.name, (0.0, 0.0, 0.0, 0.0), whole_image=True)
        split = split_in(path.parent, finder.folder)
        found.append(LabelledImage(path, finder.name_of(path), (thing,), split=split))
    return found
