"""What the pixels of a picture are: as a viewer shows them, no data where the file says so and nowhere else."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from rasterio.enums import ColorInterp

from knowlip.scenes import pictures
from knowlip.scenes.pictures import read_numbers, read_picture, size_of

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RAMP = np.arange(48, dtype=np.uint8)[None].repeat(32, 0) * 5 + 3
"""(32, 48) without zeros, dark at the left."""
LEFT = np.arange(48)[None].repeat(32, 0) >= 10
"""What is data where the ten left columns are declared to be none."""


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def tiff(path: Path, bands: np.ndarray, colours: tuple[ColorInterp, ...] = (), **options) -> Path:
    bands = bands if bands.ndim == 3 else bands[None]
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", dtype=bands.dtype, **shape, **options) as file:
        file.write(bands)
        if colours:
            file.colorinterp = colours
    return path


def png_header(path: Path, width: int, height: int, rows: int = 0) -> Path:
    """A PNG that promises an extent and holds only some rows of it."""
    data = zlib.compress((b"\0" + b"\x40" * width) * rows)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_a_picture_stands_as_its_orientation_says(tmp_path: Path, kind: str, orientation: int) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(RAMP).save(path, exif=oriented(orientation), **({"lossless": True} if kind == "webp" else {}))
    # Pillow 13 gives uncompressed TIFFs of orientation 5 to 8 with their rows mixed up: the PNG is the oracle for them.
    oracle = tmp_path / ("b.png" if kind == "tif" else path.name)
    if kind == "tif":
        Image.fromarray(RAMP).save(oracle, exif=oriented(orientation))
    with Image.open(oracle) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L"), int)
    picture = read_picture(path)
    assert np.abs(picture.values - expected).max() <= 1
    assert picture.turned == (orientation > 1)
    assert size_of(path) == picture.values.shape[::-1]
    if kind != "webp":
        np.testing.assert_array_equal(read_numbers(path), picture.values)


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("limit", ["Image.MAX_IMAGE_PIXELS", "pictures._BY_PILLOW"])
def test_a_large_one_is_turned_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, limit: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(RAMP).save(path, exif=oriented(6), quality=95)
    expected = read_picture(path)
    module, _, name = limit.partition(".")
    monkeypatch.setattr({"Image": Image, "pictures": pictures}[module], name, 100)
    monkeypatch.setattr(pictures, "_STRIP_PIXELS", 300)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.values, expected.values)
    assert picture.turned
    assert size_of(path) == (32, 48)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif"])
def test_colours_are_weighted_whoever_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    colours = np.stack([RAMP, RAMP.max() - RAMP, RAMP // 2], axis=-1)
    path = tmp_path / f"a.{kind}"
    Image.fromarray(colours).save(path, **({"quality": 100, "subsampling": 0} if kind == "jpg" else {}))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"), float) @ (0.299, 0.587, 0.114)
    for limit in (10**9, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        picture = read_picture(path)
        assert np.abs(picture.values - expected).max() <= 0.51
        assert picture.colour
        assert picture.valid is None


def save_with_no_data(path: Path, kind: str) -> None:
    """The ramp, its left declared no data; its pixels there are bright, or zero where they have to be."""
    grey = np.where(LEFT, RAMP, 255).astype(np.uint8)
    alpha = (LEFT * 255).astype(np.uint8)
    if kind in ("LA", "RGBA"):
        Image.merge(kind, [Image.fromarray(grey)] * (len(kind) - 1) + [Image.fromarray(alpha)]).save(path)
    elif kind == "palette":
        image = Image.fromarray(np.where(LEFT, RAMP, 0).astype(np.uint8), "P")
        image.putpalette([value for value in range(256) for _ in range(3)])
        image.save(path, transparency=0)
    elif kind == "colour key":
        Image.fromarray(grey).save(path, transparency=255)
    elif kind == "tag":
        tiff(path, np.where(LEFT, RAMP, 7), nodata=7)
    elif kind == "mask":
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", driver="GTiff", count=1, height=32, width=48, dtype="uint8") as file,
        ):
            file.write(grey, 1)
            file.write_mask(LEFT)
    elif kind == "alpha tiff":
        tiff(path, np.stack([grey, alpha]), (ColorInterp.gray, ColorInterp.alpha), alpha="yes")
    elif kind == "unspecified":
        tiff(path, np.stack([grey, alpha]), alpha="unspecified")
    elif kind == "mask beside":
        Image.fromarray(grey).save(path)
        size = {"count": 1, "height": 32, "width": 48, "dtype": "uint8"}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
            rasterio.open(path.with_name("b.tif"), "w", driver="GTiff", **size) as file,
        ):
            file.write_mask(LEFT)
        path.with_name("b.tif.msk").rename(path.with_name(path.name + ".msk"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "LA"),
        ("a.png", "RGBA"),
        ("a.tif", "LA"),
        ("a.png", "palette"),
        ("a.png", "colour key"),
        ("a.tif", "tag"),
        ("a.tif", "mask"),
        ("a.tif", "alpha tiff"),
        ("a.tif", "unspecified"),
        ("a.png", "mask beside"),
    ],
)
def test_no_data_is_what_the_file_declares(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    save_with_no_data(path, kind)
    picture = read_picture(path)
    expected = np.where(LEFT, RAMP, 0)
    assert picture.valid is not None
    if kind == "tag":
        expected = np.where(RAMP == 7, 0, expected)  # the tag names a number, wherever it stands
    np.testing.assert_array_equal(picture.levels, expected)


def test_nothing_else_is_no_data(tmp_path: Path) -> None:
    """Zeros at the border and inside stay; beside declared no data they become 1, so that they can be told from it."""
    values = RAMP.copy()
    values[:, :6] = values[20, 30] = 0
    Image.fromarray(values).save(tmp_path / "a.png")
    tiff(tmp_path / "a.tif", values)
    for name in ("a.png", "a.tif"):
        picture = read_picture(tmp_path / name)
        assert picture.valid is None
        np.testing.assert_array_equal(picture.levels, values)
    alpha = (np.arange(48)[None].repeat(32, 0) < 40).astype(np.uint8) * 255
    Image.merge("LA", [Image.fromarray(values), Image.fromarray(alpha)]).save(tmp_path / "b.png")
    levels = read_picture(tmp_path / "b.png").levels
    assert (levels[:, :6] == 1).all()
    assert levels[20, 30] == 1
    assert (levels[:, 40:] == 0).all()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("palette png", RAMP),
        ("palette tiff", RAMP),
        ("white is zero", RAMP),
        ("4 bit", RAMP // 16 * 17),
        ("1 bit", (RAMP > 100) * 255),
    ],
)
def test_the_grey_that_is_shown(tmp_path: Path, kind: str, expected: np.ndarray) -> None:
    path = tmp_path / ("a.png" if kind == "palette png" else "a.tif")
    if kind.startswith("palette"):
        image = Image.fromarray(255 - RAMP, "P")
        image.putpalette([255 - value for value in range(256) for _ in range(3)])
        image.save(path)
        np.testing.assert_array_equal(read_numbers(path), 255 - RAMP, "a mask is its numbers")
    elif kind == "white is zero":
        tiff(path, 255 - RAMP, photometric="MINISWHITE")
    elif kind == "4 bit":
        tiff(path, RAMP // 16, nbits=4)
    else:
        tiff(path, (RAMP > 100).astype(np.uint8), nbits=1)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.values, expected)
    assert not picture.colour


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(300, 9000, (32, 48)).astype(np.uint16)
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=48, height=32, count=3, dtype="uint16") as file:
        file.write(np.stack([values] * 3))
    Image.fromarray(values).save(tmp_path / "b.png")
    tiff(tmp_path / "c.tif", 65535 - values, photometric="MINISWHITE")
    for name in ("a.png", "b.png", "c.tif"):
        picture = read_picture(tmp_path / name)
        assert picture.values.dtype == np.uint16
        np.testing.assert_array_equal(picture.values, values)


def test_refused_in_a_sentence(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(RAMP)])
    Image.fromarray(RAMP).save(tmp_path / "moving.png", save_all=True, append_images=[Image.fromarray(RAMP // 2)])
    tiff(tmp_path / "channels.tif", np.stack([RAMP, RAMP // 2, RAMP // 3]), photometric="MINISBLACK")
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (tmp_path / "vrt.tif").write_text("<VRTDataset rasterXSize='9' rasterYSize='9'></VRTDataset>")
    png_header(tmp_path / "huge.png", 60_000, 60_000)
    png_header(tmp_path / "lying.png", 24_000, 16_000, 4)
    Image.fromarray(RAMP).save(tmp_path / "tall.jpg")
    data = bytearray((tmp_path / "tall.jpg").read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 13_000, 13_000)
    (tmp_path / "tall.jpg").write_bytes(data)
    (tmp_path / "cut.bmp").write_bytes(b"BM" + bytes(20))
    sentences = {
        "pages.tif": "holds 2 pictures",
        "moving.png": "holds 2 pictures",
        "channels.tif": "3 bands that are no colours",
        "script.png": "not a readable picture",
        "vrt.tif": "not a readable picture",
        "huge.png": "more than 500 megapixels|too few for an image",
        "lying.png": "too few for an image",
        "tall.jpg": "13000 x 13000 pixels, more than its",
        "cut.bmp": "cut.bmp",
        "none.png": "is not a file",
    }
    for name, sentence in sentences.items():
        with pytest.raises(ValueError, match=sentence):
            read_picture(tmp_path / name)


def _samples() -> list[bytes]:
    found = []
    for options in ({"format": "PNG"}, {"format": "JPEG"}, {"format": "BMP"}, {"format": "WEBP"}, {"format": "TIFF"}):
        stream = io.BytesIO()
        Image.fromarray(RAMP).save(stream, **options, **({} if options["format"] == "BMP" else {"exif": oriented(6)}))
        found.append(stream.getvalue())
    return found


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    sample=st.sampled_from(_samples()),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    kept=st.floats(0.2, 1),
)
def test_whatever_stands_there_is_a_picture_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, sample: bytes, changes: list[tuple[float, bytes]], kept: float
) -> None:
    data = bytearray(sample[: max(20, int(len(sample) * (kept if kept < 0.9 else 1)))])
    for place, new in changes:
        at = int(place**2 * (len(data) - len(new)))  # headers more often than pixels
        data[at : at + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "fuzzed.png"
    path.write_bytes(data)
    for read in (size_of, read_picture, read_numbers):
        with suppress(ValueError):
            read(path)
