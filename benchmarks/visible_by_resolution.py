"""What can be said of a tile at which pixel size: the measured annotator on simulated scenes made coarser and coarser.

    python -m benchmarks.visible_by_resolution SCENES [--metres 0.2 0.5 1 2 3 5 10 20 30] [--cities 6] [--detail]
        [--limited] [--out benchmarks/results/visible_by_resolution.json]

SCENES holds simulated scenes with their truth (`knowlip simulate`); use seeds that nothing was fitted on. The power of
every scene is averaged over areas to each pixel size that is at least its own and given speckle of four looks (a coarse
sensor has no more looks than a fine one), made 8 bit as a build does it (one percentile quantiser a scene), and cut
into windows of 1024, 512 and 256 m of at most 256 pixels a side; with --detail finer pixels go along, as the annotator
gets them where the scene is at hand. Each text is judged against truth claim by claim. A claim about targets is also
filed by its pixels: the true median length of the targets there over metres a pixel. Beside every share stands that of
the texts of another tile of the same set and pixel size (chance). By default the annotator says all that it measures,
whatever the pixel size; --limited judges what it says within `knowlip.annotators.measured.visible`.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from scipy import sparse

from benchmarks.record import record
from knowlip.annotators.measured import MeasuredAnnotator, visible
from knowlip.annotators.types import Annotation, TileRequest
from knowlip.base.vocabulary import SCALES, TARGET_CATEGORIES
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import InstructionSet
from knowlip.language.truth import judge
from knowlip.tasks.metrics.intervals import wilson
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, make_quantiser
from knowlip.tiles.truth import SceneTruth
from knowlip.tiles.windows import Window, family

WINDOW_M = 1024.0
LOOKS = 4.0
"""Of the speckle that averaged scenes get."""
TILE_PX = 256
PIXELS = (1.5, 3.0, 6.0, 12.0, 24.0, 48.0)
"""Borders of the bins of pixels on a target."""


class Cut(NamedTuple):
    """A tile at one pixel size."""

    scene: str
    metres: float
    """Of the scene's pixels."""
    looked: float
    """Of the finest pixels that the annotator gets."""
    window: Window
    request: TileRequest
    truth: dict[str, Any]


def averaged(power: NDArray[np.float32], own: float, wanted: float) -> NDArray[np.float32]:
    """Means of (H, W) power over areas of `wanted` metres a side; what is left over at the far edges is dropped."""
    sides = [_areas(size, own, wanted) for size in power.shape]
    return np.asarray((sides[1] @ (sides[0] @ power).T).T, np.float32)


def _areas(size: int, own: float, wanted: float) -> sparse.csr_matrix:
    """(new, size) weights that average pixels over longer ones, by how far they overlap."""
    edges = np.arange(int(size * own / wanted + 1e-6) + 1) * wanted / own
    old = np.arange(size)
    overlap = np.minimum(old + 1, edges[1:, None]) - np.maximum(old, edges[:-1, None])
    return sparse.csr_matrix(np.clip(overlap, 0.0, None) * own / wanted)


def power_of(path: Path) -> tuple[NDArray[np.float32], float, CRS, tuple[float, float], dict[str, str]]:
    """Power of a simulated scene, metres a pixel, CRS, upper left corner and what its tags say."""
    with rasterio.open(path) as source:
        tags = source.tags()
        amplitude = source.read(1).astype(np.float32) / float(tags["KNOWLIP_AMPLITUDE_SCALE"])
        corner = (source.transform.c, source.transform.f)
        return amplitude**2, source.res[0], CRS.from_user_input(source.crs.to_wkt()), corner, tags


def cuts(path: Path, wanted: list[float], detail: bool) -> Iterator[Cut]:
    """All tiles of a scene at all pixel sizes, parents before children; without detail each tile's pixels once."""
    power, own, crs, (left, top), tags = power_of(path)
    truth = SceneTruth(path, crs)
    side = min(power.shape) * own
    number = int(side // WINDOW_M + 1e-6)
    start = (side - number * WINDOW_M) / 2
    known: dict[str, Any] = {
        "sensor": tags["KNOWLIP_SENSOR"],
        "band": tags["KNOWLIP_BAND"],
        "look_azimuth_deg": float(tags["KNOWLIP_LOOK_AZIMUTH_DEG"]),
        "incidence_deg": float(tags["KNOWLIP_INCIDENCE_DEG"]),
        "looks": float(tags["KNOWLIP_LOOKS"]),
        "polarisations": (tags["KNOWLIP_POLARISATION"],),
    }
    roots = []
    for j in range(number):
        for i in range(number):
            x, y = left + start + i * WINDOW_M, top - start - j * WINDOW_M
            name = f"{path.stem}-l{j:03d}x{i:03d}"
            roots.append(Window(name, name, "", "large", j, i, x, y, WINDOW_M))
    codes = {root.tile_id: truth.root_codes(root) for root in roots}
    rng = np.random.default_rng(0)
    wanted = [metres for metres in wanted if metres > own * 0.99]
    for metres in wanted:
        finest = averaged(power, own, metres)
        if metres > own * 1.5:
            finest *= rng.gamma(LOOKS, 1.0 / LOOKS, finest.shape).astype(np.float32)
        histogram = PowerHistogram()
        histogram.add(averaged(finest, metres, max(1.0, metres)) if metres < 1.0 else finest)
        quantiser = make_quantiser(histogram, QuantiseConfig())
        levels: dict[float, NDArray[np.uint8]] = {metres: quantiser(finest)}
        for root in roots:
            for window in family(root):
                pixel = max(metres, window.side / TILE_PX)
                if pixel > metres and not detail and metres != wanted[0]:
                    continue
                if pixel not in levels:
                    levels[pixel] = quantiser(averaged(finest, metres, pixel))
                image = _window(levels[pixel], pixel, window, (left, top))
                fine = _window(levels[metres], metres, window, (left, top)) if metres < pixel and detail else None
                place: dict[str, Any] = {"lon": float("nan"), "lat": float("nan"), "scale": window.scale}
                known |= {"levels_db": (quantiser.lo_db, quantiser.hi_db), "resolution_m": metres}
                request = TileRequest(window.tile_id, image, pixel, detail=fine, **place, **known)
                looked = pixel if fine is None else metres
                yield Cut(path.stem, metres, looked, window, request, truth.of(window, root, codes[root.tile_id]))


def _window(levels: NDArray[np.uint8], pixel: float, window: Window, corner: tuple[float, float]) -> NDArray[np.uint8]:
    column, row = round((window.left - corner[0]) / pixel), round((corner[1] - window.top) / pixel)
    side = round(window.side / pixel)
    return levels[row : row + side, column : column + side]


def claims_of(note: Annotation, truth: dict[str, Any], window_m: float) -> Iterator[tuple[str, bool]]:
    """(claim, whether it is true): each sub-text as a whole, and by what it names: "Terrain field", "ship"."""
    for sub_text in note.sub_texts:
        verdict = judge(note.instruction_set, sub_text.dimension, sub_text.text, truth, window_m)  # type: ignore[arg-type]
        if verdict is None:
            continue
        yield f"{note.instruction_set} {sub_text.dimension}", verdict
        found = parse_claims(note.instruction_set, sub_text.dimension, sub_text.text)
        named = found.get("main") or found.get("amount") or found.get("function") or found.get("layout")
        if named is None and found.keys() & {"roads", "water", "no_boundary"}:
            named = str(bool(found.get("roads", found.get("water", False))))
        if named is not None:
            yield f"{note.instruction_set} {sub_text.dimension} {named}", verdict
    categories = [item["category"] for item in truth["objects"]]
    for category, kind in (("ship", InstructionSet.MARINE), ("aircraft", InstructionSet.GROUND)):
        if note.instruction_set == kind:
            yield category, category in categories


def pixels_on_target(truth: dict[str, Any], metres: float) -> float | None:
    """Median true length of the targets of the commoner category over metres a pixel; None without targets."""
    lengths = {
        name: [item["length_m"] for item in truth["objects"] if item["category"] == name] for name in TARGET_CATEGORIES
    }
    most = max(lengths.values(), key=len)
    return float(np.median(most)) / metres if most else None


Verdicts = dict[tuple[str, ...], list[bool]]


@contextmanager
def everything_said() -> Iterator[None]:
    """No claim is hedged or left out for its size, so that all can be judged."""
    limits = {claim: visible.Limit(limit.size_m, 0.0, 0.0) for claim, limit in visible.LIMITS.items()}
    with patch.object(visible, "LIMITS", limits), patch.object(visible, "COARSE_FROM_M", float("inf")):
        yield


def annotated(found: list[Cut]) -> list[Annotation]:
    """Texts of the tiles of one scene and pixel size, parents first."""
    annotator, done = MeasuredAnnotator(), dict[str, Annotation]()
    ordered = sorted(found, key=lambda cut: SCALES.index(cut.window.scale))
    for cut in ordered:
        if not cut.request.image.any():
            continue
        parent = done.get(cut.window.parent_id)
        request = TileRequest(**{**vars(cut.request), "parent": parent})
        done[cut.window.tile_id] = annotator.annotate(request)
    return [done[cut.window.tile_id] for cut in found]


def measure(scenes: list[Path], metres: list[float], detail: bool) -> dict[str, Any]:
    """Annotate and judge everything."""
    own: Verdicts = defaultdict(list)
    other: Verdicts = defaultdict(list)
    sizes: Verdicts = defaultdict(list)
    seen: Verdicts = defaultdict(list)
    tiles: dict[float, int] = defaultdict(int)
    rng = np.random.default_rng(0)
    for path in scenes:
        by_size: dict[float, list[Cut]] = defaultdict(list)
        for cut in cuts(path, metres, detail):
            by_size[cut.metres].append(cut)
        for found in by_size.values():
            notes = annotated(found)
            for cut, note in zip(found, notes):
                tiles[cut.looked] += 1
                across = pixels_on_target(cut.truth, cut.looked)
                for claim, true in claims_of(note, cut.truth, cut.window.side):
                    own[f"{cut.looked:g}", claim].append(true)
                    if across is not None and not claim.startswith("terrain"):
                        sizes[_bin(across), claim].append(true)
                if across is not None:
                    kinds = [item["category"] for item in cut.truth["objects"]]
                    kind = max(TARGET_CATEGORIES, key=kinds.count)
                    said = note.instruction_set == ("marine" if kind == "ship" else "ground")
                    seen[_bin(across), kind].append(said)
            for kind in InstructionSet:
                mine = [(cut, note) for cut, note in zip(found, notes) if note.instruction_set == kind]
                for (cut, _), donor in zip(mine, rng.permutation(len(mine))):
                    for claim, true in claims_of(mine[donor][1], cut.truth, cut.window.side):
                        other[f"{cut.looked:g}", claim].append(true)
        print(path.stem, sum(tiles.values()), flush=True)
    return {
        "scenes": len(scenes),
        "tiles": {f"{size:g}": number for size, number in sorted(tiles.items())},
        "by_metres": _table(own, other),
        "by_pixels_on_target": _table(sizes),
        "targets_seen_by_pixels": _table(seen),
    }


def _bin(across: float) -> str:
    return f"{max((low for low in PIXELS if low <= across), default=0.0):g}"


def _table(
    verdicts: Verdicts, chance: Verdicts | None = None
) -> dict[str, dict[str, dict[str, float | int | list[float]]]]:
    """claim -> metres or pixels -> {true, ci, n, chance}."""
    table: dict[str, dict[str, dict[str, float | int | list[float]]]] = defaultdict(dict)
    for (where, claim), values in sorted(verdicts.items(), key=lambda item: (item[0][1], float(item[0][0]))):
        low, high = wilson(sum(values), len(values))
        row: dict[str, float | int | list[float]] = {
            "true": round(float(np.mean(values)), 3),
            "ci": [round(low, 3), round(high, 3)],
            "n": len(values),
        }
        if chance is not None and chance.get((where, claim)):
            row["chance"] = round(float(np.mean(chance[where, claim])), 3)
        table[claim][where] = row
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--metres", type=float, nargs="+", default=[0.2, 0.5, 1, 2, 3, 5, 10, 20, 30])
    parser.add_argument("--cities", type=int, default=100, help="so many of them, spread over their names")
    parser.add_argument("--detail", action="store_true", help="hand the annotator the scene's own pixels too")
    parser.add_argument("--limited", action="store_true", help="judge what is said within the limits")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/visible_by_resolution.json"))
    arguments = parser.parse_args()
    scenes = [path for path in sorted(arguments.scenes.glob("*.tif")) if "landcover" not in path.name]
    cities = sorted({path.stem.rsplit("-", 1)[0] for path in scenes})
    cities = cities[:: max(1, len(cities) // arguments.cities)]
    scenes = [path for path in scenes if path.stem.rsplit("-", 1)[0] in cities]
    with nullcontext() if arguments.limited else everything_said():
        result = measure(scenes, arguments.metres, arguments.detail)
    cover = result["by_metres"]["terrain Terrain"]
    fine, coarse = (min(cover, key=float), max(cover, key=float))
    unit = f"share of tiles whose main land cover is told right at {fine} m a pixel; baseline: at {coarse} m"
    rest = {**result, "command": f"python -m benchmarks.visible_by_resolution SCENES --cities {arguments.cities}"}
    record(arguments.out, cover[fine]["true"], cover[coarse]["true"], unit, rest, "one core")
    for claim, row in result["by_metres"].items():
        print(claim, {where: (one["true"], one.get("chance"), one["n"]) for where, one in row.items()})
    for name in ("by_pixels_on_target", "targets_seen_by_pixels"):
        for claim, row in result[name].items():
            print(name, claim, {where: (one["true"], one["n"]) for where, one in row.items()})


if __name__ == "__main__":
    main()
