"""Killed (SIGKILL) at every file that it writes and begun again, each stage ends with the bytes of an undisturbed run.

A process is killed just before its second new file gets its name: so every one of them is, in its turn, the first that
is missing, and the one that lies half done under a temporary name.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import knowlip.annotators.annotate as annotators
from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.files import sha256
from knowlip.scio.commands import scio_screen
from knowlip.simulator import SimulateConfig, simulate
from knowlip.tiles.build import build
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.scio.test_offline import annotated, model, settings
from tests.tiles.builds import config
from tests.tiles.rasters import four_places
from tests.training.runs import run_processes

__all__ = ["annotated", "model"]


def simulated(folder: Path, _: Any) -> None:
    simulate(SimulateConfig(folder, 1, scene_size_m={"sim-ku": 128.0, "sim-c": 256.0, "sim-x": 384.0}, workers=1))


def built(folder: Path, scenes: Path) -> None:
    build(config(scenes, folder))


def described(folder: Path, _: Any) -> None:
    annotators.MEASURED_CHUNK = 4
    annotate(AnnotateConfig(folder, workers=1))


def screened(folder: Path, model: Path) -> None:
    scio_screen(settings(folder, model))


@pytest.mark.parametrize("stage", [simulated, built, described, screened])
def test_a_stage_killed_at_every_file(
    stage: Callable[[Path, Any], None], annotated: Path, model: Path, tmp_path: Path
) -> None:
    given = model if stage is screened else tmp_path / "scenes"
    if stage is built:
        four_places(given)
        for name in ("alpha", "delta"):
            (given / f"{name}.tif").unlink()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        if stage is screened:
            shutil.copytree(annotated, folder)
        if stage is described:
            build_tiny_dataset(folder)
    assert run_processes(stage, 1, whole, given) == [0]
    assert kills(stage, killed, given) >= 7
    assert files(killed) == files(whole)


def kills(stage: Callable[[Path, Any], None], folder: Path, given: Any) -> int:
    """Run a stage until it is through, in processes that are killed. How often that was."""
    number = 0
    while (code := run_processes(mortal, 1, stage, folder, given)[0]) == -signal.SIGKILL:
        number += 1
    assert code == 0
    return number


def mortal(stage: Callable[[Path, Any], None], folder: Path, given: Any) -> None:
    """Run a stage in this process, which ends where a second new file of the folder would get its name."""
    new = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal new
        if event != "os.rename":
            return
        target = Path(os.fsdecode(arguments[1]))
        if target.is_relative_to(folder) and not target.exists():
            new += 1
            if new == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    stage(folder, given)


def files(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of all that is not hidden; what is hidden holds no leftovers."""
    assert not [path for path in folder.rglob("*") if path.suffix in (".part", ".old") or path.name.endswith("lock")]
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in paths}
    return {name: sha256(path.read_bytes()) for name, path in names.items() if not name.startswith(".scio")}
