"""One spoilt input through one door, in a child process with limits: what came of it.

Right is: exit 0, 2 or 130, no traceback, at most 10 s, at most 1 GB more memory, nothing written outside `out`.
"""

import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
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
    with _spoilt(door, sound, chance, work) as (here, how, beside):
        code, seconds, grown, text = _in_child(lambda: door.enter(here / "in", here / "out" / "result", chance), here)
        return Outcome(code, seconds, grown, how, _fault(code, seconds, grown, text, _listing(here) == beside))


@contextlib.contextmanager
def _spoilt(door: Door, sound: Path, chance: random.Random, work: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder with the spoilt copy and room for what comes of it; what was done to the copy; what lies beside it. The
    folder is gone behind this."""
    here = Path(tempfile.mkdtemp(dir=work))
    try:
        shutil.copytree(sound, here / "in", symlinks=True)
        how = door.attack(here / "in", chance)
        (here / "out").mkdir()
        for name in ("log", "began"):
            (here / name).touch()
        yield here, how, _listing(here)
    finally:
        shutil.rmtree(here, ignore_errors=True)


def enter_several(door: Door, sound: Path, seeds: Sequence[int], work: Path) -> list[Outcome]:
    """:func:`enter` of several inputs by one child after the other: libraries that a door loads late are loaded once.

    What ends or holds up the child is tried again by itself, in a child of its own; so is every fault, so that it is
    not what an earlier input has left behind.

    Args:
        door: which.
        sound: folder that its `prepare` has filled.
        seeds: number of each input.
        work: folder for copies and outputs.
    """
    found: list[Outcome] = []
    while len(found) < len(seeds):
        left = seeds[len(found) :]
        found += _by_one_child(door, sound, left, work)
        if len(found) < len(seeds):
            found.append(enter(door, sound, chance_of(door, seeds[len(found)]), work))
    return [
        enter(door, sound, chance_of(door, seed), work) if outcome.fault else outcome
        for seed, outcome in zip(seeds, found)
    ]


def chance_of(door: Door, seed: int) -> random.Random:
    """What decides about the input of a door and number."""
    return random.Random(f"{door.name} {seed}")


def _by_one_child(door: Door, sound: Path, seeds: Sequence[int], work: Path) -> list[Outcome]:
    """Outcomes of the first inputs; fewer than there are where one of them ended the child or took too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            _limit(MOST_SECONDS * len(seeds))
            with os.fdopen(writing, "w") as stream:
                for seed in seeds:
                    outcome = _in_this_process(door, sound, chance_of(door, seed), work)
                    stream.write(json.dumps(outcome) + "\n")
                    stream.flush()
        finally:
            os._exit(0)
    os.close(writing)
    lines: list[bytes] = [b""]
    with os.fdopen(reading, "rb") as stream:
        while select.select([stream], [], [], MOST_SECONDS * _NEVER)[0]:
            part = os.read(stream.fileno(), 1 << 16)
            if not part:
                break
            first, *more = part.split(b"\n")
            lines[-1] += first
            lines += more
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for left in work.iterdir():  # of an input that ended the child
        shutil.rmtree(left, ignore_errors=True)
    return [Outcome(*json.loads(line)) for line in lines[:-1]]


def _in_this_process(door: Door, sound: Path, chance: random.Random, work: Path) -> Outcome:
    """:func:`enter` without a child."""
    with _spoilt(door, sound, chance, work) as (here, how, beside):
        before = _memory()
        began = time.process_time()
        with (here / "log").open("w") as stream, contextlib.redirect_stderr(stream):
            os.dup2(stream.fileno(), 2)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                code = _code(lambda: door.enter(here / "in", here / "out" / "result", chance))
        seconds, grown = time.process_time() - began, max(0, _peak() - before)
        text = (here / "log").read_text(errors="replace") + (said.getvalue() if code == 1 else "")
        return Outcome(code, seconds, grown, how, _fault(code, seconds, grown, text, _listing(here) == beside))


def _code(run: Callable[[], Any]) -> int:
    """The exit code of something; what it raises is printed."""
    try:
        return int(run())
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    except BaseException:
        traceback.print_exc()
        return 70


def _memory() -> int:
    """Bytes of memory that this process holds now; the most that it held before is forgotten, with what its parent held
    before the fork."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    """The most memory that this process has held since then, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def _fault(code: int, seconds: float, grown: int, text: str, inside: bool) -> str:
    if "Traceback (most recent call last)" in text:
        return "traceback: " + " | ".join(text.strip().splitlines()[-4:])[:600]
    if code not in (0, 1, 2, 130):
        return f"exit code {code}: {text.strip()[-2000:]}"
    if seconds > MOST_SECONDS:
        return f"{seconds:.0f} s"
    if grown > MOST_BYTES:
        return f"{grown >> 20} MiB more memory"
    if code in (1, 2) and not text.strip():
        return f"exit code {code} without a sentence"
    return "" if inside else "wrote outside of its output"


def _listing(here: Path) -> list[str]:
    """What lies beside the folders of input and output."""
    return sorted(path.name for path in (*here.iterdir(), *here.parent.glob("outside*")))


def _in_child(run: Callable[[], Any], here: Path) -> tuple[int, float, int, str]:
    """Exit code, processor seconds, growth in bytes, and what was printed."""
    log, began = here / "log", here / "began"
    began.write_text("0")
    child = os.fork()
    if not child:
        code = 70
        try:
            _limit()
            began.write_text(str(_memory()))
            said = io.StringIO()
            with log.open("w") as stream, contextlib.redirect_stderr(stream), contextlib.redirect_stdout(said):
                os.dup2(stream.fileno(), 2)
                # Where a child hangs, its log says where: it is killed a little later.
                faulthandler.dump_traceback_later(MOST_SECONDS * _NEVER - 5, file=stream)
                code = _code(run)
                stream.write(said.getvalue() if code == 1 else "")  # what was left out stands in what is printed
        finally:
            os._exit(code)
    status, usage, killed = _waited(child)
    code = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if killed:
        text += f"\nstill running after {MOST_SECONDS * _NEVER} s"
    seconds = MOST_SECONDS * _NEVER if killed else usage.ru_utime + usage.ru_stime
    return code, seconds, max(0, (usage.ru_maxrss << 10) - int(began.read_text())), text


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


def _limit(seconds: int = 3 * MOST_SECONDS) -> None:
    """A child that would take the whole machine ends before."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + 3 * MOST_BYTES + _FORKED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
