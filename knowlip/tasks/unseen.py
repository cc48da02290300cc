"""Refuse to measure a model on places it was trained on."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from knowlip.dataset import Dataset
from knowlip.models.card import ModelCard
from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard

_TRAINED_ON = "train"
_IMAGE: Final = re.compile(r"(?P<set>.+)-(?P<sha>[0-9a-f]{16})(?:-(?:train|val|test))?")
"""Block of an imported image: name of its set, hash of its pixels, and the part where both sides have one."""


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
    says. An image that was imported as a part of several sets is one place, whatever the sets are called.

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
    if fingerprint in fingerprints(card):
        # A training on folds of a protocol saw other tiles than those of the set's own split.
        is_seen = index["block"].isin(seen_blocks)
        if card.dataset_fingerprint == fingerprint and card.own_split:
            is_seen |= index["split"] == _TRAINED_ON
        seen = index[is_seen]
        seen_blocks |= set(seen["block"].astype(str))
        seen_roots = set(seen["root_id"])
    shared = sorted(set(tiles["block"].astype(str)) & seen_blocks)
    if shared:
        raise ValueError(
            f"{len(shared)} of the blocks to be measured were part of the training of {name} (first: {shared[0]}); "
            "choose a split that training never saw."
        )
    if twins := _twins(set(tiles["block"].astype(str)), seen_blocks):
        raise ValueError(
            f"{len(twins)} images to be measured were part of the training of {name} as images of another set (first: "
            f"{twins[0][0]} is {twins[0][1]}); measure on images that training never saw."
        )
    roots = sorted(set(tiles["root_id"]) & seen_roots)
    if roots:
        raise ValueError(f"{len(roots)} tiles to be measured share a root tile with training data (first: {roots[0]}).")
    return Unseen(len(seen_blocks), _note(card, fingerprint, name))


def fingerprints(card: EncoderCard) -> dict[str, str]:
    """Fingerprint -> name of each KnowLIP data set that a model learned from; "" where the card knows no name."""
    own = {card.dataset_fingerprint: ""} if card.dataset_fingerprint else {}
    return own | {one.partition(" ")[0]: one.partition(" ")[2] for one in card.other_sets}


def _twins(blocks: set[str], seen: set[str]) -> list[tuple[str, str]]:
    """Blocks to be measured that are the same image as a seen block of a set of another name, with that block."""
    # Within a set its own names tell, where one image may lie in parts on both sides.
    of_image: dict[str, list[tuple[str, str]]] = {}
    for one in sorted(seen):
        if match := _IMAGE.fullmatch(one):
            of_image.setdefault(match["sha"], []).append((match["set"], one))
    found = []
    for block in sorted(blocks):
        match = _IMAGE.fullmatch(block)
        others = [] if match is None else [one for of, one in of_image.get(match["sha"], ()) if of != match["set"]]
        found += [(block, others[0])] if others else []
    return found


def same_places(blocks: Iterable[str], seen: Iterable[str]) -> set[str]:
    """Those of `seen` that are the same places, or the same images of another set, as some of `blocks`."""
    those, others = {*map(str, blocks)}, {*map(str, seen)}
    return those & others | {block for block, _ in _twins(others, those)}


def also_seen(card: Mapping[str, Any], dataset: Dataset, blocks: Iterable[str]) -> ModelCard:
    """What a card says more after a fine-tuning.

    Args:
        card: of the model before.
        dataset: that it was fine-tuned on.
        blocks: of its training tiles.
    """
    entry = f"{dataset.fingerprint} {dataset.path.resolve().name}"
    before = {**card, "other_sets": [*card.get("other_sets", ()), entry]}
    own = str(card.get("dataset_fingerprint", ""))
    return {
        "train_blocks": sorted({*map(str, card.get("train_blocks", ()))} | {*map(str, blocks)}),
        "other_sets": other_sets(before, own),
    }


def sets_of(card: Mapping[str, Any]) -> list[str]:
    """All data sets that a model learned from, as FINGERPRINT NAME (the name may be missing)."""
    own = str(card.get("dataset_fingerprint", ""))
    return list(dict.fromkeys([*([own] if own else []), *map(str, card.get("other_sets", ()))]))


def other_sets(card: Mapping[str, Any], fingerprint: str) -> list[str]:
    """Those of :func:`sets_of` but the one of this fingerprint."""
    return [one for one in sets_of(card) if one.partition(" ")[0] != fingerprint]


def _note(card: EncoderCard, fingerprint: str, name: str) -> str:
    """What the check cannot know about this model."""
    known = fingerprints(card)
    others = [f"{of} ({one[:8]})" if of else one[:8] for one, of in known.items() if one != fingerprint]
    if UNKNOWN in card.trained_on:
        seen = f"It is not known what {name} was trained on, so unseen places cannot be assured."
    elif card.trained_on and not card.dataset_fingerprint:
        seen = f"{name} was trained on {', '.join(card.trained_on)}, whose places are not compared with these tiles."
    else:
        seen = ""
    elsewhere = (
        f"{name} learned from other data sets than this one ({', '.join(others)}): the same places and the very same "
        "images are refused, near copies are not looked for."
        if others
        else ""
    )
    return " ".join(sentence for sentence in (seen, elsewhere, card.note) if sentence)
