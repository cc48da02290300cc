"""Describe images."""

from collections.abc import Sequence
from pathlib import Path

import torch

from knowlip.inference.images import read_image
from knowlip.models import load_model


def caption(model_folder: Path, images: Sequence[Path]) -> list[str]:
    """One description an image: the content of a hole that is the whole text.

    Raises:
        ValueError: no such model, or an image that cannot be read.
    """
    model = load_model(model_folder)
    pixels = model.prepare([read_image(path) for path in images])
    with torch.inference_mode():
        tokens, _ = model.encode_images(pixels)
    return model.generate(tokens, [""] * len(images), max_new_tokens=model.config.text.max_length)
