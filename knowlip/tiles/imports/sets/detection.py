"""Sets with boxes."""

from pathlib import Path

from knowlip.tiles.imports.sets.record import FOUR_TO_ONE, Layout, PublicSet

_BY_HASH = "none of its own: 4:1 by hash, copies together"
_RADARS = "Journal of Radars: free for research and teaching with its citation, commercial use by permission"
_VOC = {"format": "voc", "images": Path("JPEGImages"), "labels": Path("Annotations")}
_COCO = {"format": "coco", "images": Path("images"), "labels": Path("annotations")}
_SSDD_FLAT = {"format": "voc", "images": Path("images"), "labels": Path("annotations")}
_AIRCRAFT_LISTS = tuple(f"ImageSets/Main/{split}.txt" for split in ("train", "val", "test"))


def _sense(name: str, title: str, what: str) -> PublicSet:
    """A detection set of the paper that is not public: whatever of the three usual forms is there is read."""
    return PublicSet(
        name=name,
        title=title,
        task="detection",
        layouts=(
            Layout(("JPEGImages/*", "Annotations/*.xml"), _VOC),
            Layout(("images/*", "annotations/*.json"), _COCO),
            Layout(("images/*", "labelTxt/*.txt"), {"format": "dota", "images": Path("images")}),
        ),
        expects="JPEGImages and Annotations (VOC), images and annotations (COCO), or images and labelTxt (DOTA)",
        about_classes=what,
        split="its own where folders or lists say one, else 4:1 by hash, copies together",
        metres="not known",
        licence="not published",
        source="arXiv 2509.23927, Table 1",
        settings={"shares": FOUR_TO_ONE, "sensor": "gaofen-3", "band": "C"},
        confirmed=False,
        doubt="no public release was found; the usual layouts of VOC, COCO and DOTA are tried",
    )


def _aircraft(name: str, title: str, split: str, share: float) -> PublicSet:
    """SAR-AIRcraft-1.0 with a share of its training images."""
    return PublicSet(
        name=name,
        title=title,
        task="detection",
        layouts=(
            Layout(("JPEGImages/*.jpg", "Annotations/*.xml"), _VOC, lists=_AIRCRAFT_LISTS),
            Layout(
                ("images/*.jpg", "labels_dota/*.txt"),
                {"format": "dota", "images": Path("images"), "labels": Path("labels_dota")},
                lists=tuple(f"splits/{name}.txt" for name in ("train", "val", "test")),
            ),
        ),
        expects="JPEGImages, Annotations (VOC) and ImageSets/Main with train.txt, val.txt and test.txt; or images, "
        "labels_dota and splits",
        classes=("A220", "A320/321", "A330", "ARJ21", "Boeing737", "Boeing787", "other"),
        images=4368,
        parts={"train": 3047, "val": 442, "test": 879},
        split=split,
        metres="1",
        licence=_RADARS,
        source="https://radars.ac.cn/en/article/doi/10.12000/JR23043",
        settings={"metres_per_pixel": 1.0, "sensor": "gaofen-3", "band": "C", "train_share": share},
        defects=("Images of one airport are in train and test.",),
    )


DETECTION = (
    _sense("fusar-ship-sense", "FUSAR-SHIP-Sense (FU-SS)", "ships"),
    _sense("fusar-air-sense", "FUSAR-AIR-Sense (FU-AS)", "aircraft"),
    _aircraft("sar-aircraft-1.0", "SAR-AIRcraft-1.0", "official lists: 3,047 train, 442 val, 879 test", 1.0),
    _aircraft(
        "sar-aircraft-1.0-few-shot",
        "SAR-AIRcraft-1.0, a fifth of the training images (AIR-F)",
        "official lists, 20 % of train by hash (--seed gives others), val and test whole",
        0.2,
    ),
    PublicSet(
        name="ssdd",
        title="SSDD (official release)",
        task="detection",
        layouts=(
            Layout(
                ("JPEGImages/*.jpg", "Annotations/*.xml"),
                _VOC,
                roots=("BBox_SSDD/voc_style", "*/BBox_SSDD/voc_style"),
            ),
            Layout(
                (
                    "JPEGImages_train/*.jpg",
                    "JPEGImages_test/*.jpg",
                    "Annotations_train/*.xml",
                    "Annotations_test/*.xml",
                ),
                {
                    **{"format": "voc", "images": Path(), "labels": Path()},
                    "only": r"^JPEGImages_(train|test)/[^/]+$",
                },
                roots=("BBox_SSDD/voc_style", "*/BBox_SSDD/voc_style"),
            ),
            Layout(
                ("images/*.jpg", "annotations/*.xml", "sea_land_masks/*.png"),
                {**_SSDD_FLAT, "masks": Path("sea_land_masks"), "mask_classes": ["0=land", "255=sea"]},
            ),
            Layout(("images/*.jpg", "annotations/*.xml"), _SSDD_FLAT),
        ),
        expects="BBox_SSDD/voc_style with JPEGImages and Annotations (or both with _train and _test), or images and "
        "annotations with XML, beside them SL-SSDD's sea_land_masks where inshore is to be told",
        classes=("ship",),
        images=1160,
        parts={"train": 928, "test": 232},
        split="official: file numbers that end in 1 or 9 are test (232), the others train (928)",
        metres="1 to 15, not said of each image; not set",
        licence="Apache-2.0",
        source="https://github.com/TianwenZhang0825/Official-SSDD",
        settings={"test_endings": "1,9"},
        defects=(
            "22 groups of identical images, 10 pairs of them on both sides of the split: copies in train are rejected.",
            "Results in the literature often choose the epoch on test.",
        ),
    ),
    PublicSet(
        name="hrsid",
        title="HRSID",
        task="detection",
        layouts=(
            Layout(
                ("JPEGImages/*", "annotations/train2017.json", "annotations/test2017.json"),
                {"format": "coco", "images": Path("JPEGImages"), "labels": Path("annotations")},
                roots=("HRSID_JPG", "HRSID_PNG"),
            ),
        ),
        expects="JPEGImages and annotations with train2017.json and test2017.json",
        classes=("ship",),
        images=5604,
        parts={"train": 3642, "test": 1962},
        split="official: train2017.json and test2017.json",
        metres="0.5, 1 and 3, not said of each image; not set",
        licence="none stated",
        source="https://github.com/chaozhong2010/HRSID",
        defects=(
            "Neighbouring images overlap by a quarter, so that train and test share ground.",
            "train_test2017.json lists everything again; its objects are counted as listed twice.",
        ),
    ),
    PublicSet(
        name="ls-ssdd",
        title="LS-SSDD-v1.0",
        task="detection",
        layouts=(
            Layout(
                ("JPEGImages_sub/*.jpg", "Annotations_sub/*.xml"),
                {"images": Path("JPEGImages_sub"), "labels": Path("Annotations_sub")},
            ),
            Layout(
                ("JPEGImages_sub_train/**/*.jpg", "JPEGImages_sub_test/**/*.jpg", "Annotations_sub/**/*.xml"),
                {"images": Path(), "labels": Path("Annotations_sub"), "only": "^JPEGImages_sub_(train|test)/"},
            ),
            Layout(("images/*.jpg", "annotations/*.xml"), {"images": Path("images"), "labels": Path("annotations")}),
        ),
        expects="JPEGImages_sub (or JPEGImages_sub_train and JPEGImages_sub_test) and Annotations_sub",
        classes=("ship",),
        images=9000,
        parts={"train": 6000, "test": 3000},
        split="official, by the scene that begins a name: 01 to 10 train, 11 to 15 test",
        metres="10",
        licence="none stated",
        source="https://github.com/TianwenZhang0825/LS-SSDD-v1.0-OPEN",
        settings={
            **{"format": "voc", "test_names": r"(^|/)1[1-5]_\d+_\d+\.", "metres_per_pixel": 10.0},
            **{"sensor": "sentinel-1", "band": "C", "polarisation": "VV"},
        },
        defects=("Most images show no ship.", "filename in its XML names the XML, not the image."),
    ),
    PublicSet(
        name="sar-ship-dataset",
        title="SAR-Ship-Dataset",
        task="detection",
        layouts=(
            Layout(
                ("*.jpg", "*.txt"),
                {"images": Path(), "labels": Path()},
                roots=("ship_dataset_v0", "ship_dataset_v0/ship_dataset_v0"),
            ),
        ),
        expects="ship_dataset_v0 with NAME.jpg and NAME.txt (class and fractions of a box in each line) side by side",
        classes=("ship",),
        images=39729,
        split=_BY_HASH,
        metres="3 to 25, not said of each image; not set",
        licence="none stated",
        source="https://github.com/CAESAR-Radi/SAR-Ship-Dataset",
        settings={"format": "yolo", "classes": ["ship"], "shares": FOUR_TO_ONE, "band": "C"},
        defects=("The first release (43,819 chips) holds repeated chips and wrong boxes; the second has 39,729.",),
    ),
    PublicSet(
        name="msar",
        title="MSAR-1.0",
        task="detection",
        layouts=(Layout(("JPEGImages/*.jpg", "Annotations/*.xml"), _VOC, roots=("MSAR-1.0 dataset",)),),
        expects="JPEGImages and Annotations (VOC)",
        about_classes="aircraft, oil tank, bridge and ship, as the files spell them",
        images=28449,
        split=_BY_HASH,
        metres="1 (resolution)",
        licence=_RADARS,
        source="https://radars.ac.cn/web/data/getData?dataType=MSAR",
        settings={"shares": FOUR_TO_ONE, "band": "C"},
        defects=("Some bridges are on images of 2048 pixels, all else on 256: size tells the class.",),
    ),
    PublicSet(
        name="sadd",
        title="SADD",
        task="detection",
        layouts=(
            Layout(("images/**/*.jpg", "labels/**/*.txt"), {"images": Path("images"), "labels": Path("labels")}),
            Layout(("*.jpg", "*.txt"), {"images": Path(), "labels": Path()}),
        ),
        expects="images and labels, or NAME.jpg and NAME.txt (class and fractions of a box in each line) side by side",
        classes=("aircraft",),
        images=2966,
        split=_BY_HASH,
        metres="0.5 to 3, not said of each image; not set",
        licence="none stated",
        source="https://github.com/hust-rslab/SAR-aircraft-data",
        settings={
            **{"format": "yolo", "classes": ["aircraft"], "shares": FOUR_TO_ONE},
            **{"sensor": "terrasar-x", "band": "X", "polarisation": "HH"},
        },
        defects=("Other collections count 883 images: those that show aircraft.",),
        confirmed=False,
        doubt="its makers document the label format (YOLO) and not the folders",
    ),
    PublicSet(
        name="air-sarship",
        title="AIR-SARShip (2.0, and 1.0)",
        task="detection",
        layouts=(
            Layout(
                ("AIR-SARShip-2.0-data/**/*.tif*", "AIR-SARShip-2.0-xml/**/*.xml"),
                {"images": Path("AIR-SARShip-2.0-data"), "labels": Path("AIR-SARShip-2.0-xml")},
            ),
            Layout(("**/*.tif*", "**/*.xml"), {"images": Path(), "labels": Path()}),
        ),
        expects="AIR-SARShip-2.0-data with NUMBER.tiff and AIR-SARShip-2.0-xml with NUMBER.xml; of 1.0 tiff and xml "
        "files of the same names",
        classes=("ship",),
        split=_BY_HASH,
        metres="1 and 3, not said of each image; not set",
        licence=_RADARS,
        source="https://radars.ac.cn/en/article/doi/10.12000/JR19097",
        settings={
            **{"format": "voc", "voc_corners": "edges", "tile_px": 1000, "shares": FOUR_TO_ONE},
            **{"sensor": "gaofen-3", "band": "C"},
        },
        defects=("16-bit images: grey levels are made image by image.", "What corners mean is not documented: edges."),
        confirmed=False,
        doubt="the folders of 2.0 were seen in the code of its users, those of 1.0 nowhere",
    ),
    PublicSet(
        name="sardet-100k",
        title="SARDet-100K",
        task="detection",
        layouts=(
            Layout(
                ("JPEGImages/train", "JPEGImages/val", "JPEGImages/test", "Annotations/*.json"),
                {"labels": Path("Annotations")},
                roots=("SARDet_100K",),
            ),
            Layout(
                ("JPEGImages/train", "JPEGImages/val", "Annotation/*.json"),
                {"labels": Path("Annotation")},
                roots=("SARDet_100K",),
            ),
        ),
        expects="JPEGImages with train, val and test, and Annotations with train.json, val.json and test.json",
        classes=("ship", "aircraft", "car", "tank", "bridge", "harbor"),
        images=116598,
        parts={"train": 94493, "val": 10492, "test": 11613},
        split="official: train, val and test",
        metres="0.1 to 25, not said of each image; not set",
        licence="that of its ten source sets; see its repository",
        source="https://github.com/zcablii/SARDet_100K",
        settings={"format": "coco", "images": Path("JPEGImages")},
        defects=(
            "A mix of ten sets (SSDD, HRSID, MSAR, SADD and others): models trained on it have seen their images.",
        ),
    ),
    PublicSet(
        name="saratr-x-mix",
        title="pre-training mix of SARATR-X",
        task="detection",
        layouts=(Layout(("*/**/*.[jptb][pinm]*",), {"class_names": r"^([^/]+)/"}),),
        expects="a folder with pictures for each of its 14 source sets",
        about_classes="none: the folder of the source set becomes the class",
        split=_BY_HASH,
        metres="0.1 to 25; not set",
        licence="that of its 14 source sets",
        source="https://github.com/waterdisappear/SARATR-X",
        settings={"format": "folder", "shares": FOUR_TO_ONE},
        defects=("Images without labels, for self-supervised training; it holds images of many of the sets above.",),
        confirmed=False,
        doubt="its makers send it on request and do not document the folders",
    ),
)
