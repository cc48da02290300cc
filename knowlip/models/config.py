"""What a model is made of: plain dataclasses, saved as JSON beside the weights."""

from dataclasses import dataclass, field
from typing import Any, Literal

Sentences = Literal["all", "visual"]


@dataclass
class VisionConfig:
    """The image tower: any Vision Transformer of timm."""

    name: str = "vit_base_patch16_224"
    """timm model name, of a VisionTransformer, Eva or Beit; its tag (`.augreg_in21k`) matters to weights alone."""
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
        # Files of others: what torch would allocate, or take for something else, is refused before it is built.
        whole = all(type(value) is int for value in (self.image_size, self.stem, self.stem_blocks))
        if not whole or type(self.ground_sampling) is not bool:
            raise ValueError(
                "model.vision: image_size, stem and stem_blocks are whole numbers, ground_sampling is a bool."
            )
        if not (1 <= self.image_size <= 8192 and 0 <= self.stem <= 4096 and 0 <= self.stem_blocks <= 64):
            raise ValueError(
                "model.vision: image_size is 1 to 8192 px, stem at most 4096 channels, stem_blocks at most 64."
            )


@dataclass
class TextConfig:
    """The text tower: a BERT with optional cross-attention, and the decoder that shares all but its self-attention."""

    vocab_size: int = 30524
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_width: int = 3072
    max_length: int = 256
    """Longest token sequence, special tokens included."""
    dropout: float = 0.1
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


@dataclass
class ModelConfig:
    """KnowLIP: two towers, a shared embedding, a matching head."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    embed_dim: int = 256
    """Width of the shared embedding space."""
    readout: bool = False
    """Whether closed questions are answered from the image and handed to the text side as tokens, see
    :mod:`knowlip.models.readout`. False is the paper's model."""
    temperature: float = 0.07
    """Initial temperature of the contrastive loss (learned)."""
