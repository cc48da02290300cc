"""Images given by a user: 8-bit pictures as they are, SAR rasters quantised as the data set's tiles were."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from knowlip.base.progress import say
from knowlip.scenes import open_scene
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, percentile_quantiser

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LARGEST_PIXELS = 100_000_000
_AGREE = 0.05
"""Share by which a pixel size that is given may differ from the one of the georeferencing without a note."""


class TakenImage(NamedTuple):
    """An image as a model takes it."""

    pixels: np.ndarray
    """(H, W) uint8, 0 = no data."""
    metres_per_pixel: float | None
    """Side of a pixel on the ground; None where nobody says it."""


def read_image(path: Path, metres_per_pixel: float | None = None) -> TakenImage:
    """Read one image.

    Args:
        path: 8-bit picture or SAR raster.
        metres_per_pixel: side of a pixel on the ground as the user says it; where it is None, a raster's georeferencing
            tells it, and nothing does of a picture.

    Raises:
        ValueError: missing, not an image, too large, or a raster that cannot be opened.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image.")
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    if path.suffix.lower() in _PICTURES:
        return TakenImage(_read_picture(path), metres_per_pixel)
    image = _read_raster(path)
    told = image.metres_per_pixel
    if metres_per_pixel is None or told is None:
        return image
    if abs(metres_per_pixel - told) > _AGREE * told:
        say(f"{path} is georeferenced with pixels of {told:.3g} m; {metres_per_pixel:g} m is used, as given.")
    return image._replace(metres_per_pixel=metres_per_pixel)


def _read_picture(path: Path) -> np.ndarray:
    """An 8-bit picture, colours turned to grey."""
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            picture = Image.open(path)
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} is not a readable picture ({error}).") from None
    with picture:
        if picture.width * picture.height > _LARGEST_PIXELS:
            raise _too_large(path)
        if picture.mode.startswith(("I", "F")):
            raise ValueError(f"{path} is not an 8-bit picture: give SAR rasters as GeoTIFF.")
        try:
            return np.asarray(picture.convert("L"))
        except (OSError, SyntaxError, EOFError, struct.error, zlib.error) as error:
            raise ValueError(f"{path} is damaged ({error}).") from None


def _too_large(path: Path) -> ValueError:
    return ValueError(f"{path} has more than {_LARGEST_PIXELS // 10**6} megapixels: cut it into tiles.")


def _read_raster(path: Path) -> TakenImage:
    """A whole SAR raster, quantised as the tiles of a data set are: linear in dB between percentiles of its own
    pixels."""
    scene = open_scene(path)
    rows, columns = scene.shape
    if rows * columns > _LARGEST_PIXELS:
        raise ValueError(f"{path} has {rows} x {columns} pixels: cut it into tiles with `knowlip build` first.")
    power, valid = scene.read()
    histogram = PowerHistogram()
    histogram.add(power, valid)
    low, high = QuantiseConfig.percentiles
    return TakenImage(percentile_quantiser(histogram, low, high)(power, valid), scene.resolution_m)
