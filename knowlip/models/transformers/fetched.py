"""Files of a folder, or of USER/REPO of the hub, for transformers' `from_pretrained`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers.utils.hub import cached_file

HUB: Final = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""Settings that say where a file is fetched from."""
_PASSED: Final = (
    *("adapter_kwargs", "code_revision", "use_safetensors", "weights_only", "attn_implementation", "config"),
    *("dtype", "torch_dtype", "device_map"),
)
"""What Auto classes and pipelines hand on besides: the model's, or so in any case."""


def hub_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `from_pretrained` that say where files are fetched from.

    Args:
        settings: all that were given.

    Raises:
        ValueError: one that is unknown, or that asks for remote code or for other weights than safetensors.
    """
    if settings.get("trust_remote_code"):
        raise ValueError("KnowLIP runs no code of a model's folder: leave trust_remote_code out.")
    if settings.get("use_safetensors") is False or settings.get("weights_only") is False:
        raise ValueError("KnowLIP reads weights as safetensors alone: leave use_safetensors and weights_only out.")
    for name in settings:
        if name not in (*HUB, *_PASSED, "trust_remote_code") and not name.startswith("_"):
            raise ValueError(f"from_pretrained has no setting {name:.60} here.")
    return {name: settings[name] for name in HUB if name in settings}


def fetched(name: str | os.PathLike[str], file: str, hub: Mapping[str, Any]) -> Path:
    """One file on disk.

    Raises:
        ValueError: neither a folder that holds it nor a repository that does.
    """
    try:
        found = cached_file(name, file, **hub)
    except OSError as error:
        raise ValueError(f"{name} has no {file} that can be read: {str(error).splitlines()[0]}") from None
    if found is None:  # of some files transformers says so instead of raising
        raise ValueError(f"{name} has no {file}.")
    return Path(found)
