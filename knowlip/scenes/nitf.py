"""NITF files of SAR products (SICD, SIDD): which they are, their XML, and their pixels window by window.

Structure is parsed by sarkit's NITF library; pixels are mapped from the file, so no image is ever read whole.
"""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.geometry import slices
from knowlip.scenes.names import slug
from knowlip.scenes.raster import Raster

_HEADER = 363
"""Bytes of a NITF 2.1 file header up to the number of image segments."""
_BROKEN = (ValueError, KeyError, IndexError, TypeError, RuntimeError, AttributeError, AssertionError, OSError, EOFError)
"""What the NITF library raises on files that are cut off or no NITF."""


def product_of(path: Path) -> str:
    """ "SICD", "SIDD", "CPHD" or "", from a few hundred bytes of the file."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER)
        if head.startswith(b"CPHD/"):
            return "CPHD"
        if not head.startswith((b"NITF02.1", b"NSIF01.0")):
            return ""
        try:
            length, images = int(head[354:360]), int(head[360:363])
        except ValueError:
            return ""
        if not images:
            return ""
        stream.seek(length)
        image = stream.read(6)
    return image[2:6].decode() if image[:2] == b"IM" and image[2:6] in (b"SICD", b"SIDD") else ""


def sarkit(name: str = "") -> Any:
    """sarkit, or a module of it; lazily, for it is an extra.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(f"sarkit.{name}" if name else "sarkit")
    except ImportError:
        raise ValueError("Reading SICD and SIDD needs sarkit: pip install 'knowlip[sicd]'.") from None


class ImageSegment(NamedTuple):
    """Rows of an image that lie together in the file."""

    name: str  # Image identifier: "SICD000", "SIDD001002", ...
    category: str  # "SAR", "LEG" (legend), "DED" (heights).
    offset: int
    rows: int
    columns: int
    plain: bool  # Neither compressed, nor masked, nor cut into blocks.


class Contents(NamedTuple):
    """What a file holds."""

    segments: tuple[ImageSegment, ...]
    documents: tuple[bytes, ...]  # XML of the data extensions, in order.


def contents(path: Path) -> Contents:
    """Parse the headers of a file.

    Raises:
        DamagedProduct: it is cut off.
        ValueError: sarkit is not installed.
    """
    sarkit()
    import jbpy

    try:
        with path.open("rb") as stream:
            file: Any = jbpy.Jbp()
            file.load(stream)
            segments = tuple(_segment(item) for item in file["ImageSegments"])
            documents = []
            for item in file["DataExtensionSegments"]:
                stream.seek(item["DESDATA"].get_offset())
                body = stream.read(item["DESDATA"].size)
                if re.match(rb"(?:\xef\xbb\xbf)?\s*<", body):
                    documents.append(body)
    except _BROKEN as error:
        raise DamagedProduct(f"{path} cannot be read as NITF, is it complete? ({error})") from error
    return Contents(segments, tuple(documents))


def _segment(item: Any) -> ImageSegment:
    head = item["subheader"]
    rows, columns = int(head["NROWS"].value), int(head["NCOLS"].value)
    blocks = int(head["NBPR"].value) * int(head["NBPC"].value)
    plain = head["IC"].value == "NC" and blocks == 1
    return ImageSegment(head["IID1"].value, head["ICAT"].value, item["Data"].get_offset(), rows, columns, plain)


@dataclass
class NitfRaster(Raster):
    """An uncompressed image of one or several segments."""

    segments: tuple[ImageSegment, ...] = ()
    pixel: str = "<c8"
    """Data type of a pixel in the file as numpy writes it, or "pair" (16-bit real and imaginary) or "polar" (8-bit
    amplitude and phase)."""
    amplitudes: tuple[float, ...] = ()  # Amplitude of each 8-bit number of "polar" pixels; empty: the number itself.

    def __post_init__(self) -> None:
        if not self.segments or not all(segment.plain for segment in self.segments):
            raise UnknownFormat(f"{self.path} is compressed or cut into blocks; write it uncompressed first.")
        rows, columns = self.shape
        if sum(segment.rows for segment in self.segments) != rows:
            raise DamagedProduct(f"{self.path}: its image segments do not add up to the {rows} rows of its XML.")
        if any(segment.columns != columns for segment in self.segments):
            raise DamagedProduct(f"{self.path}: its image segments are not {columns} columns wide.")
        last = self.segments[-1]
        if last.offset + last.rows * last.columns * self._type.itemsize > self.path.stat().st_size:
            raise DamagedProduct(f"{self.path} is cut off: it ends before its last pixel.")

    @property
    def _type(self) -> np.dtype:
        return np.dtype({"pair": ">i2,>i2", "polar": "u1,u1"}.get(self.pixel, self.pixel))

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        rows, columns = slices(window)
        pieces = []
        first = 0
        try:
            for segment in self.segments:
                here = slice(max(rows.start - first, 0), min(rows.stop - first, segment.rows))
                if here.start < here.stop:
                    shape = segment.rows, segment.columns
                    mapped = np.memmap(self.path, self._type, "r", segment.offset, shape)
                    pieces.append(self._numbers(np.asarray(mapped[here, columns])))
                first += segment.rows
        except (OSError, ValueError) as error:
            raise DamagedProduct(f"{self.path} cannot be read, is it complete? ({error})") from error
        return np.concatenate(pieces) if len(pieces) > 1 else pieces[0], None

    def _numbers(self, stored: np.ndarray) -> np.ndarray:
        """Pixels of the file in native byte order: complex, or amplitudes."""
        if self.pixel == "pair":
            return stored["f0"].astype(np.float32) + 1j * stored["f1"].astype(np.float32)
        if self.pixel == "polar":
            return np.array(self.amplitudes or np.arange(256.0), np.float32)[stored["f0"]]
        return stored.astype(stored.dtype.newbyteorder("="))


def sensor_of(name: str) -> str:
    """Collector name as a sensor name: "UMBRA-04" -> "umbra", else its words in lower case."""
    word: str = slug(name) if name.strip() else "unknown"
    return next((known for known in ("umbra", "capella", "iceye") if word.startswith(known)), word)
