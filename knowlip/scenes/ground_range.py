"""Ground range of detected images whose conversion from slant range is updated along the flight.

A processor puts ground of one assumed height at each pixel of a line, and renews that height every second or so: the
same slant range lies in other columns then. Places are smooth in slant range, not in columns. A table of the columns
that one update would give ("steady" columns) brings both together.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_NODES = 65
"""Columns at which shifts are kept; between them they are interpolated."""
_NEWTON = 12
_WIDEST = 0.05
"""Largest share of an image's width by which columns of two updates may differ: others are no updates of one image."""
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class GroundRangeUpdates:
    """How far columns lie from those of one update."""

    rows: Array  # (K,) rising, outer-corner convention: lines at which an update applies.
    columns: Array  # (M,) rising, outer-corner convention.
    shifts: Array  # (K, M) steady column minus column.

    def steady(self, columns: Array, rows: Array) -> Array:
        """Columns that the image would have with one conversion everywhere. Between two updates shifts are interpolated
        over lines, as slant ranges are."""
        return np.asarray(columns + self._shift(columns, self._place(rows)))

    def stored(self, steady: Array, rows: Array) -> Array:
        """Columns of the image; the inverse of `steady`."""
        columns, place = np.asarray(steady, float), self._place(rows)
        for _ in range(_ROUNDS):  # shifts change by thousandths a column
            columns = steady - self._shift(columns, place)
        return columns

    def at_updates(self, columns: Array, rows: Array) -> Array:
        """As `steady`, by the nearest update of each line alone."""
        return np.asarray(columns + self._shift(columns, np.round(self._place(rows))))

    def _place(self, rows: Array) -> Array:
        """Rows as numbers of updates, 0 to K - 1 with fractions."""
        return np.interp(rows, self.rows, np.arange(len(self.rows)))

    def _shift(self, columns: Array, place: Array) -> Array:
        at = np.interp(columns, self.columns, np.arange(len(self.columns)))
        low, left = (np.minimum(at_0.astype(int), most - 2) for at_0, most in zip((place, at), self.shifts.shape))
        u, v = at - left, place - low
        upper = self.shifts[low, left] * (1 - u) + self.shifts[low, left + 1] * u
        lower = self.shifts[low + 1, left] * (1 - u) + self.shifts[low + 1, left + 1] * u
        return np.asarray(upper * (1 - v) + lower * v)


def updates_of(
    rows: Array, origins_m: Array, terms: list[Array], spacing_m: float, width: int
) -> GroundRangeUpdates | None:
    """The updates of an image, relative to the middle one; None where they are fewer than two or none that can be of
    one image (slant ranges that do not rise, columns that jump).

    Args:
        rows: (K,) outer-corner convention.
        origins_m: (K,) ground ranges that the polynomials count from; the centre of the first column has 0.
        terms: K polynomials of rising powers, ground range in metres -> slant range in metres.
        spacing_m: metres on the ground per column.
        width: columns of the image.
    """
    order = np.argsort(rows)
    rows = np.asarray(rows, float)[order]
    if len(rows) < 2 or np.any(np.diff(rows) <= 0) or not (spacing_m > 0 and width > 1):
        return None
    columns = np.linspace(0, width, _NODES)
    ground = (columns - 0.5) * spacing_m
    fits = [np.polynomial.Polynomial(terms[k])(np.polynomial.Polynomial([-origins_m[k], 1.0])) for k in order]
    slants = np.array([fit(ground) for fit in fits])
    if not np.all(np.isfinite(slants)) or np.any(np.diff(slants, axis=1) <= 0):
        return None
    middle = fits[len(fits) // 2]
    rise, steady = middle.deriv(), np.tile(ground, (len(fits), 1))
    for _ in range(_NEWTON):
        steady = steady - (middle(steady) - slants) / rise(steady)
    shifts = (steady - ground) / spacing_m
    if not np.all(np.isfinite(shifts)) or np.abs(shifts).max() > _WIDEST * width:
        return None
    return GroundRangeUpdates(rows, columns, shifts)
