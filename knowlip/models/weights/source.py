"""A foreign checkpoint on disk: its tensors, and what lies around them."""

import argparse
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, regular_file, sha256
from knowlip.models.weights.known import provenance_of
from knowlip.models.weights.onnx_file import read_onnx
from knowlip.models.weights.torchscript import is_torchscript, read_torchscript

_FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder of the Hugging Face hub."""
_INDEXES = tuple(f"{name}.index.json" for name in _FILES)
"""Of weights in several files."""
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]{0,199}")
_MOST_SHARDS = 1000
_ENVELOPES = (
    *("model", "state_dict", "model_state_dict", "teacher", "module"),
    *("encoder", "backbone", "network", "net", "weights", "params"),
)
"""Under which training scripts keep the weights: BLIP, DeiT, MAE; MoCo, Lightning; plain PyTorch; DINO (its evaluation
uses the teacher); DeepSpeed; others."""
_PREFIXES = ("module.", "model.", "state_dict.", "model_state_dict.", "encoder.", "network.", "net.")
"""What wrappers put before every name: DDP, Lightning and others."""
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing put anywhere."""
_DEEPEST = 8
"""Envelopes in one another."""
_SPARSE = 1 << 20
"""Bytes from which a file must really lie on the disk."""
_MOST_PARTS = 100_000
"""Tensors of a file."""
_SHARED = 4
"""How many times the file's size its tensors may claim: names may share memory (tied weights)."""


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
    facts: dict[str, Any] = field(default_factory=dict)
    """Plain values that the file holds beside the weights (arguments of the training), by name."""
    pixels: dict[str, Any] = field(default_factory=dict)
    """Of a `preprocessor_config.json` beside the file, where there is one."""
    heads_from: dict[str, str] = field(default_factory=dict)
    """Tower ("vision", "text") -> who says how many heads it has where the file does not, for people."""


def read_source(path: Path) -> Source:
    """Read safetensors, ONNX or a PyTorch file (tensors and plain values only; nothing of it is run).

    Args:
        path: the file, or a folder of the Hugging Face hub with `model.safetensors` or `pytorch_model.bin`, or with
            several files of weights and their index.

    Raises:
        ValueError: there is no such file, it is broken, or it holds no tensors.
    """
    if path.is_dir():
        files = [path / name for name in (*_FILES, *_INDEXES) if (path / name).is_file()]
        if not files:
            raise ValueError(f"{path} holds neither {_FILES[0]} nor {_FILES[1]}, nor the index of several files.")
        path = files[0]
    elif path.name in _INDEXES:
        raise ValueError(f"{path} is an index: give the folder that it lies in.")
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    # An index is small and stands for files that are each looked at like one that stands alone.
    sharded = path.name in _INDEXES
    if not sharded:
        _check_size(path)
    source = Source(str(path), {}, config=_beside(path, "config.json"))
    source.pixels = _beside(path, "preprocessor_config.json")
    source.sha256 = "" if sharded else file_sha256(path)
    if known := provenance_of(source.sha256):
        source.notes.append(known)
    if sharded:
        _read_shards(source, path)
    elif path.suffix == ".onnx":
        found = read_onnx(path)
        source.state, source.beside = found.state, found.beside
        source.notes += found.notes
        if not source.state:
            raise ValueError(f"{path} holds no named tensors.")
    else:
        _unwrap(source, _load(path))
        _check_tensors(source, path)
    _strip(source)
    return source


def _read_shards(source: Source, index: Path) -> None:
    """Tensors of several files by their index, which may come from anywhere.

    Raises:
        ValueError: it is no index, names files elsewhere or that are not there, or files hold other tensors than it
            says.
    """
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not 0 < len(places) <= _MOST_PARTS:
        raise ValueError(f"{index} holds no weight_map.")
    # Names of files become paths: only those of this folder are looked at.
    names = {name if isinstance(name, str) else "" for name in places.values()}
    if wrong := sorted(name for name in names if not _SHARD.fullmatch(name)):
        raise ValueError(f"{index} names {wrong[0]!r:.80}, which is no file beside it.")
    if len(names) > _MOST_SHARDS:
        raise ValueError(f"{index} names more than {_MOST_SHARDS:,} files.")
    if absent := sorted(name for name in names if not index.with_name(name).is_file()):
        raise ValueError(f"{index.with_name(absent[0])} does not exist: {index.name} names it.")
    hashes = []
    for name in sorted(names):
        path, wanted = index.with_name(name), {key for key, place in places.items() if place == name}
        _check_size(path)
        held = _load(path)
        state = {key: one for key, one in held.items() if isinstance(one, Tensor)} if isinstance(held, dict) else {}
        shard = Source(str(path), state)
        _check_tensors(shard, path)
        if other := sorted(wanted ^ shard.state.keys()):
            raise ValueError(f"{path} holds other tensors than {index.name} says, first {other[0]:.80}.")
        source.state |= shard.state
        hashes.append(file_sha256(path))
    source.sha256 = sha256("\n".join(hashes).encode())
    source.notes.append(f"The weights lay in {len(names)} files.")


def _beside(path: Path, name: str) -> dict[str, Any]:
    """A JSON file beside the weights; empty where there is none."""
    beside = path.with_name(name)
    found = read_json(beside) if beside.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{beside} must hold a mapping of settings.")
    return found


def _check_size(path: Path) -> None:
    """Refuse a file that is not there in full, and an archive that unpacks to more than itself."""
    found = regular_file(path).stat()
    if found.st_size > _SPARSE and found.st_blocks * 512 < found.st_size // 8:
        raise ValueError(f"{path} says to have {found.st_size:,} bytes, but most of them are not on the disk.")
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{path} is a broken archive ({error}).") from None
        # PyTorch stores its tensors as they are: what unpacks to more was made by somebody else.
        unpacked = sum(member.file_size for member in members if "/code/" not in member.filename)
        if unpacked > found.st_size:
            raise ValueError(f"{path} unpacks to more than itself: save its tensors with torch.save or as safetensors.")


def _unwrap(source: Source, content: Any) -> None:
    """Take the tensors out of the envelopes around them."""
    # An envelope may lie in another (Lightning around DDP); a pickle can even hold itself.
    for _ in range(_DEEPEST):
        if not isinstance(content, dict):
            break
        inner = [key for key in _ENVELOPES if _holds_tensors(content.get(key))]
        if not inner and not any(isinstance(value, Tensor) for value in content.values()):
            inner = [key for key, value in content.items() if _holds_tensors(value)]
            if len(inner) > 1:
                names = ", ".join(str(key)[:40] for key in inner[:5])
                raise ValueError(f"{source.path} holds weights under {names}: save those that are meant alone.")
        if not inner:
            break
        source.facts |= _facts({key: value for key, value in content.items() if key not in inner})
        source.beside += [str(key) for key in content if key != inner[0]]
        # A moving average or a student beside the weights is another model of the same names.
        taken = _tensors(content[inner[0]])
        rest = [key for key in content if key != inner[0] and len(_tensors(content[key]) & taken) > len(taken) // 2]
        if others := ", ".join(str(key)[:40] for key in dict.fromkeys([*inner[1:], *rest])):
            source.notes.append(
                f"Weights lie under {inner[0]} and under {others}: those of {inner[0]} are taken; to take others, save "
                "them alone."
            )
        source.envelope, content = str(inner[0]), content[inner[0]]
    if source.envelope:
        source.notes.append(f"The weights lay under `{source.envelope}`.")
    if isinstance(content, dict):
        source.state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        source.beside += [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if not source.state:
        keys = ", ".join(str(key)[:40] for key in list(content)[:5]) if isinstance(content, dict) else ""
        raise ValueError(f"{source.path} holds no named tensors{f', only {keys}' if keys else ''}.")


def _holds_tensors(value: Any) -> bool:
    """Whether a mapping holds tensors, or mappings of them."""
    inner = value.values() if isinstance(value, dict) else ()
    return any(
        isinstance(one, Tensor) or (isinstance(one, dict) and any(isinstance(two, Tensor) for two in one.values()))
        for one in inner
    )


def _tensors(value: Any) -> set[str]:
    """Names of the tensors of a mapping, without what wrappers and moving averages put before them."""
    names = [str(key) for key, one in value.items() if isinstance(one, Tensor)] if isinstance(value, dict) else []
    return {_WRAPPERS.sub("", name).removeprefix("module.") for name in names}


def _facts(content: dict[Any, Any]) -> dict[str, Any]:
    """Plain values by name, of what lies beside the weights and one level within it."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        inner = vars(value) if isinstance(value, argparse.Namespace) else value
        for name, one in inner.items() if isinstance(inner, dict) else [(key, inner)]:
            if isinstance(one, str | int | float):
                found.setdefault(str(name), one)
    return found


def _check_tensors(source: Source, path: Path) -> None:
    """Refuse tensors that are more than the file holds."""
    if len(source.state) > _MOST_PARTS:
        raise ValueError(f"{path} holds more than {_MOST_PARTS:,} tensors.")
    claimed = 0
    for name, value in source.state.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise ValueError(f"{path}: {name} is no plain tensor: save the weights as dense floating-point numbers.")
        # A byte a number is what quantisers write, whose scales lie elsewhere or nowhere.
        if value.is_complex() or (value.is_floating_point() and value.element_size() < 2):
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(f"{path}: {name} holds {kind}: save the weights as fp32, fp16 or bf16.")
        size = value.numel() * value.element_size()
        if value.untyped_storage().nbytes() < size:
            raise ValueError(f"{path}: {name} claims more numbers than the file holds.")
        claimed += size
    if claimed > _SHARED * path.stat().st_size:
        raise ValueError(f"{path}: its tensors claim more than {_SHARED} times the file's size.")


def _strip(source: Source) -> None:
    """Take wrappers' words off the names."""
    names = {name: _WRAPPERS.sub("", name) for name in source.state}
    taken = sorted({found[1] for name in source.state for found in _WRAPPERS.finditer(name)})
    while (prefix := next((one for one in _PREFIXES if _all_begin(one, names.values())), None)) is not None:
        names = {name: short.removeprefix(prefix) for name, short in names.items()}
        taken.append(prefix.rstrip("."))
    if len(set(names.values())) < len(names):
        raise ValueError(f"{source.path} holds tensors twice, with and without a wrapper's prefix: save one of them.")
    if taken:
        words = ", ".join(f"`{word}.`" for word in taken)
        source.notes.append(f"Prefix {words} of wrappers taken off the names of the tensors.")
        source.state = {names[name]: value for name, value in source.state.items()}


def _all_begin(prefix: str, names: Collection[str]) -> bool:
    return bool(names) and all(name.startswith(prefix) and len(name) > len(prefix) for name in names)


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if is_torchscript(path):
            return read_torchscript(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # MAE and DINO save their arguments
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken files make the unpickler raise whatever it happens to meet
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as safetensors or as tensors saved by PyTorch ({first:.200}): "
            "if it holds other Python objects, save its tensors alone."
        ) from None
