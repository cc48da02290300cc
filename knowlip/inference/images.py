"""Images given by a user: 8-bit pictures as they are, SAR rasters quantised as the data set's tiles were."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LARGEST_PIXELS = 100_000_000


def read_image(path: Path) -> np.ndarray:
    """Read one image as (H, W) uint8, 0 = no data.

    Raises:
        ValueError: missing, not an image, too large, or a raster that cannot be opened.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    if path.suffix.lower() in _PICTURES:
        try:
            with Image.open(path) as picture:
                if picture.width * picture.height > _LARGEST_PIXELS:
                    raise ValueError(f"{path} has more than {_LARGEST_PIXELS // 10**6} megapixels: cut it into tiles.")
                if picture.mode in ("I", "F", "I;16"):
                    raise ValueError(f"{path} is not an 8-bit picture: give SAR rasters as GeoTIFF.")
                return np.asarray(picture.convert("L"))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} is not a readable picture ({error}).") from None
    return _read_raster(path)


def _read_raster(path: Path) -> np.ndarray:
    """A whole SAR raster, quantised as the tiles of a data set are: linear in dB between percentiles of its own pixels."""
    from knowlip.scenes import open_scene
    from knowlip.tiles.plan import BuildConfig
    from knowlip.tiles.quantise import PowerHistogram, percentile_quantiser

    scene = open_scene(path)
    rows, columns = scene.shape
    if rows * columns > _LARGEST_PIXELS:
        raise ValueError(f"{path} has {rows} x {columns} pixels: cut it into tiles with `knowlip build` first.")
    power, valid = scene.read()
    histogram = PowerHistogram()
    histogram.add(power, valid)
    low, high = BuildConfig.__dataclass_fields__["percentiles"].default
    return percentile_quantiser(histogram, low, high)(power, valid)
