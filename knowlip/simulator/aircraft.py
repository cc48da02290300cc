"""Aircraft as a radar sees them: fuselage, straight or swept wings, engines and tail of five types."""

from typing import NamedTuple

import numpy as np

from knowlip.base.vocabulary import AIRCRAFT_TYPES, TargetType
from knowlip.simulator.shapes import Frame, Point, Ring, rectangle
from knowlip.simulator.world import Covers, SceneObject, World

BY_NAME: dict[str, TargetType] = {kind.name: kind for kind in AIRCRAFT_TYPES}


class Planform(NamedTuple):
    """A type's shape: along the aircraft in shares of its length from the nose, across in shares of the half span."""

    fuselage_m: float  # Fuselage diameter.
    wing_root: float  # Where the wing's leading edge leaves the fuselage.
    wing_tip: float  # Where the leading edge ends.
    root_chord: float
    tip_chord: float
    tail_span: float
    engines: tuple[tuple[float, float], ...]  # Along the length, along the half span; one side only, mirrored.
    engine_rcs: float
    body_m: float  # Height of the fuselage's top above ground.


PLANS: dict[str, Planform] = {
    "wide-body airliner": Planform(6.2, 0.30, 0.60, 0.20, 0.045, 0.30, ((0.36, 0.32),), 260.0, 7.5),
    "narrow-body airliner": Planform(4.0, 0.34, 0.56, 0.18, 0.05, 0.36, ((0.36, 0.33),), 140.0, 5.5),
    "regional turboprop": Planform(2.8, 0.36, 0.39, 0.12, 0.07, 0.28, ((0.32, 0.30),), 90.0, 4.0),
    "business jet": Planform(2.2, 0.40, 0.62, 0.17, 0.05, 0.38, ((0.72, 0.22),), 45.0, 3.2),
    "fighter": Planform(1.8, 0.32, 0.70, 0.42, 0.08, 0.52, ((0.97, 0.10), (0.36, 0.14)), 60.0, 3.0),
}


def dimensions(rng: np.random.Generator, name: str) -> Point:
    """Length and wingspan in metres within the type's ranges."""
    kind = BY_NAME[name]
    share = rng.random()
    span_share = float(np.clip(share + rng.normal(0, 0.15), 0, 1))
    (l0, l1), (w0, w1) = kind.length_m, kind.width_m
    return l0 + share * (l1 - l0), w0 + span_share * (w1 - w0)


def aircraft(
    world: World, name: str, at: Point, heading: float, covers: Covers = ("apron",), size: Point | None = None
) -> bool:
    """Park an aircraft (of a length and wingspan in metres) if the ground is free; returns whether it stands."""
    (x, y), (length, span) = at, size or dimensions(world.rng, name)
    if not world.fits(rectangle(x, y, length + 2, span + 2, heading), covers):
        return False
    world.take(rectangle(x, y, length + 3, span + 3, heading))
    _draw(world, Frame(x, y, heading), PLANS[name], length, span)
    world.things.append(SceneObject("aircraft", name, x, y, length, span, BY_NAME[name].height_m, heading % 360))
    return True


def _draw(world: World, frame: Frame, plan: Planform, length: float, span: float) -> None:
    rng = world.rng
    nose, half, r = length / 2, span / 2, plan.fuselage_m / 2

    def along(share: float) -> float:
        return nose - share * length

    def outline(shares: list[float], across: list[float]) -> Ring:
        return np.array([[along(share), b] for share, b in zip(shares, across)])

    def sprinkle(p: Ring, q: Ring, pitch: float, z: float, level: float, deviation: float) -> None:
        world.scatter_unevenly(_points(rng, frame, p, q, pitch), z, level, deviation)

    wing_z = 0.62 * plan.body_m
    for side in (-1, 1):
        trailing = plan.wing_tip + plan.tip_chord, plan.wing_root + plan.root_chord
        wing = outline([plan.wing_root, plan.wing_tip, *trailing], [0.0, side * half, side * half, 0.0])
        world.solid(frame.to_world(wing), wing_z, -9.0, -4.0)
        reach = side * plan.tail_span * half
        tail = outline([0.86, 0.94, 0.99, 0.99], [0.0, reach, reach, 0.0])
        world.solid(frame.to_world(tail), plan.body_m, -8.0, -4.0)
        sprinkle(wing[0], wing[1], 0.8, wing_z, 0.1, 0.8)
        sprinkle(wing[3], wing[2], 0.8, wing_z, -0.5, 0.8)
        sprinkle(tail[0], tail[1], 0.8, plan.body_m, -0.4, 0.8)
        for a, b in plan.engines:
            spot = frame.to_world(np.array([[along(a), side * b * half]]))
            world.scatter(spot, 0.35 * plan.body_m, plan.engine_rcs * rng.lognormal(0, 0.5))
            b *= side * half
            sprinkle(np.array([along(a), b]), np.array([along(a + 0.05), b]), 0.7, 0.4 * plan.body_m, 1.3, 0.6)
        ends = along(plan.wing_root + 0.02), along(plan.wing_root + plan.root_chord)
        root = frame.to_world(np.array([[a, side * r] for a in ends]))
        world.scatter_unevenly(root, wing_z, 2.6, 0.5)  # wing-body corners
    left, widths = [0.05, 0.12, 0.72, 0.98], [0.75 * r, r, r, 0.2 * r]
    body = outline([0.0, *left, *left[::-1]], [0.0, *(-b for b in widths), *widths[::-1]])
    world.solid(frame.to_world(body), plan.body_m, -6.0, 0.0)
    spine, fin = outline([0.03, 0.97], [0.0, 0.0]), outline([0.88, 0.99], [0.0, 0.0])
    sprinkle(spine[0], spine[1], 0.9, plan.body_m, 0.5, 0.8)
    sprinkle(fin[0], fin[1], 0.8, plan.body_m * 1.5, 1.4, 0.6)
    main = along(plan.wing_root + 0.6 * plan.root_chord)
    gear = np.array([[along(0.1), 0.0], [main, -r], [main, r]])
    world.scatter_unevenly(frame.to_world(gear), 0.0, 2.4, 0.5)
    world.scatter(frame.to_world(np.array([[along(0.02), 0.0]])), 0.6 * plan.body_m, rng.lognormal(2.5, 0.5))


def _points(rng: np.random.Generator, frame: Frame, p: Ring, q: Ring, pitch: float) -> Ring:
    n = max(3, int(np.hypot(*(q - p)) / pitch))
    share = (np.arange(n) + rng.uniform(0, 1, n)) / n
    return frame.to_world(p + share[:, None] * (q - p))
