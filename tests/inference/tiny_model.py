"""A model folder with random weights: small, quick to make, the same for the same seed."""

from pathlib import Path
from typing import Any

import torch

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, save_model

SENTENCES = ["Count: three ships are visible.", "Location: upper left and center right.", "Water: about 40% water."]


def tiny_model(folder: Path, seed: int = 0, card: dict[str, Any] | None = None) -> Path:
    """Save a model of 32 x 32 pixels and a vocabulary of three sentences to `folder`."""
    torch.manual_seed(seed)
    tokenizer = TextTokenizer.train(SENTENCES * 3, vocab_size=200)
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=24, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=16), tokenizer).eval()
    for parameter in model.parameters():  # spread the weights, so that different images give different answers
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    save_model(model, folder, card or {})
    return folder
