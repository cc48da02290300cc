"""A journal that several processes write: nothing is lost, whatever a crash left at its end."""

import json
import multiprocessing
from pathlib import Path

import pytest

from knowlip.annotators.audit.store import Verdicts
from knowlip.tiles.label import Labels


def judge_many(path: Path, rater: str, count: int) -> None:
    verdicts = Verdicts(path)
    for number in range(count):
        verdicts.judge(rater, f"t{number}", 1, "right")


def test_two_servers_on_one_journal_lose_nothing_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    Verdicts(path).judge("ada", "t0", 1, "right")
    with path.open("ab") as stream:
        stream.write(b'{"kind": "verdict", "rater": "ada", "ti')  # a crash
    one, two = Verdicts(path), Verdicts(path)
    one.judge("ada", "t1", 1, "wrong")
    two.judge("bob", "t2", 1, "unsure")
    one.note("ada", "t1", "dark")
    assert one.of("bob") == two.of("bob") == {("t2", 1): "unsure"}
    assert Verdicts(path).of("ada") == {("t0", 1): "right", ("t1", 1): "wrong"}
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["verdict"] * 3 + ["note"]


def test_undo_takes_back_what_another_server_was_told(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    one, two = Verdicts(path), Verdicts(path)
    one.judge("ada", "t1", 1, "right")
    two.judge("ada", "t2", 1, "right")
    assert one.undo("ada") == ("t2", 1)
    assert two.of("ada") == Verdicts(path).of("ada") == {("t1", 1): "right"}
    assert two.undo("ada") == ("t1", 1)
    assert two.undo("ada") is None
    assert one.undo("ada") is None


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(b'{"torn')
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=judge_many, args=(path, name, 40)) for name in ("ada", "bob", "cyd")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    verdicts = Verdicts(path)
    assert [len(verdicts.of(name)) for name in ("ada", "bob", "cyd")] == [40, 40, 40]


def test_half_a_surrogate_pair_of_an_older_journal_is_read(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"kind": "note", "rater": "ada", "tile_id": "t1", "note": "odd \\ud800", "time": ""}\n')
    note = Verdicts(path).notes("ada")["t1"]
    assert note.encode().decode() == "odd \ufffd"


@pytest.mark.parametrize("line", ["[", "[]", "{}", '{"kind": "undo", "rater": "ada"}', "[" * 10_000, '{"kind": NaN}'])
def test_lines_that_are_none_are_named(line: str, tmp_path: Path) -> None:
    for name, kind in (("v.jsonl", Verdicts), ("l.jsonl", Labels)):
        (tmp_path / name).write_text(f"\n{line}\n")
        with pytest.raises(ValueError, match=f"Line 2 of .*{name}"):
            kind(tmp_path / name)


def test_a_note_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path / "verdicts.jsonl")
    with pytest.raises(ValueError, match="The note is not valid Unicode at character 4"):
        verdicts.note("ada", "t1", "odd\ud800")
    assert not verdicts.path.exists()
