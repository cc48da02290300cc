"""A long item says how far it is."""

from knowlip.base import progress


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
