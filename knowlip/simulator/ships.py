"""Ships as a radar sees them: hull, deck gear and superstructure of five types.

Type decides the pattern: container bays across the deck, a tanker's centreline pipe, a bulk carrier's row of hatches,
a cargo ship's cranes, a fishing boat's single bright blob.
"""

import numpy as np

from knowlip.base.vocabulary import SHIP_TYPES, TargetType
from knowlip.simulator.shapes import Frame, Point, Ring, rectangle
from knowlip.simulator.world import CODE, SceneObject, World

BY_NAME: dict[str, TargetType] = {kind.name: kind for kind in SHIP_TYPES}


def dimensions(rng: np.random.Generator, name: str) -> Point:
    """Length and beam in metres: longer ships are wider, within the type's ranges."""
    kind = BY_NAME[name]
    share = rng.random()
    beam_share = float(np.clip(share + rng.normal(0, 0.12), 0, 1))
    (l0, l1), (w0, w1) = kind.length_m, kind.width_m
    return l0 + share * (l1 - l0), w0 + beam_share * (w1 - w0)


def ship(world: World, name: str, size: Point, at: Point, heading: float, wake: bool = False) -> bool:
    """Place a ship (of a length and beam in metres) if the water there is free; returns whether it floats."""
    (x, y), (length, width) = at, size
    footprint = rectangle(x, y, length, width, heading)
    if not world.fits(footprint, ("water",)):
        return False
    frame = Frame(x, y, heading)
    if wake:
        _wake(world, frame, length, width)
    world.take(rectangle(x, y, length + 6, width + 4, heading))
    _DRAW[name](world, frame, length, width)
    world.things.append(SceneObject("ship", name, x, y, length, width, BY_NAME[name].height_m, heading % 360))
    return True


def _hull(
    world: World, frame: Frame, length: float, width: float, freeboard: float, deck_db: float, side: float
) -> None:
    """Deck prism with a pointed bow, the side's corner line with the water, and a faint deck edge."""
    h, w = length / 2, width / 2
    bow = min(0.18 * length, 1.1 * width)
    right = [(-h, 0.8 * w), (-h + 0.04 * length, w), (h - bow, w), (h - 0.4 * bow, 0.62 * w)]
    ring = frame.to_world(np.array([*((a, -b) for a, b in right), (h, 0.0), *right[::-1]]))
    world.solid(ring, freeboard, deck_db, -6.0)
    world.corner_lines(ring, side)
    along = world.rng.uniform(-h, h - bow, int((2 * h - bow) / max(0.8, world.resolution / 2)))
    for edge in (-0.97 * w, 0.97 * w):
        rail = frame.to_world(np.stack([along, np.full_like(along, edge)], axis=1))
        world.scatter_unevenly(rail, freeboard, -0.9, 1.0)


def _house(world: World, frame: Frame, a0: float, a1: float, width: float, deck: float, top: float) -> None:
    """A superstructure block: walls, bridge wings, mast and the corners where it meets the deck."""
    rng = world.rng
    ring = frame.box(a0, a1, -width / 2, width / 2)
    world.solid(ring, top, -5.0, 3.0)
    n = max(12, int((a1 - a0) * width / 6))
    spots = np.stack([rng.uniform(a0, a1, n), rng.uniform(-0.5, 0.5, n) * width], axis=1)
    world.scatter_unevenly(frame.to_world(spots), rng.uniform(deck, top, n), 1.2, 1.2)
    corners = np.array([[a1, -width / 2], [a1, 0.0], [a1, width / 2], [a0, -width / 2], [a0, width / 2]])
    world.scatter_unevenly(frame.to_world(corners), deck, 4.0, 0.6)
    world.scatter(frame.to_world(np.array([[(a0 + a1) / 2, 0.0]])), top, 80.0)


def _line(rng: np.random.Generator, frame: Frame, a0: float, b0: float, a1: float, b1: float, pitch: float) -> Ring:
    """(N, 2) points from a0, b0 to a1, b1, on average `pitch` metres apart, unevenly as real gear is."""
    n = max(2, int(np.hypot(a1 - a0, b1 - b0) / pitch) + 1)
    share = (np.arange(n) + rng.uniform(0, 1, n)) / n
    return frame.to_world(np.stack([a0 + share * (a1 - a0), b0 + share * (b1 - b0)], axis=1))


def _container_ship(world: World, frame: Frame, length: float, width: float) -> None:
    rng = world.rng
    deck = 5.0 + 0.012 * length
    _hull(world, frame, length, width, deck, -9.0, 4.0)
    house = -length / 2 + (0.2 if length < 260 else rng.uniform(0.3, 0.42)) * length
    _house(world, frame, house, house + 13.0, 0.92 * width, deck, deck + 17.0)
    a, full, tiers = -length / 2 + 0.05 * length, rng.uniform(0.55, 1.0), 3
    while a + 12.5 < length / 2 - 0.1 * length:
        if a + 12.5 < house - 1.5 or a > house + 14.5:
            taper = min(1.0, (length / 2 - a) / (0.22 * length))
            half = 0.46 * width * taper
            tiers = int(np.clip(tiers + rng.integers(-1, 2), 1, 4)) if rng.random() < full else int(rng.integers(0, 2))
            if tiers:
                top = deck + 2.6 * tiers
                world.solid(frame.box(a, a + 12.2, -half, half), top, -8.0, -3.0)
                rows = np.arange(-half, half + 1e-6, 2.5)
                for end in (a, a + 12.2):
                    line = frame.to_world(np.stack([np.full_like(rows, end), rows], axis=1))
                    world.scatter_unevenly(line, top, 2.3, 0.7)
                    world.scatter_unevenly(line, deck, 2.8, 0.7)
        a += 14.6


def _tanker(world: World, frame: Frame, length: float, width: float) -> None:
    rng = world.rng
    deck = 4.0 + 0.01 * length
    _hull(world, frame, length, width, deck, -13.0, 3.5)
    aft = -length / 2
    _house(world, frame, aft + 0.05 * length, aft + 0.05 * length + 0.09 * length, 0.85 * width, deck, deck + 13.0)
    funnel = frame.box(aft + 0.02 * length, aft + 0.045 * length, -0.15 * width, 0.15 * width)
    world.solid(funnel, deck + 14.0, -5.0, 2.0)
    for b, strength in ((0.0, 2.2), (-0.05 * width, 1.6), (0.05 * width, 1.6)):
        pipe = _line(rng, frame, aft + 0.16 * length, b, length / 2 - 0.09 * length, b, 1.5)
        world.scatter_unevenly(pipe, deck + 1.2, strength, 0.5)
    manifold = _line(rng, frame, 0.02 * length, -0.42 * width, 0.02 * length, 0.42 * width, 1.5)
    world.scatter_unevenly(manifold, deck + 1.5, 2.8, 0.6)
    derricks = np.array([[0.035 * length, -0.22 * width], [0.035 * length, 0.22 * width]])
    world.scatter(frame.to_world(derricks), deck + 6.0, 60.0)
    for a in np.arange(aft + 0.24 * length, length / 2 - 0.15 * length, 0.085 * length):
        world.scatter_unevenly(_line(rng, frame, a, -0.4 * width, a, 0.4 * width, 2.5), deck, -0.4, 0.7)
    windlass = np.array([[0.45 * length, -0.1 * width], [0.45 * length, 0.1 * width]])
    world.scatter(frame.to_world(windlass), deck + 1.0, 40.0)


def _bulk_carrier(world: World, frame: Frame, length: float, width: float) -> None:
    rng = world.rng
    deck = 4.0 + 0.012 * length
    _hull(world, frame, length, width, deck, -10.0, 3.5)
    aft = -length / 2
    _house(world, frame, aft + 0.04 * length, aft + 0.12 * length, 0.85 * width, deck, deck + 12.0)
    holds = round(length / 26.0)
    start, end = aft + 0.16 * length, length / 2 - 0.1 * length
    pitch = (end - start) / holds
    for i in range(holds):
        a0, a1, half = start + (i + 0.18) * pitch, start + (i + 0.82) * pitch, 0.3 * width
        world.solid(frame.box(a0, a1, -half, half), deck + 2.2, -15.0, 0.0)
        ends = (a0, -half, a0, half), (a1, -half, a1, half), (a0, -half, a1, -half), (a0, half, a1, half)
        for edge in [_line(rng, frame, *end, 1.2) for end in ends]:
            world.scatter_unevenly(edge, deck + 0.5, 1.5, 0.6)
        corners = np.array([[a0, -half], [a0, half], [a1, -half], [a1, half]])
        world.scatter(frame.to_world(corners), deck + 0.5, 35.0)


def _cargo_ship(world: World, frame: Frame, length: float, width: float) -> None:
    rng = world.rng
    deck = 4.5
    _hull(world, frame, length, width, deck, -9.0, 2.5)
    aft = -length / 2
    _house(world, frame, aft + 0.05 * length, aft + 0.2 * length, 0.85 * width, deck, deck + 9.0)
    start, end = aft + 0.24 * length, length / 2 - 0.12 * length
    for a0, a1 in ((start, start + 0.46 * (end - start)), (start + 0.54 * (end - start), end)):
        half = 0.33 * width
        world.solid(frame.box(a0, a1, -half, half), deck + 1.8, -12.0, 0.0)
        for b in (-half, half):
            world.scatter_unevenly(_line(rng, frame, a0, b, a1, b, 1.2), deck + 0.5, 0.8, 0.6)
    side = rng.choice([-1, 1]) * 0.4 * width
    for a in (start - 0.02 * length, (start + end) / 2, end + 0.01 * length)[: int(rng.integers(2, 4))]:
        post = frame.to_world(np.array([[a, side], [a, 0.0]]))
        world.scatter(post, np.array([deck, deck + 7.0]), np.array([300.0, 90.0]))
        world.scatter_unevenly(_line(rng, frame, a, side, a + 0.13 * length, 0.3 * side, 0.6), deck + 7.0, 1.8, 0.6)


def _fishing_boat(world: World, frame: Frame, length: float, width: float) -> None:
    rng = world.rng
    _hull(world, frame, length, width, 2.0, -8.0, 1.0)
    house = rng.choice([-0.22, 0.12]) * length
    world.solid(frame.box(house - 0.1 * length, house + 0.1 * length, -0.32 * width, 0.32 * width), 4.5, -3.0, 2.0)
    n = int(rng.integers(8, 16))
    spots = np.stack([house + rng.normal(0, 0.1, n) * length, rng.uniform(-0.35, 0.35, n) * width], axis=1)
    world.scatter_unevenly(frame.to_world(spots), rng.uniform(1.5, 4.5, n), 2.2, 0.9)
    world.scatter(frame.to_world(np.array([[house, 0.0], [-0.42 * length, 0.0]])), 3.0, np.array([90.0, 30.0]))


def _wake(world: World, frame: Frame, length: float, width: float) -> None:
    """Dark turbulent wake astern with brighter edges, where it stays on open water."""
    reach = length * world.rng.uniform(1.2, 3.0)
    h, w = length / 2, width / 2
    middle = np.array([[-h, -0.7 * w], [-h - reach, -1.6 * w], [-h - reach, 1.6 * w], [-h, 0.7 * w]])
    track = frame.to_world(np.stack([np.linspace(-h, -h - reach, 40), np.zeros(40)], axis=1))
    room = frame.to_world(middle * np.array([1.0, 1.3]))
    if (world.cover_at(track) != CODE["water"]).any() or not world.fits(room, ("water",)):
        return
    world.paint(frame.to_world(middle), "water", world.sea_db - 2.5)
    for side in (-1, 1):
        end = -h - 0.6 * reach
        edge = np.array([[-h, side * w], [end, side * 4.0 * w], [end, side * 4.5 * w], [-h, side * 1.3 * w]])
        world.paint(frame.to_world(edge), "water", world.sea_db + 1.5)


_DRAW = {
    "container ship": _container_ship,
    "tanker": _tanker,
    "bulk carrier": _bulk_carrier,
    "cargo ship": _cargo_ship,
    "fishing boat": _fishing_boat,
}
