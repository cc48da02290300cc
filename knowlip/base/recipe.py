"""Recipes: small YAML files with one section a stage, named after what they make."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from knowlip.base.config import read_yaml

Config = TypeVar("Config")
FOLDER = Path(__file__).parents[1] / "recipes"
SECTIONS = ("simulate", "build", "annotate", "pretrain", "finetune", "evaluate", "report")
"""Stages that a recipe may set, in the order in which they run."""
_FACTS = ("about", "native_resolution_m")


def recipe_names() -> list[str]:
    """Names of the recipes that come with KnowLIP."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str | Path) -> dict[str, Any]:
    """Read a recipe by its name, or any YAML file by its path. `base: NAME` in it stands for all that it does not say.

    Returns:
        Every stage that the recipe names with its settings ({} where it has none), and its facts.

    Raises:
        ValueError: there is none, it is no mapping of stages to settings, or it is based on itself.
    """
    return _load(name, ())


def _load(name: str | Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """:func:`load_recipe`, knowing the recipes that are based on this one."""
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else FOLDER / f"{name}.yaml"
    recipe = read_yaml(path, f"There is no recipe {name}: give a YAML file, or one of {', '.join(recipe_names())}.")
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must hold one section a stage (build:, pretrain:, ...).")
    if path in above:
        raise ValueError(f"The recipe {path} is based on itself.")
    base = recipe.pop("base", None)
    for key, section in recipe.items():
        if key not in _FACTS:
            check_section(str(key), f"{path} names")
            recipe[key] = {} if section is None else section
            if not isinstance(recipe[key], dict):
                raise ValueError(f"{path}: {key} must hold settings (key: value), not {section!r}.")
    return recipe if base is None else _merged(_load(str(base), (*above, path)), recipe)


def check_section(name: str, who: str) -> None:
    """Raise `ValueError` unless a recipe may have a section of this name."""
    if name not in SECTIONS:
        raise ValueError(f"{who} a stage {name!r}, which there is not: choose from {', '.join(SECTIONS)}.")


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
        f"No recipe covers scenes of {typical:.1f} m: write one with windows_m that suit them and give it by --recipe."
    )


def stage_config(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    """A typed config from plain settings, every value checked.

    Raises:
        ValueError: an unknown or unfit setting; the sentence names it.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "config")
    try:
        check_settings(kind, settings)
    except ValueError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
    try:
        parsed = parser.parse_object({"config": dict(settings)})
    except ArgumentError as error:
        raise ValueError(f"{kind.__name__}: {setting_error(error)}") from None
    config: Config = parser.instantiate(parsed).config
    return config


def check_settings(kind: Any, settings: Mapping[str, Any], prefix: str = "") -> None:
    """Raise `ValueError` for a setting that the dataclass `kind` does not have, or a group of settings that is none."""
    types = get_type_hints(kind)
    for name, value in settings.items():
        if name not in types:
            raise ValueError(f"There is no setting {prefix}{name}: choose from {', '.join(_known(kind, prefix))}.")
        if dataclasses.is_dataclass(types[name]) and not dataclasses.is_dataclass(value):
            if not isinstance(value, Mapping):
                raise ValueError(f"The setting {prefix}{name} is a group of settings, it cannot be {value!r}.")
            check_settings(types[name], value, f"{prefix}{name}.")


def _known(kind: Any, prefix: str) -> Iterable[str]:
    return (f"{prefix}{field.name}" for field in dataclasses.fields(kind))


def setting_error(error: ArgumentError) -> str:
    """One sentence for people about an argument that does not fit."""
    text = " ".join(str(error).split())
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "").replace("a int", "an int")
    found = re.match(r'Parser key "(?:config\.)?([\w.]+)": (.*)', text)
    if found:
        name, why = found.groups()
        union = re.match(r"Does not validate .*? Subtypes: \[(.*)\] Errors:.*Given value: (.*)", why)
        if union:
            why = f"Expected {union[1].replace(', NoneType', ' or null')}. Got value: {union[2]}"
        text = f"The setting {name} does not fit: {why[:1].lower()}{why[1:]}"
    else:
        text = re.sub(r"Group '(\w+)' does not accept option '([\w.]+)'", r"there is no setting \2", text)
        text = re.sub(r"\bconfig\.", "", text)
        text = f"{text[:1].upper()}{text[1:]}"
    return f"{text.rstrip('.')}."
