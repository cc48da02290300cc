"""Floating-point operations of one pre-training step, counted from sizes and shapes, and what devices can do.

The convention is that of `torch.utils.flop_counter` and of published model FLOPs utilisation (PaLM, nanoGPT): matrix
products, convolutions and attention count, a multiply-add as two; element-wise work does not. The backward pass costs
twice the forward pass. Work that activation checkpointing or fused attention repeats does not count: utilisation
measures what the model needs.
"""

from dataclasses import dataclass
from typing import Any

from knowlip.models.config import ModelConfig

PEAK_FLOPS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "A10G": 70e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "V100": 125e12,
    "T4": 65e12,
}
"""Dense bfloat16 (float16 for V100 and T4) tensor-core operations a second, from NVIDIA's data sheets of these cards,
without sparsity. The first name that stands, as whole words, in a device's name counts."""


def peak_flops(device_name: str) -> float | None:
    """Operations a second that a device promises in half precision; None for one that is not in the table (any CPU)."""
    words = f" {device_name.replace('-', ' ')} "
    return next((value for name, value in PEAK_FLOPS.items() if f" {name} " in words), None)


@dataclass(frozen=True)
class Vision:
    """Sizes of a Vision Transformer."""

    tokens: int
    """Patches and prefix tokens."""
    prefix: int
    width: int
    depth: int
    mlp_width: int
    patch: int


@dataclass(frozen=True)
class Shapes:
    """What one step (of one process) computes; lengths with their padding, because padding is computed too."""

    pairs: int
    text: int
    """Tokens of the padded texts."""
    matched: int
    """Rows on which matching is trained (itm_share)."""
    contexts: tuple[int, int]
    """Texts with holes that are read (infill_share): how many, and tokens of each with padding; (0, 0) for none."""
    holes: tuple[tuple[int, int], ...]
    """Groups of holes: how many, and tokens of each that the decoder reads."""
    targets: int
    """Real target tokens."""
    candidates: int = 0
    """Places of the queue."""
    read: int | None = None
    """Tokens of the padded texts that matching reads; None: as `text`."""


def vision_sizes(tower: Any) -> Vision:
    """Sizes of a timm Vision Transformer, read from the module."""
    prefix = int(tower.num_prefix_tokens)
    block = tower.blocks[0]
    return Vision(
        tokens=int(tower.patch_embed.num_patches) + prefix,
        prefix=prefix,
        width=int(tower.embed_dim),
        depth=len(tower.blocks),
        mlp_width=int(block.mlp.fc1.out_features),
        patch=int(tower.patch_embed.patch_size[0]),
    )


def step_flops(config: ModelConfig, vision: Vision, shapes: Shapes, generation: str = "infill") -> float:
    """Operations of one step of :class:`knowlip.training.losses.JointLoss`: forward, backward, momentum model.

    Args:
        config: sizes of the text tower.
        vision: of :func:`vision_sizes`.
        shapes: of the batch.
        generation: "infill" or "lm".
    """
    image = _image_tower(vision, shapes.pairs)
    project = 2 * shapes.pairs * config.embed_dim * (vision.width + config.text.width)
    text = _encoder(config, shapes.pairs, shapes.text, 0, first_only=True)
    compare = 4 * shapes.pairs * (shapes.pairs + shapes.candidates) * config.embed_dim
    memory = config.text.layers * 4 * shapes.pairs * vision.tokens * vision.width * config.text.width
    read = shapes.text if shapes.read is None else shapes.read
    match = _encoder(config, 3 * shapes.matched, read, vision.tokens, first_only=True)
    match += 2 * 3 * shapes.matched * config.text.width * 2
    write = _generation(config, vision, shapes, generation)
    # the patch embedding needs no gradient of its pixels, the comparison none of the momentum features
    trained = 3 * (image + project + text + memory + match + write) - _patches(vision, shapes.pairs) + 2 * compare
    untrained = image + project + text + compare + 4 * shapes.pairs**2 * config.embed_dim
    return float(trained + untrained)


def _generation(config: ModelConfig, vision: Vision, shapes: Shapes, generation: str) -> float:
    text = config.text
    total: float = 2 * shapes.targets * text.width * (text.width + text.vocab_size)
    rows, context = shapes.contexts
    memory = vision.tokens if generation == "lm" else context
    if generation != "lm":
        total += _encoder(config, rows, context, vision.tokens)
        total += text.layers * 4 * rows * context * text.width**2  # keys and values of its states
        if text.decoder_reads == "both":
            memory += vision.tokens
    return total + sum(_decoder(config, count, content, memory) for count, content in shapes.holes)


def _patches(vision: Vision, images: int) -> float:
    return 2 * images * (vision.tokens - vision.prefix) * vision.patch**2 * vision.width


def _image_tower(vision: Vision, images: int) -> float:
    block = 2 * vision.tokens * vision.width * (4 * vision.width + 2 * vision.mlp_width)
    attention = 4 * vision.tokens**2 * vision.width
    return _patches(vision, images) + images * vision.depth * (block + attention)


def _layer(config: ModelConfig, written: int, length: int, memory: int) -> float:
    """One layer on one text: self-attention over `length` tokens and all else on `written` of them; cross-attention to
    a memory whose keys and values are there."""
    width = config.text.width
    own = 2 * width**2 * (2 * written + 2 * length) + 4 * written * length * width
    cross = 2 * width**2 * 2 * written + 4 * written * memory * width if memory else 0
    return own + cross + 2 * written * 2 * width * config.text.mlp_width


def _encoder(config: ModelConfig, rows: int, length: int, memory: int, first_only: bool = False) -> float:
    full = config.text.layers - first_only
    last = _layer(config, 1, length, memory) if first_only else 0
    return rows * (full * _layer(config, length, length, memory) + last)


def _decoder(config: ModelConfig, rows: int, length: int, memory: int) -> float:
    return rows * config.text.layers * _layer(config, length, length, memory)
