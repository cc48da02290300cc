"""What pixels of some 7 m and more show: water, built-up land, other land, relief, and bright points on water.

Water is what is dark and smooth, by its backscatter where the scene tells decibels and against the land beside it where
it does not. Built-up land is what is rougher from pixel to pixel than speckle alone: corners of houses shine beside
shadows and streets. Hills are rough too, but over tens of pixels. All else is open land: fields, woods, grass and bare
ground differ by less than a date or a rain. The limits were fitted on Sentinel-1 scenes of Los Angeles, Ghana, Mekong,
Somalia, Kansas and the Niger (see docs/measured-annotator.md), beside the tiles that are marked in `benchmarks`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.evidence import least_sure
from knowlip.annotators.types import TileRequest
from knowlip.language.definitions import (
    COARSE,
    Land,
)

Array = NDArray[np.float64]
_WATER_DB: Final = {"co": -16.5, "cross": -23.0}
"""Backscatter below which even ground is taken for water (wind and steep incidence make it brighter)."""
_BELOW_LAND_DB: Final = 10.0
"""Without calibration: how far below the brighter land of the tile water lies; grass and runways in cross polarisation
lie 5 to 9 dB below houses."""
_LOWEST_DB: Final = 7.0
"""Without calibration: how far above the darkest pixels of the scene water may lie."""
_NO_LAND_DB: Final = 14.5
"""Without calibration: a tile whose brighter part is no further above the scene's darkest pixels has no land beside its
water."""
_BELOW_TOP_DB: Final = 21.0
_LOWEST_ALONE_DB: Final = 10.0
"""Then water lies so far below the scene's brightest pixels and at most so far above the darkest."""
_SOFT_DB: Final = 1.0
_WATER_PX: Final = 12
"""Smaller dark spots are not called water."""
_WINDOW_PX: Final = 16.0
"""Radius of the Gaussian window that roughness is averaged over."""
_SHORE_PX: Final = 4
_BUILT: Final = {10.0: (22.88, 8.81, -7.34, -21.56), 20.0: (43.09, -11.86, -1.02, -38.87)}
"""Metres a pixel -> weights of the roughness over one, three and eight pixels in dB, and the constant."""
_EVEN_DB: Final = 0.6
"""Roughness over one pixel of even ground in the products that `_BUILT` was fitted on."""
_STRONG_DB: Final = {10.0: 1.0, 20.0: 1.55}
"""Metres a pixel -> roughness of the evenest tenth of a tile from which its speckle is stronger than in those products:
then roughness is told against that tenth."""
_WHITE: Final = {10.0: 1.0, 20.0: 0.6}
"""Metres a pixel -> roughness over three pixels to that over one below which neighbours share no speckle; those of
Sentinel-1 share it, and houses span several pixels."""
_MOST_DB: Final = 2.2
"""Spread of speckle of four looks: what is rougher than that is not speckle alone."""
_RELIEF_DB: Final = {10.0: 0.80, 20.0: 0.62}
"""Metres a pixel -> roughness over eight pixels from which open land shows relief."""
_RELIEF_FROM: Final = 0.4
"""Share of open land from which its relief is told; beside much water it is flooded ground that is rough."""
_POINT_DB: Final = 16.0
"""How far a bright point stands above the water around it: land does so by some 10 dB."""
_POINTS_FROM: Final = 0.6
"""Share of water from which points on it are looked for: between islands of a flood they are islands."""
_POINT_M: Final = 400.0
"""Larger bright things on water are land or structures."""


@dataclass(frozen=True)
class CoarseEvidence:
    """What coarse pixels show of a tile."""

    metres_per_pixel: float
    """Of the pixels that were measured: of the tile, or means of a whole number of them by each side."""
    shares: Mapping[str, float]
    """Name in `COARSE` -> share of the valid area."""
    grid: tuple[Mapping[str, float], ...]
    """The same for each of the nine regions."""
    certainty: Mapping[str, float]
    """Name in `COARSE` -> mean probability where it was found; missing where it was not."""
    relief: bool
    """Whether open land is as rough over tens of pixels as hills are."""
    points: tuple[tuple[float, float], ...]
    """Centres (x, y) of bright points on water, fractions of the tile: large ships, buoys, rigs or their ghosts."""
    shown_m: float
    """Metres a pixel to be told: the tile's, or its scene's where these are coarser. Blocks of whole pixels of the tile
    may be 32 m wide where the scene has 30 m."""

    @property
    def land(self) -> Land:
        """Shares and grid as the definitions of words take them."""
        return {"shares": self.shares, "grid": self.grid}

    @property
    def ordered(self) -> list[str]:
        """Covers, largest share first."""
        return sorted(COARSE, key=lambda name: -self.shares[name])

    @property
    def forms(self) -> dict[str, float]:
        """Cover -> share, in this order."""
        return {name: self.shares[name] for name in self.ordered}

    def sure(self, *covers: str) -> float:
        """Lowest certainty of the named covers."""
        return least_sure(self.certainty, covers)


def look_coarsely(request: TileRequest) -> CoarseEvidence:
    """What a tile of coarse pixels shows.

    Raises:
        ValueError: the image is not 8 bit and two-dimensional, or holds no valid pixel.
    """
    image = request.image
    if image.ndim != 2 or image.dtype != np.uint8 or not image.any():
        raise ValueError("A tile must be a two-dimensional 8-bit image with a valid pixel (0 is nodata).")
    # Interpolated pixels are smoother than those of the scene, and roughness is measured against speckle: go back.
    factor = max(1, round((request.resolution_m or 0.0) / request.metres_per_pixel))
    factor = min(factor, max(1, min(image.shape) // 8))
    levels, valid = _averaged(image, factor)
    metres = request.metres_per_pixel * factor
    per_db, brightest = _scale(levels, valid, request)
    power = levels / per_db
    mean = float(power[valid].mean())
    power = np.where(valid, power, mean)
    water = _water(power, valid, brightest, 255.0 / per_db, request)
    wet, points = _without_points(water > 0.5, power, valid, metres)
    # A shore is rough whatever the land is: what lies within a few pixels of water says nothing of houses and hills.
    shore = wet | (water > 0.1) if brightest is not None else wet
    inland = valid & ~ndimage.binary_dilation(shore, iterations=_SHORE_PX)
    built, hills = _built(power, inland if inland.sum() > 0.05 * valid.sum() else valid & ~wet, metres)
    probability = {"water": np.where(wet, np.maximum(water, 0.6), np.minimum(water, 0.4))}
    probability["built-up"] = built * (1.0 - probability["water"])
    probability["open land"] = 1.0 - probability["water"] - probability["built-up"]
    stacked = np.stack([probability[name] for name in COARSE])
    winner, best = stacked.argmax(axis=0), stacked.max(axis=0)
    found = {name: (winner == number) & valid for number, name in enumerate(COARSE)}
    certainty = {name: round(float(best[where].mean()), 3) for name, where in found.items() if where.any()}
    rows, columns = (np.linspace(0, size, 4).astype(int) for size in valid.shape)
    parts = [(slice(*rows[j : j + 2]), slice(*columns[i : i + 2])) for j in range(3) for i in range(3)]
    open_land = valid & (winner == COARSE.index("open land"))
    rough = open_land.sum() > _RELIEF_FROM * valid.sum() and np.median(hills[open_land]) >= _between(_RELIEF_DB, metres)
    return CoarseEvidence(
        metres,
        _shares(found, valid),
        tuple(_shares({name: where[part] for name, where in found.items()}, valid[part]) for part in parts),
        certainty,
        bool(rough and wet.sum() < 0.1 * valid.sum()),
        points,
        max(request.metres_per_pixel, request.resolution_m or 0.0),
    )


def _averaged(image: NDArray[np.uint8], factor: int) -> tuple[Array, NDArray[np.bool_]]:
    """Means of blocks and whether all of a block is valid; the image itself for a factor of 1."""
    rows, columns = (size // factor for size in image.shape)
    blocks = image[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    valid = (blocks > 0).all(axis=(1, 3))
    if not valid.any():
        valid = (blocks > 0).any(axis=(1, 3))
    return blocks.mean(axis=(1, 3)), np.asarray(valid)


def _scale(levels: Array, valid: NDArray[np.bool_], request: TileRequest) -> tuple[float, float | None]:
    """Levels a dB, and the backscatter of level 255 in dB where the scene is calibrated."""
    if request.levels_db is not None:
        low, high = request.levels_db
        return 254.0 / (high - low), high if request.calibrated else None
    filled = np.where(valid, levels, levels[valid].mean())
    rough = np.sqrt(ndimage.gaussian_filter((filled - ndimage.gaussian_filter(filled, 1.0)) ** 2, 8.0))
    return max(1.0, float(np.percentile(rough[valid], 20)) / _EVEN_DB), None


def _water(power: Array, valid: NDArray[np.bool_], brightest: float | None, top: float, request: TileRequest) -> Array:
    """Probability of water: even ground that is dark enough."""
    level = ndimage.gaussian_filter(power, 1.5)
    if brightest is not None:
        cross = any(len(set(name.upper())) == 2 for name in request.polarisations[:1])
        edge = _WATER_DB["cross" if cross else "co"] - brightest + top
    else:
        land = float(np.percentile(level[valid], 90))
        edge = min(_LOWEST_DB, land - _BELOW_LAND_DB)
        if land < _NO_LAND_DB:
            edge = max(edge, min(_LOWEST_ALONE_DB, top - _BELOW_TOP_DB))
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((level - edge) / (_SOFT_DB / 2.0), -30, 30))))


def _without_points(
    water: NDArray[np.bool_], power: Array, valid: NDArray[np.bool_], metres: float
) -> tuple[NDArray[np.bool_], tuple[tuple[float, float], ...]]:
    """Water without small dark spots and with the bright points on it, and the centres of these."""
    labels, _ = ndimage.label(water & valid)
    large = np.bincount(labels.ravel()) >= _WATER_PX
    large[0] = False
    wet = np.asarray(large[labels])
    if wet.sum() < _POINTS_FROM * valid.sum():
        return wet, ()
    level = float(np.median(power[wet]))
    islands, count = ndimage.label(~wet & valid, structure=np.ones((3, 3)))
    centres = []
    for number, where in enumerate(ndimage.find_objects(islands), start=1):
        inside = islands[where] == number
        long = max(inside.shape) * metres
        edge = any(part.start == 0 or part.stop == size for part, size in zip(where, wet.shape))
        if long > _POINT_M + 4 * metres or (edge and inside.sum() > 60) or count > 200:
            continue
        if float(power[where][inside].max()) >= level + _POINT_DB:
            y, x = ndimage.center_of_mass(inside)
            centres.append(((where[1].start + x + 0.5) / wet.shape[1], (where[0].start + y + 0.5) / wet.shape[0]))
            wet[where] |= inside
    return wet, tuple((round(float(x), 4), round(float(y), 4)) for x, y in centres)


def _built(power: Array, land: NDArray[np.bool_], metres: float) -> tuple[Array, Array]:
    """Probability of built-up land, and the roughness of land over eight pixels, at every pixel."""
    weight = land.astype(float)
    filled = np.where(land, power, float(power[land].mean()) if land.any() else 0.0)
    soft = [ndimage.gaussian_filter(filled, sigma) for sigma in (1.0, 3.0, 8.0)]
    bands = (filled - soft[0], soft[0] - soft[1], soft[1] - soft[2])
    around = np.maximum(ndimage.gaussian_filter(weight, _WINDOW_PX), 1e-3)
    rough = [np.sqrt(ndimage.gaussian_filter(band**2 * weight, _WINDOW_PX) / around) for band in bands]
    even = float(np.percentile(rough[0][land], 10)) if land.any() else 0.0
    white = land.any() and float(np.median(rough[1][land])) < _between(_WHITE, metres) * float(
        np.median(rough[0][land])
    )
    if white and even > _between(_STRONG_DB, metres):
        rough = [band * (_EVEN_DB / min(even, _MOST_DB)) for band in rough]
    score = sum(
        _between({size: w[number] for size, w in _BUILT.items()}, metres) * rough[number] for number in range(3)
    )
    score = score + _between({size: w[3] for size, w in _BUILT.items()}, metres)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-score, -30, 30)))), np.asarray(rough[2])


def _between(values: Mapping[float, float], metres: float) -> float:
    """A value for pixels between 10 and 20 m, along the logarithm; the nearest one outside."""
    sizes = sorted(values)
    return float(np.interp(np.log2(metres), np.log2(sizes), [values[size] for size in sizes]))


def _shares(found: Mapping[str, NDArray[np.bool_]], valid: NDArray[np.bool_]) -> dict[str, float]:
    total = max(1, int(valid.sum()))
    return {name: round(int(where.sum()) / total, 4) for name, where in found.items()}
