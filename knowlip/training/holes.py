"""Holes for infilling: what the encoder reads in place of a piece of text, and what the decoder must write.

A hole is a random span of tokens inside one sub-text, a whole sub-text's content, or everything (captioning). One
[MASK] stands for it, whatever its length (reference: ALGORITHM, "one formulation").
"""

from dataclasses import dataclass

import numpy as np

from knowlip.training.texts import TileText


@dataclass
class HoleConfig:
    """How often each kind of hole is cut; the shares are normalised."""

    span: float = 0.35
    """A few consecutive tokens of one sub-text."""
    subtext: float = 0.4
    """The whole content of one sub-text."""
    everything: float = 0.25
    """The whole text: captioning."""
    span_tokens: int = 6
    """Longest span."""


@dataclass
class Hole:
    """Token ids without frames."""

    context: list[int]
    """What the encoder reads; holds exactly one [MASK]."""
    content: list[int]
    """What the decoder writes."""


@dataclass
class HolePlan:
    """Where the holes of B texts are."""

    slot_B: np.ndarray
    """Position (0-7) of the sub-text, -1 for everything."""
    start_B: np.ndarray
    """First token of the sub-text's content that is left out."""
    stop_B: np.ndarray
    """The token behind the last."""


def plan_holes(content_B8: np.ndarray, hidden_B8: np.ndarray, uniform_B4: np.ndarray, config: HoleConfig) -> HolePlan:
    """Choose a hole for each text. Sub-texts that screening hid are context, never content.

    Args:
        content_B8: tokens of each sub-text's content, at least 1.
        hidden_B8: which sub-texts are hidden; where all are, the hole is everything.
        uniform_B4: the chance, in [0, 1): kind, sub-text, length and start of a span.
        config: shares of the kinds.
    """
    rows = np.arange(len(content_B8))
    ends = np.cumsum([config.span, config.subtext, config.everything])
    kind_B = np.searchsorted(ends / ends[-1], uniform_B4[:, 0], side="right")
    targets_B = (~hidden_B8).sum(1)
    rank_B8 = np.where(hidden_B8, -1, np.cumsum(~hidden_B8, axis=1) - 1)
    slot_B = (rank_B8 == (uniform_B4[:, 1] * targets_B).astype(np.int64)[:, None]).argmax(1)
    longest_B = content_B8[rows, slot_B]
    span_B = 1 + (uniform_B4[:, 2] * np.minimum(config.span_tokens, longest_B)).astype(np.int64)
    start_B = (uniform_B4[:, 3] * (longest_B - span_B + 1)).astype(np.int64)
    whole_B = kind_B == 1
    start_B = np.where(whole_B, 0, start_B)
    stop_B = np.where(whole_B, longest_B, start_B + span_B)
    slot_B = np.where((kind_B == 2) | (targets_B == 0), -1, slot_B)
    return HolePlan(slot_B, start_B, stop_B)


def cut(text: TileText, mask: int, slot: int, start: int, stop: int) -> Hole:
    """The hole `content[start:stop]` of one sub-text; slot -1 is everything that screening did not hide."""
    if slot < 0:
        targets = [at for at in range(len(text.parts)) if at not in text.hidden] or list(range(len(text.parts)))
        return Hole([mask], [token for at in targets for token in text.parts[at].ids])
    return Hole(with_hole(text, slot, mask, start, stop), text.parts[slot].content[start:stop])


def with_hole(text: TileText, slot: int, mask: int, start: int = 0, stop: int | None = None) -> list[int]:
    """The whole text with [MASK] in place of `content[start:stop]` of one sub-text (by default, of its whole
    content)."""
    ids: list[int] = []
    for position, part in enumerate(text.parts):
        if position == slot:
            rest = part.content[stop:] if stop is not None else []
            ids += [*part.label, *part.content[:start], mask, *rest]
        else:
            ids += part.ids
    return ids


def around_mask(context: list[int], mask: int, longest: int) -> list[int]:
    """A text that is too long keeps the part around its hole."""
    if len(context) <= longest:
        return context
    start = min(max(0, context.index(mask) - longest // 2), len(context) - longest)
    return context[start : start + longest] if context.index(mask) >= longest else context[:longest]
