"""From what a user wrote to typed settings: flags, YAML files and recipes become a dataclass, and what is unknown or
unfit is named in one sentence. Every command is parsed here.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml
from docstring_parser import parse_from_object
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, get_loader, set_loader, set_parsing_settings

from knowlip.base.documents import YAML_DEPTH, BeyondLimit, check_text, check_yaml, read_limited
from knowlip.base.recipes import SECTIONS, load_recipe
from knowlip.base.settings import new_name

Config = TypeVar("Config")
_BOUNDED = "bounded yaml"
"""Our mode of jsonargparse."""
_NO_GROUP = "A value stands where a group of settings should stand, or a setting has no value."
_LISTS = (list, tuple, Sequence)
_LONGEST = 600
"""Characters of a sentence."""


def parse_command(name: str, about: str, kind: type[Config], arguments: Sequence[str]) -> tuple[Config, bool]:
    """Settings of a command: in rising order from its dataclass, a recipe (`--recipe`), a file (`--config`), flags.

    Args:
        name: the command; its section of a recipe has the same name.
        about: a line for its help.
        kind: dataclass of its settings; their docstrings are the help. Those in its `POSITIONAL` need no flag, and
            one word more before them is the setting that its `LEADING` names.
        arguments: what stands behind the command's name. Names may have dashes or underscores, and are written out;
            lists are words (`--sensors A B`), `A,B` or `[A,B]`; a switch alone is true.

    Returns:
        The settings, and whether the result shall be printed as JSON.

    Raises:
        ValueError: an unknown, unfit or missing setting.
        SystemExit: help was asked for and printed.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    set_loader(_BOUNDED, _load, exceptions=(yaml.YAMLError,))
    for argument in arguments:
        _check_strings(argument)
    parser = ArgumentParser(
        prog=f"knowlip {name}", description=about, exit_on_error=False, parser_mode=_BOUNDED, allow_abbrev=False
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with this command's settings")
    parser.add_argument("--json", action="store_true", help="print the result as JSON to standard output")
    hints, positional = get_type_hints(kind), getattr(kind, "POSITIONAL", ())
    texts = {
        field.arg_name: (field.description or "").replace("%", "%%")
        for one in reversed(kind.__mro__[:-1])  # a setting may be explained where it is inherited from
        for field in parse_from_object(one).params
    }
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for setting in positional:
        of: Any = hints[setting]
        given = defaults[setting] is not dataclasses.MISSING
        many: dict[str, Any] = {"nargs": "?", "default": defaults[setting]} if given else {}
        if get_origin(of) is list:
            of, many = get_args(of)[0], {"nargs": "*", "default": []} if given else {"nargs": "+"}
        parser.add_argument(setting, type=of, metavar=setting.upper(), help=texts.get(setting), **many)
    parser.add_class_arguments(kind, skip=set(positional))
    arguments = _spelt(arguments, kind)
    if leading := getattr(kind, "LEADING", ""):
        arguments = _leading_named(arguments, leading, len(positional) + 1)
    arguments = _words_first(arguments)
    recipe = None
    if name in SECTIONS:
        parser.add_argument("--recipe", help="name of a recipe, or a YAML file with one section a stage")
        # A recipe gives defaults, so it has to be read before the parser looks at the flags that overrule it.
        if recipe := _value_of("--recipe", arguments):
            section = load_recipe(recipe).get(name, {})
            _check_strings(section)
            check_settings(kind, section)
            parser.set_defaults(_dotted(section, kind))
    try:
        found = parser.instantiate(parser.parse_args(arguments))
    except ArgumentError as error:
        raise ValueError(f"{_sentence(error)} `knowlip {name} --help` lists all settings.") from None
    except (TypeError, AttributeError, KeyError, RecursionError) as error:  # a list where a group should be, and such
        raise ValueError(f"{_NO_GROUP} `knowlip {name} --help` lists all settings.") from error
    if name in SECTIONS and found.recipe != recipe:
        raise ValueError("Give a recipe once, as a flag: --recipe NAME; in a file of settings it would not be read.")
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        _check_scalar(field.name, hints[field.name], value := getattr(found, field.name))
        if isinstance(value, str):
            check_text(value, f"The setting {field.name}")
    make: Callable[..., Config] = kind
    return make(**{field.name: getattr(found, field.name) for field in dataclasses.fields(kind)}), found.json  # type: ignore[arg-type]


_SCALARS: dict[Any, tuple[str, tuple[type, ...]]] = {
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    bool: ("true or false", (bool,)),
    str: ("a text", (str,)),
}


def _check_scalar(name: str, of: Any, value: Any) -> None:
    """Raise `ValueError` for a number or text that is none: what a recipe sets, and "null" in a file, the parser takes
    as it stands."""
    if of not in _SCALARS:
        return
    what, kinds = _SCALARS[of]
    if not isinstance(value, kinds) or (isinstance(value, bool) and of is not bool):
        raise ValueError(f"The setting {name} must be {what}, not {value!r:.100}.")


def stage_config(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    """Typed settings from plain ones, every value checked.

    Raises:
        ValueError: an unknown or unfit setting; the sentence names it.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "config")
    try:
        _check_strings(settings)
        check_settings(kind, settings)
    except ValueError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
    try:
        parsed = parser.parse_object({"config": dict(settings)})
        config: Config = parser.instantiate(parsed).config
    except ArgumentError as error:
        raise ValueError(f"{kind.__name__}: {_sentence(error)}") from None
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"{kind.__name__}: {_NO_GROUP}") from error
    return config


def check_settings(kind: Any, settings: Mapping[str, Any], prefix: str = "") -> None:
    """Raise `ValueError` for a setting that the dataclass `kind` does not have, or a group of settings that is none."""
    types = get_type_hints(kind)
    for name, value in settings.items():
        if name not in types:
            _refuse_renamed(kind, name, prefix)
            raise ValueError(f"There is no setting {prefix}{name}: choose from {', '.join(_known(kind, prefix))}.")
        if dataclasses.is_dataclass(types[name]) and not dataclasses.is_dataclass(value):
            if not isinstance(value, Mapping):
                raise ValueError(f"The setting {prefix}{name} is a group of settings, it cannot be {value!r}.")
            check_settings(types[name], value, f"{prefix}{name}.")


def _known(kind: Any, prefix: str) -> Iterable[str]:
    return (f"{prefix}{field.name}" for field in dataclasses.fields(kind))


def _dotted(settings: Mapping[str, Any], kind: Any, prefix: str = "") -> dict[str, Any]:
    """Settings of the dataclass `kind` with dotted names; what is a mapping itself (`scene_size_m`) stays whole."""
    result: dict[str, Any] = {}
    for name, value in settings.items():
        group = get_type_hints(kind)[name]
        if dataclasses.is_dataclass(group) and isinstance(value, dict):
            result |= _dotted(value, group, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


# ---- limits -------------------------------------------------------------------------------------------------------


def _load(text: str) -> Any:
    """What jsonargparse makes of the text of a flag or a file, within the limits of :mod:`knowlip.base.documents`."""
    try:
        check_yaml(text, "It")
        value = get_loader("yaml")(text)
        _check_strings(value)
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from None
    return value


def _check_strings(value: Any) -> None:
    """Refuse words that would be too much as YAML: jsonargparse reads those of numbers and lists without limits."""
    if isinstance(value, str) and len(value) > YAML_DEPTH:
        try:
            check_yaml(value, "A setting")
        except BeyondLimit:
            raise
        except (ValueError, yaml.YAMLError):
            pass  # words, or told of where they are read
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_strings(item)


# ---- flags as people write them -------------------------------------------------------------------------------------


def _spelt(arguments: Sequence[str], kind: Any) -> list[str]:
    """Arguments as the parser wants them: names with underscores, `=true` behind a lone switch, a list in one word."""
    spelt, rest, files, seen = [], list(arguments), list[str](), set[str]()
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--"):
            spelt.append(argument)
            continue
        name, equals, value = argument[2:].partition("=")
        name, of = _setting(kind, name)
        if get_origin(of) is UnionType and (lists := [one for one in get_args(of) if get_origin(one) in _LISTS]):
            of = lists[0]
        words = [value] if equals else []
        if get_origin(of) in _LISTS:
            if name in seen:  # the parser would keep the last and forget the others
                raise ValueError(f"--{name} is given twice: give all its values behind one.")
            seen.add(name)
            while rest and not equals and not rest[0].startswith("--") and rest[0] != "-h":
                words.append(rest.pop(0))
            whole = len(words) == 1 and words[0].startswith("[") and words[0].endswith("]")
            words = words if whole or not words else [json.dumps(_separated(words, of))]
        elif not words and (of is bool or (get_origin(of) is UnionType and bool in get_args(of))):
            words = ["true"] if not rest or rest[0].startswith("--") else []
        if name == "config":  # a file stands below the flags, wherever it is given
            for path in words or rest[:1]:
                if Path(path).exists():  # the parser would wait for a pipe, and read a hole to its end
                    read_limited(Path(path))
            files.append("=".join(["--config", *(words or rest[:1])]))
            rest = rest if words else rest[1:]
            continue
        spelt.append("=".join([f"--{name}", *words]))
    return [*files, *spelt]


_NAMES = re.compile(r"[\w.+:/*-]+(?:,[\w.+:/*-]+)*,?")
"""Names and numbers with commas between them, and nothing else: no text, no NAME=VALUE, no brackets."""


def _separated(words: Sequence[str], of: Any) -> list[str]:
    """Words of a list with those taken apart that hold several, as `A,B` does: names and numbers are parted at commas;
    paths only where no such file is there and all of the parts are."""
    parts = [one for one in get_args(of) if one is not Ellipsis]
    found = list[str]()
    for word in words:
        pieces = [piece for piece in word.split(",") if piece]
        if parts == [Path]:
            apart = not Path(word).exists() and all(Path(piece).exists() for piece in pieces)
        else:
            scalar = all(part in (str, int, float) or get_origin(part) is Literal for part in parts)
            apart = scalar and _NAMES.fullmatch(word) is not None
        found += pieces if apart and pieces else [word]
    return found


def _leading_named(arguments: Sequence[str], leading: str, number: int) -> list[str]:
    """Arguments with the first of `number` words in a row as the flag --leading, where so many stand in a row.

    Raises:
        ValueError: the flag is given too.
    """
    words: list[int] = []
    for i, is_word in enumerate(_are_words(arguments)):
        words = [*words, i] if is_word else []
        if len(words) == number:
            break
    if len(words) < number:
        return list(arguments)
    first = words[0]
    if any(argument == f"--{leading}" or argument.startswith(f"--{leading}=") for argument in arguments):
        rest = " ".join(arguments[i] for i in words[1:])
        raise ValueError(f"{arguments[first]} before {rest} is the {leading}: leave out --{leading}.")
    return [*arguments[:first], f"--{leading}={arguments[first]}", *arguments[first + 1 :]]


def _words_first(arguments: Sequence[str]) -> list[str]:
    """Arguments with the words that belong to no flag in front: of several with flags between them the parser would
    take an optional one for absent, and refuse it where it stands."""
    words, rest = list[str](), list[str]()
    for is_word, argument in zip(_are_words(arguments), arguments):
        (words if is_word else rest).append(argument)
    return list(arguments) if "--" in arguments else [*words, *rest]


def _are_words(arguments: Sequence[str]) -> list[bool]:
    """Whether each argument belongs to no flag: what follows a flag without = is its value; two flags have none."""
    return [
        not argument.startswith("-")
        and not (before.startswith("--") and "=" not in before and before not in ("--json", "--help"))
        for before, argument in zip(["=", *arguments], arguments)
    ]


def _setting(kind: Any, name: str, prefix: str = "") -> tuple[str, Any]:
    """A dotted name with underscores, and the type of the setting (None: there is none).

    What stands behind a mapping (`scene_size_m.sim-x`) is a key and left as it is.
    """
    part, dot, rest = name.partition(".")
    part = part.replace("-", "_")
    of = get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    if of is None and dataclasses.is_dataclass(kind):
        _refuse_renamed(kind, part, prefix)
    if not dot or get_origin(of) is dict:
        return f"{part}{dot}{rest}", None if dot else of
    inner, of = _setting(of, rest, f"{prefix}{part}.")
    return f"{part}.{inner}", of


def _refuse_renamed(kind: Any, name: str, prefix: str) -> None:
    """Raise `ValueError` that names the new spelling of a setting that has one."""
    if new := new_name(kind, name):
        raise ValueError(f"The setting {prefix}{name} is now called {prefix}{new}.")


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """Value of an option before the parser knows its defaults."""
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
    return None


def _sentence(error: ArgumentError) -> str:
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
    if len(text) > _LONGEST:  # a value may be as long as a file
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return f"{text.rstrip('.')}."
