"""Sets with a class for every pixel."""

from pathlib import Path

from knowlip.tiles.imports.sets.record import FOUR_TO_ONE, Layout, PublicSet

_FLOODS = tuple(f"flood_{split}_data.csv" for split in ("train", "valid", "test"))

SEGMENTATION = (
    PublicSet(
        name="fusar-map",
        title="FUSAR-Map 1.0",
        task="segmentation",
        layouts=(
            Layout(
                ("SAR_1024/*_SAR_*.tif", "LAB_1024/*_Label_*.tif"),
                {"images": Path("SAR_1024"), "masks": Path("LAB_1024"), "mask_names": "_Label_=_SAR_"},
            ),
        ),
        expects="SAR_1024/CITY_..._SAR_001.tif and LAB_1024/CITY_..._Label_001.tif (colours)",
        classes=("building", "vegetation", "water", "road"),
        images=610,
        split="none of its own: 4:1 by hash, copies together",
        metres="not stated; not set",
        licence="none stated; cite Shi et al. 2021",
        source="https://shixianzheng.github.io/FUSAR-Map/",
        settings={
            "format": "mask",
            "mask_classes": ["#ff0000=building", "#00ff00=vegetation", "#0000ff=water", "#ffff00=road"],
            **{"shares": FOUR_TO_ONE, "sensor": "gaofen-3", "band": "C"},
        },
        defects=("Black of the labels is not labelled and becomes no class.", "Optical image 022 is missing."),
    ),
    PublicSet(
        name="air-polsar-seg",
        title="AIR-PolSAR-Seg (1.0)",
        task="segmentation",
        layouts=(
            Layout(
                ("train_set/*_HH.tiff", "test_set/*_HH.tiff", "train_set/*_gt.png", "test_set/*_gt.png"),
                {"images": Path(), "masks": Path(), "image_suffix": "_HH", "mask_suffix": "_gt"},
            ),
        ),
        expects="train_set and test_set, each with NAME_HH.tiff (and _HV, _VH, _VV) and NAME_gt.png",
        classes=("industrial area", "natural area", "land use", "water", "other", "housing"),
        images=500,
        split="official: folders train_set and test_set",
        metres="8",
        licence="none stated; cite Wang et al. 2022",
        source="https://github.com/AICyberTeam/AIR-PolSAR-Seg",
        settings={
            "format": "mask",
            "mask_classes": [
                *("#0000ff=industrial area", "#00ff00=natural area", "#ff0000=land use"),
                *("#00ffff=water", "#ffffff=other", "#ffff00=housing"),
            ],
            **{"only": r"(_HH\.tiff|_gt\.png)$", "metres_per_pixel": 8.0},
            **{"sensor": "gaofen-3", "band": "C", "polarisation": "HH"},
        },
        defects=(
            "HH alone is imported: HV, VH and VV of the same patch are passed over.",
            "All patches are cut from one scene, so train and test are neighbours; rotated copies (rot in their names) "
            "are in some releases.",
        ),
    ),
    PublicSet(
        name="sen1floods11",
        title="Sen1Floods11 (hand-labelled)",
        task="segmentation",
        layouts=(
            Layout(
                ("data/flood_events/HandLabeled/S1Hand/*.tif", "data/flood_events/HandLabeled/LabelHand/*.tif"),
                {
                    "images": Path("data/flood_events/HandLabeled/S1Hand"),
                    "masks": Path("data/flood_events/HandLabeled/LabelHand"),
                },
                lists=tuple(f"splits/flood_handlabeled/{name}" for name in _FLOODS),
                roots=("v1.1",),
            ),
            Layout(
                ("S1Hand/*.tif", "LabelHand/*.tif"),
                {"images": Path("S1Hand"), "masks": Path("LabelHand")},
                lists=_FLOODS,
            ),
            Layout(
                ("S1/*_S1Hand.tif", "Labels/*_LabelHand.tif"),
                {"images": Path("S1"), "masks": Path("Labels"), "shares": FOUR_TO_ONE},
            ),
        ),
        expects="v1.1/data/flood_events/HandLabeled with S1Hand and LabelHand, and v1.1/splits/flood_handlabeled with "
        "flood_train_data.csv, flood_valid_data.csv and flood_test_data.csv",
        classes=("land", "water"),
        images=446,
        parts={"train": 252, "val": 89, "test": 90},
        split="official lists; without them (S1 and Labels alone) 4:1 by hash, copies together",
        metres="10",
        licence="open, cite Bonafilia et al. 2020; contains modified Copernicus Sentinel data",
        source="https://github.com/cloudtostreet/Sen1Floods11",
        settings={
            **{"format": "mask", "image_suffix": "_S1Hand", "mask_suffix": "_LabelHand"},
            **{"mask_classes": ["0=land", "1=water"], "units": "db", "metres_per_pixel": 10.0},
            **{"sensor": "sentinel-1", "band": "C", "polarisation": "VV"},
        },
        defects=(
            "The 15 chips of Bolivia are in no list of the three and left out.",
            "Chips of one flood are in all three lists, so neighbours are on both sides.",
            "One image of Paraguay is all NaN and some labels are all no data.",
        ),
    ),
    PublicSet(
        name="polsf",
        title="PolSF (AIRSAR)",
        task="segmentation",
        layouts=(
            Layout(
                ("SF-AIRSAR-Pauli.bmp", "SF-AIRSAR-label2d.png"),
                {"images": Path("SF-AIRSAR-Pauli.bmp"), "masks": Path("SF-AIRSAR-label2d.png")},
                roots=("SF-AIRSAR",),
            ),
        ),
        expects="SF-AIRSAR-Pauli.bmp and SF-AIRSAR-label2d.png",
        classes=("bare soil", "mountain", "water", "urban", "vegetation"),
        images=1,
        split="none of its own: the left 300 pixels test, the next 64 in neither, the rest train (only there each has "
        "all classes)",
        metres="about 10 (AIRSAR multilook); not set",
        licence="none stated",
        source="https://github.com/liuxuvip/PolSF",
        settings={
            "format": "mask",
            "mask_classes": ["1=bare soil", "2=mountain", "3=water", "4=urban", "5=vegetation"],
            **{"tile_px": 150, "test_part": "left", "guard_px": 64, "shares": (0.7, 0.0, 0.3)},
            **{"sensor": "airsar", "band": "L"},
        },
        defects=(
            "Its README numbers the classes in another order than its files do.",
            "Pauli colours are weighted to grey. One image: neighbours are alike, and rare classes are few pixels.",
        ),
    ),
)
