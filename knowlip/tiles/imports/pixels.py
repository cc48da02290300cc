"""Pixels of labelled images as grey levels: 8-bit values stay what they are, others go through the quantiser."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from knowlip.dataset.layout import AS_IS
from knowlip.scenes import pictures
from knowlip.scenes.geometry import slices
from knowlip.scenes.layers import layer_of_band
from knowlip.scenes.opening import open_array
from knowlip.scenes.pictures import LARGEST_DEEP_PIXELS, is_picture, read_picture
from knowlip.scenes.raster import ArrayFile, Raster
from knowlip.scenes.readers.geotiff import raster_of, read_header, settle_units
from knowlip.scenes.scene import SceneOverrides
from knowlip.scenes.units import settle
from knowlip.tiles.imports.phoenix import is_phoenix, read_phoenix
from knowlip.tiles.imports.settings import ImportConfig
from knowlip.tiles.quantise import PowerHistogram, make_quantiser

LARGEST_WHOLE = 100_000_000
"""Pixels of the largest image that stays one tile."""
AS_IS_MASKED = "as-is-masked-v2"
"""Quantiser of 8-bit images that declare some of their pixels no data: these are 0, a zero that is data becomes 1."""
SHOWN = ("colour_images", "turned_images", "masked_images")
"""What is counted of the images of a set: those whose red, green and blue differed and were weighted to grey, that an
EXIF orientation turned, and that declare some of their pixels no data."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image."""

    values: np.ndarray  # (H, W): uint8 grey as it is shown; anything else is not decoded to grey levels yet.
    colour: bool = False  # Whether red, green and blue differed and were weighted to grey.
    turned: bool = False  # Whether an EXIF orientation turned it.
    valid: np.ndarray | None = None  # (H, W) bool, False where the file declares no data; None where it declares none.
    raster: Raster | None = None  # Where the file has more than 8 bit.
    notes: tuple[str, ...] = ()  # What was guessed of it, a sentence each.

    @property
    def shown(self) -> list[str]:
        """Those of `SHOWN` that it is."""
        return [kind for kind, is_so in zip(SHOWN, (self.colour, self.turned, self.valid is not None)) if is_so]


@dataclass(frozen=True)
class Grey:
    """Grey levels of an image: 0 nodata, 1 to 255 data; of `AS_IS`, 0 is data too."""

    values: np.ndarray
    quantiser: str
    lo_db: float | None = None
    hi_db: float | None = None
    lut_sha256: str = ""


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as the image is shown, from the header."""
    if path.suffix.lower() == ".npy":
        shape = open_array(path).shape
        return shape[1], shape[0]
    return pictures.size_of(path)


def decode(path: Path, config: ImportConfig) -> DecodedImage:
    """Read an image.

    Raises:
        ValueError: it is damaged, too large, or of a kind that has no grey levels.
    """
    raster: Raster
    # 8-bit values were made grey levels by someone and are kept; deeper ones have to pass a quantiser.
    if path.suffix.lower() == ".npy":
        values = open_array(path)
        _check_size(path, values.shape, config, values.dtype.itemsize > 1)
        if values.dtype == np.uint8:
            return DecodedImage(np.array(values))
        raster = ArrayFile(path, "dn", values.shape, str(values.dtype), None)
        if values.dtype.kind == "c":
            raster.units = "complex"
        return _deep(raster, config)
    if is_phoenix(path):
        chip = read_phoenix(path)
        _check_size(path, chip.magnitude.shape, config, True)
        raster = ArrayFile(path, "amplitude", chip.magnitude.shape, "float32", None, _array=chip.magnitude)
        return _deep(raster, config, "amplitude")
    if not is_picture(path):
        header = read_header(path)
        _check_size(path, header.shape, config, True)
        read = raster_of(path, header, config.raster_band)
        band, count = config.raster_band, len(header.dtypes)
        held = layer_of_band(header.descriptions[band - 1], header.band_units[band - 1])
        if held:
            raise ValueError(f"{path}, band {band} of {count} holds {held}, no backscatter: choose with --raster_band.")
        told = (f"Band {band} of {count} is read (--raster_band).",) if count > 1 else ()
        guessed = settle_units(read, header, band, SceneOverrides(units=config.units))
        return DecodedImage(read.values(_whole(read.shape))[0], raster=read, notes=(*told, *guessed))
    picture = read_picture(path)
    values = picture.values
    _check_size(path, values.shape, config, values.dtype != np.uint8)
    more: dict[str, Any] = {"colour": picture.colour, "turned": picture.turned, "valid": picture.valid}
    if values.dtype == np.uint8:
        return DecodedImage(values, **more)
    raster = _Masked(path, "dn", values.shape, str(values.dtype), None, _array=values, mask=picture.valid)
    return _deep(raster, config, **more)


def digest_of(pixels: DecodedImage) -> str:
    """SHA-256 of what an image shows: its extent, its values, and which of them are declared no data."""
    digest = hashlib.sha256(str(pixels.values.shape).encode())
    digest.update(pixels.values.tobytes())
    if pixels.valid is not None:
        digest.update(np.packbits(pixels.valid).tobytes())
    return digest.hexdigest()


def to_grey(pixels: DecodedImage, path: Path, config: ImportConfig) -> Grey:
    """Grey levels of a decoded image. All zeros where it holds no power above zero."""
    if pixels.raster is None:
        picture = pictures.Picture(pixels.values, pixels.valid)
        return Grey(picture.levels, AS_IS if picture.valid is None else AS_IS_MASKED)
    power, valid = pixels.raster.read(_whole(pixels.raster.shape))
    pixels.raster.close()
    histogram = PowerHistogram()
    histogram.add(power, valid)
    if not histogram.total:
        return Grey(np.zeros(power.shape, np.uint8), "none")
    quantiser = make_quantiser(histogram, config.quantise)
    return Grey(quantiser(power, valid), quantiser.name, quantiser.lo_db, quantiser.hi_db, quantiser.lut_sha256)


def read_codes(path: Path) -> np.ndarray:
    """Class values (H, W) of a mask, as integers: the numbers of a palette, not its colours.

    Raises:
        ValueError: it is damaged, a colour picture, or has values that are not whole.
    """
    if path.suffix.lower() == ".npy":
        values = np.array(open_array(path))
    else:
        values = pictures.read_numbers(path)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, -1)
        if (broken := values[values != np.round(values)]).size:
            raise ValueError(f"{path} holds {broken[0]:g}: the classes of a mask are whole numbers.")
    return values.astype(np.int64)


def read_colours(path: Path) -> np.ndarray:
    """Colours (H, W) of a mask as numbers 0xRRGGBB, of a palette its colours; grey has equal red, green and blue.

    Raises:
        ValueError: it is damaged or too large.
    """
    red, green, blue = pictures.read_rgb(path).astype(np.int64)
    return red << 16 | green << 8 | blue


@dataclass
class _Masked(ArrayFile):
    """An array in memory with a mask of its own."""

    mask: Any = field(default=None, repr=False, compare=False, kw_only=True)

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        values, _ = super().values(window)
        return values, None if self.mask is None else self.mask[slices(window)].copy()


def _deep(raster: Raster, config: ImportConfig, stated: str = "", **more: Any) -> DecodedImage:
    guessed = settle(raster, config.units or stated)
    values, _ = raster.values(_whole(raster.shape))
    return DecodedImage(values, raster=raster, notes=tuple(guessed), **more)


def _check_size(path: Path, shape: tuple[int, ...], config: ImportConfig, deep: bool) -> None:
    """Refuse what is too large to be one tile, or to be quantised at once."""
    size = f"{path} has {shape[1]} x {shape[0]} pixels"
    if not config.tile_px and shape[0] * shape[1] > LARGEST_WHOLE:
        raise ValueError(f"{size}, too many for one tile: --tile_px 800 cuts it into tiles of 800 pixels.")
    if deep and shape[0] * shape[1] > LARGEST_DEEP_PIXELS:
        raise ValueError(f"{size} of more than 8 bit, too many at once: cut it into pieces, or build it as a scene.")


def _whole(shape: tuple[int, ...]) -> Window:
    return Window(0, 0, shape[1], shape[0])
