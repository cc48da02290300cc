"""Refuse to measure a model on places it was trained on."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

_TRAINED_ON = "train"


def check_unseen(card: Mapping[str, Any], fingerprint: str, index: pd.DataFrame, tiles: pd.DataFrame, name: str) -> int:
    """Check that no tile to be measured lies in a block, or descends from a root tile, that training saw.

    Args:
        card: of the model: `dataset_fingerprint` of the data set it was trained on, `train_blocks` that it saw.
        fingerprint: of the data set to be measured on. Where it is the same one, its index is believed too.
        index: all accepted tiles of that data set (columns tile_id, root_id, split, block).
        tiles: those to be measured.
        name: of the model, for the message.

    Returns:
        Number of training blocks that were compared.

    Raises:
        ValueError: the model does not say what it was trained on, or it saw one of these places.
    """
    if "dataset_fingerprint" not in card or "train_blocks" not in card:
        raise ValueError(
            f"The model {name} does not record what it was trained on, so unseen places cannot be assured."
        )
    seen_blocks = {str(block) for block in card["train_blocks"]}
    seen_roots: set[str] = set()
    if card["dataset_fingerprint"] == fingerprint:
        seen = index[index["split"] == _TRAINED_ON]
        seen_blocks |= set(seen["block"].astype(str))
        seen_roots = set(seen["root_id"])
    shared = sorted(set(tiles["block"].astype(str)) & seen_blocks)
    if shared:
        raise ValueError(
            f"{len(shared)} of the blocks to be measured were part of the training of {name} (first: {shared[0]}); "
            "choose a split that training never saw."
        )
    roots = sorted(set(tiles["root_id"]) & seen_roots)
    if roots:
        raise ValueError(f"{len(roots)} tiles to be measured share a root tile with training data (first: {roots[0]}).")
    return len(seen_blocks)
