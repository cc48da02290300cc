"""What a user may give as an image, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from knowlip.inference import images
from knowlip.inference.images import read_image
from tests.tiles.rasters import speckle, write_scene


def test_grey_pictures_are_taken_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    taken = read_image(tmp_path / "tile.png")
    assert (taken.pixels == pixels).all()
    assert taken.metres_per_pixel is None
    assert read_image(tmp_path / "tile.png", 3.0).metres_per_pixel == 3.0


def test_colours_become_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), (10, 10, 10), np.uint8)).save(tmp_path / "colour.PNG")
    Image.fromarray(np.full((8, 8, 4), (10, 10, 10, 255), np.uint8)).save(tmp_path / "alpha.png")
    for name in ("colour.PNG", "alpha.png"):
        assert (read_image(tmp_path / name).pixels == 10).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_are_taken_as_they_are_shown(tmp_path: Path) -> None:
    """Turned by their orientation, transparent pixels no data; an 8-bit TIFF without a place is a picture too."""
    pixels = np.random.default_rng(0).integers(1, 256, (40, 50), dtype=np.uint8)
    pixels[0, 0] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert (read_image(tmp_path / "turned.png").pixels == np.rot90(pixels, -1)).all()
    alpha = np.where(np.arange(50) < 20, 0, 255)[None].repeat(40, 0).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(pixels), Image.fromarray(alpha)]).save(tmp_path / "alpha.png")
    assert (read_image(tmp_path / "alpha.png").pixels == np.where(alpha > 0, pixels, 0)).all()
    Image.fromarray(pixels).save(tmp_path / "plain.tif")
    (tmp_path / "plain.tif").rename(tmp_path / "named.png")
    assert (read_image(tmp_path / "named.png").pixels == pixels).all()
    place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(500000, 5700000, 3, 3)}
    with rasterio.open(
        tmp_path / "colour.tif", "w", driver="GTiff", count=3, width=50, height=40, dtype="uint8", **place
    ) as file:
        file.write(np.stack([pixels] * 3))
    taken = read_image(tmp_path / "colour.tif")
    assert (taken.pixels == pixels).all()
    assert taken.metres_per_pixel == pytest.approx(3, rel=2e-3)
    with rasterio.open(tmp_path / "deep.png", "w", driver="PNG", count=3, width=50, height=40, dtype="uint16") as file:
        file.write(np.stack([pixels.astype(np.uint16) * 99] * 3))
    with pytest.raises(ValueError, match="not an 8-bit picture"):
        read_image(tmp_path / "deep.png")


def test_rasters_are_quantised_like_tiles(tmp_path: Path) -> None:
    """The order of pixels by power stays, 0 is no data and only that, and a gain of the radar changes nothing."""
    values = speckle((60, 80))
    values[:5] = np.nan
    levels = read_image(write_scene(tmp_path / "scene.tif", values)).pixels
    assert levels.dtype == np.uint8
    assert levels.shape == (60, 80)
    assert (levels[:5] == 0).all()
    assert (levels[5:] > 0).all()
    order = np.argsort(values[5:], axis=None)
    assert (np.diff(levels[5:].ravel()[order].astype(int)) >= 0).all()
    assert levels.max() == 255
    louder = read_image(write_scene(tmp_path / "louder.tif", values * 10)).pixels
    assert np.abs(louder.astype(int) - levels).max() <= 1


def test_amplitude_and_db_give_the_same_levels(tmp_path: Path) -> None:
    values = speckle((60, 80))
    amplitude = write_scene(tmp_path / "a.tif", values, tags={"KNOWLIP_UNITS": "amplitude"})
    db = write_scene(tmp_path / "b.tif", 20 * np.log10(values) - 60, tags={"KNOWLIP_UNITS": "db"})
    assert np.abs(read_image(amplitude).pixels.astype(int) - read_image(db).pixels).max() <= 1


def test_the_size_of_a_pixel_is_georeferenced_or_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """UTM pixels are metres but for the scale factor of the projection, at most 4 in 10,000."""
    scene = write_scene(tmp_path / "scene.tif", speckle((60, 80)))
    with rasterio.open(scene) as file:
        side = file.transform.a
    assert read_image(scene).metres_per_pixel == pytest.approx(side, rel=2e-3)
    assert read_image(scene, side * 1.01).metres_per_pixel == side * 1.01
    assert capsys.readouterr().err == ""
    assert read_image(scene, side * 2).metres_per_pixel == side * 2
    said = capsys.readouterr().err
    assert f"scene.tif is georeferenced with pixels of {side:.3g} m; {side * 2:g} m is used" in said


def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.tif").write_text("no raster")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "flipped.png").write_bytes(data[:60] + bytes(40) + data[100:])
    cases = {
        "none.png": "does not exist",
        "none.tif": "does not exist",
        "": "is a folder",
        "text.png": "not a readable picture",
        "text.tif": "not a raster",
        "deep.png": "not an 8-bit picture",
        "cut.png": "damaged",
        "flipped.png": "damaged",
    }
    for name, sentence in cases.items():
        with pytest.raises(ValueError, match=sentence):
            read_image(tmp_path / name)
    monkeypatch.setattr(images, "_LARGEST_PIXELS", 1000)
    with pytest.raises(ValueError, match="cut it into tiles"):
        read_image(tmp_path / "whole.png")
    with pytest.raises(ValueError, match="cut it into tiles"):
        read_image(write_scene(tmp_path / "wide.tif", speckle((40, 40))))


@pytest.mark.parametrize("limit", [10, 1000], ids=["Pillow refuses", "Pillow warns"])
def test_pillows_own_limit_gives_the_same_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, recwarn: pytest.WarningsRecorder
) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr(images, "_LARGEST_PIXELS", 1000)
    with pytest.raises(ValueError, match="cut it into tiles"):
        read_image(tmp_path / "huge.png")
    assert not recwarn.list
