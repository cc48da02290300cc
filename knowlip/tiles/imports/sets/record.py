"""What is written down of a public set: where its files lie, what they mean, and what is known to be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FOUR_TO_ONE = (0.8, 0.0, 0.2)
"""Shares of train, val and test of sets without an official split: 4:1 by hash, copies together."""


@dataclass(frozen=True)
class Layout:
    """One way in which a set lies on disk."""

    needs: tuple[str, ...]
    """Glob patterns, each of which has to be there."""
    settings: Mapping[str, Any]
    """Of the import: format, places of images and labels."""
    lists: tuple[str, ...] = ()
    """Files of the official split, needed unless the user says another split."""
    roots: tuple[str, ...] = ()
    """Where the layout may begin below the folder that is given, as glob patterns."""
    members: str = ""
    """Regular expression of what to take out of zip archives, where the set comes in many."""


@dataclass(frozen=True)
class PublicSet:
    """A public set."""

    name: str
    title: str
    task: Literal["classification", "detection", "segmentation"]
    layouts: tuple[Layout, ...]
    expects: str
    """The layout for people."""
    split: str
    """The split for people."""
    metres: str
    """Metres of a pixel for people."""
    licence: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the import, in every layout."""
    classes: tuple[str, ...] = ()
    """As its files write them; () where they are not known."""
    about_classes: str = ""
    """For people, where `classes` is empty."""
    images: int = 0
    """Of the whole set, 0 where not known."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Images of train, val and test in the makers' split, where it is published with numbers."""
    defects: tuple[str, ...] = ()
    """What is known to be wrong or surprising, one sentence each."""
    confirmed: bool = True
    """Whether the layout is documented by its makers or seen on disk."""
    doubt: str = ""
    """Why it is not confirmed."""
