"""Geolocation from control points: a thin-plate spline or an order-3 polynomial, never one affine for a whole swath.

On a 250 km swath an affine misses by up to kilometres, order 3 by metres, a thin-plate spline by decimetres. Fits are
made in a plane around the middle of the points (azimuthal equidistant), so neither poles nor the antimeridian matter.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer

from knowlip.scenes.errors import NoLocation, PoorGeolocation
from knowlip.scenes.geometry import GEOD, geodetic
from knowlip.scenes.ground_range import GroundRangeUpdates

_MOST_SPLINE_POINTS = 1500
"""A spline through more points costs more than it gives; a polynomial is fitted then."""
_WORST_CONDITION = 1e3
"""Condition number of the polynomial's terms at the points beyond which its order is lowered."""
_STEPS = 5
"""Most Newton steps of the inverse; two are enough for points that agree."""
_PIXELS = 2.0
"""Largest residual in pixels where the user sets no limit in metres."""
_SIDE = 17
"""Control points along each side of an image whose pixels a model places."""


@dataclass(frozen=True, eq=False)
class ControlPoints:
    """Pixels whose longitude and latitude are known. All arrays (N,), N >= 4."""

    columns: np.ndarray
    rows: np.ndarray
    lons: np.ndarray
    lats: np.ndarray
    order: int = 0
    """Order (1 to 3) of a polynomial for points that are noisy (rounded coordinates, places of ships), which a spline
    would follow; 0: a spline from 10 points on."""
    updates: GroundRangeUpdates | None = None
    """Changes of the conversion to ground range between the lines of the points, which follow the nearest update."""

    kind = "control-points"

    def __post_init__(self) -> None:
        points = np.column_stack([self.columns, self.rows, self.lons, self.lats]).astype(float)
        if len(points) < 4 or not np.all(np.isfinite(points)):
            raise NoLocation(f"{len(points)} control points are too few, or not numbers; at least 4 are needed.")
        flat = np.linalg.svd(points[:, :2] - points[:, :2].mean(axis=0), compute_uv=False)
        if flat[1] < 1e-6 * flat[0]:
            raise NoLocation("All control points lie on one line of the image, so its geometry is undetermined.")

    def first_line_azimuth(self, backwards: bool = False) -> float:
        """Direction on the ground from the first to the last column (or back), in degrees from north. Of one row: ends
        of different rows would turn it towards the flight path."""
        line = np.flatnonzero(self.rows == self.rows.min())
        ends = line[np.argsort(self.columns[line])][[0, -1]]
        one, other = ends[::-1] if backwards else ends
        return float(GEOD.inv(self.lons[one], self.lats[one], self.lons[other], self.lats[other])[0] % 360)

    @cached_property
    def crs(self) -> CRS:
        lon, lat = np.radians(self.lons), np.radians(self.lats)
        middle = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]).mean(axis=1)
        lon_0 = round(float(np.degrees(np.arctan2(middle[1], middle[0]))), 4)
        lat_0 = round(float(np.degrees(np.arcsin(middle[2] / np.linalg.norm(middle)))), 4)
        return CRS.from_proj4(f"+proj=aeqd +lat_0={lat_0} +lon_0={lon_0} +datum=WGS84 +units=m")

    @cached_property
    def _xy(self) -> np.ndarray:
        """(N, 2) control points in `crs`."""
        x, y = Transformer.from_crs(4326, self.crs, always_xy=True).transform(self.lons, self.lats)
        return np.column_stack([x, y])

    @cached_property
    def _pixels(self) -> np.ndarray:
        """(N, 2) columns and rows; the columns steady ones where the conversion to ground range changes."""
        columns = self.columns if self.updates is None else self.updates.at_updates(self.columns, self.rows)
        return np.column_stack([columns, self.rows]).astype(float)

    @cached_property
    def _to_ground(self) -> "_Fit":
        return _Fit(self._pixels, self._xy, self.order)

    @cached_property
    def _to_pixel(self) -> "_Fit":
        return _Fit(self._xy, self._pixels, self.order)

    @property
    def model(self) -> str:
        """ "thin-plate spline" or "polynomial of order N"."""
        return self._to_ground.name

    @cached_property
    def residual_m(self) -> float:
        """RMS distance between left-out points and a fit through the others, five folds, in metres."""
        pixels, xy = self._pixels, self._xy
        # Points in the order of a Z-curve would cluster: folds go by a fixed shuffle. The border stays in every fit.
        fold = np.random.default_rng(0).permutation(len(pixels)) % 5
        inner = ~_on_hull(pixels)
        folds = [(fold == k) & inner for k in range(5)] if len(pixels) >= 8 else []
        fits = [(_Fit(pixels[~out], xy[~out], self.order), out) for out in folds if out.any()]
        tested = fits or [(self._to_ground, np.full(len(pixels), True))]
        missed = [np.sum((fit(pixels[out]) - xy[out]) ** 2, axis=1) for fit, out in tested]
        return float(np.sqrt(np.mean(np.concatenate(missed))))

    def forward(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns, rows = np.broadcast_arrays(np.asarray(columns, float), np.asarray(rows, float))
        if self.updates is not None:
            columns = self.updates.steady(columns, rows)
        xy = self._to_ground(np.column_stack([columns.ravel(), rows.ravel()]))
        return xy[:, 0].reshape(columns.shape), xy[:, 1].reshape(columns.shape)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First a fit of its own, then Newton steps on `forward`, so that both directions agree. Slopes are those of
        the polynomial alone: close enough, and cheap."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        wanted = np.column_stack([x.ravel(), y.ravel()])
        pixels = self._to_pixel(wanted)
        for _ in range(_STEPS):
            missing = wanted - self._to_ground(pixels)
            if not len(missing) or np.abs(missing).max() < 1e-4:
                break
            here = self._to_ground.smooth(pixels)
            by_column = (self._to_ground.smooth(pixels + np.array([1.0, 0.0])) - here).T
            by_row = (self._to_ground.smooth(pixels + np.array([0.0, 1.0])) - here).T
            determinant = by_column[0] * by_row[1] - by_column[1] * by_row[0]
            step_column = (missing[:, 0] * by_row[1] - missing[:, 1] * by_row[0]) / determinant
            step_row = (missing[:, 1] * by_column[0] - missing[:, 0] * by_column[1]) / determinant
            pixels = pixels + np.column_stack([step_column, step_row])
        if self.updates is not None:
            pixels = np.column_stack([self.updates.stored(pixels[:, 0], pixels[:, 1]), pixels[:, 1]])
        return pixels[:, 0].reshape(x.shape), pixels[:, 1].reshape(x.shape)


class _Fit:
    """Smooth map of the plane through or near given pairs: a polynomial, and from 10 points on a thin-plate spline
    through what it leaves. (A spline alone bends near the border of the points: 2.7 m on a 250 km swath, not 0.1 m.)"""

    def __init__(self, source: np.ndarray, target: np.ndarray, order: int = 0):
        source, target = _once(source, target)
        self.center, self.scale = source.mean(axis=0), np.abs(source - source.mean(axis=0)).max()
        unit = (source - self.center) / self.scale
        self.order = order or _order(unit)
        self.name = f"polynomial of order {self.order}"
        self._coefficients = np.linalg.lstsq(_monomials(unit, self.order), target, rcond=None)[0]
        self._spline = None
        if not order and 10 <= len(source) <= _MOST_SPLINE_POINTS:
            from scipy.interpolate import RBFInterpolator

            left = target - _monomials(unit, self.order) @ self._coefficients
            self._spline = RBFInterpolator(unit, left, kernel="thin_plate_spline", degree=1)
            self.name = "thin-plate spline"

    def __call__(self, points: np.ndarray) -> np.ndarray:
        fitted = self.smooth(points)
        return fitted if self._spline is None else fitted + self._spline((points - self.center) / self.scale)

    def smooth(self, points: np.ndarray) -> np.ndarray:
        """The polynomial without the spline."""
        return np.asarray(_monomials((points - self.center) / self.scale, self.order) @ self._coefficients)


def lattice(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (289,) of 17 x 17 points over an image, border included, for models that place any pixel."""
    rows, columns = np.meshgrid(*(np.linspace(0, extent, _SIDE) for extent in shape), indexing="ij")
    return rows.ravel(), columns.ravel()


def on_earth(rows: np.ndarray, columns: np.ndarray, points: np.ndarray) -> ControlPoints:
    """Control points from Earth-fixed positions (N, 3)."""
    return ControlPoints(columns, rows, *geodetic(points)[:2])


def _once(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each place once, with the mean of what is said of it: a spline cannot pass through two values."""
    places, which, counts = np.unique(source, axis=0, return_inverse=True, return_counts=True)
    if len(places) == len(source):
        return source, target
    sums = np.zeros((len(places), target.shape[1]))
    np.add.at(sums, which.ravel(), target)
    return places, sums / counts[:, None]


def _order(unit: np.ndarray) -> int:
    """Highest order up to 3 whose terms the points tell apart (two rows of points say nothing of a square)."""
    for order, least in ((3, 10), (2, 6)):
        terms = _monomials(unit, order)
        if len(unit) >= least and np.linalg.cond(terms / np.linalg.norm(terms, axis=0)) < _WORST_CONDITION:
            return order
    return 1


def _monomials(points: np.ndarray, order: int) -> np.ndarray:
    x, y = points.T
    return np.column_stack([x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)])


def _on_hull(points: np.ndarray) -> np.ndarray:
    """Which points lie on the border of the set: leaving them out would test extrapolation."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 1e-6 * (high - low)
    return np.any((points <= low + margin) | (points >= high - margin), axis=1)


def gate(geometry: ControlPoints, path: Path, pixel_m: float, limit_m: float) -> None:
    """Refuse control points that contradict each other.

    Raises:
        PoorGeolocation: the residual is larger than `limit_m` metres, or where that is 0 than two pixels of `pixel_m`.
    """
    limit = limit_m or _PIXELS * pixel_m
    if geometry.residual_m > limit:
        raise PoorGeolocation(
            f"{path}: control points are missed by {geometry.residual_m:.1f} m (limit {limit:.1f} m), so they do not "
            "describe one image; if that is good enough, raise --read.max_residual_m."
        )
