"""Adding a reader, an import format, an annotator, an objective, an encoder, a task and a command touches one file each
(a command: one row): a copy of the package gets a toy of each, and each is used as a person would use it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from knowlip.base.files import sha256
from tests.annotators.tiny_dataset import build_tiny_dataset

PACKAGE = Path(__file__).parents[1] / "knowlip"
TOYS = {
    "scenes/readers/dotted.py": '''
"""A toy product: a text file of numbers."""
import numpy as np
from knowlip.scenes.readers import geotiff

NAME = "dotted"
matches = lambda path: path.suffix == ".dotted"
open_product = lambda path, overrides: geotiff.open_product(path.with_suffix(".tif"), overrides)
''',
    "tiles/imports/formats/named.py": '''
"""A toy format: the class stands in the image's name, CLASS_NUMBER.png."""
from knowlip.tiles.imports.labels import Label, LabelledImage

ABOUT = "the class stands in the image's name"

def read(config, finder, problems):
    return [
        LabelledImage(path, finder.name_of(path), (Label(path.stem.split("_")[0], (0, 0, 0, 0), whole_image=True),))
        for path in finder.paths
    ]
''',
    "annotators/silent.py": '''
"""A toy annotator that says the same of every tile."""
from knowlip.annotators.types import Annotation, SubText
from knowlip.language.dimensions import DIMENSIONS

class Silent:
    name = "silent"

    def annotate(self, request):
        texts = tuple(SubText(name, f"nothing of {name}", 0.5, "prior") for name in DIMENSIONS["terrain"])
        return Annotation(request.tile_id, "terrain", texts)

ANNOTATOR = Silent
''',
    "objectives/distance.py": '''
"""A toy objective: squared distance of paired features."""

def distance_loss(image_BE, text_BE):
    return (image_BE - text_BE).square().sum(1).mean()
''',
    "models/encoders/mean.py": '''
"""A toy encoder: the mean grey level."""
import torch
from torch import nn
from knowlip.models.encoders.protocol import EncoderCard, PixelSpec

USAGE = "mean:"

class Mean:
    name, licence, width = "mean:", "Apache-2.0", 1
    pixels, module, card = PixelSpec(1, (0.0,), (1.0,), 8), nn.Identity(), EncoderCard()

    def tokens(self, images):
        return images.float().flatten(1)[..., None]

    def summary(self, images):
        return self.tokens(images).mean(1)

def load(rest, device, size):
    return Mean()
''',
    "tasks/brightness.py": '''
"""A toy task: how bright the tiles are to an encoder."""
import numpy as np
import torch
from knowlip.tasks.bench import Measured
from knowlip.tasks.metrics.intervals import Estimate

def measure(bench, encoder):
    images = torch.from_numpy(np.stack(list(bench.data.images(bench.tile_ids))))
    value = float(encoder.summary(images).mean())
    row = bench.row("brightness", encoder.name, "mean grey level", Estimate(value, None, len(images)), unit="number")
    return Measured((row,))
''',
    "counting.py": '''
"""A toy command."""
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

@dataclass(frozen=True)
class CountingConfig:
    """What to count."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """A data set."""

def counting(config):
    from knowlip.dataset import Dataset

    return {"tiles": len(Dataset(config.dataset).tiles())}
''',
}
ROW = '    "counting": Command("knowlip.counting:CountingConfig", "counting", "count the tiles of a data set"),\n'
AFTER = "_SCENES = {\n"


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all toys."""
    root = tmp_path_factory.mktemp("extended")
    package = Path(shutil.copytree(PACKAGE, root / "knowlip", ignore=shutil.ignore_patterns("__pycache__")))
    for name, text in TOYS.items():
        assert not (package / name).exists()
        (package / name).write_text(text.lstrip())
    commands = (package / "commands.py").read_text()
    assert AFTER in commands
    (package / "commands.py").write_text(commands.replace(AFTER, AFTER + ROW, 1))
    return root


def run(root: Path, *words: str, code: str = "") -> str:
    """What a command, or code, of the extended package prints."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "knowlip.cli", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_seven_files_and_one_row_were_touched(extended: Path) -> None:
    def contents(folder: Path) -> dict[str, str]:
        files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in files}

    before, after = contents(PACKAGE), contents(extended / "knowlip")
    touched = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert touched == {*TOYS, "commands.py"}


def test_readers_objectives_encoders_and_tasks_are_found(extended: Path, tmp_path: Path) -> None:
    data = build_tiny_dataset(tmp_path / "dataset")
    (tmp_path / "a.dotted").write_text("1 2 3")
    printed = run(
        extended,
        code=f"""
import torch
from pathlib import Path
from knowlip.models.encoders import open_encoder
from knowlip.objectives.distance import distance_loss
from knowlip.scenes.readers import reader_of
from knowlip.tasks.bench import Bench, find_measure
print(reader_of(Path({str(tmp_path / "a.dotted")!r})).NAME)
print(float(distance_loss(torch.ones(2, 3), torch.zeros(2, 3))))
print(find_measure("brightness")(Bench(Path({str(data)!r}), "train"), open_encoder("mean:")).rows[0].metric)
""",
    )
    assert printed.split("\n")[:3] == ["dotted", "3.0", "mean grey level"]


def test_formats_annotators_and_commands_are_found(extended: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "set").mkdir()
    for number in range(10):
        Image.effect_noise((64, 64), 20 + number).save(
            tmp_path / "set" / f"{'ship' if number % 2 else 'sea'}_{number}.png"
        )
    out = str(tmp_path / "out")
    printed = run(extended, "dataset", "import", str(tmp_path / "set"), "--format", "named", "--out", out)
    assert "sea 5" in printed
    assert "ship 5" in printed
    run(extended, "annotate", "--dataset", out, "--annotator", "silent", "--workers", "1")
    assert "tiles 10" in run(extended, "counting", out)
