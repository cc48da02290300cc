"""Finished chunks, their settings, and the lock of a folder."""

import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest

from knowlip.jobs.store import TABLES, Store, alone


def test_chunks_are_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "work", TABLES, "chunks")
    assert (store.begun, store.names(), store.todo("ab")) == (False, [], ["a", "b"])
    store.begin({"seed": 0})
    store.write("b", pa.table({"x": [1]}))
    (tmp_path / "work" / "chunks" / ".a.parquet").touch()
    again = Store(tmp_path / "work", TABLES, "chunks")
    assert (again.begun, again.names(), again.todo("ab")) == (True, ["b"], ["a"])
    assert again.read("b").to_pylist() == [{"x": 1}]
    with pytest.raises(ValueError, match=r"a\.parquet does not exist"):
        again.read("a")
    again.remove()
    assert not (tmp_path / "work").exists()


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, TABLES).begin({"seed": 0, "size": 1, "same": 2})
    Store(tmp_path, TABLES).begin({"seed": 0, "size": 1, "same": 2})
    with pytest.raises(ValueError, match=r"other settings was begun in .* \(new, seed, size\)"):
        Store(tmp_path, TABLES).begin({"seed": 1, "new": 0, "same": 2})


def test_a_second_process_is_kept_out_until_the_first_has_left_or_died(tmp_path: Path) -> None:
    lock = tmp_path / "work" / "lock"
    with alone(lock, "Busy."), pytest.raises(ValueError, match="Busy"), alone(lock, "Busy."):
        pass
    assert not lock.exists()
    to_read, to_write = os.pipe()
    process = os.fork()
    if process == 0:
        with alone(lock, "Busy."):
            os.write(to_write, b"locked")
            signal.pause()
    os.read(to_read, 6)
    with pytest.raises(ValueError, match="Busy"), alone(lock, "Busy."):
        pass
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert lock.exists()
    with alone(lock, "Busy."):
        pass
    assert not lock.exists()
