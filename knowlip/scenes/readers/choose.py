"""Which polarisations of a product become scenes."""

from collections.abc import Sequence
from pathlib import Path

from knowlip.scenes.errors import UnknownFormat
from knowlip.scenes.scene import SceneOverrides


def choose(there: Sequence[str], overrides: SceneOverrides, path: Path) -> list[str]:
    """Polarisations to open: "all", the one the user names, else VV, else HH, else the first.

    Raises:
        UnknownFormat: the product does not hold the polarisation asked for, or none at all.
    """
    if not there:
        raise UnknownFormat(f"{path} holds no polarisation that can be read.")
    wanted = overrides.polarisation.upper()
    if wanted == "ALL":
        return list(there)
    if wanted:
        if wanted not in there:
            raise UnknownFormat(f"{path} holds {', '.join(there)}, not {wanted}; choose with --read.polarisation.")
        return [wanted]
    return [next((name for name in ("VV", "HH") if name in there), there[0])]
