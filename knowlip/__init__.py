"""KnowLIP: vision-language models for SAR scenes.

In Python by a dozen names (docs/python.md): `load`, `open_scene`, `Dataset`, `simulate`, `build`, `annotate`, `embed`,
`caption`, `ask`, `predict`, `Index`, `search`, and `run` for any command. They are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from knowlip.api import (
        Dataset,
        Index,
        annotate,
        ask,
        build,
        caption,
        embed,
        open_scene,
        predict,
        run,
        search,
        simulate,
    )
    from knowlip.models import KnowLIP

__version__ = "0.1.0"
__all__ = [
    "Dataset",
    "Index",
    "annotate",
    "ask",
    "build",
    "caption",
    "embed",
    "load",
    "open_scene",
    "predict",
    "run",
    "search",
    "simulate",
]


def load(model: "str | Path | None" = None, device: str = "cpu") -> "KnowLIP":
    """Load a model for use: its folder, or "user/repo" (or "user/repo@revision") of the Hugging Face hub; without a
    name the model that comes with KnowLIP.

    Raises:
        ValueError: no such model, or one that is broken or of another format; see :func:`knowlip.models.load_model`.

    >>> model = knowlip.load()
    >>> similarity = model.embed_images(tiles, 2) @ model.embed_texts(["a port with ships", "fields"]).T
    >>> similarity.shape, similarity.requires_grad
    (torch.Size([4, 2]), False)
    """
    from knowlip.models import load_model
    from knowlip.models.default import shipped_model

    return load_model(shipped_model() if model is None else model, device)


def __getattr__(name: str) -> Any:
    """Names of :mod:`knowlip.api`, which loads what it needs when one of them is used."""
    if name in __all__:
        from knowlip import api

        return getattr(api, name)
    raise AttributeError(f"module 'knowlip' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
