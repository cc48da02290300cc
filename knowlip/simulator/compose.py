"""Themes: what a world holds and where, before anything is drawn."""

import numpy as np

from knowlip.simulator import ground
from knowlip.simulator.airport import airport
from knowlip.simulator.port import BIG, coast, harbour, roadstead
from knowlip.simulator.shapes import Frame, somewhere
from knowlip.simulator.town import STYLES, town
from knowlip.simulator.world import World

THEMES: tuple[str, ...] = ("port", "airport", "town", "rural")


def compose(world: World, theme: str) -> None:
    """Lay out a world of a theme (one of `THEMES`), neighbours of other themes included, and place all objects."""
    {"port": _port, "airport": _airport, "town": _town, "rural": _rural}[theme](world)
    for place in world.later:
        place()
    world.later.clear()
    ground.lone_trees(world, int(world.size**2 / 40_000))
    ground.bits_and_pieces(world)


def _countryside(world: World, wooded: float, woods: int) -> None:
    ground.fields(world, wooded)
    ground.tramlines(world)
    ground.woods(world, int(woods * (world.size / 1000) ** 1.3) + 1)


def _village(world: World, x: float, y: float, radius: float) -> None:
    frame = Frame(x, y, world.rng.uniform(0, 180))
    town(world, frame, -radius, radius, -radius * 0.8, radius * 0.8, "village", ragged=0.35)


def _port(world: World) -> None:
    rng, half = world.rng, world.size / 2
    _countryside(world, 0.08, 2)
    heading = rng.uniform(0, 360)
    frame = Frame(0, 0, heading).child(0, rng.uniform(-0.35, 0.3) * half)  # the shore passes near the centre
    inland = frame.child(rng.uniform(-0.3, 0.3) * half, -rng.uniform(430, 520), rng.uniform(-25, 25))
    extent = rng.uniform(0.5, 1.1) * half
    style = str(rng.choice(["suburb", "old town", "new town"]))
    town(world, inland, -extent, extent, -min(900.0, extent * 1.2), 0, style)
    coast(world, frame)
    ground.country_roads(world, 2)
    modules = list(rng.permutation(["container", "general", "oil", "bulk", "fishing"]))
    a = -half * rng.uniform(0.75, 1.05)
    for kind in modules[: 2 if world.size < 1500 else int(rng.integers(3, 6))]:
        shortest, longest = {"container": (500, 900), "fishing": (220, 380)}.get(str(kind), (360, 700))
        length = rng.uniform(shortest, longest)
        length = min(length, max(330.0, 0.95 * world.size / 2))
        harbour(world, frame, a, a + length, str(kind))
        a += length + rng.uniform(60, 380 if world.size > 1500 else 120)
    area = (world.size / 1000) ** 2
    for arrangement in rng.permutation(["scattered", "row", "cluster", "underway"])[: int(rng.integers(2, 4))]:
        names = ("fishing boat",) if rng.random() < 0.35 else tuple(rng.permutation(BIG)[: int(rng.integers(1, 4))])
        count = int(rng.integers(2, 5) * (0.6 + 0.35 * area))
        roadstead(world, frame, count, names, str(arrangement))


def _airport(world: World) -> None:
    rng, half = world.rng, world.size / 2
    _countryside(world, 0.1, 2)
    heading, side = rng.uniform(0, 360), float(rng.choice([-1.0, 1.0]))
    offset = 270.0 if world.size < 1500 else rng.uniform(0.0, 0.25) * half + 270.0
    frame = Frame(0, 0, heading).child(rng.normal(0, 0.08) * half, -side * offset)
    if world.size > 1500:
        landside = frame.child(rng.uniform(-0.4, 0.4) * half, side * rng.uniform(1000, 1150), rng.uniform(-20, 20))
        extent = rng.uniform(0.35, 0.7) * half
        style = str(rng.choice(["suburb", "industry", "new town"]))
        town(world, landside, -extent, extent, -0.6 * extent, 0.6 * extent, style)
        for _ in range(2):
            _village(world, *somewhere(rng, half), rng.uniform(150, 260))
        if rng.random() < 0.5:
            ground.lake(world, *somewhere(rng, half), rng.uniform(100, 260))
    ground.farms(world, int(world.size**2 / 500_000))
    ground.country_roads(world, 2 if world.size < 1500 else 4)
    airport(world, frame, side)


def _town(world: World) -> None:
    rng, half = world.rng, world.size / 2
    _countryside(world, 0.1, 2)
    heading = rng.uniform(0, 90)
    styles = list(rng.permutation([s for s in STYLES if s != "village"]))
    quarter = Frame(*somewhere(rng, 0.25 * half), heading)
    extent = rng.uniform(0.65, 0.9) * half
    streets = town(world, quarter, -extent, extent, -extent * 0.8, extent * 0.8, str(styles[0]))
    for style in styles[1:3]:
        side = rng.uniform(0, 2 * np.pi)
        middle = quarter.child(0.75 * half * np.cos(side), 0.75 * half * np.sin(side), rng.uniform(-40, 40))
        reach = rng.uniform(0.35, 0.55) * half
        town(world, middle, -reach, reach, -reach * 0.7, reach * 0.7, str(style))
    if rng.random() < 0.8:
        width = rng.uniform(30, 90) if world.size > 1500 else rng.uniform(25, 60)
        ground.river(world, rng.uniform(0, 360), width, *somewhere(rng, 0.3 * half))
        for i in rng.permutation(len(streets))[: 2 if world.size < 1500 else 4]:
            ground.road(world, streets[i], 12.0, 0.02, through_town=True)
    ground.country_roads(world, 3 if world.size < 1500 else 5)
    ground.farms(world, int(world.size**2 / 900_000))


def _rural(world: World) -> None:
    rng, half = world.rng, world.size / 2
    _countryside(world, rng.uniform(0.04, 0.35), int(rng.integers(2, 7)))
    for _ in range(1 if world.size < 1500 else int(rng.integers(2, 6))):
        _village(world, *somewhere(rng, 0.85 * half), rng.uniform(110, 260))
    if rng.random() < 0.6:
        ground.river(world, rng.uniform(0, 360), rng.uniform(18, 70), *somewhere(rng, 0.4 * half))
    for _ in range(int(rng.integers(0, 3))):
        radius = rng.uniform(60, 320) * min(1.0, world.size / 2000)
        x, y = somewhere(rng, 0.8 * half)
        ground.lake(world, x, y, radius)
        if radius > 110 and rng.random() < 0.6:
            shore = Frame(x, y, rng.uniform(0, 360)).child(0, -250)
            roadstead(world, shore, int(rng.integers(2, 8)), ("fishing boat",), "cluster")
    ground.country_roads(world, 2 if world.size < 1500 else 5)
    ground.farms(world, int(world.size**2 / 220_000))
