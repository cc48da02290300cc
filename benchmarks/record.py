"""The head that every result of a benchmark carries."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine


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
