"""The simulate stage: files, truth, resumption."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LAND_COVER, SHIP_TYPES
from knowlip.simulator import SimulateConfig, simulate
from knowlip.simulator.stage import plan

SIZES = {"sim-ku": 128.0, "sim-c": 512.0, "sim-x": 768.0}


def small(out: Path, **changes) -> SimulateConfig:
    return SimulateConfig(**{"out": out, "cities": 2, "scene_size_m": dict(SIZES), "workers": 1, **changes})


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    result = simulate(small(out))
    assert result["scenes"] == 6
    assert len(result["paths"]) == 6
    return out


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Path:
    """A port and an airport at 1 m."""
    out = tmp_path_factory.mktemp("rich")
    for theme, sub in (("port", "a"), ("airport", "b")):
        simulate(small(out / sub, cities=1, sensors=("sim-c",), themes=(theme,), scene_size_m={"sim-c": 1024.0}))
    return out


def test_every_scene_has_image_mask_and_truth(folder):
    names = {path.name for path in folder.iterdir()}
    for stem in ("rotterdam-ku", "rotterdam-c", "rotterdam-x", "madrid-ku", "madrid-c", "madrid-x"):
        assert {f"{stem}.tif", f"{stem}.landcover.tif", f"{stem}.truth.geojson"} <= names
    assert len(names) == 18


@pytest.mark.parametrize(
    ("name", "dtype", "pixels"),
    [
        ("rotterdam-ku", "uint16", 640),
        ("rotterdam-c", "float32", 512),
        ("rotterdam-x", "uint16", 256),
    ],
)
def test_image_format_and_tags(folder, name, dtype, pixels):
    scene = json.loads((folder / f"{name}.truth.geojson").read_text())["scene"]
    with rasterio.open(folder / f"{name}.tif") as raster:
        tags, data = raster.tags(), raster.read(1)
        assert raster.dtypes == (dtype,)
        assert raster.shape == (pixels, pixels)
        assert raster.block_shapes == [(512, 512)]
        assert raster.compression.name == "deflate"
        assert raster.nodata == 0
        assert raster.res == pytest.approx((scene["resolution_m"],) * 2)
    assert (data > 0).all()
    assert tags["KNOWLIP_SENSOR"] == scene["sensor"]
    assert tags["KNOWLIP_UNITS"] == "amplitude"
    assert float(tags["KNOWLIP_LOOKS"]) == scene["looks"]
    assert float(tags["KNOWLIP_INCIDENCE_DEG"]) == scene["incidence_deg"]
    assert float(tags["KNOWLIP_LOOK_AZIMUTH_DEG"]) == scene["look_azimuth_deg"]
    assert tags["KNOWLIP_BAND"] == {"ku": "Ku", "c": "C", "x": "X"}[name.rsplit("-", 1)[1]]
    assert float(tags["KNOWLIP_AMPLITUDE_SCALE"]) > 0
    intensity_db = 20 * np.log10(np.median(data) / float(tags["KNOWLIP_AMPLITUDE_SCALE"]))
    assert -30 < intensity_db < 0


def test_crs_is_the_utm_zone_of_the_place(tmp_path):
    simulate(small(tmp_path, cities=4, sensors=("sim-x",), scene_size_m={"sim-x": 96.0}))
    for path in tmp_path.glob("*-x.tif"):
        scene = json.loads(path.with_name(f"{path.stem}.truth.geojson").read_text())["scene"]
        area = AreaOfInterest(*(scene["lon"], scene["lat"]) * 2)
        (zone,) = query_utm_crs_info(datum_name="WGS 84", area_of_interest=area)
        with rasterio.open(path) as raster:
            assert raster.crs.to_epsg() == int(zone.code)
            x, y = raster.xy(15.5, 15.5)
        lon, lat = pyproj.Transformer.from_crs(int(zone.code), 4326, always_xy=True).transform(x, y)
        assert pyproj.Geod(ellps="WGS84").inv(lon, lat, scene["lon"], scene["lat"])[2] < 20


def test_land_cover_lies_on_the_image(folder, rich):
    for path in (*folder.glob("*.landcover.tif"), *rich.glob("*/*.landcover.tif")):
        with rasterio.open(path) as mask, rasterio.open(path.with_name(path.name.replace(".landcover", ""))) as image:
            assert mask.bounds == pytest.approx(image.bounds)
            assert mask.crs == image.crs
            factor = image.width / mask.width
            assert factor == int(factor)
            codes = mask.read(1)
        assert codes.dtype == np.uint8
        assert set(np.unique(codes)) <= set(LAND_COVER) - {0}
    with (
        rasterio.open(next(rich.glob("a/*-c.tif"))) as image,
        rasterio.open(next(rich.glob("a/*.landcover.tif"))) as mask,
    ):
        power, codes = image.read(1).astype(np.float64) ** 2, mask.read(1)
    assert np.median(power[codes == 1]) < 0.5 * np.median(power[codes == 2])  # sea below fields


def test_truth_is_geodetic_and_within_the_vocabulary(rich):
    geod = pyproj.Geod(ellps="WGS84")
    ranges = {kind.name: kind for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES)}
    seen = set()
    for path in rich.glob("*/*.truth.geojson"):
        collection = json.loads(path.read_text())
        with rasterio.open(path.with_name(path.name.replace(".truth.geojson", ".tif"))) as raster:
            bounds, crs = raster.bounds, raster.crs
        project = pyproj.Transformer.from_crs(4326, crs.to_epsg(), always_xy=True)
        for feature in collection["features"]:
            facts, (ring,) = feature["properties"], feature["geometry"]["coordinates"]
            seen.add(facts["category"])
            assert ring[0] == ring[-1]
            sides = [geod.inv(*p, *q)[2] for p, q in itertools.pairwise(ring)]
            assert sorted(sides) == pytest.approx(
                sorted([facts["length_m"], facts["width_m"]] * 2), rel=0.003, abs=0.02
            )
            x, y = project.transform(*np.array(ring).T)
            assert max(x) > bounds.left
            assert min(x) < bounds.right
            assert max(y) > bounds.bottom
            assert min(y) < bounds.top
            if facts["category"] in ("ship", "aircraft"):
                kind = ranges[facts["type"]]
                assert kind.length_m[0] - 0.01 <= facts["length_m"] <= kind.length_m[1] + 0.01
                assert kind.width_m[0] - 0.01 <= facts["width_m"] <= kind.width_m[1] + 0.01
                # the heading is that of the long axis of a ship (modulo grid convergence)
                if facts["category"] == "ship":
                    k = int(np.argmax(sides))
                    dx, dy = x[k + 1] - x[k], y[k + 1] - y[k]
                    turn = (np.rad2deg(np.arctan2(dx, dy)) - facts["heading_deg"]) % 180
                    assert min(turn, 180 - turn) < 0.5
    assert {"ship", "aircraft", "building"} <= seen


def test_ships_stand_out_from_the_water(rich):
    path = next(rich.glob("a/*-c.tif"))
    collection = json.loads(path.with_name(f"{path.stem}.truth.geojson").read_text())
    with rasterio.open(path) as raster:
        power = raster.read(1).astype(np.float64) ** 2
        project = pyproj.Transformer.from_crs(4326, raster.crs.to_epsg(), always_xy=True)
        transform = raster.transform
    with rasterio.open(path.with_name(f"{path.stem}.landcover.tif")) as mask:
        sea = np.median(power[mask.read(1) == 1])
    checked = 0
    for feature in collection["features"]:
        if feature["properties"]["category"] != "ship":
            continue
        ring = np.array(feature["geometry"]["coordinates"][0])
        cols, rows = ~transform * project.transform(*ring.T)
        if min(*cols, *rows) < 0 or max(*cols, *rows) > 1023:
            continue
        shape = {"type": "Polygon", "coordinates": [list(zip(cols, rows))]}
        inside = rasterio.features.rasterize([(shape, 1)], power.shape).astype(bool)
        assert power[inside].mean() > 8 * sea
        checked += 1
    assert checked


def test_same_config_same_bytes_whatever_the_workers(folder, tmp_path):
    simulate(small(tmp_path / "two", workers=2))
    assert hashes(tmp_path / "two") == hashes(folder)


def test_rerun_keeps_finished_scenes_and_redraws_damaged_or_different_ones(tmp_path):
    config = small(tmp_path, cities=1)
    simulate(config)
    before = hashes(tmp_path)
    assert simulate(config)["drawn"] == 0
    (tmp_path / "rotterdam-x.tif").write_bytes(b"half")
    (tmp_path / "rotterdam-c.landcover.tif").unlink()
    assert simulate(config)["drawn"] == 2
    assert hashes(tmp_path) == before
    assert simulate(small(tmp_path, cities=1, seed=1))["drawn"] == 3
    assert not set(hashes(tmp_path).values()) & set(before.values())


def test_cities_and_themes_vary():
    jobs = plan(SimulateConfig(Path("unused")))
    assert len(jobs) == 36
    assert {job.scene["theme"] for job in jobs} == {"port", "airport", "town", "rural"}
    for sensor in ("sim-ku", "sim-c", "sim-x"):
        assert len({job.scene["theme"] for job in jobs if job.scene["sensor"] == sensor}) == 4
    assert all(job.scene["theme"] != "port" for job in jobs if job.scene["city"] in ("madrid", "denver", "nairobi"))
    azimuths = [job.scene["look_azimuth_deg"] for job in jobs]
    assert len(set(azimuths)) == 36


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cities": 0}, "cities"),
        ({"cities": 999}, "cities"),
        ({"sensors": ()}, "sensors"),
        ({"sensors": ("sim-l",)}, "sim-l"),
        ({"themes": ("moon",)}, "moon"),
        ({"themes": ()}, "themes"),
        ({"scene_size_m": {"sim-c": 0.0}}, "scene_size_m"),
        ({"scene_size_m": {"sim-x": 100.0}}, "multiple"),
        ({"scene_size_m": {"sim-q": 100.0}}, "sim-q"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(tmp_path, changes, word):
    with pytest.raises(ValueError, match=word) as caught:
        simulate(small(tmp_path / "out", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Cannot create the folder"):
        simulate(small(tmp_path / "file"))


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ValueError, match="No space left on device"):
        simulate(small(tmp_path, cities=1, sensors=("sim-x",)))
    assert list(tmp_path.iterdir()) == []
