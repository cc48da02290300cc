"""Sets of chips with one class each."""

from knowlip.tiles.imports.sets.record import FOUR_TO_ONE, Layout, PublicSet

_BY_HASH = "none of its own: 4:1 by hash, copies together"
_PICTURES = ("*/*.[jptb][pinm]*",)
"""A picture in a folder: jpg, jpeg, png, tif, tiff, bmp."""

CLASSIFICATION = (
    PublicSet(
        name="fusar-ship",
        title="FUSAR-Ship 1.0",
        task="classification",
        layouts=(Layout(("*/*/Ship_C*.tif*",), {"only": r"(^|/)Ship_C\d+S\d+N\d+\.tiff?$"}),),
        expects="CATEGORY/SUBCATEGORY/Ship_CxxSyyNzzzz.tiff",
        about_classes="15 categories, each a folder; subcategories are not kept",
        split=_BY_HASH,
        metres="1.1 x 1.7 to 1.8, in meta.csv; not set",
        licence="none stated; open for research, cite Hou et al. 2020",
        source="https://emwlab.fudan.edu.cn/resources/list.htm",
        settings={
            **{"format": "folder", "class_names": r"^([^/]+)/", "shares": FOUR_TO_ONE},
            **{"sensor": "gaofen-3", "band": "C"},
        },
        defects=(
            "The raw set holds exact duplicates.",
            "Categories are very unequal; protocols of the field use 10 or 15 of them.",
        ),
    ),
    PublicSet(
        name="fusar-air",
        title="FUSAR-AIR",
        task="classification",
        layouts=(Layout(_PICTURES, {}),),
        expects="CLASS/chip.png (or jpg, tif)",
        about_classes="each a folder",
        split=_BY_HASH,
        metres="not known",
        licence="not published",
        source="arXiv 2509.23927, Table 1",
        settings={"format": "folder", "shares": FOUR_TO_ONE, "sensor": "gaofen-3", "band": "C"},
        confirmed=False,
        doubt="no public release was found; a folder a class is assumed",
    ),
    PublicSet(
        name="sar-acd",
        title="SAR-ACD",
        task="classification",
        layouts=(Layout(("A220/*", "A330/*", "ARJ21/*", "Boeing737/*", "Boeing787/*"), {}),),
        expects="A220, A320321, A330, ARJ21, Boeing737, Boeing787, each with chips (jpg)",
        classes=("A220", "A320321", "A330", "ARJ21", "Boeing737", "Boeing787"),
        images=3032,
        split=_BY_HASH,
        metres="1",
        licence="none stated",
        source="https://github.com/AICyberTeam/SAR-ACD",
        settings={
            **{"format": "folder", "shares": FOUR_TO_ONE, "metres_per_pixel": 1.0, "polarisation": "HH"},
            **{"sensor": "gaofen-3", "band": "C", "only": r"^(A220|A320321|A330|ARJ21|Boeing737|Boeing787)/"},
        },
        defects=(
            "94 % of the chips have a near copy (same picture, other brightness): a random split measures memory.",
            "Some chips are byte-identical under two classes, 17 groups of copies hold several classes.",
            "Chip size alone tells the class of half of them.",
        ),
    ),
    PublicSet(
        name="mstar",
        title="MSTAR public targets (raw chips)",
        task="classification",
        layouts=(
            Layout(("**/*.[0-9][0-9][0-9]",), {"format": "phoenix", "only": r"^(?!(.*/)?(?i:slicy)/)"}),
            Layout((f"train/{_PICTURES[0]}", f"test/{_PICTURES[0]}"), {"format": "folder"}),
            Layout((f"TRAIN/{_PICTURES[0]}", f"TEST/{_PICTURES[0]}"), {"format": "folder"}),
        ),
        expects="chips with Phoenix headers (HB03787.004) in any folders, or train/CLASS and test/CLASS with pictures",
        about_classes="TargetType of each header, or folders; SLICY is left out",
        split="17 degrees train, 15 degrees test (DesiredDepression of the headers); others are left out",
        metres="0.2, from the headers",
        licence="approved for public release (US Air Force, SDMS); registration",
        source="https://www.sdms.afrl.af.mil/index.php?collection=mstar",
        settings={"sensor": "mstar", "band": "X", "polarisation": "HH"},
        defects=(
            "Chips differ in size by target (128 to 193 pixels): crop the middle 128, or size is the class.",
            "All serial numbers are imported; the standard protocol trains on one each of BMP2 and T72.",
            "Background of a target is the same field in train and test.",
        ),
    ),
    PublicSet(
        name="opensarship",
        title="OpenSARShip 1.0 and 2.0",
        task="classification",
        layouts=(
            Layout(
                ("**/Patch_Uint8/Visual_*.tif",),
                {"only": r"(^|/)Patch_Uint8/Visual_(?!.*_vh\.tiff?$).*\.tiff?$"},
                members=r"(^|/)Patch_Uint8/Visual_[^/]*(?<!_vh)\.tif$",
            ),
        ),
        expects="a zip archive or a folder for each Sentinel-1 product, with Patch_Uint8/Visual_TYPE_x1_y1_vv.tif",
        about_classes="ship type by AIS, in the names of chips (Cargo, Tanker, Fishing, Other Type ...)",
        split=_BY_HASH,
        metres="10 (GRD); SLC differs, not set",
        licence="research use",
        source="https://opensar.sjtu.edu.cn",
        settings={
            **{"format": "folder", "shares": FOUR_TO_ONE, "class_names": r"Visual_(.+?)_x\d+_y\d+"},
            **{"sensor": "sentinel-1", "band": "C", "polarisation": "VV"},
        },
        defects=(
            "VV chips are taken, VH ones of the same ships are not.",
            "The same ship may be in several products, so on both sides of a split by chip.",
            "Chips are 9 to 445 pixels; Ship.xml is not read here: `knowlip build` of the archives makes boxes of it.",
        ),
    ),
    PublicSet(
        name="sample",
        title="SAMPLE (public)",
        task="classification",
        layouts=(
            Layout(
                ("real/*/*.png", "synth/*/*.png"),
                {"only": r"^(real|synth)/"},
                roots=("png_images/qpm", "*/png_images/qpm", "qpm"),
            ),
        ),
        expects="png_images/qpm/real/CLASS and png_images/qpm/synth/CLASS with PNGs",
        classes=("2s1", "bmp2", "btr70", "m1", "m2", "m35", "m548", "m60", "t72", "zsu23"),
        split="synthetic chips train, measured chips test",
        metres="0.2",
        licence="Distribution A: approved for public release",
        source="https://github.com/benjaminlewis-afrl/SAMPLE_dataset_public",
        settings={
            **{"format": "folder", "test_names": "^real/", "metres_per_pixel": 0.2},
            **{"sensor": "mstar", "band": "X", "polarisation": "HH"},
        },
        defects=("Measured chips have synthetic twins of the same angle; its paper also holds back 17 degrees.",),
    ),
    PublicSet(
        name="atrnet-star",
        title="ATRNet-STAR (8-bit, ground range)",
        task="classification",
        layouts=(
            Layout(
                ("train/**/*.tif", "test/**/*.tif"),
                {},
                roots=("SOC_40classes", "Amplitude_8bit/SOC_40classes", "Ground_Range/Amplitude_8bit/SOC_40classes"),
            ),
        ),
        expects="train/TYPE and test/TYPE with tif chips of one of its seven settings (SOC_40classes by default)",
        about_classes="40 vehicle types, each a folder",
        split="official: folders train and test",
        metres="0.12 to 0.15 (resolution); not set",
        licence="none stated in its repository",
        source="https://github.com/waterdisappear/ATRNet-STAR",
        settings={"format": "folder", "only": r"^(train|test)/", "sensor": "atrnet-star"},
        defects=(
            "Random settings (SOC) reach 99 %, new scenes (EOC-Scene) a third of it: say which one a number is of.",
        ),
    ),
)
