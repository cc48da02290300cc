"""CEOS products of ALOS and ALOS-2 against JAXA's formulas, a circular orbit solved pixel by pixel, GDAL's reader, and
the real leader of a product."""

import contextlib
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.windows import Window

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.errors import DamagedProduct, NoLocation, SceneError, UnknownFormat
from knowlip.scenes.find import search
from knowlip.scenes.geometry import GEOD
from knowlip.scenes.readers import ceos_places
from tests.scenes.products import ceos

VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))
AT = np.array([0.5, 60.0, 119.5, 0.5]), np.array([0.5, 45.0, 89.5, 89.5])


def misses(scene, truth, **options):
    return np.max(GEOD.inv(*scene.to_lonlat(*AT), *truth(*AT, **options))[2])


def decibels(power):
    return 10 * np.log10(power)


def test_level_15_on_a_map(tmp_path):
    path, truth = ceos.make_15(tmp_path)
    found = search([tmp_path])
    assert [one.name[:6] for one in found.scenes] == ["IMG-HH", "IMG-HV"]
    for seed, one in enumerate(found.scenes):
        (scene,) = open_scenes(one)
        power, valid = scene.read()
        assert valid.all()
        expected = 20 * np.log10(ceos.amplitudes(seed).astype(float)) - 83
        np.testing.assert_allclose(decibels(power), expected, atol=1e-4)
    assert (scene.polarisation, scene.scene_id[:6]) == ("HV", "img-hv")
    assert misses(scene, truth) < 0.001
    assert (scene.crs.to_epsg(), scene.projection, scene.quantity) == (ceos.UTM, "map", "sigma0")
    assert (scene.sensor, scene.unit, scene.band, scene.mode) == ("palsar-2", "ALOS-2", "L", "FBD")
    assert (scene.product_type, scene.date, scene.orbit) == ("L1.5", "2014-09-09T04:33:42Z", "ascending")
    assert (scene.look_side, scene.incidence_deg, scene.looks) == ("right", 37.25, 2.0)
    assert scene.frequency_ghz == pytest.approx(1.2365, abs=1e-4)
    assert not scene.notes
    with pytest.raises(UnknownFormat, match="holds HH"):
        open_scenes(path, SceneOverrides(polarisation="HV"))
    gamma = open_scenes(path, SceneOverrides(quantity="gamma0"))[0].read()[0]
    np.testing.assert_allclose(gamma, open_scenes(path)[0].read()[0] / np.cos(np.radians(37.25)), rtol=1e-5)


def test_windows_are_read_where_they_lie(tmp_path):
    path, _ = ceos.make_15(tmp_path)
    (scene,) = open_scenes(path)
    part, _ = pickle.loads(pickle.dumps(scene)).read(Window(31, 17, 40, 9))
    np.testing.assert_array_equal(part, scene.read()[0][17:26, 31:71])


def test_gdal_reads_the_same(tmp_path):
    """JAXAPALSAR of GDAL (of ALOS alone): pixels and corners. Its lines begin one record early (the first is made of
    the file's header), and its corners' columns count lines: rows are compared shifted, corners in their order."""
    path, _ = ceos.make_15(tmp_path, alos2=False)
    with rasterio.open(path.with_name(path.name.replace("IMG-HH", "VOL")), driver="JAXAPALSAR") as file:
        dn = file.read(1)
        corners = file.gcps[0]
    (scene,) = open_scenes(path)
    np.testing.assert_allclose(dn[1:].astype(float) ** 2 * 10**-8.3, scene.read()[0][:-1], rtol=1e-5)
    rows, columns = scene.shape
    lons, lats = scene.to_lonlat(
        np.array([0, columns - 1, columns - 1, 0]) + 0.5, np.array([0, 0, rows - 1, rows - 1]) + 0.5
    )
    assert np.max(GEOD.inv(lons, lats, [point.x for point in corners], [point.y for point in corners])[2]) < 0.1


def test_level_15_along_the_flight_path_is_placed_by_polynomials(tmp_path):
    path, truth = ceos.make_15(tmp_path, ceos.ALONG, alos2=False)
    (scene,) = open_scenes(path)
    assert misses(scene, truth) < 0.05
    assert (scene.sensor, scene.unit, scene.mode, scene.projection) == ("palsar", "ALOS", "H", "ground")
    assert any("one height" in note for note in scene.notes)


@pytest.mark.parametrize(("changes", "limit", "note"), [({"terms": None}, 1.0, ""), ({}, 30.0, "four corners")])
def test_without_polynomials_the_lines_and_then_the_corners_place_it(tmp_path, changes, limit, note):
    options = {"terms": None, "line_places": not note}
    path, truth = ceos.make_15(tmp_path, ceos.ALONG, **(options | changes))
    (scene,) = open_scenes(path)
    assert misses(scene, truth) < limit
    assert not note or any(note in text for text in scene.notes)


def test_ways_that_contradict_each_other_are_told(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    path, truth = ceos.make_15(tmp_path / "a", ceos.ALONG, origin=(100.0, 60.0))
    (scene,) = open_scenes(path)
    assert misses(scene, truth) < 1
    assert any("polynomials lie" in note for note in scene.notes)
    west, east, north, south = 300_000, 300_743.75, 3_907_000, 3_906_443.75
    chart = np.array([[west, north], [east, north], [east, south], [west, south]])
    path, truth = ceos.make_15(tmp_path / "b", map=(ceos.MAPPED, chart))
    (scene,) = open_scenes(path)
    assert misses(scene, truth) < 0.05
    assert any("map grid lies" in note for note in scene.notes)


@pytest.mark.parametrize(("side", "alos2"), [("right", True), ("left", True), ("right", False)])
def test_level_11_is_placed_by_its_orbit(tmp_path, side, alos2):
    path, truth, _ = ceos.make_11(tmp_path, side, alos2)
    (scene,) = open_scenes(path)
    assert misses(scene, truth) < 0.1
    power, valid = scene.read()
    assert valid.all()
    np.testing.assert_allclose(decibels(power), decibels(np.abs(ceos.signals().astype(complex)) ** 2) - 115, atol=1e-4)
    assert (scene.units, scene.quantity, scene.projection, scene.looks) == ("complex", "sigma0", "slant", 1.0)
    assert (scene.look_side, scene.mode) == (side, "HBQ" if alos2 else "P")
    assert any("lie 0.0 m (RMS) from these" in note for note in scene.notes)
    assert misses(open_scenes(path, SceneOverrides(height_m=400.0))[0], truth, height=400.0) < 0.1


def test_level_11_without_an_orbit_is_placed_by_polynomials(tmp_path):
    for k, changes in enumerate(({"vectors": None}, {"frame": "ECI"}, {"vectors": np.full((28, 6), 1.0)})):
        (tmp_path / str(k)).mkdir()
        path, truth, _ = ceos.make_11(tmp_path / str(k), **changes)
        (scene,) = open_scenes(path)
        assert misses(scene, truth) < 0.5
        assert any("orbit does not place it" in note for note in scene.notes)
    (tmp_path / "none").mkdir()
    path, _, _ = ceos.make_11(tmp_path / "none", vectors=None, terms=None, line_places=False)
    with pytest.raises(NoLocation):
        open_scenes(path)


def test_what_is_no_image_is_refused_in_words(tmp_path):
    path, _ = ceos.make_15(tmp_path, poles=("HH",))
    scene = path.name.split("-", 2)[2]
    for name, match in (
        (scene.replace("1.5GUA", "1.0__A"), "raw signals"),
        ("ALOS2015976960-140909-WBDR1.1__D-F1", "one scan of a ScanSAR"),
    ):
        shutil.copy(path, tmp_path / f"IMG-HH-{name}")
        with pytest.raises(UnknownFormat, match=match):
            open_scenes(tmp_path / f"IMG-HH-{name}")
        (tmp_path / f"IMG-HH-{name}").unlink()
    assert search([tmp_path]).scenes == [path]
    whole = path.read_bytes()
    for content, match in (
        (whole[:-1], "cut off"),
        (b"\0" * 720, "does not begin"),
        (whole[:428] + b"R*4 " + whole[432:], "type 'R\\*4'"),
        (whole[:236] + b"    9999" + whole[244:], "contradict"),
        (whole[:248] + b"       x" + whole[256:], "no count"),
        (whole[:500], "does not begin"),
    ):
        path.write_bytes(content)
        with pytest.raises(DamagedProduct, match=match):
            open_scenes(path)
    path.write_bytes(whole)
    leader = path.with_name(f"LED-{scene}")
    held = leader.read_bytes()
    cut = "no complete leader"
    for content, match in ((held[:3000], cut), (b"\0" * 800, cut), (b"", "no summary")):
        leader.write_bytes(content)
        with pytest.raises(DamagedProduct, match=match):
            open_scenes(path)
    leader.write_bytes(held.replace(b"ALOS2           ", b"JERS            ", 1))
    with pytest.raises(DamagedProduct, match="leader of 'JERS'"):
        open_scenes(path)
    leader.unlink()
    with pytest.raises(DamagedProduct, match="missing"):
        open_scenes(path)


def test_without_a_factor_it_is_relative_and_with_another_that_is_used(tmp_path):
    (tmp_path / "a").mkdir()
    path, _ = ceos.make_15(tmp_path / "a", factor_db=None)
    (scene,) = open_scenes(path)
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert any("no calibration factor" in note for note in scene.notes)
    path, _ = ceos.make_15(tmp_path, factor_db=-80.5)
    expected = 20 * np.log10(ceos.amplitudes(0).astype(float)) - 80.5
    np.testing.assert_allclose(decibels(open_scenes(path)[0].read()[0]), expected, atol=1e-4)


def test_bytes_turned_over_end_in_a_scene_or_a_sentence(tmp_path):
    path, _, _ = ceos.make_11(tmp_path)
    leader = next(tmp_path.glob("LED-*"))
    images, leaders = path.read_bytes(), leader.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        for file, held, most in ((path, images, 1200), (leader, leaders, len(leaders))):
            data = bytearray(held)
            for at in random.integers(0, most, 8):
                data[at] = random.integers(0, 256)
            file.write_bytes(bytes(data))
        with contextlib.suppress(SceneError):
            open_scenes(path)[0].read(Window(0, 0, 3, 3))


def test_sarpy_reads_the_same(tmp_path):
    """Pixels, factor and places of level 1.1 against a public reader, where it is installed."""
    pytest.importorskip("sarpy", reason="sarpy is not installed")
    from sarpy.io.complex.palsar2 import PALSARReader

    path, _, _ = ceos.make_11(tmp_path)
    reader = PALSARReader(str(tmp_path))
    sicd = reader.get_sicds_as_tuple()[0]
    assert sicd.Radiometric.SigmaZeroSFPoly.Coefs[0, 0] == pytest.approx(10**-11.5)
    (scene,) = open_scenes(path)
    values = reader[:, :].T
    np.testing.assert_allclose(np.abs(values) ** 2 * 10**-11.5, scene.read()[0], rtol=1e-5)
    columns, rows = AT
    points = sicd.project_image_to_ground_geo(
        np.column_stack([columns - 0.5, rows - 0.5]), ordering="latlong", projection_type="HAE", hae0=0.0
    )
    assert np.max(GEOD.inv(*scene.to_lonlat(columns, rows), points[:, 1], points[:, 0])[2]) < 1


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_the_real_leader_of_a_product(tmp_path):
    """Its UTM grid, its polynomials and its corners say the same; pixels are made."""
    (archive,) = VENDOR.rglob("0000022708_001001_ALOS2015976960-140909.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    path = next(tmp_path.rglob("IMG-HH-*"))
    with path.open("r+b") as stream:
        stream.truncate(720 + 13161 * 25932)
        stream.seek(720 + 6000 * 25932)
        stream.write(np.random.default_rng(0).integers(1, 9000, 25932 * 300 // 2).astype(">u2").tobytes())
    (scene,) = open_scenes(path)
    assert scene.crs.to_epsg() == 32720
    assert (scene.transform.a, scene.transform.e) == pytest.approx((6.25, -6.25), abs=1e-9)
    assert (scene.shape, scene.mode, scene.incidence_deg) == ((13161, 12870), "FBD", 40.573)
    assert (scene.date, scene.look_side, scene.orbit) == ("2014-09-09T04:33:47Z", "right", "ascending")
    assert not scene.notes
    layout = ceos_places.ImageLayout(path, scene.shape, 25932, 192, ">u2")
    leader = ceos_places.ceos.read_leader(path.with_name(path.name.replace("IMG-HH", "LED")))
    for points in (ceos_places._polynomial(layout, leader[200]), ceos_places._corners(layout, leader[20])):
        x, y = Transformer.from_crs(4326, scene.crs, always_xy=True).transform(points.lons, points.lats)
        columns, rows = scene.geometry.inverse(np.asarray(x), np.asarray(y))
        inside = (points.columns >= 0) & (points.rows >= 0)
        assert 6.25 * np.abs(columns - points.columns)[inside].max() < 0.05
        assert 6.25 * np.abs(rows - points.rows)[inside].max() < 0.05


def test_files_that_were_swapped_or_renamed_are_told(tmp_path):
    def made(name, **changes):
        (tmp_path / name).mkdir()
        return ceos.make_15(tmp_path / name, **changes)[0]

    def renamed(path, old, new):
        for file in list(path.parent.iterdir()):
            file.rename(file.with_name(file.name.replace(old, new)))
        return path.with_name(path.name.replace(old, new))

    path = made("poles")
    shutil.copy(path.with_name(path.name.replace("IMG-HH", "IMG-HV")), path)
    other = renamed(made("scene"), "ALOS2015976960-140909", "ALOS2099999960-200101")
    size = made("size", shape=(45, 60))
    orbit = renamed(made("orbit"), "GUA", "GUD")
    for file, said in (
        (path, "lines say that it is HV, its name HH"),
        (other, "leader says that it is of ALOS2015976960-140909"),
        (size, "an image of 45 lines of 60 pixels, not of 90 of 120"),
        (orbit, "its orbit is descending, its leader ascending"),
    ):
        assert any(said in note for note in open_scenes(file)[0].notes), said
    with pytest.raises(DamagedProduct, match="holds detected pixels, which level"):
        open_scenes(renamed(made("level"), "1.5GUA", "1.1__A"))


def test_a_factor_that_cannot_be_is_none(tmp_path):
    (scene,) = open_scenes(ceos.make_15(tmp_path, factor_db=0.0)[0])
    assert scene.radiometry == "relative"
    assert any("factor of 0 dB, which cannot be" in note for note in scene.notes)


def turned(data: bytearray, at: int, width: int, count: int = 1) -> None:
    for start in range(at, at + width * count, width):
        data[start : start + width] = data[start : start + width][::-1]


def little_endian(path: Path, header: bool = True, lines: bool = True, pixels: bool = True) -> None:
    """Turn the binary numbers of an image, or of some of its parts, to the other order of bytes."""
    data = bytearray(path.read_bytes())
    length, prefix, size = int(data[186:192]), int(data[276:280]), 4 if data[428:431] == b"C*8" else 2
    if header:
        turned(data, 0, 4)
        turned(data, 8, 4)
    for start in range(720, len(data), length):
        if lines:
            for at, width, count in ((0, 4, 1), (8, 4, 10), (48, 2, 4), (56, 4, 1)):
                turned(data, start + at, width, count)
            for at, width, count in ((84, 8, 1), (116, 4, 1), (192, 4, 6)) if size == 4 else ((132, 4, 6),):
                turned(data, start + at, width, count)
        if pixels:
            row = np.frombuffer(bytes(data[start + prefix : start + length]), f">u{size}")
            data[start + prefix : start + length] = row.astype(f"<u{size}").tobytes()
    path.write_bytes(bytes(data))


def little_endian_leader(path: Path) -> None:
    data, at = bytearray(path.read_bytes()), 0
    while at < len(data):
        length = int.from_bytes(data[at + 8 : at + 12], "big")
        turned(data, at, 4)
        turned(data, at + 8, 4)
        at += length
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("level", ["1.1", "1.5"])
def test_little_endian_files_are_read_as_such(tmp_path, level):
    def make(folder):
        folder.mkdir()
        return (ceos.make_11(folder) if level == "1.1" else ceos.make_15(folder, ceos.ALONG))[:2]

    path, truth = make(tmp_path / "little")
    (big,) = open_scenes(make(tmp_path / "big")[0])
    little_endian(path)
    for leader in ("as it was", "little endian too"):
        (scene,) = open_scenes(path)
        np.testing.assert_array_equal(scene.read()[0], big.read()[0])
        assert misses(scene, truth) < 0.1, leader
        assert scene.date == big.date
        assert any("little endian" in note for note in scene.notes)
        if leader == "as it was":
            little_endian_leader(next(path.parent.glob("LED-*")))


@pytest.mark.parametrize("level", ["1.1", "1.5"])
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"header": False, "lines": False}, "numbers in the other order"),
        ({"header": False}, "two orders"),
        ({"pixels": False}, "numbers in the other order"),
        ({"lines": False}, "two orders"),
    ],
)
def test_orders_of_bytes_that_contradict_each_other_are_refused(tmp_path, level, parts, said):
    path = (ceos.make_11(tmp_path) if level == "1.1" else ceos.make_15(tmp_path))[0]
    little_endian(path, **parts)
    with pytest.raises(DamagedProduct, match=said):
        open_scenes(path)
