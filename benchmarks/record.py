"""The head that every result of a benchmark carries."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowlip.base.documents import read_json
from knowlip.base.files import exclusive, sha256, write_json
from knowlip.base.provenance import commit, machine
from knowlip.base.rows import Row
from knowlip.base.settings import plain


def record(path: Path, value: float, baseline: float, unit: str, rest: dict[str, Any], used: str = "") -> None:
    """Write a result.

    Args:
        path: JSON file.
        value: what was measured.
        baseline: what it is compared with, measured in the same run or stated in `unit`.
        unit: what both figures mean.
        rest: everything else worth keeping.
        used: part of the machine that was used, e.g. "one core".
    """
    head = {
        "value": value,
        "baseline": baseline,
        "ratio": round(value / baseline, 3) if baseline else None,
        "unit": unit,
        "machine": f"{machine()}, {used}" if used else machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
    }
    write_json(path, {**rest, **head})


VISION = Path(__file__).parent / "results" / "vision.json"
"""Rows of all vision tasks; each benchmark writes its own."""


def merge_rows(path: Path, rows: Sequence[Row], cpu_seconds: float | None, command: str, used: str = "") -> None:
    """Write rows into a file that several benchmarks share: those of the same key are replaced, all others stay.

    Args:
        path: JSON file, `VISION` as a rule.
        rows: measured now.
        cpu_seconds: of all of them together; None where it was not measured.
        command: that measures them again.
        used: part of the machine that was used, e.g. "one core".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(tempfile.gettempdir()) / f"knowlip-rows-{sha256(str(path.resolve()).encode())[:16]}.lock"
    with lock.open("w") as stream, exclusive(stream):
        found = read_json(path)["rows"] if path.is_file() else []
        kept = {tuple(row[name] for name in _KEY): row for row in found}
        told = {
            "cpu_seconds": None if cpu_seconds is None else round(cpu_seconds, 1),
            "command": command,
            "machine": f"{machine()}, {used}" if used else machine(),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
        }
        kept |= {row.key: {**plain(row), **told} for row in rows}
        write_json(path, {"rows": [kept[key] for key in sorted(kept)]})


_KEY = ("data", "split", "task", "encoder", "metric")
