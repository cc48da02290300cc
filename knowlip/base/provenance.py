"""What one needs to know to repeat a run: versions, machine type and commit."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

_PACKAGES = (
    "knowlip",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "rasterio",
    "pyarrow",
    "tokenizers",
    "lightning-fabric",
)


class Provenance(TypedDict):
    """What one needs to know to repeat a run."""

    python: str
    machine: str
    command: str
    commit: str
    versions: dict[str, str]


def provenance() -> Provenance:
    """Versions, machine type and commit: what one needs to know to repeat a run."""
    return {
        "python": platform.python_version(),
        "machine": machine(),
        "command": " ".join(["knowlip", *sys.argv[1:]]),
        "commit": commit(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def machine() -> str:
    """The machine by its type, never by its name: cores, processor family, accelerator."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{cores}-core {platform.machine()} CPU"
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            text += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return text


def commit() -> str:
    """The git commit of the source, "" where it is not a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return result.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
