"""Settings of every training, whatever the task, without what computes: help and recipes load no PyTorch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from knowlip.training.balance import check_balance
from knowlip.training.loggers import LoggerName
from knowlip.training.schedule import Decay


@dataclass(kw_only=True)
class EngineConfig:
    """Where and how a training computes."""

    accelerator: str = "auto"
    """Of Lightning Fabric: auto, cpu, cuda, mps."""
    devices: int = 1
    """Processes on this machine, one a GPU; -1 for all GPUs. Under torchrun, its --nproc-per-node holds instead."""
    num_nodes: int = 1
    """Machines; more than one are started by torchrun on each of them, whose --nnodes holds instead."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several processes share the work: ddp (every one holds all weights; auto is this), or fsdp (each holds a
    part)."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, or automatic mixed precision in bf16 (GPUs since Ampere) or in fp16 (with scaled gradients)."""
    accumulate: int = 1
    """Passes into which each process divides its part of a batch to save memory. The contrastive loss compares within
    one pass and the queue."""
    clip_gradient: float = 1.0
    """Largest gradient norm; 0 for no clipping."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with `momentum`."""
    momentum: float = 0.9
    """Of sgd."""
    beta2: float = 0.999
    """Of adamw: share of the running mean of squared gradients that a step leaves as it is. Masked autoencoders are
    trained with 0.95."""
    layer_decay: float = 1.0
    """Learning rate of a block of the image tower over that of the block above it; 1: all learn alike."""
    compile: bool = False
    """Compile the transformer blocks (torch.compile)."""
    checkpoint_activations: bool = False
    """Compute activations a second time in the backward pass instead of keeping them."""


@dataclass(kw_only=True)
class TrainingConfig(EngineConfig):
    """Settings of every training, whatever the task."""

    out: Path
    """Run folder: config, log, checkpoint, curves, final model."""
    batch_size: int = 32
    """Items a step of the optimiser, of all processes together."""
    learning_rate: float = 3e-4
    """The highest."""
    min_learning_rate: float = 1e-6
    """Where the warm-up begins and the decay ends."""
    warmup_steps: int | None = None
    """Steps in which the learning rate rises; a twentieth of the training where not given. As many as the training has
    are refused, more than half are warned of."""
    decay: Decay = "cosine"
    """Of the learning rate after the warm-up: "cosine", "paper" (0.9 to the power of the epoch), or "poly" (the share
    of the training that is left, to the power of 0.9), or "steps" (a tenth from each of `decay_at` on)."""
    decay_at: tuple[float, ...] = (2 / 3, 11 / 12)
    """Of the decay "steps": shares of the training; 24 and 33 of 36 epochs."""
    weight_decay: float = 0.05
    """Not on temperature, biases and norms."""
    weight_decay_end: float | None = None
    """Where half a cosine brings `weight_decay` by the end of the training; it stays where not given."""
    seed: int = 0
    """Of new weights, order, dropout and augmentation."""
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


@dataclass
class ObjectiveConfig:
    """Weights and shares of the three objectives."""

    itc: float = 1.0
    """Weight of the contrastive loss."""
    itm: float = 1.0
    """Weight of the matching loss."""
    infill: float = 1.0
    """Weight of the infilling loss."""
    ground: float = 0.0
    """Weight of the grounding losses, which teach the readout (`model.readout`) what the annotator claims and points
    at; 0 is the paper."""
    closed: dict[str, float] = field(default_factory=dict)
    """Within the grounding losses, how much a closed question counts where not 1, by name: {"count": 6.0}. All of a
    readout's answers are taught at once, and number and type of targets, the hardest, are two of 26."""
    attend: float = 0.0
    """Weight of guided attention: holes of target texts attend to the annotator's boxes."""
    regions: float = 0.0
    """Weight of contrast between the nine regions and words for what they hold."""
    added: dict[str, float] = field(default_factory=dict)
    """Objectives of plug-ins by name, with their weights: {"margin": 0.1}. Each is called with the embeddings of a
    batch's images and texts, pair by pair."""
    questions: int = 0
    """Questions asked about each image beside its text, their answers written as holes are: so that the pre-trained
    model answers too."""
    questions_from: Literal["annotator", "truth"] = "annotator"
    """Where their answers come from: what the texts claim, as far as it is believed; or truth or labels of the training
    tiles, where the data set has some (fine-tuning uses these where it can)."""
    ground_from: Literal["annotator", "truth"] = "annotator"
    """Who teaches the readout numbers, places, types and covers: the annotator; or the truth of training tiles, where
    they have one, for all that it settles (a simulator's, labels do not)."""
    wrong_subtext: bool = False
    """Whether matching is asked about texts of which one sub-text is another tile's, beside whole other texts."""
    itm_negatives: Literal["local", "all"] = "local"
    """Where hard negatives are drawn: in a rank's own batch, or in the batches of all ranks."""
    generation: Literal["infill", "lm"] = "infill"
    """What the decoder learns: to write holes, or (ablation) the whole text left to right from the image alone, as in
    BLIP."""
    itm_share: float = 1.0
    """Share of each batch on which matching is trained (it costs three image-grounded text passes)."""
    infill_share: float = 1.0
    """Share of each batch on which infilling is trained."""
    negative_floor: float = 1e-4
    """Of the weights by which hard negatives are drawn, see :func:`knowlip.objectives.itm.hard_negatives`."""
    alpha: float = 0.4
    """Weight of soft targets in the contrastive loss."""
    alpha_epochs: float = 2.0
    """Epochs over which alpha rises from 0."""
    label_smoothing: float = 0.1
    """Of the infilling loss."""
    queue: int = 20000
    """Entries of the feature queue; 0 for none. Short trainings want few: old features are those of another model."""
    momentum: float = 0.995
    """Of the momentum model."""

    def __post_init__(self) -> None:
        # A weight below 0 would teach the opposite, and a share above 1 what nobody asked for.
        weights = ("itc", "itm", "infill", "ground", "attend", "regions", "alpha_epochs", "negative_floor")
        _check("objectives", {name: getattr(self, name) for name in weights}, math.inf)
        _check("objectives.added", self.added, math.inf)
        _check("objectives.closed", self.closed, math.inf)
        shares = ("itm_share", "infill_share", "alpha", "momentum")
        _check("objectives", {name: getattr(self, name) for name in shares}, 1)
        if not 0 <= self.label_smoothing < 1 or min(self.queue, self.questions) < 0:
            raise ValueError("objectives.label_smoothing is a share below 1; queue and questions are not negative.")


@dataclass
class HoleConfig:
    """How often each kind of hole is cut; the shares are normalised."""

    span: float = 0.35
    """A few consecutive tokens of one sub-text."""
    subtext: float = 0.4
    """The whole content of one sub-text."""
    everything: float = 0.25
    """The whole text: captioning."""
    span_tokens: int = 6
    """Longest span."""
    at_once: int = 1
    """Most sub-texts of a text that are written from one reading: besides the hole also some of the others that are not
    shown. 1 is one hole a text, as BLIP and the paper; 8 teaches the decoder up to eight times as much a step."""
    others: float = 0.75
    """A text with a hole in one sub-text draws a number between 0 and this; with that chance each other sub-text is not
    shown, but [MASK]. What SCIO hides at once (`scio.holes_at_once`) should be familiar from training."""

    def __post_init__(self) -> None:
        _check("holes", {name: getattr(self, name) for name in ("span", "subtext", "everything", "others")}, math.inf)
        if not self.span + self.subtext + self.everything:
            raise ValueError("One of holes.span, holes.subtext and holes.everything must be above 0.")
        if self.span_tokens < 1 or self.at_once < 1:
            raise ValueError("holes.span_tokens and holes.at_once must be at least 1.")


@dataclass
class DataConfig:
    """Where pixels come from, in which order and how often, and who prepares them. `order`, `bucket_batches`, `balance`
    and `repeats` change what a training sees; the rest may differ between a run and its continuation."""

    pixels: Literal["cache", "stream"] = "cache"
    """"cache": all tiles are decoded once into one memory-mapped file at the model's size (RUN/cache). "stream": they
    are read and decoded from the shards whenever they are needed."""
    workers: int = 2
    """Threads that decode and prepare batches; 0 does it in the training loop itself."""
    prefetch: int = 2
    """Steps that are prepared ahead."""
    pin: bool = False
    """Prepare batches in page-locked memory, from which a GPU copies while it computes."""
    order: Literal["tile", "shard"] = "tile"
    """"tile": any tile may follow any other. "shard": shards in random order, tiles mixed within windows; for disks
    that are slow at random access."""
    bucket_batches: int = 1
    """Of so many batches in a row, texts of about equal length are put together; 1 for chance alone."""
    balance: float = 0.0
    """How far an epoch is balanced over instruction sets and scales: 0 takes tiles as they come, 1 all groups equally
    often; a group of n tiles gets a share in proportion to n to the power of 1 - balance. An epoch stays as long."""
    repeats: float = 4.0
    """Most times that a tile is met in a balanced epoch."""
    pad_multiple: int = 1
    """Texts are padded to a multiple of this; 1 to the longest of the batch. Compiled models want few lengths."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.prefetch < 1:
            raise ValueError("data.workers must be at least 0 and data.prefetch at least 1.")
        if self.bucket_batches < 1 or self.pad_multiple < 1:
            raise ValueError("data.bucket_batches and data.pad_multiple must be at least 1.")
        check_balance(self.balance, self.repeats, "data.")


@dataclass
class AugmentConfig:
    """How much tiles are changed in training; 0 switches each part off."""

    gain_db: float = 0.6
    """Standard deviation of an image's gain in dB."""
    speckle_looks: float = 20.0
    """Looks (>= 1) of the speckle that is multiplied onto each pixel: power times a gamma variable of mean 1 and
    variance 1 / looks. 20 looks are about 1 dB."""
    multilook: float = 0.0
    """Share of images whose power is averaged over a box of `multilook_px` pixels: fewer details, less speckle."""
    multilook_px: int = 3
    """Side of that box, odd."""
    shift_px: int = 0
    """Largest shift along each axis; what comes in is mirrored at the edge."""
    flips: float = 0.0
    """Share of pairs that are mirrored, pixels and direction words together."""
    rotations: float = 0.0
    """Share of pairs that are turned by 90, 180 or 270 degrees, pixels and direction words together."""

    @property
    def changes_power(self) -> bool:
        """Whether levels change, and not only places."""
        return bool(self.gain_db or self.speckle_looks or self.multilook)

    def __post_init__(self) -> None:
        for name in ("multilook", "flips", "rotations"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} is a share between 0 and 1, not {getattr(self, name)}.")
        if self.gain_db < 0 or self.shift_px < 0:
            raise ValueError("augment.gain_db and augment.shift_px must not be negative.")
        if self.speckle_looks != 0 and self.speckle_looks < 1:
            raise ValueError(f"augment.speckle_looks must be 0 (none) or at least 1, not {self.speckle_looks}.")
        if self.multilook_px < 1 or self.multilook_px % 2 == 0:
            raise ValueError(f"augment.multilook_px must be odd, not {self.multilook_px}.")


def _check(where: str, values: Mapping[str, float], most: float) -> None:
    """Raise `ValueError` for a number that is below 0, above `most`, or none."""
    for name, value in values.items():
        if not (math.isfinite(value) and 0 <= value <= most):
            wanted = "at least 0" if most == math.inf else f"from 0 to {most:g}"
            raise ValueError(f"{where}.{name} must be {wanted}, not {value}.")
