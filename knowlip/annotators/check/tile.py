"""A tile's texts with what they claim, its labels and its place: what the rules of `knowlip text check` look at."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Mention, by_tile
from knowlip.language.categories import category_of
from knowlip.language.claims import Claims, parse_claims
from knowlip.language.dimensions import InstructionSet
from knowlip.language.marks import resting_on
from knowlip.language.statements import SEEN, Evidence


@dataclass(frozen=True)
class CheckedText:
    """One sub-text."""

    slot: int
    dimension: str
    text: str
    marks: str = ""
    evidence: Evidence = "visual"

    @property
    def seen(self) -> str:
        """What it says of the image: the sentences that are marked so; of a text without marks all of it."""
        return resting_on(self.text, self.marks, self.evidence, SEEN) if self.marks else self.text


@dataclass(frozen=True)
class Labelled:
    """A labelled object; x and y are its centre in fractions of the tile."""

    category: str
    x: float
    y: float


@dataclass(frozen=True)
class Finding:
    """Something wrong with a sub-text."""

    tile_id: str
    slot: int
    dimension: str
    rule: str
    sentence: str
    detail: str
    against: str = ""
    """The dimension that it contradicts, "" for none."""


@dataclass(frozen=True, eq=False)
class TileTexts:
    """All that is known of a tile's texts."""

    tile_id: str
    instruction_set: InstructionSet
    sentences: tuple[CheckedText, ...]
    row: Mapping[str, Any]
    """Of the index."""
    mention: Mention | None
    labels: tuple[Labelled, ...] | None
    """None where objects are not labelled in this data set."""

    @cached_property
    def claims(self) -> dict[str, Claims]:
        """Dimension -> what is claimed, {} for nothing."""
        return {one.dimension: parse_claims(self.instruction_set, one.dimension, one.seen) for one in self.sentences}

    def claim(self, dimension: str, name: str) -> Any:
        """One claim, None where it is not made."""
        return self.claims.get(dimension, {}).get(name)

    def sentence(self, dimension: str) -> CheckedText | None:
        """The sub-text of a dimension."""
        return next((one for one in self.sentences if one.dimension == dimension), None)

    def finding(self, dimension: str, rule: str, detail: str, against: str = "") -> Finding:
        """A finding about the sub-text of a dimension."""
        found = self.sentence(dimension)
        slot, text = (found.slot, found.text) if found else (0, "")
        return Finding(self.tile_id, slot, dimension, rule, text, detail, against)

    def number(self, name: str) -> float:
        """A positive number of the index; NaN where it is not known."""
        value = self.row.get(name)
        return float(value) if isinstance(value, int | float) and value > 0 else float("nan")


def read_tiles(dataset: Dataset, revision: int | None = None) -> Iterator[TileTexts]:
    """The annotated tiles of a data set in order of tile_id.

    Raises:
        ValueError: there are no texts, or not the revision.
    """
    texts = dataset.texts(revision)
    if texts.empty:
        raise ValueError(f"{dataset.path} has no texts to check: annotate it first.")
    rows = {row["tile_id"]: {str(k): v for k, v in row.items()} for row in dataset.tiles().to_dict("records")}
    mentions = by_tile(dataset.mentions())
    labels = _labels(dataset)
    groups = texts.groupby("tile_id", sort=True)
    for tile, group in track(groups, "check texts", groups.ngroups):
        name = str(tile)
        kind = InstructionSet(group["instruction_set"].iloc[0])
        columns = (group[name] for name in ("slot", "dimension", "text", "marks", "evidence"))
        sentences = tuple(CheckedText(int(slot), *rest) for slot, *rest in zip(*columns))
        labelled = None if labels is None else labels.get(name, ())
        yield TileTexts(name, kind, sentences, rows.get(name, {}), mentions.get(name), labelled)


def _labels(dataset: Dataset) -> dict[str, tuple[Labelled, ...]] | None:
    """tile_id -> labelled objects; None where nothing is labelled. Truth knows the centres of objects that the tile
    cuts off, a box only that of the visible part."""
    truth = dataset.truth()
    if truth:
        return {tile: tuple(_true(item["objects"])) for tile, item in truth.items()}
    found: dict[str, list[Labelled]] = {}
    frame = dataset.annotations()
    for tile, category, *box in zip(*(frame[name] for name in ("tile_id", "category", "x", "y", "width", "height"))):
        x, y, width, height = map(float, box)
        found.setdefault(tile, []).append(Labelled(category_of(category), x + width / 2, y + height / 2))
    return {tile: tuple(things) for tile, things in found.items()} or None


def _true(items: Iterable[Mapping[str, Any]]) -> Iterator[Labelled]:
    for item in items:
        yield Labelled(str(item["category"]), float(item["x"]), float(item["y"]))
