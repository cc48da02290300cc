"""The `labels` annotator: template texts from boxes, outlines and masks."""

from knowlip.annotators.labels.annotator import LabelsAnnotator

__all__ = ["LabelsAnnotator"]
