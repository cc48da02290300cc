"""Exported detectors and segmenters in ONNX Runtime alone, beside PyTorch; and what int8 costs by hand counting."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.inference.export.command import export_model, kind_of_model, show
from knowlip.inference.export.given import given_images
from knowlip.inference.export.heads import found_again, paired_differences, shown_to_detector
from knowlip.inference.export.settings import ExportConfig
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.detection.portable import PortableDetector
from knowlip.models.encoders import open_encoder
from knowlip.tasks.detect import found_in
from knowlip.tasks.detect_folder import load_detector, save_detector
from knowlip.tasks.segmenter import HeadConfig, Segmenter, load_segmenter, save_segmenter
from knowlip.tasks.taught_on import taught_on
from tests.tasks.test_detect import HEAD, coco_set, config
from tests.tasks.test_segment import masked  # noqa: F401

ENCODER = "random:test_vit"


def random_detector(kind: str = "faster", **changes: Any) -> Detector:
    """One whose boxes are all over the image and whose scores differ."""
    torch.manual_seed(0)
    settings = HEAD | {"kind": kind, "least_score": 0.3, "window": 2, "global_blocks": 4} | changes
    detector = Detector(open_encoder(ENCODER, "cpu", 64), ["bar", "disc"], DetectorConfig(**settings)).eval()
    for parameter in [*detector.roi_heads.parameters(), *detector.rpn.head.parameters()]:
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.1)
    return detector


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_set(tmp_path_factory.mktemp("bars") / "set", 12, 0, (64, 64))


@pytest.fixture(scope="module")
def detector_folder(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector") / "model"
    detector, data = random_detector(), Dataset(bars)
    detector.classes = ["bar", "disc"]
    taught = taught_on(data, list(data.tiles("train")["tile_id"]))
    save_detector(
        detector, detector.state_dict(), folder, config(bars, folder.parent / "run", encoder=ENCODER), [], taught
    )
    return folder


@pytest.fixture(scope="module")
def exported_detector(bars: Path, detector_folder: Path) -> Path:
    out = detector_folder.parent / "onnx"
    command = ["export", str(detector_folder), "--out", str(out), "--int8", "static"]
    assert main([*command, "--calibrate", str(bars), "--measure", str(bars), "--images", "3"]) == 0
    return out


@pytest.mark.parametrize("kind", ["faster", "cascade", "mask"])
def test_the_graph_s_steps_are_torchvision_s(kind: str) -> None:
    """Before any ONNX: the same boxes as the detector's own way, to the last bit but one."""
    detector = random_detector(kind)
    portable = PortableDetector(detector, 64, 64).eval()
    chance = torch.Generator().manual_seed(1)
    for size in ((64, 64), (48, 56)):
        pixels = torch.randint(0, 256, (1, 64, 64), generator=chance, dtype=torch.uint8)
        with torch.no_grad():
            found = portable(pixels, torch.tensor(size))
            want = detector.detect(pixels, [size])[0]
        assert len(want.scores) > 10
        for one, other in zip(found, (want.boxes, want.scores, want.labels, want.masks)):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_detector_runs_without_pytorch(bars: Path, detector_folder: Path, exported_detector: Path) -> None:
    said = json.loads((exported_detector / "export.json").read_text())
    assert said["kind"] == "detector"
    assert said["classes"] == ["bar", "disc"]
    assert all(value <= 1e-4 for value in said["detector"]["difference"].values())
    session = onnxruntime.InferenceSession(str(exported_detector / said["detector"]["file"]))
    detector, data = load_detector(detector_folder), Dataset(bars)
    numbers = set()
    for tile_id in data.tiles()["tile_id"][:3]:
        pixels = data.image(tile_id)
        want = found_in(detector, [pixels], [tile_id])[0]
        resized = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR))
        boxes, scores, labels = session.run(None, {"pixels": resized[None], "size": np.array([64, 64])})
        assert [said["classes"][label - 1] for label in labels] == list(want["category"])
        np.testing.assert_allclose(scores, want["score"], atol=1e-5)
        np.testing.assert_allclose(boxes, want[["left", "top", "right", "bottom"]], atol=1e-3)
        numbers.add(len(boxes))
    assert len(numbers) > 1  # as many as there are


def test_the_loss_of_int8_is_measured(exported_detector: Path, bars: Path) -> None:
    loss = json.loads((exported_detector / "export.json").read_text())["int8"]
    assert (loss["by"], loss["n"]) == ("static", 3)
    assert loss["int8_mb"] < 0.7 * loss["float32_mb"]
    assert 0 < loss["boxes"]["found_again"] <= loss["boxes"]["float32"]
    scores = loss["scores"]
    assert scores["pytorch"] == pytest.approx(scores["float32"], abs=1e-6)
    assert {"AP", "AP50"} == scores["int8"].keys()
    session = onnxruntime.InferenceSession(str(exported_detector / loss["file"]))
    pixels = Dataset(bars).image(str(Dataset(bars).tiles()["tile_id"].iloc[0]))
    assert len(session.run(None, shown_to_detector(pixels, (64, 64)))) == 3


def test_a_segmenter_runs_without_pytorch(masked: Path, tmp_path: Path) -> None:  # noqa: F811
    torch.manual_seed(0)
    data = Dataset(masked)
    segmenter = Segmenter(open_encoder(ENCODER, "cpu", 64), ["water", "land", "town"], "frozen", HeadConfig()).eval()
    state = segmenter.state_dict()
    taught = taught_on(data, list(data.tiles("train")["tile_id"]))
    save_segmenter(segmenter, state, tmp_path / "model", 64, HeadConfig(), 32, taught)
    out = tmp_path / "onnx"
    result = export_model(ExportConfig(tmp_path / "model", out, int8="dynamic", measure=masked, images=2))
    said = json.loads((out / "export.json").read_text())
    assert said["segmenter"]["inputs"] == {"pixels": {"type": "uint8", "shape": ["batch", 32, 32]}}
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(out / "segmenter.onnx"))
    found = session.run(None, {"pixels": pixels})[0]
    with torch.inference_mode():
        want = load_segmenter(tmp_path / "model").scores(torch.from_numpy(pixels)).softmax(1).numpy()
    np.testing.assert_allclose(found, want, atol=1e-5)
    loss = said["int8"]
    assert loss["scores"]["pytorch"]["mIoU"] == pytest.approx(loss["scores"]["float32"]["mIoU"], abs=1e-6)
    assert loss["same_pixels"]["share"] >= loss["same_pixels"]["of_the_commonest_class"] / 2
    assert "mIoU" in show(result)


def test_pairs_are_counted_as_by_hand() -> None:
    box = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], np.float32)
    want = [box, np.array([0.9, 0.8, 0.6], np.float32), np.array([1, 2, 1])]
    got = [box[[1, 0]] + 1, np.array([0.85, 0.7], np.float32), np.array([2, 1])]
    assert found_again(got, want, 0.5) == (2, 3)
    assert found_again(got, want, 0.85) == (1, 1)
    found = paired_differences(got, [part[:2] for part in want], 64)
    assert found == pytest.approx({"boxes": 1 / 64, "scores": 0.2}, abs=1e-6)
    with pytest.raises(ValueError, match="finds 0 boxes and PyTorch 3"):
        paired_differences([part[:0] for part in got], want, 64)


def test_what_cannot_be_exported_is_one_sentence(bars: Path, detector_folder: Path, tmp_path: Path) -> None:
    def refused(match: str, **changes: Any) -> None:
        with pytest.raises(ValueError, match=match):
            export_model(ExportConfig(**{"model": detector_folder, "out": tmp_path / "out", **changes}))
        assert not (tmp_path / "out").exists()

    with pytest.raises(ValueError, match="soft_nms"):
        PortableDetector(random_detector(soft_nms=True), 64, 64)
    refused("multiples of 16 up to 64", height=50)
    refused("needs --measure", int8="dynamic")
    refused("needs --calibrate", int8="static", measure=bars)
    refused("belong to --int8", measure=bars)
    refused("neither a data set nor a folder", int8="dynamic", measure=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    refused("holds no pictures", int8="dynamic", measure=tmp_path / "empty")
    refused("is not a KnowLIP model", model=tmp_path / "empty")
    assert kind_of_model(detector_folder.parent) == "detector"


def test_pictures_of_a_folder_are_spaced_evenly(tmp_path: Path) -> None:
    for number in range(7):
        Image.fromarray(np.full((8, 8), 10 * number + 1, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    given = given_images(tmp_path, "test", 3)
    assert given.names == ["0.png", "3.png", "6.png"]
    assert [int(pixels[0, 0]) for pixels in given] == [1, 31, 61]
    assert given.told.startswith("3 of 7 pictures")
