"""Detection on any Vision Transformer of the benchmark: ViTDet's pyramid under Faster, Mask and Cascade R-CNN."""

from knowlip.models.detection.backbone import ViTDet
from knowlip.models.detection.detector import BoxTargets, Detector, FoundBoxes
from knowlip.models.detection.settings import DetectorConfig, DetectorKind

__all__ = ["BoxTargets", "Detector", "DetectorConfig", "DetectorKind", "FoundBoxes", "ViTDet"]
