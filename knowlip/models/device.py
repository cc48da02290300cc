"""Where a model runs when nobody says."""

import torch


def chosen(device: str | torch.device) -> str | torch.device:
    """A device as it is; of "auto" the first GPU where there is one, else the CPU."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
