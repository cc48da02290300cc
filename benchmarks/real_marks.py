"""Sixty Sentinel-1 tiles marked by hand, and how far an annotator's texts agree with the marks.

    python -m benchmarks.real_marks DATA [--build FOLDER]

DATA is the folder of the real samples (sen1floods11, s1-losangeles-tiles, s1-geotiff). A data set is built from them
with the windows of the recipe `sentinel1`. The tiles: of every scene and scale the one whose name has the lowest
SHA-256, of Los Angeles' port three and of the Niger's flood two. Each was looked at, enlarged and with what surrounds
it, beside its place on the map, before anything was run on it: shares of water, built-up and other land to a tenth,
relief, ships. Where sen1floods11 labels at least 45 % of a tile, its water is that of the label. No tile of these was
used to fit anything; others of the same scenes were.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from knowlip.annotators.types import Annotation, TileRequest
from knowlip.annotators.workers import tile_request
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import InstructionSet
from knowlip.tasks.metrics.intervals import wilson
from knowlip.tiles.build import BuildConfig, build

FOLDERS: Final = ("sen1floods11/S1", "s1-losangeles-tiles", "s1-geotiff")
WINDOWS_M: Final = (2560.0, 1280.0, 640.0)
TILE_PX: Final = 128


class Mark(NamedTuple):
    """What a person saw in a tile."""

    tile_id: str
    lat: float
    lon: float
    water: float
    built: float
    other: float
    relief: bool | None
    """None where it is not clear."""
    ships: int | None
    """How many are seen; None where it is not clear."""

    @property
    def main(self) -> tuple[str, ...]:
        """The cover with the largest share, as `definitions.COARSE` names it; both where two tie."""
        shares = {"water": self.water, "built-up": self.built, "open land": self.other}
        return tuple(name for name, share in shares.items() if share == max(shares.values()))


MARKS: Final = (
    Mark("ghana-53713-s1hand-l001x001", 10.314, -1.575, 0, 0, 1, False, 0),
    Mark("ghana-53713-s1hand-m000x001", 10.343, -1.593, 0, 0, 1, False, 0),
    Mark("ghana-53713-s1hand-s004x001", 10.323, -1.601, 0, 0, 1, False, 0),
    Mark("ghana-83483-s1hand-l000x000", 9.049, -1.460, 0, 0, 1, False, 0),
    Mark("ghana-83483-s1hand-m001x002", 9.044, -1.443, 0, 0, 1, False, 0),
    Mark("ghana-83483-s1hand-s002x002", 9.046, -1.457, 0, 0, 1, False, 0),
    Mark("losangeles-port-2021-01-05-l004x004", 33.681, -118.185, 1, 0, 0, False, 1),
    Mark("losangeles-port-2021-01-05-l001x001", 33.750, -118.269, 0.2, 0.8, 0, False, None),
    Mark("losangeles-port-2021-01-05-l002x004", 33.727, -118.185, 0.9, 0.1, 0, False, 2),
    Mark("losangeles-port-2021-01-05-m001x007", 33.768, -118.207, 0.1, 0.9, 0, False, 0),
    Mark("losangeles-port-2021-01-05-m010x008", 33.664, -118.191, 1, 0, 0, False, None),
    Mark("losangeles-port-2021-01-05-m010x004", 33.663, -118.247, 1, 0, 0, False, 0),
    Mark("losangeles-port-2021-01-05-s021x018", 33.661, -118.181, 1, 0, 0, False, None),
    Mark("losangeles-port-2021-01-05-s008x022", 33.736, -118.154, 1, 0, 0, False, 1),
    Mark("losangeles-port-2021-01-05-s008x010", 33.736, -118.237, 0.9, 0.1, 0, False, 0),
    Mark("mekong-333434-s1hand-l000x000", 13.281, 105.889, 0, 0, 1, False, 0),
    Mark("mekong-333434-s1hand-m003x002", 13.252, 105.906, 0, 0, 1, False, 0),
    Mark("mekong-333434-s1hand-s003x001", 13.272, 105.886, 0, 0, 1, False, 0),
    Mark("nigeria-812045-s1hand-l000x000", 9.095, 5.807, 0.1, 0, 0.9, False, 0),
    Mark("nigeria-812045-s1hand-l001x001", 9.072, 5.830, 0.9, 0, 0.1, False, 0),
    Mark("nigeria-812045-s1hand-m000x001", 9.101, 5.813, 0.2, 0, 0.8, False, 0),
    Mark("nigeria-812045-s1hand-m002x000", 9.078, 5.801, 0, 0, 1, False, 0),
    Mark("nigeria-812045-s1hand-s003x006", 9.087, 5.833, 0.9, 0, 0.1, False, 0),
    Mark("nigeria-812045-s1hand-s003x005", 9.087, 5.827, 0.7, 0, 0.3, False, 0),
    Mark("pakistan-849790-s1hand-l001x000", 32.529, 71.451, 0.7, 0, 0.3, False, 0),
    Mark("pakistan-849790-s1hand-m001x000", 32.546, 71.445, 0.9, 0, 0.1, False, 0),
    Mark("pakistan-849790-s1hand-s002x003", 32.549, 71.462, 0.3, 0, 0.7, False, 0),
    Mark("s1-losangeles-tiles-003-l000x001", 34.308, -118.846, 0, 0.3, 0.7, True, 0),
    Mark("s1-losangeles-tiles-003-m004x000", 34.267, -118.880, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-003-s006x011", 34.282, -118.807, 0, 0.3, 0.7, True, 0),
    Mark("s1-losangeles-tiles-004-l002x000", 34.261, -118.781, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-004-m003x002", 34.279, -118.760, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-004-s001x003", 34.310, -118.771, 0, 0, 1, True, 0),
    Mark("s1-losangeles-tiles-014-l002x002", 34.186, -119.001, 0, 0.1, 0.9, True, 0),
    Mark("s1-losangeles-tiles-014-m002x000", 34.213, -119.064, 0, 0.5, 0.5, False, 0),
    Mark("s1-losangeles-tiles-014-s008x003", 34.194, -119.046, 0, 0.1, 0.9, False, 0),
    Mark("s1-losangeles-tiles-015-l002x002", 34.186, -118.909, 0, 0.8, 0.2, False, 0),
    Mark("s1-losangeles-tiles-015-m003x003", 34.203, -118.930, 0, 0.6, 0.4, None, 0),
    Mark("s1-losangeles-tiles-015-s008x004", 34.194, -118.948, 0, 0.7, 0.3, False, 0),
    Mark("s1-losangeles-tiles-018-l000x002", 34.232, -118.634, 0, 0.4, 0.6, None, 0),
    Mark("s1-losangeles-tiles-018-m001x003", 34.226, -118.655, 0, 0.1, 0.9, True, 0),
    Mark("s1-losangeles-tiles-018-s006x005", 34.205, -118.665, 0, 0.1, 0.9, True, 0),
    Mark("s1-losangeles-tiles-019-l001x000", 34.208, -118.597, 0, 1, 0, False, 0),
    Mark("s1-losangeles-tiles-019-m000x002", 34.237, -118.577, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-019-s011x009", 34.177, -118.545, 0, 1, 0, False, 0),
    Mark("s1-losangeles-tiles-020-l001x002", 34.209, -118.450, 0, 1, 0, False, 0),
    Mark("s1-losangeles-tiles-020-m002x004", 34.214, -118.457, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-020-s011x000", 34.176, -118.515, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-021-l000x002", 34.232, -118.358, 0, 0.5, 0.5, True, 0),
    Mark("s1-losangeles-tiles-021-m001x003", 34.226, -118.379, 0, 0.9, 0.1, False, 0),
    Mark("s1-losangeles-tiles-021-s011x007", 34.177, -118.375, 0, 1, 0, False, 0),
    Mark("s1a-iw-a-20150309t173017-vv-grd-mli-geo-norm-db-l000x000", 43.595, 4.505, 0.3, 0, 0.7, False, 0),
    Mark("s1a-iw-a-20150309t173017-vv-grd-mli-geo-norm-db-m001x003", 43.588, 4.544, 0.1, 0, 0.9, False, 0),
    Mark("s1a-iw-a-20150309t173017-vv-grd-mli-geo-norm-db-s003x004", 43.586, 4.524, 0.4, 0, 0.6, False, 0),
    Mark("somalia-699062-s1hand-l000x000", 3.208, 45.407, 0, 0, 1, False, 0),
    Mark("somalia-699062-s1hand-m002x001", 3.191, 45.413, 0, 0, 1, False, 0),
    Mark("somalia-699062-s1hand-s005x005", 3.188, 45.427, 0.1, 0, 0.9, False, 0),
    Mark("usa-905409-s1hand-l000x000", 38.715, -94.908, 0, 0, 1, False, 0),
    Mark("usa-905409-s1hand-m002x001", 38.698, -94.901, 0.2, 0, 0.8, False, 0),
    Mark("usa-905409-s1hand-s000x000", 38.724, -94.920, 0, 0, 1, False, 0),
)


def built(data: Path, out: Path) -> Dataset:
    """The data set that the marks are of."""
    build(BuildConfig([data / name for name in FOLDERS], out, WINDOWS_M, TILE_PX, workers=1))
    return Dataset(out)


def rows_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Index rows by name.

    Raises:
        ValueError: a marked tile is missing, or lies elsewhere than it was marked.
    """
    rows = {str(row["tile_id"]): {str(key): value for key, value in row.items()} for row in _records(dataset)}
    for mark in MARKS:
        row = rows.get(mark.tile_id)
        if row is None or max(abs(row["lat"] - mark.lat), abs(row["lon"] - mark.lon)) > 0.002:
            raise ValueError(f"{mark.tile_id} is not where it was marked: the data set was built in another way.")
    return rows


def _records(dataset: Dataset) -> list[dict[Any, Any]]:
    return list(dataset.tiles().to_dict("records"))


def marked_requests(dataset: Dataset) -> dict[str, TileRequest]:
    """The marked tiles as an annotator sees them, without parents."""
    rows, names = rows_of(dataset), [mark.tile_id for mark in MARKS]
    return {name: tile_request(rows[name], image) for name, image in zip(names, dataset.images(names), strict=True)}


def annotated(dataset: Dataset, annotate: Callable[[TileRequest], Annotation]) -> dict[str, Annotation]:
    """Annotations of the marked tiles, each with its parents annotated before it."""
    rows, wanted = rows_of(dataset), set()
    for mark in MARKS:
        name = mark.tile_id
        while name in rows:
            wanted.add(name)
            name = str(rows[name]["parent_id"])
    done: dict[str, Annotation] = {}
    for scale in SCALES:
        names = sorted(name for name in wanted if rows[name]["scale"] == scale)
        for name, image in zip(names, dataset.images(names), strict=True):
            done[name] = annotate(tile_request(rows[name], image, done.get(str(rows[name]["parent_id"]))))
    return {mark.tile_id: done[mark.tile_id] for mark in MARKS}


_COARSELY: Final = {"field": "open land", "wood": "open land", "airfield": "open land", "quay": "built-up"}
"""A finer cover, wrong to claim, but no wrong land cover."""


def cover_of(note: Annotation) -> str | None:
    """The main cover that a text tells, as `definitions.COARSE` names it; None where it tells none of them."""
    if note.instruction_set == InstructionSet.TERRAIN:
        main = parse_claims("terrain", "Terrain", note.text_of("Terrain")).get("main")
        return _COARSELY.get(str(main), main)
    shares = parse_claims(note.instruction_set, "Region", note.text_of("Region")).get("shares", {})
    return "water" if shares.get("water", 0.0) > 0.5 else None


def forbidden_claims(note: Annotation) -> list[str]:
    """What a text claims that pixels of 10 m and more cannot show: aircraft, ship types, lengths and counts said as
    targets, single buildings, roads, fields, woods, airfields."""
    found = []
    if note.instruction_set != InstructionSet.TERRAIN:
        found.append(f"{note.instruction_set} targets")
    for sub_text in note.sub_texts:
        claims = parse_claims(note.instruction_set, sub_text.dimension, sub_text.text)
        covers = [*claims.get("covers", []), *claims.get("between", []), *claims.get("where", {})]
        covers += [name for name in (claims.get("main"), claims.get("second")) if name]
        found += [f"{sub_text.dimension} {name}" for name in covers if name in _UNSEEN]
        found += [f"{sub_text.dimension} {name}" for name in ("types", "length_m", "shape", "roads") if name in claims]
        if claims.get("function") in ("airport", "farmland", "forest"):
            found.append(f"{sub_text.dimension} {claims['function']}")
        for sentence in sub_text.sentences:
            if sentence.topic.startswith("buildings-") and sentence.topic != "buildings-unresolved":
                found.append(f"{sub_text.dimension} {sentence.topic}")
        if sub_text.dimension == "Buildings" and not any(part.topic for part in sub_text.sentences):
            found.append("Buildings")
    return found


_UNSEEN: Final = ("field", "wood", "airfield", "runway", "apron", "grass", "pavement", "road", "bridge", "quay")


def judged(notes: dict[str, Annotation]) -> dict[str, Any]:
    """Land cover that is right and claims that cannot be seen, over the marked tiles.

    Returns:
        `tiles`, `land_cover` (share of tiles whose main cover is right), `ci` (95 %), `floor` (the cover that is main
        in most tiles, said of all), `by_cover`, `wrong`, `forbidden_claims` and `forbidden`.
    """
    said = {mark.tile_id: cover_of(notes[mark.tile_id]) for mark in MARKS}
    right = {mark.tile_id: said[mark.tile_id] in mark.main for mark in MARKS}
    common = Counter(name for mark in MARKS for name in mark.main).most_common(1)[0][0]
    forbidden = {name: claims for name, note in notes.items() if (claims := forbidden_claims(note))}
    low, high = wilson(sum(right.values()), len(right))
    of_cover: dict[str, list[bool]] = {}
    for mark in MARKS:
        of_cover.setdefault(mark.main[0], []).append(right[mark.tile_id])
    return {
        "tiles": len(MARKS),
        "land_cover": round(float(np.mean(list(right.values()))), 3),
        "ci": [round(low, 3), round(high, 3)],
        "floor": round(float(np.mean([common in mark.main for mark in MARKS])), 3),
        "floor_cover": common,
        "by_cover": {name: [sum(values), len(values)] for name, values in of_cover.items()},
        "wrong": {name: said[name] for name, ok in right.items() if not ok},
        "forbidden_claims": sum(map(len, forbidden.values())),
        "forbidden": Counter(claim for claims in forbidden.values() for claim in claims),
    }


def main() -> None:
    from knowlip.annotators.measured import MeasuredAnnotator

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--build", type=Path, help="keep the data set here, or use the one that is here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = built(arguments.data, arguments.build or Path(folder) / "marked")
        for name, value in judged(annotated(dataset, MeasuredAnnotator().annotate)).items():
            print(name, value)


if __name__ == "__main__":
    main()
