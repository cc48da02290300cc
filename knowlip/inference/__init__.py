"""A trained model on new images and data sets: caption, ask, search."""

from knowlip.inference.ask import answers, ask
from knowlip.inference.caption import caption, captions
from knowlip.inference.search import search

__all__ = ["answers", "ask", "caption", "captions", "search"]
