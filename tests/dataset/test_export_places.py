"""Exports to maps, catalogues and open_clip's loader, opened by geopandas, and by webdataset as open_clip does."""

import json
import os
import subprocess
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import webdataset
from affine import Affine

from knowlip.dataset import Dataset
from knowlip.dataset.export import DatasetExportConfig, export_dataset, show
from knowlip.dataset.export.places import bbox_of
from knowlip.language.dimensions import DIMENSIONS
from knowlip.tiles.build import BuildConfig, build
from tests.dataset.text_rows import text_rows
from tests.tiles.rasters import write_scene


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Tiles of one scene in Fiji, across the antimeridian, with texts for all but one."""
    folder = tmp_path_factory.mktemp("maps")
    values = np.random.default_rng(0).gamma(4.0, 0.05, (600, 600)).astype(np.float32)
    # Zone 1 begins at the antimeridian: a scene around 166,021 m east, where it lies at the equator, spans it.
    place = {"crs": "EPSG:32601", "transform": Affine(4.0, 0, 164_800, 0, -4.0, 2_000)}
    write_scene(folder / "scenes" / "S1A_20210105_VV.tif", values, **place)
    config = BuildConfig([folder / "scenes"], folder / "data", windows_m=(1024.0, 512.0, 256.0), tile_px=64, workers=1)
    build(config)
    data = Dataset(folder / "data")
    data.write_texts(text_rows(data.tiles()["tile_id"][1:], "marine", lambda tile, _, name: f"{name} of {tile}"))
    return folder / "data"


def export(dataset, out, kind, **options):
    return export_dataset(DatasetExportConfig(dataset, kind, out, **options))


def same_bytes(dataset, tmp_path, kind):
    for name in ("a", "b"):
        export(dataset, tmp_path / name, kind)
    files = [
        sorted(path.relative_to(tmp_path / n) for path in (tmp_path / n).rglob("*") if path.is_file()) for n in "ab"
    ]
    assert files[0] == files[1]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files[0])
    return tmp_path / "a"


def test_geojson(built, tmp_path):
    out = same_bytes(built, tmp_path, "geojson")
    index = Dataset(built).index.set_index("tile_id")
    found = [feature for path in out.glob("*.geojson") for feature in json.loads(path.read_text())["features"]]
    assert sorted(feature["id"] for feature in found) == sorted(Dataset(built).tiles()["tile_id"])
    crossing = 0
    for feature in found:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.equals(index["geometry"][feature["id"]])
        west, south, east, north = feature["bbox"]
        assert south < north
        if shape.geom_type == "MultiPolygon":
            crossing += 1
            assert west > 0 > east
        else:
            assert (west, south, east, north) == shape.bounds
        assert feature["properties"]["platform"] == "sentinel-1"
        assert all(part.exterior.is_ccw for part in getattr(shape, "geoms", [shape]))
    assert crossing
    assert geopandas.read_file(next(out.glob("*.geojson"))).crs == 4326


def test_geopackage(built, tmp_path):
    out = same_bytes(built, tmp_path, "gpkg")
    frame = geopandas.read_file(out / "tiles.gpkg", layer="tiles").set_index("tile_id")
    index = Dataset(built).index.set_index("tile_id")
    assert sorted(frame.index) == sorted(Dataset(built).tiles()["tile_id"])
    for tile, row in frame.iterrows():
        assert row.geometry.equals(index["geometry"][tile])
        assert row["split"] == index["split"][tile]
        assert json.loads(row["sar:polarizations"]) == ["VV"]


def test_stac(built, tmp_path):
    out = same_bytes(built, tmp_path, "stac")
    collection = json.loads((out / "collection.json").read_text())
    west, _, east, _ = collection["extent"]["spatial"]["bbox"][0]
    assert west > 0 > east
    assert collection["extent"]["temporal"]["interval"] == [["2021-01-05T00:00:00Z", "2021-01-05T00:00:00Z"]]
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert len(items) == len(Dataset(built).tiles())
    for href in items:
        item = json.loads((out / href).read_text())
        assert (item["type"], item["stac_version"]) == ("Feature", "1.0.0")
        assert item["collection"] == collection["id"]
        assert item["properties"]["datetime"] == "2021-01-05T00:00:00Z"
        assert item["properties"]["sar:polarizations"] == ["VV"]
        assert (out / href).parent.joinpath(item["assets"]["image"]["href"]).resolve().is_file()
        assert (out / href).parent.joinpath(item["links"][0]["href"]).resolve() == (out / "collection.json").resolve()


def test_shards_of_open_clip(built, tmp_path):
    """The pattern expands to all shards, and sizes.json adds up to what webdataset reads of them."""
    out = same_bytes(built, tmp_path, "openclip-shards")
    data = Dataset(built)
    texts = set(data.texts()["tile_id"])
    keys = []
    for pattern in (out / "pattern.txt").read_text().split():
        shards = list(webdataset.shardlists.expand_urls(str(out / pattern)))
        sizes = json.loads((out / pattern).parent.joinpath("sizes.json").read_text())
        assert {Path(shard).name for shard in shards} == set(sizes)
        samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("l8"))
        assert len(samples) == sum(sizes.values())
        for sample in samples:
            keys.append(sample["__key__"])
            np.testing.assert_array_equal(sample["png"], data.image(sample["__key__"]))
            assert sample["txt"].startswith(DIMENSIONS["marine"][0].capitalize()[:1])
    assert set(keys) == texts
    assert len(keys) == len(texts) < len(data.tiles())


OPEN_CLIP = """
import json, sys
import open_clip
from open_clip.transform import image_transform
from open_clip_train.data import get_data
from open_clip_train.params import parse_args

pattern, kind = sys.argv[1:3]
options = ["--batch-size", "2", "--workers", "1", "--warmup", "0", "--dataset-type", kind]
args = parse_args(["--train-data", pattern, "--val-data", pattern, *options])
args.distributed, args.rank, args.world_size = False, 0, 1
tokens = open_clip.get_tokenizer("ViT-B-32")
data = get_data(args, (image_transform(64, True), image_transform(64, False)), tokenizer=tokens)
data["train"].set_epoch(0)
told = {}
for name in data:
    images = texts = 0
    for image, text in data[name].dataloader:
        assert image.shape[1:] == (3, 64, 64) and text.shape[1] == 77 and bool((text[:, 1] > 0).all())
        images, texts = images + len(image), texts + len(text)
    told[name] = [images, texts]
print(json.dumps(told))
"""
"""Run by the Python of open_clip's own environment, in the folder of the export."""


@pytest.mark.skipif(
    "KNOWLIP_OPEN_CLIP" not in os.environ, reason="KNOWLIP_OPEN_CLIP does not name a Python with open_clip"
)
@pytest.mark.parametrize("kind", ["openclip-shards", "openclip"])
def test_open_clips_own_loader_reads_every_sample(built, tmp_path, kind):
    """`open_clip_train.data` in an environment of its own: as many samples as sizes.json says, images and texts."""
    out = same_bytes(built, tmp_path, kind)
    shards = kind == "openclip-shards"
    patterns = (out / "pattern.txt").read_text().split() if shards else [path.name for path in out.glob("*.csv")]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for pattern in patterns:
        command = [os.environ["KNOWLIP_OPEN_CLIP"], "-c", OPEN_CLIP, pattern, "webdataset" if shards else "csv"]
        run = subprocess.run(command, cwd=out, env=plain, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr[-2000:]
        told = json.loads(run.stdout.splitlines()[-1])
        if shards:
            expected = sum(json.loads((out / pattern).parent.joinpath("sizes.json").read_text()).values())
        else:
            expected = len((out / pattern).read_text().splitlines()) - 1
        assert told["val"] == [expected, expected]
        # In training whole batches count: one that is not full is made up or left out.
        assert abs(told["train"][0] - expected) <= 2
        assert told["train"][0] == told["train"][1]


def test_what_has_no_place_is_counted_or_refused(tmp_path):
    values = np.random.default_rng(0).gamma(4.0, 0.05, (300, 300)).astype(np.float32)
    write_scene(tmp_path / "scenes" / "chip.tif", values, crs=None)
    (tmp_path / "scenes" / "chip.scene.yaml").write_text("unlocated: true\nspacing_m: [4, 4]\nunits: intensity\n")
    build(
        BuildConfig([tmp_path / "scenes"], tmp_path / "data", windows_m=(1024.0, 512.0, 256.0), tile_px=64, workers=1)
    )
    for kind in ("geojson", "gpkg", "stac"):
        with pytest.raises(ValueError, match="knows the place of none"):
            export(tmp_path / "data", tmp_path / kind, kind)
        assert not (tmp_path / kind).exists()


def test_show_tells_what_is_left_out(built, tmp_path):
    result = export(built, tmp_path / "out", "geojson")
    assert result["unplaced"] == 0
    assert "3 tiles are left out" in show({**result, "unplaced": 3})


def test_a_box_across_the_antimeridian_has_west_above_east():
    crossing = shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.25, -16)])
    assert bbox_of(crossing) == [179.5, -17.0, -179.25, -16.0]
    assert bbox_of(shapely.box(10, 20, 11, 21)) == [10.0, 20.0, 11.0, 21.0]
    globe = shapely.MultiPolygon([shapely.box(-180, 0, 0, 1), shapely.box(0, 0, 180, 1)])
    assert bbox_of(globe) == [-180.0, 0.0, 180.0, 1.0]
