"""Airports: runway, taxiways, aprons with aircraft in rows, terminal, hangars, grass between."""

from functools import partial

import numpy as np

from knowlip.simulator.aircraft import aircraft, dimensions
from knowlip.simulator.buildings import building
from knowlip.simulator.shapes import Frame, Point, ribbon
from knowlip.simulator.town import car_park
from knowlip.simulator.world import World

AIRLINE = ("wide-body airliner", "narrow-body airliner", "regional turboprop")
TAXIWAY_B = 175.0
APRON_B = 215.0


def airport(world: World, frame: Frame, side: float) -> None:
    """Lay out an airport along `frame`: runway at b = 0, everything else on the `side` (+1 or -1) of b.

    The aprons lie around a = 0.
    """
    rng = world.rng
    length, width = rng.uniform(2400, 3600), rng.uniform(45, 60)
    shift = rng.uniform(-500, 500)
    a0, a1 = shift - length / 2, shift + length / 2

    def box(p0: float, p1: float, q0: float, q1: float) -> np.ndarray:
        return frame.box(p0, p1, *sorted((side * q0, side * q1)))

    depth = rng.uniform(130, 190)
    world.paint(box(a0 - 250, a1 + 250, -170, APRON_B + depth + 30), "grass", rng.normal(0, 1))
    world.paint(box(a0, a1, -width / 2, width / 2), "runway")
    world.paint(box(a0, a1, TAXIWAY_B - 12, TAXIWAY_B + 12), "apron", -2.0)
    slant = rng.choice([0.0, 90.0])
    for a in np.linspace(a0 + 14, a1 - 14, int(length / rng.uniform(380, 620)) + 1):
        shear = slant if a0 + 20 < a < a1 - 20 else 0.0
        line = np.array([[a, 0.0], [a + shear, side * TAXIWAY_B]])
        world.paint(ribbon(frame.to_world(np.linspace(line[0], line[1], 5)), 23.0), "apron", -2.0)
    if rng.random() < 0.3:  # a second, crossing runway
        cross = frame.child(shift + rng.uniform(-0.3, 0.3) * length, side * -60, rng.uniform(40, 80))
        world.paint(cross.box(-1100, 1100, -80, 80), "grass")
        world.paint(cross.box(-1000, 1000, -22, 22), "runway")
        world.paint(box(a0, a1, -width / 2, width / 2), "runway")
    lights = np.arange(a0, a1, 60.0)
    for b in (-width / 2 - 2, width / 2 + 2):
        world.scatter(frame.to_world(np.stack([lights, np.full_like(lights, b)], axis=1)), 0.4, 1.2)
    start = -rng.uniform(150, 420) * (1.0 if world.size > 1500 else 0.6)
    plans = list(rng.permutation(["terminal", "remote", "general", "military", "cargo"]))
    plans = ["terminal", *[p for p in plans if p != "terminal"]][: int(rng.integers(2, 5))]
    if rng.random() < 0.2:
        plans = ["military", "general"]
    for plan in rng.permutation(plans):
        extent = float(rng.uniform(240, 460) if plan in ("terminal", "remote", "cargo") else rng.uniform(150, 300))
        _apron(world, frame, side, start, start + extent, depth, str(plan))
        start += extent + rng.uniform(30, 160)
    _moving(world, frame, side, a0, a1)


def _apron(world: World, frame: Frame, side: float, a0: float, a1: float, depth: float, plan: str) -> None:
    rng = world.rng
    b1 = APRON_B + depth
    world.paint(frame.box(a0, a1, *sorted((side * APRON_B, side * b1))), "apron", rng.normal(0, 0.7))
    for a in (a0 + 20, a1 - 20):
        world.paint(frame.box(a - 12, a + 12, *sorted((side * TAXIWAY_B, side * (APRON_B + 5)))), "apron", -2.0)
    landside = frame.box(a0 - 10, a1 + 10, *sorted((side * b1, side * (b1 + 150))))
    world.paint(landside, "built-up", -2.0)
    inward = frame.heading + (90.0 if side > 0 else -90.0)  # nose towards the buildings
    row = partial(_row, world, frame, (a0, a1), side)

    def place() -> None:
        # Buildings take the landside and aircraft stand where room is left. What is parked follows from what the apron
        # is for, so that a type is no sign of a sensor or a city.
        middle = (a0 + a1) / 2
        if plan == "terminal":
            size = (a1 - a0) * 0.85, 40, rng.uniform(14, 22)
            building(world, frame.at(middle, side * (b1 + 24)), size, frame.heading, "terminal")
            near, far = sorted((side * (b1 + 60), side * (b1 + 140)))
            car_park(world, frame, a0, a1, near, far, 0.7)
            kind, full = str(rng.choice(AIRLINE[:2])), rng.uniform(0.45, 0.95)
            row(b1 - 6, inward, kind, full, 0.25)
        elif plan in ("remote", "cargo"):
            turn = float(rng.choice([0.0, 45.0, 180.0]))
            kind = str(rng.choice(AIRLINE)) if plan == "remote" else "wide-body airliner"
            row(b1 - 12, inward + turn, kind, rng.uniform(0.2, 0.95), 0.15)
            if rng.random() < 0.6:
                row(b1 - 88, inward + turn, kind, rng.uniform(0.2, 0.95), 0.15)
            size = (a1 - a0) * 0.6, 50, rng.uniform(10, 15)
            building(world, frame.at(middle, side * (b1 + 30)), size, frame.heading, "cargo hall")
        else:
            kinds = ("business jet", "regional turboprop") if plan == "general" else ("fighter",)
            turn = float(rng.choice([0.0, 0.0, 30.0, 180.0]))
            full = rng.uniform(0.3, 0.95)
            for b in np.arange(b1 - 8, APRON_B + 25, -36.0)[: int(rng.integers(1, 4))]:
                kind = kinds[0] if rng.random() < 0.75 else kinds[-1]
                row(b, inward + turn, kind, full, 0.1)
            for a in np.arange(a0 + 30, a1 - 25, 58.0):
                if rng.random() < 0.75:
                    size = 46, 38, rng.uniform(10, 14)
                    building(world, frame.at(a, side * (b1 + 24)), size, frame.heading, "hangar")

    world.later.append(place)


def _row(
    world: World, frame: Frame, ends: Point, side: float, b: float, heading: float, kind: str, full: float, mixed: float
) -> None:
    """Aircraft side by side between `ends`, noses `b` from the runway, a share `full` of the stands taken."""
    (a0, a1), rng = ends, world.rng
    same = (kind, dimensions(rng, kind))
    a = a0 + 8.0
    while a < a1 - 14:
        name, size = same
        if rng.random() < mixed:
            name = str(rng.choice(AIRLINE if kind in AIRLINE else ("business jet", "regional turboprop", "fighter")))
            size = dimensions(rng, name)
        pitch = size[1] + 7.0
        if rng.random() < full:
            at = frame.at(a + pitch / 2, side * (b - max(size) / 2))
            aircraft(world, name, at, heading + rng.normal(0, 0.7), size=size)
        a += pitch


def _moving(world: World, frame: Frame, side: float, a0: float, a1: float) -> None:
    """Aircraft on runway and taxiway."""
    rng = world.rng

    def place() -> None:
        way = float(rng.choice([0.0, 180.0]))
        for _ in range(int(rng.integers(0, 3))):
            at = frame.at(rng.uniform(a0 + 60, a1 - 60), rng.normal(0, 1.5))
            aircraft(world, str(rng.choice(AIRLINE)), at, frame.heading + way, ("runway", "apron", "grass"))
        for _ in range(int(rng.integers(0, 5))):
            at = frame.at(rng.uniform(a0 + 60, a1 - 60), side * TAXIWAY_B)
            kind = str(rng.choice((*AIRLINE, "business jet")))
            aircraft(world, kind, at, frame.heading + 180 - way, ("apron", "grass"))

    world.later.append(place)
