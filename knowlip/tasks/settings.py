"""Settings of the tasks, without what trains: help and recipes load no PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from knowlip.models.config import ModelConfig
from knowlip.models.settings import InitConfig
from knowlip.scio.config import ScioConfig
from knowlip.tasks.protocols import Protocol, check_protocol
from knowlip.training.balance import check_balance
from knowlip.training.schedule import Decay
from knowlip.training.settings import AugmentConfig, DataConfig, HoleConfig, ObjectiveConfig, TrainingConfig


@dataclass(frozen=True)
class MeasureLimits:
    """How much is measured; every choice is random with a fixed seed."""

    tiles: int = 0
    """At most this many test tiles; 0 = all."""
    rerank_queries: int = 96
    """Retrieval queries a direction that image-text matching re-ranks; 0 = none."""
    questions_per_type: int = 200
    """Questions of each of the six types."""
    captions: int = 120
    """Images that get a caption, of each instruction set alike; 0 = none."""
    max_new_tokens: int = 192
    """Longest caption in tokens."""
    looking_tiles: int = 180
    """Tiles whose words are asked with the right image and another; 0 = none."""
    examples: int = 6
    """Examples of each kind that are kept for the report; of each question type, two thirds of that."""

    def __post_init__(self) -> None:
        # Below 0 they would leave out so many from the end of a random order.
        if low := [name for name, value in vars(self).items() if value < (name == "max_new_tokens")]:
            raise ValueError(f"limits.{low[0]} must not be below {int(low[0] == 'max_new_tokens')}.")


@dataclass(kw_only=True)
class MeasuredConfig(TrainingConfig):
    """Settings of every training that ends in a measurement: on what, with what, and what is kept aside."""

    dataset: Path
    """Data set with annotations (imported, or built from scenes with truth)."""
    encoder: str
    """Name of the encoder, see docs/encoders.md."""
    size: int | None = None
    """Side of the encoder's input in pixels, where it should not be its own."""
    protocol: Protocol = "own"
    """own: the set's split; random: parts at random, copies stand on both sides; groups: near copies on one side."""
    split: str = "test"
    """With protocol own: which tiles are measured; those of the split train are learned from."""
    fold: int = 0
    """With protocol random or groups: which part is measured, from 0; the others are learned from."""
    folds: int = 5
    """With protocol random or groups: how many parts."""
    split_seed: int = 0
    """Of the parts; apart from `seed`, so that runs of several seeds measure the same tiles."""
    cache: Path | None = None
    """Folder for what is made of the data once (pixels, groups of copies), RUN/cache where not given; runs on one set
    may share it."""

    def __post_init__(self) -> None:
        check_protocol(self.protocol, self.fold, self.folds, self.split)
        if self.log_every < 1 or self.checkpoint_every < 1:
            raise ValueError("log_every and checkpoint_every must be at least 1.")
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, not {self.size}.")

    measured_with: ClassVar[tuple[str, ...]] = ()
    """Settings that are read only when what was trained is measured."""

    def read_files(self) -> dict[str, list[Path]]:
        """Setting -> files below a folder that it names whose content decides the result."""
        return {}

    @property
    def split_name(self) -> str:
        """What rows name as their split: the set's own that was measured, or the protocol."""
        return self.split if self.protocol == "own" else self.protocol


@dataclass(kw_only=True)
class FinetunedConfig(MeasuredConfig):
    """Settings of a training that passes over annotated tiles."""

    label: Literal["category", "type"] = "category"
    """Column of the annotations that names the class."""
    epochs: int = 100
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    warmup_epochs: float | None = None
    """Passes in which the learning rate rises, instead of `warmup_steps`."""
    ema: float = 0.0
    """Momentum of an average of the weights that is measured and saved in their place, less in the first steps
    ((1 + step) / (10 + step)); 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label not in ("category", "type"):
            raise ValueError(f"label must be category or type, not {self.label!r}.")
        if self.epochs < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("epochs and steps must be at least 1.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"Give ema from 0 up to but below 1, not {self.ema}.")
        if self.warmup_epochs is not None and (self.warmup_steps is not None or self.warmup_epochs < 0):
            raise ValueError("Give warmup_epochs (at least 0) or warmup_steps, not both.")


@dataclass(kw_only=True)
class PretrainConfig(TrainingConfig):
    """Everything that decides the result of a pre-training run."""

    dataset: Path
    """An annotated data set."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes. `text.vocab_size` is set from the tokenizer."""
    init: InitConfig = field(default_factory=InitConfig)
    """Weights to start from."""
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
    warmup_steps: int | None = 3000
    decay: Decay = "paper"
    view_drop: float = 0.0
    """Probability of leaving each sub-text out of a pair's text in ITC and ITM; makes SCIO's shortened texts
    familiar."""
    look_every: int = 200
    """Steps between log lines that say what the image adds to the words of val tiles (docs/training.md); 0 = never."""
    look_tiles: int = 64
    """How many val tiles are looked at, of each instruction set alike."""

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError("batch_size must be at least 2: contrast and matching need another pair.")
        lengths = self.stage_steps or self.stage_epochs
        if sum(lengths) < 1 or min(lengths) < 0:
            raise ValueError("stage_epochs (or stage_steps) must be three numbers >= 0 that are not all 0.")
        if self.objectives.attend and self.checkpoint_activations:
            raise ValueError(
                "objectives.attend reads attention that checkpoint_activations would compute anew: choose one."
            )
        if lengths[0] < 1 and (lengths[1] or lengths[2]):
            raise ValueError("Stage 1 needs at least one step: screening needs a trained model.")
        if self.init.model and self.vocabulary:
            raise ValueError("init.model brings its own vocabulary: leave out `vocabulary`.")
        if self.look_every < 0 or self.look_tiles < 2:
            raise ValueError("look_every must be at least 0, and look_tiles at least 2: a tile borrows from another.")


@dataclass(kw_only=True)
class FinetuneConfig(TrainingConfig):
    """Everything that decides the result of fine-tuning on questions."""

    dataset: Path
    """Data set whose training tiles are asked about."""
    model: Path
    """Pre-trained model folder. The fine-tuned one is `out/model`."""
    epochs: int = 12
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    questions_per_image: int = 6
    """Most questions about each image in a step; the image is encoded once for all of them."""
    balance: float = 0.0
    """How far training is balanced over types of questions and the answers of each: 0 meets all tiles equally often and
    asks one question of each type, 1 asks all types and all answers of a type equally often, as far as tiles and
    `repeats` allow. An epoch stays as long."""
    repeats: float = 4.0
    """Most times that a tile is met in a balanced epoch."""
    learning_rate: float = 2e-5
    min_learning_rate: float = 1e-7
    label_smoothing: float = 0.1
    """Share of each token's target that is spread over the vocabulary."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.checkpoint_every < 1:
            raise ValueError("epochs, batch_size and checkpoint_every must be at least 1.")
        if self.questions_per_image < 1:
            raise ValueError("questions_per_image must be at least 1.")
        check_balance(self.balance, self.repeats)
