"""Texts as training sees them: eight tokenised sub-texts a tile, put together in the variants that the objectives
need."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.files import sha256
from knowlip.base.vocabulary import DISTRUSTED
from knowlip.language.dimensions import SLOTS
from knowlip.language.marks import resting_on
from knowlip.language.statements import SEEN, Evidence
from knowlip.models.config import Sentences
from knowlip.models.tokenizer import TextTokenizer


@dataclass
class SubTextIds:
    """One sub-text: "Count: three ships." is the label "Count:" and the content "three ships."."""

    label: list[int]
    content: list[int]

    @property
    def ids(self) -> list[int]:
        return self.label + self.content


@dataclass
class TileText:
    """The eight sub-texts of a tile in the order of their slots."""

    parts: list[SubTextIds]
    """Of a sub-text of which nothing is read both lists are empty."""
    hidden: set[int] = field(default_factory=set)
    """Positions (0-7) that screening called noise: they stay in the text but are not infilling targets; and those of
    which nothing is read."""
    hash: int = 0
    """The same for word-for-word equal texts, 63 bits."""
    seen: "TileText | None" = None
    """What matching and infilling read instead, where that is something else (`model.text.grounded_on`)."""

    @property
    def grounded(self) -> "TileText":
        """What matching and infilling read."""
        return self if self.seen is None else self.seen

    @property
    def noise(self) -> set[int]:
        """Hidden positions at which matching and infilling read something: what screening called noise of it."""
        return {slot for slot in self.hidden if self.grounded.parts[slot].ids}

    def ids(self, without: int | None = None) -> list[int]:
        """The whole text, or the text without one sub-text."""
        return [token for slot, part in enumerate(self.parts) if slot != without for token in part.ids]

    def without_noise(self) -> "TileText":
        """The text with nothing in place of the hidden sub-texts; itself where none is hidden, or all are."""
        if not any(self.parts[slot].ids for slot in self.hidden) or len(self.hidden) == len(self.parts):
            return self
        parts = [SubTextIds([], []) if slot in self.hidden else part for slot, part in enumerate(self.parts)]
        seen = [f"{part.ids}" for part in parts]
        grounded = None if self.seen is None else self.seen.without_noise()
        return TileText(parts, self.hidden, text_hash(seen, seen), grounded)

    def ids_of(self, keep_8: Sequence[bool]) -> list[int]:
        """The text of the sub-texts that are kept."""
        return [token for part, keep in zip(self.parts, keep_8) if keep for token in part.ids]


def kept_parts(uniform_B8: np.ndarray, drop: float) -> np.ndarray:
    """Which sub-texts stay when each is left out with probability `drop`; two at least do. (B, 8) bool.

    Those with a number below 0 stay only where too few others are.
    """
    return np.asarray((uniform_B8 >= drop) | (uniform_B8 >= np.sort(uniform_B8, axis=1)[:, -2:-1]))


@dataclass
class TextLengths:
    """Numbers of tokens of N texts."""

    part_N8: np.ndarray
    """Of each sub-text with its label."""
    content_N8: np.ndarray
    """Of each sub-text's content."""
    hidden_N8: np.ndarray
    """Whether screening hid it."""

    @classmethod
    def of(cls, texts: Sequence[TileText]) -> "TextLengths":
        """Count."""
        label = np.array([[len(part.label) for part in text.parts] for text in texts], np.int64)
        content = np.array([[len(part.content) for part in text.parts] for text in texts], np.int64)
        hidden = np.array([[slot in text.hidden for slot in range(len(text.parts))] for text in texts], bool)
        return cls(label + content, content, hidden)

    def rows(self, rows: np.ndarray) -> "TextLengths":
        """Those of some texts."""
        return TextLengths(self.part_N8[rows], self.content_N8[rows], self.hidden_N8[rows])


class Reading(NamedTuple):
    """Which sentences are read, see :class:`knowlip.models.config.TextConfig`."""

    contrast_on: Sentences = "all"
    grounded_on: Sentences = "all"


def words_read(text: str, marks: str, evidence: Evidence, on: Sentences) -> str | None:
    """What is read of a sub-text; None for nothing."""
    return text if on == "all" else resting_on(text, marks, evidence, SEEN) or None


ALL_SENTENCES: Final = Reading()


def tokenise(texts: pd.DataFrame, tokenizer: TextTokenizer, reading: Reading = ALL_SENTENCES) -> dict[str, TileText]:
    """Tokenise a table of sub-texts (columns tile_id, slot, dimension, text, evidence, marks, decision), each distinct
    sub-text once.

    Raises:
        ValueError: a tile without exactly eight sub-texts.
    """
    cache: dict[tuple[str, str], SubTextIds] = {}
    tiles: dict[str, TileText] = {}
    for tile_id, rows in texts.sort_values(["tile_id", "slot"]).groupby("tile_id", sort=True):
        if len(rows) != SLOTS:
            raise ValueError(f"Tile {tile_id} has {len(rows)} sub-texts instead of 8: annotate the data set again.")
        hidden = {int(slot) - 1 for slot, made in zip(rows["slot"], rows["decision"]) if made in DISTRUSTED}
        said = list(zip(rows["text"], rows["marks"], rows["evidence"]))
        contrast, grounded = ([words_read(*one, on) for one in said] for on in reading)
        tiles[str(tile_id)] = tile_text(cache, tokenizer, rows["dimension"].to_list(), contrast, grounded, hidden)
    return tiles


def tile_text(
    cache: dict[tuple[str, str], SubTextIds],
    tokenizer: TextTokenizer,
    dimensions: Sequence[str],
    contrast: Sequence[str | None],
    grounded: Sequence[str | None],
    noise: Collection[int],
) -> TileText:
    """A tile's text from the words of its sub-texts.

    Args:
        cache: of :func:`cached_part`.
        tokenizer: for the words.
        dimensions: label of each sub-text.
        contrast: what contrast reads of each; None for nothing.
        grounded: what matching and infilling read.
        noise: positions that screening called noise.
    """

    def view(words: Sequence[str | None]) -> TileText:
        there = [(dimension, text) for dimension, text in zip(dimensions, words) if text is not None]
        parts = [
            SubTextIds([], []) if text is None else cached_part(cache, tokenizer, dimension, text)
            for dimension, text in zip(dimensions, words)
        ]
        absent = {slot for slot, text in enumerate(words) if text is None}
        return TileText(parts, {*noise, *absent}, text_hash([name for name, _ in there], [text for _, text in there]))

    whole = view(contrast)
    if list(grounded) != list(contrast):
        seen = view(grounded)
        whole.seen = seen if seen.parts != whole.parts else None
    return whole


def cached_part(
    cache: dict[tuple[str, str], SubTextIds], tokenizer: TextTokenizer, dimension: str, text: str
) -> SubTextIds:
    """Token ids of one sub-text, taken from `cache` when it was met before."""
    part = cache.get((dimension, text))
    if part is None:
        part = SubTextIds(tokenizer.ids(f"{dimension}:"), tokenizer.ids(text.rstrip(". ") + "."))
        cache[dimension, text] = part
    return part


def text_hash(dimensions: Iterable[str], texts: Iterable[str]) -> int:
    """A 63-bit number that is equal for word-for-word equal texts."""
    joined = "\n".join(f"{dimension}: {text}" for dimension, text in zip(dimensions, texts))
    return int(sha256(joined.encode())[:15], 16)
