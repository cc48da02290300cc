"""A pre-training run that starts from foreign weights: told, kept, and not read again when it goes on."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from knowlip.language.closed import CLOSED
from knowlip.models import load_model
from knowlip.models.weights import InitConfig
from knowlip.scio.scorer_model import scoring_model
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from tests.training.runs import annotated_dataset, tiny


def config(folder: Path, learning_rate: float) -> PretrainConfig:
    init = InitConfig(vision=str(folder / "vit.pth"))
    changes = {"learning_rate": learning_rate, "min_learning_rate": learning_rate, "warmup_steps": 0, "init": init}
    return tiny(folder / "data", folder / f"run-{learning_rate}", stage_steps=(2, 0, 0), **changes)


def test_a_run_starts_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotated_dataset(tmp_path / "data")
    sizes = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    tower: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, **sizes)
    torch.save({"model": tower.state_dict()}, tmp_path / "vit.pth")
    pretrain(config(tmp_path, 0.0))
    run = tmp_path / "run-0.0"
    report = json.loads((run / "weights.json").read_text())["vision"]
    assert report["layout"] == "DeiT or MAE"
    assert report["new"] == {}
    assert "DeiT or MAE weights of" in capsys.readouterr().err
    kept = load_file(run / "model" / "model.safetensors")  # at a learning rate of 0 the run ends where it began
    assert torch.equal(kept["visual_encoder.blocks.1.attn.qkv.weight"], tower.state_dict()["blocks.1.attn.qkv.weight"])
    (tmp_path / "vit.pth").unlink()
    assert pretrain(config(tmp_path, 0.0))["steps"] == 2
    shutil.rmtree(run)
    with pytest.raises(ValueError, match=r"vit\.pth does not exist"):
        pretrain(config(tmp_path, 0.0))
    assert not (run / "config.yaml").exists()


def test_a_run_starts_from_a_model_of_an_earlier_one(tmp_path: Path) -> None:
    """Words and weights are the earlier model's, and its places count as seen."""
    annotated_dataset(tmp_path / "data")
    still = {"learning_rate": 0.0, "min_learning_rate": 0.0, "warmup_steps": 0, "stage_steps": (2, 0, 0)}
    pretrain(tiny(tmp_path / "data", tmp_path / "first", **still))
    folder = tmp_path / "first" / "model"
    document = json.loads((folder / "knowlip.json").read_text())
    document["card"] |= {"train_blocks": ["elsewhere"], "metres_per_pixel": [0.25, 512.0], "sensors": ["other"]}
    (folder / "knowlip.json").write_text(json.dumps(document))
    init = InitConfig(model=str(folder))
    pretrain(tiny(tmp_path / "data", tmp_path / "second", seed=5, init=init, vocab_size=10, **still))
    second, first = load_model(tmp_path / "second" / "model"), load_model(folder)
    assert second.tokenizer.to_json() == first.tokenizer.to_json()
    kept = second.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in first.state_dict().items())
    assert second.card["train_blocks"] == ["b0", "elsewhere"]
    assert second.card["metres_per_pixel"] == [0.25, 512.0]
    assert "other" in second.card["sensors"]
    assert second.card["weights"]["model"]["source"] == "model"
    shutil.rmtree(folder)  # a run that has begun needs its start no more
    assert (
        pretrain(tiny(tmp_path / "data", tmp_path / "second", seed=5, init=init, vocab_size=10, **still))["steps"] == 2
    )


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    annotated_dataset(tmp_path / "data")
    pretrain(tiny(tmp_path / "data", tmp_path / "first", stage_steps=(1, 0, 0)))
    start = str(tmp_path / "first" / "model")
    wider = tiny(tmp_path / "data", tmp_path / "run", init=InitConfig(model=start))
    wider.model.embed_dim += 2
    with pytest.raises(ValueError, match=r"other sizes: its model\.embed_dim is \d+, not \d+; set model"):
        pretrain(wider)
    with pytest.raises(ValueError, match="leave out `vocabulary`"):
        tiny(tmp_path / "data", tmp_path / "run", init=InitConfig(model=start), vocabulary=tmp_path / "vocab.txt")
    with pytest.raises(ValueError, match=r"leave out init\.vision"):
        pretrain(tiny(tmp_path / "data", tmp_path / "run", init=InitConfig(model=start, vision="timm")))
    with pytest.raises(ValueError, match="no such folder"):
        pretrain(tiny(tmp_path / "data", tmp_path / "run", init=InitConfig(model=str(tmp_path / "none"))))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_card_tells_what_nothing_has_taught(tmp_path: Path) -> None:
    """Of the readout's closed questions; a start of former versions knows fewer, and what it knew it still does."""
    annotated_dataset(tmp_path / "data")
    still = {"learning_rate": 0.0, "min_learning_rate": 0.0, "warmup_steps": 0, "stage_steps": (2, 0, 0)}

    def run(name: str, ground: float, questions: int = 0, start: str = "") -> list[str]:
        config = tiny(tmp_path / "data", tmp_path / name, init=InitConfig(model=start), **still)
        config.model.readout, config.model.readout_questions = True, questions or len(CLOSED)
        config.objectives.ground = ground
        pretrain(config)
        return load_model(tmp_path / name / "model").card["untaught"]

    first = run("first", 1.0, 20)
    assert "count" not in first
    holds = [question.name for question in CLOSED[20:]]
    assert run("grown", 0.0, start=str(tmp_path / "first" / "model")) == [*first, *holds]
    assert set(run("all", 1.0)) <= {*first, *holds}
    # A run of a former version, whose settings do not tell the number, is scored as it is.
    settings = tmp_path / "first" / "config.yaml"
    settings.write_text(settings.read_text().replace("  readout_questions: 20\n", ""))
    assert scoring_model(tmp_path / "first", "cpu").config.readout_questions == 20
    assert run("first", 1.0, 20) == first, "and goes on"
    with pytest.raises(ValueError, match=r"made with model\.readout_questions = 20, now it is 26"):
        run("first", 1.0)
