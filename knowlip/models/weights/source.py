"""A foreign checkpoint on disk: its tensors, and what lies around them."""

import argparse
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256
from knowlip.models.weights.known import provenance_of
from knowlip.models.weights.onnx_file import read_onnx

_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder of the Hugging Face hub."""
_ENVELOPES = ("model", "state_dict", "teacher")
"""Under which training scripts keep the weights: BLIP, DeiT, MAE; MoCo; DINO (its evaluation uses the teacher)."""


@dataclass
class Source:
    """Tensors of a file by name, flat."""

    path: str
    state: dict[str, Tensor]
    envelope: str = ""
    """Key of the file under which they lay; "" where the file is nothing but tensors."""
    beside: list[str] = field(default_factory=list)
    """What else the file holds (optimiser, epoch, arguments)."""
    config: dict[str, Any] = field(default_factory=dict)
    """Of a `config.json` beside the file, where there is one."""
    notes: list[str] = field(default_factory=list)
    """What is known of the file, and what was done to read it, for people."""
    sha256: str = ""
    """Of the file; "" where there is none."""


def read_source(path: Path) -> Source:
    """Read safetensors, ONNX or a PyTorch file (tensors and plain values only; nothing of it is run).

    Args:
        path: the file, or a folder of the Hugging Face hub with `model.safetensors` or `pytorch_model.bin`.

    Raises:
        ValueError: there is no such file, it is broken, or it holds no tensors.
    """
    if path.is_dir():
        files = [path / name for name in _FILES if (path / name).is_file()]
        if not files:
            raise ValueError(f"{path} holds neither {_FILES[0]} nor {_FILES[1]}.")
        path = files[0]
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    config = path.with_name("config.json")
    source = Source(str(path), {}, config=read_json(config) if config.is_file() else {}, sha256=file_sha256(path))
    if known := provenance_of(source.sha256):
        source.notes.append(known)
    if path.suffix == ".onnx":
        found = read_onnx(path)
        source.state, source.beside = found.state, found.beside
        source.notes += found.notes
    else:
        _unwrap(source, _load(path))
    if not source.state:
        raise ValueError(f"{path} holds no named tensors.")
    return source


def _unwrap(source: Source, content: Any) -> None:
    """Take the tensors out of the envelopes around them."""
    while isinstance(content, dict):
        inner = next((key for key in _ENVELOPES if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        source.beside += [key for key in content if key != inner]
        source.envelope, content = inner, content[inner]
    if isinstance(content, dict):
        source.state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        source.beside += [str(name) for name, value in content.items() if not isinstance(value, Tensor)]


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # MAE and DINO save their arguments
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as safetensors or as tensors saved by PyTorch ({first}): "
            "if it holds other Python objects, save its tensors alone."
        ) from None
