"""Images given by a user: 8-bit pictures as they are, SAR rasters quantised as the data set's tiles were."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.scenes import open_scene
from knowlip.scenes.pictures import FORMATS, is_coloured, is_picture, kind_of, read_picture, size_of
from knowlip.scenes.readers import reader_of
from knowlip.scenes.readers.geotiff import raster_of, read_header
from knowlip.scenes.scene import Scene
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

    A file is a picture by its content: a PNG, JPEG, BMP, WebP, or a TIFF of 8 bit that is coloured or has no place on
    the ground. It is taken as :mod:`knowlip.scenes.pictures` shows it.

    Args:
        path: 8-bit picture or SAR raster.
        metres_per_pixel: side of a pixel on the ground as the user says it; where it is None, a file's georeferencing
            tells it.

    Raises:
        ValueError: missing, not an image, too large, or a raster that cannot be opened.
    """
    if is_raster(path):
        return taken_scene(open_scene(path), metres_per_pixel)
    picture = TakenImage(_read_picture(path), _georeferenced(path) if kind_of(path) == "GTiff" else None)
    return _as_given(picture, path, metres_per_pixel)


def is_raster(path: Path) -> bool:
    """Whether a file (or the folder of a product) is opened as a SAR raster, not as an 8-bit picture.

    Raises:
        ValueError: missing, a folder that is no product, or named as a picture and none.
    """
    if path.is_dir():
        if reader_of(path) is None:
            raise ValueError(f"{path} is a folder, not an image.")
        return True
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    kind = kind_of(path)
    if kind and (kind != "GTiff" or not _is_scene(path)):
        return False
    if path.suffix.lower() in _PICTURES:
        raise ValueError(f"{path} is not a readable picture: it is no {FORMATS}.")
    return True


def taken_scene(scene: Scene, metres_per_pixel: float | None = None) -> TakenImage:
    """A whole SAR raster, quantised as the tiles of a data set are: linear in dB between percentiles of its own
    pixels.

    Raises:
        ValueError: too large, or it cannot be read.
    """
    rows, columns = scene.shape
    if rows * columns > _LARGEST_PIXELS:
        raise ValueError(f"{scene.path} has {rows} x {columns} pixels: cut it into tiles with `knowlip build` first.")
    power, valid = scene.read()
    histogram = PowerHistogram()
    histogram.add(power, valid)
    low, high = QuantiseConfig.percentiles
    image = TakenImage(percentile_quantiser(histogram, low, high)(power, valid), scene.resolution_m)
    return _as_given(image, scene.path, metres_per_pixel)


def _as_given(image: TakenImage, path: Path, metres_per_pixel: float | None) -> TakenImage:
    """With the pixel size that the user says, where one does."""
    told = image.metres_per_pixel
    if metres_per_pixel is None:
        return image
    if told is not None and abs(metres_per_pixel - told) > _AGREE * told:
        say(f"{path} is georeferenced with pixels of {told:.3g} m; {metres_per_pixel:g} m is used, as given.")
    return image._replace(metres_per_pixel=metres_per_pixel)


def _read_picture(path: Path) -> np.ndarray:
    """An 8-bit picture as grey levels, 0 where it declares no data."""
    width, height = size_of(path)
    if width * height > _LARGEST_PIXELS:
        raise ValueError(f"{path} has more than {_LARGEST_PIXELS // 10**6} megapixels: cut it into tiles.")
    picture = read_picture(path)
    if picture.values.dtype != np.uint8:
        raise ValueError(f"{path} is not an 8-bit picture: give SAR rasters as GeoTIFF.")
    return picture.levels


def _is_scene(path: Path) -> bool:
    """Whether a TIFF is quantised as a scene: of more than 8 bit, or one plain band with a place on the ground."""
    if not is_picture(path):
        return True
    header = read_header(path)
    located = header.affine is not None or header.gcps or header.rpcs
    return bool(located) and not is_coloured(path)


def _georeferenced(path: Path) -> float | None:
    """Side of a pixel in metres of a picture with a map transform."""
    header = read_header(path)
    if header.affine is None:
        return None
    return Scene(path, path.stem, raster_of(path, header), header.affine, "").resolution_m


def taken_tiles(dataset: Dataset, tiles: pd.DataFrame) -> list[TakenImage]:
    """Tiles as images, with the metres a pixel that the data set knows of each."""
    sizes = tiles["metres_per_pixel"].to_list()
    return [
        TakenImage(pixels, None if size != size else float(size))
        for pixels, size in zip(dataset.images(tiles["tile_id"]), sizes, strict=True)
    ]
