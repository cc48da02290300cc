"""Every command that README and docs show is understood by the parser that takes it, and runs where that is a matter of
seconds; every piece of Python compiles, and what it imports is there."""

import argparse
import ast
import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from knowlip.base.parsing import parse_command
from knowlip.cli import main
from knowlip.commands import COMMANDS
from knowlip.dataset import Dataset
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.documented import ROOT, Line, blocks, commands, python_blocks, spoken_of, words
from tests.scenes.products import geotiff

LINES = list(dict.fromkeys(commands()))
SHOWN = [line for line in LINES if line.program == "knowlip"]

OTHER_PROGRAMS = {
    "pip": "installs packages; that the extra exists is tested below",
    "uv": "installs packages",
    "ray": "starts a cluster",
    "export": "sets a variable of the shell",
    "vllm": "a server of its own, not ours",
    "llama-server": "a server of its own, not ours",
}
"""Programs whose lines are not parsed, and why."""

ONLY_PARSED = {
    "demo": "10 minutes; tests/test_pipeline.py runs it",
    "simulate": "a minute a scene; tests/simulator",
    "build": "minutes on whole scenes; tests/tiles/test_build.py",
    "cities": "reads the map of the whole world; tests/tiles/test_cities.py",
    "dataset overlay": "needs maps of the tiles; tests/tiles/test_overlay.py",
    "dataset label DATASET": "serves a page until it is stopped; tests/tiles/test_label.py",
    "questions": "needs a data set with labels; tests/tasks/test_items.py",
    "text audit": "serves a page until it is stopped, or needs what was judged there; tests/annotators/test_audit.py",
    "text paraphrase": "needs a language model; tests/annotators/test_paraphrase.py",
    "text stats DATASET": "draws for half a minute; tests/annotators/test_stats.py",
    "annotate --recipe demo --dataset LABELS": "of the demo's tiles; tests/annotators/test_annotate.py",
    "text stats offline=": "draws for half a minute; tests/annotators/test_stats.py",
    "text stats measured=": "draws for half a minute; tests/annotators/test_stats.py",
    "annotate --dataset DATASET --annotator openai": "needs a language model; tests/annotators/test_openai.py",
    "pretrain": "trains; tests/training/test_pretrain.py",
    "finetune": "trains; tests/training/test_pretrain.py",
    "classify": "trains; tests/tasks/test_classify.py",
    "detect": "trains; tests/tasks/test_detect.py",
    "segment": "trains; tests/tasks/test_segment.py",
    "selfsup": "trains; tests/tasks/test_selfsup.py",
    "bench": "trains; tests/tasks/test_segment.py and tests/benchmark/test_bench_run.py",
    "predict detect": "needs a trained detector; tests/inference/test_predict.py",
    "predict classify": "needs a trained classifier; tests/inference/test_predict_classify.py",
    "predict segment": "needs a trained segmenter; tests/inference/test_predict.py",
    "search ARCHIVE": "needs an archive; tests/inference/test_archive.py",
    "index --out ARCHIVE --remove": "needs an archive; tests/inference/test_archive.py",
    "evaluate": "needs a trained model; tests/benchmark",
    "report": "needs a trained model; tests/benchmark",
    "ablation": "trains; tests/benchmark/test_ablation.py",
    "scio": "needs a trained model; tests/scio",
    "convert": "needs weights of others; tests/models",
    "weights inspect": "needs weights of others; tests/models/test_inspect.py",
    "export": "writes and compares ONNX files for a minute; tests/inference/export",
    "serve": "serves until it is stopped; tests/inference/test_serve.py and tests/inference/web",
    "publish-model": "needs the network; tests/models",
    "scene info S1A": "needs a real product; tests/scenes/test_real.py",
}
"""How command lines begin that are parsed but not run here, and why."""


def reason_not_to_run(line: Line) -> str:
    """The entry of `ONLY_PARSED` that a line begins with; "" for one that runs."""
    return next((start for start in ONLY_PARSED if line.arguments.startswith(start)), "")


RUN = [line for line in SHOWN if not reason_not_to_run(line)]


# ---- parsed ---------------------------------------------------------------------------------------------------------


ONE_OF = {"ask": ["X"]}
"""A setting of which a command needs this one or another."""


@pytest.mark.parametrize("line", [*SHOWN, *dict.fromkeys(spoken_of())], ids=str)
def test_command_lines_are_understood(line: Line) -> None:
    """`[--flag X]` is tried with the flag, N is a number, and ... stands for what is left out."""
    parts = words(line.arguments, optional=True)
    part = "..." in parts or parts[-1].endswith("...")
    parts = [{"N": "1"}.get(word, word.removesuffix("...")) for word in parts if word != "..."]
    if part and parts[-1].startswith("--"):
        parts.pop()  # a flag alone, spoken of without its value
    name = next((name for name in (" ".join(parts[:2]), parts[0]) if name in COMMANDS), None)
    if part and name is None and any(known.startswith(f"{parts[0]} ") for known in COMMANDS):
        return  # a group of commands, spoken of as `knowlip dataset`
    assert name is not None, "there is no such command"
    kind, arguments = COMMANDS[name].kind(), parts[len(name.split()) :]
    try:
        parse_command(name, "", kind, arguments)
    except ValueError as error:
        missing = re.search(r"required: ([\w, ]+)", str(error))
        if not part or missing is None:
            raise
        given = [one if one in getattr(kind, "POSITIONAL", ()) else f"--{one}=X" for one in missing[1].split(", ")]
        parse_command(name, "", kind, [*given, *ONE_OF.get(name, []), *arguments])


class Parsed(Exception):
    """The parser of a benchmark was content."""


@pytest.mark.parametrize("line", [line for line in LINES if line.program == "python -m"], ids=str)
def test_benchmarks_take_their_documented_arguments(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    understand = argparse.ArgumentParser.parse_args

    def stop(*args, **options):
        understand(*args, **options)
        raise Parsed

    name, *arguments = [word for word in words(line.arguments, optional=True) if word != "..."]
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        module.main()


def test_every_other_line_is_a_known_program() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for line in LINES:
        if line.program == "make":
            assert line.arguments in targets, line
        elif line.program not in ("knowlip", "python -m"):
            assert line.program in OTHER_PROGRAMS, f"unknown in a block of commands: {line}"
        for extra in re.findall(r"knowlip\[(\w+)\]", line.arguments):
            assert extra in extras, line


def test_the_table_of_what_is_only_parsed_is_used() -> None:
    for start in ONLY_PARSED:
        assert any(reason_not_to_run(line) == start for line in SHOWN), f"no page shows knowlip {start}"
    assert {line.program for line in LINES} >= OTHER_PROGRAMS.keys()


ELSEWHERE = {"open_clip"}
"""Packages of environments of their own; tests/inference/export/test_open_clip.py."""


@pytest.mark.parametrize(("page", "block"), list(python_blocks()))
def test_python_imports_what_there_is(page: str, block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in ELSEWHERE:
                    importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name), f"{page}: {node.module} has no {alias.name}"


# ---- run ------------------------------------------------------------------------------------------------------------


def image(path: Path, seed: int, size: tuple[int, int] = (64, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    blocks_ = np.kron(random.integers(20, 235, (size[1] // 8, size[0] // 8)), np.ones((8, 8)))
    Image.fromarray(blocks_.astype(np.uint8)).save(path, format={".jpg": "JPEG", ".bmp": "BMP"}.get(path.suffix, "PNG"))


def mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path, format="PNG")


HALVES = np.arange(64)[None].repeat(64, 0) >= 32


def ssdd(folder: Path) -> None:
    for number in (1, 2, 9, 11):
        image(folder / "images" / f"{number:06d}.jpg", number)
        mask(folder / "sea_land_masks" / f"{number:06d}.png", HALVES * 255)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{number:06d}.xml").write_text(
            "<annotation><size><width>64</width><height>64</height><depth>3</depth></size><object><name>ship</name>"
            "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>"
        )


def sar_aircraft(folder: Path) -> None:
    (folder / "labels_dota").mkdir(parents=True)
    (folder / "splits").mkdir()
    for number, split in enumerate(("train", "val", "test"), 1):
        image(folder / "images" / f"{number:07d}.jpg", number)
        (folder / "labels_dota" / f"{number:07d}.txt").write_text("5 5 25 5 25 20 5 20 A220 0\n")
        (folder / "splits" / f"{split}.txt").write_text(f"{number:07d}\n")


def class_folders(folder: Path) -> None:
    for number in range(6):
        image(folder / ("A220" if number % 2 else "Boeing787") / f"{number}.jpg", number)


def sar_acd(folder: Path) -> None:
    for number, name in enumerate(("A220", "A320321", "A330", "ARJ21", "Boeing737", "Boeing787")):
        image(folder / name / "1.jpg", number)


def sen1floods11(folder: Path) -> None:
    import rasterio

    for number in (1, 2):
        for name, values in (
            (f"S1/Ghana_{number}_S1Hand.tif", np.random.default_rng(number).normal(-12, 4, (2, 64, 64)).astype("f4")),
            (f"Labels/Ghana_{number}_LabelHand.tif", (HALVES.astype(np.int16) - (np.arange(64) < 3))[None]),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            place = {"crs": "EPSG:4326", "transform": rasterio.transform.from_origin(0, 9, 1e-4, 1e-4)}
            shape = {"width": 64, "height": 64, "count": len(values), "dtype": values.dtype}
            with rasterio.open(folder / name, "w", driver="GTiff", **shape, **place) as file:
                file.write(values)


def polsf(folder: Path) -> None:
    image(folder / "SF-AIRSAR-Pauli.bmp", 1, (512, 320))
    mask(folder / "SF-AIRSAR-label2d.png", np.arange(512)[None].repeat(320, 0) // 103 + 1)


SETS = {
    "SSDD": (ssdd, {"tiles": 4, "annotations": 4, "masks": 4, "splits": {"train": 1, "val": 0, "test": 3}}),
    "SAR-AIRcraft": (sar_aircraft, {"tiles": 3, "annotations": 3, "splits": {"train": 1, "val": 1, "test": 1}}),
    "SAR-ACD": (class_folders, {"tiles": 6, "annotations": 6, "categories": {"aircraft": 6}}),
    "CHIPS": (sar_acd, {"tiles": 6, "annotations": 6}),
    "Official-SSDD-OPEN": (ssdd, {"tiles": 4, "annotations": 4, "splits": {"train": 1, "val": 0, "test": 3}}),
    "SAR-AIRcraft-1.0": (sar_aircraft, {"tiles": 3, "splits": {"train": 1, "val": 1, "test": 1}}),
    "SET": (class_folders, {"tiles": 6, "annotations": 6, "categories": {"A220": 3, "Boeing787": 3}}),
    "Sen1Floods11": (sen1floods11, {"tiles": 2, "masks": 2}),
    "PolSF": (polsf, {"tiles": 4, "masks": 4}),
}
"""Sets that the pages import, in miniature and as the real ones are laid out, and what the import says of them."""


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the names that the pages use exist."""
    folder = tmp_path_factory.mktemp("documented")
    build_tiny_dataset(folder / "BARE")
    shutil.copytree(folder / "BARE", folder / "DATASET")
    assert main(["annotate", "--dataset", str(folder / "DATASET"), "--workers", "1"]) == 0
    image(folder / "IMAGE", 1, (128, 128))
    image(folder / "FOLDER" / "tile.png", 2, (96, 96))
    for name in ("SCENES", "SCENE"):
        geotiff.make(folder / name, values=np.random.default_rng(2).exponential(1, (260, 300)).astype(np.float32))
    shutil.copytree(folder / "DATASET", folder / "demo" / "dataset")
    (folder / "questions.txt").write_text("How many ships are visible?\nWhat is the main landform?\n")
    (folder / "captions.json").write_text('["two ships at a quay", "fields and a road"]')
    wordings = next(block for block in blocks(ROOT / "docs" / "language.md") if "wordings:" in block)
    assert yaml.safe_load(wordings)
    (folder / "mine.yaml").write_text(wordings)
    return folder


@pytest.fixture
def here(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the current folder."""
    shutil.copytree(stocked, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("line", RUN, ids=str)
def test_command_lines_run(line: Line, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `[--flag X]`, with a tile and a word in the place of TILE and N."""
    arguments = [
        {"TILE": "l0-m1"}.get(word, word.removesuffix("...")) for word in words(line.arguments, optional=False)
    ]
    if arguments[0] == "annotate":  # a data set is annotated once
        shutil.rmtree(here / "DATASET")
        shutil.copytree(here / "BARE", here / "DATASET")
        arguments += ["--workers", "1"]  # processes take longer to start than 21 tiles to annotate
    if arguments[:2] == ["dataset", "import"]:
        if arguments[-1] == "DATASET":
            shutil.rmtree(here / "DATASET")
        source = (
            arguments[2] if arguments[3].startswith("--") else arguments[3]
        )  # a public set's name before its folder
        make, expected = SETS[source]
        make(here / source)
        arguments.append("--json")
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 0, err
    assert out.strip()
    if arguments[:2] == ["dataset", "import"]:
        data = Dataset(here / arguments[arguments.index("--out") + 1])
        assert len(data.tiles()) == expected["tiles"]
        found = yaml.safe_load(out)
        assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("page", ["dataset", "language", "README"])
def test_python_runs(page: str, here: Path) -> None:
    for name, block in python_blocks():
        if name == page:
            exec(compile(block, page, "exec"), {})
