"""sicd."""

from pathlib import Path

from knowlip.scenes.scene import Scene, SceneOverrides

NAME = "sicd"


def matches(path: Path) -> bool:
    return False


def open_product(path: Path, overrides: SceneOverrides) -> list[Scene]:
    return []
