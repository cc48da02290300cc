"""Uploads become files; hostile ones are refused in one sentence, and nothing of any of them stays."""

import io
import json
import os
import stat
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from fastapi.testclient import TestClient

from knowlip.inference.predict_words import predict_ask
from knowlip.inference.scene_settings import PredictAskConfig
from knowlip.inference.web.jobs import JobLimits, Jobs
from knowlip.inference.web.upload import check_zip, ending_of, plain_name, quiet_environment, refusal_of, understood
from knowlip.models.default import shipped_model
from knowlip.pages.server import Refused
from knowlip.scenes import open_scene
from tests.inference.test_predict import write
from tests.inference.web.sites import asked, refusal
from tests.scenes.products import sentinel1

BYTES = {"Content-Type": "application/octet-stream"}
QUESTION = "How many ships are visible?"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def client(archive: Path, detector: Path, work: Path) -> Iterator[TestClient]:
    limits: dict[str, Any] = {"max_upload_mb": 2.0, "max_upload_megapixels": 1.0, "max_jobs": 6, "max_disk_mb": 60.0}
    with asked(archive, detector=detector, min_score=0.0, work=work, **limits) as one:
        yield one
    assert not list(work.iterdir())  # nothing stays when the server ends


def left(work: Path) -> list[Path]:
    """Folders of jobs."""
    return [path for path in work.glob("*/jobs/*") if path.is_dir()]


def sent(client: TestClient, data: Any, task: str = "caption", name: str = "scene.tif", **more: str) -> Any:
    return client.post("/api/jobs", params={"task": task, "file": name, **more}, content=data, headers=BYTES)


def ended(client: TestClient, job: str, seconds: float = 120.0) -> dict[str, Any]:
    """The state of a job when it has ended."""
    ends = time.monotonic() + seconds
    while (state := client.get(f"/api/jobs/{job}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < ends, state
        time.sleep(0.2)
    found: dict[str, Any] = state
    return found


def test_an_upload_is_what_the_command_makes_of_it(client: TestClient, scene: Path, work: Path, tmp_path: Path) -> None:
    reply = sent(client, scene.read_bytes(), "ask", "../../my port.tif", question=QUESTION)
    assert reply.status_code == 202, reply.text
    job = reply.json()
    assert (job["file"], job["question"], job["facts"]["sensor"]) == ("my port.tif", QUESTION, "sim-x")
    assert job["facts"]["size_px"] == [512, 512]
    state = ended(client, job["id"])
    assert state["state"] == "done", state
    assert state["result"]["said_of"] == 4
    names = {file["name"] for file in state["files"]}
    assert names == {"ask.geojson", "ask.parquet"}
    reply = client.get(f"/api/jobs/{job['id']}/files/ask.geojson")
    assert reply.headers["content-type"] == "application/geo+json"
    found = [one["properties"]["answer"] for one in reply.json()["features"]]
    predict_ask(
        PredictAskConfig(scenes=[scene], out=tmp_path / "out", model=shipped_model(), device="cpu", question=QUESTION)
    )
    (report,) = (tmp_path / "out").glob("*.geojson")
    want = json.loads(report.read_text())["features"]
    assert found == [one["properties"]["answer"] for one in want]
    assert str(work) not in json.dumps(state) + reply.text
    (folder,) = [path for path in left(work) if path.name == job["id"]]
    assert not list(folder.glob("upload*"))  # the scene itself went when its work ended
    for name in ("ask.json", "../report.json", "..%2freport.json", "report.json", "upload.tif"):
        assert client.get(f"/api/jobs/{job['id']}/files/{name}").status_code == 404
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert "no such job" in refusal(client.get(f"/api/jobs/{job['id']}"), 404)
    assert "no such job" in refusal(client.delete(f"/api/jobs/{job['id']}"), 404)
    assert not left(work)


def test_objects_of_an_upload(client: TestClient, scene: Path) -> None:
    job = sent(client, scene.read_bytes(), "detect").json()["id"]
    state = ended(client, job)
    assert state["state"] == "done", state
    features = client.get(f"/api/jobs/{job}/files/detect.geojson").json()["features"]
    assert len(features) == sum(state["result"]["objects"].values())
    assert {file["name"] for file in state["files"]} >= {"detect.geojson", "detect.gpkg", "detect.csv"}
    client.delete(f"/api/jobs/{job}")


def test_a_zip_of_a_safe_product_is_read_in_place(client: TestClient, tmp_path: Path) -> None:
    product = sentinel1.make(tmp_path)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(product.path.rglob("*")):
            file.write(path, path.relative_to(product.path.parent))
    reply = sent(client, stream.getvalue(), "caption", "S1A.zip")
    assert reply.status_code == 202, reply.text
    assert reply.json()["facts"]["sensor"] == "sentinel-1"
    # The model of the package knows pixels of 1 to 4 m; the reason comes as a sentence, without our names.
    state = ended(client, reply.json()["id"])
    assert state["state"] == "failed"
    assert "cannot see" in state["error"]
    assert "/" not in state["error"].replace("S1A.zip", "")
    client.delete(f"/api/jobs/{reply.json()['id']}")


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def linked() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        entry = zipfile.ZipInfo("a.SAFE/manifest.safe")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(entry, "/etc/passwd")
    return stream.getvalue()


def locked() -> bytes:
    data = bytearray(zipped(**{"a.SAFE/manifest.safe": b"x"}))
    at = data.find(b"PK\x01\x02") + 8
    data[at : at + 2] = struct.pack("<H", 1)
    return bytes(data)


def tiff(tmp: Path, side: int = 64) -> bytes:
    return write(tmp / "t.tif", np.full((side, side), 100, np.uint16)).read_bytes()


SAFE = "a.SAFE/manifest.safe"
HOSTILE: dict[str, tuple[Any, int, str]] = {
    "empty": (b"", 400, "is empty"),
    "text": (b"hello, this is no image", 415, "neither a GeoTIFF nor the zip"),
    "VRT": (b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>', 415, "neither a GeoTIFF"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), 415, "neither a GeoTIFF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), 415, "neither a GeoTIFF"),
    "too large": (b"II*\x00" + bytes(2_100_000), 413, "at most 2"),
    "bomb": (zipped(**{SAFE: b"x", "b": bytes(1_500_000_000 // 500)}), 413, "unpacks to far more"),
    "large when unpacked": (None, 413, "unpacks to"),
    "members": (zipped(**{f"{n}": b"" for n in range(2001)}), 413, "2,001 members"),
    "slip": (zipped(**{"../../evil": b"x", SAFE: b"x"}), 400, "leads out of it"),
    "absolute": (zipped(**{"/etc/evil": b"x", SAFE: b"x"}), 400, "leads out of it"),
    "backslash": (zipped(**{"..\\evil": b"x", SAFE: b"x"}), 400, "leads out of it"),
    "drive": (zipped(**{"C:evil": b"x", SAFE: b"x"}), 400, "leads out of it"),
    "link": (linked(), 400, "a link"),
    "password": (locked(), 400, "password"),
    "other zip": (zipped(**{"a.txt": b"x"}), 415, "no manifest.safe"),
    "broken zip": (zipped(**{SAFE: b"x" * 999})[:60], 400, "no complete zip"),
    "empty product": (zipped(**{SAFE: b"x"}), 422, ""),
    "broken TIFF": (b"II*\x00\xff\xff\xff\x7f" + bytes(99), 422, "raster"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_one_sentence_and_leaves_nothing(name: str, client: TestClient, work: Path) -> None:
    data, status, sentence = HOSTILE[name]
    if data is None:
        noise = np.random.default_rng(0).integers(0, 2, 700_000, dtype=np.uint8).tobytes()
        data = zipped(**{SAFE: b"x", **{f"{n}": noise for n in range(10)}})
        assert len(data) < 2_000_000 < 6_000_000 < 10 * len(noise)
    reply = sent(client, data)
    assert sentence in refusal(reply, status)
    assert not left(work)


def test_hostile_rasters(client: TestClient, work: Path, tmp_path: Path) -> None:
    large = write(tmp_path / "large.tif", np.full((1100, 1000), 7, np.uint8)).read_bytes()
    assert "1,000 x 1,100 pixels: at most 1 megapixels" in refusal(sent(client, large), 413)
    whole = write(tmp_path / "whole.tif", np.random.default_rng(0).integers(1, 999, (512, 512), dtype=np.uint16))
    data = whole.read_bytes()
    reply = sent(client, data[: len(data) // 2])
    # The header may lie in what is there; then the work ends with a sentence.
    assert reply.status_code in (202, 422), reply.text
    if reply.status_code == 202:
        state = ended(client, reply.json()["id"])
        assert state["state"] == "failed"
        assert state["error"].endswith(".")
        client.delete(f"/api/jobs/{reply.json()['id']}")
    shape: dict[str, Any] = {"height": 999_000, "width": 999_000, "count": 1, "dtype": "uint8"}
    sparse = {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "sparse_ok": True}
    with rasterio.open(tmp_path / "h.tif", "w", driver="GTiff", **shape, **sparse):
        pass
    assert "pixels" in refusal(sent(client, (tmp_path / "h.tif").read_bytes()), 422)
    assert not left(work)


def as_cog(path: Path, out: Path, **more: Any) -> Path:
    rasterio.shutil.copy(path, out, driver="COG", compress="DEFLATE", blocksize=128, **more)
    with rasterio.open(out) as file:
        assert file.overviews(1)
    return out


@pytest.mark.parametrize("more", [{}, {"BIGTIFF": "YES"}], ids=["classic", "BigTIFF"])
def test_a_cloud_optimised_geotiff_is_read_as_the_plain_one(more: dict[str, Any], scene: Path, tmp_path: Path) -> None:
    """Its overviews lie before its pixels, and are no scenes."""
    cog = as_cog(scene, tmp_path / "cog.tif", **more)
    assert ending_of(cog.read_bytes()[:4]) == ".tif"
    plain, found = (open_scene(path).read() for path in (scene, cog))
    np.testing.assert_array_equal(found[0], plain[0])
    np.testing.assert_array_equal(found[1], plain[1])
    facts = understood(cog, 1e6, "port.tif")
    assert facts["size_px"] == [512, 512]
    assert {**facts, "notes": []} == {**understood(scene, 1e6, "port.tif"), "notes": []}
    with pytest.raises(Refused, match=r"at most 0\.1 megapixels"):
        understood(cog, 1e5, "port.tif")
    whole = cog.read_bytes()
    for share in (0.02, 0.5):
        (tmp_path / "cut.tif").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"\.\)?$"):
            open_scene(tmp_path / "cut.tif").read()


def test_a_real_geotiff_as_a_cog(tmp_path: Path) -> None:
    data = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[4] / "shared" / "data"))
    real = data / "s1-geotiff" / "losangeles_port_2021-01-05.tif"
    if not real.is_file():
        pytest.skip(f"{real} is not there (set KNOWLIP_DATA)")
    # The name says the day.
    found = understood(as_cog(real, tmp_path / real.name), 1e9, real.name)
    want = understood(real, 1e9, real.name)
    assert {**found, "notes": []} == {**want, "notes": []}


def test_wrong_requests(client: TestClient, work: Path, tmp_path: Path) -> None:
    data = tiff(tmp_path)
    assert "task" in refusal(sent(client, data, "paint"), 422)
    assert "cannot segment" in refusal(sent(client, data, "segment"), 404)
    assert "is empty" in refusal(sent(client, data, "ask"), 400)
    assert "belongs to the task ask" in refusal(sent(client, data, "caption", question="why?"), 400)
    assert "shorter" in refusal(sent(client, data, "ask", question="ship " * 300), 400)
    plain = client.post("/api/jobs?task=caption", content=data, headers={"Content-Type": "multipart/form-data"})
    assert "octet-stream" in refusal(plain, 415)
    declared = client.post("/api/jobs?task=caption", content=b"II*\x00", headers={**BYTES, "Content-Length": "9999999"})
    assert declared.status_code in (400, 413)
    assert not left(work)


# ---- the jobs themselves ----


def waiting(folder: Path, **limits: Any) -> Jobs:
    return Jobs(folder / "jobs", {"caption": []}, JobLimits(**limits))


def test_jobs_and_their_space_are_bounded(tmp_path: Path) -> None:
    jobs = waiting(tmp_path, jobs=2, disk_bytes=100)
    first = jobs.begin("a", "caption", "", 60)
    with pytest.raises(Refused, match="disk space") as found:
        jobs.begin("b", "caption", "", 60)
    assert (found.value.status, found.value.headers) == (503, {"Retry-After": "60"})
    jobs.begin("b", "caption", "", 40)
    with pytest.raises(Refused, match="All 2 places"):
        jobs.begin("c", "caption", "", 0)
    jobs.drop(first.id)
    assert not first.folder.exists()
    jobs.begin("c", "caption", "", 60)
    jobs.close()
    assert not (tmp_path / "jobs").exists()


def test_old_jobs_are_deleted(tmp_path: Path) -> None:
    jobs = waiting(tmp_path, hours=1.0)
    old, new, coming = (jobs.begin(name, "caption", "", 1) for name in ("old", "new", "coming"))
    old.state, new.state = "done", "failed"
    old.since -= 3601
    coming.since -= 9999  # it is not done: it stays
    jobs.sweep()
    with pytest.raises(Refused, match="no such job"):
        jobs.state(old.id)
    assert not old.folder.exists()
    assert jobs.state(new.id).deleted_in_s > 3500
    assert jobs.state(coming.id).state == "waiting"
    jobs.close()


def test_a_job_that_runs_too_long_is_ended(tmp_path: Path, scene: Path) -> None:
    jobs = waiting(tmp_path, minutes=0.5 / 60)
    job = jobs.begin("slow", "caption", "", 1)
    path = job.folder / "upload.tif"
    path.write_bytes(scene.read_bytes())
    jobs.start(job, path, {})
    ends = time.monotonic() + 30
    while jobs.state(job.id).state in ("waiting", "running") and time.monotonic() < ends:
        time.sleep(0.1)
    assert "ran longer" in jobs.state(job.id).error
    jobs.close()


def test_the_process_of_a_job_gets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWLIP_SERVE_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert "secret" not in quiet_environment().values()


def test_names_of_files_are_plain() -> None:
    for sent_name, plain in (
        ("../../etc/passwd", "passwd"),
        ("C:\\scenes\\a b.tif", "a b.tif"),
        ("<script>.tif", "_script_.tif"),
        ("....", "upload"),
        ("", "upload"),
        ("x" * 300, "x" * 80),
    ):
        assert plain_name(sent_name) == plain


def test_what_a_command_says_is_told_without_paths(tmp_path: Path) -> None:
    path = tmp_path / "upload.tif"
    said = f"scene 1 of 1\nknowlip predict caption: {path} is broken (upload.tif, {tmp_path}).\n"
    assert refusal_of(said, path, "my.tif") == "my.tif is broken (my.tif, )."
    assert refusal_of(f"knowlip scene info: [damaged] {path} is cut.", path, "my.tif") == "my.tif is cut."
    assert "has failed" in refusal_of("Segmentation fault", path, "my.tif")


def test_a_zip_with_two_members_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(SAFE, "x")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr(SAFE, "y")
    with pytest.raises(Refused, match="two members"):
        check_zip(tmp_path / "a.zip", 1000)
