"""What an open file of GDAL's shows as grey: its colours, palette, white-is-zero and few bits, and what it says is no
data."""

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

_LUMA = (299, 587, 114)
"""Weights of red, green and blue in grey (ITU-R BT.601), thousandths."""
_SIDEWAYS = (5, 6, 7, 8)


class RefusedPicture(ValueError):
    """A picture that is whole but is not taken."""


def to_grey(bands: np.ndarray) -> tuple[np.ndarray, bool]:
    """Red, green and blue -> one band, and whether they differed.

    Args:
        bands: (3, H, W) of 8 or 16 bit, or (1, H, W) of any type.

    Returns:
        (H, W) of the same type, rounded.
    """
    if len(bands) == 1 or ((bands[0] == bands[1]).all() and (bands[0] == bands[2]).all()):
        return np.ascontiguousarray(bands[0]), False
    weighted = sum(weight * band.astype(np.uint32) for weight, band in zip(_LUMA, bands))
    return ((np.asarray(weighted) + 500) // 1000).astype(bands.dtype), True


def turn(values: np.ndarray, orientation: int) -> np.ndarray:
    """Stored rows and columns -> as shown, by an EXIF orientation of 2 to 8."""
    if orientation in _SIDEWAYS:
        values = values.T
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


class Shown:
    """An open file of GDAL's as the grey that it shows."""

    def __init__(self, file: Any, path: Path):
        self.file = file
        colours = list(file.colorinterp)
        self.data = [band for band, of in enumerate(colours, 1) if of != ColorInterp.alpha]
        first = colours[self.data[0] - 1] if self.data else None
        self.masked = any(MaskFlags.all_valid not in file.mask_flag_enums[band - 1] for band in self.data)
        self.mask_band = 0
        if len(self.data) in (2, 4) and file.dtypes[0] == "uint8" and _is_mask(file, self.data[-1]):
            # Many programs call a mask "unspecified": a last band of 0 and 255 alone is one.
            self.mask_band, self.masked = self.data.pop(), True
        self.palette = _palette(file) if first == ColorInterp.palette and len(self.data) == 1 else None
        self.white_is_zero = file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES" and self.palette is None
        bits = int(file.tags(self.data[0], ns="IMAGE_STRUCTURE").get("NBITS", 8)) if self.data else 8
        self.factor = 255 // ((1 << bits) - 1) if file.dtypes[0] == "uint8" and bits < 8 and self.palette is None else 1
        rgb = [colours[band - 1] for band in self.data] == [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        if not self.data or (len(self.data) > 1 and not rgb and not all_alike(file, self.data)):
            raise RefusedPicture(f"{path} has {len(self.data)} bands that are no colours; give one band an image.")
        if len(set(file.dtypes)) > 1 or (len(self.data) > 1 and file.dtypes[0] not in ("uint8", "uint16")):
            raise RefusedPicture(f"{path} has {len(self.data)} bands of {file.dtypes[0]}; give one band an image.")
        self.data = self.data if rgb else self.data[:1]
        self.dtype = np.dtype(np.uint8 if self.palette is not None else file.dtypes[0])
        if self.white_is_zero and self.dtype.kind != "u":
            raise RefusedPicture(f"{path} is white-is-zero with numbers of {self.dtype}, which cannot be turned round.")
        if self.palette is not None and (self.palette[:, 3] == 0).any():
            self.masked = True

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray | None, bool]:
        """Grey (rows, columns), what is data, and whether colours differed."""
        bands = self.file.read(self.data, window=window)
        valid = None
        if self.masked:
            valid = self.file.dataset_mask(window=window) > 0
            if self.mask_band:
                valid &= self.file.read(self.mask_band, window=window) > 0
        if self.palette is not None:
            entries = self.palette[bands[0]]
            if valid is not None:
                valid &= entries[..., 3] > 0
            bands = np.moveaxis(entries[..., :3], -1, 0)
        values, colour = to_grey(bands)
        if self.factor > 1:
            values = values * np.uint8(self.factor)
        if self.white_is_zero:
            values = np.iinfo(values.dtype).max - values
        return values, valid, colour


def _palette(file: Any) -> np.ndarray:
    """(256, 4) red, green, blue and alpha of the numbers of a file with a palette."""
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    for number, entry in file.colormap(1).items():
        if 0 <= number < 256:
            table[number] = entry
    return table


def _is_mask(file: Any, band: int) -> bool:
    """Whether a band of 8 bit holds nothing but 0 and 255, and some 255."""
    found = {
        int(value) for _, window in file.block_windows(band) for value in np.unique(file.read(band, window=window))
    }
    return {255} <= found <= {0, 255}


def all_alike(file: Any, bands: list[int]) -> bool:
    for _, window in file.block_windows(1):
        values = file.read(bands, window=window)
        if not (values == values[:1]).all():
            return False
    return True
