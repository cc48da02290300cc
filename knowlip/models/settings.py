"""Settings of what models start from and become, without what loads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal


@dataclass
class InitConfig:
    """Weights to start from, of other projects or of an earlier training; left empty, all are random."""

    vision: str = ""
    """Image tower: a file (timm, DeiT, DINO, DINOv2, MAE, MoCo v3; ONNX too), "timm" for the weights that timm knows
    under the model's name, or "timm/NAME" or "hf-hub:USER/REPO" for those of another (from the hub or its cache)."""
    vision_mean: list[float] | None = None
    """Mean of each input channel (pixels in 0..1) that these weights expect, where it is not the layout's own."""
    vision_std: list[float] | None = None
    """Standard deviation of each, likewise."""
    vision_grid: list[int] | None = None
    """Rows and columns of the patches that these weights have positions for, where they make no square."""
    text: Path | None = None
    """Text tower: a BERT (file, or folder of the Hugging Face hub)."""
    blip: Path | None = None
    """Both towers, heads and decoder: a BLIP checkpoint, instead of the two others."""
    model: str = ""
    """Everything, tokenizer and readout too: a model of KnowLIP's own of the same sizes. "shipped" is the one that
    comes with the package; else a folder, or USER/REPO."""
    antialias: bool = False
    """Low-pass position embeddings before they shrink to a smaller grid (timm does, BLIP and MAE do not)."""


Kind = Literal["auto", "blip", "bert", "vit"]


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert, and into what."""

    source: Path
    """BLIP, BERT or ViT checkpoint: safetensors, ONNX, a PyTorch file, or a folder of the Hugging Face hub."""
    out: Path
    """Model folder to write."""
    kind: Kind = "auto"
    """What the file holds; auto looks at the names of its tensors. A BERT or a ViT leaves the other tower random."""
    vocabulary: Path | None = None
    """`vocab.txt` of the BERT that the text tower was trained with; by default the one beside the file."""
    vision: str = ""
    """timm name of the image tower where it is not a plain ViT, whose sizes are read from the file."""
    image_size: int | None = None
    """Side of the input in pixels, where it should not be the file's (224 with `vision`): position embeddings are
    resized."""
    vision_heads: int | None = None
    """Heads of attention of the image tower, where the file and its `config.json` do not say them."""
    text_heads: int | None = None
    """The same of the text tower."""
    vision_grid: list[int] | None = None
    """Rows and columns of the patches that a ViT has positions for, where they make no square."""
    vision_mean: list[float] | None = None
    """Mean of each input channel (pixels in 0..1) that a ViT expects, where neither file nor layout says it."""
    vision_std: list[float] | None = None
    """Standard deviation of each, likewise."""
    max_length: int | None = None
    """Longest token sequence, where it should be less than the file's positions."""
    decoder_reads: Literal["auto", "text", "image"] = "auto"
    """What a BLIP's decoder shall read: auto is what it was trained for, the image (captions) or text (questions).
    "text" makes a pre-trained BLIP ready to be fine-tuned on questions."""

    POSITIONAL: ClassVar = ("source",)

    def __post_init__(self) -> None:
        if (self.vision_mean is None) != (self.vision_std is None):
            raise ValueError("Give vision_mean and vision_std together.")
        if self.vision_std is not None and min(self.vision_std, default=0) <= 0:
            raise ValueError("vision_std must be above 0.")
        if self.vision_grid is not None and (len(self.vision_grid) != 2 or min(self.vision_grid) < 1):
            raise ValueError("vision_grid is two numbers, rows and columns of patches.")


@dataclass(frozen=True)
class InspectConfig:
    """Which file, and as what."""

    file: Path
    """Checkpoint of another project: a PyTorch file, safetensors, a TorchScript archive, ONNX, or a folder of Hugging
    Face."""
    kind: str = ""
    """Encoder as which it is read, with settings where it needs them: `remoteclip` or `remoteclip,heads=12`. By default
    every encoder that can read it is named."""
    size: int | None = None
    """Side of the input in pixels, where it should not be the file's own."""

    POSITIONAL: ClassVar = ("file",)

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError("size must be at least 1 pixel.")


@dataclass(frozen=True)
class PublishModelConfig:
    """What to publish, and where."""

    model: Path
    """Model folder."""
    repo: str
    """USER/REPO on the Hugging Face hub."""
    private: bool = False
    """Only its owners see the repository."""
    license: str = ""
    """Identifier of the hub, e.g. apache-2.0."""
    metrics: Path | None = None
    """JSON that `knowlip evaluate` wrote about this model; its rows of these weights go to the model card."""

    POSITIONAL = ("model", "repo")
