"""A model as one self-contained folder: `model.safetensors`, `knowlip.json`, and `README.md` for people and the hub.

The JSON holds everything that use needs: model config, tokenizer, normalisation, quantiser, metres per pixel range,
text length, the data set's fingerprint and the places it was trained on. Loading refuses a folder whose parts disagree.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from knowlip.base.documents import read_json
from knowlip.base.files import whole_folder, write_json
from knowlip.models.card import ModelCard, checked_card
from knowlip.models.config import model_config
from knowlip.models.device import chosen
from knowlip.models.folder import model_readme
from knowlip.models.hub import CARD as _CARD
from knowlip.models.hub import README as _README
from knowlip.models.hub import WEIGHTS as _WEIGHTS
from knowlip.models.hub import find_model
from knowlip.models.layout import check_shapes, numbers_of, unshared
from knowlip.models.tokenizer import TextTokenizer
from knowlip.models.towers import Towers

FORMAT = 1
Model = TypeVar("Model", bound=Towers)


def save_model(
    model: Towers,
    folder: Path,
    card: ModelCard,
    state: Mapping[str, torch.Tensor] | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write a model folder, whole or not at all.

    Args:
        model: what to save.
        folder: is replaced when it exists.
        card: facts to keep beside the weights (data fingerprint, quantiser, training blocks, versions, ...); JSON only.
        state: weights to save instead of the model's own, under the names of its state dict (e.g. gathered from the
            shards of several processes).
        files: name -> content of what lies beside these for others.
    """
    weights = unshared(model)
    if state is not None:
        weights = {name: state[name].detach().cpu().contiguous() for name in weights}
    config = dataclasses.asdict(model.config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with whole_folder(folder) as part:
        save_file(weights, part / _WEIGHTS, metadata={"format": "pt"})
        tokenizer = json.loads(model.tokenizer.to_json())
        write_json(part / _CARD, {"format": FORMAT, "model": config, "tokenizer": tokenizer, "card": card})
        (part / _README).write_text(model_readme(config, card, parameters))
        for name, content in (files or {}).items():
            (part / name).write_text(content)


def read_model(kind: type[Model], folder: Path | str, device: str | torch.device = "cpu") -> Model:
    """Load a model for use (evaluation mode). `model.card` holds the facts saved beside the weights.

    Args:
        kind: the class that is made of it.
        folder: its folder, or "user/repo" of the hub, see :func:`knowlip.models.hub.find_model`.
        device: where its weights go; "auto" is the first GPU where there is one.

    Raises:
        ValueError: no such model, a broken file, another format, or weights that do not fit the config.
    """
    folder = find_model(folder)
    if not (folder / _CARD).is_file():
        raise ValueError(f"{folder} is not a KnowLIP model: it needs {_CARD} and {_WEIGHTS}.")
    saved = read_json(folder / _CARD)
    found = saved.get("format") if isinstance(saved, dict) else None
    if type(found) is not int or found != FORMAT:
        raise ValueError(f"{folder} has model format {found!r:.60}, this version reads {FORMAT}.")
    if missing := sorted({"model", "tokenizer", "card"} - saved.keys()):
        raise ValueError(f"{folder / _CARD} lacks {missing[0]}.")
    try:
        config, tokenizer = model_config(saved["model"]), TextTokenizer.from_json(json.dumps(saved["tokenizer"]))
        card = checked_card(saved["card"])
        # Only what the file holds too is allocated: a folder never costs more than its own weights.
        check_shapes(folder / _WEIGHTS, config, tokenizer)
    except ValueError as error:
        raise ValueError(f"{folder / _CARD}: {str(error).removeprefix(f'{folder}/')}") from None
    model = kind(config, tokenizer)
    weights = numbers_of(folder / _WEIGHTS)
    model.load_state_dict(weights, strict=False)  # names shared between encoder and decoder are stored once
    model.card, model.folder = card, folder
    device = chosen(device)
    try:
        return model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"The model cannot be put on {device}: {str(error).splitlines()[0]}") from error


def holds_weights(folder: Path, model: Towers) -> bool:
    """Whether a model in memory has the weights of a folder, rounded to the precision that it has now.

    Args:
        folder: of a model.
        model: that was loaded from it, and perhaps trained on since.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError):
        return False
    own = model.state_dict()
    return all(
        name in own and torch.equal(weight.to(own[name].dtype), own[name].cpu()) for name, weight in weights.items()
    )
