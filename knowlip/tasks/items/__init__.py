"""Captions and questions about the tiles of a data set, as a file: made from labels, or brought by their user."""

from knowlip.tasks.items.records import Caption, Items, read_items, write_items

__all__ = ["Caption", "Items", "read_items", "write_items"]
