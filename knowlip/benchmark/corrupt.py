"""Texts that are made wrong on purpose before anything learns from them: a worse annotator, whose errors are known."""

import math
from typing import Any

import numpy as np

from knowlip.dataset import Dataset
from knowlip.dataset.layout import TEXTS
from knowlip.language.corruption import corrupt
from knowlip.language.dimensions import SLOTS


def corrupt_texts(dataset: Dataset, share: float, seed: int) -> list[dict[str, Any]]:
    """Replace sub-texts of training tiles in revision 0 by wrong ones (:mod:`knowlip.language.corruption`).

    Args:
        dataset: a copy that may be changed, with no revision but 0.
        share: wrong sub-texts a training tile: 0.5 puts one into every second tile, 2 puts two into each.
        seed: of the choice.

    Returns:
        What was changed: tile_id, slot (0-7), kind, text, and what it `was`.
    """
    # One round for each whole sub-text a tile: a round puts at most one into a tile, and never twice into the same.
    texts = dataset.texts(0).sort_values(["tile_id", "slot"], ignore_index=True)
    train = set(dataset.tiles("train")["tile_id"])
    inside = texts["tile_id"].isin(train)
    table = texts[inside].reset_index(drop=True)
    tiles, rng = len(table) // SLOTS, np.random.default_rng([seed, 0])
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for number in range(math.ceil(share)):
        count = round(min(1.0, share - number) * tiles)
        for one in corrupt(table, np.sort(rng.permutation(tiles)[:count]).tolist(), rng):
            at = one.row * SLOTS + one.slot
            tile = str(table["tile_id"].iloc[at])
            if (tile, one.slot) not in found:
                was = table["text"].iloc[at]
                facts = {"tile_id": tile, "slot": one.slot, "kind": one.kind, "text": one.text, "was": was}
                found[tile, one.slot] = facts
                table.loc[at, ["text", "marks"]] = one.text, one.marks
    texts.loc[inside, ["text", "marks"]] = table[["text", "marks"]].to_numpy()
    (dataset.path / TEXTS).unlink()
    dataset.write_texts(texts)
    return list(found.values())
