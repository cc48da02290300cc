"""A trained model becomes the one that comes with KnowLIP: half precision, a limit of size, a card with its facts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.ship_card import END, START, page_text
from benchmarks.ship_model import ROOT, halved, scenes_of, ship, stages_of, usual_answers
from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.files import file_sha256
from knowlip.base.rows import Results, Row
from knowlip.dataset import Dataset
from knowlip.models import load_model
from knowlip.models.default import MOST_BYTES, SHIPPED
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.inference.tiny_model import tiny_model

ORIGIN = {
    "recipe": "tiny",
    "stages": [
        {
            "stage": "pretrain",
            "steps": 1200,
            "batch_size": 48,
            "learning_rate": 0.001,
            "seed": 3,
            "seconds": 7200.0,
            "machine": "2-core x86_64 CPU",
            "commit": "",
        }
    ],
    "data": {
        "scenes": 4,
        "sensors": {"sim-c": 4},
        "simulator_seeds": [7],
        "places": {"train": ["delft", "sao-paulo"], "test": ["houston"]},
        "tiles": {"train": 1234},
        "annotators": ["measured"],
    },
}
IMAGES = [np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8) for seed in range(6)]


def test_half_precision_loads_as_what_was_rounded(tmp_path: Path) -> None:
    source = tiny_model(
        tmp_path / "run" / "model", card={"command": "knowlip demo --out /home/me", "windows_m": [256.0]}
    )
    out = tmp_path / "shipped"
    size = ship(source, out, ORIGIN, {"count": {"": "0"}}, IMAGES, "apache-2.0")
    assert size == sum(file.stat().st_size for file in out.iterdir())
    stored = load_file(out / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
    assert (out / "model.safetensors").stat().st_size < 0.55 * (source / "model.safetensors").stat().st_size
    full, half = load_model(source).state_dict(), load_model(out).state_dict()
    for name, weight in full.items():
        assert half[name].dtype == weight.dtype
        assert torch.equal(half[name], weight.half().to(weight.dtype)), name
    largest = max(float((weight - weight.half().float()).abs().max()) for weight in full.values())
    card = json.loads((out / "knowlip.json").read_text())["card"]
    assert card["origin"]["half_precision"]["largest_weight_difference"] == pytest.approx(largest)
    assert card["origin"]["half_precision"]["smallest_cosine_of_image_embeddings"] > 0.999
    assert card["usual_answers"] == {"count": {"": "0"}}
    assert "command" not in card


def test_the_card_says_what_on_and_what_it_scores(tmp_path: Path) -> None:
    """Rows of the model with their teacher's, what is no better than a floor, and nothing of other weights."""
    source, out = tiny_model(tmp_path / "model"), tmp_path / "shipped"
    ship(source, out, ORIGIN, {}, IMAGES, "apache-2.0")
    assert "Nothing has been measured with these weights yet" in (out / "README.md").read_text()
    rows = (
        Row("sea", "test", "vqa", "shipped", "count accuracy", 0.61, (0.5, 0.7), 100, 0.3, "majority answer"),
        Row(
            "sea", "test", "vqa", "annotator:measured", "count accuracy", 0.35, (0.3, 0.4), 100, 0.3, "majority answer"
        ),
        Row("sea", "test", "vqa", "other-image:shipped", "count accuracy", 0.31, None, 100, 0.3, "majority answer"),
        Row("sea", "test", "vqa", "shipped", "position accuracy", 0.12, (0.05, 0.2), 50, 0.16, "blind, by subject"),
    )
    results = Results(rows, setup={"encoders": {"shipped": file_sha256(out / "model.safetensors")}})
    ship(source, out, ORIGIN, {}, IMAGES, "apache-2.0", [results])
    text = (out / "README.md").read_text()
    assert (
        "| sea | vqa | count accuracy | 61.0 % ▲ | 50.0–70.0 | 30.0 % majority answer | 31.0 % | 35.0 % | 100 |" in text
    )
    assert "Not clearly better than what one reaches without it: position accuracy on sea." in text
    for fact in ("4 of sim-c", "seed 7", "Delft, Sao Paulo", "1,200 steps", "120 minutes", "`tiny`", "SSDD"):
        assert fact in text, fact
    other = Results(rows, setup={"encoders": {"shipped": "0" * 64}})
    with pytest.raises(ValueError, match="other weights"):
        ship(source, out, ORIGIN, {}, IMAGES, "apache-2.0", [other])
    page = f"# Page\n\nWords.\n\n{START}\nold\n{END}\n\nMore.\n"
    once = page_text(page, text)
    assert page_text(once, text) == once
    assert once.startswith("# Page\n\nWords.\n")
    assert once.endswith(f"{END}\n\nMore.\n")
    assert "| sea | vqa | count accuracy |" in once
    assert "library_name" not in once
    with pytest.raises(ValueError, match="needs the lines"):
        page_text("# Page", text)


def test_what_is_too_large_or_too_wide_is_refused_and_replaces_nothing(tmp_path: Path) -> None:
    source, out = tiny_model(tmp_path / "model"), tmp_path / "shipped"
    ship(source, out, ORIGIN, {}, IMAGES, "apache-2.0")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ValueError, match="train a smaller one"):
        ship(source, out, ORIGIN, {}, IMAGES, "mit", most_bytes=10_000)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    model = load_model(source)
    with torch.no_grad():
        model.text_proj.weight[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"text_proj\.weight holds numbers"):
        halved(model)


def test_facts_come_from_the_run_and_its_data(tmp_path: Path) -> None:
    annotate(AnnotateConfig(build_tiny_dataset(tmp_path / "dataset"), workers=1))
    data = Dataset(tmp_path / "dataset")
    found = scenes_of(data)
    assert sum(found["tiles"].values()) == len(data.tiles())
    assert sum(found["sensors"].values()) == found["scenes"] == data.tiles()["scene_id"].nunique()
    assert found["simulator_seeds"] == []
    assert found["annotators"] == ["measured"]
    assert set(usual_answers(data, 0)) <= {"count", "recognition", "position"} | {
        f"{word}_landform{plural}" for word in ("main", "all", "regional") for plural in ("", "s")
    }
    with pytest.raises(ValueError, match="holds no training"):
        stages_of(tmp_path)
    for name, step in (("pretrain", 40), ("finetune", 12)):
        folder = tmp_path / "run" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("batch_size: 8\nlearning_rate: 0.001\nseed: 5\ndataset: somewhere\n")
        (folder / "log.jsonl").write_text('{"step": 10}\n' + json.dumps({"step": step}) + "\n")
    (tmp_path / "run" / "seconds.json").write_text('{"pretrain": 60.0}')
    stages = stages_of(tmp_path / "run")
    assert [(one["stage"], one["steps"], one["seconds"]) for one in stages] == [
        ("pretrain", 40, 60.0),
        ("finetune", 12, None),
    ]
    alone = tmp_path / "run" / "finetune"
    rates = [(10, 4.0), (20, 5.0), (30, 1.0), (20, 5.0), (30, 8.0)]  # stopped after 30, and gone on after 10
    lines = [json.dumps({"step": step, "pairs_per_s": rate}) for step, rate in rates]
    (alone / "log.jsonl").write_text("\n".join([*lines, '{"step": 30, "pairs_per_s": 8.0}']) + "\n")
    assert stages_of(alone)[0]["seconds"] == 10 * 8 / 4 + 10 * 8 / 5 + 10 * 8 / 8


def test_the_model_that_comes_along_is_small_and_its_page_is_its_card() -> None:
    folder = ROOT / "knowlip" / "models" / SHIPPED
    if not folder.is_dir():
        pytest.skip("this source tree holds no model")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MOST_BYTES
    assert load_model(folder).card.get("origin")
    page = (ROOT / "docs" / "model-card.md").read_text()
    assert page_text(page, (folder / "README.md").read_text()) == page
