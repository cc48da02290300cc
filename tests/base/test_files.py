"""Whole or absent: what a failed, stopped or full-disk write leaves behind."""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knowlip.base import files
from knowlip.base.documents import read_json
from knowlip.base.files import recover, sha256, temporary_path, whole_file, whole_folder, write_json
from tests.full_disk import small_disk


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with whole_file(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with whole_folder(path) as part:
        (part / "a").write_text("1")

    def fail() -> None:
        with whole_folder(path) as part:
            (part / "b").write_text("2")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert [file.name for file in path.iterdir()] == ["a"]
    with whole_folder(path) as part:
        (part / "b").write_text("2")
    assert [file.name for file in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip_and_refusals(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"b": [1, 2.5], "a": None})
    assert read_json(path) == {"a": None, "b": [1, 2.5]}
    assert list(json.loads(path.read_text())) == ["a", "b"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": None, "b": [1, 2.5]}
    path.write_bytes(b'{"cut": ')
    with pytest.raises(ValueError, match=r"value\.json is not valid JSON"):
        read_json(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"value\.json is not valid JSON"):
        read_json(path)
    with pytest.raises(ValueError, match=r"none\.json does not exist"):
        read_json(tmp_path / "none.json")


def test_sha256_is_that_of_the_standard() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _torch(path: Path) -> None:
    import torch

    torch.save({"weights": torch.rand(200_000)}, path)


def _safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weights": torch.rand(200_000)}, path)


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": np.random.default_rng(0).random(100_000)}), path)


def _raster(path: Path) -> None:
    import rasterio

    values = np.random.default_rng(0).random((500, 500)).astype(np.float32)
    with rasterio.open(path, "w", driver="GTiff", height=500, width=500, count=1, dtype="float32") as target:
        target.write(values, 1)


@pytest.mark.parametrize(
    "write",
    [_torch, _safetensors, _parquet, _raster, lambda p: p.write_bytes(bytes(500_000))],
    ids=["torch", "safetensors", "parquet", "geotiff", "bytes"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_full_disk_is_named_whatever_library_wrote(tmp_path: Path, write: Callable[[Path], None]) -> None:
    def save(path: Path) -> None:
        with whole_file(path) as part:
            write(part)

    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(OSError, match="No space left") as caught:
            save(disk / "file")
        assert caught.value.errno == errno.ENOSPC
        assert not list(disk.iterdir())
        with pytest.raises(OSError, match="No space left"), whole_folder(disk / "folder") as part:
            write(part / "file")
        assert not list(disk.iterdir())


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def save(error: Exception) -> None:
        with whole_file(tmp_path / "file"):
            raise error

    for error in (RuntimeError("shape mismatch"), PermissionError(errno.EACCES, os.strerror(errno.EACCES), "there")):
        with pytest.raises(type(error)) as caught:
            save(error)
        assert caught.value is error


def died(work: Callable[[], object], event: str = "", number: int = 0) -> bool:
    """Do something in a process that is killed just before its `number`-th step of some kind, see `sys.audit`; whether
    it got that far."""
    process = os.fork()
    if process == 0:
        seen = 0

        def hook(name: str, _: object) -> None:
            nonlocal seen
            if name in STEPS and (not event or name == event):
                seen += 1
                if seen > number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "open", "ctypes.dlsym", "os.scandir")


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    assert died(lambda: write_json(tmp_path / "a.json", {}), "os.rename")
    assert died(lambda: write_json(tmp_path / "b.json", {}), "os.rename")
    (mine, other) = sorted(tmp_path.iterdir())
    kept = [other.name]
    for owner in (
        f"elsewhere-{os.getpid()}",  # of an earlier version
        mine.name.split(".")[3].replace(files._machine(), "0123456789ab"),  # of another machine or container
        temporary_path(tmp_path / "c").name.split(".")[2],  # of a process that lives: this one
    ):
        kept.append(f".a.json.{owner}.part")
        (tmp_path / kept[-1]).touch()
    kept.append(mine.name.replace(".a.json.", ".a.json.other."))  # a file "a.json.other"
    (tmp_path / kept[-1]).touch()
    write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "a.json"])


def test_what_nobody_can_tell_of_is_removed_after_a_week(tmp_path: Path) -> None:
    for name, days in ((".a.json.elsewhere-12.part", 8), (".a.json.0123456789ab-12-34-01234567.part", 6)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.json.0123456789ab-12-34-01234567.part", "a.json"]


def test_two_threads_write_the_same_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "a") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"


@pytest.mark.parametrize("swap", [True, False], ids=["in one step", "NFS"])
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, swap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any call of the system: neither is lost, neither is mixed with the other, and the next write tidies up."""
    if not swap:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    path = tmp_path / "folder"

    def write(text: str) -> None:
        with whole_folder(path) as part:
            for name in ("a", "b"):
                (part / name).write_text(text)

    write("old")
    found, number, missing = [], 0, 0
    while died(lambda: write("new"), number=number):
        missing += not path.exists()
        recover(path)
        found.append("".join((path / name).read_text() for name in ("a", "b")))
        write("old")
        assert list(tmp_path.iterdir()) == [path]
        number += 1
    assert set(found) == {"oldold", "newnew"}
    assert sorted(found, reverse=True) == found, "once the new one is there it stays"
    assert bool(missing) is not swap
    assert (path / "a").read_text() == "new"


def test_a_reader_that_recovers_does_not_disturb_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "folder", Path.rename
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)

    def hasty(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if target.suffix == ".old" and not hurried:
            hurried.append(target)
            recover(path)
        return moved

    hurried: list[Path] = []
    for text in ("old", "new"):
        monkeypatch.setattr(Path, "rename", hasty)
        with whole_folder(path) as part:
            (part / "a").write_text(text)
    assert hurried
    assert (path / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_moved_aside_stays_while_it_is_all_there_is(tmp_path: Path) -> None:
    """A process was killed between the two renames of a replacement, and the next one fails in its turn."""
    path, gone = tmp_path / "data", "0" * 12 + "-1-1-00000000"
    aside = tmp_path / f".data.{files._machine()}-{2**22 + 1}-1-00000000.old"
    aside.mkdir()
    (aside / "kept").write_text("kept")
    temporary_path(path)
    assert (aside / "kept").read_text() == "kept"
    with pytest.raises(RuntimeError), whole_folder(path):
        raise RuntimeError(gone)
    assert (path / "kept").read_text() == "kept"


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "000001.parquet"
    with files.whole_file(path, keep=True) as part:
        part.write_text("first")
    with pytest.raises(FileExistsError), files.whole_file(path, keep=True) as part:
        part.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
