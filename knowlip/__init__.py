"""KnowLIP: vision-language models for SAR scenes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowlip.models import KnowLIP

__version__ = "0.1.0"


def load(folder: str) -> "KnowLIP":
    """Load a model folder for use; see :func:`knowlip.models.load_model`."""
    from knowlip.models import load_model

    return load_model(folder)
