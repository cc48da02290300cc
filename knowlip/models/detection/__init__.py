"""Detection on any Vision Transformer of the benchmark: ViTDet's pyramid under Faster, Mask and Cascade R-CNN."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from knowlip.models.detection.settings import DetectorConfig, DetectorKind

if TYPE_CHECKING:
    from knowlip.models.detection.backbone import ViTDet
    from knowlip.models.detection.detector import BoxTargets, Detector, FoundBoxes

__all__ = ["BoxTargets", "Detector", "DetectorConfig", "DetectorKind", "FoundBoxes", "ViTDet"]

_LATE: Final = {
    "BoxTargets": "knowlip.models.detection.detector",
    "Detector": "knowlip.models.detection.detector",
    "FoundBoxes": "knowlip.models.detection.detector",
    "ViTDet": "knowlip.models.detection.backbone",
}
"""Name -> module that holds it: settings and help need no PyTorch."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
