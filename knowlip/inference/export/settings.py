"""Settings of `knowlip export`, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NotRequired, TypedDict

from knowlip.base.rows import Json
from knowlip.models.hub import REPO

Kind = Literal["towers", "detector", "segmenter"]
Format = Literal["onnx", "transformers", "open_clip"]
_MOST = 2000


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and where to."""

    POSITIONAL: ClassVar = ("model",)

    model: Path
    """Model folder, or USER/REPO of the Hugging Face hub; or the folder (or run folder) of a detector or segmenter."""
    out: Path
    """Folder to write; replaced when it exists."""
    format: Format = "onnx"
    """ONNX graphs; or a model with both towers as Hugging Face's transformers (a model folder of KnowLIP's too) or
    open_clip opens it."""
    repo: str = ""
    """Of format open_clip: USER/REPO on the Hugging Face hub, where the folder will lie. Without it the files name the
    folder by its full path, and must stay there."""
    int8: Literal["", "dynamic", "static"] = ""
    """Also write graphs with weights of 8 bit. dynamic: activations are scaled as they come; static: they are scaled by
    what `calibrate` shows, and convolutions become 8-bit too."""
    calibrate: Path | None = None
    """Data set (its training tiles) or folder of 8-bit pictures that `--int8 static` takes the scales from."""
    measure: Path | None = None
    """Data set (its test tiles; with boxes or masks the score too) or folder of 8-bit pictures on which the loss of
    int8 is measured."""
    images: int = 100
    """At most so many of each, evenly spaced."""
    label: Literal["category", "type"] = "category"
    """Of a detector: column of the annotations of `measure` that names the class."""
    classes: dict[str, str] = field(default_factory=dict)
    """Of a detector: name in `measure` -> class of the detector, where they are not the same; others are left out."""
    height: int = 0
    """Of a detector: height of its input in pixels, a multiple of a patch; 0: the side that it learned with."""
    width: int = 0
    """Of a detector: the same along the other side."""

    def __post_init__(self) -> None:
        if self.format != "onnx" and (self.int8 or self.height or self.width or self.classes):
            raise ValueError(f"--int8, --height, --width and --classes belong to --format onnx, not {self.format}.")
        if self.repo and (self.format != "open_clip" or not REPO.fullmatch(self.repo) or "@" in self.repo):
            raise ValueError("--repo is USER/REPO of --format open_clip.")
        if self.int8 and self.measure is None:
            raise ValueError("--int8 needs --measure: a data set or folder of pictures that tells what it costs.")
        if self.int8 == "static" and self.calibrate is None:
            raise ValueError("--int8 static needs --calibrate: a data set or folder of pictures for its scales.")
        if not self.int8 and (self.calibrate or self.measure):
            raise ValueError("--calibrate and --measure belong to --int8 dynamic or static.")
        if self.int8 == "dynamic" and self.calibrate is not None:
            raise ValueError("--calibrate belongs to --int8 static: dynamic scales activations as they come.")
        if not 1 <= self.images <= _MOST:
            raise ValueError(f"--images lies in 1 to {_MOST}, not {self.images}.")
        if self.height < 0 or self.width < 0:
            raise ValueError("--height and --width must not be negative.")


class Exported(TypedDict):
    """Where the files are, and what was measured."""

    out: str
    kind: Kind
    format: Format
    differences: Mapping[str, float]
    """ONNX: largest difference of each output from PyTorch."""
    int8: NotRequired[Mapping[str, Json]]
    """What int8 costs, see `export.json`."""
