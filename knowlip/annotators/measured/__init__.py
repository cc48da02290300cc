"""The offline annotator, see :class:`MeasuredAnnotator`."""

from knowlip.annotators.measured.annotator import MeasuredAnnotator

__all__ = ["MeasuredAnnotator"]

ANNOTATOR = MeasuredAnnotator
