"""Objects that a product itself names: what, where, how large."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneLabel:
    """An object of a scene. Unknown numbers are NaN, unknown words ""."""

    identity: str  # The same for the same object in every scene that shows it.
    category: str
    type: str  # In the words of this package where it has one for it, else in those of the product.
    stated_type: str  # As the product says it.
    outline: tuple[tuple[float, float], ...]  # Longitude and latitude of its corners.
    length_m: float
    width_m: float
    heading_deg: float
    source: str


@dataclass(frozen=True)
class Unlabelled:
    """An object that a product names and that becomes no label."""

    identity: str
    reason: str
