"""The notebooks of docs/notebooks: sound files without outputs, whose cells run in order in a folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_MOST_CPU_S = 120.0
"""Of one notebook; 40 on an idle core, and tests run beside each other."""


def cells(path: Path) -> list[str]:
    return [cell["source"] for cell in nbformat.read(path, as_version=4)["cells"] if cell["cell_type"] == "code"]


def test_every_notebook_is_told_of() -> None:
    page = (FOLDER / "README.md").read_text()
    assert len(NOTEBOOKS) == 4
    assert all(f"({path.name})" in page for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_sound_and_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 20_000
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_cells_run(path: Path, tmp_path: Path) -> None:
    """One process, cell after cell, and what it took."""
    script = tmp_path / "cells.py"
    body = [f"exec(compile({cell!r}, 'cell {number}', 'exec'), names)" for number, cell in enumerate(cells(path), 1)]
    guard = ["import time", "if __name__ == '__main__':", "    names = {'__name__': '__main__'}"]
    script.write_text("\n".join([*guard, *(f"    {line}" for line in body), "    print('CPU', time.process_time())"]))
    env = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) < _MOST_CPU_S
