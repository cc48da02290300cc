"""Recipes: small YAML files with one section a stage, named after what they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowlip.base.documents import parse_yaml, read_yaml

FOLDER = Path(__file__).parents[1] / "recipes"
SECTIONS = (
    "simulate",
    "build",
    "annotate",
    "selfsup",
    "pretrain",
    "finetune",
    "classify",
    "detect",
    "segment",
    "evaluate",
    "report",
)
"""Stages that a recipe may set, in the order in which they run; each is a command."""
BENCHED = ("retrieve", "caption", "vqa")
"""More sections: tasks that `knowlip bench run` alone trains."""
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
    if name not in (*SECTIONS, *BENCHED):
        known = ", ".join((*SECTIONS, *BENCHED))
        raise ValueError(f"{who} a stage {name!r}, which there is not: choose from {known}.")


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


def with_changes(recipe: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Apply "stage.key.key=value" (value in YAML) to a recipe."""
    for change in changes:
        name, equals, value = change.partition("=")
        keys = name.split(".")
        if not equals or len(keys) < 2 or not all(keys):
            raise ValueError(f"--set takes STAGE.KEY=VALUE, not {change!r}.")
        check_section(keys[0], f"--set {change} names")
        section = recipe
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise ValueError(f"--set {change}: {key} has a value and no settings of its own.")
        try:
            section[keys[-1]] = parse_yaml(value, "its value")
        except ValueError as error:
            raise ValueError(f"--set {change[:200]}: {error}") from None
    return recipe
