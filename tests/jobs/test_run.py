"""Work done here, in threads, in processes and on a cluster: the same results, and nobody stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knowlip.jobs import ray as ray_module
from knowlip.jobs.run import runner
from knowlip.jobs.work import Processes, Ranks, Ray, Threads, Where
from tests.jobs.local_ray import local_cluster
from tests.jobs.toy import Squares

EVERYWHERE = [Processes(1), Threads(3), Processes(2), Ranks()]


class _Late(Exception):
    """Fails when it arrives in another process."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def opened(marks: Path) -> list[str]:
    return sorted(path.name.split("-")[2].partition(".")[0] for path in marks.glob("open-*"))


@pytest.mark.parametrize("where", EVERYWHERE, ids=str)
def test_every_item_is_done_once_and_a_process_opens_the_work_once(where: Where, tmp_path: Path) -> None:
    with runner(Squares(tmp_path), where) as run:
        for count in (7, 0, 4):
            results = {item: square for item, (square, _) in run(range(count))}
            assert results == {number: number**2 for number in range(count)}
    assert len(list(tmp_path.glob("[0-9]*"))) == 11
    assert opened(tmp_path) == (["0", "1"] if where == Processes(2) else ["0"])


@pytest.mark.parametrize("where", EVERYWHERE, ids=str)
def test_an_error_of_the_work_is_raised_here(where: Where) -> None:
    work = Squares(wrong=7, error=KeyError("seven"))
    with pytest.raises(KeyError, match="seven") as caught, runner(work, where) as run:
        list(run(range(9)))
    if where == Processes(2):
        assert "in _do" in caught.value.__notes__[0]


def test_an_error_that_cannot_travel_is_told_as_text() -> None:
    with pytest.raises(RuntimeError, match="_Late"), runner(Squares(wrong=1, error=_Late), Processes(2)) as run:
        list(run(range(3)))


def test_an_item_whose_process_is_killed_is_tried_once_more_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with runner(Squares(tmp_path, once=(2, 5)), Processes(2)) as run:
        results = list(run(range(8)))
    assert {item: square for item, (square, _) in results} == {number: number**2 for number in range(8)}
    assert sorted(item for item, _ in results[-2:]) == [2, 5], "at the end"
    assert len({process for _, (_, process) in results[-2:]}) == 2, "each in a process of its own"
    said = capsys.readouterr().err
    assert "the process of number 2 was killed; it is tried again at the end" in said
    assert "number 5" in said


def test_an_item_that_ends_its_process_each_time_is_named(tmp_path: Path) -> None:
    done = []
    work = Squares(tmp_path, deadly=(3,))
    with pytest.raises(ValueError, match=r"number 3 was given up.*killed each time"), runner(work, Processes(2)) as run:
        done.extend(item for item, _ in run(range(6)))
    assert sorted(done) == [0, 1, 2, 4, 5]
    assert len(list(tmp_path.glob("3.*"))) == 2


ORPHANS = """
import sys
from pathlib import Path
from knowlip.jobs.run import runner
from knowlip.jobs.work import Processes
from tests.jobs.toy import Squares

if __name__ == "__main__":
    with runner(Squares(Path(sys.argv[1]), slow=600), Processes(2)) as run:
        list(run(range(2)))
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_asks(stop: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    while len(list(tmp_path.glob("[0-9].*"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    assert len(alive(process.pid)) >= 3
    (os.kill if stop == signal.SIGKILL else os.killpg)(process.pid, stop)  # Ctrl-C reaches the workers as well
    process.wait()
    deadline = time.monotonic() + 60
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(process.pid)


def alive(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_cluster_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    address = local_cluster().address
    for where, sentence in [
        (Ray(address, tmp_path, (), (), gpu=True), "no machine with a free GPU"),
        (Ray(address, tmp_path, (tmp_path / "nowhere",), ()), "does not see .*nowhere"),
        (Ray(address, tmp_path, (), ("numpy", "no-such-package")), "has no no-such-package"),
    ]:
        with pytest.raises(ValueError, match=sentence), runner(Squares(), where) as run:
            list(run(range(2)))
    assert not list(tmp_path.iterdir())


def test_a_machine_that_joins_later_is_asked_as_well(tmp_path: Path) -> None:
    where = Ray("auto", tmp_path, (), ("numpy",))
    with pytest.raises(ValueError, match=r"has numpy .* and this one 0.1"):
        ray_module.do_one(("token", Squares(), where, {"numpy": "0.1"}), 3)
