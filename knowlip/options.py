"""Flags of the light commands that use a model, made from the dataclass of their settings."""

import argparse
from typing import Any, get_type_hints

from knowlip.base.generation import GenerationConfig


def told(kind: Any) -> dict[str, str]:
    """What the docstrings of a dataclass say of its fields."""
    from docstring_parser import parse_from_object

    return {param.arg_name: (param.description or "").replace("%", "%%") for param in parse_from_object(kind).params}


def generation_options(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting of generation; only those that are given are kept."""
    group, texts = parser.add_argument_group("generation"), told(GenerationConfig)
    for name, kind in get_type_hints(GenerationConfig).items():
        spellings = dict.fromkeys([f"--generation.{name}", f"--generation.{name.replace('_', '-')}"])
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind, "metavar": kind.__name__}
        group.add_argument(
            *spellings, dest=f"generation.{name}", default=argparse.SUPPRESS, help=texts[name].replace("\n", " "), **how
        )


def generation_of(options: argparse.Namespace, length: int) -> GenerationConfig:
    """Settings of generation from flags, `length` tokens where no flag says how many."""
    prefix = "generation."
    given = {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}
    return GenerationConfig(**{"max_new_tokens": length, **given})


def alternatives(texts: list[tuple[str, float]]) -> dict[str, Any]:
    """For JSON, where more than one text was asked for."""
    return {"all": [{"text": text, "log_p": log_p} for text, log_p in texts]} if len(texts) > 1 else {}
