"""Settings of the commands that look at whole scenes, apart from what loads a model."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.base.generation import GenerationConfig
from knowlip.inference.settings import ANSWER_TOKENS, CAPTION_TOKENS, named_model
from knowlip.jobs.work import PlaceName, check_place
from knowlip.scenes.scene import SceneOverrides
from knowlip.tiles.quantise import QuantiseConfig


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Which scenes, with which model, and where the maps go."""

    POSITIONAL: ClassVar = ("scenes",)

    scenes: list[Path]
    """Scene files, or folders that are searched for them: everything that `knowlip scene info` reads."""
    out: Path
    """Folder for maps, one or more files a scene; the same command goes on in it."""
    metres_per_pixel: float | None = None
    """Side of a pixel on the ground as the model is shown it. By default the scene's own where the model learned on
    such, else the nearest that it learned on."""
    window_px: int | None = None
    """Side of a window; by default that of the images that the model learned on."""
    overlap: float = 0.25
    """Share of a window that its neighbour repeats, at most a half. Of detection it is to be longer than the largest
    object."""
    batch_size: int = 4
    """Windows that the model is shown at once."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    where: PlaceName = "here"
    """here: one scene after the other in this process; processes: several scenes at once on this machine, on as many
    of its GPUs as there are; ray: on a cluster whose machines share the folders."""
    workers: int = 2
    """Scenes at once with `processes`; each holds the model."""
    address: str = "auto"
    """Of the Ray cluster: auto, or host:port."""
    gpu: bool = False
    """With `ray`: a scene takes a GPU and no core."""
    quantise: QuantiseConfig | None = None
    """How power becomes 8-bit levels; by default as in a data set, with one quantiser from the scene's own pixels, or
    as the 8-bit pixels come, where the model learned on such."""
    read: SceneOverrides = field(default_factory=SceneOverrides)
    """What is known better than the files say, and how products are read."""

    def __post_init__(self) -> None:
        if self.metres_per_pixel is not None and not 0 < self.metres_per_pixel < math.inf:
            raise ValueError(f"--metres_per_pixel is {self.metres_per_pixel:g}: give the side of a pixel, e.g. 3.")
        if self.window_px is not None and not 32 <= self.window_px <= 8192:
            raise ValueError(f"window_px must be 32 to 8192, not {self.window_px}.")
        if not 0 <= self.overlap <= 0.5:
            raise ValueError(f"overlap must lie from 0 to 0.5, not {self.overlap:g}.")
        if self.batch_size < 1:
            raise ValueError("batch_size must be at least 1.")
        check_place(self.where, self.workers)


@dataclass(frozen=True, kw_only=True)
class PredictDetectConfig(PredictConfig):
    """What is looked for in whole scenes."""

    model: Path
    """Folder of a trained detector: `model` of a run, or the run folder."""
    min_score: float | None = None
    """Boxes of a lower score are left out. By default the score, of each class and pixel size, from which the
    detector's counts of its validation scenes err least; 0.5 for one whose card does not say."""
    octaves: bool = True
    """Also look at the scene at twice, four times, ... its pixel size, as far as the model learned on such: an object
    that no window holds at one size is whole at another. It costs a third more at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score must lie from 0 to 1, not {self.min_score:g}.")


@dataclass(frozen=True, kw_only=True)
class PredictSegmentConfig(PredictConfig):
    """What whole scenes are divided into."""

    model: Path
    """Folder of a trained segmenter: `model` of a run, or the run folder."""
    confidence: bool = False
    """Also write the probability of each pixel's class in percent."""


@dataclass(frozen=True, kw_only=True)
class PredictClassifyConfig(PredictConfig):
    """Which class the windows of scenes are given."""

    model: Path
    """Folder of a trained classifier: `model` of a run, or the run folder."""
    overlap: float = 0.0
    """Share of a window that its neighbour repeats."""
    batch_size: int = 16
    """Windows that the model is shown at once."""
    min_valid: float = 0.5
    """Windows with a smaller share of data are left out, and counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.min_valid <= 1:
            raise ValueError(f"min_valid must lie above 0 and at most at 1, not {self.min_valid:g}.")


@dataclass(frozen=True, kw_only=True)
class PredictWordsConfig(PredictConfig):
    """What our own model says of the windows of scenes."""

    model: Path | None = field(default_factory=named_model)
    """Model folder, or USER/REPO of the Hugging Face hub; else $KNOWLIP_MODEL, else the model that comes with
    KnowLIP."""
    overlap: float = 0.0
    """Share of a window that its neighbour repeats."""
    batch_size: int = 16
    """Windows that the model is shown at once."""
    min_valid: float = 0.5
    """Windows with a smaller share of data are left out, and counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.min_valid <= 1:
            raise ValueError(f"min_valid must lie above 0 and at most at 1, not {self.min_valid:g}.")


@dataclass(frozen=True, kw_only=True)
class PredictCaptionConfig(PredictWordsConfig):
    """How windows are described."""

    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=CAPTION_TOKENS))
    """How texts are written."""


@dataclass(frozen=True, kw_only=True)
class PredictAskConfig(PredictWordsConfig):
    """What is asked about every window."""

    question: str
    """In words; or a description with one [MASK], which is filled."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=ANSWER_TOKENS))
    """How answers are written."""
    refuse: bool = True
    """Refuse what is outside of what the model knows, or smaller than the pixels can show; false: answer anyway."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.question.strip():
            raise ValueError("The question is empty.")


@dataclass(frozen=True, kw_only=True)
class PredictEmbedConfig(PredictWordsConfig):
    """Embeddings of windows, in the space that the model's texts are in."""
