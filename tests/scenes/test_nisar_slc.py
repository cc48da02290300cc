"""NISAR RSLC and GSLC against a circular orbit solved pixel by pixel, closed forms, and the grids of real files."""

import os
from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import NoLocation, NotCalibrated, SceneError, SlantRange
from knowlip.scenes.geometry import GEOD
from tests.scenes.products.orbits import Circle

h5py = pytest.importorskip("h5py")
VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))
LON, LAT, SHAPE, LINE, SPACING = -118.3, 34.1, (120, 150), 6e-4, 6.2456762
HALF = np.dtype([("r", "<f2"), ("i", "<f2")])


def pixels(seed=0):
    random = np.random.default_rng(seed)
    values = np.empty(SHAPE, HALF)
    values["r"], values["i"] = random.normal(0, 0.3, SHAPE), random.normal(0, 0.3, SHAPE)
    return values


def make(folder, kind="RSLC", side="left", poles=("HH", "HV"), angles=True, orbit=True):
    folder.mkdir(parents=True, exist_ok=True)
    circle = Circle(LON, LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, 0.0)[1] / 97.0
    first, near = time - (SHAPE[0] - 1) / 2 * LINE, circle.range_and_rate(time, LON, LAT, 0.0)[0] - 400.0
    path = folder / f"NISAR_L1_PR_{'RSLC' if kind == 'SLC' else kind}_002_109_D_063_4005_DHDH_A_20251012T182508.h5"
    with h5py.File(path, "w") as file:
        about = file.create_group("science/LSAR/identification")
        for key, value in {
            "missionId": "NISAR",
            "lookDirection": side,
            "orbitPassDirection": "ascending",
            "zeroDopplerStartTime": "2025-10-12T18:25:08.000000000",
        }.items():
            about[key] = np.bytes_(value)
        product = file.create_group(f"science/LSAR/{kind}")
        group = product.create_group(f"{'grids' if kind == 'GSLC' else 'swaths'}/frequencyA")
        for number, pole in enumerate(poles):
            group.create_dataset(pole, data=pixels(number), chunks=True)
        group["processedCenterFrequency"] = 1.2575e9
        if kind == "GSLC":
            group["xCoordinates"] = 400_000 + 10.0 * (np.arange(SHAPE[1]) + 0.5)
            group["yCoordinates"] = 3_750_000 - 10.0 * (np.arange(SHAPE[0]) + 0.5)
            group["projection"] = np.uint32(32611)
            group["projection"].attrs["epsg_code"] = 32611
            cube = product.create_group("metadata/radarGrid")
            cube["heightAboveEllipsoid"] = np.array([-500.0, 0.0, 500.0])
            cube["incidenceAngle"] = np.full((3, 4, 5), 37.0)
            return path, None
        group["slantRange"] = near + SPACING * np.arange(SHAPE[1])
        seen = np.tile([0, SHAPE[1]], (SHAPE[0], 1)).astype(np.int32)
        seen[:5] = [10, 100]
        group["validSamplesSubSwath1"] = seen
        product["swaths/zeroDopplerTime"] = 3600.0 + first + LINE * np.arange(SHAPE[0])
        product["swaths/zeroDopplerTime"].attrs["units"] = np.bytes_("seconds since 2025-10-12 17:25:00")
        if orbit:
            seconds = np.arange(-20.0, 21.0)
            vectors = [circle.at(second) for second in seconds]
            track = product.create_group("metadata/orbit")
            track["time"] = seconds
            track["time"].attrs["units"] = "seconds since 2025-10-12 18:25:00"
            track["position"] = np.array([position for position, _ in vectors])
            track["velocity"] = np.array([velocity for _, velocity in vectors])
        if angles:
            cube = product.create_group("metadata/geolocationGrid")
            cube["heightAboveEllipsoid"] = np.array([-500.0, 0.0, 500.0])
            cube["slantRange"] = near + np.linspace(-100, SPACING * SHAPE[1] + 100, 6)
            cube["incidenceAngle"] = (
                np.linspace(30, 32, 6) + np.array([-5.0, 0.0, 5.0])[:, None, None] + np.zeros((3, 4, 6))
            )
    return path, circle.truth(first, LINE, near, SPACING, 0.0, (LON, LAT))


def power_of(seed=0):
    values = pixels(seed)
    return values["r"].astype(float) ** 2 + values["i"].astype(float) ** 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_rslc_is_placed_by_its_orbit(tmp_path, side):
    path, truth = make(tmp_path, side=side)
    assert find_scenes([tmp_path]) == [path]
    (scene,) = open_scenes(path)
    columns, rows = np.array([0.5, 149.5, 70.0]), np.array([0.5, 119.5, 60.0])
    assert GEOD.inv(*scene.to_lonlat(columns, rows), *truth(columns, rows))[2] == pytest.approx(0, abs=0.1)
    assert (scene.sensor, scene.band, scene.polarisation, scene.product_type) == ("nisar", "L", "HH", "RSLC")
    assert (scene.date, scene.look_side, scene.projection) == ("2025-10-12T18:25:08Z", side, "slant")
    assert any("height of the ellipsoid" in note for note in scene.notes)


@pytest.mark.parametrize(("quantity", "factor"), [("beta0", np.ones_like), ("sigma0", np.sin), ("gamma0", np.tan)])
def test_power_is_beta0_by_the_angles_of_the_grid(tmp_path, quantity, factor):
    path, _ = make(tmp_path)
    scenes = open_scenes(path, SceneOverrides(quantity=quantity, polarisation="all"))
    ends = np.linspace(-100, SPACING * SHAPE[1] + 100, 6)
    theta = np.radians(np.interp(SPACING * np.arange(SHAPE[1]), ends, np.linspace(30, 32, 6)))
    for seed, scene in enumerate(scenes):
        power, valid = scene.read()
        np.testing.assert_allclose(power[valid], (power_of(seed) * factor(theta))[valid], rtol=2e-5)
        assert (scene.quantity, scene.radiometry) == (quantity, "calibrated")
        assert not valid[2, :10].any()
        assert not valid[2, 100:].any()
        assert valid[2, 10:100].all()
        assert valid[5:].all()


def test_gslc_lies_on_its_map(tmp_path):
    path, _ = make(tmp_path, "GSLC")
    (scene,) = open_scenes(path)
    x, y = Transformer.from_crs(32611, 4326, always_xy=True).transform(400_000 + 705.0, 3_750_000 - 455.0)
    assert scene.to_lonlat(np.array([70.5]), np.array([45.5])) == pytest.approx((x, y), abs=1e-9)
    np.testing.assert_allclose(scene.read()[0], power_of() * np.sin(np.radians(37)), rtol=1e-4)
    assert any("one incidence angle" in note for note in scene.notes)


def test_without_angles_it_stays_beta0_and_says_so(tmp_path):
    path, _ = make(tmp_path, angles=False)
    (scene,) = open_scenes(path)
    assert scene.quantity == "beta0"
    assert any("read as beta0" in note for note in scene.notes)
    with pytest.raises(NotCalibrated, match="no incidence angles"):
        open_scenes(path, SceneOverrides(quantity="gamma0"))


def test_the_older_layout_is_relative(tmp_path):
    path, _ = make(tmp_path, "SLC")
    (scene,) = open_scenes(path.rename(tmp_path / "uavsar.h5"))
    assert (scene.radiometry, scene.quantity) == ("relative", "none")


def test_refusals(tmp_path):
    path, _ = make(tmp_path, orbit=False)
    with pytest.raises(SlantRange, match="lacks orbit"):
        open_scenes(path)
    path, _ = make(tmp_path / "b")
    with h5py.File(path, "r+") as file:
        file["science/LSAR/RSLC/swaths/zeroDopplerTime"].attrs["units"] = "seconds"
    with pytest.raises(SceneError, match="since when"):
        open_scenes(path)


def test_the_map_grid_of_another_file_is_not_followed(tmp_path):
    path, _ = make(tmp_path, "GSLC")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["projection"] = 32633
    with h5py.File(path, "r+") as file:
        grid = file["science/LSAR/GSLC/grids/frequencyA"]
        del grid["projection"]
        grid["projection"] = h5py.ExternalLink("other.h5", "/projection")
    with pytest.raises(NoLocation, match="not followed"):
        open_scenes(path)


def test_truncated_files_are_refused(tmp_path):
    path, _ = make(tmp_path)
    whole = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SceneError):
            open_scenes(path)


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_real_files_meet_their_own_geolocation_grid():
    """Grid of longitudes and latitudes over slant range, zero-Doppler time and height, of files made by ISCE3."""
    found = sorted([*VENDOR.rglob("REE_RSLC_out17.h5"), *VENDOR.rglob("calib_slc_pass1_5mhz.h5")])
    assert len(found) == 2
    for path in found:
        with h5py.File(path, "r") as file:
            product = next(file[f"science/LSAR/{name}"] for name in ("RSLC", "SLC") if name in file["science/LSAR"])
            grid = product["metadata/geolocationGrid"]
            heights, ranges, times = (
                grid[name][()] for name in ("heightAboveEllipsoid", "slantRange", "zeroDopplerTime")
            )
            lons, lats = grid["coordinateX"][()], grid["coordinateY"][()]
            away, lines = product["swaths/frequencyA/slantRange"][()], product["swaths/zeroDopplerTime"][()]
        for level in range(0, len(heights), 5):
            (scene,) = open_scenes(path, SceneOverrides(height_m=float(heights[level]), calibrate=False))
            columns = (ranges - away[0]) / (away[1] - away[0]) + 0.5
            rows = (times - lines[0]) / (lines[1] - lines[0]) + 0.5
            x, y = np.meshgrid(columns, rows)
            inside = (x > -1) & (x < len(away) + 1) & (y > -1) & (y < len(lines) + 1)
            inside[1:] &= np.diff(times)[:, None] > 0  # one of the files names a time twice, with two places
            assert inside.any()
            missed = GEOD.inv(*scene.to_lonlat(x[inside], y[inside]), lons[level][inside], lats[level][inside])[2]
            assert np.nanmax(missed) < 1.0, (path, heights[level])
