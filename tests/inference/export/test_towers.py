"""Exported towers, used as a stranger would: ONNX Runtime, tokenizers and Pillow, and what `export.json` says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

import knowlip
from knowlip.cli import main
from knowlip.inference.export import graph
from knowlip.inference.export.command import export_model
from knowlip.inference.export.settings import ExportConfig
from knowlip.models import KnowLIP, save_model
from knowlip.models.config import ModelConfig, TextConfig, VisionConfig
from tests.inference.tiny_model import tiny_model
from tests.training.test_step import make_tokenizer

TEXTS = ["Count: three ships are visible.", "water", "Location: upper left and center right. " * 9, ""]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model", card={"command": "knowlip /home/someone", "tiles": 9})


@pytest.fixture(scope="module")
def exported(model_folder: Path) -> Path:
    out = model_folder.parent / "onnx"
    assert main(["export", str(model_folder), "--out", str(out)]) == 0
    return out


def session(folder: Path, described: dict[str, Any]) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(folder / described["file"]), providers=["CPUExecutionProvider"])


def test_towers_give_the_model_s_similarities_without_pytorch(model_folder: Path, exported: Path) -> None:
    described = json.loads((exported / "export.json").read_text())
    size = described["preprocessing"]["image_size"]
    rng = np.random.default_rng(0)
    tiles = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((32, 32), (80, 50), (20, 90))]
    small = [np.asarray(Image.fromarray(tile).resize((size, size), Image.Resampling.BILINEAR)) for tile in tiles]
    images, tokens = session(exported, described["image"]).run(None, {"pixels": np.stack(small)})
    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    encoded = tokenizer.encode_batch(TEXTS)
    ids = np.array([text.ids for text in encoded])
    mask = np.array([text.attention_mask for text in encoded])
    (texts,) = session(exported, described["text"]).run(None, {"ids": ids, "mask": mask})
    model = knowlip.load(model_folder)
    with torch.inference_mode():
        want_tokens, want_images = model.encode_images(model.prepare(tiles))
    np.testing.assert_allclose(tokens, want_tokens.numpy(), atol=1e-5)
    np.testing.assert_allclose(images @ texts.T, (want_images @ model.encode_texts(TEXTS).T).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert described["temperature"] == pytest.approx(float(model.temp.detach()))


def test_the_tokenizer_frames_and_cuts_as_the_model_does(model_folder: Path, exported: Path) -> None:
    model, tokenizer = knowlip.load(model_folder), Tokenizer.from_file(str(exported / "tokenizer.json"))
    ids, keep = model.frame(TEXTS, grounded=False)
    encoded = tokenizer.encode_batch(TEXTS)
    assert [text.ids for text in encoded] == ids.tolist()
    assert [text.attention_mask for text in encoded] == keep.int().tolist()
    assert ids.shape[1] == model.config.text.max_length


def test_the_description_says_what_was_found(exported: Path) -> None:
    text = (exported / "export.json").read_text()
    described = json.loads(text)
    assert sorted(path.name for path in exported.iterdir()) == [
        "export.json",
        "image.onnx",
        "text.onnx",
        "tokenizer.json",
    ]
    assert described["image"]["inputs"] == {"pixels": {"type": "uint8", "shape": ["batch", 32, 32]}}
    assert described["text"]["inputs"]["ids"] == {"type": "int64", "shape": ["batch", "length"]}
    for tower, outputs in (("image", {"image_embedding", "image_tokens"}), ("text", {"text_embedding"})):
        assert described[tower]["difference"].keys() == outputs
        assert all(0 <= value <= 1e-4 for value in described[tower]["difference"].values())
    assert described["card"] == {"tiles": 9}
    assert "someone" not in text


def test_towers_that_compute_something_else_are_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of one model, offered for another."""
    other = tiny_model(tmp_path / "other", seed=1)

    def copy(_: object, __: object, file: str, **___: object) -> None:
        shutil.copy(exported / Path(file).name, file)

    monkeypatch.setattr(torch.onnx, "export", copy)
    with pytest.raises(ValueError, match=r"image\.onnx does not compute what the model does"):
        export_model(ExportConfig(other, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_missing_packages_are_named(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(ValueError, match=r"onnxscript.*knowlip\[export\]"):
        export_model(ExportConfig(model_folder, tmp_path / "out"))


def test_a_model_that_looks_is_exported_as_one_that_is_not_told_the_width(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    changes = {"patch_size": 2, "embed_dim": 16, "depth": 1, "num_heads": 2}
    vision = VisionConfig("vit_tiny_patch16_224", 32, changes, stem=8, ground_sampling=True)
    text = TextConfig(len(tokenizer), 16, 1, 2, 32, 32, decoder_reads="both")
    torch.manual_seed(0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8, readout=True), tokenizer).eval()
    save_model(model, tmp_path / "model", {})
    out = tmp_path / "onnx"
    export_model(ExportConfig(tmp_path / "model", out))
    described = json.loads((out / "export.json").read_text())
    assert "unknown" in described["preprocessing"]["ground_sampling"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    found = session(out, described["image"]).run(["image_embedding"], {"pixels": pixels})[0]
    want = model.encode_images(model.normalise(torch.from_numpy(pixels)))[1]
    np.testing.assert_allclose(found, want.detach().numpy(), atol=1e-5)
