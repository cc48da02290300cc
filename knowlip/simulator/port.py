"""Coasts and ports: shoreline, quays and basins, breakwaters, container yards, warehouses, tank farms, ships."""

import numpy as np

from knowlip.simulator.buildings import building, tank
from knowlip.simulator.shapes import Frame, ribbon, wavy
from knowlip.simulator.ships import dimensions, ship
from knowlip.simulator.world import World

BIG = ("container ship", "tanker", "bulk carrier", "cargo ship")


def coast(world: World, frame: Frame) -> None:
    """Sea to the right of the frame's axis, with a wandering shoreline and a beach."""
    rng = world.rng
    line = wavy(rng, 4.0 * world.reach, rng.uniform(20, 90))
    far = 4.0 * world.reach
    closing = np.array([[line[-1, 0], far], [line[0, 0], far]])
    beach = rng.uniform(8, 30)
    world.paint(frame.to_world(np.concatenate([line - np.array([0.0, beach]), closing])), "grass", -4.0)
    world.sea_db = rng.uniform(-1.0, 3.0)
    world.paint(frame.to_world(np.concatenate([line, closing])), "water", world.sea_db)


def harbour(world: World, frame: Frame, a0: float, a1: float, kind: str) -> None:
    """A stretch of port from a0 to a1 along the shore (b = 0): quay on the left, dredged water on the right."""
    rng = world.rng
    depth = float(rng.uniform(140, 300))
    front = rng.uniform(0, 60)
    world.paint(frame.box(a0 - 15, a1 + 15, front - 20, front + 420), "water", world.sea_db)
    world.paint(frame.box(a0, a1, -depth - 120, front), "quay", rng.normal(0, 0.6))
    {"container": _containers, "general": _general, "oil": _oil, "bulk": _bulk, "fishing": _fishing}[kind](
        world, frame.child(0, front), a0, a1, depth
    )
    if rng.random() < (0.9 if kind == "fishing" else 0.35):
        _breakwater(world, frame.child(0, front), a0, a1, 330.0 if kind != "fishing" else 190.0)


def _berth(
    world: World, frame: Frame, a0: float, a1: float, b: float, names: tuple[str, ...], full: float, out: float = 1.0
) -> None:
    """Ships alongside the line b from a0 to a1 of the frame; water lies towards `out` * b."""
    rng = world.rng
    mostly = str(rng.choice(names))

    def place() -> None:
        a = a0 + rng.uniform(3, 25)
        while a < a1 - 20:
            name = mostly if rng.random() < 0.7 else str(rng.choice(names))
            length, width = dimensions(rng, name)
            if a + length > a1 + 5:
                name = "cargo ship" if "cargo ship" in names and a + 80 < a1 else ""
                if not name:
                    break
                length, width = dimensions(rng, name)
            if rng.random() < full:
                at = frame.at(a + length / 2, b + out * (width / 2 + 2.5))
                heading = frame.heading + float(rng.choice([0, 180])) + rng.normal(0, 0.2)
                ship(world, name, (length, width), at, heading)
            a += length + rng.uniform(8, 40 if name != "fishing boat" else 9)

    world.later.append(place)


def _containers(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    rng = world.rng
    _berth(world, frame, a0, a1, 0.0, ("container ship",), rng.uniform(0.4, 0.95))
    for a in np.arange(a0 + 40, a1 - 30, rng.uniform(70, 130)):
        _gantry(world, frame.child(a, -14), rng.uniform(0.7, 1.3))

    def stacks() -> None:
        for a in np.arange(a0 + 15, a1 - 60, 78.0):
            for b in np.arange(-depth + 10, -58, 27.0):
                if rng.random() < 0.85:
                    _stack(world, frame.child(a, b))

    world.later.append(stacks)


def _stack(world: World, frame: Frame) -> None:
    """A block of stacked containers, 66 x 18 m: bright corner rows at both ends of every bay."""
    rng = world.rng
    ring = frame.box(0, 66, 0, 18)
    if not world.fits(ring, ("quay",)):
        return
    world.take(ring)
    for a in np.arange(0, 60, 13.0):
        if rng.random() < 0.85:
            tiers = int(rng.integers(1, 5))
            world.solid(frame.box(a, a + 12.2, 0, 18), 2.6 * tiers, -5.0, 0.0)
            b = np.arange(0.0, 18.1, 2.6)
            for end in (a, a + 12.2):
                row = frame.to_world(np.stack([np.full_like(b, end), b], axis=1))
                world.scatter_unevenly(row, 0.0, 1.6, 0.9)
                world.scatter_unevenly(row, 2.6 * tiers, 0.6, 0.9)


def _gantry(world: World, frame: Frame, strength: float) -> None:
    """A ship-to-shore crane: legs, girder and a boom that reaches over the water."""
    rng = world.rng
    legs = np.array([[-9, 0], [9, 0], [-9, -28], [9, -28]], dtype=float)
    world.scatter(frame.to_world(legs), 0.0, 150.0 * strength)
    boom = np.stack([np.zeros(70), rng.uniform(-40, 50, 70)], axis=1)
    world.scatter(frame.to_world(boom), 38.0, strength * rng.lognormal(1.2, 0.8, 70))
    girder = np.stack([rng.uniform(-9, 9, 14), np.zeros(14)], axis=1)
    for z in (12.0, 38.0):
        world.scatter(frame.to_world(girder), z, strength * rng.lognormal(1.5, 0.7, 14))


def _general(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    """Finger piers with warehouses and mixed ships."""
    rng = world.rng
    full = rng.uniform(0.25, 0.85)
    pitch, wide, reach = rng.uniform(190, 280), rng.uniform(50, 80), rng.uniform(180, 330)
    for a in np.arange(a0 + wide / 2 + 5, a1 - wide / 2, pitch):
        world.paint(frame.box(a - wide / 2, a + wide / 2, -5, reach), "quay")
        pier = frame.child(a, 0, 90.0)  # its a runs out to sea, its b along the shore backwards
        for out in (-1.0, 1.0):
            _berth(world, pier, 10, reach, out * wide / 2, BIG[2:] + BIG[:1], full, out)

        def sheds(a: float = a) -> None:
            for b in np.arange(55, reach - 50, 110.0):
                size = 90, wide * 0.5, rng.uniform(8, 12)
                building(world, frame.at(a, b), size, frame.heading + 90, "warehouse", ("quay",))

        world.later.append(sheds)
    _warehouses(world, frame, a0, a1, depth)


def _warehouses(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    rng = world.rng

    def place() -> None:
        for a in np.arange(a0 + 55, a1 - 45, 110.0):
            for b in np.arange(-45, -depth, -62.0):
                if rng.random() < 0.7:
                    size = rng.uniform(60, 92), rng.uniform(28, 40), rng.uniform(8, 13)
                    building(world, frame.at(a, b), size, frame.heading, "warehouse", ("quay",))

    world.later.append(place)


def _oil(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    """Jetties with tankers, and a tank farm behind."""
    rng = world.rng
    for a in np.arange(a0 + 150, a1 - 140, 330.0):
        world.paint(frame.box(a - 5, a + 5, -5, 120), "quay")
        world.paint(frame.box(a - 60, a + 60, 105, 122), "quay")
        head = frame.child(a, 122)
        _berth(world, head, -145, 145, 0.0, ("tanker",), rng.uniform(0.4, 1.0))
        pipe = frame.to_world(np.stack([np.full(60, a + 3.0), np.linspace(0, 120, 60)], axis=1))
        world.scatter_unevenly(pipe, 1.0, 0.8, 0.7)

    def tanks() -> None:
        radius = float(rng.choice([12.0, 18.0, 26.0, 34.0]))
        b = -30.0 - radius
        while b > -depth - 100 + radius:
            for a in np.arange(a0 + radius + 8, a1 - radius - 5, 2 * radius + rng.uniform(14, 22)):
                if rng.random() < 0.85:
                    x, y = frame.at(a, b)
                    tank(world, x, y, radius * rng.uniform(0.8, 1.0), rng.uniform(12, 20))
            b -= 2 * radius + 16
            if rng.random() < 0.4:
                radius = float(rng.choice([10.0, 14.0, 18.0, 26.0]))

    world.later.append(tanks)


def _bulk(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    """Long quay with bulk carriers, loaders and stockpiles."""
    rng = world.rng
    _berth(world, frame, a0, a1, 0.0, ("bulk carrier", "bulk carrier", "cargo ship"), rng.uniform(0.4, 0.95))
    for a in np.arange(a0 + 80, a1 - 60, 170.0):
        _gantry(world, frame.child(a, -12), 0.8)
    for b in np.arange(-70, -depth, -52.0):
        for a in np.arange(a0 + 30, a1 - 150, 170.0):
            if rng.random() < 0.8:
                heap = frame.box(a, a + 140, b - 15, b + 15)
                world.paint(heap, "quay", 3.0)
                world.solid(heap, 7.0, -9.0, -8.0)
                world.take(heap)
        belt = np.arange(a0 + 10, a1 - 10, 2.0)
        conveyor = np.stack([belt, np.full(len(belt), b + 24)], axis=1)
        world.scatter_unevenly(frame.to_world(conveyor), 4.0, 0.0, 0.8)


def _fishing(world: World, frame: Frame, a0: float, a1: float, depth: float) -> None:
    """Pontoons with many small boats, bows in, and a few sheds."""
    rng = world.rng
    full = rng.uniform(0.35, 0.9)
    for a in np.arange(a0 + 35, min(a1, a0 + 420) - 30, rng.uniform(85, 110)):
        world.paint(frame.box(a - 2, a + 2, -3, 140), "quay")

        def boats(a: float = a) -> None:
            for out in (-1.0, 1.0):
                b = 12.0
                while b < 135:
                    length, width = dimensions(rng, "fishing boat")
                    if rng.random() < full:
                        at = frame.at(a + out * (length / 2 + 4.5), b + width / 2)
                        ship(world, "fishing boat", (length, width), at, frame.heading + 90 - out * 90)
                    b += width + rng.uniform(3, 6)

        world.later.append(boats)
    _warehouses(world, frame, a0, a1, min(depth, 110))


def _breakwater(world: World, frame: Frame, a0: float, a1: float, reach: float) -> None:
    """A rubble mound that leaves the shore, bends, and shelters the quay."""
    rng = world.rng
    end = float(rng.choice([-1, 1]))
    start = a1 + 30 if end > 0 else a0 - 30
    t = np.linspace(0, 1, 40)
    turn = np.clip((t - 0.35) / 0.3, 0, 1)
    a = start - end * np.cumsum(turn) * (a1 - a0) * 0.028
    b = -10 + np.cumsum(1 - turn) / np.sum(1 - turn) * reach
    line = frame.to_world(np.stack([a, b], axis=1))
    world.paint(ribbon(line, 17.0), "quay", 3.0)
    rocks = line[rng.integers(0, len(line), 900)] + rng.normal(0, 5.0, (900, 2))
    world.scatter_unevenly(rocks, 2.0, -0.6, 1.0)
    world.scatter(line[-1:], 8.0, 150.0)


def roadstead(world: World, frame: Frame, count: int, names: tuple[str, ...], arrangement: str) -> None:
    """Ships off the shore: "scattered", in a "row", in a "cluster", or "underway" with wakes."""
    rng = world.rng
    reach = world.size / 2

    def place() -> None:
        # Anchored ships swing into the wind, so that the headings of one roadstead agree.
        wind = rng.uniform(0, 360)
        centre = frame.at(rng.uniform(-0.6, 0.6) * reach, rng.uniform(250, 250 + reach))
        line = rng.uniform(0, 360)
        for i in range(count):
            name = str(rng.choice(names))
            length, width = dimensions(rng, name)
            room = 40 if name == "fishing boat" else length + 60
            for _ in range(12):
                heading = wind + rng.normal(0, 6)
                if arrangement == "row":
                    x, y = Frame(*centre, line).at((i - count / 2) * 1.2 * room, rng.normal(0, 8))
                elif arrangement == "cluster":
                    x, y = np.array(centre) + rng.normal(0, room * max(1.0, count / 5), 2)
                else:
                    x, y = rng.uniform(-world.reach, world.reach, 2)
                    heading = rng.uniform(0, 360) if arrangement == "underway" else heading
                if ship(world, name, (length, width), (float(x), float(y)), heading, arrangement == "underway"):
                    break

    world.later.append(place)
