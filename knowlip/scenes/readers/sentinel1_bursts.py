"""TOPS bursts of a Sentinel-1 SLC swath as one raster without overlaps.

A swath's TIFF holds its bursts one below the other. In time they overlap by some lines; here each output line is one
azimuth time step, taken from the burst in whose valid part it lies deeper, and samples outside the valid part of a
burst are masked.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3.1.8 (swath timing).
"""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np
from rasterio.windows import Window

from knowlip.scenes.calibration import Field
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.raster import RasterFile
from knowlip.scenes.readers.sentinel1_annotation import numbers_of
from knowlip.scenes.xml import need_count, need_text, time_of


@dataclass(frozen=True)
class BurstLines:
    """Lines of the output that come from one burst."""

    start: int
    stop: int  # Output lines, half open.
    source: int  # Line of the TIFF that becomes output line 0 (negative for the later bursts' offsets as well).


@dataclass(frozen=True, eq=False)
class Bursts:
    """How output lines map to lines of the TIFF."""

    rows: int  # Output lines.
    offset: float  # Lines from the image's first line to the first burst.
    segments: tuple[BurstLines, ...]  # In order; lines between two of them (gaps) are not covered.
    first_valid: np.ndarray
    last_valid: np.ndarray  # (lines of the TIFF,) first and last valid sample, inclusive; -1: none.

    def over(self, window: Window) -> list[tuple[slice, Window]]:
        """Rows of a window of the output, and the window of the TIFF they come from."""
        top, bottom = int(window.row_off), int(window.row_off + window.height)
        found = []
        for segment in self.segments:
            start, stop = max(top, segment.start), min(bottom, segment.stop)
            if start < stop:
                part = Window(window.col_off, start + segment.source, window.width, stop - start)
                found.append((slice(start - top, stop - top), part))
        return found


def read_bursts(root: Element, first_line: datetime, line_seconds: float, lines: int, name: str) -> Bursts | None:
    """The bursts of a swath; None where it has none (stripmap, wave, detected images).

    Args:
        root: the annotation's <product>.
        first_line: azimuth time of the first line of the image; `line_seconds`: between two.
        lines: of the TIFF.
        name: of the annotation, for messages.

    Raises:
        DamagedProduct: bursts do not rise in time, or do not fit the TIFF.
    """
    elements = root.findall("swathTiming/burstList/burst")
    if not elements:
        return None
    length = need_count(root, "swathTiming/linesPerBurst", name)
    if length * len(elements) != lines:
        raise DamagedProduct(f"{name}: {len(elements)} bursts of {length} lines do not make {lines} lines.")
    if line_seconds <= 0:
        raise DamagedProduct(f"{name}: {line_seconds:g} s between lines cannot be.")
    times = [time_of(need_text(element, "azimuthTime", name), name) for element in elements]
    starts = [round((time - times[0]).total_seconds() / line_seconds) for time in times]
    first = [numbers_of(element, "firstValidSample", name).astype(int) for element in elements]
    last = [numbers_of(element, "lastValidSample", name).astype(int) for element in elements]
    if any(len(part) != length for part in (*first, *last)):
        raise DamagedProduct(f"{name}: valid samples are not given for each of the {length} lines of every burst.")
    if any(b <= a for a, b in pairwise(starts)) or starts[-1] + length > 2 * lines:
        raise DamagedProduct(f"{name}: its bursts do not follow each other in time.")
    offset = (times[0] - first_line).total_seconds() / line_seconds
    segments = _segments(starts, length, first, last)
    return Bursts(starts[-1] + length, offset, segments, np.concatenate(first), np.concatenate(last))


def _segments(
    starts: list[int], length: int, first: list[np.ndarray], last: list[np.ndarray]
) -> tuple[BurstLines, ...]:
    """Bursts cut in the middle of what both neighbours hold validly."""
    spans = []
    for start, low, high in zip(starts, first, last):
        valid = np.flatnonzero((low >= 0) & (high >= low))
        spans.append((start + int(valid[0]), start + int(valid[-1]) + 1) if len(valid) else (start, start))
    segments = []
    for k, (start, stop) in enumerate(spans):
        if k and spans[k - 1][1] > start:
            start = (spans[k - 1][1] + start) // 2
        if k + 1 < len(spans) and stop > spans[k + 1][0]:
            stop = (stop + spans[k + 1][0]) // 2
        if start < stop:
            segments.append(BurstLines(start, stop, k * length - starts[k]))
    return tuple(segments)


@dataclass(frozen=True, eq=False)
class OverBursts:
    """A field that is given over the lines of the TIFF, over the lines of the output."""

    field: Field
    bursts: Bursts

    def over(self, window: Window) -> np.ndarray:
        values = np.ones((int(window.height), int(window.width)), np.float32)
        for rows, part in self.bursts.over(window):
            values[rows] = self.field.over(part)
        return values


@dataclass
class BurstRaster(RasterFile):
    """The swath as one raster; `shape` counts output lines."""

    bursts: Bursts = field(kw_only=True)

    def values(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        shape = int(window.height), int(window.width)
        values, valid = np.zeros(shape, np.complex64), np.zeros(shape, bool)
        columns = np.arange(int(window.col_off), int(window.col_off) + shape[1])[None, :]
        for rows, part in self.bursts.over(window):
            values[rows], _ = super().values(part)
            lines = slice(int(part.row_off), int(part.row_off + part.height))
            low, high = self.bursts.first_valid[lines, None], self.bursts.last_valid[lines, None]
            valid[rows] = (low >= 0) & (columns >= low) & (columns <= high)
        return values, valid
