"""A pass over a data set in chunks: in one process, in several that torchrun has started, or on a Ray cluster.

What a chunk gives depends on its number and the settings only, so it does not matter who does it, or when: a killed
pass goes on with the chunks that are not finished, and ends with the same bytes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa

from knowlip.base.progress import quiet, say, track
from knowlip.jobs.launch import launched
from knowlip.jobs.parts import PartStore, chunks, share

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others to finish their chunks."""


class Job(Protocol):
    """The work of a pass, opened in one process: model, texts and pixels at hand."""

    @property
    def phases(self) -> Sequence[str]:
        """In their order."""

    def count(self, phase: str, before: dict[str, pa.Table]) -> int:
        """Number of items of a phase, given the rows of the phases before it."""

    def work(self, phase: str, items: range, before: dict[str, pa.Table]) -> pa.Table:
        """Do some items of a phase, given the rows of the phases before it; the same items give the same rows."""


class Plan(Protocol):
    """All that a process needs to open the job; it can be pickled."""

    def open(self) -> Job:
        """Read model, texts and pixels."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a pass, seen from one of them."""

    rank: int
    world: int

    def agreed(self, value: Any) -> Any:
        """What the first process says; all must ask."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The processes that torchrun has started, this one alone where it has not."""
    if not launched() or os.environ["WORLD_SIZE"] == "1":
        yield Ranks(0, 1)
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def in_processes(job: Job, store: PartStore, size: int, where: Ranks) -> dict[str, pa.Table]:
    """Do all that is not finished, this process its share of it.

    Args:
        job: the same in every process.
        store: where finished chunks are.
        size: items a chunk.
        where: this process among the others.

    Returns:
        The rows of every phase.
    """
    tables: dict[str, pa.Table] = {}
    for phase in job.phases:
        parts = chunks(job.count(phase, tables), size)
        todo = where.agreed(store.todo(phase, len(parts)))
        if where.rank == 0:
            tell(phase, len(parts), len(todo))
        mine: Sequence[int] = share(todo, where.rank, where.world)
        alone = len(parts) == 1 and where.rank == 0  # then the bar of the work itself tells more
        for number in mine if where.rank or alone else track(mine, f"{phase}: chunks of {size}"):
            with nullcontext() if alone else quiet():
                store.write(phase, number, job.work(phase, parts[number], tables))
        if where.world > 1:
            import torch.distributed as dist

            dist.barrier()
        tables[phase] = store.read(phase, len(parts))
    return tables


def tell(phase: str, parts: int, todo: int) -> None:
    """Say what was finished before."""
    if todo < parts:
        say(f"  {phase}: {parts - todo} of {parts} chunks were finished before")
