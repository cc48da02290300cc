"""`knowlip search ARCHIVE --changed`: places of which two dates say something else.

Two windows are of one place where the same sensor saw nearly the same ground at the same scale, in the same
polarisation, on different days, and not on an ascending orbit once and a descending one then; each is held against the
next day on which its ground was seen again. What differs is the distance of their vectors, or, with a question, the
answers.

Radar images of unchanged ground differ too: by speckle, and by the levels that each scene gets from its own pixels.
What that comes to cannot be seen in an archive of which nobody knows what has changed. It was measured for the model on
simulated places (`python -m benchmarks.changes --write`, `answers.json` beside the weights): the line above which a
distance counts holds a known share of unchanged windows of places that were not looked at. Of a model without it no
place is called changed.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import shapely
from PIL import Image

from knowlip.base.columns import in_columns
from knowlip.base.files import file_sha256, whole_file
from knowlip.base.generation import GenerationConfig
from knowlip.base.progress import say, track
from knowlip.inference.archive.finding import check_ending, filters_of
from knowlip.inference.archive.parts import SceneArchive
from knowlip.inference.calibration import ChangeFacts, read_calibration
from knowlip.inference.geojson import write_geojson
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import open_model
from knowlip.inference.replies import Asker, ModelReply, asker_of
from knowlip.inference.settings import SearchConfig
from knowlip.models.hub import WEIGHTS
from knowlip.pages.maps import points_map
from knowlip.pages.render import data_uri, render

_SAME_SCALE: Final = 1.1
_BATCH: Final = 32
_MANY: Final = 1 / 3
"""Share of pairs above the line from which on the line itself is doubted."""


class ChangedPlace(TypedDict):
    """One place on two days."""

    lon: float
    lat: float
    """Middle of the later window, in degrees."""
    window_m: float
    sensor: str
    earlier: str
    """Source and item."""
    earlier_date: str
    later: str
    later_date: str
    overlap: float
    """Share of the ground that both show."""
    distance: float
    """1 minus the cosine of the vectors, 0 to 2."""
    above_noise: bool | None
    """Whether the distance is larger than that of nearly all unchanged windows; None where nobody knows those."""
    earlier_answer: str | None
    later_answer: str | None
    differs: float | None
    """Probability that the answers are not the same, as far as the model is calibrated; None without a question, or
    where the model is not."""


class ChangeNoise(TypedDict):
    """What the same measure says where nothing has changed: of simulated places on two days, seen by the same model."""

    places: int
    """0: it was not measured for this model."""
    windows: int
    median: float | None
    """Distance; None where it was not measured."""
    high: float | None
    """The distance that a share `level` of them stays below."""
    level: float | None
    other_answers: float | None
    """Share of windows whose two answers differ; None without a question, or one of which it was not measured."""
    archive_median: float
    """Distance of the pairs of this archive, in the middle."""
    above: int
    """Pairs of this archive above the line."""


class FoundChanges(TypedDict):
    """Places that changed, the most changed first."""

    question: str
    windows: int
    """That passed the filters."""
    pairs: int
    """Places that were seen on two days."""
    left_out: dict[str, int]
    """Why windows were held against no other -> how many."""
    differ: int
    """Pairs with different answers; without a question those above the noise, or all where nobody knows it."""
    noise: ChangeNoise
    changes: list[ChangedPlace]


class _Windows(NamedTuple):
    """Windows of an archive, N of them."""

    part_N: np.ndarray
    row_N: np.ndarray
    table: pd.DataFrame
    shapes_N: np.ndarray


class _Pair(NamedTuple):
    earlier: int
    later: int
    overlap: float


class ComparedPairs(NamedTuple):
    """All places that were seen on two days."""

    archive: SceneArchive
    windows: _Windows
    left_out: dict[str, int]
    pairs: list[_Pair]
    places: list[ChangedPlace]
    """Of each pair."""
    noise: ChangeNoise


def search_changes(config: SearchConfig) -> FoundChanges:
    """The places of an archive of which two dates say something else.

    Raises:
        ValueError: no archive or model, one of another model, or no place that was seen on two days.
    """
    if config.out is not None:
        check_ending(config.out)  # before a model is loaded for it
    found = compared_pairs(config)
    # By what was asked for: other answers first, the surest first; else the largest distances.
    if config.question:
        order = [at for at, one in enumerate(found.places) if one["earlier_answer"] != one["later_answer"]]
        order.sort(key=lambda at: (-(found.places[at]["differs"] or 0.0), -found.places[at]["distance"]))
    else:
        order = [at for at, one in enumerate(found.places) if one["above_noise"] is not False]
        order.sort(key=lambda at: -found.places[at]["distance"])
    shown = order[: config.top]
    result: FoundChanges = {
        "question": config.question,
        "windows": len(found.windows.table),
        "pairs": len(found.pairs),
        "left_out": found.left_out,
        "differ": len(order),
        "noise": found.noise,
        "changes": [found.places[at] for at in shown],
    }
    if config.out is not None:
        _write(config.out, result, found.archive, found.windows, [found.pairs[at] for at in shown])
    return result


def compared_pairs(config: SearchConfig) -> ComparedPairs:
    """All places of an archive that two days show, with what both say and what unchanged ground comes to.

    Raises:
        ValueError: as :func:`search_changes`.
    """
    archive = SceneArchive(config.dataset)
    windows = _windows_of(archive, archive.mask(filters_of(config)))
    pairs, left = paired(windows.table, windows.shapes_N, config.overlap)
    if not pairs:
        why = ", ".join(f"{count:,} {reason}" for reason, count in left.items()) or "no window passes the filters"
        raise ValueError(
            f"No place of {config.dataset} was seen on two days ({why}): index scenes of one place, sensor and scale "
            "at two dates (`knowlip index --read.sensor S --read.raster_band 1 --read.polarisation VV` where files do "
            "not say them), or set --overlap lower."
        )
    model, folder = open_model(config.model, config.device)
    if file_sha256(folder / WEIGHTS) != archive.model_sha256:
        raise ValueError(
            f"{config.dataset} holds the vectors of another model than {folder}: name that one by --model."
        )
    calibration, note = read_calibration(folder)
    facts = calibration.changes if calibration is not None else None
    if note and not config.question:
        say(f"  note: {note}")
    # Whatever a question is about, both days are asked: a refusal on one of them would hide a change.
    asker = None
    if config.question:
        asker, notes = asker_of(model, folder, config.question, False, GenerationConfig(max_new_tokens=32))
        if asker.read.type is None and asker.calibration is not None:
            notes.append(asker.read.reason)
        for note in notes:
            say(f"  note: {note}")
    used = sorted({at for pair in pairs for at in pair[:2]})
    replies = _answers(archive, windows, used, asker) if asker else {}
    places = [_place(archive, windows, pair, replies, facts) for pair in pairs]
    return ComparedPairs(archive, windows, left, pairs, places, _noise(places, facts, asker))


def _windows_of(archive: SceneArchive, masks: Sequence[np.ndarray]) -> _Windows:
    """The windows that pass, with their footprints."""
    numbers, rows, tables, shapes = [np.zeros(0, int)], [np.zeros(0, int)], [], [np.zeros(0, object)]
    names = ["item", "scene_id", "lon", "lat", "window_m", "sensor", "polarisation", "date", "orbit"]
    for number, (part, mask) in enumerate(zip(archive.parts, masks)):
        at = np.flatnonzero(mask)
        numbers.append(np.full(len(at), number))
        rows.append(at)
        tables.append(part.rows.select(names).to_pandas().iloc[at].assign(source=part.path.name))
        shapes.append(shapely.from_wkb(part.footprints[at]))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*names, "source"])
    return _Windows(np.concatenate(numbers), np.concatenate(rows), table, np.concatenate(shapes))


def paired(table: pd.DataFrame, shapes_N: np.ndarray, overlap: float) -> tuple[list[_Pair], dict[str, int]]:
    """Windows of one place on different days: each with the next day on which its ground was seen again, and of several
    windows of that day the one that shares most of it.

    Args:
        table: columns date, window_m, sensor, polarisation, orbit; "" and NaN where nobody knows it.
        shapes_N: footprints, None where the place is not known.
        overlap: share of the ground that both must show, of their union.

    Returns:
        Pairs, and why windows are in none -> how many.
    """
    days = table["date"].str[:10].to_numpy(str)
    sides = table["window_m"].to_numpy(float)
    sensors = (table["sensor"] + "|" + table["polarisation"]).to_numpy(str)
    # From the other side layover and shadow fall elsewhere, which is no change; unknown orbits may pair.
    orbits = table["orbit"].fillna("").to_numpy(str) if "orbit" in table else np.full(len(table), "")
    # Two of which nobody knows it are not two of the same: VV beside VH would be taken for a change.
    told = (table["sensor"].ne("") & table["polarisation"].ne("")).to_numpy(bool)
    left: Counter[str] = Counter()
    placed = np.array([shape is not None for shape in shapes_N], bool)
    dated = np.array([len(day) == 10 for day in days], bool)
    left["without a place"] = int((~placed).sum())
    left["without a date"] = int((placed & ~dated).sum())
    left["of which nobody knows sensor and polarisation"] = int((placed & dated & ~told).sum())
    left["without a size on the ground"] = int((placed & dated & told & ~np.isfinite(sides)).sum())
    usable = np.flatnonzero(placed & dated & told & np.isfinite(sides))
    if not len(usable):
        return [], {why: count for why, count in left.items() if count}
    tree, pairs, in_pair = shapely.STRtree(shapes_N[usable]), list[_Pair](), set[int]()
    seen = set[int]()
    for at in usable:
        # Only later days are looked for: each pair is found from its earlier window, once.
        shape = shapes_N[at]
        others = usable[tree.query(shape, predicate="intersects")]
        same = (sensors[others] == sensors[at]) & (days[others] > days[at])
        same &= (orbits[others] == orbits[at]) | (orbits[others] == "") | (orbits[at] == "")
        same &= np.maximum(sides[others], sides[at]) <= _SAME_SCALE * np.minimum(sides[others], sides[at])
        others = others[same]
        if not len(others):
            continue
        seen |= {int(at), *others.tolist()}
        shared = shapely.area(shapely.intersection(shapes_N[others], shape))
        share = shared / (shapely.area(shapes_N[others]) + shapely.area(shape) - shared)
        enough = share >= overlap
        if not enough.any():
            continue
        day = min(days[others[enough]].tolist())
        of_day = enough & (days[others] == day)
        best = int(np.argmax(np.where(of_day, share, -1.0)))
        pairs.append(_Pair(int(at), int(others[best]), round(float(share[best]), 4)))
        in_pair |= {int(at), int(others[best])}
    # A window may be the later one of a pair, or the one that an earlier window was too little alike.
    left[f"that share less than {overlap:.0%} of their ground with another day"] = len(seen - in_pair)
    left["whose ground no other day shows at this scale with this sensor, polarisation and orbit"] = len(
        {*usable.tolist()} - seen
    )
    return pairs, {why: count for why, count in left.items() if count}


# ---- what is said of them -------------------------------------------------------------------------------------------


def _pictures(archive: SceneArchive, windows: _Windows, numbers: Sequence[int]) -> dict[int, TakenImage]:
    """The kept pictures of some windows; each part is read once."""
    found: dict[int, TakenImage] = {}
    for part in sorted({int(windows.part_N[at]) for at in numbers}):
        mine = [at for at in numbers if windows.part_N[at] == part]
        for at, row in zip(mine, archive.parts[part].whole(windows.row_N[mine])):
            with Image.open(io.BytesIO(row["picture"]), formats=["PNG"]) as picture:
                pixels = np.asarray(picture.convert("L"))
            side = row["window_m"]
            found[at] = TakenImage(pixels, None if side != side else side / pixels.shape[1])
    return found


def _answers(archive: SceneArchive, windows: _Windows, numbers: Sequence[int], asker: Asker) -> dict[int, ModelReply]:
    found: dict[int, ModelReply] = {}
    starts = range(0, len(numbers), _BATCH)
    for start in track(starts, "ask about windows of two days"):
        some = numbers[start : start + _BATCH]
        pictures = _pictures(archive, windows, some)
        found |= dict(zip(some, asker.replies([pictures[at] for at in some])))
    return found


def _noise(places: Sequence[ChangedPlace], facts: ChangeFacts | None, asker: Asker | None) -> ChangeNoise:
    """What unchanged ground comes to, and the places beside it."""
    middle = round(float(np.median([one["distance"] for one in places])), 6)
    above = sum(bool(one["above_noise"]) for one in places)
    if facts is None:
        return {
            "places": 0,
            "windows": 0,
            "median": None,
            "high": None,
            "level": None,
            "other_answers": None,
            "archive_median": middle,
            "above": above,
        }
    others = None if asker is None else facts.other_answers_to(asker.read.type, asker.read.subject)
    return {
        "places": facts.places,
        "windows": facts.windows,
        "median": facts.median,
        "high": facts.high,
        "level": facts.level,
        "other_answers": others,
        "archive_median": middle,
        "above": above,
    }


def _place(
    archive: SceneArchive, windows: _Windows, pair: _Pair, replies: dict[int, ModelReply], facts: ChangeFacts | None
) -> ChangedPlace:
    earlier, later = (windows.table.iloc[at] for at in pair[:2])
    vectors = [archive.parts[windows.part_N[at]].vectors[windows.row_N[at]] for at in pair[:2]]
    distance = float(1 - vectors[0] @ vectors[1])
    said = [replies.get(at) for at in pair[:2]]
    return {
        "lon": float(later["lon"]),
        "lat": float(later["lat"]),
        "window_m": float(later["window_m"]),
        "sensor": str(later["sensor"]),
        "earlier": f"{earlier['source']}: {earlier['item']}",
        "earlier_date": str(earlier["date"]),
        "later": f"{later['source']}: {later['item']}",
        "later_date": str(later["date"]),
        "overlap": pair.overlap,
        "distance": round(distance, 6),
        "above_noise": None if facts is None else distance > facts.high,
        "earlier_answer": said[0].answer if said[0] else None,
        "later_answer": said[1].answer if said[1] else None,
        "differs": _differs(said[0], said[1]),
    }


def _differs(one: ModelReply | None, other: ModelReply | None) -> float | None:
    """Probability that two answers are not the same, by what either holds possible."""
    if one is None or other is None or one.spread is None or other.spread is None:
        return None
    return round(1 - sum(share * other.spread.get(name, 0.0) for name, share in one.spread.items()), 4)


# ---- files and people -----------------------------------------------------------------------------------------------


def _write(path: Path, result: FoundChanges, archive: SceneArchive, windows: _Windows, pairs: Sequence[_Pair]) -> None:
    """Write the places as the ending of a path says; outlines are those of the later windows."""
    shapes = [windows.shapes_N[pair.later] for pair in pairs]
    changes, kind = result["changes"], path.suffix.lower()
    with whole_file(path) as part:
        if kind == ".csv":
            pd.DataFrame(changes, columns=list(ChangedPlace.__annotations__)).to_csv(part, index=False)
        elif kind == ".parquet":
            import geopandas  # a second to load

            table = pd.DataFrame(changes, columns=list(ChangedPlace.__annotations__))
            geopandas.GeoDataFrame(table, geometry=shapes, crs=4326).to_parquet(part, index=False)
        elif kind == ".geojson":
            write_geojson(part, shapes, changes)
        else:
            part.write_text(_page(result, archive, windows, pairs), encoding="utf-8")


def _page(result: FoundChanges, archive: SceneArchive, windows: _Windows, pairs: Sequence[_Pair]) -> str:
    """One page that loads nothing: a map, and both pictures of every place."""
    pictures = _pictures(archive, windows, sorted({at for pair in pairs for at in pair[:2]}))
    cards = [
        {"number": number, "change": change, "pictures": [_uri(pictures[at]) for at in pair[:2]]}
        for number, (change, pair) in enumerate(zip(result["changes"], pairs), 1)
    ]
    places = [(number, one["lon"], one["lat"]) for number, one in enumerate(result["changes"], 1)]
    return render(
        "changed.html",
        title="Changes",
        result=result,
        cards=cards,
        map=points_map(places) if places else "",
        noise=noise_lines(result),
    )


def _uri(image: TakenImage) -> str:
    stream = io.BytesIO()
    Image.fromarray(image.pixels).save(stream, "PNG")
    return data_uri(stream.getvalue(), "png")


def show_changes(result: FoundChanges) -> str:
    """A line for each place below a head, and what unchanged ground comes to."""
    rows = []
    for rank, one in enumerate(result["changes"], 1):
        answers = f"{one['earlier_answer']} -> {one['later_answer']}" if one["later_answer"] is not None else "-"
        days = f"{one['earlier_date'][:10]} -> {one['later_date'][:10]}"
        place = f"{one['lat']:.4f}, {one['lon']:.4f}"
        noise = {True: "above", False: "within", None: "unknown"}[one["above_noise"]]
        rows.append([str(rank), f"{one['distance']:.3f}", noise, answers, days, place, one["later"]])
    lines = in_columns(["", "distance", "noise", "answers", "days", "lat, lon", "later window"], rows, (0, 1))
    what = "answer otherwise" if result["question"] else "differ by more than unchanged ground"
    if not result["question"] and not result["noise"]["places"]:
        what = "are listed by their distance"
    lines.append(f"{result['differ']:,} of {result['pairs']:,} places seen on two days {what}")
    lines += noise_lines(result)
    lines += [f"left out: {count:,} windows {why}" for why, count in result["left_out"].items()]
    return "\n".join(lines)


def noise_lines(result: FoundChanges) -> list[str]:
    """What the word "changed" rests on, in sentences."""
    floor = result["noise"]
    if floor["high"] is None or floor["median"] is None or floor["level"] is None:
        return [
            "What unchanged ground comes to was not measured for this model (`python -m benchmarks.changes --write`): "
            "no place is called changed."
        ]
    lines = [
        f"unchanged ground: distance {floor['median']:.3f} in the middle, {floor['high']:.3f} below "
        f"{floor['level']:.0%} (simulated: {floor['windows']:,} windows of {floor['places']} places on two days; "
        "speckle and levels differ; weather, season, orbit and incidence do not); "
        f"here {floor['archive_median']:.3f} in the middle"
    ]
    if floor["above"] > _MANY * result["pairs"]:
        lines.append(
            f"{floor['above']:,} of {result['pairs']:,} places lie above that line: unless so many have changed, these "
            "days differ by more than speckle, and the line holds less than it says"
        )
    if floor["other_answers"] is not None:
        lines.append(f"unchanged ground: another answer in {floor['other_answers']:.0%} of those windows")
    elif result["question"]:
        lines.append("How often unchanged ground is answered otherwise was not measured for this question.")
    return lines
