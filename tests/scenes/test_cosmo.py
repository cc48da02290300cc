"""COSMO-SkyMed of both generations against ASI's formula and a circular orbit solved pixel by pixel."""

import numpy as np
import pytest
from pyproj import Transformer

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, SceneError, SlantRange, UnknownFormat
from knowlip.scenes.geometry import GEOD
from tests.scenes.products.orbits import Circle

h5py = pytest.importorskip("h5py")
LON, LAT, HEIGHT, SHAPE, LIGHT = 27.0, 40.5, 60.0, (100, 130), 299792458.0
LINE, STEP = 2.78e-4, 8.6e-9
K, F, RREF, REXP, ALPHA = 2.04456e22, 0.814665, 780000.0, 1.5, 40.0
"""As in a real product (CSKS2, HIMAGE)."""


def pixels(detected, seed=1):
    random = np.random.default_rng(seed)
    if detected:
        return np.clip(random.rayleigh(400, SHAPE), 1, 65535).astype(np.uint16)
    return random.normal(0, 40, (*SHAPE, 2)).round().astype(np.int16)


def make(folder, kind="SCS_B", second=False, side="RIGHT", orders=("EARLY-LATE", "NEAR-FAR"), **attrs):
    folder.mkdir(parents=True, exist_ok=True)
    circle = Circle(LON, LAT, side=side.lower())
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
    first, near = time - (SHAPE[0] - 1) / 2 * LINE, circle.range_and_rate(time, LON, LAT, HEIGHT)[0] - 80.0
    seconds = np.arange(-30.0, 31.0, 5.0)
    vectors = [circle.at(second) for second in seconds]
    name = f"CSG_SSAR1_{kind}_0101_STR_003.h5" if second else f"CSKS2_{kind}_HI_07_HH_RA_FF_20230502035109.h5"
    detected = not kind.startswith("SCS")
    projections = {"SCS": "SLANT RANGE/AZIMUTH", "DGM": "GROUND RANGE/AZIMUTH"}
    with h5py.File(folder / name, "w") as file:
        facts = {
            "Mission ID": "CSG" if second else "CSK",
            "Satellite ID": "SSAR1" if second else "CSKS2",
            "Product Type": kind,
            "Projection ID": projections.get(kind[:3], "UNIVERSAL TRANSVERSE MERCATOR"),
            "Acquisition Mode": "HIMAGE",
            "Look Side": side,
            "Orbit Direction": "ASCENDING",
            "Lines Order": orders[0],
            "Columns Order": orders[1],
            "Scene Sensing Start UTC": "2023-05-02 03:51:09.187492041",
            "Radar Frequency": 9.6e9,
            "Invalid Value": 0.0,
            "Map Projection Zone": 35,
            "Scene Centre Geodetic Coordinates": np.array([LAT, LON, HEIGHT]),
            "Calibration Constant Compensation Flag": 0,
            "Range Spreading Loss Compensation Geometry": "ZERO DOPPLER",
            "Incidence Angle Compensation Geometry": "ZERO DOPPLER",
            "Rescaling Factor": F,
            "Reference Slant Range": RREF,
            "Reference Slant Range Exponent": REXP,
            "Reference Incidence Angle": ALPHA,
            "State Vectors Times": seconds + 13869.0,
            "ECEF Satellite Position": np.array([position for position, _ in vectors]),
            "ECEF Satellite Velocity": np.array([velocity for _, velocity in vectors]),
        } | attrs
        for key, value in facts.items():
            file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        swath = file.create_group("S01")
        swath.attrs["Polarisation"], swath.attrs["Calibration Constant"] = np.bytes_("HH"), K
        image = swath.create_dataset("IMG" if second else "SBI", data=pixels(detected), chunks=True)
        times = first + 13869.0, first + 13869.0 + (SHAPE[0] - 1) * LINE
        ranges = 2 * near / LIGHT, 2 * near / LIGHT + (SHAPE[1] - 1) * STEP
        for key, value in {
            "Zero Doppler Azimuth First Time": times[0],
            "Zero Doppler Azimuth Last Time": times[1],
            "Zero Doppler Range First Time": ranges[0],
            "Zero Doppler Range Last Time": ranges[1],
            "Near Incidence Angle": 36.0,
            "Far Incidence Angle": 38.0,
            "Top Left East": 470_000.0,
            "Top Left North": 4_480_000.0,
            "Column Spacing": 2.5,
            "Line Spacing": 2.5,
        }.items():
            image.attrs[key] = value
        for corner, lat, lon in (
            ("Top Left", 41, 26),
            ("Top Right", 41, 27),
            ("Bottom Left", 40, 26),
            ("Bottom Right", 40, 27),
        ):
            image.attrs[f"{corner} Geodetic Coordinates"] = np.array([40.5 + lat / 1e3, 27 + lon / 1e3, 0.0])
    truth = circle.truth(first, LINE, near, STEP * LIGHT / 2, HEIGHT, (LON, LAT))
    return folder / name, truth


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("kind", ["SCS_B", "GTC_B"])
def test_power_is_the_formula_by_hand(tmp_path, kind, second):
    path, _ = make(tmp_path, kind, second)
    (scene,) = open_scenes(path)
    values = pixels(kind != "SCS_B").astype(float)
    power = values**2 if values.ndim == 2 else (values**2).sum(axis=2)
    expected = power * RREF ** (2 * REXP) * np.sin(np.radians(ALPHA)) / (F**2 * K)
    found, valid = scene.read()
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-4)
    assert (scene.quantity, scene.radiometry) == ("sigma0", "calibrated")
    assert scene.unit == ("SSAR1" if second else "CSKS2")
    assert scene.sensor == ("cosmo-skymed-2" if second else "cosmo-skymed")
    assert (scene.band, scene.polarisation, scene.mode, scene.orbit) == ("X", "HH", "himage", "ascending")
    assert (scene.date, scene.incidence_deg) == ("2023-05-02T03:51:09Z", 37.0)
    assert find_scenes([tmp_path]) == [path]


def test_without_the_angle_compensated_it_is_beta0(tmp_path):
    path, _ = make(
        tmp_path, **{"Incidence Angle Compensation Geometry": "NONE", "Calibration Constant Compensation Flag": 1}
    )
    power = (pixels(False).astype(float) ** 2).sum(axis=2)
    beta = power * RREF ** (2 * REXP) / F**2
    theta = np.radians(np.linspace(36, 38, SHAPE[1]))
    for quantity, factor in (("beta0", 1.0), ("sigma0", np.sin(theta)), ("gamma0", np.tan(theta))):
        (scene,) = open_scenes(path, SceneOverrides(quantity=quantity))
        found, valid = scene.read()
        # A product whose own constant is in it already has powers far above one: levels beyond 200 dB are no data.
        np.testing.assert_allclose(found[valid], (beta * factor)[valid], rtol=1e-4)
        assert scene.quantity == quantity


@pytest.mark.parametrize("side", ["RIGHT", "LEFT"])
@pytest.mark.parametrize("orders", [("EARLY-LATE", "NEAR-FAR"), ("LATE-EARLY", "FAR-NEAR")])
def test_slant_range_is_placed_by_its_orbit(tmp_path, side, orders):
    path, truth = make(tmp_path, side=side, orders=orders)
    (scene,) = open_scenes(path)
    columns, rows = np.array([0.5, 129.5, 70.0]), np.array([0.5, 99.5, 40.0])
    flipped = orders[0] == "LATE-EARLY"
    expected = truth(SHAPE[1] - columns, SHAPE[0] - rows) if flipped else truth(columns, rows)
    assert GEOD.inv(*scene.to_lonlat(columns, rows), *expected)[2] == pytest.approx(0, abs=0.3)
    assert (scene.look_side, scene.projection) == (side.lower(), "slant")
    expected_azimuth = 345.0 + (90 if side == "RIGHT" else -90)
    assert abs((scene.look_azimuth_deg - expected_azimuth + 180) % 360 - 180) < 5


def test_geocoded_images_lie_on_their_map(tmp_path):
    path, _ = make(tmp_path, "GEC_B")
    (scene,) = open_scenes(path)
    lon, lat = Transformer.from_crs(32635, 4326, always_xy=True).transform(470_000 + 25.0, 4_480_000 - 50.0)
    assert scene.to_lonlat(np.array([10.0]), np.array([20.0])) == pytest.approx((lon, lat), abs=1e-9)
    assert scene.projection == "map"


def test_ground_range_without_a_map_is_placed_by_corners_and_says_so(tmp_path):
    path, _ = make(tmp_path, "DGM_B")
    (scene,) = open_scenes(path)
    assert any("four corners" in note for note in scene.notes)
    assert scene.projection == "ground"


SPACING, BEND = 2.5 * np.sin(np.radians(37.0)), 3e-5
"""Metres of slant range per column of a ground-range image, and what it grows by."""


def ground_range(path, side="RIGHT", corners_off=0.0):
    """The ground-range image with its polynomial and true corners; where its pixels lie."""
    circle = Circle(LON, LAT, side=side.lower())
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
    near = circle.range_and_rate(time, LON, LAT, HEIGHT)[0] - 80.0

    def truth(columns, rows, height=HEIGHT):
        ranges = near + SPACING * (columns - 0.5) + BEND * (columns - 0.5) ** 2
        times = time + (rows - 0.5 - (SHAPE[0] - 1) / 2) * LINE
        return np.array([circle.ground(t, r, 0.0, height, (LON, LAT)) for t, r in zip(times, ranges)]).T

    with h5py.File(path, "r+") as file:
        file.attrs["Ground Projection Polynomial Reference Range"] = near - 500.0
        file.attrs["Ground to Slant Polynomial"] = np.array([500.0, SPACING, BEND, 0, 0, 0])
        image = file["S01/IMG"] if "S01/IMG" in file else file["S01/SBI"]
        for corner, column, row in (
            ("Top Left", 0.5, 0.5),
            ("Top Right", SHAPE[1] - 0.5, 0.5),
            ("Bottom Left", 0.5, SHAPE[0] - 0.5),
            ("Bottom Right", SHAPE[1] - 0.5, SHAPE[0] - 0.5),
        ):
            lon, lat = truth(np.array([column]), np.array([row]))
            image.attrs[f"{corner} Geodetic Coordinates"] = np.array([lat[0] + corners_off, lon[0], HEIGHT])
    return truth


@pytest.mark.parametrize("side", ["RIGHT", "LEFT"])
def test_ground_range_is_placed_by_orbit_and_polynomial(tmp_path, side):
    path, _ = make(tmp_path, "DGM_B", side=side)
    truth = ground_range(path, side)
    columns, rows = np.array([0.5, 129.5, 70.0]), np.array([0.5, 99.5, 40.0])
    (scene,) = open_scenes(path)
    assert GEOD.inv(*scene.to_lonlat(columns, rows), *truth(columns, rows))[2] == pytest.approx(0, abs=0.1)
    assert not any("corners" in note for note in scene.notes)
    (higher,) = open_scenes(path, SceneOverrides(height_m=900.0))
    assert GEOD.inv(*higher.to_lonlat(columns, rows), *truth(columns, rows, 900.0))[2] == pytest.approx(0, abs=0.1)


def test_an_orbit_that_contradicts_the_corners_is_not_used(tmp_path):
    path, _ = make(tmp_path, "DGM_B")
    ground_range(path, corners_off=0.01)
    (scene,) = open_scenes(path)
    assert any("four corners" in note and "miss these corners" in note for note in scene.notes)


def several(path, constants, whole):
    """More swaths of the same polarisation, each with an image, or one image of all."""
    with h5py.File(path, "r+") as file:
        image = "SBI" if "S01/SBI" in file else "IMG"
        for number, constant in enumerate(constants, 1):
            swath = file.require_group(f"S0{number}")
            swath.attrs["Polarisation"], swath.attrs["Calibration Constant"] = np.bytes_("HH"), constant
            if number > 1 and not whole:
                file.copy(file[f"S01/{image}"], swath, image)
        if whole:
            file.move(f"S01/{image}", "MBI")
    return path


def test_swaths_put_together_are_one_scene(tmp_path):
    path = several(make(tmp_path / "a", "DGM_B")[0], (K, K), whole=True)
    (scene,) = open_scenes(path)
    assert (scene.radiometry, scene.polarisation) == ("calibrated", "HH")
    (scene,) = open_scenes(several(make(tmp_path / "b", "DGM_B")[0], (K, 2 * K), whole=True))
    assert scene.radiometry == "relative"
    assert any("constants of their own" in note for note in scene.notes)
    scene.raster.close()
    with h5py.File(path, "r+") as file:
        file["S02"].attrs["Polarisation"] = np.bytes_("HV")
    with pytest.raises(UnknownFormat, match="no image"):  # which of both it shows is not said
        open_scenes(path)


def test_swaths_kept_apart_are_scenes_of_their_own(tmp_path):
    path = several(make(tmp_path)[0], (K, 2 * K), whole=False)
    first, second = open_scenes(path)
    assert [scene.scene_id[-3:] for scene in (first, second)] == ["s01", "s02"]
    power, other = first.read()[0], second.read()[0]
    np.testing.assert_allclose(power, 2 * other, rtol=1e-5)
    for scene in (first, second):
        scene.raster.close()
    with h5py.File(path, "r+") as file:
        file["S02"].attrs["Bursts per Subswath"] = 12
    with pytest.raises(UnknownFormat, match="bursts"):
        open_scenes(path)


def test_refusals(tmp_path):
    path, _ = make(tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["ECEF Satellite Position"]
    with pytest.raises(SlantRange, match="no orbit"):
        open_scenes(path)
    with h5py.File(path, "r+") as file:
        del file["S01/SBI"]
    with pytest.raises(UnknownFormat, match="no image"):
        open_scenes(path)
    whole = path.read_bytes()
    for share in (0.0, 0.5):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SceneError):
            open_scenes(path)
    other = tmp_path / "CSKS9_x.h5"
    with h5py.File(other, "w") as file:
        file.create_group("S01").create_dataset("SBI", data=pixels(True))
    with pytest.raises(DamagedProduct, match="polarisation"):
        open_scenes(other)


@pytest.mark.parametrize("distance", [1e300, -780000.0, 0.0])
def test_a_reference_range_that_cannot_be_makes_no_factor(tmp_path, distance):
    path, _ = make(tmp_path, **{"Reference Slant Range": distance, "Reference Slant Range Exponent": 1.3})
    (scene,) = open_scenes(path)
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert any("reference range" in note for note in scene.notes)
