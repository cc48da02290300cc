"""Tiny pre-training runs, in this process or in several, and what they leave behind."""

import faulthandler
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.jobs.launch import _free_port
from knowlip.models import ModelConfig, TextConfig, VisionConfig
from knowlip.scio.passes import ScioConfig
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.training.losses import ObjectiveConfig
from tests.annotators.tiny_dataset import build_tiny_dataset

PRELOADED = [
    "knowlip.tasks.pretrain",
    "knowlip.tasks.vqa",
    "knowlip.scio.commands",
    "knowlip.annotators.measured",
    "knowlip.tiles.build",
    "knowlip.simulator.radar",
    "knowlip.simulator.output",
    "tests.jobs.mortal",
]
LOSSES = ("step", "stage", "itc", "itm", "infill", "loss", "lr", "tau", "gradient_norm", "revision")


def annotated_dataset(folder: Path) -> Path:
    """21 tiles with texts."""
    build_tiny_dataset(folder)
    annotate(AnnotateConfig(folder, workers=1))
    return folder


@pytest.fixture(scope="session")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotated_dataset(tmp_path_factory.mktemp("data") / "dataset")


@pytest.fixture
def dataset(annotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "dataset"))


def tiny(dataset: Path, out: Path, **changes: object) -> PretrainConfig:
    """24 steps of 8 pairs, all three stages, a model of two layers."""
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2})
    text = TextConfig(width=32, layers=1, heads=2, mlp_width=64, max_length=160, dropout=0.1)
    settings = {
        "model": ModelConfig(vision, text, embed_dim=16),
        "stage_steps": (12, 6, 6),
        "batch_size": 8,
        "objectives": ObjectiveConfig(itm_share=0.5, infill_share=0.5, queue=20, momentum=0.9),
        "scio": ScioConfig(evidence="deltas", threshold=0.0, calibration_tiles=8, max_new_tokens=12, tiles_at_once=8),
        "learning_rate": 2e-3,
        "decay": "cosine",
        "log_every": 1,
        "checkpoint_every": 5,
        "look_every": 0,
        "view_drop": 0.2,
        "accelerator": "cpu",
    }
    config = PretrainConfig(dataset=dataset, out=out, **{**settings, **changes})  # type: ignore[arg-type]
    if "warmup_steps" not in changes and config.stage_steps is not None:
        config.warmup_steps = min(4, sum(config.stage_steps) // 2)
    return config


def comparable(dataset: Path, out: Path, **changes: object) -> PretrainConfig:
    """The same without what depends on the number of processes: dropout, and negatives of one process alone."""
    config = tiny(dataset, out, **changes)
    config.model.text.dropout = 0.0
    config.objectives.itm_negatives = "all"
    return config


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in LOSSES} for line in lines]


def start(config: PretrainConfig, world: int = 1) -> list[BaseProcess]:
    """Start a training in clean processes."""
    return start_processes(pretrain, world, config)


def train(config: PretrainConfig, world: int = 1) -> list[int | None]:
    """Train in clean processes; their exit codes."""
    return run_processes(pretrain, world, config)


def run_processes(function: Callable[..., Any], world: int, *arguments: Any) -> list[int | None]:
    """Call a function in clean processes; their exit codes."""
    processes = start_processes(function, world, *arguments)
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def start_processes(function: Callable[..., Any], world: int, *arguments: Any) -> list[BaseProcess]:
    """Call a function in processes that find each other as those of torchrun do (forks of a server that has imported
    what they do: importing torch takes seconds)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    settings = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    processes: list[BaseProcess] = []
    for rank in range(world):
        environment = {**settings, "RANK": rank, "LOCAL_RANK": rank} if world > 1 else {}
        named = {name: str(value) for name, value in environment.items()}
        process = context.Process(target=_call, args=(named, function, arguments))
        process.start()
        processes.append(process)
    return processes


def _call(environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    faulthandler.enable()
    os.environ |= environment
    function(*arguments)
