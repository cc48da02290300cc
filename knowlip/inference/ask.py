"""Answer questions about an image."""

from pathlib import Path

import torch

from knowlip.inference.images import read_image
from knowlip.models import load_model


def ask(model_folder: Path, image: Path, question: str) -> str:
    """The model's answer in words.

    Raises:
        ValueError: no such model, an image that cannot be read, or an empty question.
    """
    if not question.strip():
        raise ValueError("The question is empty.")
    model = load_model(model_folder)
    with torch.inference_mode():
        tokens, _ = model.encode_images(model.prepare([read_image(image)]))
    return model.generate(tokens, [question], max_new_tokens=32)[0]
