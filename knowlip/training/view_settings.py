"""Settings of the views that self-supervised trainings see of a tile."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from knowlip.training.settings import AugmentConfig


@dataclass
class ViewConfig:
    """How views are drawn."""

    area: tuple[float, float] = (0.2, 1.0)
    """Least and largest share of the tile's area in a view; sides 3:4 to 4:3."""
    content: float = 1.0
    """How much crops are drawn to where something is: chance is in proportion to the mean gradient by ratio to this
    power; 0 draws them anywhere."""
    proposals: int = 8
    """Crops of which one is taken; 1 takes the first."""
    min_data: float = 0.7
    """Share of a crop that must have data, where one of the proposals has that much; else the fullest is taken."""
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(gain_db=1.0, speckle_looks=0.0, flips=0.5, rotations=0.75)
    )
    """What the radar may change from view to view, each view with chance of its own."""

    def __post_init__(self) -> None:
        check_area(self.area, "views.area")
        if self.content < 0 or self.proposals < 1 or not 0 <= self.min_data <= 1:
            raise ValueError(
                "views.content must be at least 0, views.proposals at least 1, views.min_data a share from 0 to 1."
            )


def check_area(area: Sequence[float], name: str) -> None:
    """Raise `ValueError` unless these are the least and the largest share of an area."""
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"{name} must be two shares of the tile's area, 0 < least <= largest <= 1, not {list(area)}.")
