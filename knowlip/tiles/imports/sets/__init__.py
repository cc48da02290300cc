"""Public sets by name: a table of data for each task. A new set is one entry."""

from knowlip.tiles.imports.sets.classification import CLASSIFICATION
from knowlip.tiles.imports.sets.detection import DETECTION
from knowlip.tiles.imports.sets.record import FOUR_TO_ONE, Layout, PublicSet
from knowlip.tiles.imports.sets.segmentation import SEGMENTATION

SETS: tuple[PublicSet, ...] = (*CLASSIFICATION, *DETECTION, *SEGMENTATION)

__all__ = ["FOUR_TO_ONE", "SETS", "Layout", "PublicSet"]
