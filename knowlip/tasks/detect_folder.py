"""A detector on disk: `detector.json` and `detector.safetensors`, whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.base.files import whole_folder, write_json
from knowlip.base.parsing import stage_config
from knowlip.base.provenance import provenance
from knowlip.base.settings import plain
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.encoders import open_encoder

_CARD, _WEIGHTS, _FORMAT = "detector.json", "detector.safetensors", 1


def save_detector(detector: Detector, state: dict[str, Tensor], folder: Path, encoder: str, size: int | None) -> None:
    """Write a detector; its encoder's weights are in it, the name says how they are built."""
    card = {
        "format": _FORMAT,
        "encoder": encoder,
        "size": size,
        "classes": detector.classes,
        "detector": plain(detector.config),
        "card": provenance(),
    }
    with whole_folder(folder) as part:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, part / _WEIGHTS)
        write_json(part / _CARD, card)


def load_detector(folder: Path, device: torch.device | str = "cpu") -> Detector:
    """Open what :func:`save_detector` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no detector, a broken one, or its encoder is not there.
    """
    card = _card(folder)
    config = stage_config(DetectorConfig, card["detector"])
    detector = Detector(open_encoder(card["encoder"], device, card["size"]), card["classes"], config)
    try:
        detector.load_state_dict(_weights(folder))
    except RuntimeError as error:
        raise ValueError(f"{folder / _WEIGHTS} does not fit its encoder ({str(error).splitlines()[0]}).") from None
    return detector.eval().to(device)


def read_weights(detector: Detector, folder: Path) -> None:
    """Fill a detector with the weights of a saved one of the same shape, to go on from.

    Raises:
        ValueError: none, or one of other classes or sizes.
    """
    folder = folder / "model" if (folder / "model" / _CARD).is_file() else folder
    card = _card(folder)
    if card["classes"] != detector.classes:
        raise ValueError(
            f"{folder} finds {', '.join(card['classes'])}, and here are {', '.join(detector.classes)}: map them onto "
            "each other by `classes`, or set `single_class`."
        )
    try:
        detector.load_state_dict(_weights(folder))
    except RuntimeError as error:
        raise ValueError(
            f"{folder / _WEIGHTS} has another encoder, size or head ({str(error).splitlines()[0]})."
        ) from None


def _card(folder: Path) -> dict[str, Any]:
    if not (folder / _CARD).is_file():
        raise ValueError(f"{folder} is not a detector: it needs {_CARD} and {_WEIGHTS}.")
    card = read_json(folder / _CARD)
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise ValueError(f"{folder / _CARD} is of no format that this version reads ({_FORMAT}).")
    kinds = {"encoder": str, "size": int | None, "classes": list, "detector": dict}
    sound = all(isinstance(card.get(name, 0.0), kind) for name, kind in kinds.items())
    if not sound or not card["classes"] or not all(isinstance(name, str) for name in card["classes"]):
        raise ValueError(f"{folder / _CARD} lacks a sound encoder, size, list of classes or settings of the detector.")
    return card


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(folder / _WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / _WEIGHTS} cannot be read ({str(error).splitlines()[0]}).") from None
