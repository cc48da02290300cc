"""Modules whose tensors have shapes but no memory, and no random numbers drawn for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _SmallOnCpu(TorchFunctionMode):
    """timm before 1.0.21 turns the drop rates of its layers, made by `linspace`, into numbers: these need memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    """What is built inside has shapes alone; `module.to_empty(device=...)` gives it memory."""
    with torch.device("meta"), _SmallOnCpu():
        yield
