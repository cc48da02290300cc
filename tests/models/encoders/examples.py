"""A tiny encoder of every kind, to be opened by name: what a test over all encoders takes.

A test module of this folder whose `CASES` make files of random weights (`case().write(folder)` -> name) is found by
itself, the first case of each kind; kinds that need no file, and ours, stand here.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import timm
import torch
from safetensors.torch import save_file

import tests.models.encoders as here
from knowlip.models.config import VisionConfig
from knowlip.models.vision_model import VisionModel, save_vision
from tests.inference.tiny_model import tiny_model

OWN = ("pixels", "random", "ours")
"""Labels of those that need no file of another project, and differ in what they can."""


def tiny_encoders(folder: Path) -> dict[str, tuple[str, int | None]]:
    """Label -> name, and the side of its input where it should not be its own."""
    torch.manual_seed(1)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "w.safetensors")
    sizes = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
    tower = VisionModel(VisionConfig("vit_tiny_patch16_224", 32, sizes))
    save_vision(tower, folder / "tower", {}, "mae", tower.visual_encoder.state_dict())
    found: dict[str, tuple[str, int | None]] = {
        "pixels": ("pixels", None),
        "random": ("random:test_vit", 64),
        "ours": (str(tiny_model(folder / "ours")), None),
        "timm": (f"timm:test_vit@{folder / 'w.safetensors'}", 64),
        "vision": (f"vision:{folder / 'tower'}", None),
    }
    for module in iter_modules(here.__path__):
        cases = getattr(import_module(f"{here.__name__}.{module.name}"), "CASES", {})
        for case in cases.values() if isinstance(cases, dict) else ():
            torch.manual_seed(0)
            made = case()
            if made.kind not in found:
                (folder / made.kind).mkdir()
                found[made.kind] = (made.write(folder / made.kind), None)
    return found
