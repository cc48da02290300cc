"""Chunks in one process, in several and on a Ray cluster: the same rows, however often somebody is killed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from knowlip.base.files import sha256
from knowlip.jobs.parts import PartStore, chunks, share
from knowlip.jobs.scio_cluster import Phase, do_chunk, on_cluster, versions
from tests.jobs.local_ray import local_ray
from tests.jobs.toy import SIZE, ToyPlan, do, expected
from tests.training.runs import run_processes, start_processes


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()) for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("done")
    do(ToyPlan(), folder)
    return hashes(folder)


def test_every_item_is_in_one_chunk_and_every_chunk_has_one_process() -> None:
    parts = chunks(23, 4)
    assert [item for part in parts for item in part] == list(range(23))
    assert {len(part) for part in parts[:-1]} == {4}
    assert sorted(n for rank in range(3) for n in share([1, 2, 5, 7, 8], rank, 3)) == [1, 2, 5, 7, 8]
    assert chunks(0, 4) == []


def test_finished_chunks_are_not_done_again(done: dict[str, str], tmp_path: Path) -> None:
    folder, marks = tmp_path / "parts", tmp_path / "marks"
    marks.mkdir()
    do(ToyPlan(), folder)
    (folder / "squares-000002.parquet").unlink()
    do(ToyPlan(str(marks)), folder)
    assert [path.name.rsplit("-", 1)[0] for path in marks.iterdir()] == ["squares-8"]
    assert hashes(folder) == done


def test_kill_9_at_any_chunk_loses_one_chunk_and_changes_no_byte(done: dict[str, str], tmp_path: Path) -> None:
    folder, marks = tmp_path / "parts", tmp_path / "marks"
    marks.mkdir()
    assert run_processes(do, 1, ToyPlan(str(marks), deadly=9), folder) == [-signal.SIGKILL]
    assert len(hashes(folder)) == 2
    assert run_processes(do, 1, ToyPlan(str(marks), deadly=22), folder) == [-signal.SIGKILL]
    assert run_processes(do, 1, ToyPlan(str(marks)), folder) == [0]
    assert hashes(folder) == done
    begun = sorted(path.name.rsplit("-", 1)[0] for path in marks.iterdir())
    assert len(begun) == len(done) + 2, "only the two chunks under way were begun twice"


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_do_the_same(done: dict[str, str], tmp_path: Path, world: int) -> None:
    folder, marks = tmp_path / "parts", tmp_path / "marks"
    marks.mkdir()
    assert run_processes(do, world, ToyPlan(str(marks)), folder) == [0] * world
    assert hashes(folder) == done
    assert len(list(marks.iterdir())) == len(done), "no chunk was done twice"


def test_one_of_two_processes_killed_and_then_three(done: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    workers = start_processes(do, 2, ToyPlan(slow=0.2), folder)
    deadline = time.monotonic() + 60
    while len(hashes(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    assert 2 <= len(hashes(folder)) < len(done)
    assert run_processes(do, 3, ToyPlan(), folder) == [0, 0, 0]
    assert hashes(folder) == done


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    PartStore(tmp_path).begin({"seed": 0})
    PartStore(tmp_path).begin({"seed": 0})
    with pytest.raises(ValueError, match="other settings"):
        PartStore(tmp_path).begin({"seed": 1})


def test_ray_does_the_same_and_begins_lost_chunks_again(done: dict[str, str], tmp_path: Path) -> None:
    with local_ray(2):
        marks = tmp_path / "marks"
        marks.mkdir()
        store, plan = PartStore(tmp_path / "parts"), ToyPlan(str(marks), deadly=9)
        store.begin({"kind": "toy"})
        tables = on_cluster(plan.open(), plan, store, SIZE, "auto", gpu=False)
        assert {phase: table.to_pylist() for phase, table in tables.items()} == expected()
        assert hashes(store.folder) == done
        assert len(list(marks.iterdir())) == len(done) + 1
        assert sys.modules["ray"].is_initialized(), "a connection that the caller made stays open"
        with pytest.raises(ValueError, match="no machine with a free GPU"):
            on_cluster(plan.open(), plan, PartStore(tmp_path / "empty"), SIZE, "auto", gpu=True)
        with pytest.raises(ValueError, match="does not see"):
            on_cluster(plan.open(), plan, PartStore(tmp_path / "empty"), SIZE, "auto", gpu=False)


def test_a_machine_with_other_packages_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"it has torch .*, the machine that asks has 0.1"):
        do_chunk(ToyPlan(), str(tmp_path), Phase("squares", SIZE, [], {}), 0, versions() | {"torch": "0.1"})
