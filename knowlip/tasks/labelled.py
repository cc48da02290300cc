"""The class of a tile: the one name that its annotations have."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from knowlip.dataset import Dataset


def tile_classes(dataset: Dataset, label: str) -> dict[str, str]:
    """Tile -> the one name in the column `label` of its annotations; tiles with none or several are absent."""
    annotations = dataset.annotations()
    named = annotations[annotations[label] != ""].groupby("tile_id")[label]
    return {str(tile_id): names.iloc[0] for tile_id, names in named if names.nunique() == 1}


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles with one class each, in order of tile_id."""

    tile_ids: list[str]
    classes: list[str]
    no_class: int
    """Tiles without any class, which are left out."""
    several: int
    """Tiles with several classes, likewise."""

    @classmethod
    def of(cls, dataset: Dataset, splits: Sequence[str] | None, label: str) -> "LabelledTiles":
        """Read them from the data set's annotations; of some splits, or of all where None."""
        found, tiles = tile_classes(dataset, label), dataset.tiles()
        tile_ids = tiles["tile_id"][tiles["split"].isin(splits)] if splits is not None else tiles["tile_id"]
        known = {tile_id: found[tile_id] for tile_id in tile_ids if tile_id in found}
        annotations = dataset.annotations()
        named = {*annotations["tile_id"][annotations[label] != ""]} & {*tile_ids}
        return cls(list(known), list(known.values()), len(tile_ids) - len(named), len(named) - len(known))

    @property
    def left_out(self) -> int:
        """Tiles with no class, or several."""
        return self.no_class + self.several


def labels(names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Numbers (T,) int64 of class names; -1 where it is none of the classes."""
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number.get(name, -1) for name in names], dtype=torch.int64)
