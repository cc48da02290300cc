"""Sentinel-1 SAFE against closed forms, pyproj and xarray-sentinel."""

import pickle
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.windows import Window

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, PoorGeolocation, SceneError, UnknownFormat
from knowlip.scenes.readers.sentinel1_annotation import read_image
from knowlip.scenes.xml import read_xml
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.ground import Ground
from tests.scenes.products import sentinel1
from tests.scenes.products.scramble import scramble
from tests.scenes.products.swath import GEOD, Swath

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def off_by(product, scene):
    """Largest distance in metres between the scene's geolocation and the truth."""
    rows, columns = scene.shape
    y, x = np.meshgrid(np.linspace(0, rows, 7), np.linspace(0, columns, 7))
    expected = product.truth(x.ravel(), y.ravel())
    return float(np.max(GEOD.inv(*scene.to_lonlat(x.ravel(), y.ravel()), *expected)[2]))


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count
    path.write_text(text)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"heading": 192.0, "lon": 179.999, "lat": -16.0},
        {"heading": 300.0, "lat": 84.5},
        {"height": 640.0},
        {"kind": "SLC", "shape": (0, 400)},
        {"kind": "SLC", "shape": (0, 400), "heading": 193.0, "lon": -70.0, "lat": -33.0},
        {"kind": "SM", "shape": (250, 300)},
    ],
)
def test_places_are_within_a_pixel_of_the_truth(tmp_path, options):
    product = sentinel1.make(tmp_path, **options)
    (scene,) = open_scenes(product.path)
    assert scene.polarisation == "VV"
    assert off_by(product, scene) < 0.2 * product.pixel_m


def test_grid_points_name_pixel_centres(tmp_path):
    """Half a pixel off would be 5 m."""
    product = sentinel1.make(tmp_path)
    assert off_by(product, open_scenes(product.path)[0]) < 0.1


@pytest.mark.parametrize(("kind", "heading", "lat"), [("GRD", 347.0, 5.0), ("GRD", 194.0, 62.0), ("SM", 194.0, 62.0)])
def test_a_whole_swath_is_within_a_pixel_of_the_truth(kind, heading, lat):
    """250 km by 170 km of ground range, or 85 km of slant range, from the annotation alone."""
    shape, row_m, column_m = ((16_700, 25_000), 10.0, 10.0) if kind == "GRD" else ((40_000, 21_600), 4.0, 2.33)
    swath = Swath(shape, row_m, column_m, lat=lat, heading=heading, incidence_deg=38.0, slant=kind == "SM")
    text = sentinel1._annotation(swath, kind, "IW", "IW", "VV", swath.shape, 0, 0.0)
    points = read_image(read_xml(text.encode()), "it").grid
    geometry = points.control_points(points.lines + 0.5)
    assert geometry.residual_m < 2 * swath.pixel_m
    rng = np.random.default_rng(0)
    rows, columns = rng.uniform(0, shape[0], 500), rng.uniform(0, shape[1], 500)
    xy = geometry.forward(columns, rows)
    found = Transformer.from_crs(geometry.crs, 4326, always_xy=True).transform(*xy)
    assert np.max(GEOD.inv(*found, *swath.place(columns, rows))[2]) < swath.pixel_m


@pytest.mark.parametrize("kind", ["GRD", "SM"])
def test_gdal_sees_the_same_product(tmp_path, kind):
    """Pixels and grid by GDAL's own SAFE driver; its points are given at the corners of the pixels they name."""
    product = sentinel1.make(tmp_path, kind)
    (scene,) = open_scenes(product.path, SceneOverrides(calibrate=False, polarisation="VH"))
    swath = {"GRD": "IW_VH:AMPLITUDE", "SM": "S3_VH:INTENSITY"}[kind]
    try:
        file = rasterio.open(f"SENTINEL1_CALIB:UNCALIB:{product.path}/manifest.safe:{swath}")
    except rasterio.errors.RasterioIOError:
        pytest.skip("this GDAL has no SAFE driver")
    with file:
        values, points = file.read(1).astype(np.float32), file.gcps[0]
    inner = (slice(1, -1), slice(1, -1))
    expected = values**2 if kind == "GRD" else values
    np.testing.assert_allclose(scene.read()[0][inner], expected[inner])
    theirs = np.array([(p.col + 0.5, p.row + 0.5, p.x, p.y) for p in points])
    mine = scene.geometry
    np.testing.assert_allclose(np.column_stack([mine.columns, mine.rows, mine.lons, mine.lats]), theirs)


def test_cog_names(tmp_path):
    product = sentinel1.make(tmp_path, polarisations=("VV",))
    tiff = only(product.path, "measurement/*.tiff")
    tiff.rename(tiff.with_name(tiff.stem + "-cog.tiff"))
    np.testing.assert_allclose(open_scenes(product.path)[0].read()[0], product.power, rtol=2e-5)


@pytest.mark.parametrize("kind", ["GRD", "SLC", "SM"])
@pytest.mark.parametrize("quantity", ["sigma0", "beta0", "gamma0"])
@pytest.mark.parametrize("denoise", [False, True])
def test_calibration_is_the_closed_form(tmp_path, kind, quantity, denoise):
    product = sentinel1.make(tmp_path, kind, quantity=quantity, denoise=denoise)
    (scene,) = open_scenes(product.path, SceneOverrides(quantity=quantity, denoise=denoise))
    power, valid = scene.read()
    assert (scene.radiometry, scene.quantity) == ("calibrated", quantity)
    np.testing.assert_allclose(power, product.power, rtol=2e-5, atol=1e-7)
    if kind == "SLC":
        assert not valid[:2].any()
        assert not valid[:, :6].any()
        assert not valid[:, -9:].any()
        assert valid[2:-2, 6:-9].all()
    part = Window(23, 31, 71, 47)
    np.testing.assert_array_equal(scene.read(part)[0], power[31:78, 23:94])


def test_noise_of_old_processors(tmp_path):
    product = sentinel1.make(tmp_path, old_noise=True, denoise=True)
    (scene,) = open_scenes(product.path, SceneOverrides(denoise=True))
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=2e-5, atol=1e-7)


def test_two_by_two_table_interpolates_a_and_squares_then(tmp_path):
    product = sentinel1.make(tmp_path, polarisations=("VV",), shape=(3, 3))
    calibration = only(product.path, "annotation/calibration/calibration-*.xml")
    vectors = "".join(
        f'<calibrationVector><line>{line}</line><pixel count="2">0 2</pixel><sigmaNought count="2">{a} {b}'
        "</sigmaNought></calibrationVector>"
        for line, a, b in ((0, 100, 200), (2, 300, 600))
    )
    edit(calibration, "<calibrationVector>.*</calibrationVector>", vectors)
    with rasterio.open(only(product.path, "measurement/*.tiff"), "r+") as file:
        file.write(np.full((3, 3), 300, np.uint16), 1)
    (scene,) = open_scenes(product.path)
    a = np.array([[100, 150, 200], [200, 300, 400], [300, 450, 600]])
    np.testing.assert_allclose(scene.read()[0], 300**2 / a**2, rtol=1e-6)


@pytest.mark.parametrize("kind", ["GRD", "SLC"])
def test_parity_with_xarray_sentinel(tmp_path, kind):
    xarray_sentinel = pytest.importorskip("xarray_sentinel")
    product = sentinel1.make(tmp_path, kind)
    group = "IW/VV" if kind == "GRD" else "IW1/VV"
    theirs = xarray_sentinel.open_sentinel1_dataset(str(product.path), group=group)
    table = xarray_sentinel.open_sentinel1_dataset(str(product.path), group=f"{group}/calibration")
    expected = xarray_sentinel.calibrate_intensity(theirs.measurement, table.sigmaNought).compute()
    power, valid = open_scenes(product.path)[0].read()
    if kind == "GRD":
        mine, expected = power, expected.values
        valid = valid | (expected == 0)  # zeros on the border count as collar
    else:
        # Their burst 1 from its sixth line on is where ours takes over from burst 0.
        mine = power[35:60, 6:-9]
        expected = expected.sel(line=slice(45, 69)).values[:, 6:-9]
        valid = valid[35:60, 6:-9]
    assert valid.all()
    seen = (mine > 0) & (expected > 0)
    assert seen.mean() > 0.99
    assert np.abs(10 * np.log10(mine[seen] / expected[seen])).max() < 0.01


def test_metadata(tmp_path):
    grd = open_scenes(sentinel1.make(tmp_path, heading=192.0).path, SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in grd] == ["VV", "VH"]
    scene = grd[0]
    assert (scene.sensor, scene.band, scene.mode, scene.product_type, scene.projection) == (
        "sentinel-1",
        "C",
        "IW",
        "GRD",
        "ground",
    )
    assert (scene.orbit, scene.look_side, scene.date) == ("descending", "right", "2021-01-05T05:33:11Z")
    assert (scene.looks, scene.incidence_deg, round(scene.frequency_ghz, 3)) == (4.4, 36.0, 5.405)
    assert scene.look_azimuth_deg == pytest.approx(282)
    assert scene.units == "amplitude"
    assert scene.scene_id == "s1a-iw-grd-vv-20210105t053311-20210105t053336-036000-043"
    slc = open_scenes(sentinel1.make(tmp_path, "SLC").path)[0]
    assert (slc.looks, slc.units, slc.projection, slc.product_type) == (1, "complex", "slant", "SLC")
    assert open_scenes(sentinel1.make(tmp_path, "SM").path)[0].mode == "SM"


def test_polarisation_is_chosen(tmp_path):
    product = sentinel1.make(tmp_path, polarisations=("VH", "VV"))
    assert [s.polarisation for s in open_scenes(product.path)] == ["VV"]
    assert [s.polarisation for s in open_scenes(product.path, SceneOverrides(polarisation="vh"))] == ["VH"]
    with pytest.raises(UnknownFormat, match="VV, VH, not HH"):
        open_scenes(product.path, SceneOverrides(polarisation="HH"))


def test_numbers_as_they_are(tmp_path):
    product = sentinel1.make(tmp_path)
    for path in product.path.glob("annotation/calibration/*"):
        path.unlink()
    (scene,) = open_scenes(product.path, SceneOverrides(calibrate=False))
    with rasterio.open(sorted(product.path.glob("measurement/*-vv-*"))[0]) as file:
        np.testing.assert_array_equal(scene.read()[0], file.read(1).astype(np.float32) ** 2)
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    with pytest.raises(NotCalibrated, match="calibrate false"):
        open_scenes(product.path)


def test_found_once_and_opened_by_folder_manifest_or_archive(tmp_path):
    product = sentinel1.make(tmp_path / "products")
    assert find_scenes([tmp_path]) == [product.path]
    power = open_scenes(product.path)[0].read()[0]
    (by_manifest,) = open_scenes(product.path / "manifest.safe")
    np.testing.assert_array_equal(by_manifest.read()[0], power)
    archive = tmp_path / "zipped" / "S1A one.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(product.path.rglob("*")):
            file.write(path, f"{product.path.name}/{path.relative_to(product.path)}")
    assert find_scenes([archive.parent]) == [archive]
    (zipped,) = open_scenes(archive)
    np.testing.assert_array_equal(zipped.read()[0], power)
    assert off_by(product, zipped) < 0.1


@pytest.mark.parametrize("kind", ["GRD", "SLC"])
def test_readers_in_other_processes_and_threads_see_the_same(tmp_path, kind):
    (scene,) = open_scenes(sentinel1.make(tmp_path, kind).path)
    power = scene.read()[0]
    copy = pickle.loads(pickle.dumps(scene))
    windows = [Window(7 * k, 5 * k, 40, 30) for k in range(12)]
    with ThreadPoolExecutor(3) as pool:
        for window, (found, _) in zip(windows, pool.map(copy.read, windows)):
            np.testing.assert_array_equal(found, power[window.row_off :, window.col_off :][:30, :40])


def _break(product, what):
    tiff = sorted(product.path.glob("measurement/*-vv-*"))[0]
    annotation = sorted(product.path.glob("annotation/*-vv-*.xml"))[0]
    calibration = sorted(product.path.glob("annotation/calibration/calibration-*-vv-*.xml"))[0]
    if what == "tiff missing":
        tiff.unlink()
    elif what == "tiff truncated":
        tiff.write_bytes(tiff.read_bytes()[: tiff.stat().st_size * 2 // 3])
    elif what == "tiff cut to its header":
        tiff.write_bytes(tiff.read_bytes()[:4])
    elif what == "annotation missing":
        annotation.unlink()
    elif what == "annotation truncated":
        annotation.write_bytes(annotation.read_bytes()[:3000])
    elif what == "annotation of something else":
        annotation.write_bytes(calibration.read_bytes())
    elif what == "annotation with a doctype":
        text = annotation.read_text()
        annotation.write_text(text.replace("<product>", '<!DOCTYPE product [<!ENTITY a "b">]><product>'))
    elif what == "annotation of another size":
        edit(annotation, "<numberOfSamples>150<", "<numberOfSamples>151<")
    elif what == "no grid":
        edit(annotation, "<geolocationGridPointList.*</geolocationGridPointList>", "")
    elif what == "table torn":
        edit(calibration, r'<pixel count="\d+">0 ', '<pixel count="3">')
    elif what == "factor zero":
        edit(calibration, r'(<sigmaNought count="\d+">)\S+', r"\g<1>0.0")
    elif what == "factor missing":
        edit(calibration, r'(<sigmaNought count="\d+">)\S+', r"\g<1>nan")
    elif what == "grid shuffled":
        text = annotation.read_text()
        places = re.findall(r"<latitude>([^<]+)</latitude>", text)
        turned = iter(np.random.default_rng(0).permutation(places))
        annotation.write_text(
            re.sub(r"<latitude>[^<]+</latitude>", lambda _: f"<latitude>{next(turned)}</latitude>", text)
        )
    elif what == "no images":
        edit(product.path / "manifest.safe", "annotation/s1a", "annotation/x")


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("tiff missing", DamagedProduct),
        ("tiff truncated", DamagedProduct),
        ("tiff cut to its header", DamagedProduct),
        ("annotation missing", DamagedProduct),
        ("annotation truncated", DamagedProduct),
        ("annotation of something else", DamagedProduct),
        ("annotation with a doctype", DamagedProduct),
        ("annotation of another size", DamagedProduct),
        ("no grid", DamagedProduct),
        ("table torn", DamagedProduct),
        ("factor zero", NotCalibrated),
        ("factor missing", NotCalibrated),
        ("grid shuffled", PoorGeolocation),
        ("no images", UnknownFormat),
    ],
)
def test_refusals(tmp_path, what, error):
    product = sentinel1.make(tmp_path)
    _break(product, what)
    with pytest.raises(error, match="S1A_IW_GRDH"):
        open_scenes(product.path, SceneOverrides(polarisation="VV"))


@pytest.mark.parametrize("what", ["tiff missing", "annotation missing"])
def test_a_product_of_which_one_polarisation_is_there_is_read_and_told(tmp_path, what):
    product = sentinel1.make(tmp_path)
    _break(product, what)
    (scene,) = open_scenes(product.path)
    assert scene.polarisation == "VH"
    assert "Not on disk, so not read: IW-VV." in scene.notes
    assert scene.unit == "S1A"


def test_a_product_of_which_no_image_is_there_is_refused(tmp_path):
    product = sentinel1.make(tmp_path)
    for tiff in product.path.glob("measurement/*"):
        tiff.unlink()
    with pytest.raises(DamagedProduct, match="all images of the product"):
        open_scenes(product.path)


def test_one_burst_of_one_swath_and_no_manifest(tmp_path):
    product = sentinel1.make(tmp_path / "whole", "SLC", polarisations=("VV",), bursts=1)
    whole = open_scenes(product.path)[0]
    (product.path / "manifest.safe").unlink()
    (scene,) = open_scenes(product.path)
    np.testing.assert_array_equal(scene.read()[0], whole.read()[0])
    assert off_by(product, scene) < 0.1
    assert find_scenes([product.path.parent]) == [product.path]


def test_the_layout_of_the_open_data_of_aws(tmp_path):
    """Files are called by swath and polarisation, while the manifest keeps ESA's names."""
    product = sentinel1.make(tmp_path)
    expected = {
        scene.polarisation: scene.read()[0] for scene in open_scenes(product.path, SceneOverrides(polarisation="all"))
    }
    for path in sorted(product.path.rglob("*s1a-*")):
        kind = f"{path.name.split('-')[0]}-" if path.name.startswith(("calibration", "noise")) else ""
        polarisation = "vv" if "-vv-" in path.name else "vh"
        path.rename(path.with_name(f"{kind}iw-{polarisation}{path.suffix}"))
    scenes = open_scenes(product.path, SceneOverrides(polarisation="all"))
    assert len({scene.scene_id for scene in scenes}) == 2
    for scene in scenes:
        np.testing.assert_array_equal(scene.read()[0], expected[scene.polarisation])
        assert off_by(product, scene) < 0.1
        assert not scene.notes


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("kind", "shape"), [("GRD", (40, 50)), ("SLC", (0, 60))])
def test_nonsense_is_refused_in_words(tmp_path, kind, shape):
    product = sentinel1.make(tmp_path, kind, polarisations=("VV",), shape=shape, bursts=2)
    refused = 0
    for what in scramble(product.path, 30):
        try:
            (scene,) = open_scenes(product.path, SceneOverrides(denoise=True))
            assert np.isfinite(scene.read()[0]).all(), what
        except SceneError:
            refused += 1
    assert refused > 5


def test_bursts_that_do_not_fit(tmp_path):
    product = sentinel1.make(tmp_path, "SLC", polarisations=("VV",))
    annotation = only(product.path, "annotation/*.xml")
    good = annotation.read_text()
    annotation.write_text(good.replace("<linesPerBurst>40<", "<linesPerBurst>41<"))
    with pytest.raises(DamagedProduct, match="4 bursts of 41 lines"):
        open_scenes(product.path)
    annotation.write_text(good.replace("<burst><azimuthTime>2021", "<burst><azimuthTime>2020"))
    with pytest.raises(DamagedProduct, match="grid lies beside"):
        open_scenes(product.path)
    annotation.write_text(good.replace("<burst><azimuthTime>2021", "<burst><azimuthTime>2020", 1))
    with pytest.raises(DamagedProduct, match="follow each other"):
        open_scenes(product.path)
    annotation.write_text(re.sub(r'(<firstValidSample count="40">)\S+ ', r"\1", good))
    with pytest.raises(DamagedProduct, match="valid samples"):
        open_scenes(product.path)


def test_relief_does_not_refuse_a_product_but_is_told(tmp_path):
    product = sentinel1.make(
        tmp_path, height=lambda rows, columns: 600 + 500 * np.sin(rows / 11.0) * np.cos(columns / 17.0)
    )
    (scene,) = open_scenes(product.path)
    assert scene.geometry.residual_m > 2 * product.pixel_m
    assert "Relief" in scene.notes[0]
    (level,) = open_scenes(product.path, SceneOverrides(height_m=0.0))
    assert off_by(product, level) < product.pixel_m


def test_a_bright_pixel_of_slant_range_comes_out_where_it_is(tmp_path):
    product = sentinel1.make(tmp_path, "SLC", polarisations=("VV",), shape=(0, 400), heading=200.0)
    tiff = only(product.path, "measurement/*.tiff")
    with rasterio.open(tiff, "r+") as file:
        values = np.ones(file.shape, np.complex64)
        # Output lines 70 to 72 are lines 90 to 92 of the TIFF: the third burst is two overlaps of 10 lines further on.
        values[90:93, 240:252] = 3000
        file.write(values, 1)
    ground = Ground(open_scenes(product.path)[0])
    power, _ = ground.read(Window(0, 0, ground.shape[1], ground.shape[0]))
    rows, columns = np.nonzero(power > power.max() / 4)
    weight = power[rows, columns]
    x, y = np.average(columns + 0.5, weights=weight), np.average(rows + 0.5, weights=weight)
    found = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(*(ground.transform @ (x, y)))
    expected = product.truth(np.array(246.0), np.array(71.5))
    assert GEOD.inv(*found, float(expected[0]), float(expected[1]))[2] < 0.5 * ground.transform.a


@pytest.mark.parametrize(("kind", "shape"), [("GRD", (200, 210)), ("SLC", (0, 600))])
def test_build(tmp_path, kind, shape):
    product = sentinel1.make(tmp_path, kind, shape=shape, bursts=5)
    config = BuildConfig(scenes=[product.path], out=tmp_path / "dataset", tile_px=64)
    result = build(config)
    assert result["scenes"] == 1
    assert result["accepted"] > 0
    assert not result["skipped"]
