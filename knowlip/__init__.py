"""KnowLIP: vision-language models for SAR scenes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from knowlip.models import KnowLIP

__version__ = "0.1.0"


def load(model: "str | Path | None" = None, device: str = "cpu") -> "KnowLIP":
    """Load a model for use: its folder, or "user/repo" (or "user/repo@revision") of the Hugging Face hub; without a
    name the model that comes with KnowLIP.

    Raises:
        ValueError: no such model, or one that is broken or of another format; see :func:`knowlip.models.load_model`.
    """
    from knowlip.models import load_model
    from knowlip.models.default import shipped_model

    return load_model(shipped_model() if model is None else model, device)
