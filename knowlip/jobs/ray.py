"""A Ray cluster does the work: one task an item, results as they come, what is lost with a machine begun again."""

import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypedDict

from knowlip.base.progress import quiet, say
from knowlip.jobs.work import Item, Ray, Result, Work

ATTEMPTS = 3
"""How often an item is begun before it is given up; only lost machines and killed processes count."""
PATIENCE_S = 120.0
"""How long a machine may take to answer."""
_QUEUED = 2
"""Tasks that wait for each place, so that none stands idle while the next item is prepared."""
_opened: dict[str, Callable[[Any], Any]] = {}
"""The work of this process of the cluster, which does many items of it."""


class Found(TypedDict):
    """What a machine has."""

    versions: dict[str, str]
    """Package -> version, "" where it is not installed."""
    error: str
    """Why it does not share the folder, "" where it does."""
    missing: list[str]
    """Files and folders that it does not see."""


@contextmanager
def on_cluster(
    work: Work[Item, Result], where: Ray
) -> Iterator[Callable[[Sequence[Item]], Iterator[tuple[Item, Result]]]]:
    """See :func:`knowlip.jobs.run.runner`.

    Raises:
        ValueError: Ray is not installed, there is no such cluster, it has no machine with a free place, or one of its
            machines has other packages or does not share the folders; also where a task fails.
        OSError: a task met an error of the storage.
    """
    ray, ours = connect(where.address)
    try:
        versions = _check_machines(ray, where)
        known = ray.put((uuid.uuid4().hex, work, where, versions))
        yield lambda items: _run(ray, work, where, known, items)
    finally:
        if ours:
            ray.shutdown()


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


def _places(ray: Any, where: Ray) -> list[int]:
    """Of each machine, how many tasks it can do at a time."""
    return [int(node["Resources"].get("GPU" if where.gpu else "CPU", 0)) for node in machines_of(ray)]


def _run(
    ray: Any, work: Work[Item, Result], where: Ray, known: Any, items: Sequence[Item]
) -> Iterator[tuple[Item, Result]]:
    """A task an item, a few a place queued."""
    places = _places(ray, where)
    cores = max(1, min(sum(places) // len(items), *places)) if work.threaded and items and places else 1
    needs = {"num_cpus": 0, "num_gpus": 1} if where.gpu else {"num_cpus": cores}
    task = ray.remote(max_retries=0, **needs)(do_one)

    def begin(item: Item) -> Any:
        return task.remote(known, work.prepare(item, cores))

    with closing(dispatch(ray, items, begin, _QUEUED * sum(places) // cores, work.name)) as done:
        for item, result, lost in done:
            yield item, work.given_up(item) if lost else result


def do_one(known: tuple[str, Work[Any, Any], Ray, dict[str, str]], prepared: Any) -> Any:
    """What a task does, on whatever machine, also one that has joined the cluster later.

    Raises:
        ValueError: other packages here, or the folders are not seen.
    """
    token, work, where, versions = known
    if token not in _opened:
        _judge(socket.gethostname(), _probe()("", "", _reads(where), list(versions)), versions, where.out)
        _opened.clear()
        _opened[token] = work.open(0)
    with quiet():
        return _opened[token](prepared)


def dispatch(
    ray: Any, todo: Sequence[Item], begin: Callable[[Item], Any], most: int, name: Callable[[Item], str]
) -> Generator[tuple[Item, Any, Exception | None], None, None]:
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
    waiting, running = list(reversed(list(enumerate(todo)))), dict[Any, tuple[int, Item]]()
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
                    raise _cause(error) from None
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


def _cause(error: Any) -> Exception:
    """What ended a task: an error of the storage, or code that could not even be loaded there."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
        return cause
    return ValueError(f"A machine of the cluster cannot run the job ({str(cause or error).strip().splitlines()[-1]}).")


def _check_machines(ray: Any, where: Ray) -> dict[str, str]:
    """Ask every machine whether it has the same packages, sees what is read, and sees and can write `where.out`.

    Returns:
        Package -> version here.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Asked before any work: a machine with another numpy, or without the disk, would spoil a run of hours in silence.
    if not sum(_places(ray, where)):
        kind = "GPU" if where.gpu else "core"
        raise ValueError(f"The Ray cluster at {where.address!r} has no machine with a free {kind} for tasks.")
    # Versions tell whether a machine would write the same, a file of ours whether it would write to the same place.
    out = where.out.resolve()
    token, text = out / f".cluster-{uuid.uuid4().hex}.part", uuid.uuid4().hex
    token.write_text(text)
    question = str(token), text, _reads(where), list(where.packages)
    try:
        probe = _probe()
        ours = probe(*question)["versions"]
        ask = ray.remote(num_cpus=0, max_retries=0)(probe)
        asked = {
            node["NodeManagerAddress"]: ask.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(*question)
            for node in machines_of(ray)
        }
        for machine, answer in asked.items():
            try:
                found = ray.get(answer, timeout=PATIENCE_S)
            except ray.exceptions.RayError as error:
                raise ValueError(
                    f"Machine {machine} of the cluster does not answer ({type(error).__name__})."
                ) from error
            _judge(machine, found, ours, out)
    finally:
        token.unlink(missing_ok=True)
    return ours


def _reads(where: Ray) -> list[str]:
    return sorted({str(path.resolve()) for path in (*where.reads, where.out)})


def _judge(machine: str, found: Found, ours: dict[str, str], out: Path) -> None:
    """Raise `ValueError` for a machine that would not write the same to the same place."""
    for name, theirs in found["versions"].items():
        if not theirs:
            raise ValueError(f"Machine {machine} of the cluster has no {name}; install knowlip in its Python.")
        if theirs != ours[name]:
            raise ValueError(
                f"Machine {machine} of the cluster has {name} {theirs} and this one {ours[name]}: "
                "what comes out depends on it; install the same version."
            )
    if found["error"]:
        raise ValueError(
            f"Machine {machine} of the cluster does not share {out} with this one ({found['error']}): "
            "what is read and written must lie on storage that all machines mount under the same path."
        )
    if found["missing"]:
        raise ValueError(
            f"Machine {machine} of the cluster does not see {found['missing'][0]}: "
            "what is read and written must lie on storage that all machines mount under the same path."
        )


def _probe() -> Callable[[str, str, list[str], list[str]], Found]:
    """A function that says what a machine has. It is sent by value: it must run where knowlip is not installed."""

    def probe(token: str, text: str, reads: list[str], names: list[str]) -> Any:
        import uuid
        from importlib import import_module
        from importlib.metadata import PackageNotFoundError, version
        from pathlib import Path

        versions = {}
        for name in names:
            try:
                if name == "knowlip":
                    import_module("knowlip.jobs.work")
                versions[name] = version(name)
            except PackageNotFoundError:  # knowlip may also run from a checkout
                versions[name] = "of a checkout" if name == "knowlip" else ""
            except ImportError:
                versions[name] = ""
        error = ""
        try:
            if token and Path(token).read_text() != text:
                error = "it sees another file there"
            if token:
                mine = Path(token).with_name(f".cluster-{uuid.uuid4().hex}.part")
                mine.write_text(text)
                mine.unlink()
        except OSError as problem:
            error = problem.strerror or str(problem)
        missing = [name for name in reads if not Path(name).exists()]
        return {"versions": versions, "error": error, "missing": missing}

    return probe
