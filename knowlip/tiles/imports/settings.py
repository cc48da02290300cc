"""Settings of an import."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.scenes.scene import UNITS
from knowlip.tiles.quantise import QuantiseConfig


@dataclass(frozen=True)
class ImportConfig:
    """What to import and how."""

    POSITIONAL: ClassVar = ("source",)

    source: Path
    """Folder of the labelled set."""
    format: str
    """voc (XML), dota (text), coco (JSON), yolo (text), folder (a folder a class) or mask (pairs of images)."""
    out: Path
    """Folder of the data set to write; must not exist, or be empty."""
    name: str = ""
    """Name of the set, in tile names and as scene_id; by default the name of the source folder."""
    images: Path | None = None
    """Folder of the images (or one image), under the source; found by its usual names where not given."""
    labels: Path | None = None
    """Folder or file of the labels, under the source; found by its usual names where not given."""
    masks: Path | None = None
    """Folder of class masks (or one mask) with the names of their images, under the source; for any format."""
    mask_classes: list[str] = field(default_factory=list)
    """VALUE=NAME for each value of the masks that is a class; other values become "no class" (255). Without it the
    values stay as they are and negative ones have no class."""
    image_suffix: str = ""
    """End of image names (without extension) that the names of masks or labels do not share, e.g. _S1Hand."""
    mask_suffix: str = ""
    """End of mask names that image names do not share, e.g. _LabelHand."""
    classes: list[str] = field(default_factory=list)
    """Names of YOLO's class numbers, where there is no data.yaml or classes.txt."""
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
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of train, val and test where the set has no split: by hash, the same images always in the same split."""
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
        if self.split_files and self.test_endings:
            raise ValueError("split_files and test_endings both say what the test set is; give one of them.")
        if self.ignore_splits and (self.split_files or self.test_endings):
            raise ValueError("ignore_splits splits by hash: leave out split_files and test_endings.")
        if self.voc_corners not in ("", "pixels", "edges"):
            raise ValueError(f"voc_corners must be pixels or edges, not {self.voc_corners!r}.")
        if self.units and self.units not in UNITS:
            raise ValueError(f"units must be one of {', '.join(UNITS)}, not {self.units!r}.")

    def check_files(self) -> None:
        """Raise `ValueError` where the source is no folder or the output is there already."""
        if not self.source.is_dir():
            raise ValueError(f"{self.source} is not a folder.")
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ValueError(f"{self.out} is there already; give a new folder.")
