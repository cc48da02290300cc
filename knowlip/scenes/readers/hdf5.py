"""HDF5 files as products: opened one thread at a time, looked into without trusting what is where."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, SceneError
from knowlip.scenes.geometry import slices
from knowlip.scenes.opening import LARGEST_BLOCK, require_file, require_size, stored_bytes
from knowlip.scenes.raster import Raster

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_LINKS = 8
"""Links within a file that are followed one after another."""
_LOCK = threading.Lock()
"""The HDF5 library serves one thread at a time."""
_FAULTS = (OSError, KeyError, RuntimeError, ValueError, TypeError)
"""What h5py raises on files that are truncated or scrambled."""


def import_h5py() -> Any:
    """h5py, an extra; a ValueError that names it where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise ValueError("HDF5 products need h5py; install it with: pip install 'knowlip[sicd]'.") from None
    return h5py


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The root group of a file.

    Raises:
        DamagedProduct: it cannot be opened or read.
    """
    h5py = import_h5py()
    with _LOCK:
        try:
            require_file(path)
            with h5py.File(path, "r") as file:
                yield file
        except SceneError:
            raise
        except _FAULTS as error:
            raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error


def holds(path: Path, wanted: Callable[[Any], bool]) -> bool:
    """Whether a renamed file is of a product; only looked at where h5py is installed.

    Args:
        path: the file.
        wanted: says so of its root group.
    """
    with path.open("rb") as stream:
        if stream.read(8) != SIGNATURE:
            return False
    if find_spec("h5py") is None:
        return False
    try:
        with opened(path) as file:
            return wanted(file)
    except DamagedProduct:
        return False


def item_at(parent: Any, path: str, links: int = _MOST_LINKS) -> Any:
    """The group or dataset at `path`; None where there is none.

    Raises:
        DamagedProduct: the way there leads to another file, or in a circle.
    """
    h5py = import_h5py()
    for name in path.strip("/").split("/") if parent is not None else ():
        link = parent.get(name, getlink=True) if hasattr(parent, "visititems") else None
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink) or (isinstance(link, h5py.SoftLink) and not links):
            raise DamagedProduct(f"{parent.file.filename}: {path} is a link to another file, which is not followed.")
        if isinstance(link, h5py.SoftLink):
            parent = item_at(parent.file if link.path.startswith("/") else parent, link.path, links - 1)
        else:
            parent = parent[name]
        if parent is None:
            return None
    return parent


def require_plain(dataset: Any, path: Path) -> None:
    """Refuse a dataset whose numbers lie in other files, or whose size its own file does not hold.

    Raises:
        DamagedProduct: see above.
    """
    if not hasattr(dataset, "external"):
        raise DamagedProduct(f"{path} holds no numbers where its product has some, is it complete?")
    if dataset.external or dataset.is_virtual:
        raise DamagedProduct(f"{path}: {dataset.name} keeps its numbers in other files, which are not opened.")
    if dataset.shape is None:
        return
    stored = min(stored_bytes(path), dataset.id.get_storage_size())
    paired = dataset.ndim == 3 and dataset.shape[2] == 2  # real and imaginary part
    rows, columns = (*dataset.shape, 1, 1)[:2] if dataset.ndim <= 2 or paired else (1, 1)
    require_size(path, (int(rows), int(columns)), dataset.dtype.itemsize * (2 if paired else 1), stored)
    if dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > LARGEST_BLOCK:
        most = f"{LARGEST_BLOCK >> 20} MB"
        raise DamagedProduct(f"{path}: {dataset.name} is stored in chunks above the {most} that are decoded at once.")


def group_at(parent: Any, path: str) -> Any:
    """The group at `path`; None where there is none."""
    found = item_at(parent, path)
    return found if hasattr(found, "visititems") else None


def dataset_at(parent: Any, path: str, dimensions: int) -> Any:
    """The dataset of numbers at `path`; None where there is none of so many dimensions."""
    found = item_at(parent, path)
    if getattr(found, "shape", None) is None:
        return None
    if found.ndim:
        require_plain(found, Path(found.file.filename))
    return found if found.dtype.kind in "fiucb" and found.ndim == dimensions else None


def pixels_at(parent: Any, path: str) -> Any:
    """The dataset of pixels at `path`: two dimensions of numbers, of complex numbers (also as pairs of half precision
    called r and i), or a third dimension of two; None where there is none."""
    found = item_at(parent, path)
    if getattr(found, "shape", None) is None or found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] != 2):
        return None
    require_plain(found, Path(found.file.filename))
    paired = found.dtype.names == ("r", "i") and all(found.dtype[name].kind == "f" for name in ("r", "i"))
    return found if paired or found.dtype.kind in "fiuc" else None


def text_at(parent: Any, path: str) -> str:
    """A scalar string; "" where there is none."""
    found = item_at(parent, path)
    if getattr(found, "shape", None) != ():
        return ""
    value = found[()]
    return value.decode("utf-8", "replace").strip("\x00 ") if isinstance(value, bytes) else str(value)


def number_at(parent: Any, path: str) -> float:
    """A scalar number; NaN where there is none."""
    found = dataset_at(parent, path, 0)
    return float(np.real(found[()])) if found is not None else float("nan")


@dataclass
class Hdf5Raster(Raster):
    """A two-dimensional dataset, or two that are the parts of complex numbers, which may also be pairs (r, i) or lie in
    a third dimension of two. NaN is no data, and so is what `mask` marks."""

    dataset: str = ""  # Path inside the file.
    imaginary: str = ""  # Path of the imaginary part, where `dataset` is the real one; "": real numbers.
    mask: str = ""  # Path of a mask of the same shape; "" where there is none.
    masked: tuple[int, ...] = ()  # Values of the mask that are no data.
    _handle: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def close(self) -> None:
        with _LOCK:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        here, h5py = slices(window), import_h5py()
        require_file(self.path)
        try:
            with _LOCK:
                if self._handle is None:
                    file = h5py.File(self.path, "r")
                    for name in filter(None, (self.dataset, self.imaginary, self.mask)):
                        require_plain(item_at(file, name), self.path)
                    self._handle = file
                values = self._handle[self.dataset][here]
                imaginary = self._handle[self.imaginary][here] if self.imaginary else None
                mask = self._handle[self.mask][here] if self.mask else None
        except SceneError:
            raise
        except _FAULTS as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
        # Complex numbers come in four forms: as such, as pairs, as a third dimension, as two datasets.
        if values.dtype.names:
            values = values["r"].astype(np.float32) + 1j * values["i"].astype(np.float32)
        elif values.ndim == 3:
            values = values[..., 0].astype(np.float32) + 1j * values[..., 1].astype(np.float32)
        if imaginary is not None:
            values = values.astype(np.float32) + 1j * imaginary.astype(np.float32)
        valid = np.isfinite(values)
        if mask is not None:
            valid &= ~np.isin(mask, self.masked)
        return values, valid
