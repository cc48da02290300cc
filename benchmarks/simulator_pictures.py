"""Pictures for the documentation: `python -m benchmarks.simulator_pictures docs/images`."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from knowlip.base.progress import say, track
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.simulator import aircraft, ships
from knowlip.simulator.compose import compose
from knowlip.simulator.radar import image
from knowlip.simulator.sensors import SENSORS
from knowlip.simulator.stage import generator
from knowlip.simulator.world import World

SHOTS: tuple[tuple[str, str, str, float, int], ...] = (
    # file, theme, sensor, side of the world in metres, pixels averaged (in power) per picture pixel
    ("sim-port-ku", "port", "sim-ku", 768.0, 8),
    ("sim-airport-ku", "airport", "sim-ku", 768.0, 8),
    ("sim-town-c", "town", "sim-c", 960.0, 2),
    ("sim-rural-c", "rural", "sim-c", 1440.0, 3),
    ("sim-port-x", "port", "sim-x", 2880.0, 2),
    ("sim-airport-x", "airport", "sim-x", 2880.0, 2),
)


def picture(amplitude: NDArray[np.float32], average: int = 1) -> Picture.Image:
    """8-bit picture of an (H, W) amplitude: power averaged, then dB between the 0.5 and 99.7 percentiles."""
    height, width = (side // average for side in amplitude.shape)
    power = amplitude[: height * average, : width * average].astype(np.float64) ** 2
    power = power.reshape(height, average, width, average).mean(axis=(1, 3))
    db = 10 * np.log10(np.maximum(power, 1e-9))
    low, high = np.percentile(db, [0.5, 99.7])
    return Picture.fromarray(np.uint8(np.clip((db - low) / (high - low), 0, 1) * 255))


def parade(category: str, sensor: str = "sim-ku") -> Picture.Image:
    """All types of a category side by side, each in a square of its own scale."""
    panels = []
    kinds = SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES
    for i, kind in enumerate(kinds):
        module = ships if category == "ship" else aircraft
        rng = generator(3, category, kind.name)
        length, width = module.dimensions(rng, kind.name)
        size = np.ceil(1.25 * max(length, width) / 10) * 10
        world = World(float(size), SENSORS[sensor].resolution_m, 60.0, 42.0, rng)
        ground = "water" if category == "ship" else "apron"
        world.paint(world.frame(0).box(-world.reach, world.reach, -world.reach, world.reach), ground)
        if category == "ship":
            ships.ship(world, kind.name, (length, width), (0.0, 0.0), 30.0 + 12 * i)
        else:
            aircraft.aircraft(world, kind.name, (0.0, 0.0), 20.0 + 15 * i, size=(length, width))
        drawn = image(world, SENSORS[sensor], generator(3, "image", kind.name)).amplitude
        panel = picture(drawn, max(1, drawn.shape[0] // 220)).resize((220, 220), Picture.Resampling.LANCZOS)
        panels.append(np.asarray(panel))
    return Picture.fromarray(np.concatenate(panels, axis=1))


def main(folder: Path, seed: int = 5) -> None:
    """Draw all pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, theme, sensor, size, average in track(SHOTS, "draw pictures"):
        rng = generator(seed, name)
        world = World(size, SENSORS[sensor].resolution_m, float(rng.uniform(0, 360)), float(rng.uniform(35, 48)), rng)
        compose(world, theme)
        drawn = image(world, SENSORS[sensor], generator(seed, name, "image"))
        picture(drawn.amplitude, average).save(folder / f"{name}.png", optimize=True)
    parade("ship").save(folder / "sim-ships.png", optimize=True)
    parade("aircraft").save(folder / "sim-aircraft.png", optimize=True)
    say(f"Pictures are in {folder}.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder for the pictures: python -m benchmarks.simulator_pictures docs/images")
    main(Path(sys.argv[1]))
