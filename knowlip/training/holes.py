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


def cut_hole(text: TileText, mask: int, rng: np.random.Generator, config: HoleConfig) -> Hole:
    """Cut one hole into a tile's text. Sub-texts that screening hid are context, never content."""
    targets = [slot for slot in range(len(text.parts)) if slot not in text.hidden]
    shares = np.array([config.span, config.subtext, config.everything])
    kind = rng.choice(3, p=shares / shares.sum())
    if kind == 2 or not targets:
        targets = targets or list(range(len(text.parts)))
        return Hole([mask], [token for slot in targets for token in text.parts[slot].ids])
    slot = int(rng.choice(targets))
    content = text.parts[slot].content
    if kind == 1:
        start, stop = 0, len(content)
    else:
        length = int(rng.integers(1, min(config.span_tokens, len(content)) + 1))
        start = int(rng.integers(0, len(content) - length + 1))
        stop = start + length
    return Hole(with_hole(text, slot, mask, start, stop), content[start:stop])


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
