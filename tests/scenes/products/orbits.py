"""A circular orbit over a rotating Earth, and where it sees the ground, solved pixel by pixel."""

from collections.abc import Callable

import numpy as np
import pyproj
from scipy.optimize import root

RADIUS = 6378137.0 + 520e3
SPEED = np.sqrt(3.986004418e14 / RADIUS)
EARTH = 7.2921159e-5
"""Rotation of the Earth, radians per second."""
TO_EARTH = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


class Circle:
    """Passes over (lon, lat) + `ground_m` across track at time 0, so that the place itself is seen to the side."""

    def __init__(self, lon: float, lat: float, heading: float = 345.0, side: str = "right", ground_m: float = 300e3):
        azimuth = heading - 90 if side == "right" else heading + 90
        below = pyproj.Geod(ellps="WGS84").fwd(lon, lat, azimuth, ground_m)
        lon_0, lat_0 = np.radians(below[:2])
        self.up = np.array([np.cos(lat_0) * np.cos(lon_0), np.cos(lat_0) * np.sin(lon_0), np.sin(lat_0)])
        east = np.array([-np.sin(lon_0), np.cos(lon_0), 0])
        north = np.cross(self.up, east)
        track = np.sin(np.radians(heading)) * east + np.cos(np.radians(heading)) * north
        # Velocity in the inertial frame that points along the heading once the Earth's rotation is taken off.
        inertial = track * SPEED + EARTH * np.array([-self.up[1], self.up[0], 0]) * RADIUS
        self.along = inertial - self.up * (inertial @ self.up)
        self.along *= 1 / np.linalg.norm(self.along)
        self.side = side

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity in the Earth-fixed frame."""
        w = SPEED / RADIUS
        inertial = RADIUS * (np.cos(w * t) * self.up + np.sin(w * t) * self.along)
        moving = SPEED * (-np.sin(w * t) * self.up + np.cos(w * t) * self.along)
        c, s = np.cos(EARTH * t), np.sin(EARTH * t)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        position = turn @ inertial
        return position, turn @ moving - np.cross([0, 0, EARTH], position)

    def range_and_rate(self, t: float, lon: float, lat: float, height: float) -> tuple[float, float]:
        """Distance to a place, and the component of the velocity along the line of sight."""
        position, velocity = self.at(t)
        sight = np.array(TO_EARTH.transform(lon, lat, height)) - position
        distance = float(np.linalg.norm(sight))
        return distance, float(velocity @ sight / distance)

    def incidence_deg(self, t: float, lon: float, lat: float, height: float) -> float:
        """Angle between the line of sight and the normal of the ellipsoid at a place."""
        sight = self.at(t)[0] - np.array(TO_EARTH.transform(lon, lat, height))
        normal = np.array(TO_EARTH.transform(lon, lat, height + 1)) - np.array(TO_EARTH.transform(lon, lat, height))
        return float(np.degrees(np.arccos(normal @ sight / np.linalg.norm(sight))))

    def ground(
        self, t: float, distance: float, rate: float, height: float, near: tuple[float, float]
    ) -> tuple[float, float]:
        """Longitude and latitude of the place at that distance and rate, close to `near`."""

        def miss(place: np.ndarray) -> list[float]:
            there = self.range_and_rate(t, place[0], place[1], height)
            return [there[0] - distance, (there[1] - rate) * 100]

        found = root(miss, np.array(near), tol=1e-13)
        assert np.hypot(*miss(found.x)) < 1e-3
        return float(found.x[0]), float(found.x[1])

    def truth(
        self,
        first_s: float,
        line_s: float,
        near_m: float,
        spacing_m: float,
        height: float,
        guess: tuple[float, float],
        rate: Callable[[float, float], float] = lambda distance, after: 0.0,
    ):
        """Pixels (outer-corner convention) of a slant-range image -> longitude and latitude."""

        def places(columns, rows):
            found = [
                self.ground(
                    first_s + (r - 0.5) * line_s,
                    near_m + (c - 0.5) * spacing_m,
                    rate(near_m + (c - 0.5) * spacing_m, (r - 0.5) * line_s),
                    height,
                    guess,
                )
                for c, r in zip(np.ravel(columns), np.ravel(rows))
            ]
            lons, lats = np.array(found).T
            return lons.reshape(np.shape(columns)), lats.reshape(np.shape(columns))

        return places
