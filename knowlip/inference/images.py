"""Images given by a user: 8-bit pictures as they are, SAR rasters quantised as the data set's tiles were."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from knowlip.scenes import open_scene
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, percentile_quantiser

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LARGEST_PIXELS = 100_000_000


def read_image(path: Path) -> np.ndarray:
    """Read one image as (H, W) uint8, 0 = no data.

    Raises:
        ValueError: missing, not an image, too large, or a raster that cannot be opened.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image.")
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    return _read_picture(path) if path.suffix.lower() in _PICTURES else _read_raster(path)


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


def _read_raster(path: Path) -> np.ndarray:
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
    return percentile_quantiser(histogram, low, high)(power, valid)
