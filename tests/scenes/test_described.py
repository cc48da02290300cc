"""SAOCOM, Kompsat-5, NovaSAR-1 and PolSARpro: generated products against the agencies' formulas and closed forms."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, SceneError, SlantRange, UnknownFormat
from knowlip.scenes.find import search
from knowlip.scenes.geometry import GEOD
from tests.scenes.products.orbits import Circle
from tests.scenes.products.tiffs import write_tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))
UTM = {"crs": "EPSG:32750", "transform": Affine(7.9, 0, 799899, 0, -7.9, 9934311)}
SHAPE = (90, 120)
LON, LAT = 119.4, -1.4
LIGHT = 299792458.0


def amplitudes(dtype=np.float32, seed=2):
    return np.random.default_rng(seed).rayleigh(0.3 if dtype == np.float32 else 700, (1, *SHAPE)).astype(dtype)


def saocom(folder, kind="gec", poles=("HH", "HV"), bursts=1, side="RIGHT"):
    """An unpacked product; of an SLC, the circular orbit and what is needed to solve it pixel by pixel."""
    data = folder / "Data"
    data.mkdir(parents=True)
    circle = Circle(LON, LAT, side=side.lower())
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, LON, LAT, 0.0)[1] / 97.0
    line, step = 4.6e-4, 3.333e-8
    first = round(time - (SHAPE[0] - 1) / 2 * line, 9)
    near = circle.range_and_rate(time, LON, LAT, 0.0)[0] - 300.0
    vectors = [circle.at(second) for second in np.arange(-20.0, 21.0)]

    def block(tag, values):
        numbers = "".join(f'<val N="{k}">{value!r}</val>' for k, value in enumerate(map(float, values), 1))
        return f"<{tag}>{numbers}</{tag}>"

    for pole in poles:
        name = f"{kind}-acqId0000077325-a-sm2-0000000000-{pole.lower()}-h"
        pixels = amplitudes()
        if kind == "slc":
            pixels = (pixels * np.exp(1j * np.random.default_rng(3).uniform(0, 6.28, pixels.shape))).astype(
                np.complex64
            )
        write_tiff(data / name, pixels, **({} if kind == "slc" else UTM))
        minute, second = divmod(30.0 + first, 60)
        start = f"14-NOV-2021 22:{17 + int(minute):02d}:{second:012.9f}"
        axes = (
            f"<LinesStep>{line}</LinesStep><SamplesStep>{step}</SamplesStep><LinesStart>{start}</LinesStart>"
            f"<SamplesStart>{2 * near / LIGHT!r}</SamplesStart>"
        )
        positions = block("pSV_m", np.concatenate([p for p, _ in vectors]))
        velocities = block("vSV_mOs", np.concatenate([v for _, v in vectors]))
        (data / f"{name}.xml").write_text(
            f"<?xml version='1.0'?><SAOCOM_XMLProduct><Channel><RasterInfo><FileName>{name}</FileName>"
            f"<Lines>{SHAPE[0]}</Lines><Samples>{SHAPE[1]}</Samples>{axes if kind == 'slc' else ''}"
            "<RasterFormat>DATA_GEOTIFF</RasterFormat></RasterInfo><DataSetInfo><SensorName>SAO1B</SensorName>"
            f"<Projection>{'SLANT RANGE' if kind == 'slc' else 'GEOCODED_ELLIPSOID'}</Projection>"
            f"<fc_hz>1275000000</fc_hz><SideLooking>{side}</SideLooking></DataSetInfo><SwathInfo><Swath>QS2</Swath>"
            f"<Polarization>{pole[0]}/{pole[1]}</Polarization><AcquisitionStartTime>14-NOV-2021 22:17:25.000</"
            "AcquisitionStartTime></SwathInfo>"
            f"<BurstInfo><NumberOfBursts>{bursts}</NumberOfBursts></BurstInfo>"
            f"<StateVectorData><OrbitDirection>ASCENDING</OrbitDirection>{positions}{velocities}"
            "<t_ref_Utc>14-NOV-2021 22:17:10.000000000000</t_ref_Utc><dtSV_s>1</dtSV_s></StateVectorData>"
            "</Channel></SAOCOM_XMLProduct>"
        )
    truth = circle.truth(first, line, near, step * LIGHT / 2, 0.0, (LON, LAT))
    return truth


def test_saocom_geocoded(tmp_path):
    saocom(tmp_path / "p")
    (tmp_path / "p" / "Images").mkdir()
    write_tiff(tmp_path / "p" / "Images" / "quick.tif", amplitudes())
    assert find_scenes([tmp_path]) == [tmp_path / "p"]
    scenes = open_scenes(tmp_path / "p", SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in scenes] == ["HH", "HV"]
    scene = scenes[0]
    np.testing.assert_allclose(scene.read()[0], amplitudes()[0] ** 2, rtol=1e-5)
    assert (scene.sensor, scene.unit, scene.band, scene.quantity) == ("saocom", "SAOCOM-1B", "L", "sigma0")
    assert (scene.mode, scene.product_type, scene.projection) == ("QS2", "GEC", "map")
    assert (scene.date, scene.orbit, scene.look_side) == ("2021-11-14T22:17:25Z", "ascending", "right")
    (one,) = open_scenes(next((tmp_path / "p" / "Data").glob("*-hv-h.xml")))
    assert one.polarisation == "HV"
    with pytest.raises(NotCalibrated, match="incidence"):
        open_scenes(tmp_path / "p", SceneOverrides(quantity="gamma0"))


@pytest.mark.parametrize("side", ["RIGHT", "LEFT"])
def test_saocom_slant_range_is_placed_by_its_orbit(tmp_path, side):
    truth = saocom(tmp_path / "p", "slc", ("VV",), side=side)
    (scene,) = open_scenes(tmp_path / "p")
    columns, rows = np.array([0.5, 119.5, 60.0]), np.array([0.5, 89.5, 40.0])
    assert GEOD.inv(*scene.to_lonlat(columns, rows), *truth(columns, rows))[2] == pytest.approx(0, abs=0.3)
    np.testing.assert_allclose(scene.read()[0], amplitudes()[0] ** 2, rtol=1e-4)
    assert scene.projection == "slant"
    # The direction of view is that from near to far within a line, not across the image.
    ends = truth(np.array([0.0, 120.0]), np.zeros(2))
    azimuth = GEOD.inv(ends[0][0], ends[1][0], ends[0][1], ends[1][1])[0] % 360
    assert abs((scene.look_azimuth_deg - azimuth + 180) % 360 - 180) < 0.1
    assert any("height of the ellipsoid" in note for note in scene.notes)


def test_whole_numbers_of_saocom_are_no_sigma0(tmp_path):
    saocom(tmp_path / "p", poles=("HH",))
    image = next(path for path in (tmp_path / "p" / "Data").iterdir() if path.suffix != ".xml")
    write_tiff(image, amplitudes(np.uint16), **UTM)
    (scene,) = open_scenes(tmp_path / "p")
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert any("whole numbers" in note for note in scene.notes)


def test_settings_that_a_product_leaves_no_room_for_are_told(tmp_path):
    saocom(tmp_path / "p", poles=("HH",))
    (scene,) = open_scenes(tmp_path / "p", SceneOverrides(denoise=True, units="db"))
    np.testing.assert_allclose(scene.read()[0], amplitudes()[0] ** 2, rtol=1e-5)
    assert any("Noise is not subtracted" in note for note in scene.notes)
    assert any("Units db are not used" in note for note in scene.notes)
    (plain,) = open_scenes(tmp_path / "p", SceneOverrides(units="dn"))
    assert not plain.notes


def test_saocom_refusals(tmp_path):
    saocom(tmp_path / "p", "slc", ("VV",), bursts=8)
    with pytest.raises(SlantRange, match="bursts"):
        open_scenes(tmp_path / "p")
    saocom(tmp_path / "q")
    xml = next((tmp_path / "q" / "Data").glob("*-hh-h.xml"))
    good = xml.read_text()
    xml.write_text(good.replace("<FileName>gec", "<FileName>../gec"))
    with pytest.raises(DamagedProduct, match="no GeoTIFF beside it"):
        open_scenes(tmp_path / "q")
    xml.write_text(good.replace("14-NOV-2021 22:17:25", "14-XXX-2021 22:17:25"))
    with pytest.raises(DamagedProduct, match="not a time"):
        open_scenes(tmp_path / "q")


def test_kompsat_5_is_relative_and_says_why(tmp_path):
    stem = "K5_20210130040018_000010_40861_A_ES11_HH_GTC_B_L1D"
    write_tiff(tmp_path / f"{stem}.tif", amplitudes(np.uint16), **UTM)
    write_tiff(tmp_path / f"{stem}_GIM.tif", amplitudes(np.uint16), **UTM)
    (tmp_path / f"{stem}_Aux.xml").write_text(
        "<Auxiliary><Root><SceneSensingStartUTC>2021-01-30 04:00:18.95</SceneSensingStartUTC>"
        "<InvalidValue>0</InvalidValue>"
        "<ProductType>GTC_B</ProductType><LookSide>RIGHT</LookSide><OrbitDirection>ASCENDING</OrbitDirection>"
        "<RadarFrequency>9660000000</RadarFrequency><MultiBeamID>ES-11</MultiBeamID><Polarisation>HH</Polarisation>"
        "<NearIncidenceAngle>42</NearIncidenceAngle><FarIncidenceAngle>44</FarIncidenceAngle></Root></Auxiliary>"
    )
    found = search([tmp_path])
    assert [path.name for path in found.scenes] == [f"{stem}.tif"]
    (scene,) = open_scenes(found.scenes[0])
    np.testing.assert_array_equal(scene.read()[0], amplitudes(np.uint16)[0].astype(np.float32) ** 2)
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert (scene.mode, scene.product_type, scene.orbit) == ("ES-11", "GTC_B", "ascending")
    assert (scene.date, scene.incidence_deg, scene.frequency_ghz) == ("2021-01-30T04:00:18Z", 43.0, 9.66)
    assert "no public description" in scene.notes[0]
    with pytest.raises(NotCalibrated):
        open_scenes(found.scenes[0], SceneOverrides(quantity="beta0"))


def novasar(folder, scaling="Sigma Nought", status="CALIBRATED"):
    folder.mkdir(parents=True)
    for pole in ("HH", "HV"):
        write_tiff(folder / f"image_{pole}.tif", amplitudes(np.uint16), **UTM)
        write_tiff(folder / f"browse_{pole}.tif", amplitudes(np.uint16, 5), **UTM)
    (folder / "metadata.xml").write_text(
        "<metadata><Product><ProductType>GRD</ProductType></Product><Source_Attributes><Satellite>NovaSAR-1</Satellite>"
        "<RawDataStartTime>2021-03-04T01:02:03.5Z</RawDataStartTime><Polarisations>HH HV VV</Polarisations>"
        "<AntennaPointing>LEFT</AntennaPointing></Source_Attributes><Image_Generation_Parameters>"
        f"<RadiometricScaling>{scaling}</RadiometricScaling><IncAngleNearRange>20</IncAngleNearRange>"
        "<IncAngleFarRange>30</IncAngleFarRange></Image_Generation_Parameters><Image_Attributes><CalibrationConstant>"
        f"502000</CalibrationConstant><CalibrationStatus>{status}</CalibrationStatus></Image_Attributes></metadata>"
    )


@pytest.mark.parametrize(("scaling", "factor"), [("Sigma Nought", 1.0), ("BETA_NOUGHT", np.sin(np.radians(25.0)))])
def test_novasar(tmp_path, scaling, factor):
    novasar(tmp_path / "p", scaling)
    assert find_scenes([tmp_path]) == [tmp_path / "p"]
    (scene,) = open_scenes(tmp_path / "p")
    np.testing.assert_allclose(
        scene.read()[0], amplitudes(np.uint16)[0].astype(float) ** 2 / 502000 * factor, rtol=1e-5
    )
    assert (scene.sensor, scene.band, scene.polarisation, scene.quantity) == ("novasar-1", "S", "HH", "sigma0")
    assert (scene.date, scene.look_side, scene.product_type) == ("2021-03-04T01:02:03Z", "left", "GRD")
    assert "Not on disk, so not read: VV." in scene.notes
    assert any("one incidence angle" in note for note in scene.notes) == (factor != 1)


def test_novasar_with_two_images_of_a_polarisation_says_which_it_reads(tmp_path):
    novasar(tmp_path / "p")
    write_tiff(tmp_path / "p" / "image_HH_2.tif", amplitudes(np.uint16, 7), **UTM)
    (scene,) = open_scenes(tmp_path / "p")
    assert any("so not: image_HH_2.tif" in note for note in scene.notes)


def test_novasar_that_is_not_calibrated(tmp_path):
    novasar(tmp_path / "p", status="UNCALIBRATED")
    (scene,) = open_scenes(tmp_path / "p")
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert any("not calibrated" in note for note in scene.notes)


def polsarpro(folder, elements, polar="full", place=True):
    folder.mkdir(parents=True)
    for name, values in elements.items():
        options = {"crs": "EPSG:32750", "transform": UTM["transform"]} if place else {}
        values = values.astype(np.float32)
        rows, columns = values.shape
        profile = {"driver": "ENVI", "width": columns, "height": rows, "count": 1, "dtype": "float32", **options}
        with rasterio.open(folder / f"{name}.bin", "w", **profile) as file:
            file.write(values, 1)
    rows, columns = next(iter(elements.values())).shape
    (folder / "config.txt").write_text(
        f"Nrow\n{rows}\n---------\nNcol\n{columns}\n---------\nPolarCase\nmonostatic\n---------\nPolarType\n{polar}\n"
    )


def scattering():
    """Complex HH, HV and VV of independent pixels."""
    random = np.random.default_rng(9)
    return [random.normal(0, 1, SHAPE) + 1j * random.normal(0, 1, SHAPE) for _ in range(3)]


def test_polsarpro_matrices_give_the_powers_of_the_scattering_matrix(tmp_path):
    hh, hv, vv = scattering()
    c3 = {"C11": abs(hh) ** 2, "C22": 2 * abs(hv) ** 2, "C33": abs(vv) ** 2, "C12_real": hh.real, "C12_imag": hh.imag}
    pauli = (hh + vv) / np.sqrt(2), (hh - vv) / np.sqrt(2), np.sqrt(2) * hv
    cross = pauli[0] * np.conj(pauli[1])
    t3 = {"T11": abs(pauli[0]) ** 2, "T22": abs(pauli[1]) ** 2, "T33": abs(pauli[2]) ** 2, "T12_real": cross.real}
    polsarpro(tmp_path / "a" / "C3", c3)
    polsarpro(tmp_path / "b" / "T3", t3)
    assert find_scenes([tmp_path]) == [tmp_path / "a" / "C3", tmp_path / "b" / "T3"]
    for folder in (tmp_path / "a" / "C3", tmp_path / "b" / "T3"):
        scenes = open_scenes(folder, SceneOverrides(polarisation="all", sensor="ALOS-2", band="L"))
        assert [scene.polarisation for scene in scenes] == ["HH", "HV", "VV"]
        for scene, signal in zip(scenes, (hh, hv, vv)):
            np.testing.assert_allclose(scene.read()[0], abs(signal) ** 2, rtol=1e-3, atol=1e-5)
            assert (scene.radiometry, scene.quantity, scene.band) == ("relative", "none", "L")
            assert any("Sensor, band and date are unknown" in note for note in scene.notes)


def test_polsarpro_t4_tells_hv_from_vh(tmp_path):
    hh, hv, vv = scattering()
    vh = hv[::-1] * np.exp(0.7j) * 1.3
    k = np.array([hh + vv, hh - vv, hv + vh, 1j * (hv - vh)]) / np.sqrt(2)
    t4 = {f"T{n + 1}{n + 1}": abs(k[n]) ** 2 for n in range(4)}
    t4 |= {"T12_real": (k[0] * k[1].conj()).real, "T34_imag": (k[2] * k[3].conj()).imag}
    polsarpro(tmp_path / "T4", t4)
    scenes = open_scenes(tmp_path / "T4", SceneOverrides(polarisation="all"))
    assert {scene.product_type for scene in scenes} == {"T4"}
    for scene in scenes:
        wanted = abs({"HH": hh, "HV": hv, "VH": vh, "VV": vv}[scene.polarisation]) ** 2
        np.testing.assert_allclose(scene.read()[0], wanted, rtol=1e-3, atol=1e-5 * wanted.max())


def test_polsarpro_pairs(tmp_path):
    hh, hv, _ = scattering()
    polsarpro(tmp_path / "C2", {"C11": abs(hh) ** 2, "C22": abs(hv) ** 2}, polar="pp1")
    scenes = open_scenes(tmp_path / "C2", SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in scenes] == ["HH", "HV"]
    np.testing.assert_allclose(scenes[1].read()[0], abs(hv) ** 2, rtol=1e-5)
    # What is sent as V: PolSARpro and SNAP both put s22 (VV) before the cross-polarised channel.
    polsarpro(tmp_path / "b" / "C2", {"C11": abs(hh) ** 2, "C22": abs(hv) ** 2}, polar="pp2")
    (vv,) = open_scenes(tmp_path / "b" / "C2", SceneOverrides(polarisation="VV"))
    np.testing.assert_allclose(vv.read()[0], abs(hh) ** 2, rtol=1e-5)
    (tmp_path / "C2" / "config.txt").unlink()
    with pytest.raises(UnknownFormat, match="PolarType"):
        open_scenes(tmp_path / "C2")


def test_polsarpro_refusals(tmp_path):
    hh, hv, vv = scattering()
    polsarpro(tmp_path / "C3", {"C11": abs(hh) ** 2, "C22": abs(hv) ** 2, "C33": abs(vv[:50]) ** 2})
    with pytest.raises(DamagedProduct, match="another size"):
        open_scenes(tmp_path / "C3", SceneOverrides(polarisation="VV"))
    polsarpro(tmp_path / "t" / "C3", {"C11": abs(hh) ** 2, "C22": abs(hv) ** 2, "C33": abs(vv) ** 2}, place=False)
    with pytest.raises(SceneError, match="place on the ground is unknown"):
        open_scenes(tmp_path / "t" / "C3")


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_a_real_saocom_slc_lies_in_its_frame():
    """L1A of Sulawesi, at the height of the ellipsoid: each corner within 3 km of a vertex of the frame in its XEMT."""
    found = sorted(VENDOR.rglob("slc-acqId0000588416-*-hh.xml"))
    assert found
    (scene,) = open_scenes(found[0])
    frame = [(119.336359650487, -1.98971326370354), (119.146726717649, -1.06837455666623)]
    frame += [(119.588552878808, -0.975631052466138), (119.778444900908, -1.89640686736592)]
    rows, columns = scene.shape
    lons, lats = scene.to_lonlat(np.array([0, 0, columns, columns]), np.array([0, rows, rows, 0]))
    for lon, lat in frame:
        assert min(GEOD.inv(lon, lat, *corner)[2] for corner in zip(lons, lats)) < 3000
