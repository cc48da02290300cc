"""From the bytes of a PNG to a tile at another size, without a lock held: several threads decode side by side.

The results are those of Pillow, pixel for pixel: its decoder is used for every PNG that is not plain 8-bit grey, and
its resizing (bilinear, antialiased where the tile gets smaller, fixed point) is done here in its own steps.
"""

import struct
from functools import lru_cache

import numpy as np
from numba import njit
from PIL import Image
from zlib_ng import zlib_ng

from knowlip.dataset.png import MOST_PIXELS, decode_png

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = b"\x08\x00\x00\x00\x00"
"""8 bit, grey, deflate, five filters, not interlaced."""
_PRECISION = 22
"""Bits behind the point of Pillow's weights for 8-bit images."""


def decode_grey(data: bytes) -> np.ndarray:
    """(H, W) uint8 of a grey 8-bit PNG.

    Raises:
        OSError, SyntaxError: damaged, or not a grey 8-bit PNG.
    """
    found = _lines(data)
    if found is None:
        return decode_png(data)
    rows, columns, lines = found
    tile = np.empty((rows, columns), np.uint8)
    if _unfilter(np.frombuffer(lines, np.uint8).reshape(rows, columns + 1), tile):
        raise OSError("a row of the PNG has an unknown filter")
    return tile


def _lines(data: bytes) -> tuple[int, int, bytes] | None:
    """Height, width and filtered rows of a plain grey PNG; None for another kind, which is left to Pillow."""
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or data[24:29] != _PLAIN:
        return None
    columns, rows = struct.unpack(">II", data[16:24])
    if not 0 < columns < 1 << 15 or not 0 < rows < 1 << 15 or columns * rows > MOST_PIXELS:
        return None
    # Every chunk's checksum is looked at, as Pillow does not for all: a flipped bit must not become a pixel unseen.
    parts, place = [], 8
    while True:
        if place + 12 > len(data):
            raise OSError("the PNG is cut off")
        (size,) = struct.unpack_from(">I", data, place)
        name, end = data[place + 4 : place + 8], place + 8 + size
        if end + 4 > len(data):
            raise OSError("the PNG is cut off")
        if zlib_ng.crc32(memoryview(data)[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise OSError(f"the checksum of the PNG's {name.decode('latin-1')} is wrong")
        if name == b"IDAT":
            parts.append(memoryview(data)[place + 8 : end])
        elif name == b"IEND":
            break
        elif name == b"tRNS":
            return None
        place = end + 4
    try:
        lines = zlib_ng.decompress(parts[0] if len(parts) == 1 else b"".join(parts), bufsize=rows * (columns + 1))
    except zlib_ng.error as error:  # type: ignore[misc]
        raise OSError(f"the PNG's pixels cannot be unpacked: {error}") from error
    if len(lines) != rows * (columns + 1):
        raise OSError(f"the PNG holds {len(lines)} bytes of pixels instead of {rows * (columns + 1)}")
    return rows, columns, lines


def resize_grey(tile: np.ndarray, size: int) -> np.ndarray:
    """(H, W) uint8 -> (size, size), antialiased when it gets smaller; what Pillow's BILINEAR gives."""
    if tile.shape == (size, size):
        return tile
    rows, columns = tile.shape
    if rows != columns:  # which axis comes first, and with it the last bit, differs between versions of Pillow
        return np.asarray(Image.fromarray(tile).resize((size, size), Image.Resampling.BILINEAR))
    out = np.empty((size, size), np.uint8)
    _resample(np.ascontiguousarray(tile), *_weights(rows, size), out)
    return out


@lru_cache(maxsize=64)
def _weights(before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel (after,) and fixed-point weights (after, taps) of each new pixel: a triangle as wide as two old
    pixels, or two new ones where these are larger."""
    scale = before / after
    support = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale
    low = np.maximum(0, (centres - support + 0.5).astype(np.int64))
    high = np.minimum(before, (centres + support + 0.5).astype(np.int64))
    taps = int((high - low).max())
    first = np.minimum(low, before - taps)  # every new pixel reads `taps` pixels that exist
    weights = np.zeros((after, taps), np.uint32)
    for at, centre in enumerate(centres):
        weight = np.maximum(0.0, 1.0 - np.abs((np.arange(low[at], high[at]) - centre + 0.5) / support))
        fixed = 0.5 + weight / weight.sum() * (1 << _PRECISION)
        weights[at, low[at] - first[at] : high[at] - first[at]] = fixed.astype(np.uint32)
    return first, weights


@njit(nogil=True, cache=True)
def _unfilter(lines, tile):  # type: ignore[no-untyped-def]
    """Undo the filter of each row (PNG specification, section 9). Returns whether a filter is unknown."""
    # One loop a filter, without a test inside: only then the compiler makes vector code of the simple ones.
    rows, columns = tile.shape
    nothing = np.zeros(columns, np.uint8)
    for row in range(rows):
        kind = lines[row, 0]
        here = lines[row, 1:]
        above = tile[row - 1] if row else nothing
        out = tile[row]
        left = np.uint8(0)
        if kind == 0:
            out[:] = here
        elif kind == 1:
            for c in range(columns):
                left = np.uint8(here[c] + left)
                out[c] = left
        elif kind == 2:
            for c in range(columns):
                out[c] = np.uint8(here[c] + above[c])
        elif kind == 3:
            for c in range(columns):
                left = np.uint8(here[c] + ((np.uint32(left) + np.uint32(above[c])) >> 1))
                out[c] = left
        elif kind == 4:
            corner = np.int32(0)
            for c in range(columns):
                up = np.int32(above[c])
                before = np.int32(left)
                guess = before + up - corner
                to_left, to_up, to_corner = abs(guess - before), abs(guess - up), abs(guess - corner)
                if to_left <= to_up and to_left <= to_corner:
                    best = before
                elif to_up <= to_corner:
                    best = up
                else:
                    best = corner
                left = np.uint8(here[c] + best)
                out[c] = left
                corner = up
        else:
            return True
    return False


@njit(nogil=True, cache=True)
def _resample(tile, first, weights, out):  # type: ignore[no-untyped-def]
    """Along the rows, rounded to 8 bit, then along the columns. Rows are made columns for the first part: then whole
    rows of numbers are added up in either."""
    side, size = tile.shape[0], out.shape[0]
    half_way = np.empty((size, side), np.uint8)
    _combine(_transposed(tile), first, weights, half_way)
    _combine(_transposed(half_way), first, weights, out)


@njit(nogil=True, cache=True)
def _transposed(tile):  # type: ignore[no-untyped-def]
    """(H, W) -> (W, H), block by block, so that both stay in the cache."""
    rows, columns = tile.shape
    out = np.empty((columns, rows), np.uint8)
    for top in range(0, rows, 32):
        for left in range(0, columns, 32):
            for row in range(top, min(top + 32, rows)):
                for column in range(left, min(left + 32, columns)):
                    out[column, row] = tile[row, column]
    return out


@njit(nogil=True, cache=True)
def _combine(tile, first, weights, out):  # type: ignore[no-untyped-def]
    """Each new row is a weighted sum of old ones. Weights are positive and add up to 1: no result is out of range."""
    columns = tile.shape[1]
    sums = np.empty(columns, np.uint32)
    for row in range(out.shape[0]):
        sums[:] = np.uint32(1 << (_PRECISION - 1))
        for tap in range(weights.shape[1]):
            weight = weights[row, tap]
            if weight:
                line = tile[first[row] + tap]
                for c in range(columns):
                    sums[c] += np.uint32(line[c]) * weight
        to = out[row]
        for c in range(columns):
            to[c] = np.uint8(sums[c] >> np.uint32(_PRECISION))
