"""Labelled sets become data sets: every format, splits that do not leak, honest grey levels, bad labels named."""

import hashlib
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from PIL import Image

from knowlip.dataset import Dataset, verify
from knowlip.dataset.near_duplicates import NearDuplicateFinder
from knowlip.tiles.imports import ImportConfig, import_dataset, show
from knowlip.tiles.imports.crop import crops

DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[3] / "shared" / "data"))


def real(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def picture(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> np.ndarray:
    """Write a grey image of (width, height) with blocks and return its pixels."""
    random = np.random.default_rng(seed)
    values = np.kron(random.integers(20, 235, (8, 8)), np.ones((-(-size[1] // 8), -(-size[0] // 8))))
    values = values[: size[1], : size[0]].astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values


def voc(path: Path, size: tuple[int, int], *boxes: tuple[float, float, float, float], extra: str = "") -> None:
    objects = "".join(
        f"<object><name>ship</name><difficult>{i % 2}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox>{extra}</object>"
        for i, (a, b, c, d) in enumerate(boxes)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"
    )


def voc_set(folder: Path) -> Path:
    """Six images; 4 is a byte-identical copy of 1."""
    for number in range(1, 7):
        picture(folder / "images" / f"{number:04d}.png", 1 if number == 4 else number)
        voc(folder / "annotations" / f"{number:04d}.xml", (60, 40), *[(6, 4, 30, 20)] * (number > 1))
    return folder


def run(source: Path, out: Path, **options) -> tuple[dict, Dataset]:
    result = import_dataset(ImportConfig(source, out=out, **options))
    assert show(result)
    verify(out)
    return result, Dataset(out)


def test_voc_boxes_outlines_and_empty_images(tmp_path):
    source = voc_set(tmp_path / "My Set")
    extra = (
        "<rotated_bndbox><x1>10</x1><y1>5</y1><x2>20</x2><y2>10</y2><x3>18</x3><y3>14</y3><x4>8</x4><y4>9</y4></rotated_bndbox>"
        "<segm><point-2>20,10</point-2><point-1>10,5</point-1><point-10>12,13</point-10></segm>"
    )
    voc(source / "annotations" / "0002.xml", (60, 40), (8, 5, 20, 14), extra=extra)
    sensor = {"metres_per_pixel": 2.0, "sensor": "gaofen-3", "band": "C"}
    result, data = run(source, tmp_path / "out", format="voc", voc_corners="edges", **sensor)
    assert (result["accepted"], result["annotations"]) == (6, 5)
    rows = data.annotations().set_index("tile_id")
    assert "my-set-0001" not in rows.index, "an image without objects stays, without rows"
    row = rows.loc["my-set-0002"]
    assert [row["x"], row["y"], row["width"], row["height"]] == pytest.approx([8 / 60, 5 / 40, 12 / 60, 9 / 40])
    assert row["corners"] == pytest.approx(np.divide([10, 5, 20, 10, 18, 14, 8, 9], [60, 40] * 4))
    assert row["polygon"] == pytest.approx(np.divide([10, 5, 20, 10, 12, 13], [60, 40] * 3)), "points by their number"
    tile = data.tiles().iloc[0]
    assert tile["metres_per_pixel"] == 2.0
    assert tile["window_m"] == 120.0
    assert list(tile["proj:shape"]) == [40, 60]
    assert np.isnan(tile["lon"])
    np.testing.assert_array_equal(data.image("my-set-0003"), picture(tmp_path / "again.png", 3))


def test_same_files_same_bytes(tmp_path):
    source = voc_set(tmp_path / "set")
    for name in ("one", "two"):
        run(source, tmp_path / name, format="voc")
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_copies_stay_in_one_split(tmp_path):
    folder = tmp_path / "set"
    for number in range(40):
        values = picture(folder / "images" / f"{number:04d}.png", number % 20, (96, 96))
        if number >= 20:  # brighter, rescaled copies
            Image.fromarray(np.minimum(255, values + 5).astype(np.uint8)).resize((120, 120)).save(
                folder / "images" / f"{number:04d}.png"
            )
        voc(folder / "annotations" / f"{number:04d}.xml", (120, 120) if number >= 20 else (96, 96))
    result, data = run(folder, tmp_path / "out", format="voc", shares=(0.5, 0.25, 0.25))
    splits = data.tiles().set_index("tile_id")["split"]
    assert len(set(splits)) == 3
    for number in range(20):
        assert splits[f"set-{number:04d}"] == splits[f"set-{number + 20:04d}"]
    assert verify(tmp_path / "out", near=True)["near_duplicates"]["pairs"] == 0
    copies = result["import"]["copies"]
    assert (copies["identical"]["groups"], copies["alike"]["groups"]) == (0, 20)


def test_official_splits_lose_copies_from_training(tmp_path):
    source = voc_set(tmp_path / "set")
    _, data = run(source, tmp_path / "endings", format="voc", test_endings="9, 4")
    index = data.index.set_index("tile_id")
    assert index.loc["set-0004", "split"] == "test"
    assert index.loc["set-0001", "reject_reason"] == "duplicate", "the copy in the training set goes"
    assert index["accepted"].sum() == 5
    (source / "train.txt").write_text("0001\n0002.png\n")
    (source / "test.txt").write_text("images/0003\n")
    files = [Path("train.txt"), Path("test.txt")]
    result, data = run(source, tmp_path / "files", format="voc", split_files=files)
    assert dict(zip(data.tiles()["tile_id"], data.tiles()["split"])) == {
        "set-0001": "train",
        "set-0002": "train",
        "set-0003": "test",
    }
    assert result["import"]["not_in_split_files"] == 3
    (source / "test.txt").write_text("0002\n")
    with pytest.raises(ValueError, match="0002 is in train and in test"):
        run(source, tmp_path / "no", format="voc", split_files=files)
    assert not (tmp_path / "no").exists()


def test_bad_labels_are_named_or_skipped(tmp_path):
    source = voc_set(tmp_path / "set")
    (source / "annotations" / "0002.xml").write_text("<annotation><object>")
    voc(source / "annotations" / "0003.xml", (60, 40), (30, 4, 6, 20), (1, 1, 9, 9))
    voc(source / "annotations" / "0005.xml", (61, 40), (1, 1, 9, 9))
    voc(source / "annotations" / "0099.xml", (60, 40))
    picture(source / "images" / "0100.png", 100)
    with pytest.raises(ValueError, match=r"0002\.xml is not well-formed"):
        import_dataset(ImportConfig(source, "voc", tmp_path / "out"))
    result, data = run(source, tmp_path / "out", format="voc", skip_bad=True)
    record = result["import"]
    assert record["bad"]["count"] == 3
    assert any("0003.xml, object 1, has an empty box" in text for text in record["bad"]["first"])
    assert any("61 x 40" in text for text in record["bad"]["first"])
    assert record["missing_images"]["first"] == ["0099.xml"]
    assert record["unlabelled_images"]["first"] == ["0100"]
    assert len(data.annotations().query("tile_id == 'set-0003'")) == 1
    (source / "annotations" / "0002.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    with pytest.raises(ValueError, match="DOCTYPE"):
        import_dataset(ImportConfig(source, "voc", tmp_path / "entity"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pascal"}, "format must be one of"),
        ({"format": "voc", "overlap_px": 10}, "overlap_px must lie below tile_px"),
        ({"format": "voc", "shares": (0.5, 0.5, 0.5)}, "shares must be three numbers"),
        ({"format": "voc", "labels": Path("nowhere")}, "given as the set's labels, does not exist"),
        ({"format": "yolo"}, "names the classes"),
        ({"format": "coco"}, "holds no COCO file"),
        ({"format": "folder"}, "stands in no class folder"),
        ({"format": "dota"}, "no image with dota labels"),
        ({"format": "mask", "masks": Path("images"), "mask_classes": ["sea"]}, "VALUE=NAME"),
    ],
)
def test_settings_that_cannot_work(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        import_dataset(ImportConfig(voc_set(tmp_path / "set"), out=tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_dota_lines(tmp_path):
    source = tmp_path / "set"
    picture(source / "images" / "a.png", 1, (100, 80))
    labels = source / "labelTxt"
    labels.mkdir()
    (labels / "a.txt").write_text(
        "imagesource:X\ngsd:0.5\n10 10 30 10 30 20 10 20 plane 0\n50 10 70 30 60 40 40 20 ship 1\n"
    )
    (labels / "b.txt").write_text("")
    result, data = run(source, tmp_path / "out", format="dota", category="target")
    rows = data.annotations()
    assert list(rows["type"]) == ["plane", "ship"]
    assert set(rows["category"]) == {"target"}
    assert list(rows["difficult"]) == [False, True]
    assert list(rows["corners"].map(len)) == [0, 8], "upright corners are a plain box"
    assert rows.loc[1, ["x", "y", "width", "height"]].tolist() == pytest.approx([0.4, 0.125, 0.3, 0.375])
    assert data.tiles()["metres_per_pixel"][0] == 0.5
    assert result["import"]["missing_images"]["first"] == ["b.txt"]
    (labels / "a.txt").write_text("10 10 30 10 30 20 plane 0\n")
    with pytest.raises(ValueError, match=r"a\.txt, line 1"):
        import_dataset(ImportConfig(source, "dota", tmp_path / "bad"))


def test_class_folders_and_images_with_two_classes(tmp_path):
    source = tmp_path / "planes"
    for number in range(6):
        picture(source / ("A220" if number % 2 else "A330") / f"{number}.png", number)
    picture(source / "A220" / "0.png", 0)  # the same picture as A330/0
    result, data = run(source, tmp_path / "out", format="folder", category="aircraft")
    rows = data.annotations()
    assert sorted(rows["type"]) == ["A220"] * 3 + ["A330"] * 2
    assert (rows[["x", "y", "width", "height"]] == [0, 0, 1, 1]).all(axis=None)
    assert set(data.index.query("reject_reason == 'conflict'")["tile_id"]) == {"planes-a220-0", "planes-a330-0"}
    assert result["import"]["copies"]["conflicts"]["first"] == [["A220/0", "A330/0"]]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_masks_and_float_images(tmp_path):
    source = tmp_path / "flood"
    random = np.random.default_rng(0)
    (source / "S1").mkdir(parents=True)
    (source / "Labels").mkdir()
    decibel = random.normal(-12, 4, (2, 48, 64)).astype(np.float32)
    decibel[:, :5] = np.nan
    label = random.integers(-1, 2, (48, 64)).astype(np.int16)
    for path, values, nodata in (
        (source / "S1" / "x_S1.tif", decibel, np.nan),
        (source / "Labels" / "x_L.tif", label[None], None),
    ):
        with rasterio.open(
            path, "w", driver="GTiff", width=64, height=48, count=len(values), dtype=values.dtype, nodata=nodata
        ) as file:
            file.write(values)
    options = {
        "format": "mask",
        "images": Path("S1"),
        "masks": Path("Labels"),
        "image_suffix": "_S1",
        "mask_suffix": "_L",
    }
    _, data = run(source, tmp_path / "out", mask_classes=["0=land", "1=water"], **options)
    tile = data.tiles().iloc[0]
    image = data.image(tile["tile_id"])
    assert (image[:5] == 0).all()
    assert (image[5:] > 0).all()
    assert tile["valid_fraction"] == pytest.approx(43 / 48, abs=1e-4)
    low, high = tile["quantiser_lo"], tile["quantiser_hi"]
    assert [low, high] == pytest.approx(np.percentile(decibel[0, 5:], (0.5, 99.8)), abs=0.1)
    expected = np.clip(1 + np.round((decibel[0, 5:] - low) / (high - low) * 254), 1, 255)
    assert np.abs(expected - image[5:]).max() <= 1
    assert data.mask_classes == {0: "land", 1: "water"}
    np.testing.assert_array_equal(data.masks.mask(tile["tile_id"]), np.where(label < 0, 255, label))
    _, data = run(source, tmp_path / "cut", tile_px=40, overlap_px=8, **options)
    assert data.mask_classes == {0: "class-0", 1: "class-1"}
    assert data.tiles()["proj:shape"].map(list).tolist() == [[40, 40]] * 4
    np.testing.assert_array_equal(data.masks.mask("flood-x-s1-x00024y00008"), np.where(label < 0, 255, label)[8:, 24:])


def test_crops_cover_the_image():
    for size in ((100, 70), (64, 64), (65, 300), (10, 10)):
        covered = np.zeros(size[::-1], int)
        for x, y, width, height in crops(size, 64, 16):
            covered[y : y + height, x : x + width] += 1
            assert max(width, height) <= 64
        assert covered.min() == 1


def test_objects_on_the_edge_of_a_tile(tmp_path):
    source = tmp_path / "set"
    picture(source / "images" / "a.png", 1, (128, 64))
    lines = [
        "10 10 30 10 30 30 10 30 inside 0",  # in the left tile
        "40 10 80 10 80 20 40 20 wide 0",  # 24 of 40 px in the left tile: kept there only
        "56 40 72 40 72 50 56 50 half 0",  # 8 of 16 px in each
    ]
    (source / "labelTxt").mkdir()
    (source / "labelTxt" / "a.txt").write_text("\n".join(lines))
    _, data = run(source, tmp_path / "out", format="dota", tile_px=64)
    rows = data.annotations()
    found = {(row["tile_id"][-11:], row["category"]): row for row in rows.to_dict("records")}
    assert set(found) == {
        ("00000y00000", "inside"),
        ("00000y00000", "wide"),
        ("00000y00000", "half"),
        ("00064y00000", "half"),
    }
    wide = found["00000y00000", "wide"]
    assert [wide["x"], wide["width"]] == pytest.approx([40 / 64, 24 / 64])


def test_eight_bit_values_stay_what_they_are(tmp_path):
    """A dark border is no collar and a zero is data: what is imported is what the files hold, all of it valid."""
    source = tmp_path / "set"
    values = np.random.default_rng(0).integers(0, 120, (40, 60)).astype(np.uint8)
    values[:, :6] = values[10, 10] = 0
    (source / "a").mkdir(parents=True)
    Image.fromarray(values).save(source / "a" / "x.png")
    Image.fromarray(np.dstack([values, values, values // 2])).save(source / "a" / "y.png")
    np.save(source / "a" / "z.npy", values[::-1])
    Image.fromarray(np.zeros_like(values)).save(source / "a" / "zero.png")
    result, data = run(source, tmp_path / "out", format="folder")
    tiles = data.index.set_index("tile_id")
    np.testing.assert_array_equal(data.image("set-a-x"), values)
    np.testing.assert_array_equal(data.image("set-a-z"), values[::-1])
    assert (tiles["valid_fraction"] == 1).all()
    assert set(tiles["quantiser"]) == {"as-is-v2"}
    assert tiles.loc["set-a-x", "q_dark"] == pytest.approx((values <= 1).mean(), abs=1e-4)
    assert result["import"]["colour_images"] == 1
    assert result["rejected"] == {"blank": 1}, "nothing to see, and nothing declared no data"
    weighted = values * 0.886 + (values // 2) * 0.114
    assert np.abs(data.image("set-a-y") - weighted).max() <= 0.51


def test_what_a_file_declares_is_nodata_and_counted(tmp_path):
    source = tmp_path / "set"
    values = picture(source / "a" / "plain.png", 1)
    alpha = np.where(np.arange(60)[None].repeat(40, 0) < 15, 0, 255).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(values), Image.fromarray(alpha)]).save(source / "a" / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(source / "a" / "turned.png", exif=exif)
    result, data = run(source, tmp_path / "out", format="folder")
    tiles = data.tiles().set_index("tile_id")
    np.testing.assert_array_equal(data.image("set-a-alpha"), np.where(alpha > 0, values, 0))
    np.testing.assert_array_equal(data.image("set-a-turned"), np.rot90(values, -1))
    assert tiles.loc["set-a-alpha", "valid_fraction"] == 0.75
    assert tiles.loc["set-a-alpha", "quantiser"] == "as-is-masked-v2"
    assert (result["import"]["turned_images"], result["import"]["masked_images"]) == (1, 1)
    assert "images turned by their EXIF orientation: 1" in show(result)


def test_images_above_pillows_limit_are_cut(tmp_path, monkeypatch):
    source = tmp_path / "set"
    values = picture(source / "a" / "big.png", 1, (400, 300))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr("knowlip.tiles.imports.pixels.LARGEST_WHOLE", 100_000)
    with pytest.raises(ValueError, match=r"400 x 300 pixels, too many for one tile: --tile_px"):
        import_dataset(ImportConfig(source, "folder", tmp_path / "whole"))
    assert not (tmp_path / "whole").exists()
    monkeypatch.setattr("knowlip.dataset.near_duplicates._LARGE", 10_000)
    result, data = run(source, tmp_path / "out", format="folder", tile_px=25)
    assert result["tiles"] == 16 * 12
    np.testing.assert_array_equal(data.image("set-a-big-x00375y00275"), values[275:, 375:])


def test_different_images_are_no_near_duplicates():
    random = np.random.default_rng(1)
    finder = NearDuplicateFinder()
    for _ in range(50):
        finder.add(random.integers(0, 255, (64, 64)).astype(np.uint8))
    assert not list(finder.pairs(range(50), range(50)))


# ---- real sets ------------------------------------------------------------------------------------------------------


def test_ssdd(tmp_path):
    source = real("ssdd")
    names = sorted(path.stem for path in (source / "annotations").iterdir())[::8]
    (tmp_path / "test.txt").write_text("\n".join(names))
    classes = {"masks": Path("sea_land_masks"), "mask_classes": ["0=land", "255=sea"]}
    files = {"split_files": [tmp_path / "test.txt"]}
    _, data = run(source, tmp_path / "out", format="voc", **classes, **files)
    rows = data.annotations()
    boxes = []
    for name in names:
        root = ElementTree.parse(source / "annotations" / f"{name}.xml").getroot()
        width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
        for item in root.iter("object"):
            a, b, c, d = (float(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append((a / width, b / height, min(c, width) / width, min(d, height) / height))
    assert len(rows) == len(boxes)
    np.testing.assert_allclose(
        np.column_stack([rows["x"], rows["y"], rows["x"] + rows["width"], rows["y"] + rows["height"]]),
        boxes,
        atol=1e-12,
    )
    assert rows["corners"].map(len).eq(8).mean() > 0.9
    assert rows["polygon"].map(len).ge(6).all()
    for tile, name in list(zip(data.tiles()["tile_id"], names, strict=True))[:10]:
        mask = np.array(Image.open(source / "sea_land_masks" / f"{name}.png"))
        np.testing.assert_array_equal(data.masks.mask(tile), (mask == 255).astype(np.uint8))


def test_ls_ssdd_keeps_empty_images(tmp_path):
    result, data = run(real("ls-ssdd"), tmp_path / "out", format="voc")
    assert result["accepted"] == 10
    assert data.annotations()["tile_id"].nunique() == 2


def test_sar_aircraft_reports_missing_images(tmp_path):
    source = real("sar-aircraft-1.0")
    splits = [Path("splits") / f"{name}.txt" for name in ("train", "val", "test")]
    result, data = run(source, tmp_path / "out", format="dota", category="aircraft", split_files=splits)
    images = {path.stem for path in (source / "images").iterdir()}
    labels = {path.stem for path in (source / "labels_dota").iterdir()}
    assert result["import"]["missing_images"]["count"] == len(labels - images)
    lines = [
        line for name in sorted(images) for line in (source / "labels_dota" / f"{name}.txt").open() if line.strip()
    ]
    assert sorted(data.annotations()["type"]) == sorted(line.split()[8] for line in lines)


def test_sar_acd_has_images_of_two_classes(tmp_path):
    source = real("sar-acd")
    seen: dict[str, set[str]] = {}
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.glob("*/*.jpg")}
    for path, digest in digests.items():
        seen.setdefault(digest, set()).add(path.parent.name)
    conflicts = sum(len(classes) > 1 for classes in seen.values())
    conflicting = sum(len(seen[digest]) > 1 for digest in digests.values())
    result, data = run(source, tmp_path / "out", format="folder", category="aircraft")
    copies = result["import"]["copies"]
    assert copies["alike"]["groups"] > 300, "the set holds its pictures several times, with other brightness"
    assert verify(tmp_path / "out", near=True)["near_duplicates"]["pairs"] == 0
    assert conflicts == result["import"]["copies"]["conflicts"]["groups"] > 0
    assert result["rejected"] == {"conflict": conflicting}
    assert len(data.annotations()) == result["accepted"] == len(digests) - conflicting


def test_polsf_and_sen1floods11(tmp_path):
    source = real("polsf")
    classes = ["1=bare soil", "2=mountain", "3=water", "4=urban", "5=vegetation"]
    images = {"images": Path("SF-AIRSAR-Pauli.bmp"), "masks": Path("SF-AIRSAR-label2d.png")}
    _, data = run(source, tmp_path / "sf", format="mask", mask_classes=classes, tile_px=512, **images)
    label = np.array(Image.open(source / "SF-AIRSAR-label2d.png"))
    mask = data.masks.mask("polsf-sf-airsar-pauli-x00512y00388")
    np.testing.assert_array_equal(mask, np.where(label == 0, 255, label.astype(int) - 1)[388:, 512:])
    options = {
        "images": Path("S1"),
        "masks": Path("Labels"),
        "image_suffix": "_S1Hand",
        "mask_suffix": "_LabelHand",
    }
    result, data = run(
        real("sen1floods11"), tmp_path / "floods", format="mask", mask_classes=["0=land", "1=water"], **options
    )
    assert result["rejected"] == {"nodata": 1}, "Paraguay holds nothing but NaN"
    empty = next(tile for tile in data.tiles()["tile_id"] if "83483" in tile)
    assert (data.masks.mask(empty) == 255).all()


def test_the_command(tmp_path, capsys):
    from knowlip.cli import main

    source = voc_set(tmp_path / "set")
    command = ["dataset", "import", str(source), "--format", "voc", "--out", str(tmp_path / "out"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 6
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err
