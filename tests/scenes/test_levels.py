"""What a stranger's hands do to products: each try ends in a sentence, none in numbers without one."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from knowlip.scenes import open_scenes
from knowlip.scenes.errors import DamagedProduct, NoLocation, NotCalibrated, SceneError
from knowlip.scenes.scene import SceneOverrides
from tests.scenes.products import capella, gaofen3, sentinel1, terrasar
from tests.scenes.products.tiffs import write_tiff

MAP = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500000, 0, -10, 5300000)}
POWER = np.random.default_rng(0).gamma(4, 0.03, (1, 120, 130)).astype(np.float32)


def edit(folder: Path, pattern: str, old: str, new: str, most: int = 0) -> None:
    files = sorted(folder.rglob(pattern))
    assert files
    for file in files:
        file.write_text(re.sub(old, new, file.read_text(), count=most))


def notes(path: Path, **wanted: object) -> str:
    return " ".join(open_scenes(path, SceneOverrides(**wanted))[0].notes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "old", "new", "error", "said"),
    [
        ("s1a-iw-grd-vv*.xml", "<polarisation>VV", "<polarisation>VH", DamagedProduct, "is of VH, its name of VV"),
        ("calibration-*vv*.xml", "<polarisation>VV", "<polarisation>VH", DamagedProduct, "polarisation is VH"),
        ("calibration-*vv*.xml", "<swath>IW", "<swath>IW3", DamagedProduct, "swath is IW3"),
        ("noise-*vv*.xml", "<missionId>S1A", "<missionId>S1C", DamagedProduct, "missionId is S1C"),
        ("noise-*vv*.xml", r"(<noiseRangeLut[^>]*>)\S+", r"\1-900.0", DamagedProduct, "0 or more"),
        (
            "s1a-iw-grd-vv*.xml",
            r"<azimuthTimeInterval>[^<]*",
            "<azimuthTimeInterval>-0.002",
            DamagedProduct,
            "-0.002 s",
        ),
    ],
)
def test_files_of_sentinel_1_that_contradict_each_other_are_refused(tmp_path, pattern, old, new, error, said):
    path = sentinel1.make(tmp_path).path
    edit(path / "annotation", pattern, old, new)
    with pytest.raises(error, match=said):
        open_scenes(path, SceneOverrides(denoise=True))


def test_a_calibration_that_ends_within_the_image_is_refused(tmp_path):
    path, small = sentinel1.make(tmp_path / "a").path, sentinel1.make(tmp_path / "b", shape=(60, 60)).path
    name = next((path / "annotation/calibration").glob("calibration-*vv*"))
    shutil.copy(small / "annotation/calibration" / name.name, name)
    with pytest.raises(NotCalibrated, match="covers 40% of the image"):
        open_scenes(path)


def test_a_grid_whose_times_run_against_its_lines_is_told(tmp_path):
    path = sentinel1.make(tmp_path).path
    assert not notes(path)
    file = next((path / "annotation").glob("s1a*vv*.xml"))
    file.write_text(re.sub(r"<line>(\d+)</line>", lambda m: f"<line>{129 - int(m[1])}</line>", file.read_text()))
    assert "129 lines apart" in notes(path)


def test_files_that_the_manifest_does_not_list_are_told(tmp_path):
    path = sentinel1.make(tmp_path).path
    file = next((path / "annotation").glob("s1a*vv*.xml"))
    shutil.copy(file, file.with_name(file.name.replace("036000", "036001")))
    assert "the manifest does not list them: s1a-iw-grd-vv-20210105t053311" in notes(path)


@pytest.mark.parametrize(("factor", "level"), [("1e20", "234 dB"), ("1e-20", "-166 dB")])
def test_levels_that_no_ground_has_are_told(tmp_path, factor, level):
    path = terrasar.make(tmp_path).path
    assert not notes(path)
    edit(path, "TSX1*.xml", r"<calFactor>[^<]*", f"<calFactor>{factor}")
    assert f"median of {level}, which no ground has" in notes(path)
    assert "no ground" not in notes(path, calibrate=False)


def test_noise_that_takes_all_power_is_told(tmp_path):
    path = sentinel1.make(tmp_path).path
    file = next((path / "annotation/calibration").glob("noise-*vv*.xml"))
    huge = lambda m: m[1] + " ".join(["1e12"] * len(m[2].split()))  # noqa: E731
    file.write_text(re.sub(r"(<noiseRangeLut[^>]*>)([^<]*)", huge, file.read_text()))
    assert "100% of its sampled pixels have no power, as the noise" in notes(path, denoise=True)


def test_two_layers_of_one_polarisation_and_a_side_that_cannot_be(tmp_path):
    path = terrasar.make(tmp_path / "a", polarisations=("HH", "VV")).path
    edit(path, "TSX1*.xml", "<polLayer>VV", "<polLayer>HH")
    with pytest.raises(DamagedProduct, match="two images of one polarisation"):
        open_scenes(path)
    for left in (False, True):
        path = terrasar.make(tmp_path / f"b{left}", left=left).path
        assert "doubt both" not in notes(path)
        side, other = ("LEFT", "RIGHT") if left else ("RIGHT", "LEFT")
        edit(path, "TSX1*.xml", f"<lookDirection>{side}", f"<lookDirection>{other}")
        assert f"looks {other.lower()}, and ranges grow as where a radar looks {side.lower()}" in notes(path)


def test_constants_below_zero_make_no_factor(tmp_path):
    path = gaofen3.make(tmp_path / "a", level="L2", constants={"HH": ("-5", "12"), "HV": ("-5", "12")}).path
    assert "QualifyValue of -5, which cannot be" in notes(path)
    path = capella.make(tmp_path / "b").path
    folder = path if path.is_dir() else path.parent
    edit(folder, "*.json", r'("scale_factor": )[^,}]*', r"\g<1>-3")
    assert "scale_factor of -3, which cannot be" in notes(path)


def test_numbers_that_come_again_and_again_far_from_all_others(tmp_path):
    filled, floored = POWER.copy(), POWER.copy()
    filled[0, :12], floored[0, :12] = 65535, 1e-10
    write_tiff(tmp_path / "filled_VV.tif", filled, **MAP)
    write_tiff(tmp_path / "floored_VV.tif", floored, **MAP)
    (scene,) = open_scenes(tmp_path / "filled_VV.tif")
    assert np.array_equal(scene.read()[1], filled[0] < 65535)
    assert "hold 65535, which nothing declares" in notes(tmp_path / "filled_VV.tif")
    (scene,) = open_scenes(tmp_path / "floored_VV.tif")
    assert scene.read()[1].all()
    assert "hold exactly 1e-10, as filled or clipped ones do" in notes(tmp_path / "floored_VV.tif")
    # A bright target is no fill, though it is far above all else.
    bright = POWER.copy()
    bright[0, 60, 60] = 1e4
    write_tiff(tmp_path / "bright_VV.tif", bright, **MAP)
    assert open_scenes(tmp_path / "bright_VV.tif")[0].read()[1].all()


def test_places_and_pixels_that_cannot_be(tmp_path):
    write_tiff(tmp_path / "a_VV.tif", POWER, crs="EPSG:4326", transform=Affine(1e-4, 0, 48, 0, -1e-4, 111))
    with pytest.raises(NoLocation, match="latitude and longitude"):
        open_scenes(tmp_path / "a_VV.tif")
    write_tiff(tmp_path / "b_VV.tif", POWER, crs="EPSG:32632", transform=Affine(1e-4, 0, 11, 0, -1e-4, 48))
    try:
        assert "which no radar image has" in notes(tmp_path / "b_VV.tif")
    except SceneError as error:
        pytest.fail(str(error))
