"""A raster as power and validity, window by window, whatever file the pixels come from."""

import threading
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from knowlip.scenes.calibration import Calibration
from knowlip.scenes.errors import DamagedProduct

GDAL_OPTIONS = {"GDAL_CACHEMAX": 64, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""Small block cache (scenes are streamed), no directory scans, and no `.aux.xml` files beside the user's data."""

_STRIP_PIXELS = 8_000_000
_COLLAR = 3
"""Zeros that run in from the border over at least this many pixels are a collar; its inner edge is eroded by one pixel,
because resampling and filtering leave half-empty pixels there."""


def to_power(values: np.ndarray, units: str) -> np.ndarray:
    """Pixel values -> linear power, float32.

    Args:
        values: any shape, real or complex (detected here: real^2 + imaginary^2).
        units: "amplitude" and "dn" are squared, "intensity" is taken as it is, "db" is 10^(x/10).
    """
    if values.dtype.kind == "c":
        real, imaginary = values.real.astype(np.float32), values.imag.astype(np.float32)
        return np.square(real, out=real) + np.square(imaginary, out=imaginary)
    power = values.astype(np.float32)
    if units in ("amplitude", "dn"):
        return np.square(power, out=power)
    if units == "db":
        power *= np.float32(np.log(10) / 10)
        return np.exp(power, out=power)
    return power


@dataclass
class Raster(ABC):
    """Pixels of one polarisation. Picklable: open handles stay behind."""

    path: Path
    """Named in messages."""
    units: str
    shape: tuple[int, int]
    """Rows, columns."""
    dtype: str
    nodata: float | None
    calibration: Calibration | None = None
    _collar: Any = field(default=None, repr=False, compare=False, kw_only=True)

    @abstractmethod
    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values (rows, columns) of a window inside the raster, real or complex, and a mask that is True on
        data (None: all of it)."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close the file; reading opens it again."""

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Power (rows, columns) float32, 0 where not valid, and the valid mask.

        Not valid are NaN and infinite pixels, the declared nodata value, masked pixels, negative linear values, and
        (where no nodata value is declared) the zeros that run inwards from the border along a row or column.
        An interior zero is data.
        """
        values, valid = self._checked(window)
        if self.nodata is None and self.units != "db":
            left, right, top, bottom = self._find_collar()
            rows = slice(int(window.row_off), int(window.row_off + window.height))
            columns = slice(int(window.col_off), int(window.col_off + window.width))
            x = np.arange(columns.start, columns.stop)[None, :]
            y = np.arange(rows.start, rows.stop)[:, None]
            if left[rows].max() > x[0, 0] or right[rows].min() < columns.stop:
                valid &= (x >= left[rows, None]) & (x < right[rows, None])
            if top[columns].max() > y[0, 0] or bottom[columns].min() < rows.stop:
                valid &= (y >= top[None, columns]) & (y < bottom[None, columns])
        power = to_power(values, self.units)
        valid &= np.isfinite(power)
        if self.calibration is not None:
            power = self.calibration.apply(power, window)
        if not valid.all():
            power[~valid] = 0.0
        return power, valid

    def has_data(self) -> bool:
        """Whether any pixel is valid. Looks at a few places first and reads everything only if those are empty."""
        return any(self._any_data(window) for window in (*self._looks(), *self._strips()))

    def samples(self) -> np.ndarray:
        """Valid values (not power) of 25 small windows over the scene, for guesses about the units."""
        found = []
        for window in self._looks():
            values, valid = self._checked(window)
            found.append(values[valid])
        return np.concatenate(found)

    def valid_fraction(self) -> float:
        """Share of valid pixels, by reading all of them."""
        total = sum(int(self.read(window)[1].sum()) for window in self._strips())
        return total / (self.shape[0] * self.shape[1])

    def _any_data(self, window: Window) -> bool:
        values, valid = self._checked(window)
        if self.nodata is None and self.units != "db":
            valid &= values != 0
        return bool(valid.any())

    def _looks(self) -> list[Window]:
        """25 small windows spread over the raster."""
        rows, columns = self.shape
        side = 64
        tops = np.linspace(0, max(rows - side, 0), 5).astype(int)
        lefts = np.linspace(0, max(columns - side, 0), 5).astype(int)
        return [Window(int(x), int(y), min(side, columns), min(side, rows)) for y in tops for x in lefts]

    def _strips(self) -> list[Window]:
        rows, columns = self.shape
        step = max(1, _STRIP_PIXELS // columns)
        return [Window(0, row, columns, min(step, rows - row)) for row in range(0, rows, step)]

    def _checked(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Stored values and which of them are data by themselves (the collar is not looked at)."""
        rows, columns = self.shape
        if window.width < 1 or window.height < 1:
            raise ValueError(f"Cannot read an empty window ({window.width} x {window.height} pixels) of {self.path}.")
        if (
            window.col_off < 0 or window.row_off < 0
            or window.col_off + window.width > columns or window.row_off + window.height > rows
        ):  # fmt: skip
            raise ValueError(f"{window} is not inside {self.path} ({columns} x {rows} pixels).")
        values, mask = self.values(window)
        valid = np.ones(values.shape, bool) if mask is None else mask
        if values.dtype.kind in "fc":
            valid &= np.isfinite(values)
        if self.nodata is not None and np.isfinite(self.nodata):
            valid &= values != self.nodata
        if self.units != "db" and values.dtype.kind in "if":
            valid &= values >= 0
        return values, valid

    def _find_collar(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First and one-past-last pixel inside the collar of every row and of every column; one pass, kept."""
        if self._collar is None:
            rows, columns = self.shape
            left, right = np.full(rows, columns), np.zeros(rows, int)
            top, bottom = np.full(columns, rows), np.zeros(columns, int)
            for window in self._strips():
                values, _ = self._checked(window)
                data = values != 0
                row = int(window.row_off)
                some = data.any(axis=1)
                here = slice(row, row + data.shape[0])
                left[here] = np.where(some, data.argmax(axis=1), columns)
                right[here] = np.where(some, columns - data[:, ::-1].argmax(axis=1), 0)
                some = data.any(axis=0)
                top = np.minimum(top, np.where(some, row + data.argmax(axis=0), rows))
                bottom = np.maximum(bottom, np.where(some, row + data.shape[0] - data[::-1].argmax(axis=0), 0))
            left, top = left + (left >= _COLLAR), top + (top >= _COLLAR)
            right, bottom = right - (columns - right >= _COLLAR), bottom - (rows - bottom >= _COLLAR)
            self._collar = (left, right, top, bottom)
        return self._collar


@dataclass
class RasterFile(Raster):
    """One band (or one pair of bands, real and imaginary) of a file that GDAL reads."""

    raster_band: int = 1
    imaginary_band: int = 0
    """Band with the imaginary part where `raster_band` holds the real part only; 0: none."""
    source: str = ""
    """GDAL's name of the raster where it is not the path (a member of an archive, a subdataset)."""
    _handles: dict[int, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    """Thread -> open file: GDAL's handles are not to be shared between threads."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def close(self) -> None:
        while self._handles:
            self._handles.popitem()[1].close()

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            with rasterio.Env(**GDAL_OPTIONS):
                handle = self._handles.get(threading.get_ident())
                if handle is None:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", NotGeoreferencedWarning)
                        handle = self._handles[threading.get_ident()] = rasterio.open(self.source or self.path)
                values = handle.read(self.raster_band, window=window)
                if self.imaginary_band:
                    imaginary = handle.read(self.imaginary_band, window=window)
                    values = values.astype(np.float32) + 1j * imaginary.astype(np.float32)
                mask = None
                if rasterio.enums.MaskFlags.per_dataset in handle.mask_flag_enums[self.raster_band - 1]:
                    mask = handle.read_masks(self.raster_band, window=window) != 0
        except (RasterioError, OSError) as error:
            self._handles.pop(threading.get_ident(), None)
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error.__cause__ or error})") from error
        return values, mask


@dataclass
class ArrayFile(Raster):
    """A NumPy `.npy` file, memory-mapped; real or complex, (rows, columns)."""

    _array: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}

    def close(self) -> None:
        self._array = None

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            if self._array is None:
                self._array = np.load(self.path, mmap_mode="r", allow_pickle=False)
            rows = slice(int(window.row_off), int(window.row_off + window.height))
            columns = slice(int(window.col_off), int(window.col_off + window.width))
            return np.array(self._array[rows, columns]), None
        except (OSError, ValueError) as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
