"""A command loads what it uses: help of every command comes without what computes, and light commands without PyTorch.

Nothing is timed: which packages are loaded decides how long a start takes, and does not depend on the machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from knowlip.commands import COMMANDS
from tests.annotators.tiny_dataset import build_tiny_dataset

SLOW = ("timm", "torchvision", "lightning_fabric", "sklearn", "scipy.stats", "skimage", "matplotlib", "geopandas")
"""Packages that take as long as PyTorch or longer, or a good part of it; no help needs one of them."""
DRAWS = {"cities": {"matplotlib"}, "dataset overlay": {"geopandas"}}
"""What else help may load, where the settings stand beside what draws or reads."""

# Several commands in one process: what the first loads, the next would find. So modules are counted after each, and a
# command is told of what it adds to those before; the order goes from light to heavy.
SCRIPT = """
import contextlib, io, json, sys
from knowlip.cli import main

def loaded():
    return {name for name in sys.modules if name in names}

names, found = set(json.loads(sys.argv[2])), {}
for line in json.loads(sys.argv[1]):
    before = loaded()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        assert main(line) == 0, line
    found[" ".join(line)] = sorted(loaded() - before)
print(json.dumps(found))
"""
HEAVY = (
    "torch",
    *SLOW,
    "transformers",
    "ray",
    "spacy",
    "pycocoevalcap",
    "onnxruntime",
    "fastapi",
    "openai",
    "rasterio",
)


def loaded_by(lines: list[list[str]], here: Path) -> dict[str, list[str]]:
    """Command line -> heavy packages that it loaded and none before it."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(lines), json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_help_loads_nothing_that_computes(tmp_path: Path) -> None:
    names = [*(name for name in COMMANDS if name not in DRAWS), *DRAWS]
    found = loaded_by([[*name.split(), "--help"] for name in names], tmp_path)
    for name in names:
        slow = {*found[f"{name} --help"]} & {"torch", *SLOW} - DRAWS.get(name, set())
        assert not slow, f"knowlip {name} --help loads {sorted(slow)}"


@pytest.mark.parametrize(
    ("line", "may"),
    [
        (["dataset", "sets"], {"rasterio"}),
        (["dataset", "verify", "DATASET"], {"onnxruntime"}),
        (["text", "check", "DATASET"], set()),
        (["dataset", "export", "DATASET", "--format", "imagefolder", "--out", "OUT"], set()),
        (["annotate", "--dataset", "DATASET", "--workers", "1"], {"onnxruntime", "rasterio"}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_light_commands_load_no_pytorch(line: list[str], may: set[str], tmp_path: Path) -> None:
    build_tiny_dataset(tmp_path / "DATASET")
    if line[0] == "text":
        subprocess.run(
            [sys.executable, "-m", "knowlip.cli", "annotate", "--dataset", "DATASET", "--workers=1"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    (found,) = loaded_by([line], tmp_path).values()
    assert not {*found} - may
