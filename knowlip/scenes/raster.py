"""A raster file as power and validity, window by window."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

GDAL_OPTIONS = {"GDAL_CACHEMAX": 64, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""Small block cache (scenes are streamed), no directory scans, and no `.aux.xml` files beside the user's data."""

_STRIP_PIXELS = 8_000_000


def to_power(values: np.ndarray, units: str) -> np.ndarray:
    """Detected pixel values -> linear power, float32.

    Args:
        values: any shape, real.
        units: "amplitude" and "dn" are squared, "intensity" is taken as it is, "db" is 10^(x/10).
    """
    power = values.astype(np.float32)
    if units in ("amplitude", "dn"):
        return np.square(power, out=power)
    if units == "db":
        power *= np.float32(np.log(10) / 10)
        return np.exp(power, out=power)
    return power


@dataclass
class RasterFile:
    """One band of a file that GDAL reads. Picklable: the open handle stays behind."""

    path: Path
    raster_band: int
    units: str
    shape: tuple[int, int]
    dtype: str
    nodata: float | None
    _handle: Any = field(default=None, repr=False, compare=False)
    _collar: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Power (rows, columns) float32, 0 where not valid, and the valid mask.

        Not valid are NaN and infinite pixels, the declared nodata value, masked pixels, negative linear values, and
        (where no nodata value is declared) the zeros that run inwards from the border along a row or column.
        An interior zero is data.
        """
        values, valid = self._read_values(window)
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
        if not valid.all():
            power[~valid] = 0.0
        return power, valid

    def has_data(self) -> bool:
        """Whether any pixel is valid. Looks at a few places first and reads everything only if those are empty."""
        rows, columns = self.shape
        side = 64
        for row in np.linspace(0, max(rows - side, 0), 5).astype(int):
            for column in np.linspace(0, max(columns - side, 0), 5).astype(int):
                window = Window(int(column), int(row), min(side, columns), min(side, rows))
                if self._any_data(window):
                    return True
        return any(self._any_data(window) for window in self._strips())

    def samples(self) -> np.ndarray:
        """Valid values (not power) of 25 small windows over the scene, for guesses about the units."""
        rows, columns = self.shape
        side, found = 64, []
        for row in np.linspace(0, max(rows - side, 0), 5).astype(int):
            for column in np.linspace(0, max(columns - side, 0), 5).astype(int):
                values, valid = self._read_values(Window(int(column), int(row), min(side, columns), min(side, rows)))
                found.append(values[valid])
        return np.concatenate(found)

    def _any_data(self, window: Window) -> bool:
        values, valid = self._read_values(window)
        if self.nodata is None and self.units != "db":
            valid &= values != 0
        return bool(valid.any())

    def _strips(self) -> list[Window]:
        rows, columns = self.shape
        step = max(1, _STRIP_PIXELS // columns)
        return [Window(0, row, columns, min(step, rows - row)) for row in range(0, rows, step)]

    def _read_values(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = self.shape
        if window.width < 1 or window.height < 1:
            raise ValueError(f"Cannot read an empty window ({window.width} x {window.height} pixels) of {self.path}.")
        if (
            window.col_off < 0 or window.row_off < 0
            or window.col_off + window.width > columns or window.row_off + window.height > rows
        ):  # fmt: skip
            raise ValueError(f"{window} is not inside {self.path} ({columns} x {rows} pixels).")
        try:
            if self._handle is None:
                with rasterio.Env(**GDAL_OPTIONS), warnings.catch_warnings():
                    warnings.simplefilter("ignore", NotGeoreferencedWarning)
                    self._handle = rasterio.open(self.path)
            with rasterio.Env(**GDAL_OPTIONS):
                values = self._handle.read(self.raster_band, window=window)
                flags = self._handle.mask_flag_enums[self.raster_band - 1]
                masked = None
                if rasterio.enums.MaskFlags.per_dataset in flags:
                    masked = self._handle.read_masks(self.raster_band, window=window) == 0
        except (RasterioError, OSError) as error:
            self._handle = None
            raise ValueError(f"{self.path} cannot be read, is it complete? ({error.__cause__ or error})") from error
        valid = np.ones(values.shape, bool)
        if values.dtype.kind == "f":
            valid &= np.isfinite(values)
        if masked is not None:
            valid &= ~masked
        if self.nodata is not None and np.isfinite(self.nodata):
            valid &= values != self.nodata
        if self.units != "db" and values.dtype.kind != "u":
            valid &= values >= 0
        return values, valid

    def _find_collar(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First and one-past-last non-zero pixel of every row and of every column; one streaming pass, kept."""
        if self._collar is None:
            rows, columns = self.shape
            left, right = np.full(rows, columns), np.zeros(rows, int)
            top, bottom = np.full(columns, rows), np.zeros(columns, int)
            for window in self._strips():
                values, valid = self._read_values(window)
                data = valid & (values != 0)
                row = int(window.row_off)
                some = data.any(axis=1)
                here = slice(row, row + data.shape[0])
                left[here] = np.where(some, data.argmax(axis=1), columns)
                right[here] = np.where(some, columns - data[:, ::-1].argmax(axis=1), 0)
                some = data.any(axis=0)
                top = np.minimum(top, np.where(some, row + data.argmax(axis=0), rows))
                bottom = np.maximum(bottom, np.where(some, row + data.shape[0] - data[::-1].argmax(axis=0), 0))
            self._collar = (left, right, top, bottom)
        return self._collar
