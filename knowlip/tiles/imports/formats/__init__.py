"""Formats of labelled sets, one file each: found by their files, nothing is registered anywhere.

A format's file has `ABOUT`, the format in a few words, and `read(config, finder, problems) -> list[LabelledImage]`.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

NAMES = tuple(sorted(found.name for found in iter_modules(__path__)))
"""Of the formats that there are."""


def format_named(name: str) -> ModuleType:
    """The module that reads a format.

    Raises:
        ValueError: there is none; the sentence lists those that there are.
    """
    if name not in NAMES:
        raise ValueError(f"format must be one of {', '.join(NAMES)}, not {name!r}.")
    return import_module(f"{__name__}.{name}")
