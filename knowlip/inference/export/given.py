"""Images of the user, for the scales of int8 and for what it costs: tiles of a data set, or pictures of a folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INFO
from knowlip.inference.images import read_image

_PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"])


@dataclass(frozen=True)
class GivenImages:
    """Some images in their order."""

    names: list[str]
    """Tiles, or names of files."""
    folder: Path
    data: Dataset | None
    """Where they are tiles."""
    told: str
    """What they are, for people."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Pixels (H, W) uint8 of each."""
        for name in self.names:
            yield self.data.image(name) if self.data else read_image(self.folder / name).pixels

    def __len__(self) -> int:
        return len(self.names)


def given_images(source: Path, part: Literal["train", "test"], most: int) -> GivenImages:
    """Images of a data set or a folder.

    Args:
        source: data set, or folder of pictures.
        part: split of a data set that is taken where it has tiles in it; else all tiles are, which is said.
        most: at most so many, evenly spaced.

    Raises:
        ValueError: neither, or nothing is in it.
    """
    if (source / INFO).is_file():
        data = Dataset(source)
        names, which = list(data.tiles(part)["tile_id"]), f"{part} tiles"
        if not names:
            names, which = list(data.tiles()["tile_id"]), f"tiles (none is of the split {part})"
        if not names:
            raise ValueError(f"{source} has no accepted tiles.")
        return GivenImages(_spaced(names, most), source, data, _told(names, most, which, source))
    if not source.is_dir():
        raise ValueError(f"{source} is neither a data set nor a folder of pictures.")
    every = sorted(entry.name for entry in source.iterdir() if not entry.name.startswith("."))
    names = [name for name in every if (source / name).is_file() and Path(name).suffix.lower() in _PICTURES]
    if not names:
        raise ValueError(f"{source} is no data set and holds no pictures ({', '.join(sorted(_PICTURES))}).")
    if len(every) > len(names):
        say(f"{source}: {len(every) - len(names)} of {len(every)} entries are no pictures and are passed over.")
    return GivenImages(_spaced(names, most), source, None, _told(names, most, "pictures", source))


def _spaced(names: list[str], most: int) -> list[str]:
    """At most so many, evenly spaced."""
    if len(names) <= most:
        return names
    return [names[at] for at in np.linspace(0, len(names) - 1, most).round().astype(int)]


def _told(names: list[str], most: int, which: str, source: Path) -> str:
    return f"{min(len(names), most)} of {len(names)} {which} of {source.resolve().name}"
