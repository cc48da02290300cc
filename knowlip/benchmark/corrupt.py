"""Texts whose errors are known: right ones made from an annotator's, and a chosen share of these made wrong by chance.

Truth decides what is right and what is wrong (:func:`knowlip.language.truth.judge`). What it cannot verify stays as the
annotator said it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from knowlip.dataset import Dataset
from knowlip.dataset.layout import TEXTS
from knowlip.language.corruption import corrupt, with_seen
from knowlip.language.definitions import TileTruth
from knowlip.language.dimensions import SLOTS
from knowlip.language.marks import resting_on
from knowlip.language.mistakes import mistakes
from knowlip.language.statements import SEEN
from knowlip.language.truth import judge

OTHER_TILE: Final = "other-tile"
"""Kind of a change that takes what other tiles say in this dimension."""
_TRIES: Final = 400
"""Other tiles whose words are tried at most."""


class Proposal(Protocol):
    """A wrong sub-text as a generator gives it."""

    @property
    def row(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def marks(self) -> str: ...


Nearby = Mapping[int, Sequence[int]]
"""Number of a tile -> tiles nearby."""
Generator = Callable[[pd.DataFrame, Sequence[int], np.random.Generator, Nearby], Sequence[Proposal]]
"""(eight rows a tile in the order of slots, numbers of tiles, chance, tiles nearby) -> at most one wrong sub-text a
tile."""


def _mistakes(texts: pd.DataFrame, rows: Sequence[int], rng: np.random.Generator, near: Nearby) -> Sequence[Proposal]:
    return mistakes(texts, rows, rng, nearby=near)


def _injected(texts: pd.DataFrame, rows: Sequence[int], rng: np.random.Generator, near: Nearby) -> Sequence[Proposal]:
    return corrupt(texts, rows, rng)


def _nobody(texts: pd.DataFrame, rows: Sequence[int], rng: np.random.Generator, near: Nearby) -> Sequence[Proposal]:
    return ()


GENERATORS: Final[Mapping[str, Generator]] = {"mistakes": _mistakes, "injected": _injected, OTHER_TILE: _nobody}
"""By name: "mistakes" as an annotator makes them (:mod:`knowlip.language.mistakes`); "injected" is what calibrates SCIO
(:mod:`knowlip.language.corruption`), so that a measurement of SCIO needs another one; "other-tile" is what every
generator falls back on where it has nothing to say: the words of another tile, which truth calls wrong here."""


def _nearby(roots: Sequence[str]) -> Nearby:
    families: dict[str, list[int]] = {}
    for number, root in enumerate(roots):
        families.setdefault(root, []).append(number)
    return {number: [one for one in families[root] if one != number] for number, root in enumerate(roots)}


@dataclass(frozen=True)
class Change:
    """Other words for one sub-text."""

    at: int
    """Row of the table of texts."""
    kind: str
    """Where the words come from."""
    text: str
    marks: str
    """Of these words, see :mod:`knowlip.language.marks`."""


def changed(texts: pd.DataFrame, changes: Sequence[Change]) -> pd.DataFrame:
    """The table with other words at some rows; words without marks rest on the image."""
    new = texts.copy()
    rows = [change.at for change in changes]
    new.loc[rows, "text"] = [change.text for change in changes]
    new.loc[rows, "marks"] = [change.marks for change in changes]
    bare = [change.at for change in changes if not change.marks]
    new.loc[bare, "evidence"] = SEEN[0]
    return new


class KnownTexts:
    """The sub-texts of some tiles, which of them are true, and other words for them.

    Args:
        texts: eight rows a tile in the order of tile and slot, numbered from 0 (columns of `TEXT_SCHEMA`).
        truths: tile_id -> truth.
        windows: tile_id -> side of the tile in metres.
        roots: tile_id -> root tile; tiles of one root are nearby.
    """

    def __init__(
        self,
        texts: pd.DataFrame,
        truths: Mapping[str, TileTruth],
        windows: Mapping[str, float],
        roots: Mapping[str, str],
    ) -> None:
        self.texts, self._truths, self._windows = texts, truths, windows
        from knowlip.tasks.verdicts import verdicts  # brings PyTorch, and settings need none

        self.true = verdicts(texts, truths, windows, judge)
        """(N,) objects: True, False, or None where nothing can be verified."""
        columns = (texts[name] for name in ("text", "marks", "evidence"))
        self.seen = [resting_on(text, marks, evidence, SEEN) for text, marks, evidence in zip(*columns)]
        """What rests on the image in each; "" for nothing."""
        self._of = list(zip(*(texts[name] for name in ("tile_id", "instruction_set", "dimension", "text", "marks"))))
        self.group = (texts["instruction_set"] + " " + texts["dimension"]).to_numpy(str)
        """Instruction set and dimension."""
        self.near = _nearby([roots[tile_id] for tile_id in texts["tile_id"].iloc[::SLOTS]])
        """Number of a tile -> the others of its root."""
        self._donors = {name: rows for name, rows in self._by_group() if len(rows)}

    def _by_group(self) -> Iterator[tuple[str, np.ndarray]]:
        said = np.array([bool(words) for words in self.seen])
        for name in np.unique(self.group):
            yield name, np.flatnonzero((self.group == name) & said)

    def judged(self, at: int, text: str) -> bool | None:
        """Whether other words would be true in the place of row `at`."""
        tile_id, instruction_set, dimension, *_ = self._of[at]
        truth = self._truths.get(tile_id)
        return None if truth is None else judge(instruction_set, dimension, text, truth, self._windows[tile_id])

    def with_words(self, at: int, words: str) -> tuple[str, str] | None:
        """Text and marks of row `at` with other words in place of those that rest on the image; None where none do."""
        *_, text, marks = self._of[at]
        return with_seen(text, marks, words) if self.seen[at] or not marks else None

    def from_others(self, at: int, true: bool, rng: np.random.Generator) -> Change | None:
        """Words of another tile in the same dimension that are true, or false, here; None where a number of tries finds
        none."""
        donors = self._donors.get(self.group[at], np.zeros(0, int))
        for donor in rng.permutation(donors)[:_TRIES]:
            # The words alone first: they are the same for many tiles, and read once.
            if self.judged(at, self.seen[donor]) is not true:
                continue
            told = self.with_words(at, self.seen[donor])
            if told is not None and self.judged(at, told[0]) is true:
                return Change(at, OTHER_TILE, *told)
        return None


def right_texts(known: KnownTexts, templates: pd.DataFrame, rng: np.random.Generator) -> tuple[list[Change], int]:
    """Right words for every wrong sub-text: those of another tile in this dimension that truth bears out here, so that
    they are in the annotator's own style, else a template's.

    Args:
        known: the annotator's texts.
        templates: texts of the `labels` annotator, row for row of the same tiles and slots. Of another instruction set,
            they cannot help.
        rng: source of chance.

    Returns:
        The changes, and how many sub-texts stay wrong because nobody has right words for them.
    """
    changes, left = [], 0
    same = (templates["instruction_set"] == known.texts["instruction_set"]).to_numpy(bool)
    words = templates["text"].to_list()
    for at in np.flatnonzero(known.true == False).tolist():  # noqa: E712 (objects, None among them)
        change = known.from_others(at, True, rng)
        if change is None and same[at]:
            told = known.with_words(at, words[at])
            if told is not None and known.judged(at, told[0]):
                change = Change(at, "template", *told)
        if change is None:
            left += 1
        else:
            changes.append(change)
    return changes, left


def wrong_texts(known: KnownTexts, shares: Sequence[float], generator: str, seed: int) -> dict[float, list[Change]]:
    """Make a share of the right sub-texts wrong, as large in every dimension; a larger share holds the smaller ones.

    Args:
        known: texts that are right; what is wrong or cannot be verified is left alone.
        shares: of the right sub-texts, 0 to 1.
        generator: one of :data:`GENERATORS`.
        seed: of all choices.

    Returns:
        Share -> changes. Where neither the generator nor another tile has words that are wrong, a sub-text stays right.
    """
    # Which sub-texts are wrong is drawn before how, so that a generator's likes do not choose the dimensions.
    rng = np.random.default_rng([seed, 0])
    right = known.true == True  # noqa: E712 (objects, None among them)
    place = np.full(len(right), np.inf)
    for group in np.unique(known.group):
        rows = rng.permutation(np.flatnonzero(right & (known.group == group)))
        place[rows] = (np.arange(len(rows)) + 0.5) / max(1, len(rows))
    wanted = np.flatnonzero(place < max(shares, default=0.0))
    proposed = _proposals(known, set(wanted.tolist()), GENERATORS[generator], np.random.default_rng([seed, 1]))
    found = {}
    for at in wanted.tolist():
        change = proposed.get(at) or known.from_others(at, False, np.random.default_rng([seed, 2, at]))
        if change is not None:
            found[at] = change
    return {share: [change for at, change in found.items() if place[at] < share] for share in shares}


def _proposals(
    known: KnownTexts, wanted: set[int], generator: Generator, rng: np.random.Generator
) -> dict[int, Change]:
    """What a generator has to say at the rows that are wanted, as far as truth calls it wrong."""
    # It is shown no other sub-text of these tiles, so that it does not choose where to err, only how.
    found: dict[int, Change] = {}
    tiles = sorted({at // SLOTS for at in wanted})
    inside = np.isin(np.arange(len(known.texts)) // SLOTS, tiles)
    for _ in range(SLOTS):
        left = np.zeros(len(known.texts), bool)
        left[list(wanted - found.keys())] = True
        shown = known.texts.copy()
        shown.loc[inside & ~left, ["text", "marks"]] = ""
        given = generator(shown, tiles, rng, known.near) if tiles else ()
        for one in given:
            at = one.row * SLOTS + one.slot
            if known.judged(at, one.text) is False:
                found[at] = Change(at, one.kind, one.text, one.marks)
        tiles = [
            tile for tile in sorted({one.row for one in given}) if left[tile * SLOTS : (tile + 1) * SLOTS].sum() > 1
        ]
    return found


def check_generator(name: str) -> None:
    """Raise `ValueError` where there is no generator of this name."""
    if name not in GENERATORS:
        raise ValueError(f"There is no generator {name!r} of wrong texts: choose from {', '.join(GENERATORS)}.")


def corrupt_texts(dataset: Dataset, share: float, seed: int) -> list[dict[str, Any]]:
    """Replace sub-texts of training tiles in revision 0 by wrong ones (:mod:`knowlip.language.corruption`), without
    truth: what the annotator says is taken for right.

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
