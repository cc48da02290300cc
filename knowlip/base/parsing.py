"""From what a user wrote (YAML, flags) to typed settings: an unknown or unfit one is named in a sentence."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

Config = TypeVar("Config")


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
