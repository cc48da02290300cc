"""The shell's door: find the command in the table, parse its settings, run it, print. Bad input ends with one sentence
and exit code 2."""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor

from knowlip import __version__
from knowlip.base.left_out import is_left_out
from knowlip.commands import COMMANDS, GROUPS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 well, 1 done but for what is told to be left out, 2 bad input (one
    sentence on standard error), 130 stopped."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    words = 2 if " ".join(arguments[:2]) in COMMANDS else 1
    command, rest = " ".join(arguments[:words]), arguments[words:]
    if command not in COMMANDS:
        print(f"knowlip: there is no command {command!r}; {_nearest(command)}", file=sys.stderr)
        return 2
    try:
        text, code = _run(command, rest)
        if text and os.environ.get("RANK", "0") == "0":  # torchrun runs a command several times
            print(text)
        return code
    except ValueError as error:
        return _fail(command, str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(command, f"{error.strerror or error}{where}.")
    except BrokenExecutor:
        return _fail(command, "A worker process died, probably for want of memory: use fewer workers.")
    except RecursionError:
        return _fail(command, "What is read here is nested too deeply.")
    except MemoryError:
        return _fail(command, "There is not enough memory for what is read here.")
    except KeyboardInterrupt:
        print(f"knowlip {command}: stopped; the same command goes on from here.", file=sys.stderr)
        return 130


def _run(name: str, arguments: Sequence[str]) -> tuple[str, int]:
    """Run a command and return its result as text (JSON, or for people), and the exit code: 1 where the result lists
    what could not be used, else 0."""
    from knowlip.base.parsing import parse_command  # takes 0.2 s to load, and `knowlip --help` needs none
    from knowlip.base.progress import facts
    from knowlip.base.settings import plain

    command = COMMANDS[name]
    settings, as_json = parse_command(name, command.summary, command.kind(), arguments)
    result = command.run(settings)
    code = int(is_left_out(result, command.left_out))
    if as_json:
        return json.dumps(plain(result), indent=1), code
    text: str = getattr(command.module(), "show", facts)(result)
    return text, code


def _fail(command: str, sentence: str) -> int:
    sentence = " ".join(sentence.split())
    print(f"knowlip {command}: {sentence}{'' if sentence.endswith(('.', '?', '!', '.)')) else '.'}", file=sys.stderr)
    return 2


def _nearest(command: str) -> str:
    """What to type instead of a command that there is not."""
    group = [name for name in COMMANDS if name.startswith(f"{command} ")]
    return f"there are {', '.join(group)}." if group else "`knowlip --help` lists them."


def _overview() -> str:
    width = max(map(len, COMMANDS))
    groups = [
        "\n".join([f"{title}:", *(f"  {name:{width}}  {command.summary}" for name, command in group.items())])
        for title, group in GROUPS.items()
    ]
    return "\n\n".join(
        [
            "knowlip: vision-language models for SAR scenes",
            "usage: knowlip COMMAND [--help] ...",
            *groups,
            "Every command prints JSON to standard output with --json.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
