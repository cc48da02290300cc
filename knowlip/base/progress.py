"""Progress that a person can follow: a bar with time left on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
console = Console(stderr=True, highlight=False)
"""Everything meant for people goes to standard error; standard output is for results (`--json`)."""

PROGRESS = "KNOWLIP_PROGRESS_S"
"""Environment variable: seconds between the lines of a process whose lines another program reads."""
_SECONDS_BETWEEN_LINES = 20.0
_quiet = False
_display: Progress | None = None
"""What shows bars on the terminal, while it does."""


@contextmanager
def quiet() -> Iterator[None]:
    """While active, :func:`track` shows nothing: for work that is a part of what another bar counts."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def say(text: str) -> None:
    """Print a line for people (standard error)."""
    console.print(text, markup=False, soft_wrap=True)


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """Yield from `items` while showing `title`, how many are done, and the time left.

    Args:
        items: what to iterate over.
        title: stage name, e.g. "cut tiles".
        total: number of items where `len(items)` does not tell.
    """
    # A log file gets a line now and then: bars of control characters fill it and tell nothing.
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _quiet:
        yield from items
        return
    if sys.stderr.isatty():
        yield from _bar(items, title, total)
        return
    between = _seconds_between()
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last > between:
            last = now
            left = f", {(now - started) / done * (total - done):.0f} s left" if total else ""
            say(f"  {title}: {done}{f'/{total}' if total else ''}{left}")
        yield item


def _bar(items: Iterable[T], title: str, total: int | None) -> Iterator[T]:
    """The same on a terminal. A bar within a bar is a line of the same display: a terminal can hold no second one."""
    global _display
    if _display is not None:
        shown, task = _display, _display.add_task(title, total=total)
        try:
            for item in items:
                yield item
                shown.advance(task)
        finally:
            shown.remove_task(task)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        _display = bar
        try:
            yield from bar.track(items, total=total, description=title)
        finally:
            _display = None


def _seconds_between() -> float:
    try:
        return max(0.1, float(os.environ.get(PROGRESS, "")))
    except ValueError:
        return _SECONDS_BETWEEN_LINES


def lines(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield from `items` and say now and then how many are done: for a long item of what :func:`track` counts, also in
    a process of its own.

    Args:
        items: what to iterate over.
        title: what is done with them, and of what.
        total: how many there are.
    """
    between = _seconds_between()
    started = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - last > between and not _quiet:
            last = now
            say(f"  {title}: {done}/{total}, {(now - started) / done * (total - done):.0f} s left")
        yield item


def facts(result: Mapping[str, Any]) -> str:
    """The plain facts of a result on one line."""
    plain = {key: value for key, value in result.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in plain.items())
