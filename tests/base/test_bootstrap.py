"""Scripts with and without a guard around what they do."""

import os
import subprocess
import sys
from pathlib import Path

from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.documented import ROOT

HEAD = """
import sys
import knowlip
from knowlip.annotators.types import Annotation, SubText
from knowlip.base.plugins import register
from knowlip.language.dimensions import DIMENSIONS

class Silent:
    name = "silent"

    def annotate(self, request):
        texts = tuple(SubText(name, f"nothing of {name}", 0.5, "prior") for name in DIMENSIONS["terrain"])
        return Annotation(request.tile_id, "terrain", texts)

"""
ABOVE = 'register("annotators", "silent", Silent)\n'
CALL = 'print(len(knowlip.annotate("dataset", "silent", workers=2).texts()) > 0)\n'
GUARD = 'if __name__ == "__main__":\n'


def ran(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """As a user runs it, on a fresh data set."""
    build_tiny_dataset(folder / "dataset")
    (folder / "script.py").write_text(HEAD + script)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "script.py"], env=env, cwd=folder, capture_output=True, text=True, timeout=300
    )


def test_a_script_without_guard_is_told_so_in_one_sentence(tmp_path: Path) -> None:
    done = ran(tmp_path, ABOVE + CALL)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: The script starts processes")
    assert "memory" not in done.stderr
    assert done.stderr.count("Traceback") == 1, done.stderr


def test_a_program_from_standard_input_is_told_that_its_processes_cannot_read_it(tmp_path: Path) -> None:
    build_tiny_dataset(tmp_path / "dataset")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code = 'import knowlip\nknowlip.annotate("dataset", workers=2)\n'
    done = subprocess.run([sys.executable], input=code, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ended before it began (exit code 1)" in done.stderr.strip().splitlines()[-1]
    assert "memory" not in done.stderr


def test_what_is_registered_above_the_guard_is_known_to_processes_and_what_is_below_is_told(tmp_path: Path) -> None:
    for name in ("above", "below"):
        (tmp_path / name).mkdir()
    done = ran(tmp_path / "above", f"{ABOVE}{GUARD}    {CALL}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"
    done = ran(tmp_path / "below", f"{GUARD}    {ABOVE}    {CALL}")
    assert done.returncode == 1
    assert (
        "ValueError: The plug-in silent (annotators) is not known to this process: call register above" in done.stderr
    )
