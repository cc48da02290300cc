"""Whole or absent: what a failed, stopped or full-disk write leaves behind."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knowlip.base.files import read_json, sha256, temporary_path, whole_file, whole_folder, write_json
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


@pytest.mark.parametrize("write", [_torch, _safetensors, _parquet, _raster, lambda p: p.write_bytes(bytes(500_000))],
                         ids=["torch", "safetensors", "parquet", "geotiff", "bytes"])  # fmt: skip
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


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    number, host = int(gone.stdout), temporary_path(tmp_path / "a").name.split(".")[2].rpartition("-")[0]
    (tmp_path / f".a.json.{host}-{number}.part").write_text("{")
    kept = {
        f".b.json.{host}-{number}.part": "another file's",
        f".a.json.elsewhere-{number}.part": "another machine's",
        f".a.json.{host}-{os.getppid()}.part": "of a process that lives",
    }
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    write_json(tmp_path / "a.json", {})
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*kept, "a.json"])
