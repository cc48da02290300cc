"""Cutting: the fast paths give the bytes of the slow one, whatever the threads, blocks and number formats."""

import dataclasses
import hashlib

import numpy as np
import pytest
import rasterio

from knowlip.dataset import Dataset
from knowlip.dataset.png import decode_png
from knowlip.scenes import open_scene
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.cut import cut, in_order
from knowlip.tiles.ground import Ground
from knowlip.tiles.quality import QualityConfig
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig
from knowlip.tiles.resample import count_power, levels_of
from knowlip.tiles.screen import ScreenConfig
from knowlip.tiles.windows import plan_roots
from tests.tiles.rasters import speckle, write_scene

SIZES = (256.0, 128.0, 64.0)


def dn(shape, seed=0):
    return np.clip(speckle(shape, seed), 1, 65535).astype(np.uint16)


def tiles(path, out, **changes) -> dict[str, str]:
    """tile_id -> SHA-256 of its pixels."""
    settings = {"windows_m": SIZES, "tile_px": 64, "workers": 1, "quality": accepting(), **changes}
    config = BuildConfig([path], out, **settings)
    build(config)
    dataset = Dataset(out)
    names = list(dataset.tiles()["tile_id"])
    return {name: hashlib.sha256(image.tobytes()).hexdigest() for name, image in zip(names, dataset.images(names))}


def files(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rewritten(source, target, **profile):
    with rasterio.open(source) as old, rasterio.open(target, "w", **{**old.profile, **profile}) as new:
        new.write(old.read())
        new.update_tags(**old.tags())
    return target


def test_threads_change_no_byte(tmp_path):
    path = write_scene(tmp_path / "a.tif", dn((700, 700)), pixel=1.0)
    build(BuildConfig([path], tmp_path / "one", windows_m=SIZES, tile_px=64, workers=1))
    build(BuildConfig([path], tmp_path / "three", windows_m=SIZES, tile_px=64, workers=3))
    assert files(tmp_path / "one") == files(tmp_path / "three")


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 64},
        {"tiled": True, "blockxsize": 512, "blockysize": 256, "compress": "deflate"},
        {"blockysize": 1},
        {"blockysize": 600},
    ],
)
def test_how_the_file_is_stored_changes_no_pixel(tmp_path, profile):
    values = dn((600, 600))
    values[:40] = 0
    values[:, 590:] = 0
    path = write_scene(tmp_path / "one" / "a.tif", values, pixel=1.0)
    (tmp_path / "two").mkdir()
    other = rewritten(path, tmp_path / "two" / "a.tif", **profile)
    assert tiles(path, tmp_path / "x") == tiles(other, tmp_path / "y")


@pytest.mark.parametrize("pixel", [1.0, 0.5, 0.7, 1.5, 4.0])
def test_integer_numbers_by_table_equal_the_same_numbers_as_floats(tmp_path, pixel):
    """uint16 goes through a table of powers, float32 through arithmetic: the tiles are the same byte for byte, where a
    stored pixel is one native pixel, several, a fraction of several, or a fraction of one."""
    values = dn((640, 640))
    values[:9, 100:] = 0
    values[200:210, 200:210] = 0
    tags = {"KNOWLIP_UNITS": "amplitude"}
    sizes = tuple(side * max(pixel, 1) for side in SIZES)
    whole = write_scene(tmp_path / "u" / "a.tif", values, pixel=pixel, tags=tags)
    real = write_scene(tmp_path / "f" / "a.tif", values.astype(np.float32), pixel=pixel, tags=tags)
    assert open_scene(whole).raster.table is not None
    assert open_scene(real).raster.table is None
    by_table = tiles(whole, tmp_path / "x", windows_m=sizes)
    assert by_table == tiles(real, tmp_path / "y", windows_m=sizes)
    assert len(by_table) >= 21


@pytest.mark.parametrize("pixel", [1.0, 0.5, 0.75, 3.0])
def test_first_pass_counts_what_the_second_shows(tmp_path, pixel):
    values = dn((700, 700))
    values[:, :30] = 0
    path = write_scene(tmp_path / "a.tif", values, pixel=pixel)
    ground = Ground(open_scene(path))
    counted, shown = PowerHistogram(), PowerHistogram()
    for root in plan_roots(ground, "a", SIZES):
        count_power(ground, root, 64, counted)
        levels = levels_of(ground, root, 64)
        finest = next((level for level in reversed(levels) if level.averaged), levels[0])
        shown.add(finest.power, finest.valid)
    np.testing.assert_array_equal(counted.counts, shown.counts)
    assert counted.total > 0


def test_complex_numbers_in_every_encoding_agree(tmp_path):
    """One acquisition as a pair of int16 bands, as complex int16 and as complex64: the same tiles."""
    random = np.random.default_rng(3)
    field = np.kron(random.uniform(0.2, 3, (33, 33)), np.ones((16, 16)))[:520, :520]
    parts = np.round(random.normal(0, 300, (2, 520, 520)) * field).astype(np.int16)
    full = (parts[0] + 1j * parts[1]).astype(np.complex64)
    single = write_scene(tmp_path / "c64" / "a.tif", full, pixel=1.0)
    with rasterio.open(single) as source:
        profile = source.profile
    for name in ("pair", "ci16"):
        (tmp_path / name).mkdir()
    with rasterio.open(tmp_path / "pair" / "a.tif", "w", **{**profile, "count": 2, "dtype": "int16"}) as target:
        target.write(parts)
        target.descriptions = ("real", "imag")
    with rasterio.open(tmp_path / "ci16" / "a.tif", "w", **{**profile, "dtype": "complex_int16"}) as target:
        target.write(full, 1)
    expected = tiles(single, tmp_path / "x1")
    assert len(expected) >= 21
    assert tiles(tmp_path / "pair" / "a.tif", tmp_path / "x2") == expected
    assert tiles(tmp_path / "ci16" / "a.tif", tmp_path / "x3") == expected


def test_golden_pixels(tmp_path):
    """The pixels of a fixed scene, as a hash: whoever changes them on purpose writes the new one here."""
    row, column = np.indices((520, 520))
    values = (1 + (row * 7919 + column * 104729 + row * column) % 4099 * (1 + row // 64)).astype(np.uint16)
    values[:8] = 0
    path = write_scene(tmp_path / "a.tif", values, pixel=1.0)
    found = hashlib.sha256(repr(sorted(tiles(path, tmp_path / "x").items())).encode()).hexdigest()
    assert found == "027bfeafa8066d0a47d418e4d77715883a495d4bda8ad2ddd1f20722acc09b8f"


@pytest.mark.parametrize("method", ["percentile", "window", "sigma", "sqrt"])
def test_a_collar_changes_nothing(tmp_path, method):
    """Ground with declared nodata around it, and the same ground with a wide black border that nothing declares: the
    same quantiser and the same tiles. (The outermost pixel beside a collar counts as part of it, hence the frame.)"""
    values = dn((512, 512))
    values[[0, -1]] = 0
    values[:, [0, -1]] = 0
    left, top = 2344 * 256, 22461 * 256
    bare = write_scene(tmp_path / "a" / "a.tif", values, pixel=1.0, left=left, top=top, nodata=0)
    padded = np.zeros((768, 768), np.uint16)
    padded[128:640, 128:640] = np.pad(dn((512, 512))[1:-1, 1:-1], 1, mode="edge")
    collared = write_scene(tmp_path / "b" / "a.tif", padded, pixel=1.0, left=left - 128, top=top + 128)
    quantise = QuantiseConfig(method=method, window_db=(20.0, 60.0))
    config = BuildConfig([bare], tmp_path / "x", SIZES, 64, quantise=quantise, quality=accepting())
    seen = []
    for path in (bare, collared):
        ground = Ground(open_scene(path))
        quantiser, families = cut(ground, plan_roots(ground, "a", SIZES, anchor="utm"), config)
        tiles = [tile for family in families for tile in family.tiles]
        seen.append((quantiser, [(tile.window.bounds, tile.png, tile.valid_fraction) for tile in tiles]))
    assert len(seen[0][1]) == 84
    assert seen[0] == seen[1]


def accepting():
    """A filter that lets everything pass."""
    return dataclasses.replace(QualityConfig(), min_std=0.0, min_entropy=0.0, min_edge=0.0, min_good=0.0)


def test_tile_then_quantise_is_quantise_then_tile(tmp_path):
    path = write_scene(tmp_path / "a.tif", dn((256, 256)), pixel=1.0)
    ground = Ground(open_scene(path))
    config = BuildConfig([path], tmp_path / "x", SIZES, 64, quality=accepting())
    quantiser, families = cut(ground, plan_roots(ground, "a", SIZES), config)
    (one,) = families
    small = levels_of(ground, one.root, 64)[2]
    for tile in one.tiles[5:]:
        row, column = tile.window.row % 4 * 64, tile.window.column % 4 * 64
        here = slice(row, row + 64), slice(column, column + 64)
        np.testing.assert_array_equal(decode_png(tile.png), quantiser(small.power[here], small.valid[here]))


def test_results_come_in_order_and_an_error_ends_the_work():
    assert list(in_order(lambda x: x * x, range(50), 3)) == [x * x for x in range(50)]
    started = []

    def failing(x):
        started.append(x)
        if x == 5:
            raise ValueError("five")
        return x

    with pytest.raises(ValueError, match="five"):
        list(in_order(failing, range(1000), 2))
    assert len(started) < 30


def test_scene_of_one_value_and_scene_without_power(tmp_path):
    config = BuildConfig([tmp_path], tmp_path / "x", SIZES, 64)
    path = write_scene(tmp_path / "a.tif", np.full((256, 256), 7, np.uint16), pixel=1.0)
    ground = Ground(open_scene(path))
    quantiser, families = cut(ground, plan_roots(ground, "a", SIZES), config)
    assert quantiser.hi_db == quantiser.lo_db + 1
    assert all(tile.reject_reason for family in families for tile in family.tiles)
    silent = np.zeros((256, 256), np.float32)
    ground = Ground(open_scene(write_scene(tmp_path / "b.tif", silent, pixel=1.0, nodata=-1)))
    with pytest.raises(ValueError, match="no power above zero"):
        cut(ground, plan_roots(ground, "b", SIZES), config)


def test_regions_with_little_to_see_are_screened_out(tmp_path):
    """Their tiles stay in the index with score and reason, without pixels; the picture shows all."""
    values = dn((512, 1024))
    values[:, :512] = np.clip(np.sqrt(np.random.default_rng(5).gamma(16, 10, (512, 512))), 1, 65535)
    path = write_scene(tmp_path / "a.tif", values, pixel=1.0)
    build(BuildConfig([path], tmp_path / "all", SIZES, 64, quality=accepting()))
    scores = Dataset(tmp_path / "all").index.groupby("root_id")["screen_score"].unique()
    assert all(len(value) == 1 for value in scores), "one score a family"
    limit = float(np.sort([value[0] for value in scores])[4])
    assert limit > 0
    build(BuildConfig([path], tmp_path / "some", SIZES, 64, quality=accepting(), screen=ScreenConfig(threshold=limit)))
    rows = Dataset(tmp_path / "some").index
    dropped = rows[rows["screen_score"] < limit]
    assert len(rows) == 8 * 21
    assert len(dropped) >= 21
    assert set(dropped["reject_reason"]) == {"screened"}
    assert not dropped["accepted"].any()
    assert dropped["valid_fraction"].eq(1).all()
    assert "screened" not in set(rows[rows["screen_score"] >= limit]["reject_reason"])
    assert (tmp_path / "some" / "maps" / "a.png").is_file()
