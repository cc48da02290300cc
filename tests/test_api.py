"""The names of `import knowlip`: their examples as doctests, one story in one folder; and that they are light."""

import doctest
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

import knowlip
from knowlip.api.running import joined
from tests.documented import python_blocks

STORY = [
    "simulate",
    "open_scene",
    "build",
    "Dataset",
    "annotate",
    "embed",
    "load",
    "caption",
    "ask",
    "predict",
    "Index",
]
"""Names in the order in which one needs what the other leaves."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the examples were run, with what they left; asserts that they say what they do."""
    folder = tmp_path_factory.mktemp("story")
    names: dict[str, Any] = {"knowlip": knowlip}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in [*STORY, *(one for one in knowlip.__all__ if one not in STORY)]:
            what = getattr(knowlip, name)
            test = doctest.DocTestParser().get_doctest(inspect.getdoc(what), names, name, None, 0)
            assert test.examples, f"{name} has no example"
            test.globs = names
            runner.run(test, out=said.append, clear_globs=False)
        assert not runner.summarize(verbose=False).failed, "".join(said)
        yield folder


def test_examples_of_all_names_run(story: Path) -> None:
    assert (story / "dataset" / "dataset.json").is_file()


def test_importing_loads_nothing_heavy() -> None:
    said = "import sys, knowlip; print(sorted({'torch', 'numpy', 'pandas', 'rasterio'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).stdout == "[]\n"
    said = "import sys, knowlip; knowlip.open_scene; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True).stdout == "False\n"


def test_names_are_there_and_others_are_not() -> None:
    assert {*knowlip.__all__} <= {*dir(knowlip)}
    assert all(callable(getattr(knowlip, name)) for name in knowlip.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        _ = knowlip.predikt


def test_files_and_arrays_are_asked_the_same(story: Path) -> None:
    data = knowlip.Dataset(story / "dataset")
    tile = data.image(str(data.tiles(scale="large")["tile_id"].iloc[0]))
    Image.fromarray(tile).save(story / "tile.png")
    model = knowlip.load()
    asked = "How many ships are visible?"
    one = knowlip.ask(story / "tile.png", asked, metres_per_pixel=2)
    other = knowlip.ask(tile, asked, model, metres_per_pixel=2)
    assert {**one, "image": ""} == {**other, "image": ""}
    assert knowlip.caption(tile, model, 2)["caption"] == knowlip.caption(story / "tile.png", None, 2)["caption"]
    np.testing.assert_allclose(
        knowlip.embed([story / "tile.png"], metres_per_pixel=2), knowlip.embed([tile], None, model, 2), atol=1e-6
    )
    assert knowlip.ask(tile, asked, metres_per_pixel=900)["refused"] == "resolution"


def test_searches_agree(story: Path) -> None:
    data = knowlip.Dataset(story / "dataset")
    tiles = knowlip.search(data, "a port with ships", top=3)
    windows = knowlip.search(knowlip.Index(story / "archive"), "a port with ships", top=3)
    assert isinstance(tiles, geopandas.GeoDataFrame)
    assert list(tiles["tile_id"]) == list(windows["item"])
    assert len(knowlip.Index(story / "archive")) == len(data.tiles())
    with pytest.raises(ValueError, match="no source"):
        knowlip.Index(story / "archive").remove("elsewhere")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: knowlip.run("buidl"), "did you mean build"),
        (lambda: knowlip.run("build", recipe="paper-vit-b"), "has no settings of 'build'; it has those of pretrain"),
        (lambda: knowlip.build("scenes", "x", tiles_px=3), "There is no setting tiles_px"),
        (lambda: knowlip.embed(), "Give images or texts"),
        (lambda: knowlip.embed("image.png"), "Give a list"),
        (lambda: knowlip.embed([]), "no image"),
        (lambda: knowlip.embed([np.zeros((4, 4))]), "uint8"),
        (lambda: knowlip.ask("x.png", "How many ships?", tile="a"), "is no keyword of knowlip.ask"),
        (lambda: knowlip.ask("absent.png", "How many ships are visible?"), "does not exist"),
        (lambda: knowlip.caption("absent.png"), "does not exist"),
        (lambda: knowlip.predict("find", "scenes", "out"), "kind must be"),  # type: ignore[arg-type]
        (lambda: knowlip.open_scene("x.tif", unit="db"), "There is no setting unit"),
        (lambda: knowlip.Index("archive").add(), "Give scenes"),
    ],
)
def test_bad_input_is_one_sentence(call: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_settings_are_joined_over_a_recipe() -> None:
    assert joined({"a": 1, "g": {"x": 1, "y": 2}}, {"g": {"y": 3}, "b": 4}) == {
        **{"a": 1, "b": 4},
        **{"g": {"x": 1, "y": 3}},
    }


def test_an_empty_free_form_dictionary_clears_the_recipe_s_as_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from knowlip.base.parsing import parse_command
    from knowlip.commands import COMMANDS, Command

    taken: list[Any] = []
    monkeypatch.setattr(Command, "run", lambda self, settings: taken.append(settings))
    of_recipe, common = ["--recipe", "tiny", "--dataset", "d", "--out", "o"], {"dataset": "d", "out": "o"}
    for vision, flags in (
        ({"changes": {}, "stem": 0}, ["--model.vision.changes", "{}", "--model.vision.stem", "0"]),
        ({"changes": {"depth": 3}}, ["--model.vision.changes.depth", "3"]),
        ({}, []),  # a group of settings without any changes nothing
    ):
        knowlip.run("pretrain", recipe="tiny", model={"vision": vision}, **common)
        assert taken[-1] == parse_command("pretrain", "", COMMANDS["pretrain"].kind(), of_recipe + flags)[0]
    assert taken[0].model.vision.changes == {}
    assert taken[1].model.vision.changes["depth"] == 3
    assert taken[1].model.vision.changes.keys() == taken[2].model.vision.changes.keys() > {"depth"}


def test_similarity_in_five_lines_as_the_page_has_them(story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same by the towers' own names, which keep gradients of the image side and do not raise."""
    monkeypatch.chdir(story)
    (block,) = [block for page, block in python_blocks() if page == "python" and "similarity = " in block]
    lines = [line for line in block.splitlines() if line]
    assert len(lines) == 5
    split = str(knowlip.Dataset("dataset").tiles()["split"].iloc[0])
    names: dict[str, Any] = {}
    exec(compile(block.replace('"test"', repr(split)), "python", "exec"), names)
    similarity, model, tiles = names["similarity"], names["model"], names["tiles"]
    assert similarity.shape == (len(tiles), 3)
    assert similarity.numpy().max() <= 1.001
    pixels = model.prepare(list(names["data"].images(tiles["tile_id"])))
    width = torch.tensor(tiles["metres_per_pixel"].to_numpy() * names["data"].image(tiles["tile_id"].iloc[0]).shape[0])
    plain = (
        model.encode_images(pixels, width.float())[1] @ model.encode_texts(["a port with ships", "fields", "a town"]).T
    )
    assert plain.requires_grad
    torch.testing.assert_close(plain.detach(), similarity, atol=1e-5, rtol=0)


def test_a_model_that_was_trained_on_has_no_calibration(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured belongs to the weights of the folder, not to whatever came of them."""
    data = knowlip.Dataset(story / "dataset")
    tile = data.image(str(data.tiles(scale="large")["tile_id"].iloc[0]))
    model = knowlip.load()
    assert knowlip.ask(tile, "how many vessels are there?", model, 2)["confidence"] is not None
    assert "Asked as 'How many ships are visible?'" in capsys.readouterr().err
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    changed = knowlip.ask(tile, "how many vessels are there?", model, 2)
    assert (changed["confidence"], changed["refused"]) == (None, None)
    assert "not those of" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"not those of .* any more"):
        knowlip.predict("embed", story / "scenes", story / "other", model, metres_per_pixel=3)


def test_scenes_without_a_place_are_tables(story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of none the outlines are known. The model is the one that comes along, whatever the environment says."""
    monkeypatch.setenv("KNOWLIP_MODEL", str(tmp_path / "no-such-model"))
    pixels = np.random.default_rng(0).integers(100, 900, (256, 256)).astype(np.uint16)
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", width=256, height=256, count=1, dtype="uint16") as file:
        file.write(pixels, 1)
    (tmp_path / "scene.scene.yaml").write_text("unlocated: true\nspacing_m: [3, 3]\nunits: amplitude\n")
    found = knowlip.predict(
        "ask",
        tmp_path / "scene.scene.yaml",
        tmp_path / "out",
        question="How many ships are visible?",
        metres_per_pixel=3,
    )
    table = found.scenes["scene"]
    assert not isinstance(table, geopandas.GeoDataFrame)
    assert len(table) == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="model"):
        knowlip.predict("classify", path, tmp_path / "classes")
