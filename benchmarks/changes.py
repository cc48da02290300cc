"""What `knowlip search --changed` finds, and what it takes for a change that is none: ships that leave their places.

    python -m benchmarks.changes [--fit 20] [--measure 16] [--model FOLDER] [--write] [--work DIR]

Two halves of simulated places (cities, each seen in C and X band at 1 and 3 m; every scene is a world of its own), seen
on two days with speckle drawn anew. On the second day the ships are gone from every second column of windows (their
boxes hold pixels of open water); all other windows are unchanged but for speckle and for the levels, which a scene gets
from all its pixels. The first half says what unchanged windows come to: the distance of vectors that 95 % of them stay
below (:func:`knowlip.base.statistics.conformal_quantile` over scenes), and how often the answer is another one; --write
puts that into `answers.json` beside the weights. Measured on the second half, of other cities: how many unchanged
windows lie above the line (5 % if it holds), how many of those that lost ships, and how well the distance, and the
probability that the answers to "How many ships are visible?" differ, tell the one from the other (AUROC; chance 0.5).
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import rasterio
from skimage.draw import polygon

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.base.progress import track
from knowlip.base.statistics import auroc, conformal_quantile
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.archive.changes import ChangedPlace, compared_pairs
from knowlip.inference.opened import open_model
from knowlip.inference.settings import SearchConfig
from knowlip.language.asked import read_question
from knowlip.models.hub import ANSWERS, WEIGHTS
from knowlip.simulator import SimulateConfig
from knowlip.simulator.compose import compose
from knowlip.simulator.output import UtmGrid, files, write_scene
from knowlip.simulator.radar import image
from knowlip.simulator.sensors import SENSORS
from knowlip.simulator.stage import generator, plan
from knowlip.simulator.world import World
from knowlip.tasks.metrics import proportion

RESULT: Final = Path(__file__).parent / "results" / "changes.json"
QUESTIONS: Final = ("How many ships are visible?", "What is the main landform?")
"""Of the first the AUROC is told, of all how often unchanged ground is answered otherwise."""
SIDES_M: Final = {"sim-c": 512.0, "sim-x": 1536.0}
"""Two by two windows each."""
FIRST_CITY: Final = 72
"""Those before it taught the model of the package."""
LEVEL: Final = 0.95
_MARGIN_M: Final = 15.0
_SEED: Final = 191


class Seen(NamedTuple):
    """Windows on two days, W of them."""

    places: list[ChangedPlace]
    """With answers to the first question."""
    scene: np.ndarray
    sensor: np.ndarray
    distance: np.ndarray
    ships: np.ndarray
    """That are gone on the second day."""
    calm: np.ndarray
    """Whether nothing has changed."""
    others: dict[str, np.ndarray]
    """Question -> whether its two answers differ."""


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
                land = np.kron(cover.read(1), np.ones((sensor.cover_factor, sensor.cover_factor), np.uint8))
                gone = _without_ships(pixels, land, world, sensor.resolution_m)
                raster.write(pixels, 1)
        for name in ("landcover", "truth"):
            paths[name].unlink()
    return gone


def _without_ships(pixels: np.ndarray, cover: np.ndarray, world: World, metres: float) -> dict[str, int]:
    """Put open water in the place of the ships of every second column of windows."""
    ships = [thing for thing in world.things if thing.category == "ship"]
    masks, half, window = [], world.size / 2, pixels.shape[1] // 2
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
        column, row = int((x + half) / metres) // window, int((half - y) / metres) // window
        if column % 2 == 0 and len(sea):
            inside = columns // window % 2 == 0  # what reaches into an unchanged window stays
            pixels[rows[inside], columns[inside]] = rng.choice(sea, int(inside.sum()))
            gone[f"{row}x{column}"] = gone.get(f"{row}x{column}", 0) + 1
    return gone


def seen_twice(first: int, cities: int, model: Path | None, work: Path | None) -> Seen:
    """Draw places of some cities on two days, and compare all their windows."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        out = Path(folder) / "scenes"
        out.mkdir()
        jobs = plan(SimulateConfig(out, cities, first, tuple(SIDES_M), scene_size_m=dict(SIDES_M), seed=_SEED))
        gone = {job.scene["name"]: draw_place(out, job.scene) for job in track(jobs, "draw places")}
        archive = Path(folder) / "archive"
        index(IndexConfig(scenes=[out], out=archive, model=model, device="cpu"))
        found = [
            compared_pairs(SearchConfig(archive, model=model, changed=True, question=one, device="cpu")).places
            for one in QUESTIONS
        ]
    places = found[0]
    ships = np.array([_gone(one, gone) for one in places])
    # Of a column from which ships are taken, a window without any may have lost the end of a neighbour's.
    calm = np.array([_column(one) % 2 == 1 or not gone[_name(one)[0]] for one in places])
    others = {
        question: np.array([one["earlier_answer"] != one["later_answer"] for one in some])
        for question, some in zip(QUESTIONS, found)
    }
    return Seen(
        places,
        np.array([_name(one)[0] for one in places]),
        np.array([one["sensor"] for one in places]),
        np.array([one["distance"] for one in places]),
        ships,
        calm & (ships == 0),
        others,
    )


def fitted(seen: Seen) -> dict[str, Any]:
    """What `answers.json` says of unchanged ground.

    Raises:
        SystemExit: there are too few scenes for the level.
    """
    calm = seen.calm
    high = conformal_quantile(seen.distance[calm], seen.scene[calm], LEVEL)
    if not np.isfinite(high):
        raise SystemExit("Too few places for a line: --fit more cities.")
    others: dict[str, dict[str, float]] = {}
    for question, other in seen.others.items():
        read = read_question(question)
        others.setdefault(str(read.type), {})[read.subject] = round(float(other[calm].mean()), 4)
    return {
        "high": round(high, 6),
        "median": round(float(np.median(seen.distance[calm])), 6),
        "level": LEVEL,
        "places": len({*seen.scene[calm]}),
        "windows": int(calm.sum()),
        "other_answers": others,
    }


def measured(seen: Seen, high: float) -> dict[str, Any]:
    """What lies above a line on places that it was not drawn on."""
    calm, lost, above = seen.calm, seen.ships > 0, seen.distance > high
    differs = np.array([one["differs"] if one["differs"] is not None else np.nan for one in seen.places])
    use, other = calm | lost, seen.others[QUESTIONS[0]]
    return {
        "places": len({*seen.scene}),
        "pairs": len(seen.places),
        "lost_ships": int(lost.sum()),
        "ships_lost": int(seen.ships.sum()),
        "unchanged": int(calm.sum()),
        "unchanged_distance": _quantiles(seen.distance[calm]),
        "changed_distance": _quantiles(seen.distance[lost]),
        "above": {
            "unchanged": _share(above[calm], seen.scene[calm]),
            "lost_ships": _share(above[lost], seen.scene[lost]),
            **{f"unchanged, {sensor}": _share(above[calm & (seen.sensor == sensor)], None) for sensor in SIDES_M},
            "unchanged beside lost ships": _share(above[calm & _beside(seen)], None),
        },
        "another_answer": {"lost_ships": _share(other[lost], None), "unchanged": _share(other[calm], None)},
        "auroc": _round(auroc(seen.distance[use], lost[use])),
        "auroc_of_answers": _round(auroc(differs[use], lost[use])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=20, help="cities of the first half")
    parser.add_argument("--measure", type=int, default=16, help="cities of the second")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--write", action="store_true", help="into answers.json beside the weights")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    started = time.process_time()
    facts = fitted(seen_twice(FIRST_CITY, options.fit, options.model, options.work))
    found = measured(seen_twice(FIRST_CITY + options.fit, options.measure, options.model, options.work), facts["high"])
    if options.write:
        _, folder = open_model(options.model, "cpu")
        said = read_json(folder / ANSWERS)
        if not isinstance(said, dict) or said.get("weights_sha256") != file_sha256(folder / WEIGHTS):
            raise SystemExit("answers.json is of other weights: run benchmarks.ask_evidence first.")
        write_json(folder / ANSWERS, said | {"changes": facts})
    rest = {
        "command": f"python -m benchmarks.changes --fit {options.fit} --measure {options.measure} --write",
        "fitted": facts,
        **found,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    unit = "AUROC of the distance for windows that lost ships; chance"
    record(RESULT, found["auroc"], 0.5, unit, rest, "one core")


def _beside(seen: Seen) -> np.ndarray:
    """Windows of scenes that lost ships elsewhere."""
    return np.isin(seen.scene, seen.scene[seen.ships > 0])


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


def _share(values: np.ndarray, scenes: np.ndarray | None) -> dict[str, Any] | None:
    """A share with its number and, by scene, its interval."""
    if not len(values):
        return None
    found = proportion(values, scenes)
    told = {"share": round(float(values.mean()), 4), "n": len(values)}
    return told | {"ci": None if found.ci is None else [round(end, 4) for end in found.ci]}


def _round(value: float | None) -> float:
    return round(value or 0.0, 4)


if __name__ == "__main__":
    main()
