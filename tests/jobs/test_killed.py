"""Killed (SIGKILL) at every file that it writes and begun again, each stage ends with the bytes of an undisturbed run.

A process is killed just before its second new file gets its name: so every one of them is, in its turn, the first that
is missing, and the one that lies half done under a temporary name.
"""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.files import sha256
from knowlip.scio.commands import scio_screen
from knowlip.simulator import SimulateConfig, simulate
from knowlip.tiles.build import build
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.jobs.mortal import mortal
from tests.scio.test_offline import annotated, model, settings
from tests.tiles.builds import config
from tests.tiles.rasters import four_places
from tests.training.runs import run_processes

__all__ = ["annotated", "model"]


def simulating(folder: Path, tmp: Path) -> SimulateConfig:
    sizes = {"sim-c": 256.0, "sim-x": 384.0}
    return SimulateConfig(folder, cities=1, sensors=("sim-c", "sim-x"), scene_size_m=sizes, workers=1)


def building(folder: Path, tmp: Path) -> Any:
    four_places(tmp / "scenes")
    for name in ("alpha", "delta"):
        (tmp / "scenes" / f"{name}.tif").unlink()
    return config(tmp / "scenes", folder)


def annotating(folder: Path, tmp: Path) -> AnnotateConfig:
    return AnnotateConfig(build_tiny_dataset(folder), workers=1)


@pytest.mark.parametrize(("stage", "prepare"), [(simulate, simulating), (build, building), (annotate, annotating)])
def test_a_stage_killed_at_every_file(
    stage: Callable[[Any], Any], prepare: Callable[[Path, Path], Any], tmp_path: Path
) -> None:
    killed_at_every_file(stage, prepare(tmp_path / "killed", tmp_path), tmp_path / "killed")
    assert run_processes(stage, 1, prepare(tmp_path / "whole", tmp_path)) == [0]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_pass_killed_at_every_file(annotated: Path, model: Path, tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        shutil.copytree(annotated, tmp_path / name)
    killed_at_every_file(scio_screen, settings(tmp_path / "killed", model), tmp_path / "killed")
    assert run_processes(scio_screen, 1, settings(tmp_path / "whole", model)) == [0]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def killed_at_every_file(stage: Callable[[Any], Any], config: Any, folder: Path) -> None:
    """Run a stage until it is through, in processes that are killed."""
    kills = 0
    while (code := run_processes(mortal, 1, stage, config, folder)[0]) == -signal.SIGKILL:
        kills += 1
    assert code == 0
    assert kills >= 5


def files(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of all but the cache of pixels; there are no leftovers."""
    assert not [path for path in folder.rglob("*") if path.suffix in (".part", ".old") or path.name.endswith("lock")]
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in paths}
    return {name: sha256(path.read_bytes()) for name, path in names.items() if not name.startswith(".scio/cache")}
