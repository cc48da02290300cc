"""A model as one self-contained folder: `model.safetensors`, `knowlip.json`, and `README.md` for people and the hub.

The JSON holds everything that use needs: model config, tokenizer, normalisation, quantiser, metres per pixel range,
text length, the data set's fingerprint and the places it was trained on. Loading refuses a folder whose parts disagree.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from knowlip.base.documents import read_json
from knowlip.base.files import whole_folder, write_json
from knowlip.models.card import ModelCard
from knowlip.models.config import ModelConfig, TextConfig, VisionConfig
from knowlip.models.folder import model_readme
from knowlip.models.hub import CARD as _CARD
from knowlip.models.hub import README as _README
from knowlip.models.hub import WEIGHTS as _WEIGHTS
from knowlip.models.hub import find_model
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import TextTokenizer

FORMAT = 1


def save_model(model: KnowLIP, folder: Path, card: ModelCard, state: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write a model folder, whole or not at all.

    Args:
        model: what to save.
        folder: is replaced when it exists.
        card: facts to keep beside the weights (data fingerprint, quantiser, training blocks, versions, ...); JSON only.
        state: weights to save instead of the model's own, under the names of its state dict (e.g. gathered from the
            shards of several processes).
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


def load_model(folder: Path | str, device: str | torch.device = "cpu") -> KnowLIP:
    """Load a model for use (evaluation mode). `model.card` holds the facts saved beside the weights.

    Args:
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
    if found != FORMAT:
        raise ValueError(f"{folder} has model format {found}, this version reads {FORMAT}.")
    try:
        config = saved["model"]
        vision = VisionConfig(**{key: value for key, value in config["vision"].items() if key != "pretrained"})  # old
        model_config = ModelConfig(
            vision=vision,
            text=TextConfig(**config["text"]),
            embed_dim=config["embed_dim"],
            temperature=config["temperature"],
            readout=config.get("readout", False) is True,
        )
        described, card = json.dumps(saved["tokenizer"]), saved["card"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / _CARD} lacks or misnames {error}.") from None
    try:
        tokenizer = TextTokenizer.from_json(described)
    except Exception as error:  # the library raises nothing more specific
        raise ValueError(f"{folder / _CARD} holds a broken tokenizer ({error}).") from error
    try:
        model = KnowLIP(model_config, tokenizer)
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise ValueError(f"{folder / _CARD}: {error}") from None
    try:
        weights = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / _WEIGHTS} cannot be read ({error}).") from None
    expected = unshared(model)
    if missing := sorted(expected.keys() - weights.keys()):
        raise ValueError(f"{folder / _WEIGHTS} lacks {len(missing)} weights, first {missing[0]}.")
    if unknown := sorted(weights.keys() - expected.keys()):
        raise ValueError(f"{folder / _WEIGHTS} has {len(unknown)} unknown weights, first {unknown[0]}.")
    for name, weight in weights.items():
        if weight.shape != expected[name].shape:
            raise ValueError(f"{name} has shape {tuple(weight.shape)}, the config says {tuple(expected[name].shape)}.")
    model.load_state_dict(weights, strict=False)  # names shared between encoder and decoder are stored once
    model.card = card
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ValueError(f"The model cannot be put on {device}: {str(error).splitlines()[0]}") from error


def unshared(model: KnowLIP) -> dict[str, torch.Tensor]:
    """The state dict with every tensor under its first name only (encoder and decoder share most of theirs)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            result[name] = tensor.detach().contiguous()
    return result
