"""Models and images as they are given in Python: open or by name, as files or as pixels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from knowlip.base.progress import say
from knowlip.models.default import shipped_model
from knowlip.models.hub import ANSWERS, WEIGHTS, find_model

if TYPE_CHECKING:
    from knowlip.inference.images import TakenImage
    from knowlip.models import KnowLIP

Named: TypeAlias = "KnowLIP | str | Path | None"
"""A model that is open, its folder, USER/REPO of the hub, or None for the one that comes with KnowLIP."""
Pictured: TypeAlias = str | Path | np.ndarray
"""An image: a file, or 8-bit pixels (H, W) with 0 where there is no data."""
_MEMORY: Final = Path("the image")

_LAST: dict[tuple[str, int, str], "KnowLIP"] = {}
"""The model that was opened last: a loop of questions opens it once."""


def opened_model(model: Named, device: str) -> "KnowLIP":
    """A model for use; one that is open is taken as it is."""
    from knowlip.models import KnowLIP, load_model

    if isinstance(model, KnowLIP):
        return model.eval()
    folder = shipped_model() if model is None else find_model(model)
    weights = folder / WEIGHTS
    key = (str(folder.resolve()), weights.stat().st_mtime_ns if weights.is_file() else 0, device)
    if key not in _LAST:
        found = load_model(folder, device)
        _LAST.clear()
        _LAST[key] = found
    return _LAST[key]


def calibrated_folder(model: "KnowLIP") -> Path | None:
    """Where a model lies, beside which its calibration may be; None where it has been trained on since, or was never
    saved: what was measured is not of these weights then."""
    from knowlip.models.stored import holds_weights

    if model.folder is None or not (model.folder / ANSWERS).is_file():
        return model.folder
    if holds_weights(model.folder, model):
        return model.folder
    say(f"  note: The weights of the model are not those of {model.folder}: nothing is calibrated or refused.")
    return None


def named_model(model: Named) -> str:
    """A model for a command, which opens it itself.

    Raises:
        ValueError: a model that was made and not loaded, or whose weights have changed since.
    """
    from knowlip.models import KnowLIP
    from knowlip.models.stored import holds_weights

    if not isinstance(model, KnowLIP):
        return str(shipped_model() if model is None else model)
    if model.folder is None:
        raise ValueError("This model was not loaded from a folder: save it (model.save_pretrained), and name that.")
    if not holds_weights(model.folder, model):
        raise ValueError(
            f"The weights of this model are not those of {model.folder} any more: save it (model.save_pretrained), and "
            "name that."
        )
    return str(model.folder)


def path_of(image: Pictured) -> Path:
    return _MEMORY if isinstance(image, np.ndarray) else Path(image)


def taken_image(image: Pictured, metres_per_pixel: float | None) -> "TakenImage":
    from knowlip.inference.images import TakenImage, read_image

    if not isinstance(image, np.ndarray):
        return read_image(Path(image), metres_per_pixel)
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"Pixels must be uint8 of shape (H, W), not {image.dtype} of shape {image.shape}.")
    return TakenImage(image, metres_per_pixel)


def view_of_given(image: Pictured, model: "KnowLIP", metres_per_pixel: float | None, strict: bool) -> Any:
    from knowlip.inference.views import view_of, view_of_image

    if isinstance(image, np.ndarray):
        return view_of_image(_MEMORY, taken_image(image, metres_per_pixel), model, strict)
    return view_of(Path(image), model, metres_per_pixel, strict)


def stated_metres(metres_per_pixel: float | None) -> dict[str, Any]:
    return {} if metres_per_pixel is None else {"metres_per_pixel": float(metres_per_pixel)}
