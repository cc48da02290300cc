"""The `simulate` stage: plan scenes around real cities, draw them in worker processes, write what is missing."""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.progress import track
from knowlip.jobs.run import runner
from knowlip.jobs.work import Processes, Work
from knowlip.simulator.cities import CITIES, City
from knowlip.simulator.sensors import SENSORS

VERSION = 2
"""Of the simulated world: scenes of another version are drawn again."""


@dataclass
class SimulateConfig:
    """What to simulate and where to put it."""

    out: Path
    """Folder for the scenes."""
    cities: int = 12
    """How many of the 135 built-in cities; one gives about 190 tiles at the sizes of the demo."""
    first_city: int = 0
    """How many of the built-in cities to pass over before the first, so that two sets can share no city."""
    sensors: Sequence[str] = tuple(SENSORS)
    """Names of sensors: sim-ku, sim-c, sim-x."""
    themes: Sequence[str] = ("port", "airport", "town", "port", "airport", "rural")
    """Themes in turn, each sensor two further on; inland cities skip the port."""
    scene_size_m: dict[str, float] = field(default_factory=lambda: {s.name: s.scene_size_m for s in SENSORS.values()})
    """Side of a scene in metres for each sensor."""
    seed: int = 0
    """Same config and seed, same bytes."""
    workers: int = 2
    """Processes; 1 draws in this process."""

    def __post_init__(self) -> None:
        # All before the first scene: a name that does not exist must not be found after an hour of drawing.
        from knowlip.simulator.compose import THEMES

        # A scene's side must hold whole pixels of the radar and of the cover raster, which are compared one by one.
        if not 0 <= self.first_city < len(CITIES):
            raise ValueError(f"first_city is {self.first_city}: give a number from 0 to {len(CITIES) - 1}.")
        if not 1 <= self.cities <= len(CITIES) - self.first_city:
            left = len(CITIES) - self.first_city
            raise ValueError(f"cities is {self.cities}: give a number from 1 to {left}.")
        if not self.sensors:
            raise ValueError(f"No sensors are given: choose from {', '.join(SENSORS)}.")
        for name in self.sensors:
            if name not in SENSORS:
                raise ValueError(f"Unknown sensor {name!r}: choose from {', '.join(SENSORS)}.")
            size = self.scene_size_m.get(name, SENSORS[name].scene_size_m)
            if not 64.0 <= size <= 8192.0:
                raise ValueError(f"scene_size_m of {name} is {size:g}: give 64 to 8192 metres.")
            pixels = size / (SENSORS[name].resolution_m * SENSORS[name].cover_factor)
            if abs(pixels - round(pixels)) > 1e-6:
                step = SENSORS[name].resolution_m * SENSORS[name].cover_factor
                raise ValueError(f"scene_size_m of {name} is {size:g}: give a multiple of {step:g} metres.")
        for name in self.scene_size_m:
            if name not in SENSORS:
                raise ValueError(f"scene_size_m names an unknown sensor {name!r}: choose from {', '.join(SENSORS)}.")
        if not self.themes:
            raise ValueError(f"No themes are given: choose from {', '.join(THEMES)}.")
        for name in self.themes:
            if name not in THEMES:
                raise ValueError(f"Unknown theme {name!r}: choose from {', '.join(THEMES)}.")
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}: give 1 or more.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: give 0 or more.")


@dataclass(frozen=True)
class DrawJob:
    """One scene to draw."""

    out: Path
    scene: dict[str, Any]


def simulate(config: SimulateConfig) -> dict[str, Any]:
    """Write simulated scenes with truth, see docs/simulator.md for files and formulas.

    Scenes that are already there with the same parameters are kept.

    Returns:
        `scenes` (number), `drawn` (how many were not there yet), `paths` (of the images, as strings), `seconds`.

    Raises:
        ValueError: for a config that cannot work or a folder that cannot be written.
    """
    started = time.monotonic()
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot create the folder {config.out}: {error.strerror}.") from error
    jobs = plan(config)
    # Large scenes first, so that no worker is left alone with one at the end.
    order = sorted(jobs, key=lambda job: -(job.scene["size_m"] / job.scene["resolution_m"]))
    with runner(Drawing(), Processes(config.workers)) as run:
        drawn = sum(new for _, new in track(run(order), "simulate scenes", total=len(order)))
    return {
        "scenes": len(jobs),
        "drawn": drawn,
        "paths": [str(job.out / f"{job.scene['name']}.tif") for job in jobs],
        "seconds": round(time.monotonic() - started, 2),
    }


def plan(config: SimulateConfig) -> list[DrawJob]:
    """The scenes of a config in order: for each city all sensors, themes in turn."""
    jobs = []
    # Coastal and inland cities take turns on their own, so that either kind meets all its themes; a scene has a
    # generator of its own and is the same whatever other sensors and cities are drawn with it.
    inland = [theme for theme in config.themes if theme != "port"] or ["rural"]
    seen = {True: 0, False: 0}
    for city in CITIES[config.first_city : config.first_city + config.cities]:
        coastal = city.port is not None
        themes = config.themes if coastal else inland
        turn = seen[coastal]
        seen[coastal] += 1
        for name in config.sensors:
            sensor = SENSORS[name]
            theme = themes[(turn + 2 * list(SENSORS).index(name)) % len(themes)]
            rng = generator(config.seed, city.name, name, "plan")
            lon, lat = _place(city, theme, rng)
            scene = {
                "name": f"{city.name}-{sensor.name.removeprefix('sim-')}",
                "seed": config.seed,
                "theme": theme,
                "city": city.name,
                "lon": lon,
                "lat": lat,
                "sensor": sensor.name,
                "resolution_m": sensor.resolution_m,
                "looks": sensor.looks,
                "incidence_deg": round(float(rng.uniform(32.0, 52.0)), 2),
                "look_azimuth_deg": round(float(rng.uniform(0.0, 360.0)), 2),
                "size_m": float(config.scene_size_m.get(name, sensor.scene_size_m)),
                "version": VERSION,
            }
            jobs.append(DrawJob(config.out, scene))
    return jobs


def _place(city: City, theme: str, rng: np.random.Generator) -> tuple[float, float]:
    """Longitude and latitude some kilometres off the city's port, airport or centre, whichever suits the theme."""
    anchor = {"port": city.port or city.centre, "airport": city.airport}.get(theme, city.centre)
    near, far = (8.0, 14.0) if theme == "rural" else (0.5, 2.5) if theme in ("port", "airport") else (2.0, 5.0)
    bearing, km = rng.uniform(0, 2 * np.pi), rng.uniform(near, far)
    lat = anchor[1] + km / 111.2 * np.cos(bearing)
    lon = anchor[0] + km / 111.2 * np.sin(bearing) / np.cos(np.deg2rad(lat))
    return round(float(lon), 5), round(float(lat), 5)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator of its own for each seed and names."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


class Drawing(Work[DrawJob, bool]):
    """A scene is an item; its result is whether it was drawn, or there already."""

    def open(self, number: int) -> Callable[[DrawJob], bool]:
        """Nothing to read."""
        return _draw

    def name(self, item: DrawJob) -> str:
        """Of the scene."""
        return f"scene {item.scene['name']}"


def _draw(job: DrawJob) -> bool:
    """Draw and write one scene unless it is there."""
    from knowlip.simulator.compose import compose
    from knowlip.simulator.output import UtmGrid, files, finished, write_scene
    from knowlip.simulator.radar import image
    from knowlip.simulator.world import World

    scene = job.scene
    paths = files(job.out, scene["name"])
    if finished(paths, scene):
        return False
    sensor = SENSORS[scene["sensor"]]
    rng = generator(scene["seed"], scene["name"], "world")
    world = World(scene["size_m"], sensor.resolution_m, scene["look_azimuth_deg"], scene["incidence_deg"], rng)
    compose(world, scene["theme"])
    drawn = image(world, sensor, generator(scene["seed"], scene["name"], "image"))
    write_scene(paths, scene, world, drawn, sensor, UtmGrid.around(scene["lon"], scene["lat"]))
    return True
