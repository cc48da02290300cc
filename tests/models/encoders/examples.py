"""A tiny encoder of every kind, to be opened by name: what a test over all encoders takes.

A test module of this folder whose `CASES` make files of random weights (`case().write(folder)` -> name) is found by
itself; kinds that need no file, and ours, stand here.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import timm
import torch
from safetensors.torch import save_file

import tests.models.encoders as here
from tests.inference.tiny_model import tiny_model

OWN = ("pixels", "random", "ours")
"""Labels of those that need no file of another project."""


def tiny_encoders(folder: Path) -> dict[str, tuple[str, int | None]]:
    """Label -> name, and the side of its input where it should not be its own."""
    torch.manual_seed(1)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "w.safetensors")
    found: dict[str, tuple[str, int | None]] = {
        "pixels": ("pixels", None),
        "random": ("random:test_vit", 64),
        "timm": (f"timm:test_vit@{folder / 'w.safetensors'}", 64),
        "ours": (str(tiny_model(folder / "ours")), None),
    }
    for module in iter_modules(here.__path__):
        for name, case in getattr(import_module(f"{here.__name__}.{module.name}"), "CASES", {}).items():
            (folder / name).mkdir()
            torch.manual_seed(0)
            found[name] = (case().write(folder / name), None)
    return found
