"""A trained model on new images and data sets: caption, ask, search."""

from knowlip.inference.ask import ask
from knowlip.inference.caption import caption
from knowlip.inference.search import search

__all__ = ["ask", "caption", "search"]
