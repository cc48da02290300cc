"""Progress: lines off a terminal, one display on it, and every long command shows some."""

import io
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from knowlip.base import progress
from knowlip.cli import main
from tests.annotators.tiny_dataset import build_tiny_dataset


def test_lines_off_a_terminal_say_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter(range(0, 1000, 10))
    monkeypatch.setenv(progress.PROGRESS, "15")
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(progress, "console", Console(file=(out := io.StringIO())))
    assert list(progress.track(range(4), "count")) == [0, 1, 2, 3]
    assert out.getvalue().splitlines() == ["  count: 1/4, 60 s left", "  count: 3/4, 13 s left"]


def test_bars_within_bars_share_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=True, width=100))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    found = [(a, b) for a in progress.track("xy", "outer") for b in progress.track([1, 2], "inner")]
    assert found == [("x", 1), ("x", 2), ("y", 1), ("y", 2)]
    assert "outer" in out.getvalue()
    assert progress._display is None
    with pytest.raises(ZeroDivisionError):
        list(progress.track((1 // 0 for _ in [1]), "breaks"))
    assert list(progress.track([1], "again")) == [1]


def test_long_commands_show_progress_with_a_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place where each of them counts is replaced by one that writes down what it was told."""
    shown: dict[str, int | None] = {}

    def noted(items: Iterable[Any], title: str, total: int | None = None) -> Iterator[Any]:
        shown[title] = total if total is not None else len(items)  # type: ignore[arg-type]
        return iter(items)

    data = build_tiny_dataset(tmp_path / "data")
    assert main(["annotate", "--dataset", str(data), "--workers", "1"]) == 0
    for module in ("dataset.verify", "annotators.check.tile", "annotators.stats.measure"):
        monkeypatch.setattr(import_module(f"knowlip.{module}"), "track", noted)
    for line in (["dataset", "verify"], ["text", "check"], ["text", "stats"]):
        options = ["--projection", "none"] if line[1] == "stats" else []
        assert main([*line, str(data), *options]) == 0
    assert {"verify tiles", "check texts"} <= shown.keys()
    assert any(title.startswith("split texts") for title in shown)
    assert all(shown.values())


def test_lines_are_said_now_and_then(monkeypatch, capsys):
    now = iter(range(0, 1000, 9))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    assert list(progress.lines(range(6), "a: windows", 6)) == list(range(6))
    assert capsys.readouterr().err.splitlines() == ["  a: windows: 2/6, 54 s left", "  a: windows: 5/6, 11 s left"]


def test_lines_are_not_said_within_what_another_bar_counts(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1.0)
    with progress.quiet():
        assert list(progress.lines("abc", "a", 3)) == ["a", "b", "c"]
    assert not capsys.readouterr().err
    assert list(progress.lines("abc", "a", 3)) == ["a", "b", "c"]
    assert "a: 2/3" in capsys.readouterr().err
