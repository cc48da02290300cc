"""What is published holds together: the source distribution has all that is tracked, the wheel all of the package, and
commands run from it in an environment that has the core requirements alone. Nothing is fetched."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.dependencies import closure, installed
from tests.scenes.products import geotiff

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
UNPACKED = {".gitignore", ".ci/run"}
"""What is tracked and belongs to a checkout alone."""
ASKED_FOR = ("knowlip.inference.web", "knowlip.models.transformers.")
"""Rooms whose modules are imported where the extra `serve` or `transformers` was asked for."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# In the folder of an empty environment: every module of the package, then commands from scenes to answers, and what
# those say that miss an extra. One process, so that what is heavy is imported once.
SCRIPT = """
import contextlib, importlib, io, json, pkgutil, sys
import knowlip
from knowlip.cli import main

missing = {}
for module in pkgutil.walk_packages(knowlip.__path__, "knowlip.", onerror=lambda name: None):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = error.name

def run(line):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line)
    return [code, out.getvalue(), err.getvalue()]

runs = [run(line) for line in json.loads(sys.argv[1])]
print(json.dumps({"file": knowlip.__file__, "missing": missing, "runs": runs}))
"""


def tracked() -> list[str]:
    """Paths of all tracked files."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: what belongs to it is not known")
    return subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).rstrip("\0").split("\0")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is made from it."""
    if not UV.is_file():
        pytest.skip("uv is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        if (ROOT / name).is_file():  # not yet deleted in the index
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    command = [UV, "build", "--offline", "--no-build-isolation", "--python", sys.executable, "--out-dir", out, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_source_distribution_is_complete(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert not set(tracked()) - inside - UNPACKED


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        meta = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    package = {name for name in tracked() if name.startswith("knowlip/")}
    assert package <= names, sorted(package - names)[:5]
    rest = names - package
    assert all(name.split("/")[0].endswith(".dist-info") for name in rest), sorted(rest)[:5]
    assert {"LICENSE", "NOTICE.md"} <= {Path(name).name for name in rest}
    assert set(re.findall(r"^Provides-Extra: (\w+)$", meta, re.MULTILINE)) == set(PROJECT["optional-dependencies"])
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", meta), "a link of the description holds in a checkout alone"


def test_versions_agree() -> None:
    from knowlip import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert re.search(rf"^## {re.escape(__version__)} ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_extra_is_named_in_readme_and_install_page() -> None:
    page, readme = (ROOT / "docs" / "install.md").read_text(), (ROOT / "README.md").read_text()
    for extra in PROJECT["optional-dependencies"]:
        assert f"| `{extra}` |" in page, extra
        assert extra == "dev" or f"[{extra}]`" in readme, extra


def empty_environment(folder: Path) -> Path:
    """An environment with the installed files of the core requirements, by links, and of nothing else."""
    subprocess.run([UV, "venv", "-q", "--offline", "--python", sys.executable, folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    known = installed()
    for name in closure(PROJECT["dependencies"], known):
        for file in known[name].files or ():
            top = Path(file.parts[0])
            if top.name not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(known[name].locate_file(top))))
    return folder


def test_the_wheel_runs_with_the_core_alone(built: tuple[Path, Path], tmp_path: Path) -> None:
    environment = empty_environment(tmp_path / "empty")
    python = environment / "bin" / "python"
    install = [UV, "pip", "install", "-q", "--offline", "--no-deps", "--python", python, built[1]]
    assert subprocess.run(install, check=False).returncode == 0
    here = tmp_path / "here"
    here.mkdir()
    power = np.random.default_rng(2).exponential(1, (260, 300)).astype(np.float32)
    scene = geotiff.make(here / "scene", values=power).path
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (128, 128)).astype(np.uint8)).save(here / "image.png")
    (here / "NISAR_L2_GCOV.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    good = [
        ["scene", "info", str(scene)],
        ["build", "--scenes", str(scene), "--out", "data", "--windows_m=[280,140,70]", "--tile_px=32", "--workers=1"],
        ["annotate", "--dataset", "data", "--workers=1"],
        ["dataset", "verify", "data"],
        ["text", "check", "data"],
        ["dataset", "export", "data", "--format", "openclip", "--out", "exported"],
        ["ask", "image.png", "How many ships are visible?", "--metres_per_pixel", "3"],
    ]
    shipped = next(environment.glob("lib/python*/site-packages/knowlip/models/shipped"))
    bad = [
        (["scene", "info", "NISAR_L2_GCOV.h5"], "sicd"),
        (["text", "audit", "data"], "serve"),
        (["serve", "--openai"], "serve"),
        (["build", "--scenes", str(scene), "--out", "other", "--windows_m=[280,140,70]", "--ray", "local"], "cluster"),
        (["export", str(shipped), "--out", "onnx"], "export"),
    ]
    lines = json.dumps([*good, *(line for line, _ in bad)])
    ours = ("PYTHONPATH", "KNOWLIP_MODEL", "PYTHONPYCACHEPREFIX")  # the last: what links lead to is compiled already
    clean = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run([python, "-c", SCRIPT, lines], cwd=here, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert Path(found["file"]).is_relative_to(environment)
    strangers = {module: name for module, name in found["missing"].items() if not f"{module}.".startswith(ASKED_FOR)}
    assert not strangers, "modules that need an extra before they are used"
    for line, (code, out, err) in zip(good, found["runs"]):
        assert code == 0, (line, err)
        assert out.strip(), line
    for (line, extra), (code, _, err) in zip(bad, found["runs"][len(good) :]):
        assert code == 2, (line, err)
        assert f"knowlip[{extra}]" in err, line
    version = subprocess.check_output([environment / "bin" / "knowlip", "--version"], cwd=here, env=clean, text=True)
    assert version.strip() in built[1].name


def test_scores_of_captions_say_which_extra_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    from knowlip.tasks.metrics import CaptionScorer, java

    def absent(name: str, *rest: str) -> object:
        return None if name == "pycocoevalcap" else find_spec(name, *rest)

    java.no_java.cache_clear()
    monkeypatch.setattr(java, "find_spec", absent)
    scores = CaptionScorer([["two ships"], ["a quay"]]).scores(["two ships", "a ship"])
    java.no_java.cache_clear()
    assert scores
    for name, score in scores.items():
        assert score.figure is None, name
        assert "knowlip[captions]" in score.reason, name
