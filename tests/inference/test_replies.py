"""How sure answers are, where they are refused and why, and the scales of one place; against the model itself."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from knowlip.base.files import file_sha256
from knowlip.cli import main
from knowlip.inference.ask import ask, show
from knowlip.inference.calibration import FORMAT, read_calibration, softmax
from knowlip.inference.evidence import evidence_box
from knowlip.inference.images import read_image
from knowlip.inference.opened import encode, open_model
from knowlip.inference.predict_words import predict_ask
from knowlip.inference.scene_settings import PredictAskConfig
from knowlip.inference.settings import AskConfig
from knowlip.language.questions import answers_of
from knowlip.models.hub import ANSWERS
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.inference.test_predict import shades, write
from tests.inference.tiny_model import tiny_model

HOW_MANY = "How many ships are visible?"
TYPES = "What type of aircraft is most common here?"
FACTS: dict[str, Any] = {"temperature": 2.0, "floor": 0.0, "least": 0.0, "coarsest_m": 5.0}


def calibrated(folder: Path, **changes: Any) -> Path:
    """A model with facts about two kinds of questions."""
    model = tiny_model(folder, card={"windows_m": [1024.0, 512.0, 256.0], "metres_per_pixel": [1.0, 12.0]})
    said: dict[str, Any] = {
        "format": FORMAT,
        "weights_sha256": file_sha256(model / "model.safetensors"),
        "kinds": {
            "count": {"ship": FACTS, "aircraft": {**FACTS, "coarsest_m": None}},
            "recognition": {"aircraft": {**FACTS, "coarsest_m": None}},
        },
        "absent": {"ship": 1.0, "aircraft": 1.0},
        "let_through": 0,
    }
    (model / ANSWERS).write_text(json.dumps(said | changes))
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 255, (64, 64), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    return tmp_path / "tile.png"


def test_an_answer_is_the_likeliest_of_its_kind_with_its_calibrated_probability(model: Path, picture: Path) -> None:
    found = ask(AskConfig(picture, HOW_MANY, model, metres_per_pixel=4.0, device="cpu"))
    opened, _ = open_model(model, "cpu")
    names = list(answers_of("count") or ())
    with torch.inference_mode():
        tokens, _ = encode(opened, [read_image(picture, 4.0)])
        scores = opened.rank(tokens, [HOW_MANY], names)[0].numpy().astype(float)
    expected = np.exp(scores / 2) / np.exp(scores / 2).sum()
    assert softmax(scores, 2.0) == pytest.approx(expected)
    assert found["answer"] == names[int(scores.argmax())]
    assert found["confidence"] == pytest.approx(expected.max(), abs=1e-4)
    assert found["probability"] == pytest.approx(math.exp(scores.max()), abs=1e-4)
    assert (found["refused"], found["kind"]) == (None, "count")
    # In other words it is the same question, and is asked in those that were taught.
    other = ask(AskConfig(picture, "how many boats can you see", model, metres_per_pixel=4.0, device="cpu"))
    assert (other["answer"], other["confidence"]) == (found["answer"], found["confidence"])


def test_a_confidence_is_of_windows_as_the_training_had_them(picture: Path, tmp_path: Path) -> None:
    folder = calibrated(tmp_path / "model")
    for metres, known in ((4.0, True), (1.0, False), (None, False)):
        found = ask(AskConfig(picture, HOW_MANY, folder, metres_per_pixel=metres, device="cpu"))
        assert (found["confidence"] is not None) == known
        assert found["probability"] is not None
    pixels = np.zeros((64, 64), np.uint16)
    pixels[:, :20] = np.random.default_rng(0).integers(1, 999, (64, 20))
    scene = write(tmp_path / "edge.tif", pixels, 4.0)
    with pytest.raises(ValueError, match="holds data in"):
        ask(AskConfig(scene, HOW_MANY, folder, device="cpu"))


def test_what_the_model_does_not_know_is_refused_with_the_reason(
    model: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same: dict[str, Any] = {"model": model, "device": "cpu"}
    spill = ask(AskConfig(picture, "Is there an oil spill?", metres_per_pixel=4.0, **same))
    assert (spill["answer"], spill["refused"], spill["confidence"]) == ("", "question", None)
    types = ask(AskConfig(picture, TYPES, metres_per_pixel=10.0, **same))
    assert (types["refused"], types["reason"]) == ("resolution", "Aircraft types cannot be told at 10 m a pixel.")
    count = ask(AskConfig(picture, HOW_MANY, metres_per_pixel=5.5, **same))
    assert (count["refused"], count["reason"]) == ("resolution", "Ships cannot be counted at 5.5 m a pixel.")
    assert ask(AskConfig(picture, HOW_MANY, metres_per_pixel=4.9, **same))["refused"] is None
    answered = ask(AskConfig(picture, "Is there an oil spill?", metres_per_pixel=4.0, refuse=False, **same))
    assert answered["refused"] is None
    assert answered["answer"] or answered["probability"] is not None
    hole = ask(AskConfig(picture, "Count: [MASK] ships are visible", metres_per_pixel=4.0, **same))
    assert hole["refused"] is None
    assert hole["confidence"] is None
    assert main(["ask", str(picture), "Who are you?", "--model", str(model), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("no answer: The model was taught to say")
    assert "\n--refuse false gives an answer" in shown
    assert "--refuse false" not in show(answered)


def test_what_is_not_surer_than_a_guess_or_not_there_is_refused(picture: Path, tmp_path: Path) -> None:
    unsure = calibrated(tmp_path / "unsure", kinds={"count": {"ship": {**FACTS, "least": 0.999}}})
    found = ask(AskConfig(picture, HOW_MANY, unsure, metres_per_pixel=4.0, device="cpu"))
    assert found["refused"] == "unsure"
    assert found["reason"] is not None
    assert "without looking" in found["reason"]
    assert found["confidence"] is not None  # what it would have been worth
    none = calibrated(tmp_path / "none", absent={"ship": 1.0, "aircraft": 0.0})
    found = ask(AskConfig(picture, TYPES, none, metres_per_pixel=2.0, device="cpu"))
    assert found["refused"] == "absent"
    assert ask(AskConfig(picture, TYPES, none, metres_per_pixel=2.0, refuse=False, device="cpu"))["refused"] is None


def test_facts_of_other_weights_are_passed_over_and_broken_ones_told(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = calibrated(tmp_path / "other", weights_sha256="0" * 64)
    assert read_calibration(other)[0] is None
    found = ask(AskConfig(picture, "Is there an oil spill?", other, metres_per_pixel=4.0, device="cpu"))
    assert (found["refused"], found["confidence"]) == (None, None)
    assert "measured with other weights and is passed over" in capsys.readouterr().err
    for number, wrong in enumerate(
        [
            {"format": "knowlip-answers-0"},
            {"kinds": {"count": {"ship": {**FACTS, "temperature": 0}}}},
            {"kinds": {"poem": {"": FACTS}}},
            {"kinds": {"all_landforms": {"": FACTS}}},
            {"kinds": {"count": {"ship": {**FACTS, "least": float("nan")}}}},
            {"kinds": []},
            {"absent": {"ship": "much"}},
            {"let_through": None},
        ]
    ):
        broken = calibrated(tmp_path / f"broken{number}", **wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"answers\.json"):
            read_calibration(broken)


def test_whole_scenes_are_answered_and_refused_as_predict_does_it(model: Path, tmp_path: Path) -> None:
    scene = write(tmp_path / "land.tif", shades(600, 700), 3.0)
    found = ask(AskConfig(scene, HOW_MANY, model, device="cpu"))
    same: dict[str, Any] = {"scenes": [scene], "model": model, "device": "cpu"}
    result = predict_ask(PredictAskConfig(**same, out=tmp_path / "out", question=HOW_MANY))
    assert result["scenes"][0]["refused"] == {}
    rows = json.loads((tmp_path / "out" / "land.geojson").read_text())["features"]
    assert [one["properties"]["confidence"] for one in rows] == [one["confidence"] for one in found["windows"]]
    assert "interval" not in found["summary"]
    assert found["confidence"] is None
    assert found["answer"] == found["summary"]["answer"]
    refused = predict_ask(PredictAskConfig(**same, out=tmp_path / "none", question="Is it raining?"))
    assert refused["scenes"][0]["refused"] == {"question": 9}
    whole = ask(AskConfig(scene, "Is it raining?", model, device="cpu"))
    assert whole["refused"] == "question"
    assert "windows" not in whole


def test_the_same_place_is_asked_about_at_every_scale(model: Path, tmp_path: Path) -> None:
    scene = write(tmp_path / "land.tif", shades(600, 700), 3.0)
    plain = ask(AskConfig(scene, HOW_MANY, model, chain=True, device="cpu"))
    assert [one["scale"] for one in plain["chain"]] == ["large", "medium", "small"]
    assert [one["window_m"] for one in plain["chain"]] == pytest.approx([1024, 512, 256])
    middle = plain["windows"][4]
    there = ask(AskConfig(scene, HOW_MANY, model, chain=True, at=f"{middle['lon']},{middle['lat']}", device="cpu"))
    for link in there["chain"]:
        assert (link["lon"], link["lat"]) == pytest.approx((middle["lon"], middle["lat"]), abs=2e-5)
        assert link["confidence"] is not None
    with pytest.raises(ValueError, match="outside of"):
        ask(AskConfig(scene, HOW_MANY, model, chain=True, at="120.0,0.0", device="cpu"))
    with pytest.raises(ValueError, match="lon,lat"):
        ask(AskConfig(scene, HOW_MANY, model, chain=True, at="here", device="cpu"))
    drawn = tmp_path / "where.png"
    found = ask(AskConfig(scene, HOW_MANY, model, evidence=drawn, evidence_of="ships", device="cpu"))["evidence"]
    at = next(one for one in plain["windows"] if {"row": one["row"], "column": one["column"]} == found["window"])
    left, top, right, bottom = found["box"] or []
    assert at["x"] <= left < right <= at["x"] + 256
    assert at["y"] <= top < bottom <= at["y"] + 256
    west, south, east, north = found["box_lonlat"] or []
    assert west < east
    assert south < north


def test_a_tile_is_asked_about_behind_its_parents(model: Path, tmp_path: Path) -> None:
    data = build_tiny_dataset(tmp_path / "data")
    found = ask(AskConfig(data, HOW_MANY, model, tile="l0-m1-s2", chain=True, device="cpu"))
    assert [one["scale"] for one in found["chain"]] == ["large", "medium", "small"]
    assert found["chain"][-1]["answer"] == found["answer"]
    for wrong in ({"at": "4.5,51.9"}, {"tile": "l0", "also": [data]}):
        with pytest.raises(ValueError, match=r"--at|--tile"):
            AskConfig(data, HOW_MANY, model, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no accepted tile 'nothing'"):
        ask(AskConfig(data, HOW_MANY, model, tile="nothing", device="cpu"))


def test_the_box_holds_what_hangs_together_with_the_peak() -> None:
    heat = np.zeros((20, 30), np.float32)
    heat[5:8, 10:14] = 0.6
    heat[6, 12] = 1.0
    heat[8, 14] = 0.5  # touches by a corner
    heat[15:18, 20:25] = 0.9  # elsewhere
    assert evidence_box(heat) == [10.0, 5.0, 15.0, 9.0]
    assert evidence_box(np.zeros((4, 4))) is None
