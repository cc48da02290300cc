"""BEAM-DIMAP products as SNAP writes them: bands, places, units and quantities as the XML says."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS, Transformer

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, NotStated, UnknownFormat

PLACE = Affine(10, 0, 5e5, 0, -10, 5e6)


def values(seed=0, shape=(40, 50)):
    return np.random.default_rng(seed).gamma(4, 0.01, shape).astype(np.float32)


def band_xml(name, unit="intensity", scale=1.0, offset=0.0, nodata=None):
    used = f"<NO_DATA_VALUE_USED>true</NO_DATA_VALUE_USED><NO_DATA_VALUE>{nodata}</NO_DATA_VALUE>"
    return (
        f"<Spectral_Band_Info><BAND_NAME>{name}</BAND_NAME><PHYSICAL_UNIT>{unit}</PHYSICAL_UNIT><SCALING_FACTOR>{scale}"
        f"</SCALING_FACTOR><SCALING_OFFSET>{offset}</SCALING_OFFSET><LOG10_SCALED>false</LOG10_SCALED>"
        f"{used if nodata is not None else ''}</Spectral_Band_Info>"
    )


ABOUT = """<Dataset_Sources><MDElem name="metadata"><MDElem name="Abstracted_Metadata">
<MDATTR name="MISSION" type="ascii">SENTINEL-1A</MDATTR><MDATTR name="PASS" type="ascii">ASCENDING</MDATTR>
<MDATTR name="first_line_time" type="utc">05-JAN-2021 17:30:17.123456</MDATTR>
<MDATTR name="antenna_pointing" type="ascii">right</MDATTR><MDATTR name="radar_frequency">5405.0</MDATTR>
<MDATTR name="incidence_near">30.0</MDATTR><MDATTR name="incidence_far">40.0</MDATTR>
</MDElem></MDElem></Dataset_Sources>"""


def product(folder, bands, more="", placed=True, name="S1_Cal"):
    """NAME.dim and NAME.data; `bands`: name -> (pixels, XML)."""
    data = folder / f"{name}.data"
    data.mkdir(parents=True)
    for band, (pixels, _) in bands.items():
        write_envi(data / f"{band}.img", pixels)
    where = (
        f"<Coordinate_Reference_System><WKT>{CRS.from_epsg(32631).to_wkt('WKT1_GDAL')}</WKT></Coordinate_Reference_System>"
        "<Geoposition><IMAGE_TO_MODEL_TRANSFORM>10,0,0,-10,500000,5000000</IMAGE_TO_MODEL_TRANSFORM></Geoposition>"
    )
    text = "".join(xml for _, xml in bands.values())
    body = f"{where if placed else ''}<Image_Interpretation>{text}</Image_Interpretation>{ABOUT}{more}"
    (folder / f"{name}.dim").write_text(
        f'<?xml version="1.0"?><Dimap_Document name="{name}.dim">{body}</Dimap_Document>'
    )
    return folder / f"{name}.dim"


def write_envi(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"height": pixels.shape[0], "width": pixels.shape[1]}
    with rasterio.open(path, "w", driver="ENVI", count=1, dtype=pixels.dtype, **size) as file:
        file.write(pixels, 1)
    path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)


def test_a_geocoded_product(tmp_path):
    vv, vh = values(1), values(2)
    vv[:, :7] = -5
    layers = {"localIncidenceAngle": (values(3), band_xml("localIncidenceAngle", "deg"))}
    bands = {"Sigma0_VV": (vv, band_xml("Sigma0_VV", nodata=-5)), "Sigma0_VH": (vh, band_xml("Sigma0_VH"))}
    entry = product(tmp_path / "p", bands | layers)
    assert find_scenes([tmp_path]) == [tmp_path / "p"]
    for path in (entry, tmp_path / "p"):
        scene = open_scene(path)
        assert (scene.polarisation, scene.quantity, scene.radiometry, scene.units) == (
            "VV",
            "sigma0",
            "calibrated",
            "intensity",
        )
        assert (scene.sensor, scene.band, scene.orbit, scene.look_side) == ("sentinel-1", "C", "ascending", "right")
        assert scene.date == "2021-01-05T17:30:17Z"
        assert scene.incidence_deg == 35
        assert (scene.crs.to_epsg(), scene.transform) == (32631, PLACE)
        power, valid = scene.read()
        assert not valid[:, :7].any()
        np.testing.assert_allclose(power[:, 7:], vv[:, 7:])
    assert [one.polarisation for one in open_scenes(entry, SceneOverrides(polarisation="all"))] == ["VH", "VV"]
    with pytest.raises(NotCalibrated, match="gamma0 cannot be computed"):
        open_scene(entry, SceneOverrides(quantity="gamma0"))


def test_the_quantity_that_is_asked_for_is_read_and_the_other_bands_are_told(tmp_path):
    bands = {name: (values(n), band_xml(name)) for n, name in enumerate(("Intensity_VV", "Gamma0_VV", "Sigma0_VV"))}
    entry = product(tmp_path, bands)
    gamma = open_scene(entry, SceneOverrides(quantity="gamma0"))
    assert gamma.quantity == "gamma0"
    np.testing.assert_allclose(gamma.read()[0], bands["Gamma0_VV"][0])
    sigma = open_scene(entry)
    np.testing.assert_allclose(sigma.read()[0], bands["Sigma0_VV"][0])
    assert "Gamma0_VV, Intensity_VV" in " ".join(sigma.notes)


def test_scale_and_decibels(tmp_path):
    stored = np.arange(-3000, -1000, dtype=np.int16).reshape(40, 50)
    scaled = product(tmp_path / "a", {"Sigma0_VV_db": (stored, band_xml("Sigma0_VV_db", "intensity_db", scale=0.01))})
    scene = open_scene(scaled)
    assert scene.units == "db"
    np.testing.assert_allclose(10 * np.log10(scene.read()[0]), stored * 0.01, atol=1e-4)


def test_a_complex_pair(tmp_path):
    i, q = values(1) - 0.04, values(2) - 0.04
    bands = {"i_HH": (i, band_xml("i_HH", "real")), "q_HH": (q, band_xml("q_HH", "imaginary"))}
    scene = open_scene(product(tmp_path, bands))
    assert (scene.polarisation, scene.units) == ("HH", "complex")
    np.testing.assert_allclose(scene.read()[0], i**2 + q**2, rtol=1e-5)


def test_tie_points_place_what_is_not_geocoded(tmp_path):
    to_lonlat = Transformer.from_crs(32631, 4326, always_xy=True).transform
    rows, columns = np.meshgrid(np.arange(0, 41, 10.0), np.arange(0, 51, 10.0), indexing="ij")
    lons, lats = to_lonlat(5e5 + 10 * columns, 5e6 - 10 * rows)
    steps = "<OFFSET_X>0.0</OFFSET_X><OFFSET_Y>0.0</OFFSET_Y><STEP_X>10.0</STEP_X><STEP_Y>10.0</STEP_Y>"
    grids = "".join(
        f"<Tie_Point_Grid_Info><TIE_POINT_GRID_NAME>{name}</TIE_POINT_GRID_NAME>{steps}</Tie_Point_Grid_Info>"
        for name in ("latitude", "longitude")
    )
    bands = {"Sigma0_VV": (values(), band_xml("Sigma0_VV"))}
    entry = product(tmp_path, bands, f"<Tie_Point_Grids>{grids}</Tie_Point_Grids>", placed=False)
    for name, grid in (("latitude", lats), ("longitude", lons)):
        write_envi(tmp_path / "S1_Cal.data" / "tie_point_grids" / f"{name}.img", grid)
    scene = open_scene(entry)
    assert scene.geometry.kind == "control-points"
    lon, lat = scene.to_lonlat(np.array([25.0]), np.array([20.0]))
    assert (lon[0], lat[0]) == pytest.approx(to_lonlat(5e5 + 250, 5e6 - 200), abs=1e-7)


def test_only_layers_is_no_scene(tmp_path):
    entry = product(tmp_path, {"elevation": (values(), band_xml("elevation", "meters"))})
    with pytest.raises(UnknownFormat, match=r"no band of backscatter .*elevation \(elevations\)"):
        open_scene(entry)


def test_a_scaling_that_the_xml_and_the_header_state_is_applied_once(tmp_path):
    """SNAP writes it into both: number = scale * stored value + offset."""
    stored = np.arange(1000, 3000, dtype=np.int16).reshape(40, 50)
    entry = product(tmp_path, {"Sigma0_VV_db": (stored, band_xml("Sigma0_VV_db", "dB", scale=0.01, offset=-40.0))})
    header = tmp_path / "S1_Cal.data" / "Sigma0_VV_db.hdr"
    text = header.read_text()
    for more in ("", "data gain values = {0.01}\ndata offset values = {-40.0}\n"):
        header.write_text(text + more)
        np.testing.assert_allclose(10 * np.log10(open_scene(entry).read()[0]), stored * 0.01 - 40, atol=1e-3)
    header.write_text(text + "data gain values = {0.02}\n")
    with pytest.raises(DamagedProduct, match=r"in the XML, and .* in the ENVI header"):
        open_scene(entry)


def test_parts_of_a_complex_pair_are_scaled_each_by_its_own(tmp_path):
    i, q = values(1) - 0.04, values(2) - 0.04
    bands = {
        "i_HH": ((i * 1e4).round().astype(np.int16), band_xml("i_HH", "real", scale=1e-4)),
        "q_HH": (((q + 1) * 1e3).round().astype(np.int16), band_xml("q_HH", "imaginary", scale=1e-3, offset=-1.0)),
    }
    scene = open_scene(product(tmp_path, bands))
    np.testing.assert_allclose(scene.read()[0], i**2 + q**2, atol=1e-4)


def test_units_that_contradict_the_product_are_refused(tmp_path):
    levels = np.random.default_rng(0).normal(-12, 5, (40, 50)).astype(np.float32)
    entry = product(tmp_path, {"Sigma0_VV_db": (levels, band_xml("Sigma0_VV_db", "intensity_db"))})
    with pytest.raises(NotStated, match="cannot hold amplitude"):
        open_scene(entry, SceneOverrides(units="amplitude"))
