"""The ablation as a whole with a tiny model, and its figures against sums by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowlip.base.files import read_json
from knowlip.benchmark import ablation as module
from knowlip.benchmark.ablation import AblationConfig, _lengths, ablation, dataset_with
from knowlip.benchmark.ablation_table import ARMS, print_arms, summary
from knowlip.dataset import Dataset
from knowlip.scio.passes import ScioConfig, stages
from knowlip.tasks.pretrain import PretrainConfig
from knowlip.training.resume import read_log
from tests.benchmark.numbered import build

TINY = [
    "pretrain.model.vision.image_size=12",
    "pretrain.model.vision.changes.patch_size=6",
    "pretrain.model.vision.changes.embed_dim=16",
    "pretrain.model.vision.changes.depth=1",
    "pretrain.model.vision.changes.num_heads=2",
    "pretrain.model.text.width=16",
    "pretrain.model.text.layers=1",
    "pretrain.model.text.heads=2",
    "pretrain.model.text.mlp_width=16",
    "pretrain.model.embed_dim=8",
    "pretrain.batch_size=8",
    "pretrain.stage_steps=[2,1,1]",
    "pretrain.warmup_steps=1",
    "pretrain.scio.calibration_tiles=12",
    "pretrain.scio.max_new_tokens=4",
    "pretrain.loggers=[]",
    "finetune.steps=2",
    "finetune.batch_size=4",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("data") / "ds", revisions=False).path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_all_arms_are_trained_measured_and_not_trained_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(source)
    config = AblationConfig(source, tmp_path / "out", seeds=1, set=TINY)
    config.arms = ["templates", "reconstructed"]
    found = ablation(config)
    assert list(found["arms"]) == ["templates", "reconstructed"]
    assert found["arms"]["templates"]["count"]["n"] > 0
    assert found["differences"]["reconstructed"]["mean"]["than"] == "templates"
    assert contents(source) == before
    assert Dataset(tmp_path / "out" / "datasets" / "annotator").revisions()[:2] == [0, 1]
    assert Dataset(tmp_path / "out" / "datasets" / "templates").texts(0)["annotator"].unique().tolist() == ["labels"]
    assert "paper: SARLANG" in print_arms(found)

    def never(*_: Any) -> None:
        raise AssertionError("it was measured already")

    monkeypatch.setattr(module, "_one", never)
    assert ablation(config) == found
    config.question_seed = 1
    with pytest.raises(ValueError, match="question_seed"):
        ablation(config)


def test_what_arms_share_is_trained_once_and_gives_the_same(source: Path, tmp_path: Path) -> None:
    """With noise that is known, and a threshold that flags much, so that revisions differ."""
    some = [*TINY, "pretrain.scio.evidence=deltas", "pretrain.scio.threshold=0.0"]
    shared = AblationConfig(source, tmp_path / "shared", seeds=1, set=some, wrong=1.5)
    shared.arms = ["annotator", "screened", "reconstructed"]
    alone = AblationConfig(source, tmp_path / "alone", seeds=1, set=some, wrong=1.5)
    alone.arms = ["reconstructed"]
    found = [ablation(config)["arms"]["reconstructed"]["mean"]["seeds"] for config in (shared, alone)]
    runs = [folder / "reconstructed" / "seed0" / "pretrain" for folder in (shared.out, alone.out)]
    assert not (runs[1] / "checkpoint-3.pt").exists()
    assert (shared.out / "screened" / "seed0" / "pretrain" / "checkpoint-3.pt").exists()
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert found[0] == found[1]
    assert [line["step"] for line in read_log(runs[0] / "log.jsonl")] == [4]
    texts = Dataset(shared.out / "datasets" / "annotator")
    changed = (texts.texts(0)["text"] != Dataset(source).texts(0)["text"]).sum()
    wrong = read_json(texts.path / "wrong.json")
    assert changed == len(wrong) > len(texts.tiles("train"))
    assert {one["tile_id"] for one in wrong} <= set(texts.tiles("train")["tile_id"])
    with pytest.raises(ValueError, match="at most 4"):
        ablation(AblationConfig(source, tmp_path / "more", wrong=5))


@pytest.mark.parametrize("iterations", [1, 2])
def test_all_arms_take_as_many_steps(iterations: int) -> None:
    passes = {}
    for arm, row in ARMS.items():
        scio = ScioConfig(iterations=iterations)
        config = PretrainConfig(dataset=Path("d"), out=Path("o"), stage_steps=(30, 6, 4), scio=scio)
        config = _lengths(config, row.stages)
        assert config.stage_steps is not None
        found = stages(config.stage_steps, config.scio.iterations)
        assert found[-1].end == 30 + iterations * 10
        starts = [0, *(stage.end for stage in found)]
        passes[arm] = [stage.action for stage, start in zip(found, starts) if start < found[-1].end]
    assert passes["templates"] == passes["annotator"] == ["train"]
    assert passes["screened"] == ["train", "screen"]
    assert passes["reconstructed"] == ["train", *["screen", "reconstruct"] * iterations]


def result(right: list[int], blind: float = 0.3) -> dict[str, Any]:
    return {
        "right": {"count": right, "position": [1] * len(right)},
        "clusters": {kind: [f"b{n % 10}" for n in range(len(right))] for kind in ("count", "position")},
        "floors": {"count": [blind, "blind, by subject"]},
        "texts": {"before": 0.9, "after": 0.95},
    }


def test_means_intervals_and_differences() -> None:
    few, many = [1, 0, 0, 0] * 5, [1, 1, 0, 0] * 5
    found = summary({"screened": [result(many), result(many)], "annotator": [result(few), result(many)]})
    assert list(found["arms"]) == ["annotator", "screened"]
    count = found["arms"]["annotator"]["count"]
    assert count["accuracy"] == pytest.approx(0.375)
    half = 12.706 * np.std([0.25, 0.5], ddof=1) / np.sqrt(2)
    assert count["ci_seeds"] == pytest.approx([0.375 - half, 0.375 + half], abs=1e-3)
    assert count["paper"] == 92.83
    assert count["ci_places"][0] < 0.375 < count["ci_places"][1]
    assert found["arms"]["annotator"]["mean"]["accuracy"] == pytest.approx((0.375 + 1) / 2)
    difference = found["differences"]["screened"]["count"]
    assert (difference["than"], difference["seeds"]) == ("annotator", [0.25, 0.0])
    low, high = difference["ci_places"]
    assert low <= 0.125 <= high
    single = summary({"annotator": [result(few)]})["arms"]["annotator"]["count"]
    assert single["ci_seeds"] is None
    assert found["floors"] == {"count": [0.3, "blind, by subject"]}
    assert "95.0" in print_arms(found | {"seeds": 2})


def test_what_cannot_be_run_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no arm 'best'"):
        ablation(AblationConfig(source, tmp_path / "out", arms=["best"]))
    blind = build(tmp_path / "blind", truth=False)
    with pytest.raises(ValueError, match="has no truth"):
        ablation(AblationConfig(blind.path, tmp_path / "out"))
    info = dataset_with(source, "annotator", tmp_path / "copy") / "dataset.json"
    info.write_text(info.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    with pytest.raises(ValueError, match="copy of another data set"):
        dataset_with(source, "annotator", tmp_path / "copy")
