"""Finished parts of a pass on disk: a whole-or-absent parquet file a chunk, and the settings that they belong to."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from knowlip.base.files import read_json, write_json
from knowlip.base.parquet import read_parquet, write_table


class PartStore:
    """The folder DATASET/.scio/NAME of one pass.

    settings.json          all that its results depend on
    evidence-000012.parquet  rows of chunk 12 of the phase "evidence"
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin a pass, or go on with one of the same settings.

        Raises:
            ValueError: the folder belongs to other settings.
        """
        path = self.folder / "settings.json"
        if not path.exists():
            write_json(path, settings)
        elif read_json(path) != settings:
            raise ValueError(f"{self.folder} belongs to a pass with other settings: delete it to begin anew.")

    def todo(self, phase: str, count: int) -> list[int]:
        """Which of the chunks 0 to `count` - 1 are not finished."""
        return [number for number in range(count) if not self._path(phase, number).exists()]

    def write(self, phase: str, number: int, table: pa.Table) -> None:
        """Keep the rows of a chunk."""
        write_table(self._path(phase, number), table)

    def read(self, phase: str, count: int) -> pa.Table:
        """The rows of all chunks of a phase, one behind the other; no rows or columns where there are no chunks.

        Raises:
            ValueError: one is missing or damaged.
        """
        parts = [read_parquet(self._path(phase, number)) for number in range(count)]
        return pa.concat_tables(parts) if parts else pa.table({})

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, phase: str, number: int) -> Path:
        return self.folder / f"{phase}-{number:06d}.parquet"


def chunks(count: int, size: int) -> list[range]:
    """The numbers 0 to `count` - 1 in ranges of at most `size`."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def share(todo: Sequence[int], rank: int, world: int) -> list[int]:
    """The chunks of one process of several: dealt like cards."""
    return list(todo[rank::world])
