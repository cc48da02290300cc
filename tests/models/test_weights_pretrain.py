"""A pre-training run that starts from foreign weights: told, kept, and not read again when it goes on."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from knowlip.models.weights import InitConfig
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
