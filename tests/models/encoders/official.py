"""The official model code of other projects as an oracle, where a checkout of it lies in KNOWLIP_OFFICIAL.

Nothing of it is part of this repository: docs/contributing/encoder.md says which repositories are read.
"""

import importlib
import os
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn


def checkout(name: str) -> Path:
    """The folder of a repository; the test is skipped where there is none."""
    folder = Path(os.environ.get("KNOWLIP_OFFICIAL", "")) / name
    if not os.environ.get("KNOWLIP_OFFICIAL") or not folder.is_dir():
        pytest.skip(f"no checkout of {name} in KNOWLIP_OFFICIAL")
    return folder


@contextmanager
def modules_of(folder: Path, stubs: Mapping[str, Mapping[str, Any]] = {}) -> Iterator[types.SimpleNamespace]:
    """Import from a folder, with stubs for what its files import and the model does not use; all is forgotten after."""
    before = dict(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        for name, members in stubs.items():
            module = types.ModuleType(name)
            module.__dict__.update(members)
            module.__path__ = []
            sys.modules[name] = module
        yield types.SimpleNamespace(get=importlib.import_module)
    except ModuleNotFoundError as error:
        pytest.skip(f"{folder.name} needs {error.name}")
    finally:
        sys.path.remove(str(folder))
        for name in sys.modules.keys() - before.keys():
            if not name.startswith(("torch", "timm", "transformers", "numpy", "safetensors")):
                del sys.modules[name]
        for name in stubs:
            sys.modules.pop(name, None)
            if name in before:
                sys.modules[name] = before[name]


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and buffer of floating-point numbers gets values that matter, norms and scales around one."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point() or name.endswith("attn_mask"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        around = 1.0 if tensor.ndim == 1 and name.endswith(("weight", "gamma")) else 0.0
        tensor.copy_(around + noise * (0.3 if tensor.ndim <= 1 else 0.6 / max(tensor[0].numel(), 1) ** 0.5))
    return module.eval()
