"""What raters said: an append-only journal of verdicts, notes and undone steps."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowlip.base.documents import check_text
from knowlip.pages.server import Journal

VERDICTS = ("right", "wrong", "unsure")
Unit = tuple[str, int]
"""A sentence: tile_id and slot (1 to 8); of a sub-text's second sentence the slot plus 8, of its third plus 16."""


def _dated(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "time": datetime.now(UTC).isoformat(timespec="seconds")}


class Verdicts:
    """Verdicts of several raters; the last word of a rater on a sub-text counts, and undo goes back step by step."""

    def __init__(self, path: Path):
        """Raises ValueError: the file holds lines that are no verdicts."""
        self._given: dict[str, dict[Unit, str]] = defaultdict(dict)
        self._notes: dict[str, dict[str, str]] = defaultdict(dict)
        self._steps: dict[str, list[tuple[Unit, str]]] = defaultdict(list)
        self._journal = Journal(path, self._apply, "verdict")

    @property
    def path(self) -> Path:
        """The file."""
        return self._journal.path

    def judge(self, rater: str, tile_id: str, slot: int, verdict: str) -> None:
        """Keep a verdict; it is on the disk when this returns."""
        self._add({"kind": "verdict", "rater": rater, "tile_id": tile_id, "slot": slot, "verdict": verdict})

    def note(self, rater: str, tile_id: str, note: str) -> None:
        """Keep a rater's note on a tile; "" takes it away. Raises ValueError: it is no Unicode."""
        check_text(note, "The note")
        self._add({"kind": "note", "rater": rater, "tile_id": tile_id, "note": note})

    def undo(self, rater: str) -> Unit | None:
        """Take a rater's last verdict back. Returns the sub-text it was about; None when there is nothing left."""
        self._journal.refresh()
        if not self._steps[rater]:
            return None
        undone: list[Unit] = []

        def last() -> dict[str, Any] | None:
            undone.extend(unit for unit, _ in self._steps[rater][-1:])
            return _dated({"kind": "undo", "rater": rater}) if undone else None

        self._journal.append(last)
        return undone[0] if undone else None

    def of(self, rater: str) -> dict[Unit, str]:
        """Sub-text -> verdict of one rater."""
        self._journal.refresh()
        return dict(self._given.get(rater, {}))

    def notes(self, rater: str) -> dict[str, str]:
        """Tile -> note of one rater."""
        return dict(self._notes.get(rater, {}))

    def raters(self) -> list[str]:
        """Everyone with at least one verdict or note, by name."""
        return sorted({name for kept in (self._given, self._notes) for name, values in kept.items() if values})

    def _add(self, record: dict[str, Any]) -> None:
        self._journal.append(lambda: _dated(record))

    def _apply(self, record: dict[str, Any]) -> None:
        rater = record["rater"]
        if record["kind"] == "note":
            tile_id, note = record["tile_id"], record["note"]
            if not all(isinstance(value, str) for value in (rater, tile_id, note)):
                raise TypeError(tile_id)
            self._notes[rater].pop(tile_id, None)
            if note:
                self._notes[rater][tile_id] = note
            return
        given, steps = self._given[rater], self._steps[rater]
        if record["kind"] == "undo":
            unit, before = steps.pop()
            given.pop(unit)
            if before:
                given[unit] = before
            return
        unit, verdict = (record["tile_id"], record["slot"]), record["verdict"]
        kinds = isinstance(rater, str) and isinstance(unit[0], str) and type(unit[1]) is int
        if record["kind"] != "verdict" or verdict not in VERDICTS or not kinds:
            raise KeyError("verdict")
        steps.append((unit, given.get(unit, "")))
        given[unit] = verdict
