"""Answer questions about an image."""

from pathlib import Path

import torch

from knowlip.base.generation import GenerationConfig
from knowlip.inference.images import read_image
from knowlip.models import load_model
from knowlip.models.generate import write_texts

LENGTH = 32
"""Tokens of an answer unless settings say otherwise."""


def ask(
    model: Path | str, image: Path, question: str, generation: GenerationConfig | None = None, device: str = "cpu"
) -> str:
    """The model's answer in words, see :func:`answers`."""
    return answers(model, image, question, generation, device)[0][0]


def answers(
    model: Path | str, image: Path, question: str, generation: GenerationConfig | None = None, device: str = "cpu"
) -> list[tuple[str, float]]:
    """Answers to a question.

    Args:
        model: folder, or "user/repo" of the hub.
        image: picture or SAR raster.
        question: in words; or a description with one [MASK], which is filled.
        generation: how to write; greedy when it is left out.
        device: "cpu", "cuda", or "auto".

    Returns:
        `generation.num` texts with their log-probabilities.

    Raises:
        ValueError: no such model, an image that cannot be read, or an empty question.
    """
    if not question.strip():
        raise ValueError("The question is empty.")
    loaded = load_model(model, device)
    with torch.inference_mode():
        tokens, _ = loaded.encode_images(loaded.prepare([read_image(image)]))
    return write_texts(loaded, tokens, [question], generation or GenerationConfig(max_new_tokens=LENGTH))[0]
