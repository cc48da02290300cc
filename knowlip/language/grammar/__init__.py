"""The grammar: statements into words, each in many wordings (docs/language.md)."""

from knowlip.language.grammar.engine import Grammar

__all__ = ["Grammar"]
