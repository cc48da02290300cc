"""One spoilt input through one door, in a child process with limits: what came of it.

Right is: exit 0, 2 or 130, no traceback, at most 10 s, at most 1 GB more memory, nothing written outside `out`.
"""

import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MOST_SECONDS, MOST_BYTES = 10, 1 << 30
_FORKED_BYTES = 1 << 28
"""More of address space than of memory: libraries reserve what they do not touch."""
_NEVER = 12
"""How often the time: after so long the child is killed, however busy the machine is."""


class Door(NamedTuple):
    """A place where something of others comes in."""

    name: str
    prepare: Callable[[Path], None]
    """Writes a sound input into an empty folder, once."""
    attack: Callable[[Path, random.Random], str]
    """Spoils a copy of that folder and says how."""
    enter: Callable[[Path, Path, random.Random], int]
    """Takes it in (folder of the input, folder for output) and returns an exit code."""


class Outcome(NamedTuple):
    """What came of an input."""

    code: int
    """Exit code; negative: a signal."""
    seconds: float
    """Of processor time, where the child ended by itself."""
    grown: int
    """Bytes of memory beyond those of the parent."""
    how: str
    """What was done to the input."""
    fault: str
    """Why it is wrong; "" where it is right."""


def enter(door: Door, sound: Path, chance: random.Random, work: Path) -> Outcome:
    """Spoil a copy of a sound input and take it in.

    Args:
        door: which.
        sound: folder that its `prepare` has filled.
        chance: decides what is spoilt.
        work: folder for copies and outputs.
    """
    here = Path(tempfile.mkdtemp(dir=work))
    try:
        shutil.copytree(sound, here / "in", symlinks=True)
        how = door.attack(here / "in", chance)
        (here / "out").mkdir()
        (here / "log").touch()
        outside = _listing(here)
        code, seconds, grown, text = _in_child(lambda: door.enter(here / "in", here / "out" / "result", chance), here)
        fault = _fault(code, seconds, grown, text)
        if not fault and _listing(here) != outside:
            fault = "wrote outside of its output"
        return Outcome(code, seconds, grown, how, fault)
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _fault(code: int, seconds: float, grown: int, text: str) -> str:
    if "Traceback (most recent call last)" in text:
        return "traceback: " + " | ".join(text.strip().splitlines()[-4:])[:600]
    if code not in (0, 2, 130):
        return f"exit code {code}: {text.strip()[-2000:]}"
    if seconds > MOST_SECONDS:
        return f"{seconds:.0f} s"
    if grown > MOST_BYTES:
        return f"{grown >> 20} MiB more memory"
    if code == 2 and not text.strip():
        return "exit code 2 without a sentence"
    return ""


def _listing(here: Path) -> set[str]:
    """What lies beside the folders of input and output."""
    return {path.name for path in here.iterdir()} | {path.name for path in here.parent.glob("outside*")}


def _in_child(run: Callable[[], Any], here: Path) -> tuple[int, float, int, str]:
    """Exit code, processor seconds, growth in bytes, and what was printed."""
    log = here / "log"
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    child = os.fork()
    if not child:
        code = 70
        try:
            _limit()
            with log.open("w") as stream, contextlib.redirect_stderr(stream), contextlib.redirect_stdout(io.StringIO()):
                os.dup2(stream.fileno(), 2)
                # Where a child hangs, its log says where: it is killed a little later.
                faulthandler.dump_traceback_later(MOST_SECONDS * _NEVER - 5, file=stream)
                try:
                    code = int(run())
                except SystemExit as error:
                    code = error.code if isinstance(error.code, int) else 2
                except BaseException:
                    traceback.print_exc()
        finally:
            os._exit(code)
    status, usage, killed = _waited(child)
    code = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if killed:
        text += f"\nstill running after {MOST_SECONDS * _NEVER} s"
    seconds = MOST_SECONDS * _NEVER if killed else usage.ru_utime + usage.ru_stime
    return code, seconds, max(0, (usage.ru_maxrss << 10) - before), text


def _waited(child: int) -> tuple[int, resource.struct_rusage, bool]:
    end = time.monotonic() + MOST_SECONDS * _NEVER
    while time.monotonic() < end:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return status, usage, False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return status, usage, True


def _limit() -> None:
    """A child that would take the whole machine ends before."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + 3 * MOST_BYTES + _FORKED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (3 * MOST_SECONDS, 3 * MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
