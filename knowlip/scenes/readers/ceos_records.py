"""Records of CEOS files of ALOS and ALOS-2: every record begins with its number, four bytes of type and its length;
values are text in fixed columns, but for what stands before each line of pixels, which is binary. JAXA writes big
endian; files of other processors may be little endian throughout, which the length of their first record shows.

Source: ALOS PALSAR Level 1.1/1.5 Product Format Description (JAXA, NEB-070062B), ALOS-2/PALSAR-2 Level
1.1/1.5/2.1/3.1 CEOS SAR Product Format Description (JAXA). Offsets count from 0.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.opening import open_records, require_file, require_size, stored_bytes
from knowlip.scenes.quantities import finite

HEADER_BYTES = 720
"""Of the first record of an image and of a leader."""
_MOST_RECORDS = 1_000
_MOST_BYTES = 1 << 16
"""Of a record that is read; longer ones (attitude, calibration data) hold nothing that is needed."""
_IMAGE, _LEADER = 50, 11
SUMMARY, MAP, ORBIT, RADIOMETRY, FACILITY = 10, 20, 30, 50, 200
"""Types of the leader's records."""
_KINDS = {"IU2": (2, "u2"), "C*8": (8, "c8")}
"""Code of the pixels -> bytes of one, NumPy's name without the order of bytes."""
_ORDERS: dict[str, Literal["big", "little"]] = {">": "big", "<": "little"}
_LOOKED_AT = 33
"""Lines whose pixels tell whether their bytes are in order."""
_SWAPPED_BITS = 1.0
_EXPONENTS = 1e-9, 1e9
"""Parts of complex pixels are numbers of this size, or 0."""


@dataclass(frozen=True)
class Record:
    """One record; text in fixed columns."""

    data: bytes
    path: Path

    def text(self, at: int, width: int) -> str:
        """A field without the blanks around it; "" beyond the record's end."""
        return self.data[at : at + width].decode("latin-1").strip(" \0")

    def number(self, at: int, width: int = 16) -> float:
        """A field as a number, NaN where it is none."""
        return finite(self.text(at, width).replace("D", "E"))

    def numbers(self, at: int, count: int, width: int = 16) -> np.ndarray:
        """(count,) fields that follow each other, NaN where one is no number."""
        return np.array([self.number(at + k * width, width) for k in range(count)])

    def count(self, at: int, width: int, what: str) -> int:
        """A whole number of 0 or more.

        Raises:
            DamagedProduct: it is none; `what` names it.
        """
        value = self.number(at, width)
        if not (math.isfinite(value) and value >= 0 and value == int(value)):
            raise DamagedProduct(f"{self.path} states {self.text(at, width)[:20]!r} as its {what}, which is no count.")
        return int(value)


@dataclass(frozen=True)
class ImageLayout:
    """How the pixels of an image file lie: after its first record, one record of the same length a line."""

    path: Path
    shape: tuple[int, int]  # Lines, pixels.
    record_bytes: int
    prefix_bytes: int  # Of each record, before its pixels.
    dtype: str  # As they are stored: ">u2" or ">c8", with "<" where the file is little endian.

    @property
    def complex_pixels(self) -> bool:
        return self.dtype.endswith("c8")

    @property
    def order(self) -> str:
        """Order of the bytes of binary numbers, ">" or "<"."""
        return self.dtype[0]

    def lines(self, at: np.ndarray) -> np.ndarray:
        """(N, prefix) bytes before the pixels of lines (N,)."""
        records = open_records(self.path, HEADER_BYTES, self.record_bytes, self.shape[0])
        return np.array(records[at, : self.prefix_bytes])


def read_image_header(path: Path) -> ImageLayout:
    """How the pixels of an image lie.

    Raises:
        DamagedProduct: it is no image of CEOS, of other pixels than amplitudes or complex numbers, or contradicts
            itself.
    """
    require_file(path)
    with path.open("rb") as stream:
        record = Record(stream.read(HEADER_BYTES), path)
    order = _order(record.data, HEADER_BYTES)
    if len(record.data) < HEADER_BYTES or record.data[4] != _IMAGE or not order:
        raise DamagedProduct(f"{path} does not begin as an image in CEOS format does.")
    lines, length = record.count(180, 6, "number of lines"), record.count(186, 6, "length of a line")
    rows, columns = record.count(236, 8, "number of lines"), record.count(248, 8, "number of pixels")
    prefix, pixels = record.count(276, 4, "prefix"), record.count(280, 8, "bytes of pixels")
    code = record.text(428, 4).upper()
    if code not in _KINDS:
        raise DamagedProduct(f"{path} holds pixels of type {code!r}; what is read is IU2 and C*8 (levels 1.1 to 3.1).")
    size, kind = _KINDS[code]
    if rows != lines or prefix + columns * size > length or (pixels and pixels != columns * size):
        raise DamagedProduct(
            f"{path} states {rows} lines of {columns} pixels and {lines} records of {length} bytes, which contradict "
            "each other."
        )
    require_size(path, (rows, columns), size, stored_bytes(path))
    layout = ImageLayout(path, (rows, columns), length, prefix, order + kind)
    _require_order(layout, open_records(path, HEADER_BYTES, length, rows))
    return layout


def _order(head: bytes, length: int) -> str:
    """Order of bytes in which a record states a length; "" where it states another one."""
    return next((order for order, name in _ORDERS.items() if int.from_bytes(head[8:12], name) == length), "")


def _require_order(layout: ImageLayout, records: np.ndarray) -> None:
    """Refuse an image whose lines or pixels are written in another order of bytes than its header: they would be read
    as noise.

    Raises:
        DamagedProduct: see above.
    """
    path, (rows, columns) = layout.path, layout.shape
    if not rows or not columns:
        return
    said = _ORDERS[layout.order]
    lines = _order(bytes(records[0, :12]), layout.record_bytes)
    if lines and lines != layout.order:
        raise DamagedProduct(f"{path} is written in two orders of bytes: its header is {said} endian, its lines not.")
    at = np.unique(np.linspace(0, rows - 1, _LOOKED_AT).astype(int))
    stored = np.ascontiguousarray(records[at, layout.prefix_bytes : layout.prefix_bytes + columns * _size(layout)])
    if layout.complex_pixels:
        own, other = (_plausible(stored.view(order + "f4")) for order in (layout.order, "<>".replace(layout.order, "")))
        swapped = own < 0.5 < other
    else:
        high, low = (stored[:, part::2] for part in ((0, 1) if layout.order == ">" else (1, 0)))
        held = (high != 0) | (low != 0)
        swapped = bool(held.any()) and _bits(high[held]) > _bits(low[held]) + _SWAPPED_BITS
    if swapped:
        raise DamagedProduct(
            f"{path} says that it is {said} endian, and its pixels are numbers in the other order of bytes alone: swap "
            "the bytes of its pixels, or take it from JAXA anew."
        )


def _size(layout: ImageLayout) -> int:
    return np.dtype(layout.dtype).itemsize


def _plausible(parts: np.ndarray) -> float:
    """Share of numbers that parts of complex pixels can be."""
    with np.errstate(invalid="ignore"):
        size = np.abs(parts[parts != 0])
        return float(np.mean((size > _EXPONENTS[0]) & (size < _EXPONENTS[1]))) if size.size else 1.0


def _bits(values: np.ndarray) -> float:
    """Entropy of bytes: the higher ones of amplitudes tell few values apart, the lower ones are nearly random."""
    share = np.bincount(values, minlength=256) / values.size
    return float(-np.sum(share[share > 0] * np.log2(share[share > 0])))


def read_leader(path: Path) -> dict[int, Record]:
    """The leader's records of a type, the last of each; of those about the facility the fifth.

    Raises:
        DamagedProduct: it is missing, no leader, or cut off.
    """
    if not path.is_file():
        raise DamagedProduct(f"{path} is missing, is the product complete?")
    found: dict[int, Record] = {}
    order: Literal["big", "little"] = "big"
    end = path.stat().st_size
    with path.open("rb") as stream:
        at = 0
        for _ in range(_MOST_RECORDS):
            stream.seek(at)
            head = stream.read(12)
            if len(head) < 12:
                break
            # The first record is of a known length, which shows in which order of bytes all lengths are written.
            if at == 0:
                order = _ORDERS[_order(head, HEADER_BYTES) or ">"]
            kind, length = head[5], int.from_bytes(head[8:12], order)
            if length < 12 or at + length > end or (at == 0 and head[4] != _LEADER):
                raise DamagedProduct(f"{path} is no complete leader in CEOS format (record at byte {at}).")
            if at and length <= _MOST_BYTES:
                record = Record(head + stream.read(length - 12), path)
                if kind != FACILITY or record.text(12, 4) == "5":
                    found[kind] = record
            at += length
    if SUMMARY not in found:
        raise DamagedProduct(f"{path} holds no summary of its data set.")
    return found


def integers(prefix: np.ndarray, at: int, count: int, order: str) -> np.ndarray:
    """(N, count) signed numbers of four bytes from prefixes (N, bytes); NaN where the prefix is too short. `order`: of
    the bytes, ">" or "<", here and below."""
    if prefix.shape[1] < at + 4 * count:
        return np.full((len(prefix), count), math.nan)
    return np.ascontiguousarray(prefix[:, at : at + 4 * count]).view(f"{order}i4").astype(float)


def line_polarisation(prefix: np.ndarray, order: str) -> str:
    """What was sent and received in the first of some lines, "HV"; "" where its two codes (0: H, 1: V) are none."""
    if prefix.shape[1] < 56:
        return ""
    codes = struct.unpack(f"{order}2H", bytes(prefix[0, 52:56]))
    return "".join("HV"[code] for code in codes) if {*codes} <= {0, 1} else ""


def line_times(prefix: np.ndarray, order: str) -> list[tuple[int, int, float]]:
    """Year, day of the year and seconds of that day at which each line was taken; microseconds where they are kept
    (ALOS-2), else milliseconds."""
    days = integers(prefix, 36, 3, order)
    times = []
    for (year, day, milliseconds), row in zip(days, prefix):
        seconds = milliseconds / 1e3
        if len(row) >= 92:
            exact = struct.unpack(f"{order}Q", bytes(row[84:92]))[0] / 1e6
            seconds = exact if abs(exact - seconds) < 0.002 else seconds
        times.append((int(year) if math.isfinite(year) else 0, int(day) if math.isfinite(day) else 0, seconds))
    return times
