"""Which tiles are learned from and which are asked about: a set's own split, at random, or with near copies apart.

    own      train against what the set holds out
    random   parts of equal size at random: copies stand on both sides, so a model is asked what it has seen
    groups   parts with near copies (:mod:`knowlip.dataset.near_duplicates`) and tiles of one place on one side

A fold asks about one part and learns from the others; the folds of one `split_seed` ask about every tile once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.layout import SPLITS
from knowlip.dataset.near_duplicates import NearDuplicateFinder

Protocol = Literal["own", "random", "groups"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
FOLDS: Final = 5
"""Four parts learn, one is asked: 4:1 as the field splits."""
OWN: Final = "own split"
RANDOM: Final = "random 4:1"
APART: Final = "copies apart 4:1"
"""Names of protocols for people."""
PROTOCOL_NAMES: Final[Mapping[Protocol, str]] = {"own": OWN, "random": RANDOM, "groups": APART}
BOTH_SIDES: Final = "Copies stand on both sides."
"""What every number of the protocol "random" is marked with."""

Split = tuple[np.ndarray, np.ndarray]
"""Numbers of the tiles to learn from, and of those asked about."""


@dataclass(frozen=True)
class Division:
    """Tiles to learn from and tiles to measure, both in order of tile_id."""

    protocol: Protocol
    train: tuple[str, ...]
    test: tuple[str, ...]
    group_of: Mapping[str, str]
    """Tile -> its group of copies, of all tiles that were divided: what intervals resample."""
    fold: int = 0

    @property
    def note(self) -> str:
        """What a number of this protocol must say of itself; "" where there is nothing."""
        return BOTH_SIDES if self.protocol == "random" else ""

    def clusters(self, tile_ids: Sequence[str]) -> list[str]:
        """Group of each of some tiles."""
        return [self.group_of[tile_id] for tile_id in tile_ids]


def divide(
    data: Dataset,
    tile_ids: Sequence[str],
    strata: Sequence[str] | None,
    protocol: Protocol,
    fold: int = 0,
    folds: int = FOLDS,
    seed: int = 0,
    *,
    split: str = "test",
    cache: Path | None = None,
) -> Division:
    """Divide accepted tiles of a data set.

    Args:
        data: the data set.
        tile_ids: tiles that can be learned from or measured.
        strata: class of each, so that every part holds about as much of each; None where tiles have no one class.
        protocol: how.
        fold: which part is measured.
        folds: how many parts.
        seed: of the parts.
        split: what is measured with the protocol "own"; tiles of neither are left out.
        cache: folder in which the groups of copies are kept.

    Raises:
        ValueError: no such protocol, fold or split, or the tiles cannot be divided so: the sentence says why.
    """
    check_protocol(protocol, fold, folds, split)
    order = np.argsort(np.asarray(tile_ids, dtype=str), kind="stable")
    names = [tile_ids[at] for at in order]
    groups = tile_groups(data, names, cache)
    classes = None if strata is None else np.asarray(strata, dtype=str)[order]
    if protocol == "own":
        split_of = dict(zip(data.tiles()["tile_id"], data.tiles()["split"]))
        learn, ask = own_split(np.array([split_of[name] for name in names], dtype=str), (split,))
    else:
        if reason := why_not(protocol, classes, groups, folds):
            raise ValueError(f"{data.path} cannot be divided by the protocol {protocol}: {reason}")
        learn, ask = list(parts(protocol, classes, groups, folds, seed))[fold]
    group_of = {name: f"group-{group}" for name, group in zip(names, groups.tolist())}
    train, test = (tuple(names[at] for at in some) for some in (learn, ask))
    return Division(protocol, train, test, group_of, fold)


def check_protocol(protocol: str, fold: int, folds: int, split: str) -> None:
    """Raise `ValueError` for settings that no set can be divided by."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}.")
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(f"folds must be at least 2 and fold from 0 to folds - 1, not fold {fold} of {folds}.")
    if protocol == "own" and fold:
        raise ValueError("The protocol own has one part to measure: leave fold at 0.")
    if split not in SPLITS[1:]:
        raise ValueError(f"split must be {' or '.join(SPLITS[1:])}, not {split!r}: those of train are learned from.")


# ---- parts ----------------------------------------------------------------------------------------------------------


def own_split(splits: np.ndarray, held_out: Sequence[str] = SPLITS[1:]) -> Split:
    """Train, and what the set holds out.

    Args:
        splits: (N,) split of each tile.
        held_out: names of the splits that are asked about.
    """
    learn, ask = (np.flatnonzero(np.isin(splits, names)) for names in (SPLITS[:1], tuple(held_out)))
    return learn, ask


def parts(
    protocol: Protocol, strata: np.ndarray | None, groups: np.ndarray, folds: int = FOLDS, seed: int = 0
) -> Iterator[Split]:
    """The folds of "random" or "groups"; each tile is asked about once. See :func:`why_not` first.

    Args:
        protocol: "random" or "groups".
        strata: (N,) class of each tile, or None.
        groups: (N,) group of copies of each tile.
        folds: how many.
        seed: of the parts.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    # scikit-learn has a class for each of the four cases, and shuffles in every one.
    rows = np.zeros(len(groups)) if strata is None else strata
    if protocol == "random":
        whole = KFold if strata is None else StratifiedKFold
        yield from whole(folds, shuffle=True, random_state=seed).split(rows, strata)
    else:
        grouped = GroupKFold if strata is None else StratifiedGroupKFold
        yield from grouped(folds, shuffle=True, random_state=seed).split(rows, strata, groups)


def why_not(protocol: Protocol, strata: np.ndarray | None, groups: np.ndarray, folds: int = FOLDS) -> str:
    """Why tiles cannot be divided so, as a sentence without a subject; "" where they can. As :func:`parts`."""
    count = len(groups)
    if count < folds:
        return f"there are {count} tiles, fewer than {folds} parts."
    if protocol == "random":
        rarest = folds if strata is None else min(Counter(strata.tolist()).values())
        return f"a class has {rarest} tiles, fewer than {folds} parts." if rarest < folds else ""
    largest = int(np.unique(groups, return_counts=True)[1].max())
    if largest * folds > 2 * count:
        return f"one group (copies, one image or place) holds {largest} of {count} tiles, more than two parts."
    if strata is None:
        there = len(np.unique(groups))
        return f"there are {there} groups of copies, fewer than {folds} parts." if there < folds else ""
    fewest = min(len({*groups[strata == name].tolist()}) for name in {*strata.tolist()})
    # A class in fewer groups cannot stand on both sides of every fold.
    return f"a class lies in {fewest} groups of copies, fewer than {folds} parts." if fewest < folds else ""


# ---- groups ---------------------------------------------------------------------------------------------------------


def tile_groups(data: Dataset, tile_ids: Sequence[str], cache: Path | None = None) -> np.ndarray:
    """Number of the group of each tile (T,): near copies, tiles that share ground (root_id) and tiles of one block are
    in one, also in a chain.

    Args:
        data: the data set.
        tile_ids: accepted tiles.
        cache: folder in which the result is kept under the data's fingerprint; None keeps nothing.
    """
    key = sha256("\n".join([data.fingerprint, *tile_ids]).encode())[:16]
    path = None if cache is None else cache / f"groups-{key}.npy"
    if path is not None and path.is_file():
        return np.asarray(np.load(path))
    finder = NearDuplicateFinder()
    for pixels in track(data.images(tile_ids), "look for copies", total=len(tile_ids)):
        finder.add(pixels)
    index = data.tiles().set_index("tile_id").loc[list(tile_ids)]
    groups = joined(finder.groups(), index["root_id"].to_numpy(str), index["block"].to_numpy(str))
    if path is not None:
        with whole_file(path) as part, part.open("wb") as stream:
            np.save(stream, groups)
    return groups


def joined(*labels: np.ndarray) -> np.ndarray:
    """Groups (T,) in which two tiles are together where any of the labels (T,) is the same, also in a chain."""
    count, start = len(labels[0]), len(labels[0])
    tiles, nodes = [], []
    for label in labels:  # a tile and its labels are nodes of one graph
        number = np.unique(label, return_inverse=True)[1]
        tiles.append(np.arange(count))
        nodes.append(start + number)
        start += int(number.max(initial=-1)) + 1
    edges = (np.concatenate(tiles), np.concatenate(nodes))
    found = connected_components(coo_array((np.ones(len(edges[0])), edges), (start, start)), directed=False)[1]
    return np.asarray(np.unique(found[:count], return_inverse=True)[1])
