"""Ships of OpenSARShip as labels: what AIS and MarineTraffic say of them, on the marks of head and tail in the image.

The mark lies where the radar saw the ship; AIS places one that moves elsewhere. Length and width are those of AIS, else
of MarineTraffic (0, NA and NaN mean unknown); the outline is as long as the mark and as wide as the ship.

Source: L. Huang et al., OpenSARShip: A Dataset Dedicated to Sentinel-1 Ship Interpretation, IEEE JSTARS 11(1), 2018.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from pyproj import Transformer

from knowlip.scenes.geometry import AffineGeometry
from knowlip.scenes.labels import SceneLabel, Unlabelled
from knowlip.scenes.quantities import finite

SOURCE = "OpenSARShip, AIS"
NO_MARK, POINT = "no mark of head and tail", "head and tail are one pixel"
ASTRAY = "its mark lies away from its middle"
NO_WIDTH, NO_SHIP = "no width by AIS or MarineTraffic", "sizes that no ship has"
_LONGEST_M, _WIDEST_M = 500.0, 80.0
_ASTRAY_M = 250.0
"""Between the middles of mark and ship; of the 258 ships of a published archive 127 m is the most."""
_NUMBERS = "Center_x Center_y Head_x Head_y Tail_x Tail_y True_Head Length Width Length_overall Breadth_extreme".split()
_TYPES = {
    "container ship": "container ship",
    "bulk carrier": "bulk carrier",
    "general cargo": "cargo ship",
    "fishing": "fishing boat",
    "fishing vessel": "fishing boat",
}
"""Words of MarineTraffic and AIS for types that this package has a word for; every tanker is one."""
_UNKNOWN = ("", "na", "nan", "none", "unspecified", "other", "other type", "unknown")


@dataclass(frozen=True)
class Ship:
    """What Ship.xml says of a ship."""

    kind: str  # Elaborated type by MarineTraffic, "" where it is unknown.
    numbers: dict[str, float]  # NaN where it says nothing.

    def size(self, *names: str) -> float:
        """The first of the named numbers above 0; NaN where none is."""
        return next((self.numbers[name] for name in names if self.numbers[name] > 0), math.nan)


def read_ships(text: str) -> dict[tuple[int, int], Ship]:
    """(Center_x, Center_y) -> ship. Tags are searched one by one: many of these files are no XML."""
    ships = {}
    for part in re.split(r"<ship>", text, flags=re.IGNORECASE)[1:]:
        block, *closed = re.split(r"</ship>", part, maxsplit=1, flags=re.IGNORECASE)
        if not closed:
            continue
        numbers = {name: finite(_first(block, name)) for name in _NUMBERS}
        if math.isfinite(numbers["Center_x"] + numbers["Center_y"]):
            at = int(numbers["Center_x"]), int(numbers["Center_y"])
            ships[at] = Ship(_named(_first(block, "Elaborated_type")), numbers)
    return ships


def _first(block: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", block)
    return found[1].strip() if found else ""


def _named(text: str) -> str:
    """A type as it is stated, "" where that says nothing or is no plain name."""
    return text if text.lower() not in _UNKNOWN and text.isprintable() and len(text) <= 60 else ""


def type_of(stated: str) -> str:
    """A stated type in the words of this package, where it has one; else in lower case as it is."""
    word = stated.lower()
    return _TYPES.get(word, "tanker" if re.search(r"\btanker\b", word) else word)


def label_of(
    identity: str, ship: Ship, kind: str, geometry: AffineGeometry, corner: tuple[float, float]
) -> SceneLabel | Unlabelled:
    """A ship on a chip, or why it is no label.

    Args:
        identity: of the ship.
        ship: what Ship.xml says.
        kind: type by the name of its own chip, where MarineTraffic says none.
        geometry: of the chip, in metres.
        corner: column and row of the product at the outer corner of the chip.
    """
    ends = np.array([[ship.numbers[f"{end}_{axis}"] for axis in "xy"] for end in ("Head", "Tail")])
    width, length = ship.size("Width", "Breadth_extreme"), ship.size("Length", "Length_overall")
    if not np.all(np.isfinite(ends)):
        return Unlabelled(identity, NO_MARK)
    if math.isnan(width):
        return Unlabelled(identity, NO_WIDTH)
    if width > _WIDEST_M or length > _LONGEST_M or length < width:
        return Unlabelled(identity, NO_SHIP)
    # Marks name pixels: their centres lie half a pixel further. Both pixels belong to the ship.
    head, tail = np.column_stack(geometry.forward(*(ends + 0.5 - np.array(corner)).T))
    along = head - tail
    marked = float(np.hypot(*along))
    if marked == 0 or marked > _LONGEST_M * 2:
        return Unlabelled(identity, POINT if marked == 0 else NO_SHIP)
    middle = geometry.forward(*(np.array([ship.numbers["Center_x"], ship.numbers["Center_y"]]) + 0.5 - corner))
    # Such a mark is another ship's, or has a wrong digit.
    if np.hypot(*((head + tail) / 2 - np.array(middle))) > _ASTRAY_M:
        return Unlabelled(identity, ASTRAY)
    aside = np.array([-along[1], along[0]]) / marked * width / 2
    points = np.array([head + aside, head - aside, tail - aside, tail + aside])
    lons, lats = Transformer.from_crs(geometry.crs, 4326, always_xy=True).transform(*points.T)
    stated, heading = ship.kind or _named(kind), ship.numbers["True_Head"]
    return SceneLabel(
        identity=identity,
        category="ship",
        type=type_of(stated),
        stated_type=stated,
        outline=tuple((float(lon), float(lat)) for lon, lat in zip(lons, lats)),
        length_m=length,
        width_m=width,
        heading_deg=heading if 0 <= heading < 360 else math.nan,  # 511: not available
        source=SOURCE,
    )
