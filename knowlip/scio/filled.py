"""Holes with what is written into them, which the infilling decoder judges."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from knowlip.language.dimensions import SLOTS
from knowlip.models.tokenizer import around_hole
from knowlip.training.holes import WHOLE, with_holes
from knowlip.training.texts import TileText


@dataclass
class FilledHole:
    """A hole, and what is written into it."""

    owner: int
    """Place of its image."""
    slot: int
    """Position of the sub-text, 0 to 7."""
    context: list[int]
    """Token ids without frames. Holes that share it share the list itself."""
    place: int
    """Of its [MASK] there."""
    content: list[int]
    """Token ids of the hole, [SEP] not included (it is judged too)."""


def filled_holes(text: TileText, owner: int, slots: Collection[int], mask: int, at_once: int) -> list[FilledHole]:
    """Holes of some sub-texts of one text: position j is not shown together with j + k, j + 2k, ... where k is the
    number of times that the text is read, 8 / `at_once`. Neighbours in the order of the dimensions, which depend most
    on each other, are shown."""
    found, times = [], max(1, SLOTS // at_once)
    for first in range(times):
        together = [slot for slot in range(first, SLOTS, times) if text.parts[slot].ids]
        asked = [slot for slot in together if slot in slots]
        if asked:
            context, places = with_holes(text, mask, dict.fromkeys(together, WHOLE))
            found += [FilledHole(owner, slot, context, places[slot], text.parts[slot].content) for slot in asked]
    return found


def contexts_of(asked: Sequence[FilledHole], longest: int) -> tuple[list[list[int]], list[int], list[int]]:
    """Contexts, each once; which one each hole reads, and its place there. One that is too long is cut around each of
    its holes."""
    contexts: list[list[int]] = []
    read, places = [], []
    before: list[int] | None = None
    for one in asked:
        if one.context is not before or len(one.context) > longest:
            contexts.append([])
        before = one.context
        contexts[-1], place = around_hole(one.context, one.place, longest)
        read.append(len(contexts) - 1)
        places.append(place)
    return contexts, read, places
