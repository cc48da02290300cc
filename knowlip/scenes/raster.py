"""A raster as power and validity, window by window, whatever file the pixels come from."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from knowlip.scenes.calibration import Constant, Radiometry
from knowlip.scenes.collar import Collar, find_collar
from knowlip.scenes.detect import detect, look_up
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.geometry import slices
from knowlip.scenes.opening import GDAL_OPTIONS, open_array, open_raster

LEVELS_DB = (-200.0, 200.0)
"""What lies outside is no level that a radar measures, but a number that stands for no data (-9999, -999, 1e20)."""
LARGEST_VALUE = 1e30
"""Larger linear values stand for no data (3.4e38, 9.97e36)."""
_STRIP_PIXELS = 4_000_000
_TABLES = {"uint8": 1 << 8, "uint16": 1 << 16}
_LOCK = threading.Lock()
"""Guards what several threads that read one raster would work out twice: its collar, its table."""


def to_power(values: np.ndarray, units: str) -> np.ndarray:
    """Pixel values -> linear power, float32.

    Args:
        values: any shape, real or complex (detected here: real^2 + imaginary^2).
        units: "amplitude" and "dn" are squared, "intensity" is taken as it is, "db" is 10^(x/10).
    """
    if units == "db" and values.dtype.kind != "c":
        power = values.astype(np.float32)
        power *= np.float32(np.log(10) / 10)
        return np.exp(power, out=power)
    return detect(values, squared=units in ("amplitude", "dn"))


@dataclass
class Raster(ABC):
    """Pixels of one polarisation. Picklable: open handles stay behind."""

    path: Path  # Named in messages.
    units: str
    shape: tuple[int, int]  # Rows, columns.
    dtype: str
    nodata: float | None
    calibration: Radiometry | None = None
    scale: float = field(default=1.0, kw_only=True)  # What the file declares: number = scale * stored value + offset.
    offset: float = field(default=0.0, kw_only=True)
    imaginary_scaling: tuple[float, float] | None = field(default=None, kw_only=True)
    """Scale and offset of the imaginary part, where it is a band of its own; None: there is no such band."""
    fills: tuple[float, ...] = field(default=(), kw_only=True)  # Stored values that are no data, though undeclared.
    _collar: Collar | None = field(default=None, repr=False, compare=False, kw_only=True)
    _table: Any = field(default=None, repr=False, compare=False, kw_only=True)

    @abstractmethod
    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values (rows, columns) of a window inside the raster, real or complex, and a mask that is True on
        data (None: all of it)."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Close the file; reading opens it again."""

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Power (rows, columns) float32, 0 where not valid, and the valid mask.

        Not valid are NaN and infinite pixels, the declared nodata value, masked pixels, negative linear values, values
        beyond `LEVELS_DB` or `LARGEST_VALUE`, and (where no nodata value is declared) the zeros that run inwards from
        the border along a row or column. An interior zero is data.
        """
        values, valid = self.stored(window)
        table = self.table
        if table is not None:
            return look_up(values, table, valid), np.ones(values.shape, bool) if valid is None else valid
        power = to_power(self.physical(values), self.units)
        finite = np.isfinite(power)
        valid = finite if valid is None else np.logical_and(valid, finite, out=valid)
        if self.calibration is not None:
            power = self.calibration.apply(power, window)
        if not valid.all():
            power[~valid] = 0.0
        return power, valid

    @property
    def table(self) -> np.ndarray | None:
        """(256,) or (65536,) float32: the calibrated power of every stored value, where that is all there is to know
        (8 and 16 bit unsigned numbers, the same calibration everywhere); else None."""
        if self.dtype not in _TABLES or self.imaginary_scaling is not None:
            return None
        if self.calibration is not None and not _is_constant(self.calibration):
            return None
        with _LOCK:
            if self._table is None:
                with np.errstate(over="ignore"):  # of stored values that no pixel need have
                    power = to_power(self.physical(np.arange(_TABLES[self.dtype], dtype=self.dtype)), self.units)
                if self.calibration is not None:
                    power = self.calibration.apply(power[None, :], Window(0, 0, power.size, 1))[0]
                self._table = power
            table: np.ndarray = self._table
        return table

    def physical(self, values: np.ndarray) -> np.ndarray:
        """The numbers that stored values stand for, by the declared scale and offset."""
        if not self.scaled:
            return values
        if self.imaginary_scaling is not None:
            both = np.empty(values.shape, np.complex64)
            both.real = values.real * np.float32(self.scale) + np.float32(self.offset)
            both.imag = values.imag * np.float32(self.imaginary_scaling[0]) + np.float32(self.imaginary_scaling[1])
            return both
        return values * np.float32(self.scale) + np.float32(self.offset)

    @property
    def scaled(self) -> bool:
        """Whether a scale or an offset is declared."""
        return (self.scale, self.offset) != (1.0, 0.0) or self.imaginary_scaling not in (None, (1.0, 0.0))

    @property
    def _zeros_frame(self) -> bool:
        """Whether zeros that run in from the border are a collar: nothing is declared as nodata, and zero is no level
        that fills lines by chance (of whole or scaled levels, where the distribution says so: `fills`)."""
        measured = self.units == "db" and (self.scaled or not self.dtype.startswith("float"))
        return self.nodata is None and (not measured or 0.0 in self.fills)

    def stored(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values (rows, columns) of a window and which of them are data, None where all are: what `read` says,
        before power is made of it (and power that is no number found)."""
        values, valid = self._checked(window)
        if self._zeros_frame:
            inside = self._find_collar().inside(window)
            if inside is not None:
                valid = inside if valid is None else valid & inside
        return values, valid

    def has_data(self) -> bool:
        """Whether any pixel is valid. Looks at a few places first and reads everything only if those are empty."""
        return any(self._any_data(window) for window in (*self._probes(), *self._strips()))

    def samples(self) -> np.ndarray:
        """(N,) stored values of 25 small windows over the scene, without nodata, masked and infinite ones."""
        found = []
        for window in self._probes():
            values, valid = self.values(window)
            kept = np.isfinite(values) if valid is None else valid & np.isfinite(values)
            if self.nodata is not None:
                kept &= values != self.nodata
            found.append(values[kept])
        return np.concatenate(found)

    def valid_fraction(self) -> float:
        """Share of valid pixels, by reading all of them."""
        total = sum(int(self.read(window)[1].sum()) for window in self._strips())
        return total / (self.shape[0] * self.shape[1])

    def _any_data(self, window: Window) -> bool:
        values, valid = self._checked(window)
        if self._zeros_frame:
            return bool((values != 0).any() if valid is None else (valid & (values != 0)).any())
        return valid is None or bool(valid.any())

    def _probes(self) -> list[Window]:
        """25 small windows spread over the raster."""
        rows, columns = self.shape
        side = 64
        tops = np.linspace(0, max(rows - side, 0), 5).astype(int)
        lefts = np.linspace(0, max(columns - side, 0), 5).astype(int)
        places = dict.fromkeys((int(x), int(y)) for y in tops for x in lefts)
        return [Window(x, y, min(side, columns), min(side, rows)) for x, y in places]

    def _strips(self) -> list[Window]:
        rows, columns = self.shape
        step = max(1, _STRIP_PIXELS // columns)
        return [Window(0, row, columns, min(step, rows - row)) for row in range(0, rows, step)]

    def _checked(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Stored values and which of them are data by themselves, None: all (the collar is not looked at)."""
        rows, columns = self.shape
        if window.width < 1 or window.height < 1:
            raise ValueError(f"Cannot read an empty window ({window.width} x {window.height} pixels) of {self.path}.")
        below = window.col_off + window.width > columns or window.row_off + window.height > rows
        if below or min(window.col_off, window.row_off) < 0:
            raise ValueError(f"{window} is not inside {self.path} ({columns} x {rows} pixels).")
        values, valid = self.values(window)
        fills = [fill for fill in (self.nodata, *self.fills) if fill is not None and np.isfinite(fill)]
        # A declared value is one of each band: without data are pixels of a pair where both parts hold it.
        tests = [values != (fill if self.imaginary_scaling is None else complex(fill, fill)) for fill in fills]
        if values.dtype.kind == "c":
            tests.append(np.isfinite(values))
        elif self.units == "db":
            numbers = self.physical(values)
            tests += [numbers >= LEVELS_DB[0], numbers <= LEVELS_DB[1]]
        elif values.dtype.kind in "if" or self.scaled:
            numbers = self.physical(values)
            tests += [numbers >= 0, numbers <= LARGEST_VALUE] if numbers.dtype.kind == "f" else [numbers >= 0]
        for test in tests:
            valid = test if valid is None else np.logical_and(valid, test, out=valid)
        return values, None if valid is None or valid.all() else valid

    def _find_collar(self) -> Collar:
        """The collar, found once and kept."""
        with _LOCK:
            if self._collar is None:
                self._collar = find_collar(lambda window: self.values(window)[0], self.shape, self.block_shape())
            return self._collar

    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of the blocks that the file is stored in."""
        return 1, self.shape[1]


def _is_constant(calibration: Radiometry) -> bool:
    return isinstance(calibration.gain, Constant) and isinstance(calibration.noise, Constant | None)


@dataclass
class RasterFile(Raster):
    """One band (or one pair of bands, real and imaginary) of a file that GDAL reads."""

    raster_band: int = 1
    imaginary_band: int = 0  # Band with the imaginary part where `raster_band` holds the real part only; 0: none.
    source: str = ""  # GDAL's name of the raster where it is not the path (a member of an archive, a subdataset).
    imaginary_file: Path | None = None  # File with the imaginary part, where it is another one.
    mask_file: Path | None = None  # File of the same size whose values `masked` mark pixels that are no data.
    masked: tuple[int, ...] = ()
    _handles: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    """Thread and file -> open file: GDAL's handles are not to be shared between threads."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def close(self) -> None:
        while self._handles:
            self._handles.popitem()[1].close()

    def block_shape(self) -> tuple[int, int]:
        with self._reading(), rasterio.Env(**GDAL_OPTIONS):
            rows, columns = self._handle().block_shapes[self.raster_band - 1]
        return int(rows), int(columns)

    def _handle(self, beside: Path | None = None) -> Any:
        """The open file of this thread, or the one `beside` it with imaginary parts."""
        key = threading.get_ident(), beside
        handle = self._handles.get(key)
        if handle is None:
            opened = open_raster(beside) if beside is not None else open_raster(self.path, self.source)
            handle = self._handles[key] = opened
        return handle

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Name the file in what goes wrong."""
        try:
            yield
        except (RasterioError, OSError) as error:
            for key in [key for key in self._handles if key[0] == threading.get_ident()]:
                del self._handles[key]
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error.__cause__ or error})") from error

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        with self._reading(), rasterio.Env(**GDAL_OPTIONS):
            handle = self._handle()
            values = handle.read(self.raster_band, window=window)
            if self.imaginary_band or self.imaginary_file:
                other = self._handle(self.imaginary_file) if self.imaginary_file else handle
                both = np.empty(values.shape, np.complex64)
                both.real, both.imag = values, other.read(self.imaginary_band or 1, window=window)
                values = both
            mask = None
            if rasterio.enums.MaskFlags.per_dataset in handle.mask_flag_enums[self.raster_band - 1]:
                mask = handle.read_masks(self.raster_band, window=window) != 0
            if self.mask_file is not None:
                kept = ~np.isin(self._handle(self.mask_file).read(1, window=window), self.masked)
                mask = kept if mask is None else mask & kept
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
        if self._array is None:
            self._array = open_array(self.path)
        try:
            return np.array(self._array[slices(window)]), None
        except (OSError, ValueError) as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
