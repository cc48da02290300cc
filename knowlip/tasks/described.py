"""Captions as training sees them: what captioning and retrieval share."""

from collections.abc import Sequence

import numpy as np

from knowlip.base.progress import say
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn, draw_turns, possible_turns
from knowlip.language.turning import text_may_turn
from knowlip.tasks.items import Items
from knowlip.tasks.paired import Drawn, Pairing


class Describing(Pairing):
    """Tiles with captions, of which one is drawn whenever a tile is met; it turns with the tile, or the tile stays as
    it is where a caption names a direction that is not understood."""

    def about(self, items: Items) -> set[str]:
        return {one.tile_id for one in items.captions}

    def prepare(self, items: Items, tile_ids: Sequence[str]) -> None:
        of_tile: dict[str, list[str]] = {tile_id: [] for tile_id in tile_ids}
        for one in items.captions:
            of_tile[one.tile_id].append(one.caption)
        self.captions = [of_tile[tile_id] for tile_id in tile_ids]
        self.still = {one.caption for one in items.captions if not text_may_turn(one.caption)}
        """Captions that may name a place in words that nobody turns; ours name none."""

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> list[Drawn]:
        augment = self.config.augment
        turns = draw_turns(rng.random((len(rows), 2)), augment.flips, augment.rotations)
        drawn = []
        for row, number, chance in zip(rows, turns, rng.random(len(rows))):
            said, turn = self.captions[row], Turn.of(int(number))
            turned = [None if text in self.still else turn_words(text, turn) for text in said]
            whole = [text for text in turned if text is not None]
            if len(whole) < len(said):  # a tile turns with all that is said of it, or not at all
                turn, whole = Turn(), said
            drawn.append(Drawn(turn, whole[int(chance * len(whole))], tuple(whole)))
        return drawn

    def most_true(self, rows: np.ndarray) -> int:
        return max(len(self.captions[row]) for row in rows)

    def texts(self) -> set[str]:
        return {one.caption for one in self.items.captions}

    def begin(self) -> None:
        super().begin()
        turns = possible_turns(self.config.augment.flips, self.config.augment.rotations)
        said = {text for texts in self.captions for text in texts}
        still = sum(text in self.still or any(turn_words(text, turn) is None for turn in turns) for text in said)
        if still:
            say(f"{still:,} of {len(said):,} captions name a place in words that cannot be turned: their tiles stay.")

    def references(self) -> list[list[str]]:
        """The captions of each tile that was kept aside, in their order."""
        of_tile: dict[str, list[str]] = {tile_id: [] for tile_id in self.division.test}
        for one in self.items.captions:
            if one.tile_id in of_tile:
                of_tile[one.tile_id].append(one.caption)
        return list(of_tile.values())
