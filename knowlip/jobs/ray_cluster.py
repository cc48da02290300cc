"""A Ray cluster: how it is reached, which machines it has, and what ended a task."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from knowlip.base.progress import say

T = TypeVar("T")

ATTEMPTS = 3
"""How often a task is begun before it is given up; only lost machines and killed processes count."""
PATIENCE_S = 120.0
"""How long a machine may take to answer."""


def connect(address: str) -> tuple[Any, bool]:
    """The `ray` module, connected, and whether it was connected here: a connection of the caller is used and kept."""
    import logging

    try:
        import ray
    except ImportError:
        raise ValueError("Ray is not installed; run: pip install 'knowlip[cluster]'") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            _reach(address)
            ray.init(address=address, namespace="knowlip", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
            reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
            raise ValueError(
                f"There is no Ray cluster at {address!r} ({reason}); start one with: ray start --head"
            ) from error
    return ray, ours


def _reach(address: str) -> None:
    """Raise `OSError` where nothing listens at "host:port": Ray itself would try for minutes and end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()


def machines_of(ray: Any) -> list[dict[str, Any]]:
    """Machines of the cluster that are alive and have cores for tasks."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def cause_of(error: Any) -> Exception:
    """What ended a task: an error of the storage, or code that could not even be loaded there."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
        return cause
    return ValueError(f"A machine of the cluster cannot run the job ({str(cause or error).strip().splitlines()[-1]}).")


def dispatch(
    ray: Any, todo: Sequence[T], begin: Callable[[T], Any], most: int, name: Callable[[T], str]
) -> Generator[tuple[T, Any, Exception | None], None, None]:
    """Keep tasks queued and hand out what they give, as they are done. A task whose process or machine is lost is begun
    again: here and not by Ray, so that what kills its process is given up in the end.

    Args:
        ray: connected.
        todo: items, in the order in which they are begun.
        begin: submits the task of an item.
        most: tasks queued at a time.
        name: of an item, for a person.

    Yields:
        Item, what its task returned, and None; or item, None, and what was lost :data:`ATTEMPTS` times.

    Raises:
        OSError: a task met an error of the storage.
        ValueError: a task failed otherwise.
    """
    waiting, running = list(reversed(list(enumerate(todo)))), dict[Any, tuple[int, T]]()
    begun: Counter[int] = Counter()
    quiet_since, warned = time.monotonic(), False
    try:
        while waiting or running:
            while waiting and len(running) < max(1, most):
                number, item = waiting.pop()
                begun[number] += 1
                running[begin(item)] = number, item
            done, _ = ray.wait(list(running), num_returns=1, timeout=5.0)
            if not done and not warned and time.monotonic() - quiet_since > PATIENCE_S and not machines_of(ray):
                say("  the cluster has no machine left; waiting for one (Ctrl-C stops, and the work can be resumed)")
                warned = True
            for answer in done:
                number, item = running.pop(answer)
                quiet_since, warned = time.monotonic(), False
                try:
                    yield item, ray.get(answer), None
                except ray.exceptions.RayTaskError as error:
                    raise cause_of(error) from None
                except ray.exceptions.RayError as error:
                    if begun[number] >= ATTEMPTS:
                        yield item, None, error
                    else:
                        say(f"  {name(item)}: its machine or process was lost ({type(error).__name__}); once more")
                        waiting.append((number, item))
    finally:
        for answer in running:
            ray.cancel(answer, force=True)
        if running:  # nothing writes behind a later run's back
            ray.wait(list(running), num_returns=len(running), timeout=10.0)
