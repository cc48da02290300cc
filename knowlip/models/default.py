"""The model that comes with KnowLIP: package data in `shipped/`, so that the commands of use answer right after the
install."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from knowlip.models.hub import CARD, WEIGHTS

SHIPPED: Final = "shipped"
"""Name of its folder beside this file."""
MOST_BYTES: Final = 12_000_000
"""All its files together are at most so large: every installation carries them."""


def shipped_model() -> Path:
    """The folder of the model that comes with KnowLIP; its README.md is its card.

    Raises:
        ValueError: this installation holds none.
    """
    folder = Path(
        str(files("knowlip.models") / SHIPPED)
    )  # of a package in a zip this is no folder, and there is no model
    if not all((folder / name).is_file() for name in (CARD, WEIGHTS)):
        raise ValueError(
            "This installation of KnowLIP comes without a model: give --model FOLDER or --model USER/REPO, or set "
            "$KNOWLIP_MODEL; `knowlip demo` trains one."
        )
    return folder
