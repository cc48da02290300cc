"""`caption` and `ask` on more ground than the model knows: cut into its windows, or refused; folders go on."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knowlip.cli import main
from knowlip.inference.archive.finding import as_window
from knowlip.inference.ask import ask
from knowlip.inference.calibration import TotalFacts
from knowlip.inference.caption import caption
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import open_model
from knowlip.inference.predict_words import predict_ask
from knowlip.inference.replies import ModelReply, Refusal
from knowlip.inference.scene_settings import PredictAskConfig
from knowlip.inference.settings import AskConfig, CaptionConfig
from knowlip.inference.summary import interval_of, scene_answer
from knowlip.inference.views import PictureView, looked_at, view_of
from knowlip.language.asked import read_question
from tests.inference.test_predict import shades, write
from tests.inference.tiny_model import tiny_model

CARD = {"windows_m": [1024.0, 512.0, 256.0], "metres_per_pixel": [1.0, 4.0]}
HOW_MANY = "How many ships are visible?"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model", card=CARD)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """2,100 x 1,800 m at 3 m a pixel."""
    return write(tmp_path / "land.tif", shades(600, 700), 3.0)


def test_a_scene_is_asked_window_by_window_as_predict_asks_it(model: Path, scene: Path, tmp_path: Path) -> None:
    found = ask(AskConfig(scene, HOW_MANY, model, device="cpu"))
    windows = found["windows"]
    assert [(one["row"], one["column"]) for one in windows] == [
        (row, column) for row in range(3) for column in range(3)
    ]
    assert {one["window_m"] for one in windows} == {768.0}
    predict_ask(PredictAskConfig(scenes=[scene], out=tmp_path / "out", model=model, device="cpu", question=HOW_MANY))
    table = geopandas.read_parquet(tmp_path / "out" / "land.parquet").sort_values(["row", "column"])
    assert [one["answer"] for one in windows] == table["answer"].tolist()
    middles = table.geometry.centroid
    assert [one["lon"] for one in windows] == pytest.approx(middles.x.tolist(), abs=1e-6)
    assert [one["lat"] for one in windows] == pytest.approx(middles.y.tolist(), abs=1e-6)
    said = caption(CaptionConfig([scene], model, device="cpu"))
    assert len(said[0]["windows"]) == 9
    assert all(0 < one["probability"] <= one["token_probability"] <= 1 for one in said[0]["windows"])


def test_pictures_are_cut_by_the_size_that_is_given(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    pixels = np.random.default_rng(0).integers(1, 255, (500, 1100), np.uint8)
    Image.fromarray(pixels).save(path)
    found = ask(AskConfig(path, HOW_MANY, model, metres_per_pixel=2.0, device="cpu"))
    assert len(found["windows"]) == 2 * 5
    assert {one["window_m"] for one in found["windows"]} == {512.0}
    view = view_of(path, open_model(model, "cpu")[0], 2.0)
    for look in view.looks:
        top, left = int(look.top), int(look.left)
        assert (view.read(look).levels == pixels[top : top + 256, left : left + 256]).all()
    # Every pixel counts once: overlaps at the far edges are shared out.
    assert sum(view.shares() * 256 * 256) == pytest.approx(500 * 1100)
    assert "windows" not in ask(AskConfig(path, HOW_MANY, model, metres_per_pixel=1.0, device="cpu"))
    large = tmp_path / "large.png"
    Image.fromarray(shades(1700, 1700).astype(np.uint8)).save(large)
    with pytest.raises(ValueError, match=r"1700 x 1700 pixels .* windows of 256 to 1024 m at 1 to 4 m a pixel"):
        ask(AskConfig(large, HOW_MANY, model, device="cpu"))


@pytest.mark.parametrize(("side", "windows"), [(1000, 0), (1120, 0), (1140, 25), (1500, 36)])
def test_what_is_wider_than_the_widest_window_is_cut_and_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], side: int, windows: int
) -> None:
    """To 1.1 of it an image is shown whole; squeezing more loses pixels that the model can see."""
    path, raster = tmp_path / "picture.png", write(tmp_path / "raster.tif", shades(side, side), 1.0)
    Image.fromarray(shades(side, side).astype(np.uint8)).save(path)
    for given, metres in ((path, 1.0), (raster, None)):
        found = ask(AskConfig(given, HOW_MANY, model, metres_per_pixel=metres, device="cpu"))
        assert len(found.get("windows", [])) == windows
        (said,) = caption(CaptionConfig([given], model, metres_per_pixel=metres, device="cpu"))
        assert len(said.get("windows", [])) == windows
        told = capsys.readouterr().err
        cut = f"shows {side} x {side} m, more than the 1024 m that the model knows: it is cut into {windows} windows of"
        assert (cut in told) is bool(windows)
        like = as_window(given, open_model(model, "cpu")[0], metres).pixels.shape if not windows else (side, side)
        assert like == (side, side)
        assert (f"shows {side} m, a little more than the 1024 m" in told) is (1024 < side < 1127)
    unknown = AskConfig(path, HOW_MANY, model, device="cpu")
    if windows:
        with pytest.raises(ValueError, match=r"shows more ground than one window, .* \(windows of 256 to 1024 m"):
            as_window(path, open_model(model, "cpu")[0], 1.0)
        with pytest.raises(ValueError, match=f"has {side} x {side} pixels and does not say how large they are"):
            ask(unknown)
    else:
        assert "windows" not in ask(unknown)


def test_a_large_image_for_a_model_of_unknown_windows_is_shown_whole_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = tiny_model(tmp_path / "silent")  # its input has 32 pixels a side
    for side, told in ((128, False), (140, True)):
        path = tmp_path / f"{side}.png"
        Image.fromarray(shades(side, side).astype(np.uint8)).save(path)
        for metres in (None, 2.0):
            caption(CaptionConfig([path], silent, metres_per_pixel=metres, device="cpu"))
            assert (f"shown whole, its {side} x {side} pixels as 32 x 32" in capsys.readouterr().err) is told


def test_pixels_that_the_model_never_learned_on_are_refused_or_noted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse = write(tmp_path / "coarse.tif", shades(300, 300), 20.0)
    found = ask(AskConfig(coarse, HOW_MANY, model, device="cpu"))
    assert found["refused"] == "resolution"
    assert found["answer"] == ""
    assert found["reason"] is not None
    assert "learned on 1 to 4 m" in found["reason"]
    with pytest.raises(ValueError, match="learned on 1 to 4 m"):
        caption(CaptionConfig([coarse], model, device="cpu"))
    line = ["caption", str(coarse), "--model", str(model), "--device", "cpu", "--refuse", "false", "--json"]
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)[0]["windows"]) == 36
    assert "pixels of 20 m" in err


def test_one_bad_image_takes_nothing_of_the_others(
    model: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "small.tif", shades(200, 200), 3.0)
    (folder / "broken.tif").write_bytes(b"II*\0 no picture")
    Image.fromarray(shades(64, 64).astype(np.uint8)).save(folder / "tile.png")
    (folder / "notes.txt").write_text("nothing")
    same = ["--model", str(model), "--device", "cpu"]
    for ending in ("csv", "geojson", "parquet", "html"):
        out = tmp_path / f"said.{ending}"
        assert main(["ask", str(folder), HOW_MANY, "--also", str(scene), "--out", str(out), *same]) == 1
        text = capsys.readouterr().out
        assert text.count("left out:") == 1
        assert "broken.tif" in text
    rows = pd.read_csv(tmp_path / "said.csv")
    assert len(rows) == 1 + 1 + 9 + 1
    assert rows["reason"].notna().sum() == 1
    assert rows.loc[rows["reason"].notna(), "image"].item().endswith("broken.tif")
    features = json.loads((tmp_path / "said.geojson").read_text())["features"]
    assert sum(one["geometry"] is not None for one in features) == 10
    table = geopandas.read_parquet(tmp_path / "said.parquet")
    assert len(table) == len(rows)
    page = (tmp_path / "said.html").read_text()
    assert page.count("data:image/webp;base64,") == 11
    assert "broken.tif" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert main(["caption", str(folder), "--out", str(tmp_path / "captions.csv"), *same, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [Path(one["image"]).name for one in said] == ["broken.tif", "small.tif", "tile.png"]
    assert "reason" in said[0]
    assert len(pd.read_csv(tmp_path / "captions.csv")) == 3
    assert main(["ask", str(folder / "broken.tif"), HOW_MANY, *same]) == 2
    assert main(["ask", str(folder), HOW_MANY, *same, "--out", str(tmp_path / "said.xls")]) == 2
    assert "ends in .csv" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["caption", str(tmp_path / "empty"), *same]) == 2
    assert "without a scene or a picture" in capsys.readouterr().err


def spread(**shares: float) -> ModelReply:
    """The reply with the likeliest of some numbers, named n0, n1 and so on."""
    told = {name.removeprefix("n"): value for name, value in shares.items()}
    best = max(told, key=lambda name: told[name])
    return ModelReply(best, told[best], told[best], told, None)


def test_numbers_of_windows_add_up_and_have_an_interval_where_one_was_measured() -> None:
    """Against drawing from what the windows hold possible."""
    read = read_question(HOW_MANY)
    replies = [spread(n0=0.1, n1=0.2, n2=0.7), spread(n0=0.9, n1=0.1), spread(n3=0.6, n4=0.4), spread(n5=1.0)]
    shares = np.array([1.0, 1.0, 1.0, 0.4])
    found = scene_answer(read, replies, shares)
    assert found is not None
    assert found["answer"] == "7"  # 2 + 0 + 3 + 0.4 x 5
    rng = np.random.default_rng(0)
    drawn = np.zeros(200_000, int)
    for reply, share in zip(replies, shares):
        assert reply.spread is not None
        number = rng.choice([int(name) for name in reply.spread], drawn.size, p=list(reply.spread.values()))
        drawn += rng.binomial(number, share)
    assert found["expected"] == pytest.approx(drawn.mean(), abs=0.02)
    assert "interval" not in found
    assert "not measured" in found["how"]
    known = scene_answer(read, replies, shares, TotalFacts(1.0, 0.9, 60, 20))
    assert known is not None
    assert (known["interval"], known["level"]) == ([3, 13], 0.9)  # the numbers with |sqrt(n) - sqrt(7)| <= 1
    assert "not measured" not in known["how"]
    assert interval_of(0, 2.0) == (0, 4)


def test_a_scene_has_the_answer_of_most_ground_and_no_place() -> None:
    def told(answer: str) -> ModelReply:
        return ModelReply(answer, 0.9, 0.9, {answer: 0.9, "other": 0.1}, None)

    land = scene_answer(read_question("What is the main landform?"), [told("field"), told("water")], np.array([0.2, 1]))
    assert land is not None
    assert land["answer"] == "water"
    assert "refused" not in land["how"]
    silent = ModelReply("", None, None, None, Refusal("unsure", "no"))
    some = scene_answer(read_question("What is the main landform?"), [told("field"), silent], np.ones(2))
    assert some is not None
    assert "1 are refused" in some["how"]
    every = scene_answer(
        read_question("Which landforms are present?"), [told("water, quay"), told("water")], np.array([0.05, 1.0])
    )
    assert every is not None
    assert every["answer"] == "water"
    place = scene_answer(read_question("Where in the image do the ships lie?"), [told("center")], np.ones(1))
    assert place is not None
    assert place["answer"] == ""


def test_the_square_around_a_place_stays_in_the_image(model: Path, scene: Path) -> None:
    view = view_of(scene, open_model(model, "cpu")[0])
    look = looked_at(view, 5, 690, 512.0)
    assert look.top == 0
    assert look.left + look.side == pytest.approx(700)
    assert look.side * 3 == pytest.approx(512)
    middle = looked_at(view, 300, 350, 256.0)
    assert (middle.left + middle.side / 2, middle.top + middle.side / 2) == pytest.approx((350, 300))
    shape: Any = view.outline(look.left, look.top, look.left + look.side, look.top + look.side)
    at = view.pixel_at(shape.centroid.x, shape.centroid.y)
    assert at == pytest.approx((look.left + look.side / 2, look.side / 2), abs=0.01)


@pytest.mark.parametrize("shape", [(60, 1200), (1200, 60), (40, 40)])
def test_pictures_that_are_cut_keep_their_pixel_size(shape: tuple[int, int], tmp_path: Path) -> None:
    """Whatever the last window holds: a picture is never read at another size."""
    pixels = np.random.default_rng(0).integers(1, 255, shape, dtype=np.uint8)
    view = PictureView(tmp_path / "a.png", TakenImage(pixels, 2.0), 256)
    assert {view.taken(view.read(look), look).metres_per_pixel for look in view.looks} == {2.0}
