"""Plane geometry in metres: x east, y north; headings in degrees clockwise from grid north; rings are not closed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""(N, 2) corners or line points."""
Point = tuple[float, float]


def direction(heading_deg: float) -> Ring:
    """Unit vector (2,) of a heading."""
    angle = np.deg2rad(heading_deg)
    return np.array([np.sin(angle), np.cos(angle)])


@dataclass(frozen=True)
class Frame:
    """Local axes at (x, y): `a` runs along the heading, `b` to its right."""

    x: float
    y: float
    heading: float

    def to_world(self, ab: Ring) -> Ring:
        """(N, 2) local a, b -> (N, 2) world x, y."""
        forward = direction(self.heading)
        right = np.array([forward[1], -forward[0]])
        ab = np.asarray(ab, dtype=np.float64).reshape(-1, 2)
        return np.array([self.x, self.y]) + ab[:, :1] * forward + ab[:, 1:] * right

    def at(self, a: float, b: float) -> Point:
        """World x, y of one local point."""
        x, y = self.to_world(np.array([[a, b]]))[0]
        return float(x), float(y)

    def box(self, a0: float, a1: float, b0: float, b1: float) -> Ring:
        """World ring of a local rectangle."""
        return self.to_world(np.array([[a0, b0], [a1, b0], [a1, b1], [a0, b1]]))

    def child(self, a: float, b: float, turn: float = 0.0) -> "Frame":
        """A frame at a local point, turned clockwise by `turn` degrees."""
        return Frame(*self.at(a, b), (self.heading + turn) % 360.0)


def rectangle(x: float, y: float, length: float, width: float, heading: float) -> Ring:
    """Oriented rectangle, `length` along the heading."""
    return Frame(x, y, heading).box(-length / 2, length / 2, -width / 2, width / 2)


def disc(x: float, y: float, radius: float, corners: int = 20) -> Ring:
    """Regular polygon that stands for a circle."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, rough: float = 0.3) -> Ring:
    """Closed irregular outline around a point: a circle with random low harmonics."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    r = np.ones_like(angle)
    for k in range(1, 6):
        r += rough / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    r = radius * np.clip(r, 0.35, 2.0)
    squeeze, turn = rng.uniform(0.5, 1.0), rng.uniform(0, 360)
    return Frame(x, y, turn).to_world(np.stack([r * np.cos(angle), squeeze * r * np.sin(angle)], axis=1))


def wavy(rng: np.random.Generator, length: float, amplitude: float, step: float = 12.0) -> Ring:
    """Local line (N, 2) of a, b from -length/2 to length/2 whose b wanders with several wavelengths."""
    a = np.arange(-length / 2, length / 2 + step, step)
    b = np.zeros_like(a)
    for wavelength, share in ((1.3 * length, 1.0), (900.0, 0.5), (420.0, 0.22), (180.0, 0.07)):
        b += share * amplitude * np.sin(2 * np.pi * a / wavelength + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.5, 1.0)
    return np.stack([a, b], axis=1)


def ribbon(line: Ring, width: float | Ring) -> Ring:
    """Ring of a band of the given width (one value or one per point) along a line."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = (np.broadcast_to(np.asarray(width, dtype=np.float64), (len(line),)) / 2)[:, None]
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def split(
    rng: np.random.Generator, box: tuple[float, float, float, float], smallest: float, largest: float
) -> list[tuple[float, float, float, float]]:
    """Cut a box (a0, a1, b0, b1) again and again across its longer side until no side is longer than `largest`.

    Pieces between `smallest` and `largest` stop with some probability, so sizes vary.
    """
    pieces, todo = [], [box]
    while todo:
        a0, a1, b0, b1 = todo.pop()
        da, db = a1 - a0, b1 - b0
        longest = max(da, db)
        if longest < 2 * smallest or (longest < largest and rng.random() < 0.5):
            pieces.append((a0, a1, b0, b1))
        elif da >= db:
            cut = a0 + da * rng.uniform(0.35, 0.65)
            todo += [(a0, cut, b0, b1), (cut, a1, b0, b1)]
        else:
            cut = b0 + db * rng.uniform(0.35, 0.65)
            todo += [(a0, a1, b0, cut), (a0, a1, cut, b1)]
    return pieces


def somewhere(rng: np.random.Generator, half: float) -> Point:
    """A random point of a square from -half to half."""
    x, y = rng.uniform(-half, half, 2)
    return float(x), float(y)


def points_along(p0: Ring, p1: Ring, pitch: float) -> Ring:
    """(N, 2) points from p0 to p1 about `pitch` apart, ends included (at least two)."""
    n = max(2, int(np.hypot(*(np.asarray(p1) - p0)) / pitch) + 1)
    return np.linspace(p0, p1, n)
