"""benchmarks/results/vision.json: the rows of all vision tasks on real sets, each written by its own benchmark."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine

OUT: Final = Path(__file__).parent / "results" / "vision.json"
CPU_SECONDS: Final = "cpu_seconds"
"""Field of a row: what all trainings and measurements behind it took, of one core."""
_KEY: Final = ("data", "split", "task", "encoder", "metric")


def merge(rows: Sequence[Mapping[str, Any]], path: Path = OUT) -> None:
    """Put rows into the file, in place of those with the same data, split, task, encoder and metric; others stay.

    Args:
        rows: as :class:`knowlip.base.rows.Row` is written, and whatever else says how they came to be.
        path: the file.
    """
    kept: Any = read_json(path) if path.is_file() else {"rows": []}
    head = {"date": datetime.now(UTC).date().isoformat(), "commit": commit(), "machine": machine()}
    new = {tuple(row[name] for name in _KEY): {**row, **head} for row in rows}
    old = {tuple(row[name] for name in _KEY): row for row in kept["rows"]}
    found = [{**old, **new}[key] for key in sorted(old.keys() | new.keys())]
    write_json(path, {"rows": found})
