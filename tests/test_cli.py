"""The command line: help, light imports, and one clear sentence with exit code 2 for bad input."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image

import knowlip
from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.recipes import SECTIONS, load_recipe
from knowlip.cli import main
from knowlip.commands import COMMANDS
from knowlip.dataset import Dataset
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.full_disk import small_disk
from tests.inference.tiny_model import tiny_model
from tests.tiles.rasters import speckle, write_scene

SMALL = "--windows_m=[280,140,70] --tile_px=32 --workers=1 --min_valid=0.5 --quality.min_good=0"
SIMULATE = "simulate --out OUT --cities=1 --sensors=[sim-x] --scene_size_m.sim-x=384 --workers=1"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that can be bad, and what good input they need beside it."""
    place = tmp_path_factory.mktemp("place")
    good = speckle((70, 70))
    write_scene(place / "good.tif", good)
    write_scene(place / "nocrs.tif", good, crs=None)
    write_scene(place / "nodata.tif", np.zeros((70, 70), np.float32), nodata=0.0)
    write_scene(place / "allnan.tif", np.full((70, 70), np.nan, np.float32))
    write_scene(place / "complex.tif", good.astype(np.complex64))
    (place / "text.tif").write_text("no raster")
    (place / "text.png").write_text("no picture")
    (place / "empty").mkdir()
    (place / "file").write_text("a file")
    cut = (place / "good.tif").read_bytes()
    (place / "cut.tif").write_bytes(cut[: len(cut) // 2])
    Image.fromarray(np.ones((40, 40), np.uint8)).save(place / "tile.png")
    Image.new("L", (20000, 20000)).save(place / "huge.png", compress_level=1)
    (place / "unknown.yaml").write_text("build: {tile_pixels: 3}\n")
    (place / "nostage.yaml").write_text("biuld: {tile_px: 3}\n")
    (place / "settings.yaml").write_text("tile_pixels: 3\n")
    (place / "broken.yaml").write_text("build: [1")
    (place / "broken.json").write_text('{"a": ')

    bare = build_tiny_dataset(place / "bare")
    annotated = Path(shutil.copytree(bare, place / "annotated"))
    annotate(AnnotateConfig(annotated, workers=1))
    for name in ("badshard", "badindex", "badtexts"):
        shutil.copytree(annotated, place / name)
    shutil.copytree(bare, place / "bareshard")
    for name in ("badshard", "bareshard"):
        shard = next((place / name / "shards").glob("*.tar"))
        shard.write_bytes(shard.read_bytes()[:3000])
    (place / "badindex" / "index.parquet").write_bytes(b"PAR1 no parquet PAR1")
    (place / "badtexts" / "texts.parquet").write_bytes(b"")

    model = tiny_model(place / "model")
    for name in ("badweights", "badcard", "badtower", "badwords"):
        shutil.copytree(model, place / name)
    (place / "badweights" / "model.safetensors").write_bytes(b"\x00" * 100)
    (place / "badcard" / "knowlip.json").write_text("[]")
    card = json.loads((model / "knowlip.json").read_text())
    card["model"]["vision"]["name"] = "vit_nosuch"
    (place / "badtower" / "knowlip.json").write_text(json.dumps(card))
    card["tokenizer"] = {"model": "none"}
    (place / "badwords" / "knowlip.json").write_text(json.dumps(card))
    return place


# (command line in the folder above, what the sentence must say); OUT is a path where nothing is yet
BAD = [
    ("simulate --out file", "file"),
    ("simulate --out OUT --cities 0", "cities is 0"),
    ("simulate --out OUT --cities many", "setting cities does not fit.*many"),
    ("simulate --out OUT --sensors=[sim-q]", "sim-q"),
    ("simulate --out OUT --seeds 3", "--seeds"),
    ("simulate", "required: out"),
    ("build --scenes none.tif --out OUT", "none.tif does not exist"),
    ("build --scenes empty --out OUT", "No scene found in empty"),
    ("build --scenes text.tif --out OUT", "text.tif is not a raster"),
    ("build --scenes nocrs.tif --out OUT", "nocrs.tif has no coordinate reference system"),
    ("build --scenes nodata.tif --out OUT", "nodata.tif holds no valid pixel"),
    ("build --scenes allnan.tif --out OUT", "allnan.tif holds no valid pixel"),
    (f"build --scenes cut.tif --out OUT {SMALL}", "cut.tif"),
    ("build --scenes good.tif --out OUT --windows_m=[0,0,0]", "windows_m"),
    ("build --scenes good.tif --out OUT --windows_m=[80,40]", "setting windows_m does not fit"),
    ("build --scenes good.tif --out OUT --tile_px=0", "tile_px must be 32 to 4096"),
    ("build --scenes good.tif --out OUT --read.raster_band=4", "raster_band: 4 does not exist"),
    ("build --scenes good.tif --out OUT --read.units=volts", "volts"),
    ("build --scenes good.tif --out file", "file is a file"),
    ("build --scenes good.tif --out OUT --recipe none", "no recipe none"),
    ("build --scenes good.tif --out OUT --recipe unknown.yaml", "no setting tile_pixels"),
    ("build --scenes good.tif --out OUT --recipe nostage.yaml", "a stage 'biuld'"),
    ("build --scenes good.tif --out OUT --recipe broken.yaml", "broken.yaml is not valid YAML"),
    ("build --scenes good.tif --out OUT --config settings.yaml", "tile_pixels"),
    ("build --scenes good.tif --out OUT --config broken.yaml", "config"),
    ("build --scenes good.tif --out OUT --config none.yaml", "none.yaml"),
    ("build --out OUT", "required: scenes"),
    ("annotate --dataset empty", "empty is not a finished data set"),
    ("annotate --dataset badindex --workers 1", "index.parquet is not a readable parquet file"),
    ("annotate --dataset bareshard --workers 1", r"\.tar is a damaged shard"),
    ("annotate --dataset bare --annotator magic", "no annotator 'magic'; use"),
    ("annotate --dataset bare --annotator openai", "needs the name of a model"),
    ("pretrain --dataset empty --out OUT", "empty is not a finished data set"),
    ("pretrain --dataset bare --out OUT", "bare has no texts yet: annotate it"),
    ("pretrain --dataset badindex --out OUT", "index.parquet is not a readable parquet file"),
    ("pretrain --dataset badtexts --out OUT", "texts.parquet is not a readable parquet file"),
    ("pretrain --dataset badshard --out OUT --batch_size 8", r"\.tar is a damaged shard"),
    ("pretrain --dataset annotated --out OUT --stage_steps=[1,2]", "setting stage_steps does not fit"),
    ("pretrain --dataset annotated --out OUT --batch_size 500", "fewer than one batch of 500"),
    ("pretrain --dataset annotated --out OUT --vocabulary none.txt --batch_size 8", "none.txt does not exist"),
    ("pretrain --dataset annotated --out OUT --batch_size 8 --model.vision.name vit_nosuch", "vit_nosuch"),
    ("pretrain --dataset annotated --out OUT --model.vision.nose 3", "model.vision.nose"),
    ("finetune --dataset bare --model model --out OUT", "bare has no text|annotate"),
    ("finetune --dataset annotated --model empty --out OUT", "empty is not a KnowLIP model"),
    ("finetune --dataset annotated --model badweights --out OUT", "model.safetensors cannot be read"),
    ("finetune --dataset badshard --model model --out OUT", r"\.tar is a damaged shard"),
    ("evaluate --dataset empty --model model --out OUT", "empty is not a finished data set"),
    ("evaluate --dataset bare --model model --out OUT --split train", "has no texts|annotate"),
    ("evaluate --dataset annotated --model model --out OUT", "no accepted tile in the split 'test'"),
    ("evaluate --dataset annotated --model model --out OUT --split night", "split must be one of"),
    ("evaluate --dataset annotated --model none --out OUT --split train", "There is no encoder 'none'"),
    ("report --dataset empty --out OUT", "empty is not a finished data set"),
    ("report --dataset annotated --metrics none.json --out OUT", "none.json does not exist"),
    ("report --dataset annotated --metrics broken.json --out OUT", "broken.json is not valid JSON"),
    ("report --dataset badshard --out OUT", r"\.tar is a damaged shard"),
    ("caption none.png --model model", "none.png does not exist"),
    ("caption text.png --model model", "text.png is not a readable picture"),
    ("caption empty --model model", "empty is a folder"),
    ("caption nocrs.tif --model model", "nocrs.tif has no coordinate reference system"),
    ("caption huge.png --model model", "huge.png has more than 100 megapixels"),
    ("caption tile.png --model none", "none is not a KnowLIP model"),
    ("caption tile.png --model badweights", "badweights/knowlip.json: model.safetensors cannot be read"),
    ("caption tile.png --model badcard", "badcard has model format None"),
    ("caption tile.png --model badtower", "vit_nosuch"),
    ("caption tile.png --model badwords", "holds a broken tokenizer"),
    ("caption", "required: images"),
    ("ask tile.png '' --model model", "question is empty"),
    ("ask tile.png", "question is empty: give one, or --questions FILE"),
    ("ask none.png why --model model", "none.png does not exist"),
    ("ask tile.png why --model empty", "empty is not a KnowLIP model"),
    ("search empty ships --model model", "empty is not a finished data set"),
    ("search badindex ships --model model", "index.parquet is not a readable parquet file"),
    ("search badshard ships --model model", r"\.tar is a damaged shard"),
    ("search annotated ' ' --model model", "text to search for is empty"),
    ("search annotated ships --top 0 --model model", "--top must be at least 1"),
    ("search annotated ships --top few --model model", "setting top does not fit.*few"),
    ("search annotated ships --model badweights", "model.safetensors cannot be read"),
    ("dataset verify empty", "empty is not a finished data set"),
    ("dataset verify badindex", "index.parquet is not a readable parquet file"),
    ("dataset verify badshard", r"\.tar is a damaged shard"),
    ("dataset verify badtexts", "texts.parquet is not a readable parquet file"),
    ("dataset verify", "required: dataset"),
    ("demo --scenes none --out OUT", "none does not exist"),
    ("demo --scenes text.tif --out OUT", "text.tif is not a raster"),
    ("demo --scenes nocrs.tif text.tif --out OUT", "nocrs.tif has no coordinate|text.tif is not a raster"),
    ("demo --recipe none --out OUT", "no recipe none"),
    ("demo --recipe unknown.yaml --out OUT", "BuildConfig: There is no setting tile_pixels"),
    ("demo --out file", "file is a file"),
    ("demo --out OUT --set build", "--set takes STAGE.KEY=VALUE"),
    ("demo --out OUT --set bild.tile_px=3", "a stage 'bild'"),
    ("demo --out OUT --set evaluate.limits.tile=3", r"no setting limits\.tile: choose"),
    ("demo --out OUT --set report.samples=few", "setting samples does not fit"),
    ("demo --sets x", "--sets"),
    ("dmeo", "there is no command 'dmeo'"),
]


WHOLE = ("config.yaml", "tokenizer.json")
"""What training may leave (beside its cache) when it cannot begin: whole files, with which the next attempt goes on."""


def files(folder: Path) -> set[Path]:
    """All files in a folder, but for what an annotation keeps to go on."""
    return {path for path in folder.rglob("*") if path.is_file() and ".annotate" not in path.parts}


@pytest.mark.parametrize(("line", "sentence"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    line: str,
    sentence: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("KNOWLIP_MODEL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = files(place)
    out = tmp_path / "out"
    assert main(shlex.split(line.replace("OUT", str(out)))) == 2
    printed, said = capfd.readouterr()
    assert printed == ""
    last = said.splitlines()[-1]
    assert re.fullmatch(rf"knowlip(?: {line.split()[0]}(?: [a-z]+)?)?: .*(?:{sentence}).*", last), last
    assert last.endswith((".", "?")), last
    assert len(last) < 600
    assert "Traceback" not in said
    assert not re.search(r"\wError\b|<class|0x[0-9a-f]{6}", last), last
    assert [line.startswith("knowlip") for line in said.splitlines()].count(True) == 1
    assert files(place) == before
    assert {path for path in files(tmp_path) if path.parent.name != "cache"} <= {out / name for name in WHOLE}
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".part", ".old"))]


def test_pixels_that_are_not_a_number_are_no_data(place: Path, tmp_path: Path) -> None:
    """They work like declared nodata: the tiles are those of the same scene where a nodata value stands for them."""
    values = speckle((70, 70))
    marked = values.copy()
    values[:12, :40], marked[:12, :40] = np.nan, -9.0
    fingerprints = []
    for name, scene in (
        ("nan", write_scene(tmp_path / "a" / "scene.tif", values)),
        ("marked", write_scene(tmp_path / "b" / "scene.tif", marked, nodata=-9.0)),
    ):
        out = tmp_path / name
        assert main(["build", "--scenes", str(scene), "--out", str(out), *SMALL.split(), "--read.units=amplitude"]) == 0
        data = Dataset(out)
        pixels = list(data.images(data.tiles()["tile_id"]))
        fingerprints.append([image.tobytes() for image in pixels])
        assert any((image == 0).any() for image in pixels)
    assert fingerprints[0] == fingerprints[1]
    image = tmp_path / "a" / "scene.tif"
    assert main(["caption", str(image), "--model", str(place / "model")]) == 0


def test_settings_rise_from_recipe_over_file_to_flag(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", speckle((70, 70)), tags={"KNOWLIP_UNITS": "amplitude"})
    recipe = {"build": {"windows_m": [280.0, 140.0, 70.0], "tile_px": 32, "min_valid": 0.5, "workers": 1, "seed": 1}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    file = {"scenes": [str(scene)], "out": str(tmp_path / "out"), "tile_px": 48, "seed": 2}
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(file))
    arguments = ["--recipe", str(tmp_path / "recipe.yaml"), "--config", str(tmp_path / "file.yaml"), "--seed", "3"]
    assert main(["build", *arguments]) == 0
    used = Dataset(tmp_path / "out").info["config"]
    assert (used["min_valid"], used["tile_px"], used["seed"]) == (0.5, 48, 3)


@pytest.mark.parametrize("stage", SECTIONS)
def test_every_stage_takes_its_section_of_the_recipe(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also sections that hold mappings, such as the scene sizes by sensor."""
    needed = {"build": ["--scenes", "x"]}.get(stage, [])
    with pytest.raises(SystemExit) as stop:
        main([stage, *needed, "--recipe", "demo", "--print_config"])
    assert stop.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    for name, value in load_recipe("demo").get(stage, {}).items():
        assert isinstance(value, dict) or shown[name] == value


def test_results_as_json(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(SIMULATE.replace("OUT", str(tmp_path / "s"))), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scenes"] == 1
    assert main(["dataset", "verify", str(place / "annotated"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 21
    assert main(["dataset", "verify", str(place / "annotated")]) == 0
    assert "is sound" in capsys.readouterr().out
    copy = shutil.copytree(place / "annotated", tmp_path / "copy")
    assert main(["dataset", "publish", str(copy), "--revision", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revision": 0, "shards": 1, "rewritten": 0}
    assert main(["dataset", "publish", str(copy), "--revision", "3"]) == 2
    assert "no text revision 3" in capsys.readouterr().err


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {command} " in overview for command in COMMANDS)
    assert main([]) == 2
    capsys.readouterr()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == knowlip.__version__


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    text, said = capsys.readouterr()
    assert f"usage: knowlip {command}" in text
    row = COMMANDS[command]
    assert " ".join(row.summary.split()) in " ".join(text.split())
    assert callable(getattr(row.module(), row.function.rpartition(":")[2]))
    assert "--json" in text
    assert said == ""


def test_settings_are_explained_in_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["build", "--help"])
    assert "Smallest share of valid ground in a tile." in " ".join(capsys.readouterr().out.split())


def test_importing_and_asking_for_help_load_nothing_heavy() -> None:
    """A subprocess, because this one has imported everything long ago."""
    code = (
        "import sys, knowlip, knowlip.cli\n"
        "assert knowlip.cli.main(['--help']) == 0\n"
        "print('PARSER', 'jsonargparse' in sys.modules)\n"
        "for command in ('demo', 'caption', 'ask', 'search'):\n"
        "    try: knowlip.cli.main([command, '--help'])\n"
        "    except SystemExit as stopped: assert stopped.code == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'rasterio', 'timm', 'matplotlib', 'sklearn', 'pyarrow'}\n"
        "print('LOADED', sorted(heavy & sys.modules.keys()))\n"
        "import knowlip.dataset, knowlip.scenes, knowlip.tiles.build, knowlip.annotators.annotate, knowlip.simulator\n"
        "print('TORCH', 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PARSER False" in done.stdout
    assert "LOADED []" in done.stdout
    assert "TORCH False" in done.stdout


def test_the_installed_command_ends_with_the_code(tmp_path: Path) -> None:
    line = [sys.executable, "-W", "default", "-m", "knowlip.cli", "build", "--scenes", "none.tif", "--out", "out"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["knowlip build: none.tif does not exist."]
    assert not list(tmp_path.iterdir())


def test_stopping_by_hand_is_not_an_error_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("knowlip.dataset.verify"), "Dataset", stop)
    assert main(["dataset", "verify", "x"]) == 130
    assert capsys.readouterr().err == "knowlip dataset verify: stopped; the same command goes on from here.\n"


# ---- a full disk ----------------------------------------------------------------------------------------------------


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_simulate_on_a_disk_that_runs_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = shlex.split(SIMULATE.replace("OUT", str(tmp_path / "s")))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", _full)
        assert main(line) == 2
    said = capsys.readouterr().err
    assert re.search(r"knowlip simulate: Cannot write .*\.tif: No space left on device\.\n$", said)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert main(line) == 0
    assert len(list((tmp_path / "s").glob("*.tif"))) == 2


FULL: list[tuple[str, str, Callable[[Path], bool]]] = [
    (SIMULATE, "20k", lambda disk: True),
    (f"build --scenes good.tif --out OUT {SMALL}", "16k", lambda disk: True),
    (
        "pretrain --dataset annotated --out OUT --batch_size 8 --stage_steps=[2,0,0] --warmup_steps 1"
        " --model.embed_dim=16"
        " --model.vision.name=vit_tiny_patch16_224 --model.vision.image_size=32"
        " --model.vision.changes={patch_size:\\ 8,embed_dim:\\ 32,depth:\\ 1,num_heads:\\ 2}"
        " --model.text.width=32 --model.text.layers=1 --model.text.heads=2 --model.text.mlp_width=64 --accelerator=cpu",
        "150k",
        lambda disk: not (disk / "out" / "checkpoint.pt").exists(),
    ),
    (
        "finetune --dataset annotated --model model --out OUT --steps 1",
        "12k",
        lambda disk: not list(disk.rglob("*.npy")),
    ),
    ("report --dataset annotated --out OUT", "40k", lambda disk: not (disk / "out").exists()),
]


@pytest.mark.parametrize(("line", "size", "clean"), FULL, ids=[line.split()[0] for line, *_ in FULL])
def test_a_disk_that_is_really_full(
    line: str,
    size: str,
    clean: Callable[[Path], bool],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    with small_disk(tmp_path / "disk", size) as disk:
        assert main(shlex.split(line.replace("OUT", str(disk / "out")))) == 2
        last = capfd.readouterr().err.splitlines()[-1]
        assert "No space left on device" in last
        assert not [path for path in disk.rglob("*") if path.name.endswith(".part")]
        assert clean(disk)


def test_the_raster_library_is_quiet_about_scenes_that_are_refused(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--scenes", str(place / "text.tif"), "--out", str(place / "never")]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(place / "text.tif")


def test_nothing_that_is_given_is_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list given twice, a recipe within a file, and a file behind a flag that it would overrule."""
    assert main(["demo", "--set", "pretrain.batch_size=16", "--set", "build.block_km=2"]) == 2
    assert "--set is given twice" in capsys.readouterr().err
    settings = tmp_path / "settings.yaml"
    settings.write_text("recipe: tiny\nseed: 7\n")
    paths = ["--dataset", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    assert main(["pretrain", "--config", str(settings), *paths]) == 2
    assert "--recipe NAME" in capsys.readouterr().err
    from knowlip.base.parsing import parse_command
    from knowlip.commands import COMMANDS

    settings.write_text("seed: 7\nbatch_size: 4\n")
    found, _ = parse_command(
        "pretrain", "", COMMANDS["pretrain"].kind(), ["--seed", "3", "--config", str(settings), *paths]
    )
    assert (found.seed, found.batch_size) == (3, 4)
