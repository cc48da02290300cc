"""What `knowlip search --changed` finds, and what it takes for a change that is none: ships that leave simulated ports.

    python -m benchmarks.changes [--places 12] [--model FOLDER] [--work DIR]

Ports of 1,536 m at 3 m a pixel, seen on two days with speckle drawn anew. On the second day the ships are gone from
every second column of windows (their boxes hold pixels of open water); all other windows are unchanged but for speckle.
Measured on the windows: how well the distance of vectors, and the probability that the answers to "How many ships are
visible?" differ, tell windows that lost ships from unchanged ones (AUROC; chance 0.5), how many of either lie above the
noise that the search measures itself (of unchanged ones 5 % if its noise were that of new speckle), and how often the
answer is another one.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from skimage.draw import polygon

from benchmarks.record import record
from knowlip.base.progress import track
from knowlip.base.statistics import auroc
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.archive.changes import ChangedPlace, compared_pairs
from knowlip.inference.settings import SearchConfig
from knowlip.simulator import SimulateConfig
from knowlip.simulator.compose import compose
from knowlip.simulator.output import UtmGrid, files, write_scene
from knowlip.simulator.radar import image
from knowlip.simulator.sensors import SENSORS
from knowlip.simulator.stage import generator, plan
from knowlip.simulator.world import World

RESULT: Final = Path(__file__).parent / "results" / "changes.json"
QUESTION: Final = "How many ships are visible?"
SIDE_M: Final = 1536.0
WINDOW_PX: Final = 256
_MARGIN_M: Final = 15.0
_SEED: Final = 191


def draw_place(out: Path, scene: dict[str, Any]) -> dict[str, int]:
    """Draw a place on two days. Returns window ("0x1") -> ships whose middle it held and that left it."""
    sensor = SENSORS[scene["sensor"]]
    rng = generator(scene["seed"], scene["name"], "world")
    world = World(scene["size_m"], sensor.resolution_m, scene["look_azimuth_deg"], scene["incidence_deg"], rng)
    compose(world, scene["theme"])
    gone: dict[str, int] = {}
    for day in ("20250101", "20250601"):
        drawn = image(world, sensor, generator(scene["seed"], scene["name"], day))
        paths = files(out, f"{scene['name']}_{day}")
        write_scene(paths, scene, world, drawn, sensor, UtmGrid.around(scene["lon"], scene["lat"]))
        with rasterio.open(paths["image"], "r+") as raster, rasterio.open(paths["landcover"]) as cover:
            raster.update_tags(KNOWLIP_DATE=f"{day[:4]}-{day[4:6]}-{day[6:]}")
            if day == "20250601":
                pixels = raster.read(1)
                gone = _without_ships(pixels, cover.read(1), world, sensor.resolution_m)
                raster.write(pixels, 1)
        for name in ("landcover", "truth"):
            paths[name].unlink()
    return gone


def _without_ships(pixels: np.ndarray, cover: np.ndarray, world: World, metres: float) -> dict[str, int]:
    """Put open water in the place of the ships of every second column of windows."""
    ships = [thing for thing in world.things if thing.category == "ship"]
    masks, half = [], world.size / 2
    for ship in ships:
        middle = ship.ring.mean(0)
        away = ship.ring - middle
        ring = middle + away * (1 + _MARGIN_M / np.linalg.norm(away, axis=1, keepdims=True))
        masks.append(polygon((half - ring[:, 1]) / metres, (ring[:, 0] + half) / metres, pixels.shape))
    water = cover == 1
    for rows, columns in masks:
        water[rows, columns] = False
    sea, rng, gone = pixels[water], np.random.default_rng(0), dict[str, int]()
    for ship, (rows, columns) in zip(ships, masks):
        x, y = ship.ring.mean(0)
        column, row = int((x + half) / metres) // WINDOW_PX, int((half - y) / metres) // WINDOW_PX
        if column % 2 == 0 and len(sea):
            inside = columns // WINDOW_PX % 2 == 0  # what reaches into an unchanged window stays
            pixels[rows[inside], columns[inside]] = rng.choice(sea, int(inside.sum()))
            gone[f"{row}x{column}"] = gone.get(f"{row}x{column}", 0) + 1
    return gone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=12)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    started = time.process_time()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        out = Path(folder) / "scenes"
        out.mkdir()
        jobs = plan(SimulateConfig(out, 60, 60, ("sim-x",), ("port",), {"sim-x": SIDE_M}, _SEED))
        # Inland cities have no port.
        ports = [job.scene for job in jobs if job.scene["theme"] == "port"][: options.places]
        gone = {scene["name"]: draw_place(out, scene) for scene in track(ports, "draw places")}
        archive = Path(folder) / "archive"
        index(IndexConfig(scenes=[out], out=archive, model=options.model, device="cpu"))
        asked = SearchConfig(archive, model=options.model, changed=True, question=QUESTION, device="cpu")
        found = compared_pairs(asked)
        places, noise = found.places, found.noise
    ships = np.array([_gone(one, gone) for one in places])
    lost, calm = ships > 0, np.array([_column(one) % 2 == 1 for one in places])
    use = lost | calm
    distance = np.array([one["distance"] for one in places])
    above = np.array([one["above_noise"] for one in places])
    differs = np.array([one["differs"] if one["differs"] is not None else np.nan for one in places])
    other = np.array([one["earlier_answer"] != one["later_answer"] for one in places])
    rest = {
        "command": f"python -m benchmarks.changes --places {options.places}",
        "places": len(ports),
        "pairs": len(places),
        "lost_ships": int(lost.sum()),
        "ships_lost": int(ships.sum()),
        "unchanged": int(calm.sum()),
        "noise": {**noise},
        "unchanged_distance": _quantiles(distance[calm]),
        "changed_distance": _quantiles(distance[lost]),
        "above_noise": {"lost_ships": _share(above[lost]), "unchanged": _share(above[calm])},
        "another_answer": {"lost_ships": _share(other[lost]), "unchanged": _share(other[calm])},
        "auroc_of_answers": _round(auroc(differs[use], lost[use])),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    value = _round(auroc(distance[use], lost[use]))
    record(RESULT, value, 0.5, "AUROC of the distance for windows that lost ships; chance", rest, "one core")


def _name(one: ChangedPlace) -> tuple[str, str]:
    """Scene without its day, and window."""
    source, window = one["later"].rsplit(" ", 1)
    return source.split(": ")[1].rsplit("-", 2)[0], window


def _column(one: ChangedPlace) -> int:
    return int(_name(one)[1].split("x")[1])


def _gone(one: ChangedPlace, gone: dict[str, dict[str, int]]) -> int:
    scene, window = _name(one)
    return gone[scene].get(window, 0)


def _quantiles(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in np.quantile(values, [0.05, 0.5, 0.95])] if len(values) else []


def _share(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def _round(value: float | None) -> float:
    return round(value or 0.0, 4)


if __name__ == "__main__":
    main()
