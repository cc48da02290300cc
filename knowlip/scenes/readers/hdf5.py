"""HDF5 files as products: opened one thread at a time, looked into without trusting what is where."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, SceneError
from knowlip.scenes.geometry import slices
from knowlip.scenes.raster import Raster

SIGNATURE = b"\x89HDF\r\n\x1a\n"
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
            with h5py.File(path, "r") as file:
                yield file
        except SceneError:
            raise
        except _FAULTS as error:
            raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error


def group_at(parent: Any, path: str) -> Any:
    """The group at `path`; None where there is none."""
    found = parent.get(path) if parent is not None else None
    return found if hasattr(found, "visititems") else None


def dataset_at(parent: Any, path: str, dimensions: int) -> Any:
    """The dataset of numbers at `path`; None where there is none of so many dimensions."""
    found: Any = parent.get(path) if parent is not None else None
    if getattr(found, "shape", None) is None:
        return None
    return found if found.dtype.kind in "fiucb" and found.ndim == dimensions else None


def text_at(parent: Any, path: str) -> str:
    """A scalar string; "" where there is none."""
    found: Any = parent.get(path) if parent is not None else None
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
    """A two-dimensional dataset, or two that are the parts of complex numbers. NaN is no data, and so is what `mask`
    marks."""

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
        try:
            with _LOCK:
                if self._handle is None:
                    self._handle = h5py.File(self.path, "r")
                values = self._handle[self.dataset][here]
                imaginary = self._handle[self.imaginary][here] if self.imaginary else None
                mask = self._handle[self.mask][here] if self.mask else None
        except _FAULTS as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
        if imaginary is not None:
            values = values.astype(np.float32) + 1j * imaginary.astype(np.float32)
        valid = np.isfinite(values)
        if mask is not None:
            valid &= ~np.isin(mask, self.masked)
        return values, valid
