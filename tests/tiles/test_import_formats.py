"""Formats of labelled sets as real tools write them, and what is refused or counted of them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.tiles.imports.labels import LabelledImage, Problems
from knowlip.tiles.imports.pixels import decode, read_codes
from knowlip.tiles.imports.run import read_labels
from tests.tiles.test_import_files import BOX, CORNERS, image, labelled, write


def one(source: Path, **settings) -> LabelledImage:
    (found,) = labelled(source, **settings).values()
    return found


# ---- VOC ------------------------------------------------------------------------------------------------------------


def voc(path: Path, *boxes: tuple[float, float, float, float], more: str = "", size: str = "", head: str = "") -> None:
    objects = "".join(
        f"<object><name>ship</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>{more}</bndbox>"
        "</object>"
        for a, b, c, d in boxes
    )
    write(path, f"{head}<annotation>{size}{objects}</annotation>")


@pytest.mark.parametrize(
    ("boxes", "more", "setting", "box", "note"),
    [
        ([(1, 1, 48, 48)], "", "", (0, 0, 48, 48), "voc_corners pixels: as VOC's devkit"),
        ([(5, 5, 5, 5)], "", "", (4, 4, 5, 5), "voc_corners pixels"),
        ([(5, 5, 9, 9), (0, 3, 4, 8)], "", "", (5, 5, 9, 9), "voc_corners edges: a box of a.xml begins at (0, 3)"),
        ([(5.5, 5, 9, 9)], "", "", (5.5, 5, 9, 9), "begins at (5.5, 5)"),
        ([(5, 5, 9, 9)], "<bbox_w>4</bbox_w>", "", (5, 5, 9, 9), "voc_corners edges: bbox_w of a.xml"),
        ([(5, 5, 9, 9)], "<bbox_w>5</bbox_w>", "", (4, 4, 9, 9), "voc_corners pixels: bbox_w of a.xml"),
        ([(5, 5, 9, 9)], "", "edges", (5, 5, 9, 9), ""),
        ([(0, 5, 9, 9)], "", "pixels", (-1, 4, 9, 9), ""),
    ],
)
def test_corners_of_voc_boxes_are_pixels_or_edges_as_the_files_say(tmp_path, boxes, more, setting, box, note):
    image(tmp_path / "images" / "a.png")
    voc(tmp_path / "annotations" / "a.xml", *boxes, more=more)
    problems = Problems(False)
    assert one_with(problems, tmp_path, format="voc", voc_corners=setting).things[0].box == box
    assert note in " ".join(problems.notes)
    assert bool(note) == bool(problems.notes)


def one_with(problems: Problems, source: Path, **settings) -> LabelledImage:
    (found,) = labelled(source, problems, **settings).values()
    return found


@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "big5", "utf-8", "utf-16", "utf-8-sig"])
def test_encodings_of_voc_files(tmp_path, encoding):
    image(tmp_path / "images" / "a.png")
    path = tmp_path / "annotations" / "a.xml"
    declared = encoding.removesuffix("-sig")
    voc(path, (5, 5, 9, 9), head=f'<?xml version="1.0" encoding="{declared}"?>\n')
    path.write_bytes(path.read_text().replace("ship", "船").encode(encoding))
    assert one(tmp_path, format="voc").things[0].category == "船"
    path.write_bytes(f'<?xml version="1.0" encoding="{declared}"?><a>'.encode() + b"\xff\xff</a>")
    with pytest.raises(ValueError, match=r"a\.xml"):
        one(tmp_path, format="voc")


LAYOUTS = {
    "HRSC_Image": "<HRSC_Image><HRSC_Objects><HRSC_Object><box_xmin/></HRSC_Object></HRSC_Objects></HRSC_Image>",
    "list": "<annotation><list><object><points><point>1,1</point></points></object></list></annotation>",
    "HRSC_Objects": "<annotation><HRSC_Objects/></annotation>",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_are_not_vocs_are_named(tmp_path, layout):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "annotations" / "a.xml", LAYOUTS[layout])
    with pytest.raises(ValueError, match=rf"a\.xml is no VOC file: its layout .*<{layout}>"):
        one(tmp_path, format="voc")


def test_label_files_without_objects_are_said(tmp_path):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "annotations" / "a.xml", "<annotation/>")
    problems = Problems(False)
    assert one_with(problems, tmp_path, format="voc").things == ()
    assert "The 1 label files hold no object: are they of this format?" in problems.notes


def test_an_object_of_voc_has_one_box(tmp_path):
    image(tmp_path / "images" / "a.png")
    voc(tmp_path / "annotations" / "a.xml", (5, 5, 9, 9), more="</bndbox><bndbox><xmin>1</xmin>")
    with pytest.raises(ValueError, match="object 1, has two bndbox"):
        one(tmp_path, format="voc")


def test_sizes_that_voc_files_declare(tmp_path):
    image(tmp_path / "images" / "a.png")
    size = "<size><width>{0}</width><height>{0}</height></size>"
    voc(tmp_path / "annotations" / "a.xml", (5, 5, 9, 9), size=size.format(0))
    problems = Problems(False)
    assert one_with(problems, tmp_path, format="voc").size is None
    assert any("1 files declare a size of 0 x 0" in note for note in problems.notes)
    voc(tmp_path / "annotations" / "a.xml", (5, 5, 9, 9), size=size.format(47))
    assert one(tmp_path, format="voc").size == (47, 47), "compared with the image when it is opened"


# ---- DOTA, YOLO -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("imagesource:GoogleEarth\ngsd:null\n" + CORNERS.format("ship"), ["ship"]),
        ("\ufeffacquisition dates:2013-05-01\r\nimagesource:X\r\n" + CORNERS.format("ship"), ["ship"]),
        ("\ufeff" + CORNERS.format("small vehicle"), ["small vehicle"]),
        (CORNERS.format("small-vehicle").replace(" ", ","), ["small-vehicle"]),
        (CORNERS.format("ship").replace(" ", ", "), ["ship"]),
        ("5.0 5 15 5 15 15 5 15 A220\n", ["A220"]),
        (CORNERS.format("Boeing 737").replace(" 0\n", "\n"), ["Boeing 737"]),
        (CORNERS.format("Boeing 747"), ["Boeing 747"]),
        (".1 .1 .4 .1 .4 .3 .1 .3 ship 0\n", None),  # fractions are no pixels
        ("5 5 15 5 15 15 5 15 747\n", None),  # a number alone is no class: which column is it?
        ("5 5 15 5 15 15 ship 0\n", None),
        ("P1 0.9 5 5 15 5 15 15 5 15\n", None),
        ("5 5 15 5 15 15 5 nan ship 0\n", None),
        ("1e400 5 15 5 15 15 5 15 ship 0\n", None),
    ],
)
def test_lines_of_dota(tmp_path, text, names):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "labelTxt" / "split_1024" / "a.txt", text)
    if names is None:
        with pytest.raises(ValueError, match=r"a\.txt, line 1: "):
            one(tmp_path, format="dota")
    else:
        assert [thing.category for thing in one(tmp_path, format="dota").things] == names


def test_corners_are_put_in_order(tmp_path):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "labelTxt" / "a.txt", "10 10 30 22 30 10 10 20 Boeing 737 2\n")
    problems = Problems(False)
    (thing,) = one_with(problems, tmp_path, format="dota").things
    assert thing.difficult
    assert thing.corners.tolist() == [[10, 10], [30, 10], [30, 22], [10, 20]]
    assert list(problems.remarks) == ["rotated boxes had sides that cross; their corners are put in order"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.0 .5 .5 .25 .25", ""),
        ("\ufeff0 .5 .5 .25 .25", ""),
        ("0 .5 .5 .25 .25 0.87", "predictions with a confidence are no labels"),
        ("0.5 .5 .5 .25 .25", "class 0.5 is not one of the 1 classes"),
        ("7 .5 .5 .25 .25", "class 7 is not one of the 1 classes"),
        ("0 .5 .5 1e400 .25", "not finite"),
        ("ship .5 .5 .25 .25", "words that are not numbers"),
        ("0 .5 .5 0 .25", "empty box"),
        ("0 .5", "has 2 numbers"),
    ],
)
def test_lines_of_yolo(tmp_path, line, message):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", line)
    write(tmp_path / "classes.txt", "\ufeffship\r\n")
    if message:
        with pytest.raises(ValueError, match=message):
            one(tmp_path, format="yolo")
    else:
        (thing,) = one(tmp_path, format="yolo").things
        assert (thing.category, thing.box) == ("ship", (18, 18, 30, 30))


# ---- COCO -----------------------------------------------------------------------------------------------------------


def coco(path: Path, images: list, things: list, names: list | None = None) -> None:
    content = {"images": images, "annotations": things, "categories": names or [{"id": 1, "name": "ship"}]}
    write(path, json.dumps(content))


def entry(number, name: str = "a.png", **more) -> dict:
    return {"id": number, "file_name": name, **more}


def thing(image_id, box=(5, 5, 9, 9), category_id=1, **more) -> dict:
    return {"id": 7, "image_id": image_id, "category_id": category_id, "bbox": list(box), **more}


@pytest.mark.parametrize(
    ("images", "things", "kept"),
    [
        ([entry("1")], [thing(1)], 1),
        ([entry(1.0)], [thing("1")], 1),
        ([entry(1, width=None, height=None)], [thing(1)], 1),
        ([entry(1)], [{**thing(1), "bbox": None, "segmentation": [[5, 5, 14, 5, 14, 14]]}], 1),
        ([entry(1)], [thing(1, segmentation={"size": [48, 48], "counts": "abc"}, iscrowd=1)], 1),
        ([entry(1)], [thing(1, segmentation=[[5, 5], [1, 2, 3, 4, 5, 6]])], 1),
        ([entry(1), entry(2)], [thing(1), thing(2), thing(2, (1, 1, 3, 3))], 2),  # one image in two entries
    ],
)
def test_entries_of_coco(tmp_path, images, things, kept):
    image(tmp_path / "images" / "a.png")
    coco(tmp_path / "annotations" / "x.json", images, things)
    found = one(tmp_path, format="coco")
    assert len(found.things) == kept
    assert found.things[0].box == (5, 5, 14, 14)
    text = (tmp_path / "annotations" / "x.json").read_text()
    (tmp_path / "annotations" / "x.json").write_text("\ufeff" + text, encoding="utf-8")
    assert len(one(tmp_path, format="coco").things) == kept


@pytest.mark.parametrize(
    ("images", "things", "names", "message"),
    [
        ([entry(1)], [thing(1, category_id=12)], None, r"annotation 7 has the category 12, which is not defined"),
        ([entry(1), entry("1", "b.png")], [], None, "gives the image id 1 twice"),
        ([entry(1)], [], [{"id": 1, "name": "ship"}, {"id": 1, "name": "tank"}], "gives the category id 1 twice"),
        ([entry(1)], [thing(1, (5, 5, 9, 9, 0.3))], None, "for bbox, not x, y, width, height"),
        ([entry(1)], [thing(1, (5, 5, "x", 9))], None, "not a number"),
        ([entry(1)], [thing(1, (5, 5, 0, 9))], None, "empty box"),
        ([entry(1)], [thing([1])], None, "is not the COCO file that it should be"),
        ([entry(1, width="wide", height=3)], [], None, "says that a.png is wide x 3 pixels"),
    ],
)
def test_coco_files_that_are_refused(tmp_path, images, things, names, message):
    for name in "ab":
        image(tmp_path / "images" / f"{name}.png")
    coco(tmp_path / "annotations" / "x.json", images, things, names)
    with pytest.raises(ValueError, match=message):
        labelled(tmp_path, format="coco")


@pytest.mark.parametrize("outline", [[10, 10, 30, 10, 30, 30], [[10, 10, 30, 10]], {"counts": [1], "size": [1, 1]}])
def test_outlines_that_are_left_out_are_counted(tmp_path, outline):
    image(tmp_path / "images" / "a.png")
    coco(tmp_path / "annotations" / "x.json", [entry(1)], [thing(1, segmentation=outline)])
    problems = Problems(False)
    assert one_with(problems, tmp_path, format="coco").things[0].polygon is None
    ((what, (count, _)),) = problems.remarks.items()
    assert (what.endswith("their boxes stay"), count) == (True, 1)


def test_class_folders_of_one_name_are_said(tmp_path):
    for number, place in enumerate(("train/ship/other", "test/ship/other", "train/plane/other", "train/tank")):
        image(tmp_path / place / f"{number}.png", number)
    problems = Problems(False)
    labelled(tmp_path, problems, format="folder")
    assert "2 folders are one class, other (plane/other and ship/other): rename those that are not." in problems.notes
    assert not any("tank" in note for note in problems.notes)


def test_what_is_guessed_of_rasters_is_said(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        levels = rng.normal(-12, 3, (48, 48)).astype(np.float32)
        place = tmp_path / "set" / "ship" / f"{number}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, levels if number else 10 ** (levels / 10))
    config = ImportConfig(tmp_path / "set", "folder", out=tmp_path / "out")
    notes = " ".join(import_dataset(config)["import"]["notes"])
    assert "Units differ between images: " in notes
    assert "2 images, ship/1: Units are not stated" in notes


def test_a_band_of_angles_is_no_picture(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", width=48, height=48, count=2, dtype="float32") as file:
        file.write(np.random.default_rng(0).normal(-12, 3, (2, 48, 48)).astype(np.float32))
        file.set_band_description(1, "incidence_angle")
        file.set_band_description(2, "Sigma0_VV_db")
    config = ImportConfig(tmp_path, "folder", out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"band 1 of 2 holds .*, no backscatter: choose with --raster_band"):
        decode(path, config)
    taken = decode(path, replace(config, raster_band=2))
    assert taken.notes == ("Band 2 of 2 is read (--raster_band).",), "units are stated, not guessed"
    assert taken.raster is not None
    assert taken.raster.units == "db"


def test_values_of_masks_are_counted(tmp_path):
    mask = np.repeat(np.array([0, 1, 7], np.uint8), 16)[:, None] * np.ones(48, np.uint8)
    for name in "ab":
        image(tmp_path / "set" / "images" / f"{name}.png", ord(name))
        (tmp_path / "set" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"{name}.png")
    classes = ["0=land", "1=sea", "255=ice"]
    config = ImportConfig(tmp_path / "set", "mask", out=tmp_path / "out", mask_classes=classes)
    notes = import_dataset(config)["import"]["notes"]
    assert "Mask values that are no class (1): 7: 1536 pixels of 2 masks." in notes
    assert "No mask has a pixel of ice." in notes


def test_masks_of_fractions_are_refused_and_of_jpeg_said(tmp_path):
    np.save(tmp_path / "mask.npy", np.full((4, 4), 0.999, np.float32))
    with pytest.raises(ValueError, match=r"mask\.npy holds 0\.999: the classes of a mask are whole numbers"):
        read_codes(tmp_path / "mask.npy")
    image(tmp_path / "images" / "a.png")
    image(tmp_path / "masks" / "a.jpg")
    problems = Problems(False)
    one_with(problems, tmp_path, format="mask")
    assert list(problems.remarks) == ["masks are JPEG, which changes values at edges: use PNG"]


def test_objects_of_no_image_are_counted(tmp_path):
    image(tmp_path / "images" / "a.png")
    coco(tmp_path / "annotations" / "x.json", [entry(1), entry(2, "gone.png")], [thing(1), thing(2), thing(77)])
    problems = Problems(False)
    labelled(tmp_path, problems, format="coco")
    assert (problems.read, problems.counts) == (3, Counter(orphan=2))
    assert "image 77, which is not listed" in problems.dropped["orphan"][0]
    assert problems.missing == ["gone.png"]


def test_images_in_several_lists_are_one(tmp_path):
    for name in "abc":
        image(tmp_path / "images" / f"{name}.png", ord(name))
    folder = tmp_path / "annotations"
    coco(folder / "train.json", [entry(1)], [thing(1)])
    coco(folder / "test.json", [entry(1, "b.png"), entry(2, "c.png")], [thing(1), thing(2)])
    coco(folder / "sub" / "test_inshore.json", [entry(1, "b.png")], [thing(1), thing(1, (1, 1, 3, 3))])
    coco(folder / "trainval.json", [entry(5), entry(6, "b.png")], [thing(5)])
    problems = Problems(False)
    found = labelled(tmp_path, problems, format="coco")
    assert {name: (one.split, len(one.things)) for name, one in found.items()} == {
        "a": ("train", 1),
        "b": ("test", 2),
        "c": ("test", 1),
    }
    assert problems.counts["listed twice"] == 2
    assert "2 images are listed more than once and merged, first: b." in " ".join(problems.notes)


def test_coco_files_in_the_folders_of_their_images(tmp_path):
    for number, split in enumerate(("train", "valid")):
        image(tmp_path / split / "a.jpg", number)
        coco(tmp_path / split / "_annotations.coco.json", [entry(0, "a.jpg")], [thing(0)] * (number + 1))
    found = labelled(tmp_path, format="coco")
    assert {name: (one.split, len(one.things)) for name, one in found.items()} == {
        "train/a": ("train", 1),
        "valid/a": ("val", 2),
    }


# ---- whatever is written in them ------------------------------------------------------------------------------------

SOUND = {
    "voc": (
        "annotations/a.xml",
        "<annotation><object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox><segm><p-1>1,2</p-1><p-2>3,4</p-2><p-3>1,4</p-3></segm></object></annotation>",
    ),
    "dota": ("labelTxt/a.txt", "gsd:0.5\n" + CORNERS.format("ship")),
    "yolo": ("labels/a.txt", BOX + "0 .1 .1 .2 .1 .2 .2 .1 .2\n"),
    "coco": (
        "annotations/a.json",
        json.dumps(
            {
                "images": [entry(1, width=48, height=48)],
                "categories": [{"id": 1, "name": "ship"}],
                "annotations": [thing(1, segmentation=[[5, 5, 14, 5, 14, 14]])],
            }
        ),
    ),
}
PIECES = st.sampled_from(
    [
        "null",
        "[]",
        "{}",
        "-1",
        "1e999",
        "nan",
        '"x"',
        "0",
        "9" * 30,
        "<",
        ">",
        "&x;",
        "\x00",
        "\ufeff",
        "\n",
        ",",
        " ",
        "ä",
        "[[[[",
    ]
)


@pytest.mark.parametrize("kind", SOUND)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_broken_labels_end_in_a_sentence(tmp_path_factory, kind, data):
    source = tmp_path_factory.mktemp("set")
    Path(source / "images").mkdir()
    Image.fromarray(np.full((48, 48), 9, np.uint8)).save(source / "images" / "a.png")
    write(source / "classes.txt", "ship\n")
    path, text = SOUND[kind]
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 6))
        content[start : start + length] = data.draw(st.one_of(st.binary(max_size=4), PIECES.map(str.encode)))
    write(source / path, "")
    (source / path).write_bytes(bytes(content))
    for skip in (False, True):
        config = ImportConfig(source, kind, source / "out", skip_bad=skip)
        problems = Problems(skip)
        try:
            images = read_labels(config, problems)
        except ValueError:
            continue
        kept = sum(len(one.things) for one in images)
        assert problems.read == kept + sum(problems.counts.values())
        assert all(np.isfinite(thing.box).all() for one in images for thing in one.things)
