"""A pass over a data set: phases one after the other, each in chunks that anybody may do.

What a chunk gives depends on its number and the settings only, so it does not matter who does it, or when: a killed
pass goes on with the chunks that are not finished, and ends with the same bytes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from knowlip.base.progress import quiet, say, track
from knowlip.jobs.run import runner
from knowlip.jobs.store import TABLES, Store
from knowlip.jobs.work import Ranks, Where, Work

Tables = dict[str, pa.Table]
"""Phase -> its rows."""
ChunkName = tuple[str, int]
"""Phase and number of a chunk."""


class PhasedJob(Protocol):
    """The work of a pass, opened in one process: model, texts and pixels at hand."""

    @property
    def phases(self) -> Sequence[str]:
        """In their order."""

    def count(self, phase: str, before: Tables) -> int:
        """Number of items of a phase, given the rows of the phases before it."""

    def work(self, phase: str, items: range, before: Tables) -> pa.Table:
        """Do some items of a phase, given the rows of the phases before it; the same items give the same rows."""


class PhasedPlan(Protocol):
    """All that a process needs to open the job; it can be pickled."""

    def open(self, number: int = 0) -> PhasedJob:
        """Read model, texts and pixels; `number` is that of the process on its machine."""


def do_phases(plan: PhasedPlan, job: PhasedJob, store: Store[pa.Table], size: int, where: Where) -> Tables:
    """Do all that is not finished.

    Args:
        plan: opens the job elsewhere.
        job: opened here.
        store: where finished chunks are; begun, and on a cluster on storage that all machines share.
        size: items a chunk.
        where: who does it.

    Returns:
        The rows of every phase.

    Raises:
        ValueError: a chunk ends its process again and again, or what :func:`knowlip.jobs.run.runner` says.
    """
    tables: Tables = {}
    here = where if isinstance(where, Ranks) else Ranks()
    with runner(_Chunks(plan, store.folder.resolve(), size, job), where) as run:
        for phase in job.phases:
            parts = len(chunks(job.count(phase, tables), size))
            todo = here.agreed([n for n in range(parts) if store.todo([_name((phase, n))])])
            if here.rank == 0 and len(todo) < parts:
                say(f"  {phase}: {parts - len(todo)} of {parts} chunks were finished before")
            done = run([(phase, number) for number in todo])
            # The first rank counts for all; of a single chunk, the bar of the work itself tells more.
            shown = here.rank == 0 and parts > 1
            for _ in track(done, f"{phase}: chunks of {size}", len(todo[:: here.world])) if shown else done:
                pass
            tables[phase] = _rows(store, phase, parts)
    return tables


@dataclass
class _Chunks(Work[ChunkName, None]):
    """Chunks, each of which is put into the store by whoever has done it."""

    plan: PhasedPlan
    folder: Path
    size: int
    opened: PhasedJob | None
    """The job of this process, which other processes cannot use."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "opened": None}

    def open(self, number: int) -> Callable[[ChunkName], None]:
        """Open the job, and read the phases before a chunk's when the first of its phase is to be done."""
        job, store = self.opened or self.plan.open(number), Store(self.folder, TABLES)
        parts, tables = dict[str, list[range]](), Tables()

        def do(chunk: ChunkName) -> None:
            for phase in job.phases:
                if phase not in parts:
                    parts[phase] = chunks(job.count(phase, tables), self.size)
                if phase == chunk[0]:
                    break
                if phase not in tables:
                    tables[phase] = _rows(store, phase, len(parts[phase]))
            items = parts[chunk[0]]
            with nullcontext() if self.opened and len(items) == 1 else quiet():
                store.write(_name(chunk), job.work(chunk[0], items[chunk[1]], tables))

        return do

    def name(self, item: ChunkName) -> str:
        """Phase and number."""
        return f"chunk {item[1]} of {item[0]}"


def chunks(count: int, size: int) -> list[range]:
    """The numbers 0 to `count` - 1 in ranges of at most `size`."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _name(chunk: ChunkName) -> str:
    return f"{chunk[0]}-{chunk[1]:06d}"


def _rows(store: Store[pa.Table], phase: str, parts: int) -> pa.Table:
    """The rows of all chunks of a phase, one behind the other; no rows or columns where there are no chunks."""
    tables = [store.read(_name((phase, number))) for number in range(parts)]
    return pa.concat_tables(tables) if tables else pa.table({})
