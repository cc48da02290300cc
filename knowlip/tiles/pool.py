"""Who cuts the scenes: this process, a pool of processes, or a Ray cluster. All run :func:`attempt` on one scene."""

import errno
import glob
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any

from knowlip.base.progress import say, track
from knowlip.dataset.layout import SCENES, SHARDS, SPLITS
from knowlip.dataset.writer import scene_marker
from knowlip.tiles.cog import CogFolder
from knowlip.tiles.plan import BuildConfig, BuildPlan, PlannedScene
from knowlip.tiles.scene_job import Job, cut_scene, places_of

Attempt = Callable[[Job], str]
Outcome = tuple[str, str]
"""Identifier of a scene and "" or the reason why it cannot be used."""


def cut_all(config: BuildConfig, plan: BuildPlan) -> dict[str, str]:
    """Cut the scenes that are not done, the largest first.

    Returns:
        scene_id -> reason, of the scenes that failed. None of their files is left.

    Raises:
        OSError: `out` cannot be written to.
        ValueError: the cluster cannot be used.
    """
    todo = [item for item in plan.scenes if not scene_marker(config.out, item.scene.scene_id).exists()]
    if len(todo) < len(plan.scenes):
        say(f"  {len(plan.scenes) - len(todo)} of {len(plan.scenes)} scenes are done already")
    todo.sort(key=lambda item: -len(item.roots) * item.scene.shape[0] * item.scene.shape[1])
    items = {item.scene.scene_id: item for item in todo}
    failed: dict[str, str] = {}
    if not todo:
        return failed
    workers = min(config.workers, len(todo))
    outcomes: Generator[Outcome, None, None]
    if config.ray:
        from knowlip.tiles.cluster import on_cluster

        outcomes = on_cluster(config, todo, attempt)
    elif workers == 1:
        outcomes = _in_process(config, todo)
    else:
        outcomes = _in_pool(config, todo, workers)
    with closing(outcomes):  # ends its workers, whatever happens
        for scene_id, reason in track(outcomes, "cut tiles", total=len(todo)):
            if reason:
                say(f"  skipped: {reason}")
                failed[scene_id] = reason
                _discard(config.out, items[scene_id])
    return failed


def make_job(config: BuildConfig, item: PlannedScene, threads: int) -> Job:
    """The job of a scene. Made when it is its turn: the places of ten thousand scenes do not fit in memory."""
    return Job(config, item, places_of(item), threads)


def attempt(job: Job) -> str:
    """Cut a scene. Returns "" or the reason why it cannot be used, whatever is wrong with it.

    Raises:
        OSError: `out` cannot be written to; that is no fault of the scene.
    """
    path = job.planned.scene.path
    try:
        return cut_scene(job)
    except OSError as error:
        if _about_output(error, job.config.out):
            raise
        return f"{path} cannot be read ({error})."
    except MemoryError:
        return f"{path} needs more memory than there is."
    except Exception as error:  # one scene that nobody foresaw must not end a build of thousands
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return f"{path} cannot be cut: unexpected {type(error).__name__} in {where} ({error})."


def killed(path: Path) -> str:
    """The reason of a scene whose processes were killed."""
    return f"{path} was given up: the process that cut it was killed each time, most likely for lack of memory."


def sweep(out: Path) -> None:
    """Remove what killed writers left under temporary names, theirs or those of GDAL's overviews."""
    for leftover in out.rglob(".*.part*"):
        leftover.unlink(missing_ok=True)


def _about_output(error: OSError, out: Path) -> bool:
    """Whether an error of the system concerns the data set, not a scene file. GDAL's errors have no number."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return True
    if error.errno is None:
        return False
    name = error.filename
    return not isinstance(name, str | bytes | os.PathLike) or Path(os.fsdecode(name)).is_relative_to(out)


def _discard(out: Path, item: PlannedScene) -> None:
    """Remove the files of a scene that did not get as far as its done marker."""
    number = "[0-9]" * 6
    for split in SPLITS:
        for shard in (out / SHARDS).glob(f"{split}-{glob.escape(item.scene.scene_id)}-{number}.tar"):
            shard.unlink()
    (out / SCENES / f"{item.scene.scene_id}.parquet").unlink(missing_ok=True)
    CogFolder(out, item.scene).remove(item.roots)
    (out / "maps" / f"{item.scene.scene_id}.png").unlink(missing_ok=True)


def _in_process(config: BuildConfig, todo: list[PlannedScene]) -> Generator[Outcome, None, None]:
    """Scene after scene; one alone uses all workers as threads."""
    for number, item in enumerate(todo, 1):
        last = number == len(todo)
        job = Job(config, item, None, config.workers) if last else make_job(config, item, config.workers)
        yield item.scene.scene_id, attempt(job)


@dataclass
class _Worker:
    """A process that cuts the scenes it is sent. A pipe of its own tells which scene it had when it died."""

    attempt: Attempt
    scene: PlannedScene | None = None
    alone: bool = False
    pipe: Any = field(init=False)
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.attempt), daemon=True)
        # Ctrl-C reaches the build, which ends its workers; they inherit that it does not reach them.
        resource_tracker.ensure_running()  # starting it with the process would undo that
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, job: Job) -> None:
        self.scene = job.planned
        try:
            self.pipe.send(job)
        except BrokenPipeError:
            return  # died while it had nothing to do; answer() finds out

    def answer(self) -> str | None:
        """ "" or a reason; None where the process died. Raises what the worker could not deal with."""
        try:
            value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(value, BaseException):
            raise value
        return str(value)

    def stop(self) -> None:
        self.process.kill()  # safe at any moment: every file is whole or absent
        self.process.join()
        self.pipe.close()


def _in_pool(config: BuildConfig, todo: list[PlannedScene], workers: int) -> Generator[Outcome, None, None]:
    """A scene per process. A scene whose process is killed is tried once more, alone, at the end."""
    waiting = list(reversed(todo))
    again: list[PlannedScene] = []
    ready: Job | None = None
    threads = config.workers // workers
    busy: list[_Worker] = []
    idle: list[_Worker] = []
    try:
        while waiting or ready or busy:
            while (waiting or ready) and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(attempt)
                worker.give(ready or make_job(config, waiting.pop(), threads))
                ready = None
                busy.append(worker)
            if waiting and ready is None:
                ready = make_job(config, waiting.pop(), threads)
            for pipe in connection.wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is pipe)
                busy.remove(worker)
                scene, reason = worker.scene, worker.answer()
                assert scene is not None
                if reason is not None:
                    idle.append(worker)
                    yield scene.scene.scene_id, reason
                else:
                    worker.stop()
                    say(f"  the process that cut {scene.scene.path.name} was killed; it is tried again at the end")
                    again.append(scene)
        for worker in idle:  # their memory is for the ones that are tried again
            worker.stop()
        idle.clear()
        for scene in again:
            busy.append(_Worker(attempt))
            busy[0].give(make_job(config, scene, 1))
            reason = busy[0].answer()
            yield scene.scene.scene_id, killed(scene.scene.path) if reason is None else reason
            busy.pop().stop()
    finally:
        for worker in busy + idle:
            worker.stop()


def _serve(pipe: Any, attempt: Attempt) -> None:
    """A worker process: answer each job with "", a reason, or the exception that ends the build."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a library lets signals through again
    _die_with_parent()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer: str | OSError = attempt(job)
        except OSError as error:
            answer = error
        pipe.send(answer)


def _die_with_parent() -> None:
    """End a worker when the build itself is killed, so that nothing writes behind a later run's back."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
