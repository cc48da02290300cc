"""Pixels of labelled images as grey levels: 8-bit values stay what they are, others go through the quantiser."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, UnidentifiedImageError
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.raster import ArrayFile, Raster
from knowlip.scenes.readers.geotiff import raster_of, read_header, units_of
from knowlip.scenes.scene import SceneOverrides
from knowlip.tiles.imports.settings import ImportConfig
from knowlip.tiles.quantise import PowerHistogram, make_quantiser

_LUMA = (299, 587, 114)
"""Weights of red, green and blue in grey (ITU-R BT.601), thousandths."""
NO_QUANTISER = "as-is-v1"
"""Name of the quantiser of images that were 8-bit: their values are kept, except that a zero inside becomes 1."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image."""

    values: np.ndarray  # (H, W): uint8 as the file holds them; anything else is not decoded to grey levels yet.
    colour: bool = False  # Whether red, green and blue differed and were weighted to grey.
    raster: Raster | None = None  # Where the file has more than 8 bit.


@dataclass(frozen=True)
class Grey:
    """Grey levels of an image: 0 nodata, 1 to 255 data."""

    values: np.ndarray
    quantiser: str
    lo_db: float | None = None
    hi_db: float | None = None
    lut_sha256: str = ""


def size_of(path: Path) -> tuple[int, int]:
    """Width and height, from the header."""
    if path.suffix.lower() == ".npy":
        shape = _array(path).shape
        return shape[1], shape[0]
    if path.suffix.lower() in (".tif", ".tiff"):
        rows, columns = read_header(path).shape
        return columns, rows
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise DamagedProduct(f"{path} is not an image that can be opened ({error}).") from error


def decode(path: Path, config: ImportConfig) -> DecodedImage:
    """Read an image.

    Raises:
        ValueError: it is damaged, or of a kind that has no grey levels.
    """
    # 8-bit values were made grey levels by someone and are kept; deeper ones have to pass a quantiser.
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = _array(path)
        if values.dtype == np.uint8:
            return DecodedImage(np.array(values))
        raster: Raster = ArrayFile(path, "dn", values.shape, str(values.dtype), None)
        if values.dtype.kind == "c":
            raster.units = "complex"
        return _deep(raster, config)
    if suffix in (".tif", ".tiff"):
        header = read_header(path)
        if set(header.dtypes) == {"uint8"}:
            with rasterio.open(path) as file:
                bands = file.read()
            return _grey(np.moveaxis(bands, 0, -1), path)
        return _deep(raster_of(path, header, config.raster_band), config)
    try:
        with Image.open(path) as image:
            if image.mode in ("L", "RGB"):
                return _grey(np.asarray(image).reshape(image.height, image.width, -1), path)
            if image.mode in ("1", "P", "RGBA", "LA", "CMYK"):
                return _grey(np.asarray(image.convert("RGB")), path)
            values = np.array(image)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error
    raster = ArrayFile(path, "dn", values.shape, str(values.dtype), None, _array=values)
    return _deep(raster, config)


def to_grey(pixels: DecodedImage, path: Path, config: ImportConfig) -> Grey:
    """Grey levels of a decoded image. All zeros where it holds no power above zero."""
    if pixels.raster is None:
        raster = ArrayFile(path, "dn", pixels.values.shape, "uint8", None, _array=pixels.values)
        _, valid = raster.read(_whole(pixels.values.shape))
        return Grey(np.where(valid, np.maximum(pixels.values, 1), 0).astype(np.uint8), NO_QUANTISER)
    power, valid = pixels.raster.read(_whole(pixels.raster.shape))
    pixels.raster.close()
    histogram = PowerHistogram()
    histogram.add(power, valid)
    if not histogram.total:
        return Grey(np.zeros(power.shape, np.uint8), "none")
    quantiser = make_quantiser(histogram, config.quantise)
    return Grey(quantiser(power, valid), quantiser.name, quantiser.lo_db, quantiser.hi_db, quantiser.lut_sha256)


def read_codes(path: Path) -> np.ndarray:
    """Class values (H, W) of a mask, as integers.

    Raises:
        ValueError: it is damaged, or a colour picture.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        raster = raster_of(path, read_header(path))
        values, _ = raster.values(_whole(raster.shape))
        raster.close()
    elif path.suffix.lower() == ".npy":
        values = np.array(_array(path))
    else:
        try:
            with Image.open(path) as image:
                values = np.array(image)
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2:
        raise ValueError(f"{path} is a colour picture; give the mask with one number a pixel.")
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, -1)
    return values.astype(np.int64)


def _deep(raster: Raster, config: ImportConfig) -> DecodedImage:
    raster.units = units_of(raster, SceneOverrides(units=config.units))
    values, _ = raster.values(_whole(raster.shape))
    return DecodedImage(values, raster=raster)


def _grey(values: np.ndarray, path: Path) -> DecodedImage:
    """(H, W, bands) uint8 -> one band."""
    if values.shape[2] == 1 or (values[..., :1] == values[..., 1:3]).all():
        return DecodedImage(np.ascontiguousarray(values[..., 0]))
    if values.shape[2] < 3:
        raise ValueError(f"{path} has {values.shape[2]} different bands of 8 bit; give one band an image.")
    weighted = sum(weight * values[..., band].astype(np.uint32) for band, weight in enumerate(_LUMA))
    return DecodedImage(((np.asarray(weighted) + 500) // 1000).astype(np.uint8), colour=True)


def _array(path: Path) -> np.ndarray:
    try:
        values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "uifc":
        raise DamagedProduct(f"{path} holds no image of rows and columns.")
    return values


def _whole(shape: tuple[int, ...]) -> Window:
    return Window(0, 0, shape[1], shape[0])
