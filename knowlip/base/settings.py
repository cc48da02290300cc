"""Settings are frozen dataclasses; here they become YAML and are compared with those of a former run.

There is one way to check them. What is wrong by itself or beside a neighbour is refused by `__post_init__` with a
`ValueError` that names the setting, so that settings which exist are sound, whether they came from flags, a recipe or
Python. What depends on files, data or the machine is refused by the function that takes the settings, before it writes.
A new setting whose default is not what was done before says so in `BEFORE` (`BEFORE: ClassVar = {"name": value}`).
A setting that got another name stands in the dataclass's `RENAMED` (`RENAMED: ClassVar = {"old": "new"}`): flags and
recipes with the old one are told the new one, and folders made with it go on.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from knowlip.base.documents import read_yaml
from knowlip.base.files import whole_file


def plain(value: Any) -> Any:
    """A config as nested dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def save_config(path: Path, config: Any) -> None:
    """Write a config as YAML."""
    with whole_file(path) as part:
        part.write_text(yaml.safe_dump(plain(config), sort_keys=False))


def same_or_refuse(
    path: Path, config: Any, free: tuple[str, ...] = (), groups: Mapping[str, type] | None = None
) -> None:
    """Save `config` at `path`, or compare it with the one that a former run saved there.

    Args:
        path: the saved YAML.
        config: today's config.
        free: fields that may differ (they do not change the result), with dots for those of groups.
        groups: of a config that is a mapping: name of an entry -> dataclass whose settings it holds. As for a
            dataclass, a setting that a former version did not have counts as its default.

    Raises:
        ValueError: another setting was used before, or the saved file is damaged; the sentence names it.
    """
    if not path.is_file():
        save_config(path, config)
        return
    saved = read_yaml(path)
    if not isinstance(saved, dict):
        raise ValueError(f"{path} holds no settings: use another output folder, or delete this one.")
    then = {_today(type(config), key): value for key, value in _flat(saved).items()}
    old, new = without(then, free), without(plain(config), free)
    for key in sorted(old.keys() | new.keys()):
        was = old[key] if key in old else _default(type(config), saved, key)
        group, _, rest = key.partition(".")
        if key not in old and groups is not None and group in groups and isinstance(saved.get(group), dict):
            was = _default(groups[group], saved[group], rest)
        if was != new.get(key):
            raise ValueError(
                f"{path.parent} was made with {key} = {was!r}, now it is {new.get(key)!r}: "
                "use another output folder, or delete this one."
            )


def _default(kind: Any, saved: dict[str, Any], name: str) -> Any:
    """What a setting counts as that a former version did not have: its default, which is what was done before there was
    a choice. None where the setting was there, and only an entry of it is new."""
    if not dataclasses.is_dataclass(kind):
        return None
    part, _, rest = name.partition(".")
    there = {new_name(kind, key) or key: value for key, value in saved.items()}
    field = next((one for one in dataclasses.fields(kind) if one.name == part), None)
    if field is None:
        return None
    if part in there:
        inner, inside = get_type_hints(kind)[part], there[part]
        return _default(inner, inside, rest) if dataclasses.is_dataclass(inner) and isinstance(inside, dict) else None
    before = getattr(kind, "BEFORE", {})
    if part in before:
        return before[part]
    made = field.default_factory
    default = field.default if made is dataclasses.MISSING else made()
    return None if default is dataclasses.MISSING else _flat(plain(default), f"{part}.").get(name)


def without(settings: dict[str, Any], free: tuple[str, ...]) -> dict[str, Any]:
    """Settings by dotted names, without some fields or whole groups of them."""
    flat = _flat(settings)
    return {key: value for key, value in flat.items() if not any(f"{key}.".startswith(f"{name}.") for name in free)}


def new_name(kind: Any, name: str) -> str | None:
    """Today's name of a setting of a dataclass that had another one; None where it never had."""
    new: str | None = getattr(kind, "RENAMED", {}).get(name)
    return new


def _today(kind: Any, name: str) -> str:
    """A dotted name of former settings, as it is today."""
    part, dot, rest = name.partition(".")
    part = new_name(kind, part) or part
    if not dot or not dataclasses.is_dataclass(kind):
        return part + dot + rest
    return part + dot + _today(get_type_hints(kind).get(part), rest)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): value}
