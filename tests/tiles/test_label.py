"""The label page by its requests, the file of marks, and the reference made of them."""

import http.client
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from knowlip.tiles.build import build
from knowlip.tiles.label import LabelConfig, Labels, Tiles, export, label_tiles, make_app
from knowlip.tiles.reference import read_reference
from tests.tiles.builds import config
from tests.tiles.rasters import four_places


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    build(config(four_places(folder / "scenes"), folder / "out"))
    return folder / "out"


@pytest.fixture
def page(dataset, tmp_path):
    testclient = pytest.importorskip("fastapi.testclient", reason="the page needs knowlip[serve]")
    labels = Labels(tmp_path / "labels.jsonl")
    return testclient.TestClient(make_app(Tiles(dataset), labels), base_url="http://127.0.0.1"), labels


def mark(client, label, tile="", rater="ann"):
    return client.post("/mark", json={"rater": rater, "tile_id": tile, "label": label})


def test_mark_undo_and_resume(page, dataset):
    client, labels = page
    assert "<script src" not in client.get("/").text
    first = client.get("/next", params={"rater": "ann"}).json()
    assert first["done"] == 0
    assert first["total"] == 84
    assert first["before"] is None, "the vote is told after the mark"
    assert not {"vote", "neighbours"} & first.keys()
    assert "q_good" not in first["features"], "it is the vote"
    picture = client.get(f"/tile/{first['tile_id']}")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content[:4] == b"\x89PNG"
    second = mark(client, "good", first["tile_id"]).json()
    assert second["tile_id"] != first["tile_id"]
    assert second["done"] == 1
    assert second["before"]["label"] == "good"
    assert len(second["before"]["neighbours"]) == 9
    assert second["before"]["vote"] == pytest.approx(
        np.mean([one["good"] for one in second["before"]["neighbours"]]), abs=1e-3
    )
    assert mark(client, "skip", second["tile_id"], "cid").json()["before"] is None
    mark(client, "bad", second["tile_id"])
    assert mark(client, "undo").json()["tile_id"] == second["tile_id"]
    assert Labels(labels.path).of("ann") == {first["tile_id"]: "good"}
    assert client.get("/next", params={"rater": "bob"}).json()["done"] == 0


def test_uncertain_tiles_come_first(dataset):
    tiles = Tiles(dataset)
    doubt = [abs(tiles.features[tile][-1] - 0.5) for tile in tiles.order]
    assert doubt == sorted(doubt)


def test_what_is_refused(page):
    client, labels = page
    assert client.get("/tile/..%2Findex.parquet").status_code == 404
    assert client.get("/tile/none").status_code == 404
    assert client.get("/next", params={"rater": "<b>"}).status_code == 400
    assert mark(client, "good", "none").status_code == 400
    assert mark(client, "fine", "x").status_code == 400
    assert mark(client, "undo").status_code == 409
    assert client.post("/mark", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    long = {"content-type": "application/json"}
    assert client.post("/mark", content=b" " * 5000, headers=long).status_code == 413
    assert client.post("/mark", content=b"[" * 4000, headers=long).status_code == 400
    assert client.get("/", headers={"Host": "elsewhere.example"}).status_code == 400
    assert not labels.path.exists()


def test_raters_agree_and_export(dataset, tmp_path):
    labels, tiles = Labels(tmp_path / "labels.jsonl"), Tiles(dataset)
    a, b, c, d = tiles.order[:4]
    for rater, marks in {"ann": "ggbs", "bob": "gbbg", "eve": "g b "}.items():
        for tile, key in zip((a, b, c, d), marks):
            if key != " ":
                labels.add(rater, tile, {"g": "good", "b": "bad", "s": "skip"}[key])
    assert labels.agreed() == {a: True, c: False, d: True}
    export(tmp_path / "mine.json", labels, tiles)
    assert sorted(read_reference(tmp_path / "mine.json").sources) == sorted([a, c, d])
    result = label_tiles(LabelConfig(dataset, labels=labels.path, export=tmp_path / "again.json"))
    assert result["good"] == 2
    assert result["bad"] == 1
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "mine.json").read_bytes()


def test_marks_cut_short_or_broken(dataset, tmp_path):
    path = tmp_path / "labels.jsonl"
    labels = Labels(path)
    labels.add("ann", "x", "good")
    with path.open("ab") as stream:
        stream.write(b'{"tile_id": "y", "ra')
    labels = Labels(path)
    assert labels.of("ann") == {"x": "good"}
    labels.add("ann", "z", "bad")
    assert Labels(path).of("ann") == {"x": "good", "z": "bad"}
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(ValueError, match="Line 1"):
        Labels(path)
    with pytest.raises(ValueError, match="both good and bad"):
        label_tiles(LabelConfig(dataset, labels=tmp_path / "none.jsonl", export=tmp_path / "mine.json"))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_page_ends_soon_while_a_browser_is_connected(dataset, tmp_path, stop):
    pytest.importorskip("uvicorn", reason="the page needs knowlip[serve]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from knowlip.cli import main; sys.exit(main())"
    marks = f"--labels={tmp_path / 'labels.jsonl'}"
    command = [sys.executable, "-c", code, "dataset", "label", str(dataset), f"--port={port}", marks]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        browser, idle = http.client.HTTPConnection("127.0.0.1", port, timeout=5), None
        for _ in range(200):
            try:
                idle = socket.create_connection(("127.0.0.1", port))  # a request that never ends
                break
            except OSError:
                time.sleep(0.1)
        assert idle is not None
        idle.sendall(b"POST /mark HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        idle.sendall(b"Content-Length: 100\r\n\r\n{")
        browser.request("GET", "/next?rater=ann")  # kept open, as browsers do
        assert browser.getresponse().read()
        server.send_signal(stop)
        server.wait(timeout=8)
    finally:
        server.kill()
        server.wait()
