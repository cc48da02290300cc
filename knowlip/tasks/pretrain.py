"""Pre-training in three SCIO stages: its settings and its entry; the loop is in :mod:`knowlip.training.loop`.

Stage 1 trains on all texts. Before stage 2, screening marks noisy sub-texts, which leave the infilling targets. Before
stage 3 they are written anew, and what is accepted becomes the text to train on. One learning-rate curve spans all
stages. Every decision and every new text is a revision of the data set.

A killed run goes on from its last checkpoint and ends with the same losses: all chance of a step comes from (seed,
step, row).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowlip.base.files import sha256, write_json
from knowlip.base.provenance import provenance
from knowlip.base.settings import plain, same_or_refuse, without
from knowlip.dataset import Dataset
from knowlip.jobs.launch import launch
from knowlip.models import ModelConfig
from knowlip.models.weights import InitConfig
from knowlip.scio.passes import ScioConfig
from knowlip.tasks.pretrain_step import ObjectiveConfig
from knowlip.training.augment import AugmentConfig
from knowlip.training.batches import DataConfig
from knowlip.training.corpus import Corpus
from knowlip.training.engine import FREE_ENGINE, Engine, EngineConfig, check_engine, processes
from knowlip.training.holes import HoleConfig
from knowlip.training.loggers import LoggerName, check_loggers
from knowlip.training.loop import Run
from knowlip.training.schedule import Decay


@dataclass
class PretrainConfig(EngineConfig):
    """Everything that decides the result of a pre-training run."""

    dataset: Path
    """An annotated data set."""
    out: Path
    """Run folder: config, log, checkpoint, TensorBoard, final model."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes. `text.vocab_size` is set from the tokenizer."""
    init: InitConfig = field(default_factory=InitConfig)
    """Weights of other projects to start from."""
    vocabulary: Path | None = None
    """`vocab.txt` of an uncased BERT; without it a small WordPiece vocabulary is trained on the data set's own
    texts."""
    vocab_size: int = 3000
    """Largest size of the trained vocabulary."""
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    holes: HoleConfig = field(default_factory=HoleConfig)
    scio: ScioConfig = field(default_factory=ScioConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stage_epochs: tuple[int, int, int] = (12, 12, 12)
    """Epochs on all texts, on screened texts, on reconstructed texts."""
    stage_steps: tuple[int, int, int] | None = None
    """The same in steps, instead of epochs: bounds the time whatever the size of the data set."""
    batch_size: int = 32
    """Pairs a step of the optimiser, of all processes together."""
    learning_rate: float = 3e-4
    min_learning_rate: float = 1e-6
    warmup_steps: int = 3000
    decay: Decay = "paper"
    weight_decay: float = 0.05
    """Not on temperature, biases and norms."""
    view_drop: float = 0.0
    """Probability of leaving each sub-text out of a pair's text in ITC and ITM; makes SCIO's shortened texts
    familiar."""
    seed: int = 0
    log_every: int = 10
    """Steps between log lines. Losses that are not finite are noticed, and SIGTERM is obeyed by several processes, at
    log lines and checkpoints."""
    checkpoint_every: int = 200
    """Steps between checkpoints; stages end with one too."""
    keep_steps: tuple[int, ...] = ()
    """Steps whose checkpoints are kept besides the last, as RUN/checkpoint-STEP.pt. Copied to the `checkpoint.pt` of an
    empty folder, one is where a run with other later stages begins."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Where curves go besides RUN/log.jsonl: tensorboard, wandb, mlflow."""


FREE = (
    *FREE_ENGINE, "log_every", "checkpoint_every", "keep_steps", "loggers", "dataset", "out",
    "data.pixels", "data.workers", "data.prefetch", "data.pin",
)  # fmt: skip
"""Fields that may differ between a run and its continuation."""


def pretrain(config: PretrainConfig, sentences: Sequence[str] = ()) -> dict[str, Any]:
    """Train, resume, or (when the run is finished) report.

    Args:
        config: settings.
        sentences: more text for a trained vocabulary to cover, e.g. the questions that the model will be asked later.

    Returns:
        Steps, revision, last losses, seconds, pairs a second, path of the model, screening on planted noise.

    Raises:
        ValueError: data set missing or not annotated, another config in `out`, loss not finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    _check(config)
    return launch(_train, processes(config), config, tuple(sentences))


def _train(config: PretrainConfig, sentences: Sequence[str]) -> dict[str, Any]:
    """What every process does."""
    objectives = config.objectives
    weights = (objectives.itc, objectives.itm, objectives.infill)
    engine = Engine(config, unused=not all(weights) or objectives.generation != "infill")
    with engine.first_alone():
        dataset = Dataset(config.dataset)
        corpus = Corpus.open(dataset, config, sentences)
        corpus.drop_noise = config.scio.noise == "all"
    decisive = without(plain(config), FREE)
    run_id = sha256(json.dumps([decisive, dataset.fingerprint, corpus.text_key], sort_keys=True).encode())[:8]
    run = Run(config, engine, dataset, corpus, f"{config.out.name}-{run_id}")
    with engine.first_alone():  # after all that could fail: settings that cannot work are not saved
        same_or_refuse(config.out / "config.yaml", config, FREE)
        if engine.first:
            write_json(config.out / "provenance.json", provenance() | {"dataset_fingerprint": dataset.fingerprint})
            run.tell_weights()
    run.resume()
    return run.train()


def _check(config: PretrainConfig) -> None:
    if config.batch_size < 2:
        raise ValueError("batch_size must be at least 2: contrast and matching need another pair.")
    check_engine(config, config.batch_size, smallest=2)
    check_loggers(config.loggers)
    config.scio.check()
    if config.log_every < 1 or config.checkpoint_every < 1:
        raise ValueError("log_every and checkpoint_every must be at least 1.")
    lengths = config.stage_steps or config.stage_epochs
    if sum(lengths) < 1 or min(lengths) < 0:
        raise ValueError("stage_epochs (or stage_steps) must be three numbers >= 0 that are not all 0.")
    if lengths[0] < 1 and (lengths[1] or lengths[2]):
        raise ValueError("Stage 1 needs at least one step: screening needs a trained model.")
