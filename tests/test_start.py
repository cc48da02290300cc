"""The three ways in, and the lines beside others' code, do what they say: every command and every piece of Python of
these pages, in the order of the page, in one folder of simulated scenes."""

import re
import shutil
from pathlib import Path

import pytest

import knowlip
from knowlip.base import plugins
from knowlip.cli import main
from tests.documented import ROOT, blocks, is_python, words
from tests.test_docs import image, reason_not_to_run

NOT_RUN = {
    "pip": "installs packages",
    "knowlip predict segment": "needs a trained segmenter; tests/inference/test_predict.py",
    "knowlip serve": "serves until it is stopped; tests/inference/web",
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SCENES and IMAGE."""
    folder = tmp_path_factory.mktemp("start")
    knowlip.simulate(folder / "SCENES", cities=1, sensors=["sim-c"], scene_size_m={"sim-c": 1024}, workers=1)
    image(folder / "IMAGE", 1, (256, 256))
    return folder


@pytest.fixture(scope="module")
def dataset(scenes: Path) -> Path:
    """The same with DATASET."""
    folder = scenes.with_name("with-dataset")
    shutil.copytree(scenes, folder)
    knowlip.annotate(knowlip.build(folder / "SCENES", folder / "DATASET", workers=1), workers=1)
    return folder


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a page needs, as the current folder; what a page registers ends with it."""
    monkeypatch.setattr(plugins, "_ADDED", {kind: dict(added) for kind, added in plugins._ADDED.items()})
    folder = tmp_path / "here"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    monkeypatch.chdir(folder)
    return folder


def page(name: str) -> list[str]:
    return list(blocks(ROOT / "docs" / f"{name}.md"))


def run_line(line: str) -> None:
    if any(line.startswith(start) for start in NOT_RUN):
        return
    program, _, rest = re.split(r"\s{2,}|\s#", line)[0].partition(" ")
    assert program == "knowlip", line
    arguments = words(rest, optional=False)
    if arguments[0] in ("build", "annotate"):
        arguments += ["--workers", "1"]
    assert main(arguments) == 0, line


@pytest.mark.parametrize(
    ("here", "name"),
    [("scenes", "start-scenes"), ("dataset", "start-code"), ("scenes", "start-answers"), ("scenes", "compared-code")],
    indirect=["here"],
)
def test_a_page_runs_from_top_to_bottom(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": name}
    for block in page(name):
        if is_python(block):
            exec(compile(block, name, "exec"), names)
        else:
            for line in block.splitlines():
                run_line(line)
    left = {"start-scenes": "EXPORT", "start-code": "MODEL", "start-answers": "hits.html", "compared-code": "ARCHIVE"}
    assert (here / left[name]).exists()


def counted(block: str) -> int:
    """Lines that are no remark and no print."""
    lines = [line.strip() for line in block.splitlines()]
    return sum(bool(line) and not line.startswith(("#", "print(")) for line in lines)


def test_our_lines_are_as_many_as_the_table_says() -> None:
    text = (ROOT / "docs" / "compared-code.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| [^|]+ \| (\d+) \| [^|]+ \| [^|]+ commit [0-9a-f]{7} \|$", text, re.MULTILINE)
    assert [int(number) for number in table] == [counted(block) for block in page("compared-code")]
    assert len(table) == 4


def test_what_is_not_run_is_not_run_elsewhere_either() -> None:
    for start in NOT_RUN:
        if start.startswith("knowlip "):
            line = type("Line", (), {"arguments": start.removeprefix("knowlip ") + " X"})()
            assert reason_not_to_run(line)
