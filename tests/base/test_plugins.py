"""Plug-ins: the page's own code, installed as a package by its entry points; and what is refused."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

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
