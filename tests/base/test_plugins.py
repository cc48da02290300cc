"""Plug-ins: the page's own code, installed as a package by its entry points; and what is refused."""

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from knowlip.base import plugins
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.documented import ROOT

PAGE = ROOT / "docs" / "contributing" / "plugins.md"


def block(language: str) -> str:
    return PAGE.read_text().split(f"```{language}\n", 1)[1].split("```", 1)[0]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the package as pip would install it."""
    site = tmp_path / "site"
    info = site / "sar_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "sar_plugins.py").write_text(block("python"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sar-plugins\nVersion: 1.0\n")
    points = block("toml").replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
    (info / "entry_points.txt").write_text(points)
    return site


def ran(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, cwd=site.parent, capture_output=True, text=True)


def test_the_page_s_package_is_found_by_its_entry_points(site: Path) -> None:
    build_tiny_dataset(site.parent / "dataset")
    done = ran(
        site,
        """
from pathlib import Path
import torch
import knowlip
from knowlip.models.encoders import open_encoder
from knowlip.scenes.readers import reader_of
from knowlip.tasks.bench import Bench, find_measure
from knowlip.training.loggers import open_loggers

print(reader_of(Path("a.dotted")).NAME)
data = knowlip.annotate("dataset", "silent", workers=1)
print(data.texts()["text"][0])
encoder = open_encoder("convnext:")
print(tuple(encoder.tokens(torch.zeros(2, 50, 50, dtype=torch.uint8)).shape))
print(find_measure("brightness")(Bench(Path("dataset"), "train"), encoder).rows[0].metric)
for logger in open_loggers([], Path("."), "run", {}, 0):
    logger.log({"loss": 0.5}, 3)
    logger.close()
print(Path("curve.txt").read_text().strip())
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-5:] == ["dotted", "nothing of Terrain", "(2, 4, 768)", "mean", "3 0.5000"]


def test_the_page_s_tower_objective_and_encoder_train(site: Path) -> None:
    """Two steps of pre-training with the tower and the objective, and a classifier on the encoder, from the page's
    package."""
    build_tiny_dataset(site.parent / "dataset")
    done = ran(
        site,
        """
import json
from pathlib import Path
import knowlip

knowlip.annotate("dataset", workers=1)
text = {"width": 32, "layers": 1, "heads": 2, "mlp_width": 64}
model = {"vision": {"name": "plugged_convnext", "image_size": 64}, "text": text, "embed_dim": 16}
common = {"dataset": "dataset", "batch_size": 4, "accelerator": "cpu", "log_every": 1, "loggers": []}
knowlip.run("pretrain", out="run", model=model, stage_steps=[2, 0, 0], warmup_steps=1,
            objectives={"added": {"margin": 0.5}, "queue": 0}, **common)
log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
told = [line for line in log if "margin" in line]
parts = [line["itc"] + line["itm"] + line["infill"] + 0.5 * line["margin"] for line in told]
print(len(told), all(line["margin"] > 0 for line in told))
print(max(abs(one - line["loss"]) for one, line in zip(parts, told)) < 1e-4)
opened = knowlip.load("run/model")
print(type(opened.visual_encoder).__name__, type(opened.visual_encoder.trunk).__name__)
print(Path("run/curve.txt").read_text().count("\\n"))
""",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4:] == ["2 True", "True", "MapTower ConvNextTower", "2"]


def test_the_page_s_command_beside_a_recipe_trains(site: Path) -> None:
    """Its very line, with a data set and one step."""
    (line,) = re.findall(
        r"`knowlip (pretrain --recipe tiny --model\.vision\.name plugged_convnext [^`]*)`", PAGE.read_text()
    )
    build_tiny_dataset(site.parent / "dataset")
    more = "--dataset dataset --out run --stage_steps [1,0,0] --warmup_steps null --batch_size 4 --scio.iterations 0"
    done = ran(
        site,
        "import knowlip, sys; from knowlip.cli import main\n"
        "knowlip.annotate('dataset', workers=1)\n"
        f"sys.exit(main({[*line.split(), *more.split(), '--accelerator', 'cpu', '--loggers', '[]']!r}))",
    )
    assert done.returncode == 0, done.stderr
    assert (site.parent / "run" / "model" / "knowlip.json").is_file()


def test_an_objective_that_is_none_is_refused() -> None:
    from knowlip.training.losses import _added

    plugins.register("objectives", "two", lambda image, text: image.sum(1))
    plugins.register("objectives", "itc", lambda image, text: image.sum())
    try:
        with pytest.raises(ValueError, match="must give one number"):
            _added("two")(torch.ones(2, 3), torch.ones(2, 3))
        for name in ("itc", "nothing"):
            with pytest.raises(ValueError, match=f"no plug-in has an objective '{name}'"):
                _added(name)
    finally:
        plugins.unregister("objectives", "two")
        plugins.unregister("objectives", "itc")


def test_a_broken_package_is_told_and_the_others_go_on(site: Path) -> None:
    (site / "sar_plugins.py").write_text("raise RuntimeError('of another version')")
    said = ran(
        site,
        "from knowlip.scenes.readers import readers; print(len(readers()) > 5)\n"
        "from knowlip.annotators.offline import offline_annotator\n"
        "try: offline_annotator('silent')\n"
        "except ValueError as error: print(error)",
    )
    assert said.returncode == 0, said.stderr
    sentence = "(annotators) of the package sar-plugins cannot be loaded (RuntimeError: of another version)"
    assert said.stdout.splitlines()[0] == "True"
    assert sentence in said.stdout
    assert "The plug-in dotted (readers) of the package sar-plugins cannot be loaded" in " ".join(said.stderr.split())


def test_a_reader_that_fails_is_told_and_takes_nothing(tmp_path: Path) -> None:
    from knowlip.scenes.readers import reader_of

    class Failing:
        NAME, ORDER = "failing", 0

        @staticmethod
        def matches(path: Path) -> bool:
            raise OSError("no licence")

        @staticmethod
        def open_product(path: Path, overrides: object) -> list[object]:
            return []

    plugins.register("readers", "failing", Failing)
    try:
        assert reader_of(tmp_path / "a.txt") is None
    finally:
        plugins.unregister("readers", "failing")


def test_a_plug_in_that_has_a_name_or_a_file_of_ours_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from knowlip.annotators.offline import offline_annotator, offline_annotators
    from knowlip.models.encoders import encoder_kinds
    from knowlip.scenes import readers

    class Greedy:
        NAME, ORDER, USAGE = "greedy", 0, ""
        name, annotate = "greedy", None
        load = None

        @staticmethod
        def matches(path: Path) -> bool:
            return True

        @staticmethod
        def open_product(path: Path, overrides: object) -> list[object]:
            return []

    path = tmp_path / "scene.tif"
    path.write_bytes(b"II*\0" + bytes(100))
    given = [("readers", "geotiff"), ("readers", "greedy"), ("encoders", "random"), ("annotators", "types")]
    for kind, name in given:
        plugins.register(kind, name, Greedy)  # type: ignore[arg-type]
    try:
        kinds = encoder_kinds()
        assert readers.reader_of(path) is Greedy
        assert kinds["random"] is not Greedy
        assert isinstance(offline_annotator("types"), Greedy)  # a module of ours of that name annotates nothing
        assert "types" in offline_annotators()
    finally:
        for kind, name in given:
            plugins.unregister(kind, name)  # type: ignore[arg-type]
    told = " ".join(capsys.readouterr().err.split())
    assert f"{path} is read by the plug-in greedy, and not as" in told
    assert "The plug-in geotiff (readers): one of KnowLIP's own has its name." in told
    assert "The plug-in random (encoders): one of KnowLIP's own has its name." in told


def test_of_two_packages_with_one_name_the_first_is_taken_and_the_other_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [EntryPoint("twice", f"package_{at}:Thing", "knowlip.encoders") for at in "ba"]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    plugins._points.cache_clear()
    try:
        assert plugins.plugin_names("encoders") == ["twice"]
    finally:
        plugins._points.cache_clear()
    assert "the one taken is package_b:Thing, which has its name too" in " ".join(capsys.readouterr().err.split())


def test_a_program_registers_for_itself() -> None:
    from knowlip.models.encoders import encoder_kinds, open_encoder

    class Kind:
        USAGE = "mine:"

        @staticmethod
        def load(rest: str, device: object, size: int | None) -> str:
            return f"opened {rest}"

    plugins.register("encoders", "mine", Kind)
    try:
        plugins.register("encoders", "mine", Kind)  # the same again is no other
        assert open_encoder("mine:x") == "opened x"
        with pytest.raises(ValueError, match="called mine already"):
            plugins.register("encoders", "mine", object())
    finally:
        plugins.unregister("encoders", "mine")
    assert "mine" not in encoder_kinds()


@pytest.mark.parametrize(
    ("made", "said"), [(lambda folder: None, "cannot be made of"), (lambda *_: 3, "lacks log, close")]
)
def test_a_callback_that_is_none_is_told_by_name(made: object, said: str, tmp_path: Path) -> None:
    from knowlip.training.loggers import open_loggers

    plugins.register("callbacks", "hollow", made)
    try:
        with pytest.raises(ValueError, match=f"The callback hollow of a plug-in {said}"):
            open_loggers([], tmp_path, "run", {}, 0)
    finally:
        plugins.unregister("callbacks", "hollow")


def test_names_and_kinds_are_checked() -> None:
    with pytest.raises(ValueError, match="no kind of plug-in 'encoder'"):
        plugins.register("encoder", "x", object())  # type: ignore[arg-type]
    for name in ("", "Mine", "a b", "../x"):
        with pytest.raises(ValueError, match="is no name of a plug-in"):
            plugins.register("tasks", name, object())
    plugins.register("encoders", "hollow", object())
    try:
        with pytest.raises(ValueError, match="hollow \\(encoders\\) lacks load, USAGE"):
            plugins.plugin("encoders", "hollow", ("load", "USAGE"))
    finally:
        plugins.unregister("encoders", "hollow")
