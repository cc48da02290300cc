"""Where a model runs when nobody says."""

import torch


def chosen(device: str | torch.device) -> str | torch.device:
    """A device as it is; of "auto" the first GPU where there is one, else the CPU."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def device_of(name: str, number: int) -> str:
    """The GPU of one of several processes of a machine; the first one's is the device by its plain name.

    Args:
        name: "auto", "cuda", or another device, which stays as it is.
        number: of the process, from 0.
    """
    if not number or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{number % torch.cuda.device_count()}"
