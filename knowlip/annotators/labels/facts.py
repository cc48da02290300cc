"""What the labels of a tile say: targets, and shares of covers in the tile and its nine regions, with what is unknown.

Truth of simulated scenes comes first, then annotations (boxes, outlines) and class masks of imported sets.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import shapely

from knowlip.base.vocabulary import LAND_COVER, landform_shares
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Box
from knowlip.language.categories import category_of, cover_of
from knowlip.language.definitions import Land, cover_share
from knowlip.language.dimensions import InstructionSet

_WHOLE: Final = 0.98
"""A box that covers this much of both sides is the label of an image, not a measured outline."""


@dataclass(frozen=True)
class LabelTarget:
    """A labelled object. NaN where the label does not say."""

    category: str
    type: str
    x: float
    """Centre in fractions of the tile, as `y`."""
    y: float
    length_m: float
    length_px: float
    """Long side in pixels of the stored image."""
    aspect: float
    """Length over width of the object itself (never of an upright box around an object that may stand askew)."""
    heading_deg: float
    whole: bool = False
    """Whether the label is of the whole image, so that it says neither where nor how many."""
    difficult: bool = False
    """Whether the label says that it is hard to see (difficult in VOC, a crowd in COCO)."""
    outside: float = 0.0
    """Share of its outline that lies outside the tile; NaN where what is left of it ends at the tile's edge."""


@dataclass(frozen=True)
class LabelFacts:
    """All that the labels of one tile say."""

    tile_id: str
    targets: tuple[LabelTarget, ...]
    labelled: bool
    """Whether objects are labelled one by one in this data set, so that no target means that there is none."""
    usual: str
    """Category of most objects in the data set, "" without objects."""
    shares: Mapping[str, float]
    """Cover (name of `vocabulary.LAND_COVER`, "land", or a mask's own class) -> share; {} unknown."""
    grid: tuple[Mapping[str, float], ...]
    """The same for each of the nine regions."""
    known: frozenset[str]
    """Covers on which the labels speak, whether or not the tile has them."""
    buildings: int | None
    """Number of buildings; None unknown."""
    boxes: tuple[Box, ...]
    wording: int | None = None
    """Number of the wording that every statement gets; by default the tile's name draws one."""
    unlabelled: float = 0.0
    """Share of the tile in which the mask says nothing; `shares` are of the rest."""
    grid_unlabelled: tuple[float, ...] = ()
    """The same for each of the nine regions; () where `grid` is of all of each."""

    @property
    def chance(self) -> str | int:
        """What decides the wording of a statement, see :func:`knowlip.annotators.labels.templates.choose`."""
        return self.tile_id if self.wording is None else self.wording

    @property
    def instruction_set(self) -> InstructionSet:
        """Ships make it "marine", other targets "ground", cover alone "terrain"; without either, what the set is of."""
        if not self.targets and (self.shares or not self.usual):
            return InstructionSet.TERRAIN
        ships = sum(target.category == "ship" for target in self.targets)
        marine = ships * 2 >= len(self.targets) if self.targets else self.usual == "ship"
        return InstructionSet.MARINE if marine else InstructionSet.GROUND

    @property
    def category(self) -> str:
        """Category of most targets, the data set's where the tile has none."""
        if not self.targets:
            return self.usual
        counts = Counter(target.category for target in self.targets)
        return max(counts, key=lambda name: (counts[name], name == "ship"))

    @property
    def forms(self) -> dict[str, float]:
        """Shares of landforms, and of classes beyond them, largest first."""
        forms = landform_shares(self.shares)
        own = {name: share for name, share in self.shares.items() if name not in _IN_FORMS}
        return dict(sorted({**forms, **own}.items(), key=lambda item: -item[1]))

    @property
    def open_share(self) -> float:
        """Share of the tile of which the labels name no landform: without a class, or a mask's roads and bridges."""
        return open_share(self.shares, self.unlabelled, self.known)

    def share(self, name: str) -> float:
        """Share of a cover, of "land" (all that is not water) or of "pavement" (runway and apron)."""
        return cover_share(name, self.shares)

    @property
    def exact(self) -> bool:
        """Whether covers are told apart as landforms, and not only as water and land."""
        return bool(self.known & {"field", "wood", "built-up", "grass", "runway", "quay"})

    @property
    def counts(self) -> dict[str, int]:
        """Category -> number; 0 of the usual category where objects are labelled and there is none."""
        counts = dict(Counter(target.category for target in self.targets))
        return counts or ({self.usual: 0} if self.labelled and self.usual else {})

    @property
    def land(self) -> Land:
        """Shares and grid as the definitions of words take them."""
        return {"shares": self.shares, "grid": self.grid}


_IN_FORMS: Final = frozenset(LAND_COVER.values())
_OF_NO_LANDFORM: Final = ("road", "bridge")


def open_share(shares: Mapping[str, float], unlabelled: float, known: frozenset[str]) -> float:
    """Share of an area of which the labels name no landform.

    Truth has roads as thin as they are; a class of a mask may be of any size, and what is half road is no wood.

    Args:
        shares: cover -> share of what has a class.
        unlabelled: share that has none.
        known: covers on which the labels speak, as :class:`LabelFacts` has them.
    """
    loose = 0.0 if known == _IN_FORMS else sum(shares.get(name, 0.0) for name in _OF_NO_LANDFORM)
    return unlabelled + (1 - unlabelled) * loose


class MaskShares(NamedTuple):
    """What a class mask says of a tile and its nine regions."""

    shares: dict[str, float]
    """Cover -> share of the pixels that have a class; {} where none has."""
    grid: tuple[dict[str, float], ...]
    unlabelled: float
    """Share of the pixels that have none."""
    grid_unlabelled: tuple[float, ...]


def mask_shares(mask: np.ndarray, classes: Mapping[int, str]) -> MaskShares:
    """Shares of covers in a class mask (H, W) and in its nine regions, of the pixels that have a class."""
    covers = {code: cover for code, name in classes.items() if (cover := cover_of(name))}
    rows, columns = (np.linspace(0, side, 4).round().astype(int) for side in mask.shape)
    cells = [
        mask[rows[i] : rows[i + 1], columns[j] : columns[j + 1]] for i in range(3) for j in range(3)
    ]  # row by row, as REGIONS

    def shares(part: np.ndarray) -> tuple[dict[str, float], float]:
        numbers = np.bincount(part.ravel(), minlength=256)
        found: dict[str, float] = dict.fromkeys(covers.values(), 0.0)
        total = float(sum(numbers[code] for code in covers))
        for code, cover in covers.items():
            found[cover] += float(numbers[code]) / total if total else 0.0
        return found, 1 - total / max(1, part.size)

    whole, unlabelled = shares(mask)
    if not any(whole.values()):
        return MaskShares({}, (), 1.0, ())
    parts = [shares(cell) for cell in cells]
    return MaskShares(whole, tuple(found for found, _ in parts), unlabelled, tuple(share for _, share in parts))


class LabelSource:
    """Reads the facts of tiles from a data set.

    Raises:
        ValueError: the data set has neither truth, annotations nor masks.
    """

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._truth = dataset.truth()
        annotations = dataset.annotations()
        self._rows: dict[str, list[dict[str, Any]]] = {
            str(tile): [{str(key): value for key, value in row.items()} for row in group.to_dict("records")]
            for tile, group in annotations.groupby("tile_id", sort=False)
        }
        if not (self._truth or self._rows or dataset.masks.places):
            raise ValueError(f"{dataset.path} has no labels (truth, annotations or masks); use the measured annotator.")
        # A set of masks without one box does not say that there are no ships, nor does one of classes of images.
        boxed = (~_whole(annotations["width"], annotations["height"])).any()
        self._labelled = bool(self._truth or boxed)
        counts = Counter(category_of(str(name)) for name in annotations["category"])
        self._usual = max(sorted(counts), key=lambda name: counts[name]) if counts else ""

    @cached_property
    def _tiles(self) -> dict[str, tuple[float, tuple[int, int]]]:
        """tile_id -> metres per pixel, (height, width)."""
        tiles = self._dataset.tiles()
        return {
            tile: (float(metres), (int(shape[0]), int(shape[1])))
            for tile, metres, shape in zip(tiles["tile_id"], tiles["metres_per_pixel"], tiles["proj:shape"])
        }

    def facts(self, tile_id: str) -> LabelFacts:
        """The facts of an accepted tile.

        Raises:
            ValueError: there is no such tile.
        """
        if tile_id not in self._tiles:
            raise ValueError(f"{self._dataset.path} has no accepted tile {tile_id!r}.")
        # Truth knows all of its tile; what a mask leaves without a class may be any.
        metres, shape = self._tiles[tile_id]
        rows = self._rows.get(tile_id, [])
        truth = self._truth.get(tile_id)
        shares: Mapping[str, float]
        grid: Sequence[Mapping[str, float]]
        unlabelled: tuple[float, tuple[float, ...]] = (0.0, ())
        if truth is not None:
            targets = tuple(true_target(item, metres, shape) for item in truth.get("objects", []))
            shares, grid = truth.get("shares", {}), truth.get("grid", [])
            known, buildings = _IN_FORMS if shares else frozenset[str](), truth.get("buildings")
        else:
            targets = tuple(_labelled_target(row, metres, shape) for row in rows)
            known, buildings, shares, grid = frozenset[str](), None, {}, ()
            if tile_id in self._dataset.masks.places:
                found = mask_shares(self._dataset.masks.mask(tile_id), self._dataset.mask_classes)
                shares, grid, unlabelled = found.shares, found.grid, (found.unlabelled, found.grid_unlabelled)
                known = frozenset(shares)
        boxes = tuple(filter(None, map(_box, rows)))
        of_set = (self._labelled, self._usual)
        return LabelFacts(tile_id, targets, *of_set, shares, tuple(grid), known, buildings, boxes, None, *unlabelled)


def _whole(width: Any, height: Any) -> Any:
    """Whether boxes (fractions, or columns of them) are the labels of whole images."""
    return (width >= _WHOLE) & (height >= _WHOLE)


def _outside(points: Sequence[Any]) -> float:
    """Share of an outline (x, y in fractions of the tile, flat or in pairs) that lies outside the tile."""
    listed = np.asarray(points, float).reshape(-1, 2)
    if len(listed) < 3 or (listed.min() >= 0 and listed.max() <= 1):
        return 0.0
    outline = shapely.Polygon(listed).buffer(0)
    inside = outline.intersection(shapely.box(0, 0, 1, 1)).area
    return 1 - inside / outline.area if outline.area > 0 else 0.0


def true_target(item: Mapping[str, Any], metres: float, shape: tuple[int, int]) -> LabelTarget:
    """A target of the truth (a `TrueObject`) in a tile of so many metres per pixel and this height and width."""
    length, width = float(item["length_m"]), float(item["width_m"])
    pixels, aspect = length / metres if metres > 0 else math.nan, length / width if width > 0 else math.nan
    what = (item["category"], item["type"], float(item["x"]), float(item["y"]))
    outside = _outside(item.get("polygon", ()))
    return LabelTarget(*what, length, pixels, aspect, float(item["heading_deg"]), outside=outside)


def _labelled_target(row: Mapping[str, Any], metres: float, shape: tuple[int, int]) -> LabelTarget:
    height, width = shape
    centre = (row["x"] + row["width"] / 2, row["y"] + row["height"] / 2)
    sides = (row["width"] * width, row["height"] * height)
    aspect = math.nan
    if len(row["corners"]) == 8:
        corners = np.asarray(row["corners"], float).reshape(4, 2) * (width, height)
        edges = np.linalg.norm(np.diff(corners[[0, 1, 2]], axis=0), axis=1)
        sides = (float(edges.max()), float(edges.min()))
        aspect = sides[0] / sides[1] if sides[1] > 0 else math.nan
    whole = bool(_whole(row["width"], row["height"]))
    pixels = math.nan if whole else float(max(sides))
    outside = _outside(row["corners"])
    # Imports keep of an object what lies in the image: half a pixel from its edge nobody knows how much is missing.
    near = (0.5 / width, 0.5 / height)
    ends = (row["x"], row["y"], 1 - row["x"] - row["width"], 1 - row["y"] - row["height"])
    if not outside and any(gap < least for gap, least in zip(ends, near * 2)):
        outside = math.nan
    length = float(row["length_m"])
    if math.isnan(length) and metres > 0:
        length = pixels * metres
    what = (category_of(row["category"]), row["type"], *centre)
    heading, difficult = float(row["heading_deg"]), bool(row["difficult"])
    return LabelTarget(*what, length, pixels, aspect, heading, whole, difficult, outside)


def _box(row: Mapping[str, Any]) -> Box | None:
    """The visible part of a label's box; None where nothing is left of it."""
    left, top = max(0.0, row["x"]), max(0.0, row["y"])
    width, height = min(1.0, row["x"] + row["width"]) - left, min(1.0, row["y"] + row["height"]) - top
    return Box(category_of(row["category"]), left, top, width, height) if width > 0 and height > 0 else None
