"""Sets that are nearly right: whatever an import takes as it stands, leaves out or doubts is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.tiles.imports import ImportConfig, import_dataset, show
from knowlip.tiles.imports.public import public_set
from knowlip.tiles.imports.sets import SETS
from tests.tiles.test_imports import picture
from tests.tiles.test_public_sets import (
    GREEN,
    air_polsar_seg,
    chips,
    coco,
    colours,
    floods,
    fusar_map,
    fusar_ship,
    hrsid,
    ls_ssdd,
    mstar,
    mstar_pictures,
    phoenix,
    sample,
    sar_acd,
    sar_aircraft,
    sardet,
    side_by_side,
    ssdd_parts,
    text,
    voc_pairs,
)


def told(source: Path, name: str, **settings) -> str:
    """What an import says to people."""
    return show(import_dataset(ImportConfig(source, name, source.parent / "out", **settings)))


def box(*ends: float, name: str = "ship", more: str = "") -> str:
    corners = "".join(f"<{key}>{end}</{key}>" for key, end in zip(("xmin", "ymin", "xmax", "ymax"), ends))
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox>{more}</object>"


def with_xml(folder: Path, *bodies: str) -> Path:
    """SSDD with these objects in 002, 009, 012, 019 ..."""
    for number, body in enumerate(bodies):
        name = f"0{number // 2}{'29'[number % 2]}"
        picture(folder / "JPEGImages" / f"{name}.jpg", number, (40, 40))
        size = "<size><width>40</width><height>40</height></size>"
        text(folder / "Annotations" / f"{name}.xml", f"<annotation>{size}{body}</annotation>")
    return folder


def with_json(folder: Path, change: Callable[[dict], object]) -> Path:
    """HRSID with changed training labels."""
    path = hrsid(folder) / "HRSID_JPG/annotations/train2017.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return folder


# ---- classes --------------------------------------------------------------------------------------------------------


def test_class_folders_without_images_are_counted(tmp_path):
    source = sar_acd(tmp_path / "set")
    shutil.rmtree(source / "A330")
    text(source / "A330" / "001.webp", "RIFF")
    text(source / "A330" / "notes.txt", "nothing")
    result = import_dataset(ImportConfig(source, "folder", tmp_path / "out"))
    assert result["import"]["empty_class_folders"] == {"count": 1, "first": ["A330"]}
    said = show(result)
    assert "class folders without an image: 1, first: A330" in said
    assert "Files of other kinds are passed over in the class folders: 1 .webp." in said
    by_name = show(import_dataset(ImportConfig(source, "sar-acd", tmp_path / "again")))
    assert "class folders without an image: 1, first: A330" in by_name
    assert "Nothing here is of the classes A330 of SAR-ACD." in by_name


def test_an_empty_folder_of_one_split_or_category_is_one(tmp_path):
    source = mstar_pictures(tmp_path / "a" / "set")
    (source / "test" / "T62").mkdir()
    assert "class folders without an image: 1, first: test/T62" in told(source, "mstar")
    source = fusar_ship(tmp_path / "b" / "set")
    (source / "Fishing" / "Trawler").mkdir(parents=True)
    (source / "Cargo" / "Ro-Ro").mkdir()
    said = told(source, "fusar-ship")
    assert "class folders without an image: 1, first: Fishing\n" in said, "Cargo has images in other folders"


def test_names_that_are_nearly_one_class(tmp_path):
    source = with_xml(tmp_path / "set", box(5, 5, 20, 20, name="Oil Tank"), box(5, 5, 20, 20, name="oil-tank"))
    assert "Oil Tank and oil-tank are taken for different classes: rename those that are one." in told(source, "msar")


def test_a_folder_above_the_classes_is_one_class(tmp_path):
    places = [f"FUSAR/{kind}/Ship_C0{n}S01N0001.tiff" for n, kind in enumerate(("Cargo", "Tanker"), 1)]
    said = told(chips(tmp_path / "set", *places), "fusar-ship")
    assert "All 2 images are of one class, FUSAR: is that the folder of the classes?" in said


def test_images_beside_the_classes_of_a_split_are_said(tmp_path):
    source = mstar_pictures(tmp_path / "set")
    picture(source / "test" / "d.png", 4, (40, 40))
    assert "test holds images itself and is taken for a class, not for a split." in told(source, "mstar")


def test_classes_of_one_side_alone_are_said(tmp_path):
    source = sample(tmp_path / "set")
    for folder in source.glob("**/synth/bmp2"):
        shutil.rmtree(folder)
    assert "1 classes have no training image: bmp2." in told(source, "sample")
    source = sar_aircraft(tmp_path / "b" / "set")
    text(source / "labels_dota" / "0000001.txt", "4 4 20 4 20 20 4 20 a220 0\n")
    said = told(source, "sar-aircraft-1.0")
    assert "1 classes have no test image: a220." in said
    assert "spelled otherwise than SAR-AIRcraft-1.0 publishes them: a220 (A220)." in said


# ---- splits ---------------------------------------------------------------------------------------------------------


def test_rules_for_names_that_fit_nothing_or_contradict_folders(tmp_path):
    source = voc_pairs(tmp_path / "a" / "set", "JPEGImages_sub", "Annotations_sub", "01-1-1", "11-1-1")
    assert "No image is in test: test_names fits none of their names." in told(source, "ls-ssdd")
    source = ssdd_parts(tmp_path / "b" / "set")
    for folder, ending in (("JPEGImages_train", "jpg"), ("Annotations_train", "xml")):
        (source / folder / f"002.{ending}").rename(source / folder / f"019.{ending}")
    said = told(source, "ssdd")
    assert "1 images are in another split by their folders or lists than by their names" in said
    assert "first: JPEGImages_train/019." in said


def test_a_split_without_test_images_is_said(tmp_path):
    source = floods(tmp_path / "set")
    text(source / "v1.1/splits/flood_handlabeled/flood_test_data.csv", "Nowhere_S1Hand.tif,x\n")
    said = told(source, "sen1floods11")
    assert "The set's own split has no test image." in said
    assert "1 names in the split files have no labelled image, first: Nowhere_S1Hand." in said


def test_parts_of_published_splits(tmp_path, monkeypatch):
    for one in SETS:
        whole = sum(one.parts.values())
        assert not one.parts or whole == one.images - (15 if one.name == "sen1floods11" else 0), one.name
    one = public_set("ls-ssdd")
    source = ls_ssdd(tmp_path / "set")
    for parts, images, said in (
        ({"train": 1, "test": 3}, 4, "2 images are in train, and LS-SSDD-v1.0 is published with 1 there."),
        ({"train": 3, "test": 3}, 3, "There are 4 labelled images, and LS-SSDD-v1.0 is published with 3"),
    ):
        monkeypatch.setattr("knowlip.tiles.imports.public.SETS", (_with(one, parts, images),))
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert said in told(source, "ls-ssdd")
        shutil.rmtree(tmp_path / "out")
        assert "there." not in told(source, "ls-ssdd", ignore_splits=True), "another split was chosen"
    kept = json.loads((tmp_path / "out" / "dataset.json").read_text())["public_set"]
    assert kept["split"] == "chosen at import, not the set's own"


def _with(one, parts, images):
    return replace(one, parts=parts, images=images)


# ---- boxes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<filename>77.jpg</filename>" + box(5, 5, 20, 20), "name another image in filename"),
        (box(5, 5, 20, 60), "boxes reach over the edge of their image and are cut there, first: 002"),
        (box(5, 5, 20, 20) * 2, "objects stand twice at one place and are both kept, first: ship of 002"),
        (box(5, 5, 20, 20, more="<robndbox><angle>30</angle></robndbox>"), "rotated boxes say no corners"),
        (
            box(
                30, 2, 38, 8, more="<segm><point-1>2,30</point-1><point-2>8,30</point-2><point-3>8,38</point-3></segm>"
            ),
            "outlines or rotated boxes lie elsewhere than the boxes",
        ),
    ],
)
def test_doubtful_boxes_of_voc_are_said(tmp_path, body, said):
    assert f"1 {said}" in told(with_xml(tmp_path / "set", body), "ssdd").replace("XML files ", "")
    shutil.rmtree(tmp_path / "out")
    fine = "<filename>002.xml</filename>" + box(5, 5, 20, 40.6)
    assert said not in told(with_xml(tmp_path / "set", fine), "ssdd")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [20, 20, 22, 23], "area": 6.0}, "boxes are not as large as their area says"),
        ({"bbox": [2, 30, 6, 8], "segmentation": [[30, 2, 38, 2, 38, 8, 30, 8]]}, "lie elsewhere than the boxes"),
    ],
)
def test_doubtful_boxes_of_coco_are_said(tmp_path, change, said):
    source = with_json(tmp_path / "set", lambda found: [one.update(change) for one in found["annotations"]])
    assert said in told(source, "hrsid")


def test_one_annotation_under_two_ids_is_said(tmp_path):
    def twice(found: dict) -> None:
        found["annotations"].append({**found["annotations"][0], "id": 99})

    assert "1 objects stand twice at one place" in told(with_json(tmp_path / "set", twice), "hrsid")


def test_fractions_and_pixels_are_not_taken_for_each_other(tmp_path):
    with pytest.raises(ValueError, match="object 1, has fractions of the image for its box"):
        told(with_xml(tmp_path / "set", box(0.1, 0.1, 0.5, 0.5)), "ssdd")
    source = with_json(tmp_path / "b" / "set", lambda found: found["annotations"][0].update(bbox=[0.1, 0.1, 0.2, 0.2]))
    with pytest.raises(ValueError, match="annotation 0 has fractions of the image for its box"):
        told(source, "hrsid")
    source = side_by_side(tmp_path / "c" / "set")
    text(source / "ship2.txt", "0 20 20 5 5\n")
    with pytest.raises(ValueError, match="'0 20 20 5 5' has pixels, not fractions of the image"):
        told(source, "sar-ship-dataset")


def test_images_without_a_label_file_are_said(tmp_path):
    source = side_by_side(tmp_path / "set")
    (source / "ship1.txt").unlink()
    said = told(source, "sar-ship-dataset")
    assert "1 images have no label file and are taken to show no object, first: ship1." in said


def test_a_class_of_another_language_is_said(tmp_path):
    source = sardet(tmp_path / "set")
    coco(source / "SARDet_100K/Annotations/val.json", "0001.png", category="harbour")
    assert "SARDet-100K is not known to have the classes harbour." in told(source, "sardet-100k")


# ---- pixels ---------------------------------------------------------------------------------------------------------


def test_phoenix_headers_that_lie(tmp_path):
    source = mstar(tmp_path / "set")
    chip = source / "TARGETS/TEST/15_DEG/slicy/HB1.015"
    phoenix(chip, 5, "slicy", 15)
    assert "2 pictures do not match only" in told(source, "mstar"), "SLICY in any case"
    shutil.rmtree(tmp_path / "out")
    chip = source / "TARGETS/TEST/15_DEG/T72/HB2.015"
    phoenix(chip, 6, "t72_tank", 15)
    chip.write_bytes(chip.read_bytes().replace(b"NumberOfRows= 12", b"NumberOfRows= 1e999"))
    with pytest.raises(ValueError, match=r"HB2\.015 says 16 x 0 pixels"):
        told(source, "mstar")
    chip.write_bytes(chip.read_bytes().replace(b"DesiredDepression= 15", b"DesiredDepression= 1e999"))
    said = told(source, "mstar", skip_bad=True)
    assert "1 in no split" in said
    assert "chips have pixels longer one way than the other" in said


def test_zeros_of_deep_images_are_said(tmp_path):
    for name, dtype in (("deep", np.uint16), ("flat", np.uint8)):
        pixels = np.random.default_rng(1).integers(1, 200, (40, 40)).astype(dtype)
        pixels[:10] = 0
        (tmp_path / name / "ship").mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / name / "ship" / "a.png")
        said = show(import_dataset(ImportConfig(tmp_path / name, "folder", tmp_path / "out" / name)))
        zeros = (
            "1 images of more than 8 bit hold zeros, which have no power and become no data, first: ship/a (25.0% of"
        )
        assert (zeros in said) == (name == "deep"), "8-bit values stay what they are"


def test_colours_that_are_no_class_are_named(tmp_path):
    source = fusar_map(tmp_path / "set")
    colours(source / "LAB_1024/XiaMen_01_Label_001.tif", (254, 0, 0), GREEN)
    colours(source / "LAB_1024/XiaMen_01_Label_002.tif", GREEN)
    assert "25.00% of the pixels of the masks have a colour that is no class, taken as none (#fe0000: 25.00%)" in told(
        source, "fusar-map"
    )


def test_images_without_a_mask_are_said(tmp_path):
    source = with_xml(tmp_path / "set", box(5, 5, 20, 20), box(5, 5, 20, 20))
    (source / "masks").mkdir()
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(source / "masks" / "002.png")
    assert "1 images have no mask, first: 009." in told(source, "ssdd", masks=Path("masks"))


def test_colour_images_are_said(tmp_path):
    source = air_polsar_seg(tmp_path / "set")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(source / "train_set/AIR-PolarSAR-Seg-0_HH.tiff")
    said = told(source, "air-polsar-seg")
    assert "images whose red, green and blue differ and were weighted to grey: 1" in said
