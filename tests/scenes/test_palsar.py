"""PALSAR and PALSAR-2 against JAXA's formula, 10 log10(DN^2) - 83 dB."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, SceneError, UnknownFormat
from knowlip.scenes.find import search
from tests.scenes.products.tiffs import write_tiff

VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))
UTM = {"crs": "EPSG:32719", "transform": Affine(6.25, 0, 300000, 0, -6.25, 7000000)}
SUMMARY = """Scs_SceneID="ALOS2146686640-170209"
Pds_ProductID="FBDR1.5GUA"
Img_SceneCenterDateTime="20170209 05:11:03.457"
Img_ImageSceneLeftTopLatitude="-26.935"
Img_ImageSceneLeftTopLongitude="-70.663"
Img_ImageSceneRightTopLatitude="-26.935"
Img_ImageSceneRightTopLongitude="-70.660"
Img_ImageSceneLeftBottomLatitude="-26.938"
Img_ImageSceneLeftBottomLongitude="-70.663"
Img_ImageSceneRightBottomLatitude="-26.938"
Img_ImageSceneRightBottomLongitude="-70.660"
Img_OffNadirAngle="28.6"
Lbi_Satellite="ALOS2"
"""
XML = """<?xml version="1.0"?><Product><SourceAttributes><Satellite>ALOS2</Satellite><StartTime>2022-06-30T15:58:00.078Z
</StartTime><RadarCenterFrequency>1.2365</RadarCenterFrequency><ObservationMode>WWD</ObservationMode><AntennaPointing>
Right</AntennaPointing><PassDirection>Ascending</PassDirection><IncAngleNearRange>45</IncAngleNearRange>
<IncAngleFarRange>60</IncAngleFarRange></SourceAttributes><BackscatterMeasurementData><BackscatterMeasurement>Gamma-0
</BackscatterMeasurement><BackscatterConversionEq>10*log10(DN^2)-80.0</BackscatterConversionEq><FileName>
ALOS2437590500-220630_WWDR2.2GUA_HH_SLP.tif</FileName></BackscatterMeasurementData></Product>"""


def pixels(seed=1, shape=(1, 40, 50)):
    return np.random.default_rng(seed).rayleigh(3000, shape).astype(np.uint16) + 1


def test_level_15(tmp_path):
    dn = pixels()
    for polarisation in ("HH", "HV"):
        write_tiff(tmp_path / f"IMG-{polarisation}-ALOS2146686640-170209-FBDR1.5GUA.tif", dn, **UTM)
    (tmp_path / "summary.txt").write_text(SUMMARY)
    (tmp_path / "LUT-HH-ALOS2146686640-170209-FBDR1.5GUA.txt").write_text("0\n")
    found = search([tmp_path])
    assert len(found.scenes) == 2
    (scene,) = open_scenes(found.scenes[0])
    np.testing.assert_allclose(10 * np.log10(scene.read()[0]), 10 * np.log10(dn[0].astype(float) ** 2) - 83, atol=1e-4)
    assert (scene.sensor, scene.unit, scene.band, scene.polarisation) == ("palsar-2", "ALOS-2", "L", "HH")
    assert (scene.quantity, scene.mode, scene.product_type) == ("sigma0", "FBD", "L1.5")
    assert (scene.orbit, scene.look_side, scene.date) == ("ascending", "right", "2017-02-09T05:11:03Z")
    assert "off-nadir angle is 28.6" in scene.notes[0]
    with pytest.raises(NotCalibrated, match="incidence angle"):
        open_scenes(found.scenes[0], SceneOverrides(quantity="gamma0"))
    with pytest.raises(UnknownFormat, match="holds HH"):
        open_scenes(found.scenes[0], SceneOverrides(polarisation="HV"))


def test_without_map_transform_the_corners_place_it_and_that_is_told(tmp_path):
    path = tmp_path / "IMG-HH-ALOS2146686640-170209-FBDL1.5RUD.tif"
    write_tiff(path, pixels())
    (tmp_path / "summary.txt").write_text(SUMMARY.replace("FBDR1.5GUA", "FBDL1.5RUD"))
    (scene,) = open_scenes(path, SceneOverrides(max_residual_m=100))
    assert any("four corners" in note for note in scene.notes)
    assert (scene.look_side, scene.orbit, scene.projection) == ("left", "descending", "ground")
    assert scene.center == pytest.approx((-70.6615, -26.9365), abs=1e-6)


def test_palsar_names(tmp_path):
    path = tmp_path / "IMG-HH-ALPSRP066490900-H1.5GUA.tif"
    write_tiff(path, pixels(), **UTM)
    (tmp_path / "summary.txt").write_text(SUMMARY.replace("FBDR1.5GUA", "H1.5GUA").replace('"ALOS2"', '"ALOS"'))
    (scene,) = open_scenes(path)
    assert (scene.sensor, scene.unit, scene.mode, scene.look_side) == ("palsar", "ALOS", "H", "right")


def test_level_22_is_what_its_xml_says(tmp_path):
    stem = "ALOS2437590500-220630_WWDR2.2GUA"
    dn = pixels()
    for polarisation in ("HH", "HV"):
        write_tiff(tmp_path / f"{stem}_{polarisation}_SLP.tif", dn, **UTM)
    for layer in ("LIN", "MSK"):
        write_tiff(tmp_path / f"{stem}_{layer}.tif", dn, **UTM)
    (tmp_path / f"{stem}_summary.xml").write_text(XML)
    found = search([tmp_path])
    assert [path.name[-10:] for path in found.scenes] == ["HH_SLP.tif", "HV_SLP.tif"]
    (scene,) = open_scenes(found.scenes[0])
    np.testing.assert_allclose(scene.read()[0], dn[0].astype(float) ** 2 * 1e-8, rtol=1e-5)
    assert (scene.quantity, scene.mode, scene.incidence_deg) == ("gamma0", "WWD", 52.5)
    assert (scene.frequency_ghz, scene.look_side, scene.orbit) == (1.2365, "right", "ascending")
    (other,) = open_scenes(found.scenes[1])  # of HV the XML says nothing
    assert (other.radiometry, other.quantity) == ("relative", "none")
    assert any("does not say how its pixels" in note for note in other.notes)
    with pytest.raises(NotCalibrated, match="relief taken out"):
        open_scenes(found.scenes[0], SceneOverrides(quantity="beta0"))


def test_what_the_mask_calls_invalid_is_no_data(tmp_path):
    """Classes of a real product: 0 no data, 1 valid, 2 layover, 3 shadow, 4 water, 5 invalid."""
    stem = "ALOS2437590500-220630_WWDR2.2GUA"
    dn = pixels()
    classes = np.full(dn.shape, 1, np.uint8)
    classes[0, 3:5], classes[0, 10:12, 4:9], classes[0, 30:32, 7:9] = 4, 2, 5
    write_tiff(tmp_path / f"{stem}_HH_SLP.tif", dn, **UTM)
    write_tiff(tmp_path / f"{stem}_MSK.tif", classes, **UTM)
    write_tiff(tmp_path / f"{stem}_LIN.tif", dn, **UTM)
    (tmp_path / f"{stem}_summary.xml").write_text(XML)
    (scene,) = open_scenes(tmp_path / f"{stem}_HH_SLP.tif")
    assert np.array_equal(~scene.read()[1], classes[0] == 5)
    assert any("Layover and shadow are" in note for note in scene.notes)
    assert "Layers beside it are not used: LIN." in scene.notes
    assert tmp_path / f"{stem}_MSK.tif" in scene.sources
    classes[0, 0, 0] = 77  # a class that nobody has described: the mask is another one
    write_tiff(tmp_path / f"{stem}_MSK.tif", classes, **UTM)
    (scene,) = open_scenes(tmp_path / f"{stem}_HH_SLP.tif")
    assert scene.read()[1].all()
    assert any("holds no classes" in note for note in scene.notes)


def test_mosaic_tiles_are_two_scenes(tmp_path):
    dn = pixels()
    dn[0, 20:24, 20:24] = 0
    grid = {"crs": "EPSG:4326", "transform": Affine(2e-4, 0, -161, 0, -2e-4, 23), "nodata": 1}
    for layer in ("sl_HH", "sl_HV", "mask", "linci", "date"):
        write_tiff(tmp_path / f"N23W161_20_{layer}_F02DAR.tif", dn, **grid)
    found = search([tmp_path])
    assert len(found.scenes) == 2
    (scene,) = open_scenes(found.scenes[0])
    power, valid = scene.read()
    np.testing.assert_allclose(power[valid], (dn[0].astype(float) ** 2 * 10**-8.3)[valid], rtol=1e-5)
    assert not valid[21, 21]
    assert (scene.sensor, scene.quantity, scene.date) == ("palsar-2", "gamma0", "")
    assert any("No date" in note for note in scene.notes)
    old = tmp_path / "N23W161_10_HV.tif"
    write_tiff(old, dn, **grid)
    assert open_scenes(old)[0].sensor == "palsar"


def test_zeros_of_a_mosaic_are_no_data_without_a_declaration(tmp_path):
    dn = pixels()
    dn[0, 20:24, 20:24] = 0
    path = tmp_path / "N23W161_20_sl_HH_F02DAR.tif"
    write_tiff(path, dn, crs="EPSG:4326", transform=Affine(2e-4, 0, -161, 0, -2e-4, 23))
    (scene,) = open_scenes(path)
    assert not scene.read()[1][20:24, 20:24].any()
    assert scene.read()[1].sum() == dn.size - 16


def test_a_constant_belongs_to_the_products_own_numbers(tmp_path):
    """Pixels that the user turned to dB, or complex ones, do not get the constant of detected amplitudes."""
    path = tmp_path / "N23W161_20_sl_HH_F02DAR.tif"
    levels = (20 * np.log10(pixels()) - 83).astype(np.float32)
    write_tiff(path, levels, crs="EPSG:4326", transform=Affine(2e-4, 0, -161, 0, -2e-4, 23))
    (scene,) = open_scenes(path, SceneOverrides(units="db"))
    np.testing.assert_allclose(scene.read()[0], 10 ** (levels[0] / 10), rtol=1e-5)
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert any("no longer the numbers of the product" in note for note in scene.notes)
    with pytest.raises(NotCalibrated, match="no longer"):
        open_scenes(path, SceneOverrides(units="db", quantity="gamma0"))
    other = tmp_path / "IMG-HH-ALOS2146686640-170209-FBDR1.1__D.tif"
    write_tiff(other, pixels().astype(np.complex64), **UTM)
    assert open_scenes(other)[0].quantity == "none"


def test_an_empty_ceos_file_is_refused_in_words_and_not_passed_over(tmp_path):
    for kind in ("IMG-HH", "LED", "TRL", "VOL"):
        (tmp_path / f"{kind}-ALOS2015976960-140909-FBDR1.5GUA").write_bytes(b"\0" * 720)
    found = search([tmp_path])
    assert [path.name[:6] for path in found.scenes] == ["IMG-HH"]
    with pytest.raises(DamagedProduct, match="does not begin as an image in CEOS format"):
        open_scenes(found.scenes[0])


def test_refusals(tmp_path):
    path = tmp_path / "IMG-HH-ALOS2146686640-170209-FBDR1.5GUA.tif"
    path.write_bytes(b"II*\0")
    with pytest.raises(SceneError, match="complete"):
        open_scenes(path)
    path.unlink()
    write_tiff(path, pixels(), **UTM)
    (tmp_path / "summary.txt").write_text("nothing of a product")
    with pytest.raises(SceneError, match="not the summary"):
        open_scenes(path)


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_a_real_mosaic_tile():
    """Real pixels: power is the formula, by rasterio alone."""
    paths = sorted(VENDOR.rglob("N23W161_20_sl_H?_F02DAR.tif"))
    assert len(paths) == 2
    for path in paths:
        (scene,) = open_scenes(path)
        power, valid = scene.read()
        with rasterio.open(path) as file:
            dn = file.read(1).astype(float)
        np.testing.assert_allclose(power[valid], (dn**2 * 10**-8.3)[valid], rtol=1e-5)
        assert not valid[dn <= 1].any()
        assert (scene.quantity, scene.date) == ("gamma0", "2020-09-09T10:44:12Z")
