"""Cut the scenes of a plan, wherever that is done; a scene that cannot be cut costs no other one."""

import errno
import glob
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knowlip.base.progress import say, track
from knowlip.dataset.layout import SCENES, SHARDS, SPLITS
from knowlip.dataset.writer import scene_marker
from knowlip.jobs.run import runner
from knowlip.jobs.work import Processes, Ray, Work
from knowlip.tiles.cog import CogFolder
from knowlip.tiles.plan import BuildConfig, BuildPlan, PlannedScene
from knowlip.tiles.scene_job import CutJob, cut_scene, places_of

_DECIDE = ("knowlip", "numpy", "rasterio", "pyproj", "pillow")
"""Packages that decide the bytes of a data set."""


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
    failed: dict[str, str] = {}
    if not todo:
        return failed
    folders = tuple({item.scene.path.parent for item in todo})
    where = Ray(config.ray, config.out, folders, _DECIDE) if config.ray else Processes(config.workers)
    with runner(Cutting(config, attempt, len(todo) == 1), where) as run:
        for item, reason in track(run(todo), "cut tiles", total=len(todo)):
            if reason:
                say(f"  skipped: {reason}")
                failed[item.scene.scene_id] = reason
                _discard(config.out, item)
    return failed


@dataclass(frozen=True)
class Cutting(Work[PlannedScene, str]):
    """A scene is an item; its result is "" or the reason why it cannot be used."""

    threaded: ClassVar = True

    config: BuildConfig
    cut: Callable[[CutJob], str]
    """:func:`attempt`."""
    single: bool
    """Whether there is one scene only."""

    def open(self, number: int) -> Callable[[CutJob], str]:
        """Nothing to read."""
        return self.cut

    def prepare(self, item: PlannedScene, cores: int) -> CutJob:
        """The job of a scene. The places of ten thousand scenes do not fit in memory, so they are looked up when it is
        its turn; those of a single one while it is read."""
        return CutJob(self.config, item, None if self.single else places_of(item), cores)

    def name(self, item: PlannedScene) -> str:
        """Of its file."""
        return item.scene.path.name

    def given_up(self, item: PlannedScene) -> str:
        """The scene is to blame."""
        return (
            f"{item.scene.path} was given up: the process that cut it was killed each time, most likely for lack of "
            "memory."
        )


def attempt(job: CutJob) -> str:
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
