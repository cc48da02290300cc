"""What a model is made of: plain dataclasses, saved as JSON beside the weights.

A model folder comes from anybody, and what stands here decides what torch allocates and what timm is called with. So
every value is checked when a config is made, wherever it comes from, and :data:`CHANGES` lists all that timm is told.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from knowlip.language.closed import CLOSED

Sentences = Literal["all", "visual"]
_FIRST_QUESTIONS: Final = 20
"""That a readout answers of which nothing says how many, as former versions wrote it; the fewest that one answers."""


class Range:
    """Numbers from `low` to `high`; whole ones unless `whole` is False. `null` allows None."""

    def __init__(self, low: float, high: float, whole: bool = True, null: bool = False) -> None:
        self.low, self.high, self.whole, self.null = low, high, whole, null

    def __call__(self, value: object) -> bool:
        if value is None:
            return self.null
        kind = int if self.whole else int | float
        # A bool is an int of Python's, and NaN lies between no two numbers.
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"


class Choice:
    """One of a few values."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __call__(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(
            str(value).lower() if isinstance(value, bool) else str(value) for value in self.values
        )


_FLAG: Final = Choice(True, False)
_RATE: Final = Range(0, 0.99, whole=False)
_LAYERS, _HEADS, _WIDTH = Range(1, 128), Range(1, 256), Range(1, 16384)
CHANGES: Final[Mapping[str, Range | Choice]] = {
    "embed_dim": _WIDTH,
    "depth": _LAYERS,
    "num_heads": _HEADS,
    "patch_size": Range(1, 1024),
    "mlp_ratio": Range(0.1, 32, whole=False),
    "init_values": Range(0, 100, whole=False, null=True),
    "reg_tokens": Range(0, 64),
    "num_reg_tokens": Range(0, 64),
    "act_layer": Choice("gelu", "gelu_tanh", "quick_gelu", "relu", "silu"),
    **dict.fromkeys(("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate"), _RATE),
    **dict.fromkeys(("attn_drop_rate", "drop_path_rate"), _RATE),
    **dict.fromkeys(("qkv_bias", "proj_bias", "qk_norm", "qkv_fused", "scale_attn_norm", "scale_mlp_norm"), _FLAG),
    **dict.fromkeys(("class_token", "no_embed_class", "pre_norm", "final_norm", "scale_mlp", "swiglu_mlp"), _FLAG),
    **dict.fromkeys(("use_abs_pos_emb", "use_rel_pos_bias", "use_shared_rel_pos_bias", "use_rot_pos_emb"), _FLAG),
    **dict.fromkeys(("dynamic_img_size", "dynamic_img_pad", "use_fc_norm", "use_post_norm"), _FLAG),
}
"""All arguments of timm's VisionTransformer, Eva and Beit that `vision.changes` may hold, and their values. What names
a file or a repository (`checkpoint_path`, `pretrained`, `pretrained_cfg`) is not among them."""


def _refuse(config: Any, where: str, allowed: Mapping[str, Range | Choice]) -> None:
    """Refuse the first setting whose value is not allowed."""
    for name, right in allowed.items():
        if not right(value := getattr(config, name)):
            raise ValueError(f"{where}{name} must be {right}, not {_short(value)}.")


def _short(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass
class VisionConfig:
    """The image tower: any Vision Transformer of timm, or a tower that gives a map."""

    name: str = "vit_base_patch16_224"
    """timm model name, of a VisionTransformer, Eva or Beit, or of one without batch norm that gives a map (ConvNeXt,
    Swin); or the name of a plug-in's tower. A tag (`.augreg_in21k`) matters to weights alone."""
    image_size: int = 224
    """Side of the square input in pixels."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Arguments of timm's VisionTransformer that differ from the name's, e.g. {embed_dim: 128, depth: 4, num_heads:
    4}."""
    mean: float = 0.45
    """Subtracted from pixels in 0..1."""
    std: float = 0.25
    """Divides after `mean` is subtracted."""
    stem: int = 0
    """Channels of a convolutional stem of stride 8 before the ViT, see :mod:`knowlip.models.stem`; 0 for none. With it
    `changes.patch_size` counts cells of 8 pixels."""
    stem_blocks: int = 2
    """Residual blocks of the stem."""
    ground_sampling: bool = False
    """Whether the tower is told how many metres a pixel is (needs a stem): a length in pixels means nothing alone."""

    def __post_init__(self) -> None:
        _refuse(self, "model.vision.", _VISION)
        if not isinstance(self.name, str):
            raise ValueError(f"model.vision.name must be the name of a timm model, not {_short(self.name)}.")
        if not isinstance(self.changes, dict):
            raise ValueError(f"model.vision.changes must be settings of a timm model, not {_short(self.changes)}.")
        for key, value in self.changes.items():
            if key not in CHANGES:
                raise ValueError(
                    f"model.vision.changes cannot hold {_short(key)}: it knows {', '.join(sorted(CHANGES))}."
                )
            if not CHANGES[key](value):
                raise ValueError(f"model.vision.changes: {key} must be {CHANGES[key]}, not {_short(value)}.")


@dataclass
class TextConfig:
    """The text tower: a BERT with optional cross-attention, and the decoder that shares all but its self-attention."""

    vocab_size: int = 30524
    """Size of the vocabulary in tokens."""
    width: int = 768
    """Of its states."""
    layers: int = 12
    """How many."""
    heads: int = 12
    """Of the attention; they divide the width."""
    mlp_width: int = 3072
    """Width inside the feed-forward part of a layer."""
    max_length: int = 256
    """Longest token sequence, special tokens included."""
    dropout: float = 0.1
    """Share of states that a training sets to zero."""
    start_at_hole: bool = True
    """Add the encoder's state at [MASK] (at [ENC] where there is none) to the decoder's [DEC], so that it knows from
    the first word which hole it fills. False is BLIP's decoder, which must find the hole by cross-attention alone."""
    tie_decoder: bool = True
    """Encoder and decoder share all but self-attention. False gives the decoder weights of its own (BLIP's VQA)."""
    decoder_reads: Literal["text", "image", "both"] = "text"
    """What the decoder attends to: the encoder's states of a text read with the image, whose hole it fills; these and
    the image's tokens too ("both"); or the image alone, in a plain causal language model that writes captions only
    (BLIP's captioning; an ablation)."""
    contrast_on: Sentences = "all"
    """Which sentences of a text contrast reads: all, or those that rest on the image (`visual`, see
    :mod:`knowlip.language.marks`)."""
    grounded_on: Sentences = "all"
    """Which sentences the image-grounded encoder and the decoder read and write: matching and infilling. What follows
    from the place alone teaches a model not to look; `visual` leaves it out."""

    def __post_init__(self) -> None:
        _refuse(self, "model.text.", _TEXT)


@dataclass
class ModelConfig:
    """KnowLIP: two towers, a shared embedding, a matching head."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    """The image tower."""
    text: TextConfig = field(default_factory=TextConfig)
    """The text tower."""
    embed_dim: int = 256
    """Width of the shared embedding space."""
    readout: bool = False
    """Whether closed questions are answered from the image and handed to the text side as tokens, see
    :mod:`knowlip.models.readout`. False is the paper's model."""
    readout_questions: int = 0
    """How many closed questions it answers: the first so many of :data:`knowlip.language.closed.CLOSED`. 0 is all
    of them, and is kept as their number."""
    temperature: float = 0.07
    """Initial temperature of the contrastive loss (learned)."""

    BEFORE: ClassVar[Mapping[str, int]] = {"readout_questions": _FIRST_QUESTIONS}
    """What settings count as of which former versions said nothing."""

    def __post_init__(self) -> None:
        _refuse(self, "model.", _MODEL)
        self.readout_questions = (self.readout_questions or len(CLOSED)) if self.readout else 0
        for name, kind in (("vision", VisionConfig), ("text", TextConfig)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"model.{name} must be settings, not {_short(getattr(self, name))}.")


_VISION: Final[Mapping[str, Range | Choice]] = {
    "image_size": Range(1, 8192),
    "mean": Range(-1e6, 1e6, whole=False),
    "std": Range(1e-6, 1e6, whole=False),
    "stem": Range(0, 4096),
    "stem_blocks": Range(0, 64),
    "ground_sampling": _FLAG,
}
_TEXT: Final[Mapping[str, Range | Choice]] = {
    "vocab_size": Range(1, 2_000_000),
    "width": _WIDTH,
    "layers": _LAYERS,
    "heads": _HEADS,
    "mlp_width": Range(1, 65536),
    "max_length": Range(3, 65536),
    "dropout": _RATE,
    "start_at_hole": _FLAG,
    "tie_decoder": _FLAG,
    "decoder_reads": Choice("text", "image", "both"),
    "contrast_on": Choice("all", "visual"),
    "grounded_on": Choice("all", "visual"),
}
_MODEL: Final[Mapping[str, Range | Choice]] = {
    "embed_dim": _WIDTH,
    "readout": _FLAG,
    "readout_questions": Choice(0, *range(_FIRST_QUESTIONS, len(CLOSED) + 1)),
    "temperature": Range(1e-6, 1e6, whole=False),
}


def model_config(saved: object) -> ModelConfig:
    """The config that a model folder says.

    Args:
        saved: the value of `model` in its `knowlip.json`, as JSON gives it.

    Raises:
        ValueError: a part is missing, unknown, of another type or out of its range; the sentence names the setting.
    """
    needed = {"vision", "text", "embed_dim", "temperature"}
    known = {**ModelConfig.BEFORE, **_settings(saved, "model", ModelConfig, needed)}
    vision = dict(
        _settings(known["vision"], "model.vision", VisionConfig, {"name", "image_size"}, frozenset({"pretrained"}))
    )
    vision.pop("pretrained", None)  # written by former versions
    text = _settings(known["text"], "model.text", TextConfig, {"vocab_size", "width", "layers", "heads", "mlp_width"})
    return ModelConfig(**{**known, "vision": VisionConfig(**vision), "text": TextConfig(**text)})


def _settings(
    saved: object, where: str, kind: type, needed: set[str], former: frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    """The settings of one dataclass, none unknown and none missing."""
    if not isinstance(saved, Mapping):
        raise ValueError(f"{where} must be settings, not {_short(saved)}.")
    fields = {one.name for one in dataclasses.fields(kind)}
    if unknown := sorted(map(str, saved.keys() - fields - former)):
        raise ValueError(f"{where} has the unknown setting {_short(unknown[0])}.")
    if missing := sorted(needed - saved.keys()):
        raise ValueError(f"{where} lacks {missing[0]}.")
    return saved


Pool = Literal["token", "avg"]
"""What stands for a whole image: the class token, or the mean of the patches' tokens."""

Positions = Literal["learned", "sincos", "relative"]
"""Of patches: weights that learn, sines and cosines that do not, or relative ones in attention
(:mod:`knowlip.models.irpe`)."""
