"""Rational polynomial coefficients (RPC00B): longitude, latitude and height -> line and sample."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from pyproj import CRS

from knowlip.scenes.errors import DamagedProduct

_STEPS = 12


@dataclass(frozen=True, eq=False)
class Rpc:
    """Geometry of an image by rational polynomials, at one height above the ellipsoid.

    RPC lines and samples count from the centre of the first pixel; here, as everywhere, pixel coordinates count from
    its outer corner, so half a pixel is added.
    """

    line_off: float
    samp_off: float
    lat_off: float
    long_off: float
    height_off: float
    line_scale: float
    samp_scale: float
    lat_scale: float
    long_scale: float
    height_scale: float
    line_num_coeff: np.ndarray
    line_den_coeff: np.ndarray
    samp_num_coeff: np.ndarray
    samp_den_coeff: np.ndarray
    height_m: float | None = None  # Height of the ground above the ellipsoid; None: `height_off`.

    kind = "rpc"
    residual_m = 0.0
    crs = CRS.from_epsg(4326)

    def __post_init__(self) -> None:
        for name in ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff"):
            if np.shape(getattr(self, name)) != (20,):
                raise DamagedProduct(f"The RPC needs 20 coefficients in {name}.")
        if not all(getattr(self, name) for name in ("line_scale", "samp_scale", "lat_scale", "long_scale")):
            raise DamagedProduct("The RPC has a scale of zero.")

    @classmethod
    def of(cls, values: dict[str, Any], height_m: float | None = None) -> "Rpc":
        """From a mapping with the usual names (LINE_OFF, LINE_NUM_COEFF as 20 numbers or a text of them, ...)."""
        known = {key.lower(): value for key, value in values.items()}
        arguments: dict[str, Any] = {}
        for name in [item.name for item in fields(cls) if item.name != "height_m"]:
            if name not in known:
                raise DamagedProduct(f"The RPC has no {name.upper()}.")
            parts = known[name].split() if isinstance(known[name], str) else np.atleast_1d(known[name])
            many = name.endswith("_coeff")  # texts name units behind single numbers: "123.4 pixels"
            arguments[name] = np.array([float(part) for part in parts]) if many else float(parts[0])
        return cls(**arguments, height_m=height_m)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitudes and latitudes -> columns and rows."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        lon = (x - self.long_off + 180) % 360 - 180
        terms = self._terms(lon / self.long_scale, (y - self.lat_off) / self.lat_scale)
        line = (terms @ self.line_num_coeff) / (terms @ self.line_den_coeff) * self.line_scale + self.line_off
        sample = (terms @ self.samp_num_coeff) / (terms @ self.samp_den_coeff) * self.samp_scale + self.samp_off
        return sample + 0.5, line + 0.5

    def forward(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows -> longitudes and latitudes, by Newton's method from the centre of the image."""
        columns, rows = np.broadcast_arrays(np.asarray(columns, float), np.asarray(rows, float))
        lon, lat = np.full(columns.shape, self.long_off), np.full(columns.shape, self.lat_off)
        step_lon, step_lat = 1e-4 * self.long_scale, 1e-4 * self.lat_scale
        for _ in range(_STEPS):
            c, r = self.inverse(lon, lat)
            c_lon, r_lon = self.inverse(lon + step_lon, lat)
            c_lat, r_lat = self.inverse(lon, lat + step_lat)
            a, b = (c_lon - c) / step_lon, (c_lat - c) / step_lat
            d, e = (r_lon - r) / step_lon, (r_lat - r) / step_lat
            determinant = a * e - b * d
            lon = lon + ((columns - c) * e - (rows - r) * b) / determinant
            lat = lat + ((rows - r) * a - (columns - c) * d) / determinant
            if np.all(np.abs(columns - c) < 1e-5) and np.all(np.abs(rows - r) < 1e-5):
                break
        return lon, lat

    def _terms(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """(..., 20) terms of the cubic polynomials in the order of RPC00B."""
        height = self.height_off if self.height_m is None else self.height_m
        h = np.full(lon.shape, (height - self.height_off) / (self.height_scale or 1.0))
        one = np.ones(lon.shape)
        low = one, lon, lat, h, lon * lat, lon * h, lat * h, lon**2, lat**2, h**2, lat * lon * h
        cubic = lon**3, lon * lat**2, lon * h**2, lon**2 * lat, lat**3, lat * h**2, lon**2 * h, lat**2 * h, h**3
        return np.stack([*low, *cubic], axis=-1)
