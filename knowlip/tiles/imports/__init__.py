"""`knowlip dataset import`: labelled public sets become data sets with annotations. One small file per format."""

from knowlip.tiles.imports.run import import_dataset, show
from knowlip.tiles.imports.settings import ImportConfig

__all__ = ["ImportConfig", "import_dataset", "show"]
