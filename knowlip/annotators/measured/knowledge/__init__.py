"""What is known of a tile without looking at it, and what that makes of what was seen: the layers of the chain of
thought other than the instances (docs/knowledge.md)."""

from knowlip.annotators.measured.knowledge.standing import dimensions_of

__all__ = ["dimensions_of"]
