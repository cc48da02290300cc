"""Tensors of a TorchScript archive (OpenAI's CLIP), without running or even loading its code.

Such an archive is a zip: `data.pkl` describes the modules and names their tensors, `data/N` holds the numbers of one
storage. Only what describes tensors is understood of the pickle; modules become mappings of their attributes.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}
_MOST_PICKLED = 64 << 20
"""Bytes of the description."""
_MOST_DEPTH = 60
_MOST_TENSORS = 100_000


class _Module:
    """A module of the archive: what its state says, as attributes."""

    def __init__(self, *unused: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Understands tensors, modules and plain values; nothing else can be named."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter")):
            return _tensor if name == "_rebuild_tensor_v2" else _parameter
        if module == "torch" and name in _DTYPES:
            return name
        if module == "torch.jit._pickle":
            return _values
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a description of tensors")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, count = pid
        if kind != "storage" or dtype not in _DTYPES or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a storage of an unknown kind")
        if key not in self.storages:
            member = self.archive.getinfo(f"{self.root}data/{key}")
            kind_of = _DTYPES[dtype]
            if member.file_size < count * kind_of.itemsize or member.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError(f"storage {key} holds fewer numbers than it says")
            numbers = bytearray(self.archive.read(member))
            self.storages[key] = torch.frombuffer(numbers, dtype=kind_of) if numbers else torch.empty(0, dtype=kind_of)
        return self.storages[key]


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive with code of TorchScript in it."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, OSError):
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The tensors of an archive by their names in the module.

    Raises:
        Exception: it is broken; whoever calls says so in a sentence (the pickle can fail in any way).
    """
    with zipfile.ZipFile(path) as archive:
        described = next(one for one in archive.infolist() if one.filename.endswith("/data.pkl"))
        if described.file_size > _MOST_PICKLED:
            raise ValueError("its description of the modules is larger than any model's")
        root = described.filename.removesuffix("data.pkl")
        with archive.open(described) as stream:
            top = _Unpickler(stream, archive, root).load()
    found: dict[str, Tensor] = {}
    _collect(top, "", found, 0)
    return found


def _collect(module: Any, prefix: str, found: dict[str, Tensor], depth: int) -> None:
    """Tensors of a module and of those in it."""
    state = module.state if isinstance(module, _Module) else None
    if not isinstance(state, dict) or depth > _MOST_DEPTH:
        return
    for name, value in state.items():
        if isinstance(value, Tensor):
            found[f"{prefix}{name}"] = value
            if len(found) > _MOST_TENSORS:
                raise ValueError(f"it holds more than {_MOST_TENSORS:,} tensors")
        elif isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", found, depth + 1)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *unused: Any) -> Tensor:
    """A view of a storage; PyTorch refuses one that reaches beyond it."""
    return torch.as_strided(storage, size, stride, offset)


def _parameter(data: Tensor, *unused: Any) -> Tensor:
    return data


def _values(value: Any, *unused: Any) -> Any:
    """Lists of numbers, which TorchScript pickles in a way of its own."""
    return value
