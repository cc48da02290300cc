"""Region screening: which large windows of a scene are worth a tile at all."""

import math
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ScreenConfig:
    """Which regions are kept. Without any setting, all are."""

    threshold: float = 0.0
    """Smallest score (0 to 1) of a large window: ports, airports, towns and roads lie above 0.5, open water and uniform
    grassland below 0.3. 0 keeps every window; the score is stored either way."""
    area: Path | None = None
    """GeoJSON with polygons in longitude and latitude: only large windows that touch one are cut."""
    near: list[str] = field(default_factory=list)
    """Names of towns, ports or airports of the gazetteer: only large windows near one of them are cut."""
    near_km: float = 15.0
    """How near, in kilometres from the window's centre."""

    def check(self) -> None:
        """Raise `ValueError` for values that cannot work, naming the key."""
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"screen.threshold must be 0 to 1, not {self.threshold}.")
        if not (math.isfinite(self.near_km) and self.near_km > 0):
            raise ValueError(f"screen.near_km must be positive, not {self.near_km}.")
