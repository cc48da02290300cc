"""The ground track of a side-looking radar in closed form: circular orbit, turning sphere, zero Doppler."""

import numpy as np

EARTH_M = 6_371_000.0
ORBIT_M = 7_071_000.0
TURN = 7.292115e-5
"""Rotation of the Earth in rad/s."""
_RATE = np.sqrt(3.986004418e14 / ORBIT_M**3)
_TILT = np.radians(98.18)


def ground(
    columns: np.ndarray,
    rows: np.ndarray,
    pixel_m: float = 10.0,
    near_m: float = 450_000.0,
    start_s: float = 600.0,
    node_deg: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of pixel coordinates of a ground-range image, right-looking.

    Args:
        columns: ground range / pixel_m from the near edge.
        rows: distance flown over the ground / pixel_m.
        pixel_m: spacing in both directions.
        near_m: ground range of column 0 from the nadir.
        start_s: seconds since the equator was crossed northwards at row 0.
        node_deg: longitude of that crossing.
    """
    columns, rows = np.broadcast_arrays(np.asarray(columns, float), np.asarray(rows, float))
    time = start_s + rows * pixel_m / (EARTH_M * _RATE)
    angle = _RATE * time
    up = np.stack([np.cos(angle), np.sin(angle) * np.cos(_TILT), np.sin(angle) * np.sin(_TILT)], axis=-1)
    ahead = np.stack([-np.sin(angle), np.cos(angle) * np.cos(_TILT), np.cos(angle) * np.sin(_TILT)], axis=-1)
    # As seen from the turning Earth: both are turned back, and the ground's own motion is taken off the velocity.
    eastward = np.stack([-up[..., 1], up[..., 0], np.zeros_like(angle)], axis=-1)
    ahead = ahead * _RATE - eastward * TURN
    up, ahead = _turned(up, -TURN * time), _turned(ahead, -TURN * time)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    gamma = ((near_m + columns * pixel_m) / EARTH_M)[..., None]
    target = np.cos(gamma) * up + np.sin(gamma) * np.cross(ahead, up)
    lon = np.degrees(np.arctan2(target[..., 1], target[..., 0])) + node_deg
    return (lon + 180) % 360 - 180, np.degrees(np.arcsin(target[..., 2]))


def _turned(vectors: np.ndarray, angle: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(vectors, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=-1)
