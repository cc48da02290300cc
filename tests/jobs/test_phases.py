"""Passes in chunks, in one process, in several and on a Ray cluster: the same rows, whoever is killed."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from knowlip.base.files import sha256
from knowlip.jobs.phases import chunks, do_phases
from knowlip.jobs.store import TABLES, Store
from knowlip.jobs.work import Processes, Ray
from tests.jobs.local_ray import local_cluster
from tests.jobs.toy import SIZE, ToyPlan, do, expected
from tests.training.runs import run_processes, start_processes


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()) for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("done")
    do(ToyPlan(), folder)
    return hashes(folder)


def test_every_item_is_in_one_chunk() -> None:
    parts = chunks(23, 4)
    assert [item for part in parts for item in part] == list(range(23))
    assert {len(part) for part in parts[:-1]} == {4}
    assert chunks(0, 4) == []


def test_finished_chunks_are_not_done_again(done: dict[str, str], tmp_path: Path) -> None:
    folder, marks = tmp_path / "parts", tmp_path / "marks"
    marks.mkdir()
    do(ToyPlan(), folder)
    (folder / "squares-000002.parquet").unlink()
    do(ToyPlan(str(marks)), folder)
    assert [path.name.rsplit("-", 1)[0] for path in marks.iterdir()] == ["squares-8"]
    assert hashes(folder) == done


@pytest.mark.parametrize("world", [2, 3])
def test_several_ranks_do_the_same(done: dict[str, str], tmp_path: Path, world: int) -> None:
    folder, marks = tmp_path / "parts", tmp_path / "marks"
    marks.mkdir()
    assert run_processes(do, world, ToyPlan(str(marks)), folder) == [0] * world
    assert hashes(folder) == done
    assert len(list(marks.iterdir())) == len(done), "no chunk was done twice"


def test_two_ranks_killed_and_then_three(done: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    workers = start_processes(do, 2, ToyPlan(slow=0.2), folder)
    while len(hashes(folder)) < 2 and all(worker.is_alive() for worker in workers):
        time.sleep(0.02)
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    assert 2 <= len(hashes(folder)) < len(done)
    assert run_processes(do, 3, ToyPlan(), folder) == [0, 0, 0]
    assert hashes(folder) == done


def test_a_pool_and_a_cluster_do_the_same_and_begin_lost_chunks_again(done: dict[str, str], tmp_path: Path) -> None:
    address = local_cluster().address
    for name in ("pool", "cluster"):
        marks = tmp_path / f"{name}-marks"
        marks.mkdir()
        store, plan = Store(tmp_path / name, TABLES), ToyPlan(str(marks), deadly=9)
        store.begin({"kind": "toy"})
        where = Processes(2) if name == "pool" else Ray(address, store.folder, (), ("knowlip", "numpy"))
        tables = do_phases(plan, plan.open(), store, SIZE, where)
        assert {phase: table.to_pylist() for phase, table in tables.items()} == expected()
        assert hashes(store.folder) == done
        assert len(list(marks.iterdir())) == len(done) + 1
    assert sys.modules["ray"].is_initialized(), "a connection that the caller made stays open"
