"""Settings of `knowlip selfsup`: those of every method, and a group for each of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from knowlip.models.config import Pool, Positions, VisionConfig
from knowlip.tasks.chips import CONTRAST, HIDE_SIZE, Contrast, HideSize
from knowlip.tasks.protocols import FOLDS, Protocol, check_protocol
from knowlip.training.settings import TrainingConfig
from knowlip.training.view_settings import ViewConfig, check_area

Method = Literal["mae", "moco", "jepa", "dino"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)


@dataclass
class MaeConfig:
    """A masked autoencoder (He et al., CVPR 2022)."""

    mask: float = 0.75
    """Share of the patches that the encoder does not see."""
    norm_pixels: bool = True
    """Compare with pixels that are normalised by mean and deviation of their patch."""
    width: int = 512
    """Of the decoder."""
    depth: int = 8
    """Blocks of the decoder."""
    heads: int = 16
    """Of the decoder."""

    def __post_init__(self) -> None:
        if not 0 < self.mask < 1:
            raise ValueError(f"mae.mask is a share above 0 and below 1, not {self.mask}.")
        _check_decoder("mae", self.width, self.depth, self.heads)


@dataclass
class MocoConfig:
    """Momentum contrast, version 3 (Chen, Xie, He, ICCV 2021)."""

    momentum: float = 0.99
    """Of the momentum encoder at the first step; rises to 1 by half a cosine."""
    temperature: float = 0.2
    """Divides the cosines."""
    width: int = 4096
    """Hidden width of projector and predictor."""
    embed_dim: int = 256
    """Width of what is compared."""
    freeze_patches: bool = True
    """Leave the patch embedding as it is drawn, which keeps ViTs stable (section 4.1)."""

    def __post_init__(self) -> None:
        _check_momentum("moco.momentum", self.momentum)
        if self.temperature <= 0 or min(self.width, self.embed_dim) < 1:
            raise ValueError("moco.temperature must be above 0, moco.width and moco.embed_dim at least 1.")


@dataclass
class JepaConfig:
    """SAR-JEPA (Li et al., ISPRS Journal 2024): gradients by ratio of hidden patches in small windows."""

    window: int = 7
    """Side of a window in patches."""
    windows: int = 4
    """Windows of an image, each seen by itself."""
    mask: float = 0.8
    """Share of a window's patches that are hidden."""
    scales: tuple[int, ...] = (5, 9, 13, 17)
    """Pixels from the centre to the edge of the windows of the gradient."""
    width: int = 512
    """Of the decoder."""
    depth: int = 8
    """Blocks of the decoder."""
    heads: int = 16
    """Of the decoder."""

    def __post_init__(self) -> None:
        if not 0 < self.mask < 1 or int(self.window**2 * self.mask) < 1:
            raise ValueError(f"jepa.mask is a share above 0 and below 1 that hides a patch of a window: {self.mask}.")
        if self.window < 2 or self.windows < 1 or not self.scales or min(self.scales) < 1:
            raise ValueError("jepa.window must be at least 2 patches, jepa.windows and jepa.scales at least 1.")
        _check_decoder("jepa", self.width, self.depth, self.heads)


@dataclass
class DinoConfig:
    """DINO with iBOT (Caron et al., ICCV 2021; Zhou et al., ICLR 2022)."""

    local_views: int = 8
    """Small views of each image, which the student alone sees; 0 for none."""
    local_px: int = 96
    """Their side; a multiple of the patch."""
    local_area: tuple[float, float] = (0.05, 0.4)
    """Least and largest share of the tile's area in a small view."""
    prototypes: int = 8192
    """What images are said to be like."""
    patch_prototypes: int = 0
    """What patches are said to be like; 0: the same prototypes as images."""
    hidden: int = 2048
    """Width of the heads."""
    bottleneck: int = 256
    """Width before the prototypes."""
    momentum: float = 0.996
    """Of the teacher at the first step; rises to 1 by half a cosine."""
    center_momentum: float = 0.9
    """Of the mean of the teacher's logits, which is subtracted from them."""
    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    """For whole images, at the end of `teacher_warmup`."""
    patch_temperature: float = 0.07
    """Of the teacher for patches, likewise."""
    first_temperature: float = 0.04
    """Of the teacher at the first step, for both."""
    teacher_warmup: float = 0.1
    """Share of the training in which the teacher's temperatures rise."""
    patch_weight: float = 1.0
    """Of iBOT's loss beside DINO's; 0 is DINO alone."""
    mask: tuple[float, float] = (0.1, 0.5)
    """Least and largest share of the patches that are hidden in a masked view, in blocks."""
    masked: float = 0.5
    """Share of the global views with hidden patches."""
    freeze_prototypes: float = 0.01
    """Share of the training, from its beginning, in which the prototypes stay as they are drawn."""

    def __post_init__(self) -> None:
        # Each has one range, and everything below it can be named together.
        check_area(self.local_area, "dino.local_area")
        _check_momentum("dino.momentum", self.momentum)
        _check_momentum("dino.center_momentum", self.center_momentum)
        if not 0 <= self.mask[0] <= self.mask[1] < 1 or not 0 <= self.masked <= 1:
            raise ValueError("dino.mask are two shares, 0 <= least <= largest < 1, and dino.masked is a share.")
        temperatures = (
            self.student_temperature,
            self.teacher_temperature,
            self.patch_temperature,
            self.first_temperature,
        )
        if min(temperatures) <= 0 or not 0 <= self.teacher_warmup <= 1 or not 0 <= self.freeze_prototypes <= 1:
            raise ValueError(
                "dino: temperatures must be above 0, teacher_warmup and freeze_prototypes shares of the training."
            )
        sizes = (self.local_px, self.prototypes, self.hidden, self.bottleneck)
        if min(self.local_views, self.patch_prototypes, self.patch_weight) < 0 or min(sizes) < 1:
            raise ValueError(
                "dino: local_views, patch_prototypes and patch_weight must not be negative, local_px, prototypes, "
                "hidden and bottleneck at least 1."
            )


@dataclass(kw_only=True)
class SelfSupConfig(TrainingConfig):
    """Everything that decides the result of a self-supervised pre-training."""

    dataset: Path
    """Any data set; its texts, masks, boxes and classes are not read, but for the curve of neighbours."""
    method: Method = "mae"
    """mae: pixels of hidden patches; moco: contrast of two views (MoCo v3); jepa: gradients by ratio of hidden patches
    (SAR-JEPA); dino: a student learns from its own average (DINO with iBOT)."""
    vision: VisionConfig = field(default_factory=lambda: VisionConfig("vit_small_patch16_224", 224))
    """The tower: any plain ViT of timm, e.g. --vision.name vit_base_patch16_224 --vision.image_size 224."""
    init: str = ""
    """Weights to start from: "random" or empty for none; a file or folder of a ViT (docs/weights.md), also one that
    `knowlip selfsup` wrote; "timm" or "timm/NAME"."""
    init_mean: list[float] | None = None
    """Mean of each input channel (pixels in 0..1) that these weights expect, where it is not the layout's own."""
    init_std: list[float] | None = None
    """Standard deviation of each, likewise."""
    positions: Positions = "learned"
    """Of patches: learned, sincos (fixed, as MAE and MoCo v3 have them), or relative (in attention alone, as SAR-JEPA
    has them)."""
    pool: Pool | None = None
    """What stands for an image in what comes after: token, the class token (moco, dino), or avg, the mean of the
    patches (mae, jepa); the method's own where not given."""
    tile_px: int | None = None
    """Side at which tiles are kept, of which views are cut; that of the input where not given."""
    hide_size: HideSize = "auto"
    """As in `classify`: yes: tiles are seen through one window at native resolution; no: each is stretched; auto: yes
    where tiles differ in size."""
    window: float | None = None
    """Side of that window, in metres where the set says the size of its pixels, else in pixels."""
    contrast: Contrast = "stored"
    """Grey levels as they are stored, or "chip" as in `classify`."""
    views: ViewConfig = field(default_factory=ViewConfig)
    epochs: int = 100
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    warmup_epochs: float | None = None
    """Passes in which the learning rate rises, instead of `warmup_steps`."""
    batch_size: int = 64
    learning_rate: float = 5e-4
    protocol: Protocol = "own"
    """Which tiles are learned from. own: the set's split train; groups or random: all but the part that `classify`
    measures with the same protocol, fold, folds, split_seed and label."""
    fold: int = 0
    folds: int = FOLDS
    split_seed: int = 0
    split: str = "test"
    """With protocol own: tiles that neighbours are counted on."""
    label: Literal["category", "type"] = "category"
    """Column of the annotations that names the class of a tile, for the curve of neighbours and for `protocol`."""
    cache: Path | None = None
    """Folder for what is made of the data once, RUN/cache where not given; that of `classify` holds the same."""
    knn_every: int = 200
    """Steps between two points of the curve of neighbours and two pictures; 0 for none."""
    knn_tiles: int = 1000
    """Most tiles of the curve that are asked about, and twice as many to be neighbours."""
    neighbours: int = 20
    """How many vote."""
    pictures: int = 6
    """Tiles in a picture of what is said of hidden patches (mae, jepa); 0 for none."""
    workers: int = 1
    """Threads that prepare batches."""
    mae: MaeConfig = field(default_factory=MaeConfig)
    moco: MocoConfig = field(default_factory=MocoConfig)
    jepa: JepaConfig = field(default_factory=JepaConfig)
    dino: DinoConfig = field(default_factory=DinoConfig)

    def __post_init__(self) -> None:
        # All of it here: settings that exist are sound, and a run folder keeps none that would be refused.
        check_protocol(self.protocol, self.fold, self.folds, self.split)
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}.")
        if self.epochs < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("epochs and steps must be at least 1.")
        if self.warmup_epochs is not None and (self.warmup_steps is not None or self.warmup_epochs < 0):
            raise ValueError("Give warmup_epochs (at least 0) or warmup_steps, not both.")
        if self.hide_size not in HIDE_SIZE or (self.hide_size == "no" and self.window is not None):
            raise ValueError("hide_size must be auto, yes or no. A window hides the size of chips: then it is not no.")
        if self.contrast not in CONTRAST:
            raise ValueError(f"contrast must be stored or chip, not {self.contrast!r}.")
        if not self.starts_random and self.positions != "learned":
            raise ValueError(f"positions {self.positions} would replace those of `init`: leave one of the two out.")
        if (self.init_mean is None) != (self.init_std is None):
            raise ValueError("Give init_mean and init_std together.")
        if self.tile_px is not None and self.tile_px < 1:
            raise ValueError(f"tile_px must be at least 1, not {self.tile_px}.")
        if self.knn_every < 0 or self.knn_tiles < 2 or self.neighbours < 1 or self.pictures < 0 or self.workers < 0:
            raise ValueError(
                "knn_every, pictures and workers must be at least 0, knn_tiles at least 2, neighbours at least 1."
            )
        if self.weight_decay_end is not None and self.weight_decay_end < 0:
            raise ValueError("weight_decay_end must not be negative.")

    @property
    def starts_random(self) -> bool:
        """Whether it starts from random weights."""
        return self.init in ("", "random")


def _check_decoder(name: str, width: int, depth: int, heads: int) -> None:
    if min(width, depth, heads) < 1 or width % heads or width % 4:
        raise ValueError(
            f"{name}.width must be a multiple of {name}.heads and of 4, {name}.depth at least 1: "
            f"{width}, {heads}, {depth}."
        )


def _check_momentum(name: str, momentum: float) -> None:
    if not 0 <= momentum <= 1:
        raise ValueError(f"{name} must be from 0 to 1, not {momentum}.")
