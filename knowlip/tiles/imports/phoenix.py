"""Chips of MSTAR with a Phoenix header: text, then magnitude and phase as big-endian float32.

Source: the MSTAR public release's own readers (mstar2raw, mstar2tiff; AFRL).
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knowlip.scenes.errors import DamagedProduct

ENDINGS = tuple(f".{number:03d}" for number in range(100))
"""Of chips: a number for each target."""
_START = b"[PhoenixHeaderVer"
_LONGEST_HEADER = 1 << 16
_LARGEST_SIDE = 1 << 14


@dataclass(frozen=True)
class PhoenixChip:
    """A chip. Phases are not read: nothing here uses them."""

    header: dict[str, str]
    magnitude: np.ndarray  # (rows, columns) float32, linear, not calibrated between collections.


def is_phoenix(path: Path) -> bool:
    """Whether a file begins as a Phoenix header does; only files with a number for their ending are opened."""
    if path.suffix not in ENDINGS:
        return False
    with path.open("rb") as stream:
        return stream.read(len(_START)) == _START


def read_header(path: Path) -> dict[str, str]:
    """Keys and values of the header.

    Raises:
        DamagedProduct: it is no Phoenix header, or has no end.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST_HEADER)
    except OSError as error:
        raise DamagedProduct(f"{path} cannot be read ({error.strerror or error}).") from error
    text, end, _ = content.partition(b"[EndofPhoenixHeader]")
    if not content.startswith(_START) or not end:
        raise DamagedProduct(f"{path} has no Phoenix header (it begins with [PhoenixHeaderVer and has an end).")
    pairs = re.findall(r"^\s*([\w ]+?)\s*=[ \t]*([^\r\n]*?)\s*$", text.decode("ascii", "replace"), re.MULTILINE)
    return dict(pairs)


def number_in(header: dict[str, str], key: str) -> float | None:
    """A finite number of the header; None where it is absent or none."""
    found = re.match(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", header.get(key, ""))
    value = float(found[0]) if found else math.nan
    return value if math.isfinite(value) else None


def read_phoenix(path: Path) -> PhoenixChip:
    """Header and magnitude of a chip.

    Raises:
        DamagedProduct: the header does not say its length and the size of the chip, or the file is not as long as it
            says.
    """
    header = read_header(path)
    rows, columns, length = (
        int(number_in(header, key) or 0) for key in ("NumberOfRows", "NumberOfColumns", "PhoenixHeaderLength")
    )
    if not (0 < rows <= _LARGEST_SIDE and 0 < columns <= _LARGEST_SIDE and 0 < length <= _LONGEST_HEADER):
        raise DamagedProduct(f"{path} says {columns} x {rows} pixels behind a header of {length} bytes.")
    # Full scenes have a second header behind the first; what is left has to be magnitude and phase, to the byte.
    native = int(number_in(header, "native_header_length") or 0)
    expected, size = rows * columns * 8, path.stat().st_size
    start = next((start for start in (length, length + native) if size - start == expected), None)
    if start is None:
        raise DamagedProduct(
            f"{path} has {size - length:,} bytes behind its header, not {expected:,} of {columns} x {rows} magnitudes "
            "and phases: is it complete?"
        )
    magnitude = np.fromfile(path, ">f4", rows * columns, offset=start).reshape(rows, columns).astype(np.float32)
    if not np.isfinite(magnitude).all() or (magnitude < 0).any():
        raise DamagedProduct(f"{path} holds magnitudes that are negative or not finite.")
    return PhoenixChip(header, magnitude)
