"""Who cuts the scenes: this process, a pool of processes, or a Ray cluster. All run :func:`cut_scene`."""

import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from knowlip.dataset.writer import scene_marker
from knowlip.progress import say, track
from knowlip.tiles.plan import BuildConfig, Plan
from knowlip.tiles.scene_job import Job, cut_scene, places_of


def cut_all(config: BuildConfig, plan: Plan) -> list[dict[str, str]]:
    """Cut the scenes that are not done. Returns {"path", "reason"} of those that failed."""
    todo = [item for item in plan.scenes if not scene_marker(config.out, item.scene.scene_id).exists()]
    if len(todo) < len(plan.scenes):
        say(f"  {len(plan.scenes) - len(todo)} of {len(plan.scenes)} scenes are done already")
    todo.sort(key=lambda item: -len(item.roots) * item.scene.shape[0] * item.scene.shape[1])
    jobs = [Job(config, item, places_of(item)) for item in todo]
    failed: dict[str, str] = {}
    workers = min(config.workers, len(jobs))
    if workers <= 1:
        for job in track(jobs, "cut tiles"):
            _note(failed, job, cut_scene(job))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_die_with_parent) as pool:
            futures: dict[Future[str], Job] = {pool.submit(cut_scene, job): job for job in jobs}
            try:
                for future in track(as_completed(futures), "cut tiles", total=len(futures)):
                    _note(failed, futures[future], future.result())
            except BrokenProcessPool as error:
                raise ValueError(
                    "A worker was killed, most likely for lack of memory. What is finished is kept: run the same "
                    "command again, with fewer workers."
                ) from error
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return [{"path": str(item.scene.path), "reason": failed[item.scene.scene_id]}
            for item in plan.scenes if item.scene.scene_id in failed]  # fmt: skip


def _note(failed: dict[str, str], job: Job, reason: str) -> None:
    if reason:
        failed[job.planned.scene.scene_id] = reason


def _die_with_parent() -> None:
    """End a worker when the build itself is killed, so that nothing writes behind a later run's back."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
