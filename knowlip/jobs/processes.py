"""Processes of this machine that do what they are sent, one of which may be killed without harm to the others."""

import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import Any, Generic

from knowlip.base.bootstrap import SENTENCE, UNGUARDED, WORKER
from knowlip.base.progress import say
from knowlip.jobs.work import Item, Result, Work

_REAP_S = 5.0
"""How long a process may take from closing its pipe to its end."""


class Pool(Generic[Item, Result]):
    """Starts processes when they are needed and keeps them until :meth:`stop`.

    Pools of `concurrent.futures` and loky break as a whole when one process is killed, and do not say what it had.
    """

    def __init__(self, work: Work[Item, Result]) -> None:
        self._work = work
        self._busy: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._answered = False

    def run(self, items: Sequence[Item], workers: int, cores: int) -> Iterator[tuple[Item, Result]]:
        """Do the items, one a process, and yield them as they are done.

        Args:
            items: in the order in which they are begun.
            workers: processes at a time.
            cores: that each may use.
        """
        waiting, again, ready = deque(items), list[Item](), list[tuple[Item, Any]]()
        done: list[tuple[Item, Result]] = []
        while waiting or ready or self._busy or done:
            while (waiting or ready) and len(self._busy) < workers:
                self._give(*(ready.pop() if ready else self._prepared(waiting.popleft(), cores)))
            if waiting and not ready:
                ready.append(self._prepared(waiting.popleft(), cores))
            yield from done  # they work on while the caller does something with these
            done.clear()
            for pipe in connection.wait([worker.pipe for worker in self._busy]) if self._busy else ():
                worker = next(worker for worker in self._busy if worker.pipe is pipe)
                result = self._take(worker)
                if result is not None:
                    done.append((worker.item, result[0]))
                else:
                    say(f"  the process of {self._work.name(worker.item)} was killed; it is tried again at the end")
                    again.append(worker.item)
        if again:
            self.stop()  # their memory is for the ones that are tried again
        for item in again:
            self._give(*self._prepared(item, 1))
            worker = self._busy[0]
            result = self._take(worker)
            if result is None and not self._answered and (worker.ended or 0) > 0:
                # A signal would be negative. Nothing was ever done here: it is no fault of the item.
                raise ValueError(
                    f"The process of {self._work.name(item)} ended before it began (exit code {worker.ended}); what it "
                    "said stands above. A program that Python does not read from a file needs workers=1."
                )
            yield item, self._work.given_up(item) if result is None else result[0]
            self.stop()

    def stop(self) -> None:
        """End the processes, whatever they do: everything they write is whole or absent."""
        for worker in self._busy + self._idle:
            worker.stop()
        self._busy.clear()
        self._idle.clear()

    def _prepared(self, item: Item, cores: int) -> tuple[Item, Any]:
        return item, self._work.prepare(item, cores)

    def _give(self, item: Item, prepared: Any) -> None:
        if not self._idle:
            taken = {worker.number for worker in self._busy}
            number = next(number for number in range(len(taken) + 1) if number not in taken)
            self._idle.append(_Worker(self._work, number))
        worker = self._idle.pop()
        self._busy.append(worker)
        worker.give(item, prepared)

    def _take(self, worker: "_Worker") -> tuple[Result] | None:
        """Its result; None where it has died. Raises what the work raised, and `ValueError` where the process read a
        script that would have begun the work again, or ended by itself before it could begin."""
        result: tuple[Result] | None = worker.answer()
        self._busy.remove(worker)
        if result is None:
            worker.stop()
            if worker.ended == UNGUARDED:
                raise ValueError(SENTENCE)
        else:
            self._answered = True
            self._idle.append(worker)
        return result


class _Worker:
    """A process. A pipe of its own tells which item it had when it died."""

    def __init__(self, work: Work[Any, Any], number: int) -> None:
        self.number = number
        self.item: Any = None
        self.ended: int | None = None
        """Exit code of a process that ended by itself, known after :meth:`stop`."""
        self._gone = False
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, work, number), daemon=True, name=f"{WORKER} {number}"
        )
        # Ctrl-C reaches the process that asks, which ends its workers; they inherit that it does not reach them.
        resource_tracker.ensure_running()  # starting it with the process would undo that
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, item: Any, prepared: Any) -> None:
        """Send it an item."""
        self.item = item
        try:
            self.pipe.send(prepared)
        except BrokenPipeError:
            return  # died while it had nothing to do; answer() finds out

    def answer(self) -> Any:
        """(result,); None where the process died. Raises what the work raised there."""
        try:
            result, error = self.pipe.recv()
        except (EOFError, OSError):  # also cut in the middle of a message
            self._gone = True
            return None
        if error is not None:
            raise error
        return (result,)

    def stop(self) -> None:
        """End it and forget it."""
        self._process.join(_REAP_S if self._gone else 0)  # killed at once it would not say how it has ended
        self.ended = self._process.exitcode
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Any, work: Work[Any, Any], number: int) -> None:
    """The life of a worker: answer each item with (result, None), or (None, what was raised)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a library lets signals through again
    end_with_parent()
    do = None
    while True:
        try:
            prepared = pipe.recv()
        except EOFError:
            return
        try:
            do = do or work.open(number)
            answer = pickle.dumps((do(prepared), None))
        except Exception as error:
            answer = _told(error)
        pipe.send_bytes(answer)


def _told(error: Exception) -> bytes:
    """An exception on its way to another process, with where it was raised; as text where it cannot travel."""
    text = traceback.format_exc()
    try:
        error.add_note(text)
        data = pickle.dumps((None, error))
        pickle.loads(data)
    except Exception:  # an error of any library that cannot be pickled, or not read again: its text travels instead
        data = pickle.dumps((None, RuntimeError(text)))
    return data


def end_with_parent() -> None:
    """From now on, end this process when the one that started it is gone, however it went: nothing writes behind a
    later run's back."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
