"""Detection on any Vision Transformer of the benchmark: ViTDet's pyramid under Faster, Mask and Cascade R-CNN."""

from knowlip.models.detection.backbone import ViTDet
from knowlip.models.detection.detector import Detector, Found, Target, layer_rates
from knowlip.models.detection.settings import DetectorConfig, DetectorKind

__all__ = ["Detector", "DetectorConfig", "DetectorKind", "Found", "Target", "ViTDet", "layer_rates"]
