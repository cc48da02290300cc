"""Houses, halls, tanks, trees, bridges, cars: how each looks to a radar."""

import numpy as np

from knowlip.simulator.shapes import Frame, Point, Ring, direction, disc, points_along, rectangle
from knowlip.simulator.world import Covers, SceneObject, World

Size = tuple[float, float, float]
"""Length, width and height in metres."""


def building(
    world: World, at: Point, size: Size, heading: float, kind: str, covers: Covers = ("built-up",), gable: bool = False
) -> bool:
    """Place a building if its ground is free; returns whether it stands."""
    (x, y), (length, width, height), rng = at, size, world.rng
    ring = rectangle(x, y, length, width, heading)
    if not world.fits(ring, covers):
        return False
    world.take(rectangle(x, y, length + 2, width + 2, heading))
    frame = Frame(x, y, heading)
    wall_db = rng.normal(-4.0, 1.5)
    if gable:
        towards = float(direction(heading + 90) @ direction(world.look_azimuth))
        for side in (-1, 1):
            # a slope that faces the radar shines, the other one is grazed
            half = frame.box(-length / 2, length / 2, *sorted((0.0, side * width / 2)))
            world.solid(half, height, rng.normal(-7.0, 1.0) - 7.0 * side * towards, wall_db)
    else:
        world.solid(ring, height, rng.normal(-12.0, 2.0), wall_db)
    world.corner_lines(ring, min(1.0, height / 9.0) * rng.lognormal(0.6, 0.7))
    if not gable:
        _roof_details(world, frame, length, width, height)
    world.things.append(SceneObject("building", kind, x, y, length, width, height, heading % 180))
    return True


def _roof_details(world: World, frame: Frame, length: float, width: float, height: float) -> None:
    """Vents and parapets on a flat roof: single points and, on halls, rows."""
    rng = world.rng
    n = min(60, rng.poisson(length * width / 160.0))
    if n:
        spots = np.stack([rng.uniform(-0.45, 0.45, n) * length, rng.uniform(-0.45, 0.45, n) * width], axis=1)
        if rng.random() < 0.5:
            spots = np.round(spots / 6.0) * 6.0 * 0.98
        world.scatter_unevenly(frame.to_world(spots), height, -0.5, 1.2)
    edge = ring_points(frame.box(-length / 2, length / 2, -width / 2, width / 2), max(1.0, world.resolution))
    edge = edge + rng.normal(0, 0.4, edge.shape)
    world.scatter_unevenly(edge, height, -3.6, 1.5)


def ring_points(ring: Ring, pitch: float) -> Ring:
    """(N, 2) points all along a ring."""
    return np.concatenate([points_along(p, q, pitch)[:-1] for p, q in zip(ring, np.roll(ring, -1, axis=0))])


def tank(world: World, x: float, y: float, radius: float, height: float, covers: Covers = ("quay",)) -> bool:
    """Place a cylindrical storage tank: bright arcs at base and rim on the radar's side."""
    rng = world.rng
    ring = disc(x, y, radius, 36)
    if not world.fits(disc(x, y, radius + 2), covers):
        return False
    world.take(disc(x, y, radius + 3))
    world.solid(ring, height, -16.0, -6.0)
    towards_radar = -direction(world.look_azimuth)
    angle = np.arange(0, 2 * np.pi, max(0.5, world.resolution / 2) / radius)
    normal = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    facing = np.clip(normal @ towards_radar, 0, 1) ** 3
    rim = np.array([x, y]) + radius * normal
    strength = rng.lognormal(0.8, 0.3)
    world.scatter(rim, 0.0, strength * 2.0 * facing + 1e-3)
    world.scatter(rim, height, strength * 0.5 * facing + 0.05)
    far = np.clip(-normal @ towards_radar, 0, 1) ** 6
    world.scatter(rim, height, 0.35 * strength * far + 1e-3)  # inner wall of a floating roof's shell
    world.scatter(np.array([[x, y]]), height + 0.5, 6.0)
    world.things.append(SceneObject("tank", "storage tank", x, y, 2 * radius, 2 * radius, height, 0.0))
    return True


def tree(world: World, x: float, y: float, covers: Covers) -> None:
    """A single tree where there is room."""
    radius = world.rng.uniform(2.0, 4.5)
    ring = disc(x, y, radius, 9)
    if world.fits(ring, covers):
        world.take(ring)
        height = world.rng.uniform(4.0, 9.0)
        for share, part in ((1.0, 0.55), (0.8, 0.8), (0.5, 1.0)):  # a round crown in three storeys
            world.solid(disc(x, y, radius * share, 9), height * part, -6.5, -8.0)


def cars(world: World, points: Ring) -> None:
    """Parked or driving cars at (N, 2) points: one strong corner and a weaker one each."""
    world.scatter_unevenly(points, 0.5, 1.0, 1.0)
    world.scatter_unevenly(points + world.rng.normal(0, 1.2, points.shape), 1.0, -0.5, 1.0)


def bridge(world: World, p0: Ring, p1: Ring, width: float, height: float) -> None:
    """A bridge from p0 to p1 over water: deck, railings, and the water's double bounce along the near side."""
    rng = world.rng
    x, y = (p0 + p1) / 2
    span = p1 - p0
    length = float(np.hypot(*span))
    heading = float(np.rad2deg(np.arctan2(span[0], span[1])) % 360)
    ring = rectangle(x, y, length, width, heading)
    world.paint(ring, "bridge")
    world.take(ring)
    world.solid(ring, height, -11.0, -5.0)
    frame = Frame(x, y, heading)
    along = rng.uniform(-length / 2, length / 2, int(length / max(1.0, world.resolution)) + 1)
    across = float(direction(heading + 90) @ direction(world.look_azimuth))
    for side in (-1, 1):
        rail = frame.to_world(np.stack([along, np.full_like(along, side * width / 2)], axis=1))
        facing = abs(across) ** 2
        world.scatter(rail, height + 1.0, (0.15 + 0.8 * facing) * rng.lognormal(0, 0.5, len(along)))
        if side * across < 0:
            world.scatter(rail, 0.0, (0.3 + 4.0 * facing) * rng.lognormal(0, 0.4, len(along)))
            bounce = rail + direction(world.look_azimuth) * (height / np.tan(np.deg2rad(world.incidence)))
            world.scatter(bounce, 0.0, 0.3 * facing * rng.lognormal(0, 0.6, len(along)) + 1e-3)
    for a in np.arange(-length / 2 + 12, length / 2, 28.0):
        pier = frame.to_world(np.array([[a, -width / 2], [a, width / 2]]))
        world.scatter_unevenly(pier, 0.0, 2.0, 0.5)
    world.things.append(SceneObject("bridge", "road bridge", float(x), float(y), length, width, height, heading % 180))
