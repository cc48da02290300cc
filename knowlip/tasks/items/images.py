"""Which tile an image of others is: by the name of its file, where no other image of theirs can have that tile."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from knowlip.dataset import Dataset
from knowlip.tiles.imports.run import slug

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
NO_TILE: Final = "no accepted tile has the name of the image"
SEVERAL_TILES: Final = "several tiles have the name of the image"
SEVERAL_IMAGES: Final = "several images of the file have the name of one tile"
SEVERAL_COLUMNS: Final = "its columns name several images"


class _Found(NamedTuple):
    """The tile of an image."""

    tile_id: str
    whole: bool
    """Whether by its folders too, letter by letter but for signs that names of tiles have not."""


class ImageNames:
    """Tiles by the names of images.

    Several files of others may name one image with more of its folders or less. Two images that come to one tile are
    not told from each other, nor are the folders that they lie in: of those only what is named with its folders counts.

    Args:
        data: has the tiles.
        images: names of all images of the files.
    """

    def __init__(self, data: Dataset, images: Iterable[str]) -> None:
        self._tiles: dict[str, str] = {}
        """Name of an image, as an import makes it part of a tile's name -> tile."""
        self._several: set[str] = set()
        index = data.tiles()
        for tile_id, scene in zip(index["tile_id"].astype(str), index["scene_id"].astype(str)):
            for name in {tile_id, tile_id.removeprefix(f"{scene}-")}:
                if self._tiles.setdefault(name, tile_id) != tile_id:
                    self._several.add(name)
        # One clash shows that a folder is not the set's, or that of two none is: its other images may be anybody's.
        of_tile: dict[str, dict[PurePosixPath, bool]] = {}
        for image in dict.fromkeys(images):
            found = self._find(image)
            if found is not None:
                of_tile.setdefault(found.tile_id, {})[_path(image)] = found.whole
        self._torn: set[PurePosixPath] = set()
        """Images that may not be those of their tiles."""
        folders: set[PurePosixPath] = set()
        for paths in of_tile.values():
            whole = [path for path, is_whole in paths.items() if is_whole]
            if not _one_image(whole):
                self._torn |= {*paths}
            elif not _one_image([*paths]):
                by_name = [path for path, is_whole in paths.items() if not is_whole]
                self._torn |= {*by_name}
                apart = {path.parent for path in paths}
                folders |= {path.parent for path in by_name} if len(apart) > 1 else set()
        folders.discard(PurePosixPath("."))
        self._torn |= {
            path
            for paths in of_tile.values()
            for path, is_whole in paths.items()
            if not is_whole and path.parent in folders
        }

    def tile(self, names: Sequence[str]) -> tuple[str, str]:
        """The tile of an image by all names that a record gives it, and "" or why there is none."""
        found = {name: one for name in names if (one := self._find(name)) is not None}
        tiles = {one.tile_id for one in found.values()}
        if len(tiles) > 1:
            return "", SEVERAL_COLUMNS
        if not tiles:
            is_several = any(one in self._several for name in names for one in _slugs(name))
            return "", SEVERAL_TILES if is_several else NO_TILE
        if any(_path(name) in self._torn for name in found):
            return "", SEVERAL_IMAGES
        return tiles.pop(), ""

    def _find(self, image: str) -> _Found | None:
        """The tile of the name with its folders, else of the name alone."""
        whole, alone = _slugs(image)
        name = next((one for one in (whole, alone) if one in self._tiles), "")
        if not name or name in self._several:
            return None
        # Letters that a tile's name cannot hold are lost: by them two images may differ.
        return _Found(self._tiles[name], name == whole and image.isascii() and whole != alone)


def _path(image: str) -> PurePosixPath:
    return PurePosixPath(image.replace("\\", "/"))


def _slugs(image: str) -> tuple[str, str]:
    """What an import makes of the name of a file, with its folders and without them."""
    path = _path(image)
    known = path.suffix.lower() in _SUFFIXES  # what stands behind a point may as well be a part of the name
    return slug(str(path.with_suffix("") if known else path)), slug(path.stem if known else path.name)


def _one_image(paths: Sequence[PurePosixPath]) -> bool:
    """Whether all are names of one image, with more of its folders or less, with its ending or without."""
    longest = max(paths, key=lambda path: len(path.parts), default=PurePosixPath())
    return all(_same(path, longest) for path in paths)


def _same(one: PurePosixPath, other: PurePosixPath) -> bool:
    known = [path.suffix.lower() in _SUFFIXES for path in (one, other)]
    if known[0] != known[1]:  # one has no ending
        one, other = (path.with_suffix("") if has else path for path, has in zip((one, other), known))
    folders = min(len(one.parts), len(other.parts))
    return one.parts[-folders:] == other.parts[-folders:] if folders else True
