"""Other views of a corpus' tiles: other images for the same words, words and pixels turned together, other speckle, and
what the tile's relatives claim. All of it depends on the tile alone, so it is the same in every process."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch

from knowlip.language.claims import Claims, parse_claims
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.directions import Turn
from knowlip.language.marks import resting_on
from knowlip.language.statements import SEEN, Evidence
from knowlip.scio.neighbours import RelativeClaims
from knowlip.training.augment import AugmentConfig, augment
from knowlip.training.corpus import Corpus, turned_sentences
from knowlip.training.texts import SubTextIds, TileText, tile_text, words_read

Said = tuple[str, str, Evidence]
"""Words of a sub-text, their marks, and what it rests on without marks."""
BLIND: Final = 2
"""Other images for each text."""
TURNS: Final = (Turn.of(1), Turn.of(6))
"""A quarter turn, and a mirror image upside down: together they move every region but the middle one."""
SPECKLED: Final = 2
"""Draws of other speckle."""
_POOL: Final = 8
"""So many images of an instruction set stand in for the right ones."""
_SPECKLE: Final = AugmentConfig()
"""As in training: what the model is used to."""


class Views:
    """Views of the tiles of a corpus at the revision that it holds.

    Args:
        corpus: tiles and texts.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus, self.sets = corpus, corpus.sets
        names = ("text", "marks", "evidence")
        said: list[Said] = list(zip(*(corpus.table[name].to_list() for name in names)))
        self._said = [said[first : first + 8] for first in range(0, len(said), 8)]
        self._parts: dict[tuple[str, str], SubTextIds] = {}
        root = corpus.tiles["root_id"].to_numpy(str)
        self.pool: list[int] = []
        """Tile rows whose images stand in for the right ones."""
        self._others: list[list[int]] = [[] for _ in corpus.sets]
        for kind in sorted({*corpus.sets}):
            mine = [row for row, name in enumerate(corpus.sets) if name == kind]
            first, chosen = (
                len(self.pool),
                [mine[int(at)] for at in np.linspace(0, len(mine) - 1, min(_POOL, len(mine)))],
            )
            self.pool += chosen
            for number, row in enumerate(mine):  # each text begins elsewhere in the pool
                order = [(number + step) % len(chosen) for step in range(len(chosen))]
                self._others[row] = [first + at for at in order if root[chosen[at]] != root[row]][:BLIND]

    def others(self, row: int) -> list[int]:
        """Places in `pool` of images of other families of tiles, same instruction set: at most :data:`BLIND`."""
        return self._others[row]

    def said(self, row: int, slot: int | None = None, text: str = "", marks: str = "") -> list[Said]:
        """A tile's sub-texts, with another one at a position where that is given (it rests on the image)."""
        found = list(self._said[row])
        if slot is not None:
            found[slot] = text, marks, "visual"
        return found

    def turned(self, row: int, said: Sequence[Said], turn: Turn) -> TileText | None:
        """A text of a tile for turned pixels; None where it names a direction that is not understood."""
        turned = []
        for text, marks, evidence in said:
            words = turned_sentences(text, marks, turn)
            if words is None:
                return None
            turned.append((*words, evidence))
        corpus = self._corpus
        dimensions = [corpus.dimension(row, slot) for slot in range(len(said))]
        contrast, grounded = ([words_read(*one, on) for one in turned] for on in corpus.reading)
        return tile_text(self._parts, corpus.tokenizer, dimensions, contrast, grounded, corpus.texts[row].noise)

    def speckled(self, rows: Sequence[int], pixels: np.ndarray, draw: int) -> np.ndarray:
        """Pixels (B, S, S) of tile rows with other speckle and gain; the same for the same row and draw."""
        seed = torch.tensor([(draw + 1) * 1_000_003 + row for row in rows], dtype=torch.int64)
        scale = self._corpus.scale.rows(np.asarray(rows))
        return augment(torch.from_numpy(pixels.copy()), seed, scale, _SPECKLE).numpy()

    def claims(self, row: int, slot: int, said: Sequence[Said]) -> Claims:
        """What a sub-text claims to see."""
        kind = self._corpus.sets[row]
        return parse_claims(kind, DIMENSIONS[kind][slot], seen_words(*said[slot]))

    def neighbours(self, row: int, slot: int, said: Sequence[Said]) -> float:
        """Surprise of a sub-text's claims given those of the tile's relatives, see :class:`RelativeClaims`."""
        return self._neighbours.surprise(row, slot, seen_words(*said[slot]))

    @cached_property
    def _neighbours(self) -> RelativeClaims:
        words = [[seen_words(*one) for one in said] for said in self._said]
        return RelativeClaims(self._corpus.tiles, self._corpus.sets, words)


def seen_words(text: str, marks: str, evidence: Evidence) -> str:
    """What a sub-text says of the image: of one without marks all of it."""
    return resting_on(text, marks, evidence, SEEN) if marks else text
