"""Who annotates chunks of tiles: processes for what computes (`measured`), threads for what waits (`openai`)."""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from knowlip.annotators.chunks import Outcome
from knowlip.annotators.types import Annotation, Annotator, Neighbours, TileRequest
from knowlip.dataset import Dataset

PLACE_KEYS = ("country", "region", "city", "city_km", "airport", "airport_km", "port", "port_km")


@dataclass(frozen=True)
class Chunk:
    """Some tiles of a wave."""

    name: str
    tiles: list[dict[str, Any]]
    """Index rows."""
    parents: dict[str, Annotation]
    """Annotations of the tiles' direct parents, by tile_id; absent where a parent has none."""


class Runner:
    """Works through chunks with an executor, a bounded number in flight, and gives them back in order.

    Args:
        executor: where the work is done; None = here.
        submit: turns a chunk into the calls (function, arguments) that return outcomes of its tiles.
        in_flight: largest number of calls submitted and not yet given back, at least one chunk's.
    """

    def __init__(
        self,
        executor: Executor | None,
        submit: Callable[[Chunk], list[tuple[Callable[..., list[tuple[str, Outcome]]], tuple[Any, ...]]]],
        in_flight: int,
    ) -> None:
        self._executor, self._submit, self._in_flight = executor, submit, in_flight

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[tuple[str, Outcome]]]]:
        """Yield every chunk with the outcomes of its tiles, in order.

        Raises:
            ValueError: a worker process died, or the endpoint cannot be used.
        """
        waiting: deque[tuple[Chunk, list[Future[list[tuple[str, Outcome]]]]]] = deque()
        try:
            for chunk in chunks:
                calls = self._submit(chunk)
                if self._executor is None:
                    yield chunk, [outcome for call, arguments in calls for outcome in call(*arguments)]
                    continue
                while waiting and sum(len(futures) for _, futures in waiting) + len(calls) > self._in_flight:
                    yield self._take(waiting)
                waiting.append((chunk, [self._executor.submit(call, *arguments) for call, arguments in calls]))
            while waiting:
                yield self._take(waiting)
        except BrokenProcessPool:
            raise ValueError(
                "A worker process was killed, perhaps for lack of memory; run again to go on, with fewer workers."
            ) from None
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()

    def _take(self, waiting: deque[tuple[Chunk, list[Future[Any]]]]) -> tuple[Chunk, list[tuple[str, Outcome]]]:
        chunk, futures = waiting[0]
        outcomes = [outcome for future in futures for outcome in future.result()]
        waiting.popleft()
        return chunk, outcomes

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


def measured_runner(dataset: Path, workers: int) -> Runner:
    """Measure in `workers` processes, or in this one for 1. Raises nothing; processes start with the first chunk."""
    if workers == 1:
        executor = None
        _open(dataset)
    else:
        # A fresh interpreter: forking a process that runs threads (torch, Arrow) may hang.
        executor = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (dataset,))
    return Runner(executor, lambda chunk: [(_measured_chunk, (chunk,))], workers + 2)


def threads_runner(dataset: Path, annotator: Annotator, concurrency: int) -> Runner:
    """Ask `annotator` in `concurrency` threads, one tile a call."""
    opened = Dataset(dataset)

    def submit(chunk: Chunk) -> list[tuple[Callable[..., list[tuple[str, Outcome]]], tuple[Any, ...]]]:
        return [(_one, (annotator, request)) for request in requests(opened, chunk)]

    return Runner(ThreadPoolExecutor(concurrency), submit, 2 * concurrency)


def labels_runner(dataset: Dataset) -> Runner:
    """Fill templates from labels, in this process: no pixel is read.

    Raises:
        ValueError: the data set has no labels.
    """
    from knowlip.annotators.labels import LabelsAnnotator

    annotator = LabelsAnnotator(dataset)

    def work(chunk: Chunk) -> list[tuple[str, Outcome]]:
        return [(row["tile_id"], annotator.annotate_tile(row["tile_id"])) for row in chunk.tiles]

    return Runner(None, lambda chunk: [(work, (chunk,))], 1)


def requests(dataset: Dataset, chunk: Chunk) -> Iterator[TileRequest]:
    """The tiles of a chunk as annotators see them."""
    images = dataset.images([row["tile_id"] for row in chunk.tiles])
    for row, image in zip(chunk.tiles, images, strict=True):
        yield tile_request(row, image, chunk.parents.get(row["parent_id"]))


def tile_request(row: dict[str, Any], image: NDArray[np.uint8], parent: Annotation | None = None) -> TileRequest:
    """A tile as an annotator sees it, from its index row."""
    look = float(row["look_azimuth_deg"])
    return TileRequest(
        tile_id=row["tile_id"],
        image=image,
        metres_per_pixel=float(row["metres_per_pixel"]),
        scale=row["scale"],
        sensor=row["platform"],
        band=row["sar:frequency_band"],
        lon=float(row["lon"]),
        lat=float(row["lat"]),
        place=cast(Neighbours, {key: row[key] for key in PLACE_KEYS}),
        look_azimuth_deg=None if math.isnan(look) else look,
        parent=parent,
    )


def _one(annotator: Annotator, request: TileRequest) -> list[tuple[str, Outcome]]:
    """Annotate one tile; what only this tile is to blame for becomes its reason."""
    from knowlip.annotators.openai.annotator import EndpointError

    try:
        return [(request.tile_id, annotator.annotate(request))]
    except EndpointError:
        raise
    except ValueError as error:
        return [(request.tile_id, str(error))]


_dataset: Dataset | None = None


def _open(dataset: Path) -> None:
    global _dataset
    _dataset = Dataset(dataset)


def _start_worker(dataset: Path) -> None:
    """Prepare a worker process, and let it end when the main process was killed instead of waiting for ever."""
    main = parent_process()
    assert main is not None

    def follow() -> None:
        main.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    threadpool_limits(1)  # the processes are the parallelism: more BLAS threads than cores halve the speed
    _open(dataset)


def _measured_chunk(chunk: Chunk) -> list[tuple[str, Outcome]]:
    from knowlip.annotators.measured import MeasuredAnnotator

    assert _dataset is not None
    annotator, outcomes = MeasuredAnnotator(), list[tuple[str, Outcome]]()
    for request in requests(_dataset, chunk):
        try:
            outcomes.append((request.tile_id, annotator.annotate(request)))
        except ValueError as error:
            outcomes.append((request.tile_id, str(error)))
    return outcomes
