"""Requests of many people through one model: those of one kind that come together are answered together.

One thread alone touches the model. It waits a few milliseconds for company, takes what is of the kind of the oldest
request, and answers it in one batch. What waits is bounded: more is told to come back.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from knowlip.base.progress import say
from knowlip.pages.server import Refused

RETRY_S: Final = 2
"""When who is told to come back may come back."""
Handler = Callable[[list[Any]], Sequence[Any]]
"""Answers some items of one kind, in their order."""


@dataclass
class _Waiting:
    kind: str
    item: Any
    future: "Future[Any]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Answers items in batches, in a thread of its own.

    Args:
        handlers: by kind.
        wait_ms: how long the oldest item waits for others of its kind.
        most_at_once: items of one batch.
        most_waiting: items that wait; more are refused.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], wait_ms: float = 4.0, most_at_once: int = 16, most_waiting: int = 64
    ) -> None:
        self._handlers, self._wait_s = dict(handlers), wait_ms / 1000
        self._most_at_once, self._most_waiting = most_at_once, most_waiting
        self._queue: list[_Waiting] = []
        self._changed = threading.Condition()
        self._closed = False
        self.batches: list[int] = []
        """Sizes of the last batches."""
        self._thread = threading.Thread(target=self._work, name="knowlip-model", daemon=True)
        self._thread.start()

    def submit(self, kind: str, item: Any) -> "Future[Any]":
        """What an item comes to, later.

        Raises:
            Refused: too many wait, or the server ends.
        """
        one = _Waiting(kind, item)
        with self._changed:
            if self._closed:
                raise Refused("The server ends.", 503)
            if len(self._queue) >= self._most_waiting:
                raise Refused("Too many requests wait for the model: ask again.", 503, {"Retry-After": str(RETRY_S)})
            self._queue.append(one)
            self._changed.notify()
        return one.future

    def answer(self, kind: str, item: Any) -> Any:
        """What an item comes to; waits for it."""
        return self.submit(kind, item).result()

    def close(self) -> None:
        """Answer no more; what waits is refused."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(10)

    def _work(self) -> None:
        while some := self._next():
            self.batches = [*self.batches[-99:], len(some)]
            self._answer(some)
        for one in self._queue:
            one.future.set_exception(Refused("The server ends.", 503))
        self._queue = []

    def _next(self) -> list[_Waiting]:
        """The next batch; nothing when the server ends."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            # Under load there is company already, and nobody waits for more of it.
            while self._queue and not self._closed:
                oldest = self._queue[0]
                left = oldest.since + self._wait_s - time.monotonic()
                if left <= 0 or sum(one.kind == oldest.kind for one in self._queue) >= self._most_at_once:
                    break
                self._changed.wait(left)
            if self._closed or not self._queue:
                return []
            kind = self._queue[0].kind
            some = [one for one in self._queue if one.kind == kind][: self._most_at_once]
            self._queue = [one for one in self._queue if not any(one is taken for taken in some)]
        return some

    def _answer(self, some: list[_Waiting]) -> None:
        """Answer a batch. One item that fails must not take the others with it: then each is answered alone."""
        some = [one for one in some if one.future.running() or one.future.set_running_or_notify_cancel()]
        if not some:
            return
        try:
            found = list(self._handlers[some[0].kind]([one.item for one in some]))
            assert len(found) == len(some)
        except BaseException as error:
            if len(some) > 1:
                for one in some:
                    self._answer([one])
                return
            if not isinstance(error, ValueError):
                say(f"  A request could not be answered ({type(error).__name__}).")
            some[0].future.set_exception(error)
            return
        for one, result in zip(some, found):
            one.future.set_result(result)
