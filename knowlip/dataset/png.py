"""Grey PNGs of tiles: written by several threads at once (no lock is held while encoding), read with Pillow."""

import io
import struct
import zlib

import numpy as np
from numba import njit
from PIL import Image
from zlib_ng import zlib_ng

MOST_PIXELS = 178_956_970
"""Of a tile: twice what Pillow warns of, where it refuses too."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def encode_png(tile: np.ndarray) -> bytes:
    """Grey PNG of a (H, W) uint8 tile with fixed encoder settings.

    Each row is stored with the filter (none, sub, up, average) whose differences are smallest in sum, the heuristic of
    the PNG specification (section 12.8), then compressed by zlib-ng with run lengths and Huffman codes only
    (Z_RLE, level 1), because speckle has no repeated strings to find. The same settings in Pillow take about six times
    as long and give files 1 % larger.
    """
    rows, columns = tile.shape
    lines = np.empty((rows, columns + 1), np.uint8)
    _filter_rows(np.ascontiguousarray(tile), lines)
    stream = zlib_ng.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL + 1, zlib.Z_RLE)
    data = stream.compress(lines) + stream.flush()
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return b"".join([_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", data), _END])


def decode_png(data: bytes) -> np.ndarray:
    """(H, W) uint8 tile of a PNG."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode != "L":
            raise OSError(f"expected a grey 8-bit image, found mode {image.mode}")
        if image.width * image.height > MOST_PIXELS:  # pixels that are all alike take no room in a file
            raise OSError(f"{image.width} x {image.height} pixels are more than a tile has")
        return np.array(image)


def _chunk(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    return struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


@njit(nogil=True, cache=True)
def _filter_rows(tile, lines):  # type: ignore[no-untyped-def]
    """Fill `lines` (rows, 1 + columns): the filter's number, then the filtered row."""
    rows, columns = tile.shape
    sub = np.empty(columns, np.uint8)
    up = np.empty(columns, np.uint8)
    average = np.empty(columns, np.uint8)
    # Loops are kept apart, one a filter: each is a vector operation, and together they would not be. Paeth is left out:
    # speckle has no gradients for it to follow, and it costs more than the others together.
    nothing = np.zeros(columns, np.uint8)
    for row in range(rows):
        here = tile[row]
        above = tile[row - 1] if row else nothing
        sub[0] = here[0]
        average[0] = np.uint8(here[0] - (above[0] >> 1))
        for c in range(columns):
            up[c] = np.uint8(here[c] - above[c])
        for c in range(1, columns):
            sub[c] = np.uint8(here[c] - here[c - 1])
        for c in range(1, columns):
            average[c] = np.uint8(here[c] - ((np.int32(here[c - 1]) + np.int32(above[c])) >> 1))
        of_none, of_sub, of_up, of_average = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for c in range(columns):
            of_none += abs(np.int32(np.int8(here[c])))
            of_sub += abs(np.int32(np.int8(sub[c])))
            of_up += abs(np.int32(np.int8(up[c])))
            of_average += abs(np.int32(np.int8(average[c])))
        least = min(of_none, of_sub, of_up, of_average)
        if least == of_none:
            lines[row, 0] = 0
            lines[row, 1:] = here
        elif least == of_sub:
            lines[row, 0] = 1
            lines[row, 1:] = sub
        elif least == of_up:
            lines[row, 0] = 2
            lines[row, 1:] = up
        else:
            lines[row, 0] = 3
            lines[row, 1:] = average
