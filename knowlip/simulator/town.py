"""Towns: a warped street grid whose blocks hold houses, terraces, courtyards, slabs, large buildings or parks."""

from functools import partial

import numpy as np

from knowlip.simulator.buildings import building, cars, tree
from knowlip.simulator.shapes import Frame, Ring
from knowlip.simulator.world import CODE, World

STYLES: dict[str, tuple[str, ...]] = {
    "suburb": ("houses",) * 8 + ("terraces",) * 2 + ("park", "large"),
    "old town": ("courtyard",) * 5 + ("terraces",) * 3 + ("houses", "park", "large"),
    "new town": ("slabs",) * 4 + ("houses",) * 3 + ("large", "large", "park", "park"),
    "industry": ("halls",) * 6 + ("large",) * 3 + ("park",),
    "village": ("houses",) * 6 + ("terraces", "park"),
}


def town(
    world: World, frame: Frame, a0: float, a1: float, b0: float, b1: float, style: str, ragged: float = 0.25
) -> list[Ring]:
    """Lay out streets and blocks in a box of `frame`; blocks near the rim drop out at random (`ragged` share).

    Returns:
        The middle lines of the streets along the frame's heading, for bridges where a river is painted later.
    """
    # Two passes: all streets are painted before any block, or the blocks that stand already would lose their rims.
    rng = world.rng
    street = rng.uniform(9.0, 14.0)
    da, db = rng.uniform(85, 150), rng.uniform(55, 80)
    if style == "industry":
        da, db = rng.uniform(150, 240), rng.uniform(90, 140)
    na, nb = max(1, int((a1 - a0) / (da + street))), max(1, int((b1 - b0) / (db + street)))
    blocks: list[tuple[float, float]] = []
    for i in range(na):
        for j in range(nb):
            a, b = a0 + (i + 0.5) * (a1 - a0) / na, b0 + (j + 0.5) * (b1 - b0) / nb
            u, v = 2 * (i + 0.5) / na - 1, 2 * (j + 0.5) / nb - 1
            rim = (u * u + v * v) ** 0.5
            if rim > 1.15 or (rim > 0.75 and rng.random() < 2 * ragged):
                continue
            x, y = frame.at(a, b)
            if max(abs(x), abs(y)) > world.reach + 60:
                continue
            if world.cover_at(np.array([[x, y]]))[0] in (CODE["water"], CODE["quay"], CODE["runway"], CODE["apron"]):
                continue
            blocks.append((a, b))
    for a, b in blocks:
        half_a, half_b = (da + street) / 2 + 1, (db + street) / 2 + 1
        world.paint(frame.box(a - half_a, a + half_a, b - half_b, b + half_b), "road")
    for a, b in blocks:
        kind = str(rng.choice(STYLES[style]))
        ring = frame.box(a - da / 2, a + da / 2, b - db / 2, b + db / 2)
        block = frame.child(a, b)
        if kind == "park":
            world.paint(ring, "wood" if rng.random() < 0.4 else "grass", rng.normal(0, 1))
        else:
            world.paint(ring, "built-up", rng.normal(0, 0.8))
        world.later.append(partial(fill, world, block, kind, da, db))
        if world.resolution <= 1.5:
            n = rng.poisson(da / 14)
            spots = np.stack([rng.uniform(-da / 2, da / 2, n), np.full(n, db / 2 + 2.2)], axis=1)
            cars(world, block.to_world(spots))
    rows = np.linspace(b0, b1, nb + 1)[1:-1]
    along = np.arange(0.7 * a0, 0.7 * a1, 10.0)
    return [frame.to_world(np.stack([along, np.full_like(along, b)], axis=1)) for b in rows]


def fill(world: World, frame: Frame, kind: str, da: float, db: float) -> None:
    """Build one block of da x db metres around the frame's origin."""
    # Facades stand on the street and courts behind them, because rows of walls are what a radar sees of a town: how far
    # they are apart, and how high, is what tells kinds of quarters.
    rng = world.rng
    if kind == "houses":
        pitch = rng.uniform(15, 22)
        for row in (-1, 1):
            for a in np.arange(-da / 2 + pitch / 2, da / 2 - pitch / 3, pitch):
                if rng.random() < 0.92:
                    turn = 90.0 if rng.random() < 0.3 else 0.0
                    at = frame.at(a + rng.normal(0, 0.8), row * (db / 2 - rng.uniform(9.5, 11.5)))
                    height, heading = rng.uniform(6, 9), frame.heading + turn + rng.normal(0, 1)
                    size = rng.uniform(10, 13.5), rng.uniform(8, 10), height
                    building(world, at, size, heading, "house", gable=True)
        _trees(world, frame, da, db, int(da * db / 500))
    elif kind == "terraces":
        for row in (-1, 1):
            a = -da / 2 + 4
            while a < da / 2 - 16:
                length = min(rng.uniform(25, 60), da / 2 - 3 - a)
                at, size = frame.at(a + length / 2, row * (db / 2 - 8)), (length, 9.5, rng.uniform(8, 11))
                building(world, at, size, frame.heading, "terrace", gable=True)
                a += length + rng.uniform(3, 8)
        _trees(world, frame, da, db, int(da * db / 700))
    elif kind == "courtyard":
        height = rng.uniform(14, 20)
        d = 12.5
        for side in (-1, 1):
            ends, flanks = frame.at(0, side * (db / 2 - d / 2 - 1)), frame.at(side * (da / 2 - d / 2 - 1), 0)
            building(world, ends, (da - 2, d, height), frame.heading, "apartment block")
            building(world, flanks, (db - 2 * d - 8, d, height), frame.heading + 90, "apartment block")
        _trees(world, frame, da - 40, db - 40, 4)
    elif kind == "slabs":
        pitch = rng.uniform(32, 42)
        for a in np.arange(-da / 2 + pitch / 2, da / 2 - pitch / 3, pitch):
            at, size = frame.at(a, rng.normal(0, 2)), (db * 0.72, 13, rng.uniform(14, 30))
            building(world, at, size, frame.heading + 90, "apartment block")
        _trees(world, frame, da, db, int(da * db / 500))
    elif kind == "large":
        length, width = da * rng.uniform(0.45, 0.7), db * rng.uniform(0.4, 0.6)
        at = frame.at(rng.normal(0, 4), -db / 2 + width / 2 + 6)
        building(world, at, (length, width, rng.uniform(8, 16)), frame.heading, "large building")
        car_park(world, frame, -da * 0.4, da * 0.4, -db / 2 + width + 14, db / 2 - 6, 0.6)
    elif kind == "halls":
        for a in np.arange(-da / 2 + 32, da / 2 - 25, 62.0):
            depth = db * rng.uniform(0.5, 0.75)
            at, size = frame.at(a, rng.normal(0, 4)), (depth, rng.uniform(34, 50), rng.uniform(8, 14))
            building(world, at, size, frame.heading + 90, "hall")
        car_park(world, frame, -da / 2 + 5, da / 2 - 5, db / 2 - 12, db / 2 - 3, 0.4)
    else:
        _trees(world, frame, da, db, int(da * db / 350))


def car_park(world: World, frame: Frame, a0: float, a1: float, b0: float, b1: float, full: float) -> None:
    """Rows of parked cars, `full` share of the places taken, where nothing stands."""
    if b1 - b0 < 4 or world.resolution > 1.5:
        return
    a, b = np.meshgrid(np.arange(a0, a1, 2.7), np.arange(b0, b1, 8.0))
    spots = np.stack([a.ravel(), b.ravel()], axis=1)
    spots = frame.to_world(spots[world.rng.random(len(spots)) < full])
    cars(world, spots[~world.is_taken(spots)])


def _trees(world: World, frame: Frame, da: float, db: float, count: int) -> None:
    if world.resolution > 1.5 or da <= 0 or db <= 0:
        return
    spots = np.stack([world.rng.uniform(-da / 2, da / 2, count), world.rng.uniform(-db / 2, db / 2, count)], axis=1)
    for x, y in frame.to_world(spots):
        tree(world, x, y, ("built-up", "grass"))
