"""The one door through which rasters, arrays and archives are opened. They come from strangers.

- A raster opens with the driver that its first bytes call for, out of a short list, and never with one that follows
  names to other files or to the network (VRT, WMS, WCS, STAC, ...). Companions that GDAL opens by itself (`.msk`,
  `.ovr`, `.aux`) must be rasters of their own kind as well.
- Nothing but regular files is opened: a named pipe would wait for ever.
- What a header promises is held against what the file holds before anything is allocated.
"""

import math
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from os import scandir
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning

from knowlip.scenes.errors import DamagedProduct, SceneError, UnknownFormat

_NO_NETWORK = {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none"}
"""GDAL may fetch the file of this name and no other: none is called so."""
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 32,
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_PAM_ENABLED": "YES",
    **_NO_NETWORK,
}
"""For reading: a small block cache (scenes are streamed); companions (`.aux.xml`, `.msk`, `.tfw`, `_RPC.TXT`) are
looked for by name, without listing the folder."""
WRITE_OPTIONS = {"GDAL_CACHEMAX": 32, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
"""For writing: what GDAL cannot put into the file itself is left out, not put beside it."""

FORMATS = "GeoTIFF, ENVI, PNG, JPEG, JPEG 2000, BMP, ERDAS Imagine, COSAR"
"""What is opened, for people."""
_SIGNATURES = (
    (0, b"II*\x00", "GTiff"),
    (0, b"MM\x00*", "GTiff"),
    (0, b"II+\x00", "GTiff"),
    (0, b"MM\x00+", "GTiff"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (0, b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (0, b"BM", "BMP"),
    (0, b"EHFA_HEADER_TAG", "HFA"),
    (28, b"CSAR", "COSAR"),
)
"""(place, bytes, GDAL's name of the driver)."""
_COMPANIONS = {".msk": ("GTiff",), ".ovr": ("GTiff",), ".aux": ("HFA",)}
"""Companions that GDAL opens as rasters, and the drivers that may open them."""
_SHARED_NAMES = ("metadata.dim", "summary.txt")
"""Companions that are not called after the raster."""

LONGEST_SIDE = 1_000_000
MOST_PIXELS = 10_000_000_000
"""The largest mosaics at 10 m hold some 6e9."""
MOST_BANDS = 1_000
LARGEST_BLOCK = 512 * 2**20
"""Bytes that have to be decoded at once; a larger block is a compressed file without tiles, or a trap."""
SMALL = 256 * 2**20
"""Decoded bytes up to which nothing is asked about compression."""
MOST_COMPRESSION = 10_000
"""Decoded bytes to stored ones beyond which a large raster holds no image: DEFLATE gives 1032 on zeros, speckle 1.5; a
sparse file leaves out blocks that were never written."""
LARGEST_SIDECAR = 64 * 2**20
LARGEST_DIRECTORY = 64 * 2**20
"""Bytes of the table of contents of an archive: some 500,000 members."""
_LOCK_WARNINGS = threading.Lock()
"""Filters of warnings belong to the whole process."""


def open_raster(path: Path, source: str = "", faults: list[str] | None = None) -> Any:
    """Open a raster for reading, as rasterio does, if it is one of `FORMATS` and holds what it promises. Call it, and
    read, within `rasterio.Env(**GDAL_OPTIONS)`.

    Args:
        path: named in messages, and opened where there is no `source`.
        source: GDAL's name of a TIFF inside an archive ("/vsizip/..."), or another path.
        faults: takes what is wrong with companions that say where the pixels lie (`.rpc`), which are left out then.

    Raises:
        UnknownFormat: another format, or no regular file.
        DamagedProduct: dimensions that cannot be, or that the file does not fill.
        rasterio.errors.RasterioError: the driver cannot read it.
    """
    archived = source.startswith("/vsizip/")
    file = path if archived or not source else Path(source)
    require_file(file)
    driver = "GTiff" if archived else _driver_of(file)
    if not archived:
        _check_companions(file)
    with _LOCK_WARNINGS, warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        dataset = rasterio.open(source if archived else str(file.absolute()), driver=driver)
    try:
        # GDAL looks at companions once, and tells the next call what was wrong with them.
        dataset.rpcs, dataset.colorinterp  # noqa: B018
    except CPLE_BaseError as error:
        if faults is not None:
            faults.append(str(error))
    try:
        _require_possible(dataset, path, stored_bytes(file))
    except ValueError:
        dataset.close()
        raise
    return dataset


def open_array(path: Path) -> np.ndarray:
    """A NumPy `.npy` file as a memory map (rows, columns) of numbers.

    Raises:
        DamagedProduct: something else, cut off, or of a size that it does not fill.
    """
    require_file(path)
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, MemoryError) as error:
        raise DamagedProduct(f"{path} is no NumPy array that can be read, is it complete? ({error})") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or min(array.shape) < 1 or array.dtype.kind not in "uifc":
        shape = getattr(array, "shape", "an archive")
        raise DamagedProduct(f"{path} must hold one array (rows, columns) of numbers, not {shape}.")
    require_size(path, (array.shape[0], array.shape[1]), array.dtype.itemsize, stored_bytes(path))
    return array


def open_records(path: Path, header_bytes: int, record_bytes: int, rows: int) -> np.ndarray:
    """Records of the same length (rows, record_bytes) uint8, after a header, as a memory map: CEOS keeps one a line.

    Raises:
        DamagedProduct: more of them than the file holds.
    """
    require_file(path)
    there = path.stat().st_size
    if there < header_bytes + rows * record_bytes:
        raise DamagedProduct(
            f"{path} is cut off: it has {there:,} bytes, its header promises {header_bytes + rows * record_bytes:,}."
        )
    try:
        return np.memmap(path, np.uint8, "r", offset=header_bytes, shape=(rows, record_bytes))
    except (OSError, ValueError) as error:
        raise DamagedProduct(f"{path} cannot be read, is it complete? ({error})") from error


def require_file(path: Path) -> None:
    """Refuse all but regular files: folders, and pipes and devices, which would wait for ever.

    Raises:
        UnknownFormat: it is none.
    """
    if path.is_dir():
        raise UnknownFormat(f"{path} is a folder, not a raster file.")
    if path.exists() and not path.is_file():
        raise UnknownFormat(f"{path} is a pipe or a device, not a file.")


def require_size(path: Path, shape: tuple[int, int], pixel_bytes: int, stored: int) -> None:
    """Refuse a raster of impossible extent, or one whose file cannot hold it.

    Args:
        path: named in messages.
        shape: rows and columns.
        pixel_bytes: of one pixel with all its bands.
        stored: bytes that the file takes.

    Raises:
        DamagedProduct: see above.
    """
    rows, columns = shape
    there = f"{path} says that it has {columns} x {rows} pixels"
    if min(shape) < 1:
        raise DamagedProduct(f"{path} is empty ({columns} x {rows} pixels).")
    if max(shape) > LONGEST_SIDE or rows * columns > MOST_PIXELS:
        most = f"{LONGEST_SIDE:,} pixels a side and {MOST_PIXELS:,} in all"
        raise DamagedProduct(f"{there}; what is read has at most {most}: cut it into parts.")
    decoded = rows * columns * pixel_bytes
    if decoded > SMALL and decoded > MOST_COMPRESSION * stored:
        raise DamagedProduct(f"{there} and holds {stored:,} bytes, too few for an image: it is empty or damaged.")


def stored_bytes(path: Path) -> int:
    """Bytes that a file takes on disk; holes of sparse files are not counted where the file system tells them."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return min(status.st_size, getattr(status, "st_blocks", 0) * 512 or status.st_size)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive.

    Raises:
        DamagedProduct: it cannot be read, or its table of contents is larger than `LARGEST_DIRECTORY`.
    """
    require_file(path)
    try:
        if _directory_bytes(path) > LARGEST_DIRECTORY:
            most = f"{LARGEST_DIRECTORY >> 20} MB"
            raise DamagedProduct(f"{path} lists more members than a product has (a table of contents above {most}).")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except SceneError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, struct.error, ValueError) as error:
        raise DamagedProduct(f"{path} is no complete zip archive that can be read ({error}).") from error


def read_member(archive: zipfile.ZipFile, name: str, most: int, label: str) -> bytes:
    """Content of a member of at most `most` bytes; `label`: what messages call it.

    Raises:
        DamagedProduct: it is larger.
        KeyError: it does not exist.
    """
    size = archive.getinfo(name).file_size
    if size > most:
        raise DamagedProduct(f"{label} has {size:,} bytes, which is more than the {most:,} that are unpacked.")
    return archive.read(name)


def _directory_bytes(path: Path) -> int:
    """Size of a zip's central directory by its end record; 0 where that cannot be found (opening says so).

    Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.
    """
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(max(0, end - 65_557))
        tail = stream.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 22:
            return 0
        size = int.from_bytes(tail[at + 12 : at + 16], "little")
        locator = tail[max(0, at - 20) : at]
        if size == 0xFFFFFFFF and locator.startswith(b"PK\x06\x07"):
            place = int.from_bytes(locator[8:16], "little")
            if place < end:
                stream.seek(place)
                size = int.from_bytes(stream.read(56)[40:48], "little")
    return size


def _driver_of(path: Path) -> str:
    """The driver that the first bytes call for."""
    with path.open("rb") as stream:
        head = stream.read(64)
    driver = next((name for place, sign, name in _SIGNATURES if head[place:].startswith(sign)), "")
    if driver:
        return driver
    if envi_header(path) is not None:
        return "ENVI"
    what = "XML, which may name other files (VRT, WMS); such files are never opened" if head[:1] == b"<" else "not one"
    raise UnknownFormat(
        f"{path} is not a raster that can be opened: it must be one of {FORMATS}, and it is {what}; "
        "or register or install the plug-in whose reader knows it."
    )


def envi_header(path: Path) -> Path | None:
    """The ENVI header beside a file of plain numbers ("a.hdr" or "a.img.hdr"); None where there is none."""
    for header in (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr")):
        if header != path and header.is_file():
            with header.open("rb") as stream:
                if stream.read(4) == b"ENVI":
                    return header
    return None


def companions_of(path: Path) -> list[Path]:
    """Files beside a raster from which GDAL takes place, nodata, scale or mask."""
    names = [f"{path.name}.aux.xml", f"{path.name}.msk", f"{path.stem}.aux", f"{path.stem}.tfw", f"{path.stem}.wld"]
    names += [f"{path.name}w", f"{path.stem}_RPC.TXT", f"{path.stem}_rpc.txt", f"{path.stem}.RPB", f"{path.stem}.prj"]
    return [beside for name in names if (beside := path.with_name(name)).is_file()]


def _check_companions(path: Path) -> None:
    """Refuse companions that are pipes, too large, or rasters of another kind than theirs."""
    for name in _irregular(path.parent, path.parent.stat().st_mtime_ns):
        if name.lower().startswith(path.stem.lower()) or name.lower() in _SHARED_NAMES:
            raise UnknownFormat(f"{path.parent / name} beside {path.name} is a pipe or a device; remove it.")
    for ending, drivers in _COMPANIONS.items():
        for beside in {path.with_name(path.name + end) for end in (ending, ending.upper())}:
            if beside.is_file() and _signature(beside) not in drivers:
                raise UnknownFormat(f"{beside} is no raster such as belongs to {path.name}; remove it.")
    for beside in companions_of(path):
        if beside.suffix.lower() != ".msk" and beside.stat().st_size > LARGEST_SIDECAR:
            raise UnknownFormat(f"{beside} is larger than {LARGEST_SIDECAR >> 20} MB; remove it.")


def _signature(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(64)
    return next((name for place, sign, name in _SIGNATURES if head[place:].startswith(sign)), "")


@lru_cache(maxsize=64)
def _irregular(folder: Path, changed: int) -> tuple[str, ...]:
    """Names in a folder that are neither files nor folders; `changed`: time of the last change, so that a folder of
    thousands of chips is listed once."""
    with scandir(folder) as entries:
        odd = [entry for entry in entries if not entry.is_file() and not entry.is_dir()]
        return tuple(entry.name for entry in odd if Path(entry.path).exists())


def _require_possible(dataset: Any, path: Path, stored: int) -> None:
    """Hold an open raster's header against the file."""
    if dataset.count < 1 or dataset.count > MOST_BANDS:
        raise DamagedProduct(f"{path} has {dataset.count} bands; what is read has 1 to {MOST_BANDS}.")
    sizes = [_bytes_of(dtype) for dtype in dataset.dtypes]
    require_size(path, (dataset.height, dataset.width), sum(sizes), stored)
    if dataset.driver == "ENVI" and Path(dataset.name).stat().st_size < dataset.height * dataset.width * sum(sizes):
        raise DamagedProduct(f"{path} is cut off: it ends before the last pixel that its header names.")
    # Bands that are interleaved by pixel share their blocks.
    interleaved = dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL"
    together = sum(sizes) if interleaved else max(sizes)
    largest = max(math.prod(shape) for shape in dataset.block_shapes) * together
    if largest > LARGEST_BLOCK:
        raise DamagedProduct(
            f"{path} is stored in blocks of {largest >> 20} MB, more than the {LARGEST_BLOCK >> 20} MB that are "
            "decoded at once: rewrite it in tiles (gdal_translate -co TILED=YES)."
        )


def _bytes_of(dtype: str) -> int:
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize
