"""The model: towers, tokenizer, generation, and its folder on disk. What computes is loaded when it is asked for:
settings and help need no PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from knowlip.models.config import ModelConfig, TextConfig, VisionConfig

if TYPE_CHECKING:
    from knowlip.models.checkpoint import load_model, save_model
    from knowlip.models.knowlip import KnowLIP
    from knowlip.models.tokenizer import TextTokenizer

__all__ = ["KnowLIP", "ModelConfig", "TextConfig", "TextTokenizer", "VisionConfig", "load_model", "save_model"]

_LATE: Final = {
    "KnowLIP": "knowlip.models.knowlip",
    "TextTokenizer": "knowlip.models.tokenizer",
    "load_model": "knowlip.models.checkpoint",
    "save_model": "knowlip.models.checkpoint",
}
"""Name -> module that holds it."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
