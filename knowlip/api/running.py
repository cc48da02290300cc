"""Any command by its name, and settings as keywords of Python."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

import numpy as np

from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.commands import COMMANDS

PathLike: TypeAlias = str | Path


def run(command: str, recipe: PathLike | None = None, **settings: Any) -> Any:
    """Any command of `knowlip`, with its settings as keywords; what it returns, plain facts.

    Args:
        command: as on the command line, e.g. "finetune", "bench run", "dataset audit".
        recipe: its settings by name, or from a YAML file; `settings` go before them.
        settings: groups of settings are dicts, which join those of the recipe name by name. {} of a free-form
            dictionary (`model={"vision": {"changes": {}}}`) clears it, as it does on the command line.

    Raises:
        ValueError: no such command, a setting that is unknown or cannot work, or what the command says.

    >>> knowlip.run("dataset verify", dataset="dataset")["tiles"]
    21
    >>> knowlip.run("bild")
    Traceback (most recent call last):
    ValueError: There is no command 'bild': did you mean build?
    """
    from difflib import get_close_matches

    if command not in COMMANDS:
        near = get_close_matches(command, COMMANDS, 1)
        more = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}."
        raise ValueError(f"There is no command {command!r}: {more}")
    begun: dict[str, Any] = {}
    if recipe is not None:
        sections = load_recipe(recipe)
        if command not in sections:
            there = ", ".join(name for name in sections if name in COMMANDS)
            raise ValueError(f"The recipe {recipe} has no settings of {command!r}; it has those of {there or 'none'}.")
        begun = dict(sections[command])
    known = COMMANDS[command]
    kind = known.kind()
    return known.run(stage_config(kind, joined(begun, plain(settings), kind)))


def joined(under: Mapping[str, Any], over: Mapping[str, Any], kind: Any = None) -> dict[str, Any]:
    """Settings of which the second go before the first, group by group.

    Args:
        under, over: both plain.
        kind: dataclass of the settings; None: of a free-form dictionary. An empty one clears what stood under it, while
            a group of settings without any changes nothing.
    """
    found, hints = dict(under), get_type_hints(kind) if kind is not None else {}
    for name, value in over.items():
        group = hints.get(name) if is_dataclass(hints.get(name)) else None
        both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping) and (value or group is not None)
        found[name] = joined(found[name], value, group) if both else value
    return found


def plain(value: Any) -> Any:
    """Settings as a file of them would hold them: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def without(settings: Mapping[str, Any], names: Sequence[str], what: str) -> dict[str, Any]:
    """Settings as they go on, but for those that are no keyword here."""
    for name in names:
        if name in settings:
            raise ValueError(f"{name} is no keyword of knowlip.{what}: use knowlip.run({what!r}, {name}=...).")
    found: dict[str, Any] = plain(settings)
    return found


def listed(paths: PathLike | Sequence[PathLike]) -> list[str]:
    return [str(one) for one in ([paths] if isinstance(paths, str | Path) else paths)]
