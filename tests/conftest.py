"""Which tests run, and in which order: the long ones first, so that no process ends with one of them alone."""

import contextlib
import signal
from pathlib import Path

import pytest

# A shell that starts the tests in its background lets them ignore Ctrl-C, and so would every process that they start:
# tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = Path(__file__).with_name("slow.txt")
"""Tests that take a second or more on an idle core, the longest first: a name of test_FILE.py::test_NAME a line."""


def slow_tests() -> dict[str, int]:
    """Name -> place in the list."""
    lines = SLOW.read_text().splitlines()
    return {line: place for place, line in enumerate(lines) if line and not line.startswith("#")}


def name_of(item: pytest.Item) -> str:
    """Path and name without parameters."""
    return item.nodeid.partition("[")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the tests of tests/slow.txt")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = slow_tests()
    if config.getoption("--fast"):
        config.hook.pytest_deselected(items=[item for item in items if name_of(item) in slow])
        items[:] = [item for item in items if name_of(item) not in slow]
    else:
        items.sort(key=lambda item: slow.get(name_of(item), len(slow)))
