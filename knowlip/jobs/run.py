"""Do a piece of work wherever it is to be done. The only place that knows who does it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import TypeAlias

from knowlip.jobs.processes import Pool
from knowlip.jobs.ray import on_cluster
from knowlip.jobs.work import Item, Ranks, Ray, Result, Threads, Where, Work

Run: TypeAlias = Callable[[Sequence[Item]], Iterator[tuple[Item, Result]]]
"""Does items and yields each with its result, as they are done; in ranks, those of this rank."""


def runner(work: Work[Item, Result], where: Where) -> AbstractContextManager[Run[Item, Result]]:
    """Those who do the work, ready while the block lasts, and ended with it whatever happens.

    What the work raises, wherever, is raised here and ends it all. An item whose process is killed is begun again:
    in processes once, alone and at the end, on a cluster up to three times; then it is what `work.given_up` says.

    Example:
        with runner(Squares(), Processes(4)) as run:
            for number, square in run(range(100)):
                ...

    Raises:
        ValueError: the cluster cannot be used.
    """
    if isinstance(where, Ray):
        return on_cluster(work, where)
    if isinstance(where, Threads):
        return _in_threads(work, where.count)
    if isinstance(where, Ranks):
        return _in_ranks(work, where)
    return _in_processes(work, where.count)


@contextmanager
def _in_processes(work: Work[Item, Result], count: int) -> Iterator[Run[Item, Result]]:
    """A pool; but one process is this one, and so is that of a single item that can use all cores."""
    pool = Pool(work)
    do = [work.open(0)] if count == 1 else []

    def run(items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
        workers = min(count, len(items))
        if workers > 1 or (count > 1 and not work.threaded):
            yield from pool.run(items, workers, count // workers if work.threaded and workers else 1)
            return
        if items and not do:
            do.append(work.open(0))
        for item in items:
            yield item, do[0](work.prepare(item, count))

    try:
        yield run
    finally:
        pool.stop()


@contextmanager
def _in_threads(work: Work[Item, Result], count: int) -> Iterator[Run[Item, Result]]:
    """As many items under way as there are threads, and as many again prepared."""
    do = work.open(0)
    threads = ThreadPoolExecutor(count)

    def run(items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
        waiting, under_way = iter(items), dict[Future[Result], Item]()
        while True:
            for item in islice(waiting, 2 * count - len(under_way)):
                under_way[threads.submit(do, work.prepare(item, 1))] = item
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(future), future.result()

    try:
        yield run
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _in_ranks(work: Work[Item, Result], where: Ranks) -> Iterator[Run[Item, Result]]:
    """This rank's share, dealt like cards; it ends when all have done theirs."""
    do = work.open(where.local)

    def run(items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
        for item in items[where.rank :: where.world]:
            yield item, do(work.prepare(item, 1))
        if where.world > 1:
            import torch.distributed as dist

            dist.barrier()

    yield run
