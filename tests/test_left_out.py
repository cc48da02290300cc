"""Exit code 1: every command that goes on past an input that fails says so by it, and only then."""

import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from PIL import Image

from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.types import Annotation, TileRequest
from knowlip.base.left_out import is_left_out
from knowlip.base.rows import Results
from knowlip.cli import main
from knowlip.commands import COMMANDS, Command
from knowlip.dataset import Dataset
from knowlip.inference.predict import Predicted, ScenePredictor, SceneWork
from knowlip.tasks.taught_on import TaughtOn
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.inference.tiny_model import tiny_model
from tests.tiles.rasters import speckle, write_scene

SMALL = "--windows_m=[280,140,70] --tile_px=32 --workers=1 --min_valid=0.5 --quality.min_good=0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each kind of input one that works, and one that does not."""
    place = tmp_path_factory.mktemp("inputs")
    for name in ("good", "other"):
        write_scene(place / f"{name}.tif", speckle((80, 80), len(name)))
    whole = (place / "good.tif").read_bytes()
    (place / "bad.tif").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.arange(32 * 32, dtype=np.uint16).reshape(32, 32).astype(np.uint8)).save(place / "good.png")
    (place / "bad.png").write_text("no picture")
    data = build_tiny_dataset(place / "data")
    tiny_model(place / "model")
    tile = Dataset(data).tiles()["tile_id"][0]
    (place / "good.csv").write_text(f"image,caption\n{tile},water\n")
    (place / "bad.csv").write_text("image,caption\nnowhere,water\n")
    for folder in ("set", "badset"):
        for kind in ("ship", "town"):
            (place / folder / kind).mkdir(parents=True)
            for number in range(3):
                pixels = np.random.default_rng([number, *(folder + kind).encode()]).integers(1, 255, (48, 48), np.uint8)
                Image.fromarray(pixels).save(place / folder / kind / f"{number}.png")
    (place / "badset" / "ship" / "3.png").write_text("no picture")
    return place


class Stub(ScenePredictor):
    """Looks at nothing."""

    kind, taught, window, weights = "stub", TaughtOn((4.0, 4.0), 64, ("db-percentile-v1(0.5,99.8)",), ()), 64, "w"

    def __init__(self, config: Any) -> None:
        self.config = config

    def run(self, work: SceneWork) -> dict[str, Any]:
        return {}


COMMON = "--model model --device cpu"
STUBBED = {
    "predict detect": "predict_detect:ScenesDetector",
    "predict segment": "predict_segment:ScenesSegmenter",
    "predict classify": "predict_classify:ScenesClassifier",
    "predict caption": "predict_words:ScenesCaption",
    "predict ask": "predict_words:ScenesAsk",
    "predict embed": "predict_words:ScenesEmbed",
}
LINES = {
    "scene info": ("GOOD.tif", "good.tif bad.tif"),
    "build": (f"--scenes good.tif --out OUT {SMALL}", f"--scenes good.tif bad.tif --out OUT {SMALL}"),
    "dataset import": (
        "set --format folder --out OUT --skip_bad",
        "badset --format folder --out OUT --skip_bad",
    ),
    "questions import": ("data --files good.csv --out OUT", "data --files good.csv bad.csv --out OUT"),
    **{
        name: (f"good.tif {COMMON} --out OUT{more}", f"good.tif bad.tif {COMMON} --out OUT{more}")
        for name in STUBBED
        for more in (" --question ships?" if name == "predict ask" else "",)
    },
    "caption": (f"good.png {COMMON}", f"good.png bad.png {COMMON}"),
    "ask": (f"good.png water? --also other.tif {COMMON}", f"good.png water? --also bad.png {COMMON}"),
    "index": (
        f"good.tif {COMMON} --metres_per_pixel 4 --window_px 64 --out OUT",
        f"good.tif bad.tif {COMMON} --metres_per_pixel 4 --window_px 64 --out OUT",
    ),
}
"""Command -> a line whose inputs can all be used, and one with an input that cannot."""
BELOW = ("annotate", "demo", "bench suite")
"""Commands with a test of their own, here or (bench suite) in tests/benchmark/test_suite.py."""
WHOLE = {
    "demo": "its stages",
    "dataset overlay": "a map that cannot be read ends it",
    "bench leaderboard": "a file of results that cannot be read ends it",
    "scio screen": "a model that cannot be read ends it",
    "scio reconstruct": "a model that cannot be read ends it",
}
"""Commands over several paths that leave none out, and why."""


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_a_command_that_leaves_an_input_out_ends_with_one(
    name: str,
    bad: bool,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    if name in STUBBED:
        module, _, kind = STUBBED[name].partition(":")
        monkeypatch.setattr(import_module(f"knowlip.inference.{module}"), kind, Stub)
    line = LINES[name][bad].replace("GOOD", "good").replace("OUT", str(tmp_path / "out")).split()
    code = main([*name.split(), *line, "--json"])
    told = capsys.readouterr()
    assert code == int(bad), told.err
    result = json.loads(told.out)
    assert is_left_out(result, COMMANDS[name].left_out) is bad, "--json tells the same as the exit code"
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_tiles_without_texts_end_annotate_with_one(
    bad: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = MeasuredAnnotator.annotate

    def fails_on_one(self: MeasuredAnnotator, request: TileRequest) -> Annotation:
        if bad and request.tile_id == "l0":
            raise ValueError("nothing to be said")
        return write(self, request)

    monkeypatch.setattr(MeasuredAnnotator, "annotate", fails_on_one)
    data = build_tiny_dataset(tmp_path / "data", small=1)
    for _ in range(2):  # a run that was finished before tells the same
        assert main(["annotate", "--dataset", str(data), "--workers", "1"]) == int(bad)
    assert "nothing to be said" in "".join(capsys.readouterr()) or not bad


@pytest.mark.parametrize("stage", ["", "build", "annotate"])
def test_the_demo_tells_which_stage_left_something_out(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Canned(Command):
        """A stage that does nothing."""

        def run(self, settings: Any) -> Any:
            if "Evaluate" in self.settings:
                return Results(())
            return {self.left_out[0]: [{"path": "a"}] * (self is COMMANDS.get(stage))} if self.left_out else {}

    for name in ("build", "annotate", "pretrain", "finetune", "evaluate", "report"):
        monkeypatch.setitem(COMMANDS, name, Canned(*COMMANDS[name]))
    monkeypatch.setattr("knowlip.pipeline._check_splits", lambda *_: None)
    scene = write_scene(tmp_path / "a.tif", speckle((80, 80)), pixel=1.0)
    assert main(["demo", "--scenes", str(scene), "--out", str(tmp_path / "out")]) == int(bool(stage))
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert told["setup"].get("left_out") == ([stage] if stage else None)
    assert (f"given to {stage}" in "".join(capsys.readouterr())) is bool(stage)


def test_every_command_over_several_inputs_is_in_the_table() -> None:
    told = {name for name, command in COMMANDS.items() if command.left_out}
    assert told == {*LINES, *BELOW}
    several = {
        name
        for name, command in COMMANDS.items()
        if any("list[pathlib" in str(kind) for kind in get_type_hints(command.kind()).values())
    }
    assert several - told == {*WHOLE} - told, "say where its result lists what it could not use, or why there is none"


def test_what_is_listed_under_failed_decides() -> None:
    for name, command in COMMANDS.items():
        function: Callable[..., Any] = getattr(command.module(), command.function.rpartition(":")[2])
        kind = get_type_hints(function).get("return")
        if kind is Predicted or "failed" in getattr(kind, "__annotations__", {}):
            assert "failed" in command.left_out, name


@pytest.mark.parametrize(
    ("result", "places", "left"),
    [
        ({"failed": []}, ("failed",), False),
        ({"failed": [{"path": "a"}]}, ("failed",), True),
        ({}, ("failed",), False),
        ({"refused": "unsure"}, ("failed",), False),
        ({"import": {"bad": {"count": 0}, "missing": {"count": 2}}}, ("import.bad.count",), False),
        ({"import": {"bad": {"count": 3}}}, ("other", "import.bad.count"), True),
        ([{"caption": "a"}, {"reason": ""}], ("reason",), False),
        ([{"caption": "a"}, {"reason": "no picture"}], ("reason",), True),
        ({"left_out": {"captions": {}, "questions": {}}}, ("left_out",), False),
        ({"left_out": {"captions": {}, "questions": {"no answer": 2}}}, ("left_out",), True),
        (Results(()), ("setup.left_out",), False),
        (Results((), setup={"left_out": ["build"]}), ("setup.left_out",), True),
        (None, ("failed",), False),
        ("failed", ("failed",), False),
    ],
)
def test_where_something_is_listed(result: Any, places: tuple[str, ...], left: bool) -> None:
    assert is_left_out(result, places) is left
