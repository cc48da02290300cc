"""Describe images."""

from collections.abc import Sequence
from pathlib import Path

import torch

from knowlip.base.generation import GenerationConfig
from knowlip.inference.images import read_image
from knowlip.models import load_model
from knowlip.models.generate import write_texts

LENGTH = 512
"""Tokens of a description unless settings say otherwise; the model's own length ends it before."""
_BATCH = 16


def caption(
    model: Path | str, images: Sequence[Path], generation: GenerationConfig | None = None, device: str = "cpu"
) -> list[str]:
    """One description an image, see :func:`captions`."""
    return [texts[0][0] for texts in captions(model, images, generation, device)]


def captions(
    model: Path | str, images: Sequence[Path], generation: GenerationConfig | None = None, device: str = "cpu"
) -> list[list[tuple[str, float]]]:
    """Descriptions of images: the content of a hole that is the whole text.

    Args:
        model: folder, or "user/repo" of the hub.
        images: pictures or SAR rasters.
        generation: how to write; greedy when it is left out.
        device: "cpu", "cuda", or "auto".

    Returns:
        For each image `generation.num` texts with their log-probabilities.

    Raises:
        ValueError: no such model, or an image that cannot be read.
    """
    loaded = load_model(model, device)
    generation = generation or GenerationConfig(max_new_tokens=LENGTH)
    result = []
    for start in range(0, len(images), _BATCH):
        pixels = loaded.prepare([read_image(path) for path in images[start : start + _BATCH]])
        with torch.inference_mode():
            tokens, _ = loaded.encode_images(pixels)
        result += write_texts(loaded, tokens, [""] * len(pixels), generation)
    return result
