"""An archive on disk, and what is near to a vector in it.

    ARCHIVE/archive.json             format, and the model whose vectors these are
    ARCHIVE/SOURCE.parquet           one row a window or tile: place, date, sensor, size, picture
    ARCHIVE/SOURCE.npy               their vectors (N, E) float32, row by row
    ARCHIVE/SOURCE.json              where they come from; written last: a source without it is not there

A source is a scene or a data set. An archive grows by sources and loses sources; nothing else is ever written anew.
Vectors are compared exactly: filters first, then one product with what is left, from memory-mapped files.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.base.documents import read_json
from knowlip.base.files import regular_file, write_json
from knowlip.base.parquet import open_parquet, read_parquet
from knowlip.tiles.gazetteers import distance_km

HEAD: Final = "archive.json"
FORMAT: Final = "knowlip-archive-1"
SCHEMA: Final = pa.schema(
    [
        ("item", pa.string()),
        ("scene_id", pa.string()),
        *((name, pa.float64()) for name in ("lon", "lat", "window_m", "metres_per_pixel", "resolution_m")),
        *((name, pa.string()) for name in ("sensor", "band", "polarisation", "date")),
        ("footprint", pa.binary()),
        ("picture", pa.binary()),
        *((name, pa.string()) for name in ("orbit", "look_side")),
    ]
)
"""Unknown numbers are NaN, unknown words empty; footprint: WKB in longitude and latitude, null where the place is not
known; picture: the pixels as the model saw them, PNG."""
PASS: Final = ("orbit", "look_side")
"""Columns that archives of former versions do not have: nothing is known of them there."""
_LIGHT: Final = tuple(name for name in SCHEMA.names if name not in ("footprint", "picture"))
ROWS_A_GROUP: Final = 128
"""Rows of a part that are read from the disk together."""
ORBITS: Final = ("ascending", "descending")
_DATE: Final = re.compile(r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?)?)?", re.ASCII)
_AT_ONCE: Final = 1 << 16
"""Vectors that are multiplied at once."""
_MOST: Final = 50_000_000
"""Rows of a part."""


@dataclass(frozen=True)
class Filters:
    """What a hit must be. Rows of which nobody knows it are no hits."""

    near: tuple[float, float] | None = None
    """Longitude and latitude."""
    km: float = math.inf
    """Greatest distance from there."""
    after: str = ""
    """ISO date, or date and time in UTC: not before."""
    before: str = ""
    """ISO date, or date and time in UTC: before this."""
    sensor: str = ""
    """Name of the sensor, or its band."""
    resolution: tuple[float, float] = (0.0, math.inf)
    """Pixel spacing of the scene in metres."""
    window_m: tuple[float, float] = (0.0, math.inf)
    """Side of the window in metres."""
    orbit: str = ""
    """ "ascending" or "descending"."""

    def __post_init__(self) -> None:
        # Dates are compared letter by letter, which tells nothing of one that is written otherwise.
        if self.orbit not in ("", *ORBITS):
            raise ValueError(f"--orbit is {self.orbit!r}: say {' or '.join(ORBITS)}.")
        for name in ("after", "before"):
            object.__setattr__(self, name, _checked_date(name, getattr(self, name)))


@dataclass(frozen=True)
class ArchivePart:
    """One source."""

    path: Path
    """Without an ending."""
    told: dict[str, Any] = field(repr=False)
    """Its JSON file."""

    @cached_property
    def rows(self) -> pa.Table:
        """All but pictures and footprints.

        Raises:
            ValueError: the file is damaged, or is of another number of rows than the vectors.
        """
        path = self.path.with_name(f"{self.path.name}.parquet")
        file = pq.ParquetFile(regular_file(path))
        if file.metadata.num_rows > _MOST:
            raise ValueError(f"{path} has more than {_MOST:,} rows.")
        held = _held(file.schema_arrow)
        table = _all_columns(read_parquet(path, pa.schema([SCHEMA.field(name) for name in _LIGHT if name in held])))
        if len(table) != len(self.vectors):
            raise ValueError(
                f"{path} has {len(table)} rows and {len(self.vectors)} vectors: remove it and add it again."
            )
        return table

    @cached_property
    def dates(self) -> np.ndarray:
        """(N,) ISO dates, with a T before the time, "" where none is known."""
        return np.char.replace(self.rows["date"].to_numpy(zero_copy_only=False).astype(str), " ", "T")

    @cached_property
    def knows_passes(self) -> bool:
        """Whether it was made by a version that keeps directions of orbits."""
        return "orbit" in _held(self._file.schema_arrow)

    def of_sensor(self, name: str) -> np.ndarray:
        """(N,) bool: whose sensor or band is called so."""
        wanted = name.casefold()
        known, number = self._kinds
        return np.array([wanted in (sensor.casefold(), band.casefold()) for sensor, band in known], bool)[number]

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of sensor and band that there are, and of each row the number of its pair."""
        named = np.array([self.rows[name].to_pylist() for name in ("sensor", "band")], dtype=str).T
        known, number = np.unique(named, axis=0, return_inverse=True)
        return known, number.reshape(-1)

    @cached_property
    def vectors(self) -> np.ndarray:
        """(N, E) float32, from the disk as they are needed.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.path.with_name(f"{self.path.name}.npy")
        try:
            found: np.ndarray = np.load(regular_file(path), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read ({error}).") from None
        if found.ndim != 2 or found.dtype != np.float32:
            raise ValueError(f"{path} holds no vectors.")
        return found

    @cached_property
    def _file(self) -> pq.ParquetFile:
        """Stays open: it can be read though the source is taken out of the archive."""
        needed = pa.schema([field for field in SCHEMA if field.name not in PASS])
        return open_parquet(self.path.with_name(f"{self.path.name}.parquet"), needed)

    @cached_property
    def footprints(self) -> np.ndarray:
        """(N,) WKB in longitude and latitude, None where the place is not known."""
        table = read_parquet(self.path.with_name(f"{self.path.name}.parquet"), pa.schema([SCHEMA.field("footprint")]))
        if len(table) != len(self.rows):
            raise ValueError(f"{self.path}.parquet has changed while it was read.")
        return table["footprint"].to_numpy(zero_copy_only=False)

    def whole(self, numbers: np.ndarray) -> list[dict[str, Any]]:
        """Rows with pictures and footprints; of the disk only their groups of rows are read. Not for several threads
        at once.

        Raises:
            ValueError: the file is damaged.
        """
        file, found = self._file, dict[int, dict[str, Any]]()
        starts = np.cumsum([0, *(file.metadata.row_group(one).num_rows for one in range(file.num_row_groups))])
        groups = np.searchsorted(starts, numbers, side="right") - 1
        try:
            for group in np.unique(groups):
                wanted = np.unique(numbers[groups == group])
                table = file.read_row_group(int(group), _held(file.schema_arrow))
                some = _all_columns(table.take(pa.array(wanted - starts[group])))
                found |= zip(wanted.tolist(), some.to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.path}.parquet cannot be read ({str(error).splitlines()[0]}).") from None
        return [found[int(number)] for number in numbers]


def _held(schema: pa.Schema) -> list[str]:
    """Columns of an archive that a file has."""
    return [name for name in SCHEMA.names if name not in PASS or name in schema.names]


def _all_columns(table: pa.Table) -> pa.Table:
    """The table with the columns that a former version did not write, unknown in every row."""
    for name in PASS:
        if name not in table.column_names:
            table = table.append_column(name, pa.array([""] * len(table), pa.string()))
    return table


class SceneArchive:
    """An archive, opened.

    Args:
        folder: the archive.

    Raises:
        ValueError: it is none, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        head = read_json(folder / HEAD) if (folder / HEAD).is_file() else None
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ValueError(f"{folder} is no archive: `knowlip index SCENES --out {folder}` makes one.")
        self.model_sha256 = str(head.get("model_sha256", ""))
        self.parts = [ArchivePart(path.with_suffix(""), told) for path, told in _finished(folder)]

    def __len__(self) -> int:
        return sum(len(part.vectors) for part in self.parts)

    def mask(self, filters: Filters) -> list[np.ndarray]:
        """For each part which of its rows pass (N,) bool."""
        return [_passes(part, filters) for part in self.parts]

    def nearest(self, vector: np.ndarray, count: int, filters: Filters | None = None) -> list[tuple[int, int, float]]:
        """The rows that are most like a vector: part, row and cosine, the likest first, equal ones in their order.

        Args:
            vector: (E,) of unit length.
            count: how many.
            filters: what they must be.
        """
        return self.among(vector, count, self.mask(filters or Filters()))

    def among(self, vector: np.ndarray, count: int, masks: Sequence[np.ndarray]) -> list[tuple[int, int, float]]:
        """:meth:`nearest` among the rows that a :meth:`mask` lets pass."""
        best: list[tuple[float, int, int]] = []
        for number, (part, mask) in enumerate(zip(self.parts, masks)):
            for rows, some in _blocks(part.vectors, mask):
                score = some @ vector.astype(np.float32)
                few = np.argpartition(-score, count - 1)[:count] if len(score) > count else np.arange(len(score))
                best += [(-float(score[at]), number, int(rows[at])) for at in few]
            best = sorted(best)[:count]
        return [(number, row, -score) for score, number, row in best]


def _finished(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob("[!.]*.json")):
        if path.name != HEAD:
            told = read_json(path)
            if not isinstance(told, dict):
                raise ValueError(f"{path} does not say where its rows come from.")
            yield path, told


def begin(folder: Path, model_sha256: str, model: str) -> None:
    """Begin an archive, or go on with one of the same model.

    Raises:
        ValueError: its vectors are those of another model.
    """
    if (folder / HEAD).is_file():
        if SceneArchive(folder).model_sha256 != model_sha256:
            raise ValueError(f"{folder} holds the vectors of another model: use that one, or another folder.")
        return
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(f"{folder} is not empty and no archive; give a new folder.")
    write_json(folder / HEAD, {"format": FORMAT, "model_sha256": model_sha256, "model": model})


def _blocks(vectors: np.ndarray, mask: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers and vectors of the rows that pass, some at once."""
    whole = bool(mask.all())
    for start in range(0, len(vectors), _AT_ONCE):
        if whole:
            some = vectors[start : start + _AT_ONCE]
            yield np.arange(start, start + len(some)), some
            continue
        rows = start + np.flatnonzero(mask[start : start + _AT_ONCE])
        if len(rows):
            yield rows, vectors[rows]


def _checked_date(name: str, date: str) -> str:
    """A date of a filter as the rows have theirs: 2024, 2024-01, 2024-01-31 or 2024-01-31T05:00.

    Raises:
        ValueError: it is none.
    """
    found = date.strip().replace(" ", "T")
    day, _, time = found.partition("T")
    try:
        if found:
            datetime.fromisoformat(day + {4: "-01-01", 7: "-01"}.get(len(day), "") + (f"T{time}" if time else ""))
    except ValueError:
        found = "?"
    if found and not _DATE.fullmatch(found):
        raise ValueError(f"--{name} is {date!r}: give a date as 2024-01-31, or 2024-01-31T05:00.")
    return found


def _passes(part: ArchivePart, filters: Filters) -> np.ndarray:
    rows = part.rows
    found = np.ones(len(rows), bool)
    if filters.near is not None and math.isfinite(filters.km):
        lon, lat = (rows[name].to_numpy() for name in ("lon", "lat"))
        with np.errstate(invalid="ignore"):
            found &= distance_km(lon, lat, *filters.near) <= filters.km
    for name, ends in (("resolution_m", filters.resolution), ("window_m", filters.window_m)):
        if ends != (0.0, math.inf):
            value = rows[name].to_numpy()
            found &= (value >= ends[0]) & (value <= ends[1])
    if filters.after or filters.before:
        date = part.dates
        found &= date != ""
        if filters.after:
            found &= date >= filters.after
        if filters.before:
            found &= date < filters.before
    if filters.sensor:
        found &= part.of_sensor(filters.sensor)
    if filters.orbit:
        found &= np.array([value == filters.orbit for value in rows["orbit"].to_pylist()], bool)
    return found
