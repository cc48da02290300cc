"""The API says what the commands say, lets nobody in who has no key, and reaches nothing but the archive."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
import shapely.affinity
from fastapi.testclient import TestClient
from PIL import Image

from knowlip.cli import main
from knowlip.inference.archive import SceneArchive
from knowlip.inference.archive.adding import write_part
from knowlip.inference.archive.parts import SCHEMA
from knowlip.inference.ask import ask
from knowlip.inference.search import search
from knowlip.inference.settings import AskConfig, SearchConfig
from knowlip.inference.web import model as model_module
from knowlip.inference.web.archive import corners_of
from knowlip.models.default import shipped_model
from tests.inference.test_predict import blobs
from tests.inference.web.sites import archived, asked, refusal

KEY = "a-key-of-sixteen-letters"


@pytest.fixture(scope="module")
def client(archive: Path, detector: Path) -> Iterator[TestClient]:
    with asked(archive, detector=detector, openai=True, uploads=False) as one:
        yield one


@pytest.fixture(scope="module")
def key(client: TestClient) -> str:
    """Of the first window."""
    return str(client.post("/api/search", json={}).json()["hits"][0]["key"])


def test_a_search_is_that_of_the_command(client: TestClient, archive: Path) -> None:
    for words in ("a port with ships", "water"):
        found = client.post("/api/search", json={"text": words, "top": 3}).json()
        want: Any = search(SearchConfig(archive, words, shipped_model(), "cpu", top=3))
        assert [hit["item"] for hit in found["hits"]] == [hit["item"] for hit in want["hits"]]
        assert [hit["similarity"] for hit in found["hits"]] == [hit["similarity"] for hit in want["hits"]]
        for hit, wanted in zip(found["hits"], want["hits"]):
            assert hit["match"] == pytest.approx(wanted["match"], abs=1e-4)
        assert (found["searched"], found["of"]) == (want["searched"], want["of"])


def test_filters_leave_out_what_nobody_asked_for(client: TestClient) -> None:
    def passing(**asked_for: Any) -> int:
        reply = client.post("/api/search", json=asked_for)
        assert reply.status_code == 200, reply.text
        points = client.post("/api/points", json=asked_for).json()
        assert points["of"] == reply.json()["searched"] == len(points["points"])
        return int(reply.json()["searched"])

    assert passing() == passing(sensor="sim-x") == passing(sensor="x") == passing(resolution=[2, 4]) == 4
    assert passing(sensor="C") == passing(resolution=[5, 9]) == passing(after="2100-01-01") == 0
    assert passing(before="2100", after="2000-01") == 4
    hit = client.post("/api/search", json={"top": 1}).json()["hits"][0]
    here = f"{hit['lon']},{hit['lat']}"
    assert passing(near=here, km=0.1) == 1
    assert passing(near=here, km=50) == 4
    near = client.post("/api/search", json={"near": here, "km": 3}).json()["near"]
    assert (near["lon"], near["km"]) == (pytest.approx(hit["lon"], abs=1e-4), 3)
    none = client.post("/api/search", json={"text": "ships", "sensor": "C"}).json()
    assert none["hits"] == []
    assert "loosen them" in none["notes"][0]


def test_what_of_a_text_is_not_read_is_told(client: TestClient) -> None:
    found = client.post("/api/search", json={"text": "ship " * 390, "top": 1}).json()
    assert any("the model reads the first" in note for note in found["notes"])
    found = client.post("/api/search", json={"text": "\u732b", "top": 1}).json()
    assert any("does not know 1 of the words" in note for note in found["notes"])
    assert client.post("/api/search", json={"text": "ships", "top": 1}).json()["notes"] == []


def test_a_damaged_archive_tells_clients_no_paths(
    archive: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(archive: Any, near: Any) -> Any:
        raise ValueError("/secret/part.parquet cannot be read.")

    monkeypatch.setattr("knowlip.inference.web.archive.rows_of", damaged)
    with asked(archive, uploads=False) as client:
        reply = client.get(f"/api/tiles/{key}/picture")
    assert "server has said why" in refusal(reply, 500)
    assert "secret" not in reply.text
    assert "secret" in capsys.readouterr().err


def test_a_window_is_most_like_itself(client: TestClient, archive: Path, key: str) -> None:
    found = client.post("/api/search", json={"like": key, "top": 2}).json()["hits"]
    assert found[0]["key"] == key
    assert found[0]["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert found[0]["match"] is None
    picture = client.get(f"/api/tiles/{key}/picture").content
    sent = {"image": base64.b64encode(picture).decode(), "metres_per_pixel": 3.0, "top": 1}
    again = client.post("/api/search", json=sent).json()
    assert again["hits"][0]["key"] == key
    # The picture is in 8 bit what the model saw.
    assert again["hits"][0]["similarity"] > 0.99
    without = client.post("/api/search", json={**sent, "metres_per_pixel": None}).json()
    assert "does not say how large" in without["notes"][0]
    # Ten times the ground of a window is no window: shown whole it would be squeezed into one.
    wide = client.post("/api/search", json={**sent, "metres_per_pixel": 300.0})
    assert "more ground than one window" in refusal(wide, 400)


def test_what_is_told_of_a_window_is_in_the_archive(client: TestClient, archive: Path, key: str) -> None:
    facts = client.get("/api/archive").json()
    assert (facts["windows"], facts["sensors"], facts["bands"]) == (4, ["sim-x"], ["X"])
    assert (facts["tasks"], facts["upload"], facts["detector"]) == ([], None, ["ship"])
    tile = client.get(f"/api/tiles/{key}").json()
    part = SceneArchive(archive).parts[0]
    (row,) = part.whole(np.array([int(key.rpartition("-")[2])]))
    assert (tile["item"], tile["lon"], tile["window_m"]) == (row["item"], row["lon"], row["window_m"])
    assert tile["metres_per_pixel"] == pytest.approx(3.0, rel=0.01)
    assert shapely.geometry.shape(tile["footprint"]).equals(shapely.from_wkb(row["footprint"]))
    (west, north), (east, _), (_, south), _ = tile["corners"]
    assert west < tile["lon"] < east
    assert south < tile["lat"] < north
    with Image.open(io.BytesIO(client.get(f"/api/tiles/{key}/picture").content)) as picture:
        assert picture.size == (256, 256)


def test_an_answer_is_that_of_the_command(client: TestClient, key: str, tmp_path: Path) -> None:
    (tmp_path / "tile.png").write_bytes(client.get(f"/api/tiles/{key}/picture").content)
    for question in ("How many ships are visible?", "Count: [MASK] ships", "What is the capital of France?"):
        found = client.post(f"/api/tiles/{key}/ask", json={"question": question}).json()
        want = ask(AskConfig(tmp_path / "tile.png", question, shipped_model(), metres_per_pixel=3.0, device="cpu"))
        for name in ("answer", "refused", "reason"):
            assert found[name] == want[name]  # type: ignore[literal-required]
        for name in ("probability", "confidence"):
            assert found[name] == pytest.approx(want[name], abs=1e-3)  # type: ignore[literal-required]
    told = client.get(f"/api/tiles/{key}/caption").json()
    assert told["caption"]
    assert 0 < told["token_probability"] <= 1
    reply = client.post(f"/api/tiles/{key}/evidence", json={"question": "Count: [MASK]", "answer": "three"})
    with Image.open(io.BytesIO(reply.content)) as heat:
        assert (heat.mode, heat.size) == ("RGBA", (512, 512))
    unreadable = client.post(f"/api/tiles/{key}/ask", json={"question": "ships " * 300})
    assert "ask a shorter one" in refusal(unreadable, 400)
    assert "is empty" in refusal(client.post(f"/api/tiles/{key}/ask", json={"question": "  "}), 400)
    wrong = client.post(f"/api/tiles/{key}/evidence", json={"question": "[SEP]", "answer": "3"})
    assert "frame of a text" in refusal(wrong, 400)


def test_objects_lie_where_they_are_seen(
    client: TestClient, key: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box over the whole picture is the window's outline, and half of it half."""

    def whole(detector: Any, images: Any) -> list[pd.DataFrame]:
        rows = [(0.0, 0.0, 256.0, 256.0, 0.9), (128.0, 0.0, 256.0, 256.0, 0.7), (0.0, 0.0, 9.0, 9.0, 0.1)]
        table = pd.DataFrame(rows, columns=["left", "top", "right", "bottom", "score"])
        return [table.assign(category="ship", corners=[[] for _ in rows], tile_id="") for _ in images]

    monkeypatch.setattr(model_module, "found_in", whole)
    found = client.get(f"/api/tiles/{key}/detections").json()
    assert len(found["features"]) == 2  # the third is below the least score
    outline = shapely.geometry.shape(client.get(f"/api/tiles/{key}").json()["footprint"])
    first, second = (shapely.geometry.shape(one["geometry"]) for one in found["features"])
    assert first.symmetric_difference(outline).area < 1e-4 * outline.area
    assert second.area == pytest.approx(outline.area / 2, rel=0.01)
    assert second.centroid.x > outline.centroid.x
    assert shapely.is_ccw(first.exterior)
    assert found["features"][1]["properties"]["pixels"][0] == [0.5, 0.0]


def test_a_detector_is_not_shown_what_it_cannot_know(
    scene: Path, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "found_in", blobs)
    coarse = archived(scene, tmp_path / "archive")
    part = SceneArchive(coarse).parts[0]
    rows = pa.Table.from_pylist(part.whole(np.arange(4)), SCHEMA).to_pydict()
    write_part(part.path, rows | {"window_m": [256 * 20.0] * 4}, np.array(part.vectors))
    with asked(coarse, detector=detector, uploads=False) as client:
        key = client.post("/api/search", json={}).json()["hits"][0]["key"]
        assert "pixels of 20 m" in refusal(client.get(f"/api/tiles/{key}/detections"), 400)


def test_a_search_is_a_file(client: TestClient, tmp_path: Path) -> None:
    for kind in ("geojson", "csv", "parquet", "html"):
        for words in ({"text": "ships"}, {}):
            reply = client.post("/api/export", json={**words, "top": 3, "format": kind})
            assert reply.status_code == 200
            assert f"search.{kind}" in reply.headers["content-disposition"]
            (tmp_path / f"found.{kind}").write_bytes(reply.content)
    assert len(json.loads((tmp_path / "found.geojson").read_text())["features"]) == 3
    assert len(geopandas.read_parquet(tmp_path / "found.parquet")) == len(pd.read_csv(tmp_path / "found.csv")) == 3
    page = (tmp_path / "found.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "nan" not in page.split("<body>")[1].split("base64")[0]
    assert "loosen" in refusal(client.post("/api/export", json={"sensor": "C"}), 400)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"top": 0}, "top"),
        ({"top": 101}, "top"),
        ({"km": -1}, "km"),
        ({"after": "yesterday"}, "after"),
        ({"resolution": [3, 1]}, "smallest and the largest"),
        ({"resolution": [1]}, "resolution"),
        ({"something": 1}, "something"),
        ({"like": "../../etc/passwd"}, "like"),
        ({"text": 3}, "text"),
        ({"km": True}, "km"),
        ({"top": "3"}, "top"),
        ({"like": "0" * 12 + "-0", "image": "AAAA"}, "not both"),
        ([1], "valid"),
    ],
)
def test_what_is_no_request_is_one_sentence(client: TestClient, sent: Any, sentence: str) -> None:
    assert sentence in refusal(client.post("/api/search", json=sent), 422)


def test_what_cannot_be_searched_is_one_sentence(client: TestClient) -> None:
    def said(status: int = 400, **sent: Any) -> str:
        return refusal(client.post("/api/search", json=sent), status)

    assert "gazetteer knows no place" in said(near="Nowhere at all")
    assert "which" in said(near="Rotterdam")
    assert "give a date as 2024-01-31" in said(after="2024-02-30")
    assert "give a date" in refusal(client.post("/api/points", json={"before": "2024-13"}), 400)
    assert "no such window" in said(404, like="0" * 12 + "-0")
    assert "no base64" in said(image="%%%")
    assert "no PNG" in said(image=base64.b64encode(b"GIF89a").decode())
    stream = io.BytesIO()
    Image.new("L", (6000, 6000)).save(stream, "PNG")
    assert "25 megapixels" in said(413, image=base64.b64encode(stream.getvalue()).decode())
    assert "nan" not in client.post("/api/search", content=b'{"km": NaN}').text.lower().replace("finite", "")
    reply = client.post("/api/search", content=b'{"km": NaN}', headers={"content-type": "application/json"})
    refusal(reply, 422)
    refusal(client.post("/api/search", content=b"{", headers={"content-type": "application/json"}), 422)


def test_nothing_but_the_archive_is_reached(client: TestClient, archive: Path, key: str) -> None:
    name, _, row = key.partition("-")
    for wrong in (f"{name}-4", f"{name}-00{row}", f"{name}-99999999", "0" * 12 + "-0"):
        assert "no such window" in refusal(client.get(f"/api/tiles/{wrong}"), 404)
    for wrong in ("..%2f..%2farchive.json", "archive.json", "%00", f"{name}-0%0a", "x" * 5000, f"{name}--1"):
        reply = client.get(f"/api/tiles/{wrong}/picture")
        assert reply.status_code in (404, 422), wrong
        assert b"PNG" not in reply.content
    for path in (
        *("/static/..%2fapi.py", "/static/%2e%2e/api.py", "/static/api.py", "/archive.json", "/docs", "/redoc"),
        *("/static/../../../../etc/passwd", "//etc/passwd", "/static/"),
    ):
        assert client.get(path).status_code in (404, 400), path
    assert client.get("/static/app.js").status_code == 200
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_without_the_key_nothing_is_told(archive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with asked(archive, KEY, openai=True) as client:
        for path in ("/api/archive", "/api/points", "/api/jobs/" + "0" * 32, "/v1/models", "/api/nothing"):
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": "Bearer"}):
                reply = client.get(path, headers=given)
                assert reply.status_code == 401, path
                assert reply.headers["www-authenticate"] == "Bearer"
        assert client.post("/api/search", json={}).status_code == 401
        upload = client.post("/api/jobs?task=caption", content=b"II*\x00", headers={"Content-Type": "x/y"})
        assert upload.status_code == 401
        for path in ("/", "/static/app.js", "/openapi.json"):
            assert client.get(path).status_code == 200
        told = {"Authorization": f"Bearer {KEY}"}
        assert client.get("/api/archive", headers=told).status_code == 200
        assert client.get("/v1/models", headers=told).json()["data"][0]["id"] == "knowlip"
        assert client.get("/v1/models/other", headers=told).json()["error"]["type"] == "not_found_error"
    said = capfd.readouterr()
    assert KEY not in said.out + said.err


def test_requests_of_other_sites_are_not_answered(client: TestClient) -> None:
    theirs = {"Origin": "http://evil.example"}
    assert "other sites" in refusal(client.post("/api/search", json={}, headers=theirs), 403)
    assert client.post("/api/search", json={}, headers={"Origin": "http://127.0.0.1"}).status_code == 200
    assert client.get("/api/archive", headers={"Host": "evil.example"}).status_code == 400
    assert client.post("/api/search", content=b"{}", headers={"Content-Type": "text/plain"}).status_code in (415, 422)


def test_long_bodies_are_refused(archive: Path) -> None:
    with asked(archive, max_body_mb=0.01, uploads=False) as client:
        assert "10,000 bytes" in refusal(client.post("/api/search", json={"text": "x" * 20_000}), 413)
        assert "takes no uploads" in refusal(client.get("/api/jobs/" + "0" * 32), 404)


def test_the_schema_names_every_path(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/api/archive", "/api/search", "/api/tiles/{key}/ask", "/api/jobs"} <= set(schema["paths"])
    answer = schema["paths"]["/api/tiles/{key}/ask"]["post"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"].endswith("/AnswerGiven")


def test_corners_of_what_is_no_quadrangle() -> None:
    box = shapely.box(0, 10, 4, 12)
    assert corners_of(box) == [(0, 12), (4, 12), (4, 10), (0, 10)]
    assert corners_of(shapely.affinity.rotate(box, 5)) is not None
    assert corners_of(shapely.MultiPolygon([box, shapely.box(9, 9, 10, 10)])) is None
    assert corners_of(shapely.Point(0, 0).buffer(1)) is None
    assert corners_of(None) is None


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "Say what to serve"),
        (["nowhere"], "is no archive"),
        (["--openai", "--detector", "x"], "belong to an archive"),
        (["nowhere", "--host", "0.0.0.0"], "Others can reach"),
        (["nowhere", "--max_disk_mb", "1"], "needs that much room"),
        (["nowhere", "--max_jobs", "0"], "max_jobs"),
        (["nowhere", "--key_file", "nothing.txt"], "cannot be read"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KNOWLIP_SERVE_KEY", raising=False)
    assert main(["serve", *flags]) == 2
    assert sentence in capsys.readouterr().err


def test_a_short_key_of_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content, sentence in (("sh0rt+key", "16 or more"), ("", "is empty"), ("with a space in it.", "no space")):
        (tmp_path / "key").write_text(content)
        assert main(["serve", str(tmp_path), "--key_file", str(tmp_path / "key")]) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert not content or content not in said
