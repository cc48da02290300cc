"""`knowlip dataset export`: a data set in the layouts of other people's tools. One small file per format."""

from knowlip.dataset.export.run import FORMATS, DatasetExportConfig, export_dataset, show

__all__ = ["FORMATS", "DatasetExportConfig", "export_dataset", "show"]
