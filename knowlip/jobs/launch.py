"""Processes that work on the same at the same time: those of a training on one machine, and those of torchrun.

`torchrun` starts processes here or on several machines; then :func:`launch` has nothing to do. Unlike a launcher that
runs the command again for each process, this one calls a function, so that only the training is done several times and
not what comes before and after it.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from knowlip.base.bootstrap import SENTENCE, UNGUARDED, WORKER
from knowlip.jobs.processes import end_with_parent
from knowlip.jobs.work import Ranks

Result = TypeVar("Result")

_GRACE_S = 5.0
"""How long the others may take to end by themselves after one has ended badly."""
_BAD_INPUT, _STOPPED = 2, 130
_PATIENCE = timedelta(days=7)
"""How long a process waits for the others to finish their chunks."""


def launched() -> bool:
    """Whether this process is one of several that somebody has started (`torchrun`, or :func:`launch`)."""
    return "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch(function: Callable[..., Result], processes: int, *arguments: Any) -> Result:
    """Call `function(*arguments)` in several processes that find each other by torchrun's environment variables.

    Args:
        function: importable by name; so must its arguments and its result be picklable.
        processes: how many; with 1, or when this process was launched itself, the call is a plain one.

    Returns:
        What the first process returned.

    Raises:
        ValueError: one of them raised it, or the script has no guard.
        KeyboardInterrupt: they were asked to stop (SIGTERM is passed on to them) and have stopped.
        ChildProcessError: one of them was killed or failed. The others are killed then: nobody stays behind.
    """
    if processes == 1 or launched():
        return function(*arguments)
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    workers, pipes = [], []
    for rank in range(processes):
        receiver, sender = context.Pipe(duplex=False)
        environment = _environment(rank, processes, port)
        worker = context.Process(
            target=_work, args=(environment, sender, function, arguments), name=f"{WORKER}, rank {rank}"
        )
        worker.start()
        sender.close()
        workers.append(worker)
        pipes.append(receiver)
    try:
        with on_sigterm(lambda: _terminate(workers)):
            answers = _watch(workers, pipes)
            codes = [worker.exitcode for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    return _outcome(codes, answers)


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun has started, connected while the block lasts; this one alone where it has not."""
    if not launched() or os.environ["WORLD_SIZE"] == "1":
        yield Ranks()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))
    finally:
        dist.destroy_process_group()


def _environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun tells a process of one machine."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _work(environment: dict[str, str], sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """One process: report what the function returned or why it could not."""
    os.environ |= environment
    end_with_parent()
    code = 0
    try:
        result = function(*arguments)
        sender.send(("result", result if environment["RANK"] == "0" else None))
    except ValueError as error:
        sender.send(("ValueError", str(error)))
        code = _BAD_INPUT
    except KeyboardInterrupt:
        code = _STOPPED
    except BaseException:
        traceback.print_exc()
        code = 1
    sender.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not by way of interpreter shutdown: a process group whose partner died may wait there for ever


def _watch(workers: Sequence[BaseProcess], pipes: list[connection.Connection]) -> dict[int, tuple[str, Any]]:
    """Wait until all have ended, or some time after one has ended badly. Returns what each has reported, by rank."""
    answers: dict[int, tuple[str, Any]] = {}
    deadline = None
    open_pipes = dict(enumerate(pipes))
    while any(worker.is_alive() for worker in workers) or open_pipes:
        connection.wait([*open_pipes.values(), *(worker.sentinel for worker in workers if worker.is_alive())], 1.0)
        for rank, pipe in list(open_pipes.items()):
            if pipe.poll():
                try:
                    answers[rank] = pipe.recv()
                except EOFError:
                    del open_pipes[rank]
        if deadline is None and any(worker.exitcode for worker in workers):
            deadline = time.monotonic() + _GRACE_S
        if deadline is not None and time.monotonic() > deadline:
            break
    return answers


def _outcome(codes: Sequence[int | None], answers: dict[int, tuple[str, Any]]) -> Any:
    """The first process's result, or the reason why there is none.

    Args:
        codes: exit codes; None of those that had to be ended because another had failed.
        answers: of :func:`_watch`.
    """
    for _, (kind, value) in sorted(answers.items()):
        if kind == "ValueError":
            raise ValueError(value)
    if UNGUARDED in codes:
        raise ValueError(SENTENCE)
    if _STOPPED in codes:
        raise KeyboardInterrupt
    if not any(codes) and 0 in answers:
        return answers[0][1]
    # A killed process makes the others fail: it is the one to name.
    rank = min((rank for rank, code in enumerate(codes) if code), key=lambda rank: codes[rank] or 0)
    code = codes[rank] or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else "failed (its error stands above)"
    raise ChildProcessError(f"Process {rank} of {len(codes)} {how}, so the others were ended too")


class on_sigterm:
    """While active, SIGTERM calls `action` instead of ending the process (only in the main thread)."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def __enter__(self) -> None:
        try:
            self.old = signal.signal(signal.SIGTERM, lambda *_: self.action())
        except ValueError:  # not the main thread: no signals to catch here
            self.old = None

    def __exit__(self, *_: object) -> None:
        if self.old is not None:
            signal.signal(signal.SIGTERM, self.old)


def _terminate(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
