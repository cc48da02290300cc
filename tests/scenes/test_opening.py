"""The door through which rasters, arrays and archives come: hostile files end in one sentence, companions are read."""

import os
import struct
import time
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS

from knowlip.scenes import find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import DamagedProduct, SceneError, UnknownFormat
from knowlip.scenes.opening import GDAL_OPTIONS, LARGEST_DIRECTORY, open_array, open_raster, open_zip
from knowlip.scenes.xml import read_xml

WORLD = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
RAW = """<VRTDataset rasterXSize="60" rasterYSize="40">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">
<SourceFilename relativetoVRT="0">{0}</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset>
<LineOffset>60</LineOffset></VRTRasterBand></VRTDataset>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow>
<SizeX>512</SizeX><SizeY>512</SizeY></DataWindow></GDAL_WMS>"""


def write(path, values, **options):
    values = np.asarray(values)
    values = values if values.ndim == 3 else values[None]
    profile = {**WORLD, "dtype": values.dtype, "driver": "GTiff", **options}
    count, height, width = values.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as file:
        file.write(values)
    return path


def speckle(shape=(40, 60)):
    return np.random.default_rng(0).gamma(4, 0.01, shape).astype(np.float32)


def refused(path, match, kind=SceneError):
    began = time.monotonic()
    with pytest.raises(kind, match=match) as found:
        open_scenes(path)
    assert "\n" not in str(found.value)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", [RAW, WMS, "<WCS_GDAL><ServiceURL>http://127.0.0.1:9</ServiceURL></WCS_GDAL>"])
def test_a_file_that_names_other_files_never_opens(tmp_path, text):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 20)
    for name in ("a.tif", "a.img", "a.png"):
        (tmp_path / name).write_text(text.replace("{0}", str(secret)))
        refused(tmp_path / name, "never opened", UnknownFormat)


def test_nor_does_one_beside_a_raster(tmp_path):
    for ending in (".msk", ".MSK", ".ovr"):
        (tmp_path / ending).mkdir()
        path = write(tmp_path / ending / "a.tif", speckle())
        path.with_name(path.name + ending).write_text(RAW.replace("{0}", "/etc/hostname"))
        refused(path, "remove it", UnknownFormat)


def test_metadata_may_name_a_file_but_it_is_not_opened(tmp_path):
    pipe = tmp_path / "elsewhere" / "pipe"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    path = write(tmp_path / "a.tif", speckle())
    text = f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{pipe}</MDI></Metadata></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_text(text)
    assert open_scene(path).read()[1].all()  # opening the pipe would wait for ever


def test_a_pipe_is_not_waited_for(tmp_path):
    for name in ("a.tif", "a.npy", "a.zip", "a.png"):
        os.mkfifo(tmp_path / name)
        refused(tmp_path / name, "pipe", UnknownFormat)
    path = write(tmp_path / "b.tif", speckle())
    os.mkfifo(tmp_path / "b_RPC.TXT")
    refused(path, "pipe", UnknownFormat)
    assert find_scenes([tmp_path]) == [path]


@pytest.mark.parametrize("size", [(200_000, 200_000), (2**31 - 2, 1), (1, 2**31 - 2), (60_000, 60_000)])
def test_a_header_that_promises_more_than_the_file_holds(tmp_path, size):
    path = tmp_path / "a.tif"
    options = {"sparse_ok": True, "tiled": True, "blockxsize": 4096, "blockysize": 4096, "bigtiff": "YES"}
    with rasterio.open(path, "w", "GTiff", *size, 1, dtype="uint8", **WORLD, **options):
        pass
    with path.open("r+b") as stream:
        stream.truncate(max(path.stat().st_size, 2**31))  # a hole in the file is no data either
    refused(path, "pixels", DamagedProduct)


def test_a_png_that_promises_more_than_it_holds(tmp_path):
    head = struct.pack(">II", 60_000, 60_000) + b"\x08\x00\x00\x00\x00"
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + b"\x00" * 4
    (tmp_path / "a.png").write_bytes(png)
    refused(tmp_path / "a.png", "raster|pixels")


def test_a_block_that_would_have_to_be_decoded_at_once(tmp_path):
    size = {"width": 40_000, "height": 20_000, "count": 1, "dtype": "uint8"}
    layout = {"tiled": True, "blockxsize": 32_768, "blockysize": 32_768, "compress": "DEFLATE", "sparse_ok": True}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **size, **WORLD, **layout):
        pass
    with (tmp_path / "a.tif").open("ab") as stream:
        stream.write(bytes(1_000_000))
    refused(tmp_path / "a.tif", "TILED=YES", DamagedProduct)


def test_raw_files_must_hold_their_pixels(tmp_path):
    path = write(tmp_path / "a.img", speckle(), driver="ENVI")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "cut off", DamagedProduct)


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    assert open_array(tmp_path / "a.npy").shape == (3, 4)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (200000, 200000), }\n"
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with (tmp_path / "b.npy").open("r+b") as stream:
        stream.truncate(200_000**2 * 8 + 200)
    np.save(tmp_path / "c.npy", np.array([{}], dtype=object))
    for name in ("b.npy", "c.npy"):
        with pytest.raises(DamagedProduct):
            open_array(tmp_path / name)


def test_an_archive_of_too_many_members(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one", b"1")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<I", LARGEST_DIRECTORY + 1)
    path.write_bytes(data)
    with pytest.raises(DamagedProduct, match="more members"), open_zip(path):
        pass
    with pytest.raises(ValueError, match="nothing describes it"):
        find_scenes([tmp_path])


def test_an_archive_whose_xml_is_a_bomb(tmp_path):
    path = tmp_path / "S1A_IW_GRDH_1SSV_20160131T204259_20160131T204324_009743_00E3C6_E792.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/Ship.xml", "<ship></ship>")
        archive.writestr("p/Patch/Cargo_x1_y1.tif", b"")
        for number in range(4):
            archive.writestr(f"p/{number}.xml", bytes(10_000_000))
    refused(path, "bytes of XML", DamagedProduct)


def test_ships_are_found_in_one_pass(tmp_path):
    """A file of nothing but open tags, or of blanks, is read as fast as any other."""
    from knowlip.scenes.readers.opensarship import _ships

    began = time.monotonic()
    assert _ships("<ship>" * 400_000) == {}
    assert _ships("<ship><Center_x>" + " " * 2_000_000 + "</ship>") == {}
    assert _ships("<ship>" + "<Center_x>" * 200_000) == {}
    assert time.monotonic() - began < 5


def test_xml_of_too_many_elements(tmp_path):
    for content in (b"<a>" + b"<b/>" * 9_000_000 + b"</a>", b"<a>" + b"<b c=''/>" * 5_000_000 + b"</a>"):
        with pytest.raises(DamagedProduct, match="more elements"):
            read_xml(content, "a.xml")


# ---- companions ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_place_nodata_and_scale_of_an_aux_xml(tmp_path):
    values = speckle()
    values[:, :9] = -7
    path = write(tmp_path / "a.tif", values, crs=None, transform=None)
    wkt = CRS.from_epsg(32631).to_wkt("WKT1_GDAL")
    band = "<NoDataValue>-7</NoDataValue><Scale>0.5</Scale><Offset>0</Offset>"
    (tmp_path / "a.tif.aux.xml").write_text(
        f"<PAMDataset><SRS>{wkt}</SRS><GeoTransform>500000,10,0,5000000,0,-10</GeoTransform>"
        f'<PAMRasterBand band="1">{band}</PAMRasterBand></PAMDataset>'
    )
    scene = open_scene(path)
    assert (scene.crs.to_epsg(), scene.transform, scene.nodata) == (32631, WORLD["transform"], -7)
    power, valid = scene.read()
    assert not valid[:, :9].any()
    np.testing.assert_allclose(power[:, 9:], values[:, 9:] / 2)
    assert tmp_path / "a.tif.aux.xml" in scene.sources


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_mask_beside_the_file(tmp_path):
    path = write(tmp_path / "a.tif", speckle())
    mask = np.full((40, 60), 255, np.uint8)
    mask[:, 50:] = 0
    write(tmp_path / "b.tif", mask, crs=None, transform=None)
    with rasterio.open(tmp_path / "b.tif", "r+") as file:
        file.update_tags(INTERNAL_MASK_FLAGS_1="2")
    (tmp_path / "b.tif").rename(tmp_path / "a.tif.msk")
    np.testing.assert_array_equal(open_scene(path).read()[1], mask > 0)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_world_file_with_its_projection(tmp_path):
    path = write(tmp_path / "a.tif", speckle(), crs=None, transform=None)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    (tmp_path / "a.prj").write_text(CRS.from_epsg(32631).to_wkt("WKT1_ESRI"))
    scene = open_scene(path)
    assert (scene.crs.to_epsg(), scene.transform) == (32631, WORLD["transform"])
    assert "a.prj" in " ".join(scene.notes)


def test_envi_headers(tmp_path):
    values = speckle()
    path = write(tmp_path / "Sigma0_VV.img", values, driver="ENVI")
    for beside in tmp_path.glob("*.aux.xml"):
        beside.unlink()
    assert find_scenes([tmp_path]) == [path]
    scene = open_scene(path)
    assert (scene.crs.to_epsg(), scene.polarisation, scene.quantity) == (32631, "VV", "sigma0")
    np.testing.assert_allclose(scene.read()[0], values)


def test_a_broken_companion_is_told(tmp_path):
    path = write(tmp_path / "a.tif", speckle())
    (tmp_path / "a.rpc").write_text("LINE_SCALE: 1\n")
    scene = open_scene(path)
    assert scene.read()[1].all()
    assert "left out" in " ".join(scene.notes)


def test_reading_writes_nothing_beside_the_file(tmp_path):
    path = write(tmp_path / "a.tif", speckle())
    open_scene(path).read()
    with rasterio.Env(**GDAL_OPTIONS), open_raster(path) as file:
        file.read(1)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]


def test_no_raster_is_opened_elsewhere():
    """The door is the only place of the package where GDAL, numpy arrays of strangers and zips are opened."""
    import re
    from pathlib import Path

    import knowlip

    root = Path(knowlip.__file__).parent
    opening = re.compile(r"rasterio\.open\((?!part)|ZipFile\(|h5py\.File\(")
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if opening.search(path.read_text())}
    # Weights of PyTorch are zips too; theirs is a door of its own, with its own limits.
    # METEOR's jar comes with a package. Of a map its own working copy is opened, to be written.
    own = {"scenes/opening.py", "scenes/readers/hdf5.py", "scenes/readers/iceye.py", "models/weights/source.py"}
    own |= {"tasks/metrics/scene_graph.py", "models/weights/torchscript.py", "inference/predict_segment.py"}
    assert found <= own
