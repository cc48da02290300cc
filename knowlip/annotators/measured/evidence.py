"""What was seen in a tile, in the same terms as truth: targets, cover shares and their 3 x 3 grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knowlip.annotators.measured.lines import Axis
from knowlip.base.vocabulary import landform_shares
from knowlip.language.definitions import Land


@dataclass(frozen=True)
class Target:
    """A ship or aircraft."""

    category: str
    """ "ship" or "aircraft"."""
    x: float
    """Centre as a fraction of the width, 0 = left."""
    y: float
    """Centre as a fraction of the height, 0 = top."""
    length_m: float
    width_m: float
    heading_deg: float
    """Orientation of the long axis clockwise from north."""
    type: str
    """Name in `vocabulary.SHIP_TYPES` or `AIRCRAFT_TYPES`."""
    certainty: float = 1.0
    """0 to 1."""


@dataclass(frozen=True)
class Overall:
    """What the targets of a tile are as a whole."""

    number: int
    length_m: float
    """Their median length."""
    resolved: bool
    """Whether it is long enough that hulls or wings show."""
    type: str
    """The most frequent type."""
    pattern: str
    """ "single", "row", "cluster" or "scattered"."""
    sure: Mapping[str, float]
    """Dimension -> probability that it is so."""
    regions: tuple[int, ...] = ()
    """Where most of them lie, regions of the 3 x 3 grid, most targets first; the probability is `sure["Location"]`."""


@dataclass(frozen=True)
class TileEvidence:
    """All that the sentences are written from."""

    window_m: float
    targets: tuple[Target, ...]
    shares: Mapping[str, float]
    """Land-cover name -> share of the valid area."""
    grid: tuple[Mapping[str, float], ...]
    """The same for each of the nine regions."""
    certainty: Mapping[str, float] = field(default_factory=dict)
    """Land-cover name -> 0 to 1 how well it stood out; missing means 1."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """ "ship" and "aircraft" -> expected number; missing means none."""
    axes: Mapping[str, Axis] = field(default_factory=dict)
    """ "runway" and "road" -> direction in which it runs; missing where there is hardly any."""
    overall: Overall | None = None
    """Of `targets` and what stays hidden between them; None where the targets are all there is to know."""
    metres_per_pixel: float = 1.0
    """Of the finest pixels that were looked at."""

    @property
    def land(self) -> Land:
        """Shares and grid as the definitions of words take them."""
        return {"shares": self.shares, "grid": self.grid}

    @property
    def landforms(self) -> dict[str, float]:
        """Landform shares, largest first."""
        forms = landform_shares(self.shares)
        return dict(sorted(forms.items(), key=lambda item: -item[1]))

    def sure(self, *covers: str) -> float:
        """Lowest certainty of the named covers."""
        return least_sure(self.certainty, covers)

    @property
    def category(self) -> str | None:
        """Category of most targets, None without targets."""
        names = [target.category for target in self.targets]
        return max(("ship", "aircraft"), key=names.count) if names else None


def least_sure(certainty: Mapping[str, float], covers: Iterable[str]) -> float:
    """Lowest certainty of some covers; 1 of what none is stated of."""
    return min((certainty.get(cover, 1.0) for cover in covers), default=1.0)
