"""Class folders: no label files, every image is of the class that its folder names."""

from knowlip.tiles.imports.labels import ImageFinder, Label, LabelledImage, Problems, split_in
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a folder a class"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
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
