"""What the pixels of a picture are, wherever one is opened: the grey levels that a viewer shows, and which of them the
file itself declares to be no data.

- The kind of a file is told by its first bytes, not by its name; PNG, JPEG, BMP, WebP and TIFF are read.
- EXIF orientation turns the picture, a palette gives its colours, white-is-zero is turned round, fewer than 8 bit are
  spread over 0 to 255; colours are weighted to grey.
- No data is what alpha, a mask, a transparent colour or a nodata tag say, and nothing else: a dark border is data.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import rasterio
from PIL import Image, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.opening import GDAL_OPTIONS, open_raster
from knowlip.scenes.shown import RefusedPicture, Shown, to_grey, turn

LARGEST_PIXELS = 500_000_000
"""Pixels of the largest picture that is read; one of 8 bit takes as many bytes."""
LARGEST_DEEP_PIXELS = 100_000_000
"""Pixels of the largest picture of more than 8 bit."""
FORMATS = "PNG, JPEG, BMP, WebP or TIFF"
_KINDS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
}
_ORIENTATION = 0x0112
_BY_PILLOW = 50_000_000
"""Pixels up to which Pillow reads, whose colours take up to 16 bytes a pixel; larger pictures come in strips."""
_MOST_PIXELS_A_BYTE = {"JPEG": 512, "PNG": 8 * 1032}
"""A block of 8 x 8 pixels takes a bit at least; DEFLATE makes 1032 bytes of one, which hold 8 pixels each at most."""
_STRIP_PIXELS = 16_000_000
_Grey = tuple[np.ndarray, np.ndarray | None, bool]
"""Grey (H, W) as it is stored, what of it is data, and whether colours differed."""
_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations in which rows are columns."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is shown."""

    values: np.ndarray
    """(H, W) grey: uint8, or the numbers of a file with more than 8 bit."""
    valid: np.ndarray | None = None
    """(H, W) bool, False where the file declares no data; None where it declares none."""
    colour: bool = False
    """Whether red, green and blue differed and were weighted to grey."""
    turned: bool = False
    """Whether an EXIF orientation turned it."""

    @property
    def levels(self) -> np.ndarray:
        """(H, W) uint8 of an 8-bit picture with 0 for no data. Where the file declares none, the values as they are;
        where it does, a zero that is data becomes 1."""
        if self.valid is None:
            return self.values
        levels = np.maximum(self.values, np.uint8(1))
        return np.multiply(levels, self.valid, out=levels)


def kind_of(path: Path) -> str:
    """PNG, JPEG, BMP, WEBP or GTiff, by the first bytes of a file; "" for another.

    Raises:
        ValueError: it is no file that can be read.
    """
    if not path.is_file():
        raise UnknownFormat(f"{path} is not a file.")
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise DamagedProduct(f"{path} cannot be read ({error.strerror}).") from error
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for first, kind in _KINDS.items() if start.startswith(first)), "")


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is shown, from its header.

    Raises:
        ValueError: not a picture, or damaged.
    """
    kind = _known(path)
    if kind == "GTiff":
        width, height = _gdal_size(path, kind)
        return (height, width) if _tiff_orientation(path) in _SIDEWAYS else (width, height)
    image = _open(path, kind)
    if image is None:
        width, height = _gdal_size(path, kind)
        return (height, width) if _large_orientation(path, kind) in _SIDEWAYS else (width, height)
    with image, _decoding(path):
        width, height = image.size
        # A PNG may say its orientation behind the pixels, so that asking reads it all; squares need not be asked.
        if width != height and (kind != "PNG" or _may_be_turned(path)) and _orientation(image) in _SIDEWAYS:
            return height, width
        return width, height


def read_picture(path: Path) -> Picture:
    """A whole picture.

    Raises:
        ValueError: another kind of file, damaged, larger than `LARGEST_PIXELS`, or with bands that are no picture.
    """
    kind = _known(path)
    image = None if kind == "GTiff" or _is_deep_png(path, kind) else _open(path, kind)
    if image is None:
        return _read_gdal(path, kind)
    with image, _decoding(path):
        _check_size(path, image.width, image.height)
        image.load()
        orientation = _orientation(image)
        values, valid, colour = _grey_of(image, path)
    beside = _beside(path, kind)
    if beside is not None:
        valid = beside if valid is None else valid & beside
    return _shown(values, valid, colour, orientation)


def read_numbers(path: Path) -> np.ndarray:
    """(H, W) stored numbers of a file of one band, turned as the picture is shown: of a palette the numbers, not the
    colours (what masks hold).

    Raises:
        ValueError: damaged, too large, or with bands that differ.
    """
    bands, orientation = _stored(path, colours=False)
    if not (bands == bands[:1]).all():
        raise ValueError(f"{path} is a colour picture; give the mask with one number a pixel.")
    return turn(bands[0], orientation)


def read_rgb(path: Path) -> np.ndarray:
    """(3, H, W) uint8 red, green and blue of a file of 8 bit, turned as it is shown (what coloured masks hold).

    Raises:
        ValueError: damaged, too large, or of more than 8 bit.
    """
    bands, orientation = _stored(path, colours=True)
    bands = np.repeat(bands, 3, axis=0) if len(bands) == 1 else bands
    if bands.dtype != np.uint8 or len(bands) != 3:
        raise ValueError(f"{path} has no red, green and blue of 8 bit.")
    return np.stack([turn(band, orientation) for band in bands])


def _stored(path: Path, colours: bool) -> tuple[np.ndarray, int]:
    """Bands (B, H, W) without alpha as they are stored, of a palette its numbers or with `colours` its colours; and
    how the picture is turned."""
    kind = _known(path)
    image = None if kind == "GTiff" or _is_deep_png(path, kind) else _open(path, kind)
    if image is None:
        orientation = _tiff_orientation(path) if kind == "GTiff" else _large_orientation(path, kind)
        with rasterio.Env(**GDAL_OPTIONS), _decoding(path), _gdal(path) as file:
            _check_size(path, file.width, file.height, LARGEST_DEEP_PIXELS)
            bands = file.read([band for band, of in enumerate(file.colorinterp, 1) if of != ColorInterp.alpha])
            if colours and file.colorinterp[0] == ColorInterp.palette:
                named = file.colormap(1)
                table = np.array([named.get(value, (0, 0, 0))[:3] for value in range(256)], np.uint8)
                bands = np.moveaxis(table[bands[0].astype(np.uint8)], -1, 0)
    else:
        with image, _decoding(path):
            _check_size(path, image.width, image.height, LARGEST_DEEP_PIXELS)
            image.load()
            orientation = _orientation(image)
            shown = image.convert("RGB") if colours else image
            bands = np.moveaxis(np.asarray(shown).reshape(image.height, image.width, -1), -1, 0)
            if shown.mode in ("LA", "PA", "RGBA"):  # alpha says nothing of the class
                bands = bands[:-1]
    return bands, orientation


def is_picture(path: Path) -> bool:
    """Whether a file is shown by its numbers as they are: all but TIFFs of more than 8 bit that are neither coloured
    nor turned by an orientation.

    Raises:
        ValueError: it cannot be opened.
    """
    kind = _known(path)
    if kind != "GTiff":
        return True
    with rasterio.Env(**GDAL_OPTIONS), _gdal(path) as file:
        if all(dtype == "uint8" for dtype in file.dtypes):
            return True
    return is_coloured(path) or _tiff_orientation(path) in range(2, 9)


def is_coloured(path: Path) -> bool:
    """Whether a TIFF says how its numbers are to be shown: a palette, red, green and blue, or white-is-zero.

    Raises:
        ValueError: it cannot be opened.
    """
    with rasterio.Env(**GDAL_OPTIONS), _gdal(path) as file:
        colours = {ColorInterp.palette, ColorInterp.red} & set(file.colorinterp)
        return bool(colours) or file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"


# ---- ordinary pictures, by Pillow -----------------------------------------------------------------------------------


def _known(path: Path) -> str:
    kind = kind_of(path)
    if not kind:
        raise UnknownFormat(f"{path} is not a readable picture: it is no {FORMATS}.")
    return kind


def _open(path: Path, kind: str) -> Image.Image | None:
    """The picture with its header read; None where it is larger than `_BY_PILLOW`.

    Raises:
        DamagedProduct: a header that cannot be read, or that promises more than the file can hold.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of its size, and of tags that it passes over
            image = Image.open(path, formats=[kind])
    except Image.DecompressionBombError:
        return None
    except Exception as error:  # a decoder that meets a hostile header may raise anything
        raise DamagedProduct(f"{path} is not a readable picture ({error}).") from error
    pixels, stored = image.width * image.height, path.stat().st_size
    if stored * _MOST_PIXELS_A_BYTE.get(kind, pixels) < pixels:
        image.close()
        size = f"{image.width} x {image.height} pixels"
        raise DamagedProduct(f"{path} says that it has {size}, more than its {stored:,} bytes can hold: it is damaged.")
    if pixels > _BY_PILLOW and kind != "WEBP":
        image.close()
        return None
    return image


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Whatever a decoder raises becomes one sentence."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (UnknownFormat, DamagedProduct, RefusedPicture):
        raise
    except Exception as error:
        raise DamagedProduct(f"{path} is damaged, is it complete? ({error.__cause__ or error})") from error


def _grey_of(image: Image.Image, path: Path) -> _Grey:
    """Grey levels as they are stored of a picture of any mode that the formats have."""
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise RefusedPicture(f"{path} holds {getattr(image, 'n_frames', 0)} pictures: give one a file.")
    if image.mode.startswith(("I", "F")):
        values, key = np.asarray(image), image.info.get("transparency")
        return values, values != key if isinstance(key, int) else None, False
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        values, colour = to_grey(np.moveaxis(np.asarray(image).reshape(image.height, image.width, -1), -1, 0))
        return values, None, colour
    if image.mode in ("1", "L", "LA", "La"):
        bands = np.asarray(image.convert("L").convert("LA") if image.mode == "1" else image.convert("LA"))
        return np.ascontiguousarray(bands[..., 0]), bands[..., 1] > 0, False
    if image.mode not in ("P", "PA", "RGB", "RGBA", "RGBa"):
        image = image.convert("RGB")
    bands = np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0)
    values, colour = to_grey(bands[:3])
    return values, bands[3] > 0, colour


def _shown(values: np.ndarray, valid: np.ndarray | None, colour: bool, orientation: int) -> Picture:
    """A picture from what is stored, and where to turn it."""
    turned = orientation in range(2, 9)
    if valid is not None and valid.all():
        valid = None
    if turned:
        values, valid = turn(values, orientation), None if valid is None else turn(valid, orientation)
    return Picture(values, valid, colour, turned)


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _large_orientation(path: Path, kind: str) -> int:
    """Orientation of a picture that is too large for Pillow's ordinary way."""
    with _decoding(path), path.open("rb") as stream:
        if kind == "JPEG":
            with JpegImageFile(stream) as image:
                return _orientation(image)
        for name, size in _chunks(stream) if kind == "PNG" else ():
            if name == b"eXIf":
                exif = Image.Exif()
                exif.load(stream.read(size))
                return int(exif.get(_ORIENTATION, 1))
    return 1


def _may_be_turned(path: Path) -> bool:
    """Whether a PNG has a chunk that may hold an orientation."""
    with path.open("rb") as stream:
        return any(name in (b"eXIf", b"iTXt", b"tEXt", b"zTXt") for name, _ in _chunks(stream))


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Names and sizes of the chunks of a PNG; the stream stands at the content of each."""
    place = 8
    stream.seek(place)
    while len(head := stream.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += size + 12
        stream.seek(place)


def _is_deep_png(path: Path, kind: str) -> bool:
    """Whether a PNG has 16 bit and more than one band, of which Pillow would give the upper 8 bit without a word."""
    if kind != "PNG":
        return False
    with path.open("rb") as stream:
        header = stream.read(26)
    return len(header) == 26 and header[24] == 16 and header[25] != 0


# ---- TIFF, deep and very large pictures, by GDAL --------------------------------------------------------------------


def _gdal(path: Path) -> Any:
    try:
        return open_raster(path)
    except (rasterio.errors.RasterioError, OSError) as error:
        raise DamagedProduct(f"{path} is not a readable picture ({error}).") from error


def _gdal_size(path: Path, kind: str) -> tuple[int, int]:
    with rasterio.Env(**GDAL_OPTIONS), _gdal(path) as file:
        return file.width, file.height


def _check_size(path: Path, width: int, height: int, most: int = LARGEST_PIXELS, what: str = "") -> None:
    if min(width, height) < 1:
        raise DamagedProduct(f"{path} is empty ({width} x {height} pixels).")
    if width * height > most:
        raise RefusedPicture(
            f"{path} has {width} x {height} pixels{what}, more than {most // 10**6} megapixels: cut it into pieces, or "
            "read it as a scene (`knowlip build`)."
        )


def _tiff_orientation(path: Path) -> int:
    """The tag Orientation of a TIFF, which GDAL does not look at."""
    with _decoding(path), path.open("rb") as stream:
        head = stream.read(8)
        head += stream.read(8) if head[2:3] in (b"+",) or head[3:4] in (b"+",) else b""
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        stream.seek(tags.next)
        tags.load(stream)
        value = tags.get(_ORIENTATION, 1)
        return value if isinstance(value, int) else 1


def _read_gdal(path: Path, kind: str) -> Picture:
    """A picture in strips, so that one far above Pillow's limit takes one byte a pixel."""
    orientation = _tiff_orientation(path) if kind == "GTiff" else _large_orientation(path, kind)
    with rasterio.Env(**GDAL_OPTIONS), _decoding(path), _gdal(path) as file:
        deep = any(dtype != "uint8" for dtype in file.dtypes)
        limit = (LARGEST_DEEP_PIXELS, " of more than 8 bit") if deep else (LARGEST_PIXELS, "")
        _check_size(path, file.width, file.height, *limit)
        if len(file.subdatasets) > 1:
            raise RefusedPicture(f"{path} holds {len(file.subdatasets)} pictures: give one a file.")
        shown = Shown(file, path)
        rows = max(1, _STRIP_PIXELS // file.width)
        values = np.empty((file.height, file.width), shown.dtype)
        valid = np.ones((file.height, file.width), bool) if shown.masked else None
        colour = False
        for top in range(0, file.height, rows):
            window = Window(0, top, file.width, min(rows, file.height - top))
            strip, data, differed = shown.read(window)
            values[top : top + rows] = strip
            colour |= differed
            if valid is not None and data is not None:
                valid[top : top + rows] = data
    return _shown(values, valid, colour, orientation)


def _beside(path: Path, kind: str) -> np.ndarray | None:
    """What a mask or a nodata value in a file beside a picture (`.msk`, `.aux.xml`) say is data; None where nothing
    does."""
    if not any(path.with_name(path.name + end).is_file() for end in (".msk", ".aux.xml")) or kind == "WEBP":
        return None
    with rasterio.Env(**GDAL_OPTIONS), _gdal(path) as file:
        flags = {flag for band in file.mask_flag_enums for flag in band}
        if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
            return None
        return np.asarray(file.dataset_mask() > 0)
