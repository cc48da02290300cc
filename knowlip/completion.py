"""`knowlip completion`: what a shell needs to complete commands, flags and values that are one of a few.

One script serves bash and zsh (by its own `bashcompinit`). It holds all it says, so that pressing TAB starts no Python.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar, Final, Literal, get_args, get_origin, get_type_hints

from knowlip.base.recipes import SECTIONS, recipe_names
from knowlip.commands import COMMANDS

Shell = Literal["bash", "zsh"]
_SCRIPT: Final = """\
# Completion of `knowlip` for bash and zsh.
{zsh}_knowlip() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="" command="${{COMP_WORDS[1]}}" flags="" values="" first=2
    [ "$COMP_CWORD" -gt 0 ] && prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    case "$command" in {groups}) [ "$COMP_CWORD" -gt 2 ] && command="$command ${{COMP_WORDS[2]}}"; first=3 ;; esac
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{firsts}" -- "$cur")); return
    fi
    if [ "$COMP_CWORD" -lt "$first" ]; then
        case "$command" in
{seconds}
        esac
        COMPREPLY=($(compgen -W "$values" -- "$cur")); return
    fi
    case "$command" in
{flags}
    esac
    case "$command $prev" in
{values}
    esac
    if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$cur")); return; fi
    case "$cur" in -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;; *) COMPREPLY=($(compgen -f -- "$cur")) ;; esac
}}
complete -o filenames -F _knowlip knowlip
"""


@dataclass(frozen=True)
class CompletionConfig:
    """For which shell."""

    POSITIONAL: ClassVar = ("shell",)
    shell: Shell
    """bash or zsh."""


def completion(config: CompletionConfig) -> dict[str, str]:
    """The script that the shell reads.

    Raises:
        ValueError: another shell.
    """
    if config.shell not in get_args(Shell):
        raise ValueError(f"There is completion for {' and '.join(get_args(Shell))}, not for {config.shell}.")
    # All is written out here: a shell that asked Python at every key would wait for it.
    groups = sorted({name.split()[0] for name in COMMANDS if " " in name and name.split()[0] not in COMMANDS})
    firsts = dict.fromkeys(name.split()[0] for name in COMMANDS)
    seconds = [
        f'        {group}) values="{" ".join(name.split()[1] for name in COMMANDS if name.startswith(f"{group} "))}" ;;'
        for group in groups
    ]
    flags, values = [], []
    for name, command in COMMANDS.items():
        choices = {"--help": (), "--json": (), "--config": (), **dict(_flags(command.kind()))}
        if name in SECTIONS:
            choices["--recipe"] = tuple(recipe_names())
        flags.append(f'        "{name}") flags="{" ".join(choices)}" ;;')
        values += [
            f'        "{name} {flag}") values="{" ".join(words)}" ;;' for flag, words in choices.items() if words
        ]
    script = _SCRIPT.format(
        zsh="autoload -Uz bashcompinit && bashcompinit\n" if config.shell == "zsh" else "",
        groups="|".join(groups),
        firsts=" ".join(firsts),
        seconds="\n".join(seconds),
        flags="\n".join(flags),
        values="\n".join(values),
    )
    return {"script": script}


def show(result: dict[str, str]) -> str:
    """The script itself."""
    return result["script"]


def _flags(kind: Any, prefix: str = "--") -> Iterator[tuple[str, Sequence[str]]]:
    """Flags of a dataclass of settings, those of its groups with dots, and the values of those that have a few."""
    hints, positional = get_type_hints(kind), getattr(kind, "POSITIONAL", ())
    for field in dataclasses.fields(kind):
        of = hints[field.name]
        if dataclasses.is_dataclass(of):
            yield from _flags(of, f"{prefix}{field.name}.")
        elif field.name not in positional:
            yield f"{prefix}{field.name}", _choices(of)


def _choices(of: Any) -> Sequence[str]:
    if of is bool:
        return ("true", "false")
    if get_origin(of) is Literal:
        return [str(value) for value in get_args(of)]
    parts = get_args(of) if get_origin(of) in (UnionType, list, tuple) else ()
    return [choice for part in parts for choice in _choices(part)]
