"""The ablation as a whole with a tiny model: arms share what they can, nothing is trained twice, the gate holds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe, with_changes
from knowlip.benchmark import ablation as module
from knowlip.benchmark.ablation import AblationConfig, ablation
from knowlip.benchmark.ablation_arms import Arm, all_arms, training_of, waves
from knowlip.benchmark.ablation_table import print_arms
from knowlip.benchmark.copies import copy_dataset, dataset_with, with_revision_0
from knowlip.dataset import Dataset
from knowlip.scio.passes import ScioConfig, stages
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.training.loop import Loop
from knowlip.training.resume import read_log
from tests.benchmark.numbered import build

TINY = [
    "pretrain.model.vision.image_size=16",
    "pretrain.model.vision.stem=8",
    "pretrain.model.vision.changes.patch_size=1",
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
    "finetune.steps=2",
    "finetune.batch_size=4",
]


TOTAL, FINETUNE = 4, 2
LOOPS = ["oracle-screening", "oracle-texts", "paper", "ours"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("data") / "ds", revisions=False).path


def settings(source: Path, out: Path, **more: Any) -> AblationConfig:
    few = {"set": TINY, "seeds": 1, "wrong": [0.0, 0.5], "repairs": ["wrong-50"], "regardless": True, "nice": 0}
    limits = {"written_tiles": 4, "finetune_tiles": 6, "questions_per_type": 10}
    return AblationConfig(source, out, **{**few, **limits, **more})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Counted:
    """Counts the steps of all trainings, and stops one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps, self.stop_at = 0, -1
        step = Loop._train_step

        def counted(loop: Loop, parts: Any) -> Any:
            if self.steps == self.stop_at:
                self.stop_at = -1
                raise KeyboardInterrupt
            self.steps += 1
            return step(loop, parts)

        monkeypatch.setattr(Loop, "_train_step", counted)


def test_all_arms_are_trained_once_and_measured(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, counted = contents(source), Counted(monkeypatch)
    names = [f"wrong-50+{loop}" for loop in LOOPS]
    config = settings(source, tmp_path / "out", arms=["annotator", "templates", *names])
    counted.stop_at = 8  # in the second pre-training, behind a checkpoint: the command goes on there
    with pytest.raises(KeyboardInterrupt):
        ablation(config)
    found = ablation(config)
    first, screened, rewritten = 2, 1, 1
    shared = 4 * (TOTAL + FINETUNE) + 3 * (screened + rewritten) + (screened + rewritten) + rewritten + 5 * FINETUNE
    assert first + screened + rewritten == TOTAL
    assert counted.steps == shared
    assert list(found["arms"]) == [
        "wrong-0",
        "wrong-50",
        "annotator",
        "templates",
        *names[:3],
        "wrong-50+screened",
        names[3],
    ]
    assert contents(source) == before
    texts = {arm: row["texts"][0] for arm, row in found["arms"].items()}
    assert texts["wrong-0"]["after"] > max(texts[arm]["after"] for arm in ("annotator", "wrong-50"))
    assert texts["wrong-50+oracle-screening"]["after_without_screened"] == 1.0
    assert texts["wrong-50+oracle-texts"]["after"] > 0.9
    assert texts["wrong-50+oracle-texts"]["before"] == texts["wrong-50"]["before"]
    assert found["arms"]["wrong-0"]["chosen"]["all"]["n"] > 50
    assert "blind" in found["arms"]["wrong-0"]["written"]["all"]
    assert found["command"].startswith("knowlip ablation DATASET --out DIR --set ")
    assert str(tmp_path) not in found["command"]
    assert not found["power"]["chosen"]["shown"]
    assert "NO POWER" in print_arms(found)
    assert "chosen" not in found["differences"]["wrong-50+ours"]
    assert ablation(config) == found
    assert counted.steps == shared
    with pytest.raises(ValueError, match="question_seed"):
        ablation(settings(source, tmp_path / "out", question_seed=1))
    # From a start with a vocabulary of its own, which the arms that go on from others keep, and which their cards tell.
    start = tmp_path / "start"
    shutil.copytree(tmp_path / "out" / "wrong-0" / "seed0" / "pretrain" / "model", start)
    told = read_json(start / "knowlip.json")
    told["card"] |= {"dataset_fingerprint": "0" * 64}
    write_json(start / "knowlip.json", told)
    changes = [*TINY, f"pretrain.init.model={start}", "pretrain.vocab_size=60"]
    arms = ["wrong-50+oracle-texts", "wrong-50+ours"]
    ablation(settings(source, tmp_path / "started", set=changes, arms=arms, finetune_tiles=0, written_tiles=0))
    for arm in arms:
        made = read_json(tmp_path / "started" / arm / "seed0" / "pretrain" / "model" / "knowlip.json")
        assert made["tokenizer"] == told["tokenizer"]
        assert made["card"]["other_sets"] == ["0" * 64]


def test_what_arms_share_gives_what_each_gives_alone(source: Path, tmp_path: Path) -> None:
    """With a threshold that flags much, so that revisions differ."""
    some = [*TINY, "pretrain.scio.evidence=deltas", "pretrain.scio.threshold=0.0"]
    config = settings(source, tmp_path / "out", set=some, arms=["wrong-50+ours"], finetune_tiles=0, written_tiles=0)
    ablation(config)
    run = config.out / "wrong-50+ours" / "seed0" / "pretrain"
    assert [line["step"] for line in read_log(run / "log.jsonl")] == [TOTAL]
    data = copy_dataset(config.out / "datasets" / "wrong-50", tmp_path / "alone" / "ds")
    recipe = with_changes(load_recipe("tiny"), some)["pretrain"]
    places = {
        "dataset": str(data),
        "out": str(tmp_path / "alone" / "pretrain"),
        "vocabulary": str(config.out / "vocab.txt"),
    }
    alone = stage_config(PretrainConfig, {**recipe, "loggers": [], "look_every": 0, **places})
    pretrain(training_of(Arm("wrong-50", "ours"), alone, []))
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (run, alone.out)]
    assert weights[0] == weights[1]
    revisions = [Dataset(path).texts() for path in (run.parent / "dataset", data)]
    assert (revisions[0]["text"] == revisions[1]["text"]).all()
    assert (revisions[0]["decision"] == revisions[1]["decision"]).all()


def test_without_power_only_the_ceilings_are_trained(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def instead(config: Any, texts: Any, arm: Arm, seed: int, folder: Path) -> dict[str, Any]:
        done.append(arm.name)
        right = {"marine Count": [int(arm.name == "wrong-0" and good)] * 10}
        outcome = {"right": right, "blind": right, "clusters": {"marine Count": [f"b{n}" for n in range(10)]}}
        return {"chosen": outcome, "texts": {}, "decisions": None, "steps": 1, "seconds": 1.0}

    monkeypatch.setattr(module, "_one", instead)
    good = False
    found = ablation(settings(source, tmp_path / "none", seeds=3, regardless=False))
    assert set(done) == {"wrong-0", "wrong-50"}
    assert (len(done), list(found["arms"])) == (6, ["wrong-0", "wrong-50"])
    good = True
    found = ablation(settings(source, tmp_path / "some", seeds=3, regardless=False))
    assert found["power"]["chosen"]["shown"]
    assert "wrong-50+paper" in found["differences"]
    assert read_json(tmp_path / "some" / "ablation.json") == found


def test_one_folder_holds_arms_of_one_thing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def instead(config: Any, texts: Any, arm: Arm, seed: int, folder: Path) -> dict[str, Any]:
        if arm.name == "wrong-50":
            with pytest.raises(ValueError, match="Another process trains the arms"):
                ablation(config)
        outcome = {"right": {"marine Count": [1, 0]}, "clusters": {"marine Count": ["a", "b"]}}
        made = {"texts": {}, "decisions": None, "steps": 1, "seconds": 1.0, "commit": arm.name}
        return {"chosen": {**outcome, "blind": outcome["right"]}, **made}

    monkeypatch.setattr(module, "_one", instead)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text("pretrain: {stage_steps: [2, 1, 1]}\n")
    copy = dataset_with(source, "annotator", tmp_path / "copy")
    config = settings(copy, out, recipe=str(recipe), set=[], arms=["wrong-0"])
    found = ablation(config)
    assert found["commits"] == ["wrong-0", "wrong-50"]
    assert "2 versions of the code" in print_arms(found)
    assert "that calibrates SCIO" in print_arms(found | {"generator": "injected"})
    # The same names, and something else in them.
    recipe.write_text("pretrain: {stage_steps: [2, 1, 1], learning_rate: 0.1}\n")
    with pytest.raises(ValueError, match="another recipe"):
        ablation(config)
    recipe.write_text("pretrain: {stage_steps: [2, 1, 1]}\n")
    ablation(config)
    other = build(tmp_path / "other", revisions=False, uneven=True).path
    with pytest.raises(ValueError, match="another dataset_fingerprint"):
        ablation(settings(other, out, recipe=str(recipe), set=[], arms=["wrong-0"]))
    data = Dataset(copy)
    texts = data.texts(0)
    texts.loc[0, "text"] = "no ships"
    with_revision_0(data, texts, {})
    with pytest.raises(ValueError, match=r"another texts\.parquet"):
        ablation(config)


def test_all_arms_may_start_from_a_model_that_has_not_seen_what_is_asked(source: Path, tmp_path: Path) -> None:
    few = {"arms": ["wrong-0"], "written_tiles": 0, "finetune_tiles": 0}
    ablation(settings(source, tmp_path / "first", **few))
    model = tmp_path / "first" / "wrong-0" / "seed0" / "pretrain" / "model"
    start = [*TINY, f"pretrain.init.model={model}"]
    found = ablation(settings(source, tmp_path / "second", set=start, **few))
    assert set(found["arms"]) == {"wrong-0", "wrong-50"}
    assert not (tmp_path / "second" / "vocab.txt").exists()
    used = tmp_path / "second" / "wrong-50" / "seed0" / "pretrain"
    assert (used / "tokenizer.json").read_text() == (
        tmp_path / "first" / "wrong-0/seed0/pretrain/tokenizer.json"
    ).read_text()
    card = model / "knowlip.json"
    block = str(Dataset(source).tiles("test")["block"].iloc[0])
    known = json.loads(card.read_text())
    known["card"]["train_blocks"].append(block)
    card.write_text(json.dumps(known))
    with pytest.raises(ValueError, match="were part of the training"):
        ablation(settings(source, tmp_path / "third", set=start, **few))


def test_arms_wait_for_what_they_go_on_from() -> None:
    arms = [Arm("annotator", "ours"), Arm("wrong-25"), Arm("annotator", "oracle-texts")]
    parts = waves(arms, ["wrong-0", "wrong-50"])
    assert [[arm.name for arm in part] for part in parts] == [
        ["wrong-0", "wrong-50"],
        ["wrong-25", "annotator"],
        ["annotator+oracle-texts", "annotator+screened"],
        ["annotator+ours"],
    ]


@pytest.mark.parametrize("iterations", [1, 2])
def test_all_arms_take_as_many_steps(iterations: int) -> None:
    recipe = PretrainConfig(
        dataset=Path("d"), out=Path("o"), stage_steps=(30, 6, 4), scio=ScioConfig(iterations=iterations, precision=0.3)
    )
    passes = {}
    for arm in all_arms([0.0, 0.5], ["annotator"]):
        config = training_of(arm, recipe, ["annotator"])
        assert config.stage_steps is not None
        found = stages(config.stage_steps, config.scio.iterations)
        assert found[-1].end == 30 + iterations * 10
        starts = [0, *(stage.end for stage in found)]
        passes[arm.name] = [stage.action for stage, start in zip(found, starts) if start < found[-1].end]
        assert (config.scio.method == "paper") is (arm.loop == "paper")
    alone = {"wrong-0", "wrong-50", "annotator", "templates", "annotator+oracle-screening", "annotator+oracle-texts"}
    assert all(passes[name] == ["train"] for name in alone)
    assert passes["annotator+screened"] == ["train", "screen"]
    whole = ["train", *["screen", "reconstruct"] * iterations]
    assert passes["annotator+ours"] == passes["annotator+paper"] == whole


def test_what_cannot_be_run_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no arm 'best'"):
        AblationConfig(source, tmp_path / "out", arms=["best"])
    with pytest.raises(ValueError, match="No loop can repair the texts 'templates'"):
        AblationConfig(source, tmp_path / "out", repairs=["templates"])
    for wrong in ([0.5], [0.1, 0.5], [0.0, 0.5, 0.2], [0.0, 0.001, 0.5], [0.0, float("nan")]):
        with pytest.raises(ValueError, match="wrong must"):
            AblationConfig(source, tmp_path / "out", wrong=wrong)
    with pytest.raises(ValueError, match="lengths of all three stages"):
        ablation(AblationConfig(source, tmp_path / "out", recipe="base"))
    blind = build(tmp_path / "blind", truth=False)
    with pytest.raises(ValueError, match="has no truth"):
        ablation(AblationConfig(blind.path, tmp_path / "out"))
    info = dataset_with(source, "annotator", tmp_path / "copy") / "dataset.json"
    info.write_text(info.read_text().replace(Dataset(source).fingerprint, "0" * 64))
    with pytest.raises(ValueError, match="copy of another data set"):
        dataset_with(source, "annotator", tmp_path / "copy")
