"""Work whose results can be foretold; it can be slow, and it can kill its process."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from knowlip.jobs.launch import joined
from knowlip.jobs.phases import do_phases
from knowlip.jobs.store import TABLES, Store
from knowlip.jobs.work import Work

COUNTS = {"squares": 23, "cubes": 7}
SIZE = 4


@dataclass(frozen=True)
class Squares(Work[int, tuple[int, int]]):
    """number -> its square and the process that has drawn it."""

    marks: Path | None = None
    """Folder in which every number that is begun, and every opening, leaves a file."""
    deadly: tuple[int, ...] = ()
    """Numbers that end their process each time."""
    once: tuple[int, ...] = ()
    """Numbers that end it the first time."""
    wrong: int = -1
    """A number that raises an error."""
    error: Exception | type[Exception] | None = None
    slow: float = 0.0

    def open(self, number: int) -> Callable[[int], tuple[int, int]]:
        self._mark(f"open-{os.getpid()}-{number}")
        return self._do

    def _do(self, number: int) -> tuple[int, int]:
        again = self._mark(str(number))
        if number in self.deadly or (number in self.once and not again):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.slow)
        if number == self.wrong and self.error:
            raise self.error
        return number**2, os.getpid()

    def _mark(self, name: str) -> bool:
        if self.marks is None:
            return False
        again = any(self.marks.glob(f"{name}.*"))
        (self.marks / f"{name}.{time.monotonic_ns()}").touch()
        return again

    def name(self, item: int) -> str:
        return f"number {item}"


@dataclass(frozen=True)
class ToyPlan:
    """Squares and cubes, in phases."""

    marks: str = ""
    """Folder in which every chunk that is begun leaves a file."""
    slow: float = 0.0
    deadly: int = -1
    """Item at which the process ends itself, once."""

    def open(self, number: int = 0) -> "ToyJob":
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
    store = Store(folder, TABLES)
    with joined() as where:
        if where.rank == 0:
            store.begin({"kind": "toy"})
        where.agreed(None)
        tables = do_phases(plan, plan.open(), store, SIZE, where)
    assert {phase: table.to_pylist() for phase, table in tables.items()} == expected()
