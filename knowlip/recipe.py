"""Recipes: small YAML files with one section a stage, named after what they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser

Config = TypeVar("Config")
FOLDER = Path(__file__).parent / "recipes"


def recipe_names() -> list[str]:
    """Names of the recipes that come with KnowLIP."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path) -> dict[str, Any]:
    """Read a recipe by its name, or any YAML file by its path. `base: NAME` in it stands for all that it does not say.

    Raises:
        ValueError: there is none, or it is not a mapping of stages to settings.
    """
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else FOLDER / f"{name}.yaml"
    try:
        recipe = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"There is no recipe {name}: give a YAML file, or one of {', '.join(recipe_names())}.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must hold one section a stage (build:, pretrain:, ...).")
    return _merged(load_recipe(recipe.pop("base")), recipe) if "base" in recipe else recipe


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `changes`, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def recipe_for(resolutions_m: Sequence[float]) -> str:
    """The recipe whose `native_resolution_m` range holds the typical (median) resolution of some scenes.

    Raises:
        ValueError: no recipe covers it.
    """
    typical = sorted(resolutions_m)[len(resolutions_m) // 2]
    for name in recipe_names():
        low, high = load_recipe(name).get("native_resolution_m", (0.0, 0.0))
        if low <= typical < high:
            return name
    raise ValueError(
        f"No recipe covers scenes of {typical:.1f} m: write one with windows_m that suit them and give it with --recipe."
    )


def stage_config(kind: type[Config], settings: dict[str, Any]) -> Config:
    """A typed config from plain settings, every value checked.

    Raises:
        ValueError: an unknown or unfit setting; the sentence names it.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "config")
    try:
        parsed = parser.parse_object({"config": settings})
    except ArgumentError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
    return parser.instantiate_classes(parsed).config  # type: ignore[no-any-return]
