"""Holes for infilling: what the encoder reads in place of a piece of text, and what the decoder must write.

A hole is a random span of tokens inside one sub-text, a whole sub-text's content, or everything (captioning). One
[MASK] stands for it, whatever its length (reference: ALGORITHM, "one formulation"). Other sub-texts may be [MASK] too:
then the hole is written from fewer words and more from the image, and SCIO reads a text once for several holes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from knowlip.training.settings import HoleConfig
from knowlip.training.texts import TileText


@dataclass
class Hole:
    """Token ids without frames."""

    context: list[int]
    """What the encoder reads."""
    place: int
    """Of the hole's [MASK] in it."""
    content: list[int]
    """What the decoder writes."""
    more: list[tuple[int, list[int]]] = field(default_factory=list)
    """Place and content of further holes of the same context."""


@dataclass
class HolePlan:
    """Where the holes of B texts are."""

    slot_B: np.ndarray
    """Position (0-7) of the sub-text, -1 for everything."""
    start_B: np.ndarray
    """First token of the sub-text's content that is left out."""
    stop_B: np.ndarray
    """The token behind the last."""
    others_B8: np.ndarray
    """Which other sub-texts are not shown (bool)."""
    also_B8: np.ndarray
    """Which of these are written too (bool)."""


DRAWS = 13
"""Uniform numbers for each text."""


def plan_holes(content_B8: np.ndarray, hidden_B8: np.ndarray, uniform_BU: np.ndarray, config: HoleConfig) -> HolePlan:
    """Choose a hole for each text. Sub-texts that screening hid are context, never content.

    Args:
        content_B8: tokens of each sub-text's content, at least 1.
        hidden_B8: which sub-texts are hidden; where all are, the hole is everything.
        uniform_BU: the chance, in [0, 1), U is :data:`DRAWS`: kind, sub-text, length and start of a span; how many of
            the others are not shown, and which.
        config: shares of the kinds.
    """
    rows = np.arange(len(content_B8))
    ends = np.cumsum([config.span, config.subtext, config.everything])
    kind_B = np.searchsorted(ends / ends[-1], uniform_BU[:, 0], side="right")
    targets_B = (~hidden_B8).sum(1)
    rank_B8 = np.where(hidden_B8, -1, np.cumsum(~hidden_B8, axis=1) - 1)
    slot_B = (rank_B8 == (uniform_BU[:, 1] * targets_B).astype(np.int64)[:, None]).argmax(1)
    longest_B = content_B8[rows, slot_B]
    span_B = 1 + (uniform_BU[:, 2] * np.minimum(config.span_tokens, longest_B)).astype(np.int64)
    start_B = (uniform_BU[:, 3] * (longest_B - span_B + 1)).astype(np.int64)
    whole_B = kind_B == 1
    start_B = np.where(whole_B, 0, start_B)
    stop_B = np.where(whole_B, longest_B, start_B + span_B)
    slot_B = np.where((kind_B == 2) | (targets_B == 0), -1, slot_B)
    others_B8 = uniform_BU[:, 5:] < config.others * uniform_BU[:, 4:5]
    others_B8 &= (content_B8 > 0) & (slot_B >= 0)[:, None]
    others_B8[rows, slot_B] = False
    # Of those that could be written too, the first by their own chance; it is small where they are not shown.
    possible_B8 = others_B8 & ~hidden_B8
    rank_B8 = np.where(possible_B8, uniform_BU[:, 5:], np.inf).argsort(1, kind="stable").argsort(1, kind="stable")
    also_B8 = possible_B8 & (rank_B8 < config.at_once - 1)
    return HolePlan(slot_B, start_B, stop_B, others_B8, also_B8)


def cut(
    text: TileText,
    mask: int,
    slot: int,
    start: int,
    stop: int,
    others: Collection[int] = (),
    also: Collection[int] = (),
) -> Hole:
    """The hole `content[start:stop]` of one sub-text; slot -1 is everything that screening did not hide. Of `others`
    nothing but the label is shown; those of them in `also` are holes too."""
    if slot < 0:
        targets = [at for at in range(len(text.parts)) if at not in text.hidden] or list(range(len(text.parts)))
        return Hole([mask], 0, [token for at in targets for token in text.parts[at].ids])
    whole: dict[int, tuple[int, int | None]] = dict.fromkeys(others, WHOLE)
    ids, places = with_holes(text, mask, whole | {slot: (start, stop)})
    more = [(places[at], text.parts[at].content) for at in also]
    return Hole(ids, places[slot], text.parts[slot].content[start:stop], more)


WHOLE: Final = (0, None)
"""The hole that is the whole content of a sub-text."""


def with_holes(
    text: TileText, mask: int, holes: Mapping[int, tuple[int, int | None]]
) -> tuple[list[int], dict[int, int]]:
    """The whole text with [MASK] in place of `content[start:stop]` of some sub-texts.

    Args:
        text: eight sub-texts.
        mask: id of [MASK].
        holes: position (0-7) -> (start, stop); :data:`WHOLE` is the whole content.

    Returns:
        Token ids, and position -> place of its [MASK] in them.
    """
    ids: list[int] = []
    places: dict[int, int] = {}
    for position, part in enumerate(text.parts):
        if position in holes:
            start, stop = holes[position]
            ids += [*part.label, *part.content[:start]]
            places[position] = len(ids)
            ids += [mask, *(part.content[stop:] if stop is not None else [])]
        else:
            ids += part.ids
    return ids, places
