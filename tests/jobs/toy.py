"""A job whose rows can be foretold; it can be slow, and it can kill its process."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from knowlip.jobs.parts import PartStore
from knowlip.jobs.spread import in_processes, ranks

COUNTS = {"squares": 23, "cubes": 7}
SIZE = 4


@dataclass(frozen=True)
class ToyPlan:
    """Squares and cubes."""

    marks: str = ""
    """Folder in which every chunk that is begun leaves a file."""
    slow: float = 0.0
    deadly: int = -1
    """Item at which the process ends itself, once."""

    def open(self) -> "ToyJob":
        return ToyJob(self)


class ToyJob:
    """See the plan."""

    def __init__(self, plan: ToyPlan) -> None:
        self.plan = plan

    phases = tuple(COUNTS)

    def count(self, phase: str, before: dict[str, pa.Table]) -> int:
        return COUNTS[phase]

    def work(self, phase: str, items: range, before: dict[str, pa.Table]) -> pa.Table:
        mark = Path(self.plan.marks) / f"{phase}-{items.start}-{time.monotonic_ns()}" if self.plan.marks else None
        again = mark is not None and any(mark.parent.glob(f"{phase}-{items.start}-*"))
        if mark:
            mark.touch()
        if self.plan.deadly in items and not again:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.plan.slow)
        if phase == "squares":
            return pa.table({"item": list(items), "value": [item**2 for item in items]})
        squares = before["squares"]["value"].to_pylist()
        return pa.table({"item": list(items), "value": [item * squares[item] for item in items]})


def expected() -> dict[str, list[dict[str, Any]]]:
    return {
        phase: [{"item": item, "value": item**power} for item in range(COUNTS[phase])]
        for phase, power in (("squares", 2), ("cubes", 3))
    }


def do(plan: ToyPlan, folder: Path) -> None:
    """What each process of a test does."""
    store = PartStore(folder)
    with ranks() as where:
        if where.rank == 0:
            store.begin({"kind": "toy"})
        where.agreed(None)
        tables = in_processes(plan.open(), store, SIZE, where)
    if where.rank == 0:
        assert {phase: table.to_pylist() for phase, table in tables.items()} == expected()
