"""A folder as a product: only where it holds that product and no other scene, so that none is ever passed over."""

from collections.abc import Callable, Iterable
from pathlib import Path

_SCENES = {
    ".tif", ".tiff", ".ntf", ".nitf", ".nsf", ".sicd", ".sidd", ".cphd", ".h5", ".hdf5", ".npy", ".yaml", ".yml",
    ".zip", ".tar", ".gz",
}  # fmt: skip
"""Files that may be a scene, or describe one."""


def lone_product(
    folder: Path, is_entry: Callable[[Path], bool], owned: Callable[[Path], Iterable[Path]]
) -> Path | None:
    """The entry of the product that fills a folder.

    Args:
        folder: to look at, without its subfolders.
        is_entry: whether a file is the entry of such a product.
        owned: files that belong to the product of an entry.

    Returns:
        None where the folder holds no such product, several, subfolders, or anything else that may be a scene.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return None
    found = [entry for entry in entries if is_entry(entry) and entry.is_file()]
    if len(found) != 1 or any(entry.is_dir() for entry in entries):
        return None
    mine = {found[0], *owned(found[0])}
    others = [entry for entry in entries if entry.suffix.lower() in _SCENES and entry not in mine]
    return None if others else found[0]
