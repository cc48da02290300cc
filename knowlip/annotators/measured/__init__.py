"""The offline annotator, see :class:`RulesAnnotator`."""

from knowlip.annotators.measured.annotator import RulesAnnotator

__all__ = ["RulesAnnotator"]
