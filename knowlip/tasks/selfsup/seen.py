"""Which tiles a self-supervised pre-training learns from, and what it keeps for measuring."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.documents import read_json
from knowlip.dataset import Dataset
from knowlip.models.card import ModelCard
from knowlip.models.hub import CARD
from knowlip.models.vision_model import CONFIG, is_vision
from knowlip.tasks.labelled import LabelledTiles
from knowlip.tasks.protocols import divide
from knowlip.tasks.selfsup.settings import SelfSupConfig
from knowlip.tasks.unseen import other_sets


@dataclass(frozen=True)
class SeenTiles:
    """Tiles to learn from, and those with a class that are kept aside."""

    train: list[str]
    """In order of tile_id."""
    aside: list[str]
    """Tiles that nothing is learned from and that have one class."""
    class_of: Mapping[str, str]
    """Of all tiles with one class."""

    @classmethod
    def of(cls, dataset: Dataset, config: SelfSupConfig, cache: Path) -> "SeenTiles":
        """Divide a data set.

        Raises:
            ValueError: it has fewer training tiles than a batch, or cannot be divided by the protocol.
        """
        index = dataset.tiles()
        labelled = LabelledTiles.of(dataset, None, config.label)
        class_of = dict(zip(labelled.tile_ids, labelled.classes))
        if config.protocol == "own":
            train = sorted(index["tile_id"][index["split"] == "train"])
            aside = [name for name in sorted(index["tile_id"][index["split"] == config.split]) if name in class_of]
        else:
            several = len({*labelled.classes}) > 1
            # As `classify` divides: the same tiles, classes and parts, so that what it measures was never seen.
            names, strata = (labelled.tile_ids, labelled.classes) if several else (sorted(index["tile_id"]), None)
            division = divide(
                dataset, names, strata, config.protocol, config.fold, config.folds, config.split_seed, cache=cache
            )
            train, aside = _without(index, set(division.test), config.protocol), sorted(division.test)
            aside = [name for name in aside if name in class_of]
        if len(train) < config.batch_size:
            raise ValueError(
                f"{config.dataset} has {len(train)} training tiles by the protocol {config.protocol}, fewer than one "
                f"batch of {config.batch_size}."
            )
        return cls(train, aside, class_of)


def _without(index: pd.DataFrame, test: set[str], protocol: str) -> list[str]:
    """All tiles but those of a part, and but those without a class that share its places."""
    is_test = index["tile_id"].isin(test)
    shares = is_test
    if protocol == "groups":
        shares = is_test | index["block"].isin(set(index["block"][is_test]))
        shares |= index["root_id"].isin(set(index["root_id"][is_test]))
    return sorted(index["tile_id"][~shares])


def seen_card(dataset: Dataset, config: SelfSupConfig, seen: SeenTiles) -> ModelCard:
    """What a tower must carry to be used rightly: the places that it saw, those of its start too."""
    tiles = dataset.tiles().set_index("tile_id").loc[seen.train]
    start = {} if config.starts_random else start_card(Path(config.init))
    blocks = {*tiles["block"].astype(str), *map(str, start.get("train_blocks", ()))}
    others = other_sets(start, dataset.fingerprint)
    return {
        **({"other_sets": others} if others else {}),
        "dataset_fingerprint": dataset.fingerprint,
        "own_split": config.protocol == "own",
        "train_blocks": sorted(blocks),
        "tiles": len(seen.train),
        "quantiser": sorted(set(tiles["quantiser"].astype(str))),
        "windows_m": sorted({float(window) for window in tiles["window_m"].dropna()}, reverse=True),
        "sensors": sorted(set(tiles["platform"].astype(str))),
    }


def start_card(path: Path) -> Mapping[str, Any]:
    """What a model of our own, or a file in its folder, says of the places that it saw; {} for weights of others."""
    folder = path if path.is_dir() else path.parent
    if is_vision(folder):
        found: Any = read_json(folder / CONFIG)
        return dict(found["knowlip"]["card"])
    if (folder / CARD).is_file():
        found = read_json(folder / CARD)
        return dict(found["card"]) if isinstance(found, dict) and isinstance(found.get("card"), dict) else {}
    return {}


def apart(learn: np.ndarray, ask: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Those of some tiles (numbers) whose group of near copies holds none of the others."""
    return ask[~np.isin(groups[ask], groups[learn])]
