"""What comes together is answered together, each gets its own, one failure is one's own, and the queue is bounded."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from knowlip.inference.web.batcher import Batcher
from knowlip.pages.server import Refused


def double(items: list[Any]) -> Sequence[Any]:
    if any(item < 0 for item in items):
        raise ValueError("It is negative.")
    return [2 * item for item in items]


def test_many_threads_get_each_their_own() -> None:
    batcher = Batcher({"double": double, "name": lambda items: [f"n{one}" for one in items]}, wait_ms=5)
    found: dict[tuple[str, int], Any] = {}

    def ask(kind: str, number: int) -> None:
        found[kind, number] = batcher.answer(kind, number)

    threads = [threading.Thread(target=ask, args=(kind, n)) for n in range(20) for kind in ("double", "name")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    batcher.close()
    assert found == {("double", n): 2 * n for n in range(20)} | {("name", n): f"n{n}" for n in range(20)}
    assert sum(batcher.batches) == 40
    assert max(batcher.batches) <= 16
    assert len(batcher.batches) < 40  # some were answered together


def test_one_that_fails_takes_no_other_with_it() -> None:
    go_on = threading.Event()

    def slow(items: list[Any]) -> Sequence[Any]:
        go_on.wait(5)
        return double(items)

    batcher = Batcher({"double": slow}, wait_ms=0)
    futures = [batcher.submit("double", item) for item in (1, 2, -3, 4)]
    go_on.set()
    assert [futures[at].result(5) for at in (0, 1, 3)] == [2, 4, 8]
    with pytest.raises(ValueError, match="negative"):
        futures[2].result(5)
    batcher.close()


def test_the_queue_is_bounded_and_its_end_is_told() -> None:
    go_on, started = threading.Event(), threading.Event()

    def slow(items: list[Any]) -> Sequence[Any]:
        started.set()
        go_on.wait(5)
        return items

    batcher = Batcher({"same": slow}, wait_ms=0, most_at_once=1, most_waiting=2)
    first = batcher.submit("same", 0)
    started.wait(5)
    waiting = [batcher.submit("same", one) for one in (1, 2)]
    with pytest.raises(Refused, match="ask again") as found:
        batcher.submit("same", 3)
    assert (found.value.status, found.value.headers) == (503, {"Retry-After": "2"})
    closing = threading.Thread(target=batcher.close)
    closing.start()
    time.sleep(0.05)
    go_on.set()
    closing.join(5)
    assert first.result(5) == 0
    for one in waiting:
        with pytest.raises(Refused, match="ends"):
            one.result(5)
    with pytest.raises(Refused, match="ends"):
        batcher.submit("same", 9)
