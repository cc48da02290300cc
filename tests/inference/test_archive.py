"""An archive of scenes and tiles: what is near equals brute force, filters come first, it grows and loses sources."""

import json
import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image

from knowlip.base.files import write_json
from knowlip.inference.archive import Filters, SceneArchive
from knowlip.inference.archive.adding import IndexConfig, index, write_part
from knowlip.inference.archive.parts import begin
from knowlip.inference.search import search, show
from knowlip.inference.settings import SearchConfig
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.inference.test_predict import shades, write
from tests.inference.tiny_model import tiny_model


def made(
    folder: Path, sizes: tuple[int, ...] = (300, 500), width: int = 16, seed: int = 0
) -> tuple[SceneArchive, np.ndarray, pd.DataFrame]:
    """An archive of random vectors; all of them, and their facts."""
    rng = np.random.default_rng(seed)
    begin(folder, "model", "m")
    vectors, tables = [], []
    for number, size in enumerate(sizes):
        some = rng.normal(size=(size, width)).astype(np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        rows = {
            "item": [f"{number}-{at}" for at in range(size)],
            "scene_id": [f"s{number}"] * size,
            "lon": rng.uniform(0, 10, size),
            "lat": rng.uniform(45, 55, size),
            "window_m": np.full(size, 768.0),
            "metres_per_pixel": np.full(size, 3.0),
            "resolution_m": rng.choice([1.0, 3.0, 10.0, np.nan], size),
            "sensor": rng.choice(["sim-x", "sentinel-1"], size).tolist(),
            "band": ["C"] * size,
            "polarisation": ["VV"] * size,
            "date": rng.choice(["", "2023-12-31", "2024-01-01T10:00:00", "2024-06-01"], size).tolist(),
            "footprint": [None] * size,
            "picture": [b""] * size,
            "orbit": rng.choice(["ascending", "descending", ""], size).tolist(),
        }
        write_part(folder / f"part{number}", rows, some)
        (folder / f"part{number}.json").write_text("{}")
        vectors.append(some)
        tables.append(pd.DataFrame(rows))
    return SceneArchive(folder), np.concatenate(vectors), pd.concat(tables, ignore_index=True)


def brute(vectors: np.ndarray, keep: np.ndarray, vector: np.ndarray, count: int) -> list[int]:
    score = np.where(keep, vectors @ vector, -np.inf)
    return [int(at) for at in np.argsort(-score, kind="stable")[:count] if keep[at]]


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        (Filters(), lambda t: np.ones(len(t), bool)),
        (Filters(sensor="Sentinel-1"), lambda t: t["sensor"] == "sentinel-1"),
        (Filters(sensor="c"), lambda t: np.ones(len(t), bool)),
        (Filters(after="2024-01-01"), lambda t: t["date"] >= "2024"),
        (Filters(after="2024-01-02", before="2024-12-31"), lambda t: t["date"] == "2024-06-01"),
        (Filters(before="2024-01-01"), lambda t: t["date"] == "2023-12-31"),
        (Filters(resolution=(0.5, 3.0)), lambda t: t["resolution_m"].isin([1.0, 3.0])),
        (Filters(orbit="descending"), lambda t: t["orbit"] == "descending"),
        (Filters(near=(5.0, 50.0), km=200.0), lambda t: haversine(t["lon"], t["lat"], 5.0, 50.0) <= 200),
    ],
)
def test_what_is_near_equals_brute_force(filters: Filters, keep: Any, tmp_path: Path) -> None:
    archive, vectors, table = made(tmp_path)
    vector = np.random.default_rng(9).normal(size=16).astype(np.float32)
    vector /= np.linalg.norm(vector)
    for count in (1, 10, 2000):
        found = archive.nearest(vector, count, filters)
        assert [row + (0, 300)[part] for part, row, _ in found] == brute(
            vectors, np.asarray(keep(table)), vector, count
        )
    assert [score for _, _, score in found] == sorted((score for _, _, score in found), reverse=True)


def test_a_date_with_a_time_is_compared_as_one(tmp_path: Path) -> None:
    """A space before the time is less than any letter: written so, a filter would pass the whole day."""
    dates = np.array(["2024-01-31", "2024-01-31T05:00:00", "2024-01-31 13:00:00", "2024-02-01T00:00:00+00:00"])
    rows = {name: [0.0] * 4 for name in ("lon", "lat", "window_m", "metres_per_pixel", "resolution_m")}
    rows |= {name: [""] * 4 for name in ("item", "scene_id", "sensor", "band", "polarisation")}
    rows |= {"date": dates.tolist(), "footprint": [None] * 4, "picture": [b""] * 4}
    begin(tmp_path, "hash", "model")
    write_part(tmp_path / "part", rows, np.zeros((4, 2), np.float32))
    write_json(tmp_path / "part.json", {})
    archive = SceneArchive(tmp_path)
    for written in ("2024-01-31 12:00", "2024-01-31T12:00"):
        assert archive.mask(Filters(after=written))[0].tolist() == [False, False, True, True]
        assert archive.mask(Filters(before=written))[0].tolist() == [True, True, False, False]
    for wrong in ("2024-13", "2024-02-30", "last week", "2024-01-31T0500", "2024-01-31T5", "20240131", "2024-W05"):
        with pytest.raises(ValueError, match="give a date as 2024-01-31"):
            Filters(before=wrong)


def test_an_archive_of_a_former_version_opens_and_knows_no_orbits(tmp_path: Path) -> None:
    archive, vectors, table = made(tmp_path)
    with pytest.raises(ValueError, match="say ascending or descending"):
        Filters(orbit="rising")
    assert all(part.knows_passes for part in archive.parts)
    assert [row["look_side"] for row in archive.parts[1].whole(np.array([2, 5]))] == ["", ""]
    old = tmp_path / "part0.parquet"
    pq.write_table(pq.read_table(old).drop(["orbit", "look_side"]), old)
    archive = SceneArchive(tmp_path)
    assert [part.knows_passes for part in archive.parts] == [False, True]
    assert [row["orbit"] for row in archive.parts[0].whole(np.array([3, 7]))] == ["", ""]
    masks = archive.mask(Filters(orbit="ascending"))
    assert not masks[0].any()
    assert np.array_equal(masks[1], table["orbit"][300:] == "ascending")
    assert archive.nearest(vectors[4], 1)[0][:2] == (0, 4)


def haversine(lon: Any, lat: Any, lon2: float, lat2: float) -> Any:
    """By the textbook, in kilometres."""
    lon, lat, lon2, lat2 = (np.radians(value) for value in (lon, lat, lon2, lat2))
    half = np.sin((lat - lat2) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon - lon2) / 2) ** 2
    return 2 * 6371.0088 * np.arcsin(np.sqrt(half))


def test_an_archive_of_scenes_and_tiles_is_asked_and_loses_a_source(tmp_path: Path) -> None:
    model, out = tiny_model(tmp_path / "model"), tmp_path / "archive"
    scene = write(tmp_path / "scenes" / "land.tif", shades(300, 560), 4.0)
    with rasterio.open(scene, "r+") as file:
        file.update_tags(KNOWLIP_ORBIT="descending", KNOWLIP_LOOK_SIDE="right")
    data = build_tiny_dataset(tmp_path / "set")
    same: dict[str, Any] = {"model": model, "device": "cpu", "metres_per_pixel": 4.0, "out": out}
    first = index(IndexConfig(scenes=[scene], **same))
    (name,) = first["sources"]
    assert name.startswith("land-")
    assert first["sources"][name] == 6
    (tmp_path / "bad.tif").write_bytes(scene.read_bytes()[:400])
    cut = index(IndexConfig(scenes=[scene, tmp_path / "bad.tif"], **same))
    assert [Path(one["path"]).name for one in cut["failed"]] == ["bad.tif"]
    both = index(IndexConfig(scenes=[data, scene], **same))
    assert len(both["sources"]) == 2
    again = index(IndexConfig(scenes=[data], **same))  # nothing is embedded twice
    assert again["sources"] == both["sources"]
    ask: dict[str, Any] = {"dataset": out, "model": model, "device": "cpu"}
    for suffix in ("geojson", "csv", "parquet", "html"):
        found = search(SearchConfig(**ask, text="three ships", top=4, out=tmp_path / f"hits.{suffix}"))
    assert len(found["hits"]) == 4
    assert found["of"] == sum(both["sources"].values())
    shown = show(found).splitlines()
    assert shown[0].split() == ["similarity", "match", "window", "lat,", "lon", "sensor", "date"]
    assert [line.split()[0] for line in shown[1:5]] == ["1", "2", "3", "4"]
    assert "windows that pass" in shown[-1]
    assert len(json.loads((tmp_path / "hits.geojson").read_text())["features"]) == 4
    assert len(geopandas.read_parquet(tmp_path / "hits.parquet")) == len(pd.read_csv(tmp_path / "hits.csv")) == 4
    page = (tmp_path / "hits.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http://www.w3.org", "")
    near = search(SearchConfig(**ask, text="three ships", near="4.5,51.4", km=30.0))
    assert {hit["source"] for hit in near["hits"]} == {name}
    passed = search(SearchConfig(**ask, text="three ships", orbit="descending"))
    assert {(hit["source"], hit["orbit"]) for hit in passed["hits"]} == {(name, "descending")}
    assert passed["searched"] == 6
    with pytest.raises(ValueError, match="passes the filters"):
        search(SearchConfig(**ask, text="three ships", after="2100-01-01"))
    pixels = np.random.default_rng(3).integers(1, 255, (64, 64), np.uint8)
    for file, like in (("like", pixels), ("even", np.full_like(pixels, 90))):
        Image.fromarray(like).save(tmp_path / f"{file}.png")
    with pytest.raises(ValueError, match=r"even\.png shows nothing"):
        search(SearchConfig(**ask, like=tmp_path / "even.png"))
    liked = search(SearchConfig(**ask, like=tmp_path / "like.png", metres_per_pixel=4.0, top=3))
    assert [hit["match"] for hit in liked["hits"]] == [None] * 3
    left = index(IndexConfig(remove=[name], **same))
    assert name not in left["sources"]
    assert not list(out.glob("land-*"))
    with pytest.raises(ValueError, match="has no source 'nothing'"):
        index(IndexConfig(remove=["nothing"], **same))
    with pytest.raises(ValueError, match="another model"):
        index(IndexConfig(scenes=[scene], **{**same, "model": tiny_model(tmp_path / "other", seed=3)}))
    with pytest.raises(ValueError, match="another model"):
        search(SearchConfig(dataset=out, model=tmp_path / "other", device="cpu", text="ships"))
    with pytest.raises(ValueError, match="is no archive"):
        search(SearchConfig(dataset=data, model=model, device="cpu", text="ships", sensor="C"))
    with pytest.raises(ValueError, match="ends in"):
        search(SearchConfig(**ask, text="three ships", out=tmp_path / "hits.xls"))
    assert not (tmp_path / "hits.xls").exists()


def test_broken_parts_are_told(tmp_path: Path) -> None:
    archive, _, _ = made(tmp_path)
    np.save(tmp_path / "part0.npy", np.zeros((5, 16), np.float32))
    with pytest.raises(ValueError, match="300 rows and 5 vectors"):
        SceneArchive(tmp_path).nearest(np.zeros(16), 3)
    (tmp_path / "part0.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        SceneArchive(tmp_path).nearest(np.zeros(16), 3)
    assert len(archive.parts) == 2
    with pytest.raises(ValueError, match="is no archive"):
        SceneArchive(tmp_path / "elsewhere")
    assert math.isinf(Filters().km)
