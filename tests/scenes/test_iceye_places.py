"""ICEYE ground-range images placed by their orbit and ground-range polynomial, and by control points on terrain,
against positions on a circular orbit that are solved pixel by pixel."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from rasterio.control import GroundControlPoint

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.errors import PoorGeolocation, SceneError
from knowlip.scenes.geometry import GEOD
from knowlip.scenes.xml import read_xml
from tests.scenes.products.iceye import EPOCH, stamp
from tests.scenes.products.orbits import Circle
from tests.scenes.products.tiffs import write_tiff

LON, LAT, HEIGHT, SPACING, LINE = 24.95, 60.17, 25.0, 2.5, 3.6e-4
SHAPE = (400, 500)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


class Grd:
    """A GRD of which every place is known: at `height(lon, lat)` above the ellipsoid."""

    def __init__(self, folder, side="right", down=False, terrain=None, gcps=False, shift=0.0):
        self.down, self.circle = down, Circle(LON, LAT, side=side)
        time = 0.0
        for _ in range(12):
            time += self.circle.range_and_rate(time, LON, LAT, HEIGHT)[1] / 97.0
        first = time - (SHAPE[0] - 1) / 2 * LINE
        self.first = (datetime.fromisoformat(stamp(first)) - EPOCH).total_seconds()
        middle = self.circle.range_and_rate(time, LON, LAT, HEIGHT)[0]
        self.terms = [middle - 300.0, 0.5, 4e-7, -2e-13]
        folder.mkdir(parents=True, exist_ok=True)
        name = "ICEYE_X6_GRD_SM_153426_20211026T060946"
        self.path = folder / f"{name}.tif"
        pixels = np.random.default_rng(1).rayleigh(400, (1, *SHAPE)).astype(np.uint16)
        options = {}
        if gcps:
            points = []
            for row in np.linspace(0, SHAPE[0] - 1, 16):
                for column in np.linspace(0, SHAPE[1] - 1, 16):
                    height = terrain(row, column)
                    (lon,), (lat,) = self.places([column + 0.5], [row + 0.5], height)
                    points.append(GroundControlPoint(row=row, col=column, x=lon, y=lat + shift * (row > 200), z=height))
            options = {"gcps": points, "crs": "EPSG:4326"}
        write_tiff(self.path, pixels, **options)
        ends = {"near": 1, "far": SHAPE[1], "first": 1, "last": SHAPE[0]}
        corners = {}
        for line in ("first", "last"):
            for edge in ("near", "far"):
                column, row = (
                    (SHAPE[1] + 1 - ends[edge], SHAPE[0] + 1 - ends[line]) if down else (ends[edge], ends[line])
                )
                height = terrain(row - 1, column - 1) if terrain else HEIGHT
                (lon,), (lat,) = self.places([column - 0.5], [row - 0.5], height)
                corners[f"coord_{line}_{edge}"] = f"{column} {row} {lat} {lon}"
        away = np.arange(SHAPE[1]) * SPACING
        distances = np.polyval(self.terms[::-1], away)
        angles = []
        for distance in distances[::100]:
            place = self.circle.ground(time, distance, 0.0, 0.0, (LON, LAT))
            angles.append(self.circle.incidence_deg(time, *place, 0.0))
        self.turning = np.polyfit(away[::100], angles, 2)
        self.angles = np.polyval(self.turning, away)
        facts = {
            "product_type": "Stripmap",
            "product_level": "GRD",
            "look_side": side,
            "satellite_name": "ICEYE-X6",
            "acquisition_start_utc": stamp(-1),
            "zerodoppler_start_utc": stamp(first),
            "azimuth_time_interval": LINE,
            "range_spacing": SPACING,
            "polarization": "VV",
            "avg_scene_height": HEIGHT,
            "incidence_near": self.angles[0],
            "incidence_center": 35.0,
            "incidence_far": self.angles[-1],
            "calibration_factor": 1e-5,
            **corners,
        }
        vectors = ""
        for second in np.arange(-6.0, 7.0):
            position, velocity = self.circle.at(second)
            time = (EPOCH + timedelta(seconds=float(second))).isoformat(timespec="microseconds")
            axes = zip("XYZ", position, velocity)
            numbers = "".join(f"<pos{axis}>{p}</pos{axis}><vel{axis}>{v}</vel{axis}>" for axis, p, v in axes)
            vectors += f"<orbit_vector><time>{time}</time>{numbers}</orbit_vector>"
        lines = "".join(f"<{key}>{value}</{key}>" for key, value in facts.items())
        lines += f"<Orbit_State_Vectors>{vectors}</Orbit_State_Vectors>"
        for tag, terms in (("GRSR", self.terms), ("Incidence_Angle", self.turning[::-1])):
            values = "".join(f"<coefficient><value>{term}</value></coefficient>" for term in terms)
            lines += f"<{tag}_Coefficients>{values}<ground_range_origin>0.0</ground_range_origin></{tag}_Coefficients>"
        self.path.with_suffix(".xml").write_text(f"<Metadata>{lines}</Metadata>")

    def places(self, columns, rows, height):
        """Pixel coordinates (outer corner) -> longitude and latitude at a height."""
        found = []
        for column, row in zip(columns, rows):
            before, away = row - 0.5, column - 0.5
            if self.down:
                before, away = SHAPE[0] - 0.5 - row, SHAPE[1] - 0.5 - column
            distance = np.polyval(self.terms[::-1], away * SPACING)
            found.append(self.circle.ground(self.first + before * LINE, distance, 0.0, height, (LON, LAT)))
        return np.array(found).T


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("down", [False, True])
def test_orbit_and_polynomial_place_every_pixel(tmp_path, side, down):
    product = Grd(tmp_path, side, down)
    (scene,) = open_scenes(product.path)
    columns, rows = np.array([0.5, 250.0, 499.5, 60.0]), np.array([0.5, 200.0, 399.5, 350.0])
    lons, lats = scene.to_lonlat(columns, rows)
    assert GEOD.inv(lons, lats, *product.places(columns, rows, HEIGHT))[2] == pytest.approx(0, abs=0.05)
    assert any("one height (25 m)" in note for note in scene.notes)
    high = open_scenes(product.path, SceneOverrides(height_m=400.0))[0]
    lons, lats = high.to_lonlat(columns, rows)
    assert GEOD.inv(lons, lats, *product.places(columns, rows, 400.0))[2] == pytest.approx(0, abs=0.05)


def test_angles_are_those_of_the_polynomial_not_the_one_that_was_ordered(tmp_path):
    product = Grd(tmp_path)
    (scene,) = open_scenes(product.path)
    assert scene.incidence_deg == pytest.approx(product.angles[250], abs=1e-6)
    power = open_scenes(product.path, SceneOverrides(quantity="beta0"))[0].read()[0]
    expected = open_scenes(product.path)[0].read()[0] / np.sin(np.radians(product.angles))
    np.testing.assert_allclose(power, expected, rtol=1e-5)


def test_control_points_on_terrain_are_read_and_their_relief_is_told(tmp_path):
    random = np.random.default_rng(5)
    relief = random.uniform(100, 160, (16, 16))
    product = Grd(
        tmp_path, terrain=lambda row, column: float(relief[round(row / 26.6), round(column / 33.27)]), gcps=True
    )
    (scene,) = open_scenes(product.path)
    points = scene.geometry
    lons, lats = scene.to_lonlat(points.columns, points.rows)
    assert GEOD.inv(lons, lats, points.lons, points.lats)[2] == pytest.approx(0, abs=0.5)
    assert points.columns.min() == 0.5  # the points name centres, as the corners say
    assert points.columns.max() == SHAPE[1] - 0.5
    assert any("Relief between the points" in note for note in scene.notes)
    (flat,) = open_scenes(product.path, SceneOverrides(height_m=250.0))
    columns, rows = np.array([30.0, 250.0, 470.0]), np.array([30.0, 200.0, 370.0])
    lons, lats = flat.to_lonlat(columns, rows)
    assert GEOD.inv(lons, lats, *product.places(columns, rows, 250.0))[2] == pytest.approx(0, abs=2.5)


def test_points_that_contradict_each_other_are_still_refused(tmp_path):
    product = Grd(tmp_path, terrain=lambda row, column: 100.0 + row % 7, gcps=True, shift=0.01)
    with pytest.raises(PoorGeolocation):
        open_scenes(product.path)


def test_amplitudes_raised_to_a_power_are_brought_back(tmp_path):
    """GRD of integers that stand for a root of the amplitude, with the metadata in JSON and one factor for all."""
    product = Grd(tmp_path)
    (plain,) = open_scenes(product.path)
    facts = {element.tag: element.text for element in read_xml(product.path.with_suffix(".xml")) if not len(element)}
    facts |= {"amplitude_mapping": {"function": "power", "parameters": {"exponent": 0.5, "scale": 1}}}
    product.path.with_suffix(".xml").unlink()
    product.path.with_suffix(".json").write_text(json.dumps({"properties": facts}))
    (scene,) = open_scenes(product.path)
    assert scene.quantity == plain.quantity == "sigma0"
    stored = np.sqrt(plain.read()[0] / 1e-5)
    np.testing.assert_allclose(scene.read()[0], 1e-5 * stored**4, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coord_first_near", [None, 1, 60.0, 24.0]),
        ("coord_first_near", "1 nan 1 60.0 24.0"),
        ("amplitude_mapping", {"function": "power", "parameters": [1]}),
    ],
)
def test_nonsense_in_json_is_refused_in_words(tmp_path, name, value):
    product = Grd(tmp_path)
    facts = {element.tag: element.text for element in read_xml(product.path.with_suffix(".xml")) if not len(element)}
    product.path.with_suffix(".xml").unlink()
    product.path.with_suffix(".json").write_text(json.dumps({"properties": {**facts, name: value}}))
    with pytest.raises(SceneError, match="ICEYE_X6"):
        open_scenes(product.path)
    product.path.with_suffix(".json").write_text(json.dumps({"properties": [facts]}))
    with pytest.raises(SceneError, match="named properties"):
        open_scenes(product.path)


def test_without_a_height_the_corners_are_used(tmp_path):
    product = Grd(tmp_path)
    xml = product.path.with_suffix(".xml")
    xml.write_text(xml.read_text().replace(f"<avg_scene_height>{HEIGHT}</avg_scene_height>", ""))
    (scene,) = open_scenes(product.path)
    assert "four corners" in scene.notes[0]
    lons, lats = open_scenes(product.path, SceneOverrides(height_m=HEIGHT))[0].to_lonlat(
        np.array([250.0]), np.array([200.0])
    )
    assert GEOD.inv(lons, lats, *product.places([250.0], [200.0], HEIGHT))[2] == pytest.approx(0, abs=0.05)


def test_corners_that_the_orbit_does_not_meet_are_used_and_told(tmp_path):
    product = Grd(tmp_path)
    text = product.path.with_suffix(".xml").read_text().replace("<look_side>right", "<look_side>left")
    product.path.with_suffix(".xml").write_text(text)
    (scene,) = open_scenes(product.path)
    assert "four corners" in scene.notes[0]
    assert "do not meet these corners" in scene.notes[0]
