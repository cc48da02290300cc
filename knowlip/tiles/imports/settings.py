"""Settings of an import."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.scenes.scene import UNITS
from knowlip.tiles.quantise import QuantiseConfig

SPLIT_SETTINGS = ("split_files", "test_endings", "test_names", "test_part")
"""Each says by itself what the test set is."""


@dataclass(frozen=True)
class ImportConfig:
    """What to import and how."""

    POSITIONAL: ClassVar = ("source",)
    LEADING: ClassVar = "format"

    source: Path
    """Folder of the labelled set. The name of a public set may stand before it (ssdd FOLDER)."""
    format: str
    """voc (XML), dota (text), coco (JSON), yolo (text), folder (a folder a class), mask (pairs of images), phoenix
    (chips of MSTAR), or the name of a public set (`knowlip dataset sets` lists them), which stands for its layout,
    classes and split; settings that differ from their defaults count more."""
    out: Path
    """Folder of the data set to write; must not exist, or be empty."""
    name: str = ""
    """Name of the set, in tile names and as scene_id; by default the name of the source folder."""
    images: Path | None = None
    """Folder of the images (or one image), under the source; found by its usual names where not given."""
    labels: Path | None = None
    """Folder or file of the labels, under the source; found by its usual names where not given."""
    only: str = ""
    """Regular expression: images whose path under their folder does not match it are no images of the set."""
    masks: Path | None = None
    """Folder of class masks (or one mask) with the names of their images, under the source; for any format."""
    mask_classes: list[str] = field(default_factory=list)
    """VALUE=NAME for each value of the masks that is a class, or #RRGGBB=NAME for each colour of coloured masks; other
    values become "no class" (255). Without it the values stay as they are and negative ones have no class."""
    image_suffix: str = ""
    """End of image names (without extension) that the names of masks or labels do not share, e.g. _S1Hand."""
    mask_suffix: str = ""
    """End of mask names that image names do not share, e.g. _LabelHand."""
    mask_names: str = ""
    """OLD=NEW: part of mask names, and what stands in image names instead (_Label_=_SAR_)."""
    classes: list[str] = field(default_factory=list)
    """Names of YOLO's class numbers, where there is no data.yaml or classes.txt."""
    class_names: str = ""
    """Regular expression whose first group in the path of an image, under their folder, is its class (format folder);
    by default the image's own folder is."""
    voc_corners: str = ""
    """What corners of VOC boxes mean: pixels (the first is 1 and both corners belong to the box, as VOC's devkit has
    it) or edges (xmax - xmin is the width); by default what the files say, noted in the result."""
    category: str = ""
    """One category for all objects, e.g. aircraft: the set's own class names become their `type`."""
    tile_px: int = 0
    """Images with a longer side than this are cut into tiles of this side; 0: every image stays whole."""
    overlap_px: int = 0
    """Overlap of neighbouring tiles of one image."""
    min_visible: float = 0.5
    """Objects of which a tile shows a smaller share of the area are left out of it."""
    split_files: list[Path] = field(default_factory=list)
    """Text files named train, val, test (or trainval) with one image name or path a line: the official split. Images
    they do not name are left out."""
    ignore_splits: bool = False
    """Split by hash also where folders, lists or names of label files say the set's own split."""
    test_endings: str = ""
    """Images whose names end with one of these, separated by commas, are the test set, all others the training set
    (SSDD: 1,9)."""
    test_names: str = ""
    """Regular expression: images whose path under their folder matches it are the test set, all others the training
    set."""
    test_part: str = ""
    """top, bottom, left or right: this part of every image is for testing, the rest for training, cut apart between
    tiles; how much of it says the last of `shares`. For sets of one large image."""
    guard_px: int = 0
    """With `test_part`: so many pixels between the two parts are in no tile, because what lies side by side looks
    alike."""
    train_share: float = 1.0
    """Share of the training images to keep, in an order by hash, copies together; the others are left out."""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, val and test where the set has no split: by hash, the same images always in the same split."""
    seed: int = 0
    """Another number gives another split by hash."""
    drop_duplicates: bool = False
    """Keep one of byte-identical images of a split. Copies in two splits are never kept in both."""
    skip_bad: bool = False
    """Leave out labels that cannot be read, and report them; else the first one ends the import."""
    metres_per_pixel: float | None = None
    """Pixel spacing of all images, where known."""
    sensor: str = ""
    """Name of the sensor, e.g. gaofen-3."""
    band: str = ""
    """Frequency band, e.g. C."""
    polarisation: str = ""
    """E.g. HH."""
    units: str = ""
    """Of images with more than 8 bit: dn, amplitude, intensity or db; guessed as for scenes where not given."""
    raster_band: int = 1
    """Band of images with more than 8 bit."""
    quantise: QuantiseConfig = field(default_factory=QuantiseConfig)
    """How images with more than 8 bit become grey levels, image by image."""

    def __post_init__(self) -> None:
        if self.tile_px < 0 or not 0 <= self.overlap_px <= max(0, self.tile_px - 1):
            raise ValueError(f"overlap_px must lie below tile_px, not {self.overlap_px} with {self.tile_px}.")
        if not 0 <= self.min_visible <= 1:
            raise ValueError(f"min_visible must lie between 0 and 1, not {self.min_visible}.")
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must be three numbers that add up to 1, not {self.shares}.")
        if self.metres_per_pixel is not None and not self.metres_per_pixel > 0:
            raise ValueError(f"metres_per_pixel must be positive, not {self.metres_per_pixel}.")
        # Two settings that each say the whole split would leave one of them without effect.
        told = [name for name in SPLIT_SETTINGS if getattr(self, name)]
        if len(told) > 1:
            raise ValueError(f"{' and '.join(told)} both say what the test set is; give one of them.")
        if self.ignore_splits and told:
            raise ValueError(f"ignore_splits splits by hash: leave out {told[0]}.")
        if self.test_part not in ("", "top", "bottom", "left", "right"):
            raise ValueError(f"test_part must be top, bottom, left or right, not {self.test_part!r}.")
        if self.test_part and not self.tile_px:
            raise ValueError("test_part cuts images into tiles: give their side with --tile_px.")
        if self.guard_px < 0 or (self.guard_px and not self.test_part):
            raise ValueError("guard_px lies between the parts of test_part: give both, and no negative number.")
        if not 0 < self.train_share <= 1:
            raise ValueError(f"train_share must lie above 0 and at most at 1, not {self.train_share}.")
        for name in ("only", "class_names", "test_names"):
            check_pattern(name, getattr(self, name), groups=name == "class_names")
        if self.mask_names and not all(self.mask_names.partition("=")):
            raise ValueError(f"mask_names must be OLD=NEW, not {self.mask_names!r}.")
        if self.voc_corners not in ("", "pixels", "edges"):
            raise ValueError(f"voc_corners must be pixels or edges, not {self.voc_corners!r}.")
        if self.units and self.units not in UNITS:
            raise ValueError(f"units must be one of {', '.join(UNITS)}, not {self.units!r}.")

    @property
    def splits_by_rule(self) -> bool:
        """Whether a setting says the split of every image, so that nothing of the set has to."""
        return bool(self.ignore_splits or self.test_endings or self.test_names or self.test_part)

    def check_files(self) -> None:
        """Raise `ValueError` where the source is no folder or the output is there already."""
        if not self.source.is_dir():
            raise ValueError(f"{self.source} is not a folder.")
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ValueError(f"{self.out} is there already; give a new folder.")


def check_pattern(name: str, pattern: str, groups: bool) -> None:
    """Raise `ValueError` where a setting is no regular expression, or has no group and needs one."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{name} must be a regular expression, {pattern!r} is none ({error}).") from None
    if groups and pattern and not found.groups:
        raise ValueError(f"{name} must have a group: {pattern!r} does not say which part is the class.")
