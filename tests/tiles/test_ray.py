"""Builds on a local Ray cluster of two nodes: the same bytes, also when a node is lost, and clear refusals."""

import errno
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from knowlip.jobs import ray as jobs_ray
from knowlip.tiles import cutting
from knowlip.tiles.build import build
from tests.jobs.local_ray import SMALL, local_cluster
from tests.tiles.builds import config, damage, hashes
from tests.tiles.rasters import four_places

ray = pytest.importorskip("ray", reason="ray is not installed (pip install 'knowlip[cluster]')")


@pytest.fixture
def cluster():
    return local_cluster()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    scenes = four_places(folder / "scenes")
    build(config(scenes, folder / "out"))
    return scenes, hashes(folder / "out")


def test_a_cluster_does_not_change_a_byte(cluster, built, tmp_path):
    scenes, expected = built
    build(config(scenes, tmp_path / "out", ray=cluster.address))
    assert hashes(tmp_path / "out") == expected
    assert ray.is_initialized(), "a connection that the caller made stays open"


def test_a_bad_scene_is_skipped_and_the_others_are_cut(cluster, tmp_path):
    scenes = four_places(tmp_path / "scenes")
    damage(scenes / "bravo.tif")
    result = build(config(scenes, tmp_path / "out", ray=cluster.address))
    alone = build(config(scenes, tmp_path / "alone"))
    assert result["scenes"] == 3
    assert [Path(item["path"]).name for item in result["skipped"]] == ["bravo.tif"]
    assert result["skipped"] == alone["skipped"]
    assert hashes(tmp_path / "out") == hashes(tmp_path / "alone")


def test_a_full_disk_of_a_machine_ends_the_build_with_one_sentence(cluster, built, tmp_path, monkeypatch):
    scenes, expected = built

    def full(job):
        if job.planned.scene.scene_id == "charlie":
            raise OSError(errno.ENOSPC, "No space left on device")
        return cutting.cut_scene(job)

    monkeypatch.setattr(cutting, "attempt", full)
    with pytest.raises(ValueError, match=r"No space left on device. What is finished is kept"):
        build(config(scenes, tmp_path / "out", ray=cluster.address))
    monkeypatch.undo()
    build(config(scenes, tmp_path / "out", ray=cluster.address))
    assert hashes(tmp_path / "out") == expected


def test_a_scene_that_kills_its_process_each_time_is_given_up(cluster, tmp_path, monkeypatch):
    scenes = four_places(tmp_path / "scenes")

    def deadly(job):
        import os

        if job.planned.scene.scene_id == "delta":
            (job.config.out / "shards").mkdir(exist_ok=True)
            (job.config.out / "shards" / "test-delta-000000.tar").write_bytes(b"whole, but without its marker")
            os.kill(os.getpid(), 9)
        return cutting.cut_scene(job)

    monkeypatch.setattr(cutting, "attempt", deadly)
    result = build(config(scenes, tmp_path / "out", ray=cluster.address))
    assert result["scenes"] == 3
    assert "delta.tif was given up: the process that cut it was killed each time" in result["skipped"][0]["reason"]
    assert not list((tmp_path / "out" / "shards").glob("*delta*"))


def test_a_folder_that_the_machines_do_not_share_is_refused(cluster, built, tmp_path):
    judge = jobs_ray._judge
    good = {"versions": {"knowlip": "1", "numpy": "2"}, "error": "", "missing": []}
    judge("10.0.0.2", good, good["versions"], tmp_path)
    for change, message in [
        ({"error": "No such file or directory"}, r"10.0.0.2 .* does not share .*same path"),
        ({"missing": ["/data/scenes"]}, r"does not see /data/scenes"),
        ({"versions": {"knowlip": "", "numpy": "2"}}, r"no knowlip; install knowlip"),
        ({"versions": {"knowlip": "1", "numpy": "1"}}, r"numpy 1 and this one 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            judge("10.0.0.2", {**good, **change}, good["versions"], tmp_path)


def test_a_machine_without_the_folder_says_so(cluster, tmp_path):
    probe = jobs_ray._probe()
    found = ray.get(
        ray.remote(num_cpus=0)(probe).remote("/nowhere/.x.part", "text", ["/nowhere"], ("knowlip", "no-such-package"))
    )
    assert found == {
        "versions": {"knowlip": found["versions"]["knowlip"], "no-such-package": ""},
        "error": "No such file or directory",
        "missing": ["/nowhere"],
    }
    assert found["versions"]["knowlip"]


def test_no_cluster_is_one_sentence(built, tmp_path, monkeypatch):
    scenes, _ = built
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ValueError, match=r"no Ray cluster at 'auto' .*ray start --head"):
        build(config(scenes, tmp_path / "out", ray="auto"))
    with socket.socket() as free:  # a port at which nobody listens
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ValueError, match=f"no Ray cluster at '{address}' .*refused"):
            build(config(scenes, tmp_path / "out", ray=address))


def test_at_last_a_lost_node_costs_nothing_but_time(cluster, built, tmp_path, monkeypatch):
    """A node is taken away while it cuts a scene; the scene is cut again on the other one."""
    scenes, expected = built
    starts = tmp_path / "starts"
    starts.mkdir()

    def slow(job):
        """Say where this is, write half a file, and wait for the test before the scene is cut."""
        import ray

        scene = job.planned.scene.scene_id
        node = ray.get_runtime_context().get_node_id()
        (starts / f"{scene}-{node}").touch()
        shards = job.config.out / "shards"
        shards.mkdir(exist_ok=True)
        (shards / f".train-{scene}-000000.tar.999999.part").write_bytes(b"half")
        while not (starts / "go").exists() or (starts / f"lost-{node}").exists():  # a lost one ends with its node
            time.sleep(0.02)
        return cutting.cut_scene(job)

    monkeypatch.setattr(cutting, "attempt", slow)
    lost = []
    node = cluster.add_node(**SMALL)

    def lose():
        deadline = time.monotonic() + 600
        while not list(starts.glob(f"*-{node.node_id}")) and time.monotonic() < deadline:
            time.sleep(0.02)
        lost.extend(path.name.split("-")[0] for path in starts.glob(f"*-{node.node_id}"))
        (starts / f"lost-{node.node_id}").touch()
        cluster.remove_node(node, allow_graceful=False)
        (starts / "go").touch()

    thread = threading.Thread(target=lose)
    thread.start()
    result = build(config(scenes, tmp_path / "out", ray=cluster.address))
    thread.join()
    assert lost, "the node had no scene"
    assert len(list(starts.glob(f"{lost[0]}-*"))) == 2, "the scene was begun on two nodes"
    assert result["skipped"] == []
    assert hashes(tmp_path / "out") == expected
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["counts"]["scenes"] == 4
