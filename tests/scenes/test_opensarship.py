"""OpenSARShip archives: every layout, places against the closed form, calibration, refusals."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from pyproj import Geod

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import DamagedProduct, PoorGeolocation
from knowlip.scenes.readers.opensarship_labels import ASTRAY, NO_SHIP, NO_WIDTH, POINT, type_of
from tests.scenes.products.opensarship import BETA, NODE, make
from tests.scenes.swath import ground

GEOD = Geod(ellps="WGS84")


def miss_m(scene, product):
    """Largest distance to the truth over a chip in metres."""
    rows, columns = scene.shape
    x, y = np.meshgrid(np.linspace(0, columns, 5), np.linspace(0, rows, 5))
    lons, lats = scene.to_lonlat(x, y)
    true_lons, true_lats = product.truth(x, y)
    return GEOD.inv(lons, lats, true_lons, true_lats)[2].max()


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"top": True},
        {"double": True},
        {"separate": True},
        {"slc": True},
        {"unpacked": True},
        {"top": True, "slc": True},
    ],
)
def test_every_layout_gives_the_same_power_and_place(tmp_path, layout):
    product = make(tmp_path, **layout)
    assert find_scenes([tmp_path]) == [product.path]
    scenes = open_scenes(product.path)
    assert len(scenes) == 24
    scene = scenes[0]
    assert (scene.sensor, scene.band, scene.polarisation, scene.mode) == ("sentinel-1", "C", "VV", "IW")
    assert (scene.radiometry, scene.quantity, scene.units) == ("calibrated", "sigma0", "intensity")
    assert (scene.orbit, scene.look_side, scene.date) == ("ascending", "right", "2016-01-31T20:42:59Z")
    assert scene.product_type == ("SLC" if "slc" in layout else "GRD")
    assert len({s.group for s in scenes}) == 1
    power, valid = scene.read()
    np.testing.assert_allclose(power, product.power, rtol=1e-6)
    assert valid.all()
    assert miss_m(scene, product) < product.pixel_m
    assert 1 < scene.geometry.residual_m < 20  # places are rounded to 1e-4 degrees


def test_all_chips_lie_within_a_pixel(tmp_path):
    make(tmp_path)
    for scene in open_scenes(next(tmp_path.glob("*.zip"))):
        x, y = (int(text[1:]) for text in scene.scene_id.split("-")[-2:])
        lon, lat = scene.center
        true_lon, true_lat = ground(x + 0.5, y + 0.5, node_deg=NODE)
        assert GEOD.inv(lon, lat, float(true_lon), float(true_lat))[2] < 10
        assert scene.incidence_deg == pytest.approx(30 + 15 * x / 25000, abs=1e-5)


def test_uncalibrated_chips_are_relative(tmp_path):
    scene = open_scene(make(tmp_path / "a", calibrated=False).path)
    assert (scene.radiometry, scene.quantity, scene.units) == ("relative", "none", "amplitude")
    product = make(tmp_path / "b", slc=True)
    scene = open_scene(product.path, SceneOverrides(calibrate=False))
    assert (scene.units, scene.radiometry, scene.looks) == ("complex", "relative", 1.0)
    sine = math.sin(math.radians(scene.incidence_deg))
    np.testing.assert_allclose(scene.read()[0] / BETA**2 * sine, product.power, rtol=1e-4)


def test_beta_and_gamma_follow_from_the_incidence(tmp_path):
    product = make(tmp_path)
    scene = open_scene(product.path, SceneOverrides(quantity="beta0"))
    angle = math.radians(scene.incidence_deg)
    np.testing.assert_allclose(scene.read()[0], product.power / math.sin(angle), rtol=1e-5)
    scene = open_scene(product.path, SceneOverrides(quantity="gamma0"))
    assert scene.quantity == "gamma0"
    np.testing.assert_allclose(scene.read()[0], product.power / math.cos(angle), rtol=1e-5)


def test_polarisations(tmp_path):
    product = make(tmp_path, double=True)
    assert len(open_scenes(product.path, SceneOverrides(polarisation="all"))) == 48
    assert {scene.polarisation for scene in open_scenes(product.path, SceneOverrides(polarisation="vh"))} == {"VH"}
    with pytest.raises(ValueError, match="holds VH, VV, not HH"):
        open_scenes(product.path, SceneOverrides(polarisation="HH"))


def test_a_single_ship_is_placed_by_the_axes_of_the_product(tmp_path):
    product = make(tmp_path, ships=1)
    scene = open_scene(product.path)
    assert miss_m(scene, product) < 2 * product.pixel_m  # its own rounding, and no fit that averages it
    assert "too few ships" in scene.notes[0]


def test_ships_that_contradict_each_other_are_refused(tmp_path):
    product = make(tmp_path, wrong_ship_m=600)
    with pytest.raises(PoorGeolocation, match="max_residual_m"):
        open_scenes(product.path)
    assert open_scenes(product.path, SceneOverrides(max_residual_m=2000))


def test_a_truncated_archive_is_refused(tmp_path):
    product = make(tmp_path)
    product.path.write_bytes(product.path.read_bytes()[:-2000])
    with pytest.raises(DamagedProduct, match="no complete zip"):
        open_scenes(product.path)


def test_another_zip_is_not_taken(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("Patch/a.tif", b"x")
    with pytest.raises(ValueError, match="No scene found"):
        find_scenes([tmp_path])


def test_a_broken_chip_does_not_lose_the_others(tmp_path, capsys):
    product = make(tmp_path, unpacked=True)
    chips = sorted((product.path / "Patch_Cal").glob("*.tif"))
    chips[3].write_bytes(chips[3].read_bytes()[:100])
    chips[5].rename(chips[5].with_name("Cargo_x1_y1.tif"))
    assert len(open_scenes(product.path)) == 22
    told = capsys.readouterr().err
    assert chips[3].name in told
    assert "no ship for Cargo_x1_y1.tif" in told


def test_ships_become_labels_or_a_reason(tmp_path):
    """Outlines lie on the marks of head and tail, as wide as AIS or MarineTraffic say; all else is counted."""
    product = make(tmp_path)
    labels, reasons = {}, {}
    for scene in open_scenes(product.path):
        labels |= {label.identity: label for label in scene.labels}
        reasons |= {one.identity: one.reason for one in scene.unlabelled}
    assert len(labels) + len(reasons) == 24
    assert Counter(reasons.values()) == {NO_WIDTH: 5, NO_SHIP: 5, POINT: 1}
    for label in labels.values():
        x, y = (int(text[1:]) for text in label.identity.split("-")[-2:])
        head, tail = (np.array(ground(x + s * 3 + 0.5, y - s * 6 + 0.5, node_deg=NODE)).ravel() for s in (1, -1))
        (a, b, c, d), width = label.outline, label.width_m
        for end, corners in ((head, (a, b)), (tail, (c, d))):
            middle = np.mean(corners, axis=0)
            assert GEOD.inv(*end, *middle)[2] < 20  # places of ships are rounded
            assert GEOD.inv(*corners[0], *corners[1])[2] == pytest.approx(width, rel=0.01)
        length = GEOD.inv(*head, *tail)[2]
        assert GEOD.inv(*np.mean((a, b), axis=0), *np.mean((c, d), axis=0))[2] == pytest.approx(length, rel=0.02)
    found = Counter((label.type, label.stated_type, label.width_m, label.length_m) for label in labels.values())
    assert found[("bulk carrier", "Bulk Carrier", 20.0, 150.0)] == 4
    assert found[("tanker", "Oil/Chemical Tanker", 30.0, 180.0)] == 4
    by_name = [label for label in labels.values() if label.stated_type == "Cargo"]  # MarineTraffic says none
    assert {(label.width_m, math.isnan(label.length_m)) for label in by_name} == {(18.5, True)}
    assert all(math.isnan(label.heading_deg) for label in by_name)
    assert {label.heading_deg for label in labels.values()} >= {33.0, 359.5}


@pytest.mark.parametrize(
    ("stated", "known"),
    [("LNG Tanker", "tanker"), ("General Cargo", "cargo ship"), ("Tug", "tug"), ("Tankership", "tankership"), ("", "")],
)
def test_types_are_theirs_where_there_is_no_word_for_them(stated, known):
    assert type_of(stated) == known


@pytest.mark.parametrize("pixels", [40, 4000])
def test_marks_of_another_ship_are_no_label_and_ships_named_twice_are_told(tmp_path, pixels):
    file = make(tmp_path, ships=9, size=121, unpacked=True).path / "Ship.xml"
    before, first, *others = file.read_text("latin-1").split("\t<ship>")
    moved = re.sub(r"<(Head|Tail)_x>(\d+)<", lambda m: f"<{m[1]}_x>{int(m[2]) + pixels}<", first)
    file.write_text("\t<ship>".join([before, first, moved, *others]), "latin-1")
    scenes = open_scenes(file.parent)
    assert [one.reason for scene in scenes for one in scene.unlabelled].count(ASTRAY) >= 1
    assert any("1 of the 10 ships of Ship.xml" in note for note in scenes[0].notes)
