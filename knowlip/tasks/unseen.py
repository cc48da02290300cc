"""Refuse to measure a model on places it was trained on."""

from dataclasses import dataclass

import pandas as pd

from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard

_TRAINED_ON = "train"


@dataclass(frozen=True)
class Unseen:
    """What was compared, for the result."""

    train_blocks: int
    """Training blocks that none of the tiles lies in."""
    note: str = ""
    """What could not be compared, as a sentence; "" where training saw nothing else."""


def check_unseen(card: EncoderCard, fingerprint: str, index: pd.DataFrame, tiles: pd.DataFrame, name: str) -> Unseen:
    """Check that no tile to be measured lies in a block, or descends from a root tile, that training saw.

    A model from elsewhere has no blocks to compare: it is measured, and the result says what it saw, or that nobody
    says.

    Args:
        card: of the model.
        fingerprint: of the data set to be measured on. Where it is the one trained on, its index is believed too.
        index: all accepted tiles of that data set (columns tile_id, root_id, split, block).
        tiles: those to be measured.
        name: of the model, for the messages.

    Raises:
        ValueError: it saw one of these places.
    """
    seen_blocks = set(card.train_blocks)
    seen_roots: set[str] = set()
    if card.dataset_fingerprint == fingerprint:
        # A training on folds of a protocol saw other tiles than those of the set's own split.
        seen = index[index["split"] == _TRAINED_ON if card.own_split else index["block"].isin(seen_blocks)]
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
    return Unseen(len(seen_blocks), _note(card, name))


def _note(card: EncoderCard, name: str) -> str:
    """What the check cannot know about this model."""
    if UNKNOWN in card.trained_on:
        seen = f"It is not known what {name} was trained on, so unseen places cannot be assured."
    elif card.trained_on and not card.dataset_fingerprint:
        seen = f"{name} was trained on {', '.join(card.trained_on)}, whose places are not compared with these tiles."
    else:
        seen = ""
    return " ".join(sentence for sentence in (seen, card.note) if sentence)
