"""Countryside: a patchwork of fields, woods, rivers, lakes, and roads that bridge narrow water."""

import itertools

import numpy as np

from knowlip.simulator.buildings import bridge, building, cars, tree
from knowlip.simulator.shapes import Frame, Ring, blob, direction, ribbon, split, wavy
from knowlip.simulator.world import CODE, World


def fields(world: World, wooded: float) -> None:
    """Cover the whole world with fields; a share `wooded` of them is wood.

    A rectangular subdivision is bent by a smooth warp, so that field directions change across the scene.
    """
    rng, reach = world.rng, world.reach
    world.paint(world.frame(0).box(-reach, reach, -reach, reach), "field", float(rng.choice([-3.0, -1.0, 4.0])))
    frame = world.frame(rng.uniform(0, 360))
    bend, phase = rng.uniform(30, 130), rng.uniform(0, 2 * np.pi, 2)
    smallest = rng.uniform(35, 80)
    crops = rng.normal(0, 2.6, 6)
    far = 1.5 * reach
    for a0, a1, b0, b1 in split(rng, (-far, far, -far, far), smallest, smallest * rng.uniform(3, 5)):
        middle = frame.at((a0 + a1) / 2, (b0 + b1) / 2)
        if max(map(abs, middle)) > reach + 250:
            continue
        gap = rng.uniform(1.0, 2.5)
        quad = np.array([[a0 + gap, b0 + gap], [a1 - gap, b0 + gap], [a1 - gap, b1 - gap], [a0 + gap, b1 - gap]])
        sides = [np.linspace(p, q, 5)[:-1] for p, q in zip(quad, np.roll(quad, -1, axis=0))]
        ring = frame.to_world(np.concatenate(sides))
        waves = np.sin(ring[:, 1] / 420 + phase[0]), np.sin(ring[:, 0] / 510 + phase[1])
        ring = ring + bend * np.stack(waves, axis=1)
        if np.abs(ring).min(axis=0).max() > reach and not (np.abs(ring) < reach).all(axis=1).any():
            continue
        if rng.random() < wooded:
            world.paint(ring + rng.normal(0, 2.5, ring.shape), "wood", rng.normal(0, 0.6))
        else:
            world.paint(ring, "field", float(rng.choice(crops) + rng.normal(0, 0.7)))


def tramlines(world: World) -> None:
    """Wheel tracks and rows in some fields: only sensors of a metre or finer see them."""
    rng = world.rng
    if world.resolution > 1.5:
        return
    patches = [area for area in world.areas[1:] if area.cover == CODE["field"] and len(area.ring) == 16]
    for area in patches:
        if rng.random() > 0.4:
            continue
        p, q, r, s = area.ring[0], area.ring[4], area.ring[8], area.ring[12]
        pitch = rng.choice([9.0, 18.0, 24.0])
        n = int(np.hypot(*(s - p)) / pitch)
        for t in (np.arange(n) + 0.5) / max(n, 1):
            line = np.stack([p + t * (s - p), q + t * (r - q)])
            if (world.cover_at(np.linspace(line[0], line[1], 12)[1:-1]) == CODE["field"]).all():
                world.paint(ribbon(np.linspace(line[0], line[1], 3), 0.9), "field", area.level_db - 2.5)


def woods(world: World, count: int) -> None:
    """Irregular woods of many sizes anywhere."""
    for _ in range(count):
        x, y = world.rng.uniform(-world.reach, world.reach, 2)
        radius = float(world.rng.choice([50, 90, 150, 240, 380])) * min(1.0, world.size / 1500)
        world.paint(blob(world.rng, x, y, radius), "wood", world.rng.normal(0, 0.6))


def river(world: World, heading: float, width: float, x: float, y: float) -> None:
    """A winding river through a point, with grassy banks."""
    rng = world.rng
    line = wavy(rng, 3.2 * world.reach, rng.uniform(0.06, 0.16) * world.reach)
    line = Frame(x, y, heading).to_world(line - np.array([0.0, line[len(line) // 2, 1]]))
    widths = width * (1 + 0.15 * np.sin(np.arange(len(line)) / 9.0 + rng.uniform(0, 6)))
    world.paint(ribbon(line, widths + 16), "grass", rng.normal(0, 1))
    world.paint(ribbon(line, widths), "water", -2.0)


def lake(world: World, x: float, y: float, radius: float) -> None:
    """A lake with a grassy rim."""
    ring = blob(world.rng, x, y, radius)
    middle = np.array([x, y])
    world.paint(middle + (ring - middle) * 1.06, "grass")
    world.paint(ring, "water", -1.5)


def road(world: World, line: Ring, width: float, traffic: float = 0.006, through_town: bool = False) -> None:
    """A road along a dense line, painted on land, a bridge over narrow water.

    It ends at wide water, airfields and (unless `through_town`) blocks.
    """
    rng = world.rng
    step = np.hypot(*np.diff(line, axis=0).T)
    position = np.concatenate([[0.0], np.cumsum(step)])
    fine = np.arange(0, position[-1], 3.0)
    points = np.stack([np.interp(fine, position, line[:, i]) for i in range(2)], axis=1)
    cover = world.cover_at(points)
    ends = [CODE["runway"], CODE["apron"], CODE["quay"], 0]
    stop = np.isin(cover, ends if through_town else [*ends, CODE["built-up"]])
    kind = np.where(cover == CODE["water"], 1, np.where(stop, 2, 0))
    breaks = np.concatenate([[0], np.nonzero(np.diff(kind))[0] + 1, [len(kind)]])
    for start, end in itertools.pairwise(breaks):
        piece = points[start:end]
        if kind[start] == 0 and len(piece) >= 2:
            world.paint(ribbon(piece, width), "road", rng.normal(0, 0.5))
            n = rng.poisson(traffic * 3.0 * len(piece) * (world.resolution < 2))
            spots = piece[rng.integers(0, len(piece), n)]
            cars(world, spots + rng.normal(0, width / 5, spots.shape))
        elif kind[start] == 1 and start > 0 and end < len(points) and 12 < 3.0 * len(piece) < 220.0:
            heading = piece[-1] - piece[0]
            unit = heading / max(1e-6, float(np.hypot(*heading)))
            bridge(world, piece[0] - unit * 9, piece[-1] + unit * 9, width + 3.0, rng.uniform(5.0, 9.0))


def country_roads(world: World, count: int) -> None:
    """Winding roads right across the world, a highway now and then."""
    rng = world.rng
    for _ in range(count):
        x, y = rng.uniform(-0.8, 0.8, 2) * world.size / 2
        frame = Frame(x, y, rng.uniform(0, 360))
        line = frame.to_world(wavy(rng, 3.0 * world.reach, rng.uniform(0.01, 0.08) * world.reach))
        if rng.random() < 0.25:
            side = direction(frame.heading + 90) * 11.0
            road(world, line - side, 11.0, 0.02)
            road(world, line + side, 11.0, 0.02)
        else:
            road(world, line, rng.uniform(6.0, 10.0))


def farms(world: World, count: int) -> None:
    """Farmsteads: a house, barns, a yard and a few trees among the fields."""
    rng = world.rng

    def place() -> None:
        for _ in range(count):
            x, y = rng.uniform(-world.size / 2, world.size / 2, 2)
            frame = Frame(x, y, rng.uniform(0, 360))
            yard = frame.box(-32, 32, -26, 26)
            if not world.fits(yard, ("field",)):
                continue
            world.paint(yard, "built-up", -1.0)
            building(world, frame.at(-15, -12), (16, 10, 8), frame.heading, "house", gable=True)
            building(world, frame.at(12, -10), (rng.uniform(22, 36), 13, 7), frame.heading, "barn")
            building(world, frame.at(-4, 14), (rng.uniform(24, 44), 15, 8), frame.heading, "barn")
            for _ in range(8):
                tree(world, *frame.at(rng.uniform(-45, 45), rng.uniform(-38, 38)), ("field", "built-up"))

    world.later.append(place)


def lone_trees(world: World, count: int) -> None:
    """Trees scattered over fields and grass."""
    if world.resolution <= 1.5:
        for x, y in world.rng.uniform(-world.size / 2, world.size / 2, (count, 2)):
            tree(world, x, y, ("field", "grass"))


def bits_and_pieces(world: World) -> None:
    """Fences, masts, garden sheds, stacked goods: weak points that make built-up land and quays spiky."""
    rng = world.rng
    points = rng.uniform(-world.reach, world.reach, (int((2 * world.reach) ** 2 / 35.0), 2))
    points = points[np.isin(world.cover_at(points), [CODE["built-up"], CODE["quay"]])]
    world.scatter_unevenly(points, 1.0, -1.8, 1.5)
