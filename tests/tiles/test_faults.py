"""Whatever breaks during a build: nothing half-written, the other scenes are cut, and a second run ends as if nothing
had happened."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from knowlip.dataset import verify
from knowlip.tiles import cutting
from knowlip.tiles.build import build
from tests.full_disk import small_disk
from tests.scenes.products import sidecar
from tests.tiles.builds import config, damage, hashes
from tests.tiles.rasters import four_places


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    scenes = four_places(folder / "scenes")
    build(config(scenes, folder / "out"))
    return scenes, hashes(folder / "out")


def nothing_half_written(out: Path, expected: dict[str, str]) -> dict[str, str]:
    """Assert that what is there is a part of the finished data set; return its hashes."""
    left = hashes(out)
    assert not [name for name in left if name.endswith((".part", ".old"))]
    assert {name: digest for name, digest in left.items() if expected.get(name) != digest} == {}
    return left


def test_a_scene_that_breaks_off_in_the_middle_is_skipped(tmp_path):
    scenes = four_places(tmp_path / "scenes")
    damage(scenes / "bravo.tif")
    with rasterio.open(scenes / "bravo.tif") as source:  # it opens; only the middle is gone
        assert source.read(1, window=((0, 4), (0, 70))).any()
    result = build(config(scenes, tmp_path / "out"))
    assert [Path(item["path"]).name for item in result["skipped"]] == ["bravo.tif"]
    assert "bravo.tif" in result["skipped"][0]["reason"]
    assert result["scenes"] == 3
    assert verify(tmp_path / "out")["accepted"] == 63
    assert not list((tmp_path / "out" / "shards").glob("*bravo*"))


@pytest.mark.parametrize(
    "change",
    [
        {"calibration": {"quantity": "sigma0", "amplitude_factor": -1.0}},
        {"units": "furlongs"},
        {"colour": "blue"},
        {"kind": "crs", "transform": [2.0, -1.0]},
    ],
)
def test_a_wrong_sidecar_skips_its_scene_only(tmp_path, change):
    scenes = four_places(tmp_path / "scenes")
    sidecar.make(scenes / "qilu", **change)
    result = build(config(scenes, tmp_path / "out"))
    assert result["scenes"] == 4
    assert ["qilu" in item["path"] and len(item["reason"]) > 20 for item in result["skipped"]] == [True]


def test_metadata_that_is_no_json_skips_its_scene_only(tmp_path):
    scenes = four_places(tmp_path / "scenes")
    (scenes / "chips").mkdir()
    Image.fromarray(np.full((70, 70), 9, np.uint8)).save(scenes / "chips" / "chip.png")
    (scenes / "chips" / "metadata.json").write_text('[{"fragment_filename": "chip.png", ')
    result = build(config(scenes, tmp_path / "out"))
    assert result["scenes"] == 4
    assert all("metadata.json" in item["reason"] for item in result["skipped"])


def full_from(monkeypatch, number: int) -> list[int]:
    """Let the disk be full from the `number`-th file on: everything is flushed before it gets its name."""
    flushed: list[int] = []
    fsync = os.fsync

    def flush(stream: int) -> None:
        flushed.append(stream)
        if len(flushed) >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(stream)

    monkeypatch.setattr("os.fsync", flush)
    return flushed


def test_a_disk_that_is_full_at_any_file_costs_nothing(tmp_path, monkeypatch):
    """Plan, shards, done markers, index, dataset.json: each in turn is the first that finds no room."""
    scenes = four_places(tmp_path / "scenes")
    (scenes / "bravo.tif").unlink()
    (scenes / "charlie.tif").unlink()
    with monkeypatch.context() as patched:
        flushed = full_from(patched, 1 << 30)
        build(config(scenes, tmp_path / "out"))
    expected = hashes(tmp_path / "out")
    assert len(flushed) == len(expected) >= 7, "every file of the data set is flushed once"
    for number in range(1, len(flushed) + 1):
        out = tmp_path / f"out-{number}"
        with monkeypatch.context() as patched:
            full_from(patched, number)
            with pytest.raises(ValueError, match=r"Cannot write to .*No space left.*run the same command again"):
                build(config(scenes, out))
        assert len(nothing_half_written(out, expected)) < len(expected)
        build(config(scenes, out))
        assert hashes(out) == expected


@pytest.mark.parametrize("size", ["60k", "180k"])
def test_a_disk_that_is_really_full(built, tmp_path, size):
    """Room for some scenes only; then the disk grows."""
    scenes, expected = built
    with small_disk(tmp_path / "disk", size) as disk:
        out = disk / "out"
        with pytest.raises(ValueError, match=r"Cannot write to .*No space left.*run the same command again"):
            build(config(scenes, out))
        nothing_half_written(out, expected)
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        build(config(scenes, out))
        assert hashes(out) == expected


def test_one_scene_that_nobody_foresaw_does_not_end_a_build(tmp_path, monkeypatch):
    scenes = four_places(tmp_path / "scenes")
    cut_scene = cutting.cut_scene
    wrong = {
        "alpha": MemoryError(),
        "bravo": KeyError("no such thing"),
        "charlie": OSError(errno.EIO, "Input/output error", str(scenes / "charlie.tif")),
    }

    def failing(job):
        error = wrong.get(job.planned.scene.scene_id)
        if error is not None:
            raise error
        return cut_scene(job)

    monkeypatch.setattr(cutting, "cut_scene", failing)
    result = build(config(scenes, tmp_path / "out"))
    alpha, bravo, charlie = (item["reason"] for item in result["skipped"])
    assert "alpha.tif needs more memory" in alpha
    assert "bravo.tif cannot be cut: unexpected KeyError in test_faults.py:" in bravo
    assert "charlie.tif cannot be read" in charlie
    assert "Input/output error" in charlie
    assert result["scenes"] == 1


def test_a_folder_that_cannot_be_written_ends_the_build(tmp_path, monkeypatch):
    scenes = four_places(tmp_path / "scenes")
    out = tmp_path / "out"

    def refused(job):
        raise PermissionError(errno.EACCES, "Permission denied", str(out / "shards" / "x.tar"))

    monkeypatch.setattr(cutting, "cut_scene", refused)
    with pytest.raises(ValueError, match=r"Cannot write to .*Permission denied"):
        build(config(scenes, out))


def die(job):
    """Kill the process in the middle of a scene, the first time (bravo) or each time (delta)."""
    out, scene = job.config.out, job.planned.scene.scene_id
    begun = out.parent / f"begun-{scene}"
    if scene == "delta" or (scene == "bravo" and not begun.exists()):
        begun.touch()
        (out / "shards").mkdir(exist_ok=True)
        shard = out / "shards" / f"{job.planned.splits[0]}-{scene}-000000.tar"
        shard.write_bytes(b"whole, but without its marker")
        (out / "shards" / f".train-{scene}-000000.tar.{os.getpid()}.part").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return cutting.attempt(job)


def test_a_scene_whose_process_is_killed_is_cut_again_and_at_last_given_up(built, tmp_path, monkeypatch, capsys):
    scenes, expected = built
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(cutting, "attempt", die)
        result = build(config(scenes, out, workers=2))
    said = capsys.readouterr().err
    assert "bravo.tif was killed; it is tried again at the end" in said
    assert "delta.tif was killed; it is tried again at the end" in said
    assert [Path(item["path"]).name for item in result["skipped"]] == ["delta.tif"]
    assert "was given up: the process that cut it was killed each time" in result["skipped"][0]["reason"]
    assert result["scenes"] == 3
    assert verify(out)["accepted"] == 63
    assert not list(out.rglob("*delta*"))
    for name in ("index.parquet", "dataset.json"):  # they tell of three scenes; all else is final
        (out / name).unlink()
    nothing_half_written(out, expected)
    build(config(scenes, out))  # on a larger machine: what was skipped is tried again
    assert hashes(out) == expected


INTERRUPTED = """
import sys
import time
from pathlib import Path
from knowlip.cli import main
from knowlip.tiles import cutting

def slowly(job):
    out = job.config.out
    (out / "shards").mkdir(exist_ok=True)
    (out / "shards" / f".train-{job.planned.scene.scene_id}-000000.tar.1.part").write_bytes(b"half")
    (out.parent / "cutting").touch()
    time.sleep(60)

if __name__ == "__main__":
    cutting.attempt = slowly
    sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_ends_at_once_and_leaves_nothing_half_written(built, tmp_path):
    scenes, expected = built
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), "build", "--scenes", str(scenes), "--out", str(out), "--workers", "2"]
    command += ["--windows_m", "[256,128,64]", "--tile_px", "64", "--quality.min_good", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "cutting").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the build and to its workers
    started = time.monotonic()
    _, said = process.communicate(timeout=150)
    assert time.monotonic() - started < 10
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    nothing_half_written(out, expected)
    build(config(scenes, out))
    assert hashes(out) == expected
