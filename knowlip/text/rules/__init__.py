"""The offline annotator, see :class:`RulesAnnotator`."""

from knowlip.text.rules.annotator import RulesAnnotator

__all__ = ["RulesAnnotator"]
