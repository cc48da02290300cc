"""Our models opened from their folders, see :mod:`knowlip.models.stored`."""

from pathlib import Path

import torch

from knowlip.models.knowlip import KnowLIP
from knowlip.models.layout import unshared
from knowlip.models.stored import FORMAT, read_model, save_model

__all__ = ["FORMAT", "load_model", "save_model", "unshared"]


def load_model(folder: Path | str, device: str | torch.device = "cpu") -> KnowLIP:
    """Load a model for use (evaluation mode). `model.card` holds the facts saved beside the weights.

    Args:
        folder: its folder, or "user/repo" of the hub, see :func:`knowlip.models.hub.find_model`.
        device: where its weights go; "auto" is the first GPU where there is one.

    Raises:
        ValueError: no such model, a broken file, another format, or weights that do not fit the config.
    """
    return read_model(KnowLIP, folder, device)
