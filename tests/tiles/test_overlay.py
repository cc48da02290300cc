"""Labels of maps on tiles: each pixel and corner where its coordinates say, whatever the CRS; losses are counted."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize
from rasterio.transform import from_origin

import knowlip.tiles.overlay as overlaying
from knowlip.base.files import sha256
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.verify import verify
from knowlip.tiles.build import build
from knowlip.tiles.overlay import OverlayConfig, overlay, tile_places
from tests.tiles.builds import config
from tests.tiles.rasters import four_places, write_scene

CLASSES = ["3=water", "7=land"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlay")
    build(config(four_places(folder / "scenes"), folder / "dataset"))
    return folder / "dataset"


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "dataset"))


def stripes(x: np.ndarray) -> np.ndarray:
    """Class of a place by its easting: stripes of 24 m."""
    return np.where(np.floor(x / 24) % 2 == 0, 3, 7)


def in_lonlat(path: Path) -> Path:
    """The stripes of the first place as a raster of degrees with pixels of about a metre."""
    to_lonlat = Transformer.from_crs(32631, 4326, always_xy=True)
    west, north = to_lonlat.transform(599_950, 5_750_050)
    step = 1e-5
    columns, rows = np.meshgrid(np.arange(600) + 0.5, np.arange(400) + 0.5)
    x, _ = Transformer.from_crs(4326, 32631, always_xy=True).transform(west + step * columns, north - step * rows)
    return write_scene(
        path, stripes(x).astype(np.uint8), crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north)
    )


@pytest.mark.parametrize("crs", ["own", "degrees"])
def test_a_mask_holds_the_class_of_each_place(dataset: Path, tmp_path: Path, crs: str) -> None:
    path = tmp_path / "cover.tif"
    if crs == "degrees":
        in_lonlat(path)
    else:
        x = 599_952 + 4 * (np.arange(100) + 0.5)
        write_scene(path, np.tile(stripes(x), (100, 1)).astype(np.int16), left=599_952, top=5_750_048)
    told = overlay(OverlayConfig(dataset=dataset, masks=[path], mask_classes=CLASSES))["masks"]
    data = Dataset(dataset)
    places = tile_places(data.table.to_pandas())
    here = [place for place in places if place.tile_id.startswith("alpha")]
    assert told["tiles"] == len(here)
    assert told["without"] == len(places) - len(here)
    assert data.mask_classes == {0: "water", 1: "land"}
    for place in here:
        x, _ = place.transform @ (np.arange(place.shape[1]) + 0.5, 0.5)
        edge = np.abs(np.asarray(x) / 24 - np.rint(np.asarray(x) / 24)) < 0.5 * max(4.0, place.transform.a) / 24
        right = np.where(stripes(np.asarray(x)) == 3, 0, 1)
        mask = data.masks.mask(place.tile_id)
        assert mask.shape == place.shape
        assert (mask == right)[:, ~edge].all()
    assert verify(dataset)["masks"] == len(here)


def test_what_a_raster_does_not_say_is_no_class(dataset: Path, tmp_path: Path) -> None:
    values = np.full((100, 100), 7, np.uint8)
    values[:, :40], values[:, 40:50] = 0, 9
    write_scene(tmp_path / "cover.tif", values, left=599_952, top=5_750_048, nodata=0)
    pattern = tmp_path / "cov*.tif"
    told = overlay(OverlayConfig(dataset=dataset, masks=[pattern], mask_classes=CLASSES))["masks"]
    data = Dataset(dataset)
    codes = {int(code) for tile in data.masks.places for code in np.unique(data.masks.mask(tile))}
    assert codes == {1, 255}
    assert any("water" in note for note in told["notes"])
    assert any(note.startswith("Mask values that are no class (1): 9: ") for note in told["notes"])


def boxes_file(path: Path, boxes: dict[str, tuple[float, float, float, float]], crs: int = 32631) -> Path:
    """A GeoPackage of boxes left, bottom, right, top."""
    frame = geopandas.GeoDataFrame(
        {"kind": list(boxes)}, geometry=[shapely.box(*box) for box in boxes.values()], crs=crs
    )
    frame.to_file(path, driver="GPKG")
    return path


@pytest.mark.parametrize("most", [64, 2])
def test_rasters_are_opened_once_and_not_all_at_once(
    dataset: Path, tmp_path: Path, monkeypatch: Any, most: int
) -> None:
    """Three rasters that each cover a part of tiles; the same masks however many stay open."""
    x = 599_952 + 4 * (np.arange(100) + 0.5)
    (tmp_path / "maps").mkdir()
    for number, rows in enumerate((slice(0, 30), slice(30, 60), slice(60, 100))):
        part = np.tile(stripes(x), (100, 1))[rows].astype(np.int16)
        write_scene(tmp_path / "maps" / f"{number}.tif", part, left=599_952, top=5_750_048 - 4 * rows.start)
    opened, original = list[str](), overlaying.open_raster

    def counted(path: Path) -> Any:
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(overlaying, "open_raster", counted)
    monkeypatch.setattr(overlaying, "_MOST_OPEN", most)
    told = overlay(OverlayConfig(dataset=dataset, masks=[tmp_path / "maps" / "*.tif"], mask_classes=CLASSES))["masks"]
    each = Counter(opened)
    assert told["tiles"] > 3
    if most == 64:
        assert each == {f"{number}.tif": 2 for number in range(3)}, "once for its header, once for all tiles"
    else:
        assert max(each.values()) > 2
    digest = sha256((dataset / "masks.parquet").read_bytes())
    monkeypatch.setattr(overlaying, "_MOST_OPEN", 1)
    again = OverlayConfig(dataset=dataset, masks=[tmp_path / "maps" / "*.tif"], mask_classes=CLASSES, replace=True)
    overlay(again)
    assert sha256((dataset / "masks.parquet").read_bytes()) == digest


@pytest.mark.parametrize("form", ["gpkg", "geojson"])
def test_a_box_lies_where_its_outline_does(dataset: Path, tmp_path: Path, form: str) -> None:
    boxes = {"ship": (600_040.0, 5_749_900.0, 600_072.0, 5_749_908.0), "far": (500_000.0, 5e6, 500_010.0, 5_000_010.0)}
    path = boxes_file(tmp_path / "found.gpkg", boxes)
    if form == "geojson":
        path = tmp_path / "found.json"
        geopandas.read_file(tmp_path / "found.gpkg").to_crs(4326).to_file(
            path, driver="GeoJSON", COORDINATE_PRECISION=9
        )
    told = overlay(OverlayConfig(dataset=dataset, objects=[path], category="kind"))["objects"]
    assert (told["objects"], told["kept"], told["categories"]["ship"]) == (2, 1, told["boxes"])
    assert told["dropped"] == {"on no tile": 1}
    data = Dataset(dataset)
    rows = data.annotations()
    places = {place.tile_id: place for place in tile_places(data.table.to_pandas())}
    assert len(rows) == told["boxes"] >= 3  # one tile a scale at least
    for row in rows.to_dict("records"):
        place = places[row["tile_id"]]
        left, top = place.transform @ (row["x"] * place.shape[1], row["y"] * place.shape[0])
        right, bottom = place.transform @ (
            (row["x"] + row["width"]) * place.shape[1],
            (row["y"] + row["height"]) * place.shape[0],
        )
        west, south, east, north = place.bounds
        wanted = [max(600_040, west), max(5_749_900, south), min(600_072, east), min(5_749_908, north)]
        assert [left, bottom, right, top] == pytest.approx(wanted, abs=0.01)
        assert (row["length_m"], row["width_m"]) == pytest.approx((32, 8), abs=0.05)
    verify(dataset)


def test_the_box_of_an_oblique_object_that_is_cut_is_that_of_what_is_seen(dataset: Path, tmp_path: Path) -> None:
    """Against burning the outline at a tenth of a metre; its whole box, cut at the border, would be larger."""
    data = Dataset(dataset)
    place = min(tile_places(data.table.to_pandas()), key=lambda one: one.bounds[2] - one.bounds[0])
    west, south, east, north = place.bounds
    middle = (south + north) / 2
    side = east - west
    corners = [(-0.3, -0.2), (-0.27, -0.24), (0.48, 0.36), (0.45, 0.4)]
    ship = shapely.Polygon([(west + x * side, middle + y * side) for x, y in corners])
    frame = geopandas.GeoDataFrame({"kind": ["ship"]}, geometry=[ship], crs=place.crs)
    frame.to_file(tmp_path / "a.gpkg", driver="GPKG")
    overlay(OverlayConfig(dataset=dataset, objects=[tmp_path / "a.gpkg"], category="kind"))
    rows_of = Dataset(dataset).annotations()
    (row,) = rows_of[rows_of["tile_id"] == place.tile_id].to_dict("records")
    shape = (10 * round(north - south), 10 * round(east - west))
    seen = rasterize([ship], shape, transform=from_origin(west, north, 0.1, 0.1))
    rows, columns = np.nonzero(seen)
    wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] / np.array([*seen.shape[::-1]] * 2)
    found = [row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"]]
    assert found == pytest.approx(wanted, abs=0.002)
    assert row["height"] < 0.45  # of 0.64


def test_an_object_that_no_tile_shows_half_of_is_counted_out(dataset: Path, tmp_path: Path) -> None:
    path = boxes_file(tmp_path / "a.gpkg", {"ship": (600_040, 5_749_900, 600_060, 5_749_910)})
    frame = geopandas.read_file(path)
    point = {"kind": "ship", "geometry": shapely.Point(600_050, 5_749_905)}
    long = {"kind": "pier", "geometry": shapely.box(600_100, 5_749_900, 600_110, 5_760_000)}
    nameless = {"kind": "", "geometry": shapely.box(600_100, 5_749_900, 600_110, 5_749_910)}
    extra = geopandas.GeoDataFrame([point, long, nameless], crs=32631)
    frame = geopandas.GeoDataFrame(geopandas.pd.concat([frame, extra]), crs=32631)
    frame.to_file(path, driver="GPKG")
    told = overlay(OverlayConfig(dataset=dataset, objects=[path], category="kind"))["objects"]
    assert (told["objects"], told["kept"]) == (4, 1)
    assert told["dropped"] == {
        "no category, or one that is no plain name": 1,
        "no outline (a point, a line, nothing, or no area)": 1,
        "no tile shows 50% of it": 1,
    }


def test_labels_that_are_there_stay_unless_they_are_to_go(dataset: Path, tmp_path: Path) -> None:
    path = boxes_file(tmp_path / "a.gpkg", {"ship": (600_040, 5_749_900, 600_060, 5_749_910)})
    given: dict[str, Any] = {"dataset": dataset, "objects": [path]}
    overlay(OverlayConfig(**given, category="kind"))
    with pytest.raises(ValueError, match="--replace"):
        overlay(OverlayConfig(**given, category_is="boat"))
    overlay(OverlayConfig(**given, category_is="boat", replace=True))
    assert set(Dataset(dataset).annotations()["category"]) == {"boat"}
    verify(dataset)


def bad_maps(folder: Path) -> dict[str, tuple[str, Path, str]]:
    """Name -> setting, file, part of the sentence."""
    write_scene(folder / "float.tif", np.zeros((9, 9), np.float32))
    write_scene(folder / "placeless.tif", np.zeros((9, 9), np.uint8), crs=None)
    write_scene(folder / "far.tif", np.zeros((9, 9), np.uint8), left=100_000.0)
    (folder / "text.tif").write_text("no raster")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "wild.json").write_text(json.dumps({"features": [{"geometry": {"type": "Polygon", "coordinates": 3}}]}))
    (folder / "crs.json").write_text(json.dumps({"features": [], "crs": {"properties": {"name": "no such"}}}))
    (folder / "broken.gpkg").write_bytes(b"SQLite format 3\0" + bytes(50))
    boxes_file(folder / "other.gpkg", {"ship": (600_040, 5_749_900, 600_060, 5_749_910)})
    boxes_file(folder / "away.gpkg", {"ship": (100_040, 5_749_900, 100_060, 5_749_910)})
    (folder / "shape.shp").write_bytes(bytes([0, 0, 39, 10]) + bytes(96))
    return {
        "float": ("masks", folder / "float.tif", "one band of whole numbers"),
        "placeless": ("masks", folder / "placeless.tif", "where it lies"),
        "far": ("masks", folder / "far.tif", "touches a tile"),
        "text": ("masks", folder / "text.tif", "text.tif"),
        "pattern": ("masks", folder / "nothing*.tif", "No file fits"),
        "missing": ("masks", folder / "nowhere.tif", "nowhere.tif"),
        "list": ("objects", folder / "list.json", "neither a GeoJSON"),
        "wild": ("objects", folder / "wild.json", "object 0"),
        "crs": ("objects", folder / "crs.json", "not known"),
        "broken": ("objects", folder / "broken.gpkg", "no readable GeoPackage"),
        "field": ("objects", folder / "other.gpkg", "kind"),
        "away": ("objects", folder / "away.gpkg", "on no tile: 1"),
        "shape": ("objects", folder / "shape.shp", "shape.shp"),
    }


def test_bad_maps_are_refused_in_one_sentence_and_leave_nothing(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in dataset.iterdir())
    for name, (setting, path, part) in bad_maps(tmp_path).items():
        command = ["dataset", "overlay", str(dataset), f"--{setting}", str(path)]
        assert main(command + (["--category", "kind"] if name == "away" else [])) == 2, name
        said = capsys.readouterr().err
        assert part in said, (name, said)
        assert "Traceback" not in said
        assert sorted(one.name for one in dataset.iterdir() if one.name != ".overlay.lock") == before, name
    assert main(["dataset", "overlay", str(dataset)]) == 2
    assert "--masks" in capsys.readouterr().err


def test_masks_of_a_killed_command_do_not_stop_the_next_one(dataset: Path, tmp_path: Path, monkeypatch: Any) -> None:
    path = write_scene(tmp_path / "cover.tif", np.full((99, 99), 3, np.uint8), left=599_952, top=5_750_048)
    config_ = OverlayConfig(dataset=dataset, masks=[path], mask_classes=CLASSES)
    from knowlip.tiles import overlay as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            overlay(config_)
    assert overlay(config_)["masks"]["tiles"] > 0
    verify(dataset)
    with rasterio.open(path) as source:
        assert source.count == 1


def test_the_same_outline_is_one_object(dataset: Path, tmp_path: Path) -> None:
    places = tile_places(Dataset(dataset).table.to_pandas())
    west, south, east, north = places[0].bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    turned = [*ring[2:-1], *ring[:3]]
    geometry = [{"type": "Polygon", "coordinates": [one]} for one in (ring, ring, turned, ring)]
    named = [
        {"type": "Feature", "properties": {"category": name}, "geometry": one}
        for name, one in zip(("ship", "ship", "ship", "barge"), geometry)
    ]
    crs = {"type": "name", "properties": {"name": places[0].crs}}
    path = tmp_path / "twice.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": named}))
    told = overlay(OverlayConfig(dataset=dataset, objects=[path, path]))["objects"]
    assert (told["objects"], told["kept"]) == (8, 2)
    assert told["dropped"] == {"the same outline and category again": 6}
    assert told["categories"]["ship"] == told["categories"]["barge"]
