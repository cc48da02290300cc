"""`knowlip search ARCHIVE`: by words, by an image, by place, date, sensor, orbit and resolution."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import pandas as pd
import shapely
import torch
from PIL import Image

from knowlip.base.columns import in_columns
from knowlip.base.files import file_sha256, whole_file
from knowlip.base.progress import say
from knowlip.inference.archive.parts import Filters, SceneArchive
from knowlip.inference.geojson import write_geojson
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode, open_model, say_unknown_sizes, say_what_is_unknown
from knowlip.inference.settings import SearchConfig
from knowlip.inference.views import ImageView, known_scales, view_of
from knowlip.inference.written import unknown_words
from knowlip.models import KnowLIP
from knowlip.models.hub import WEIGHTS
from knowlip.objectives import candidate_scores
from knowlip.pages.maps import points_map
from knowlip.pages.render import data_uri, render
from knowlip.tiles.places import resolve_place

_RERANKED: Final = 32
"""Candidates by cosine that matching orders anew, at least; four times as many as are asked for."""
_MOST_PIXELS: Final = 4096 * 4096
"""Of a kept picture."""


class ArchiveHit(TypedDict):
    """A window that was found."""

    source: str
    item: str
    scene_id: str
    lon: float | None
    lat: float | None
    """Degrees; None where the place is not known."""
    sensor: str
    date: str
    orbit: str
    """ "ascending", "descending" or, unknown, ""."""
    window_m: float | None
    resolution_m: float | None
    similarity: float
    """Cosine with what was asked for, -1 to 1."""
    match: float | None
    """Probability that text and image belong together; None where no text was given."""


class FoundInArchive(TypedDict):
    """What was looked for and found, best first."""

    text: str
    like: str
    searched: int
    """Windows that passed the filters."""
    of: int
    """Windows of the archive."""
    hits: list[ArchiveHit]


def filters_of(config: SearchConfig) -> Filters:
    """The filters of a command.

    Raises:
        ValueError: the gazetteer knows no such place, or several.
    """
    near = None
    if config.near:
        name, lon, lat = resolve_place(config.near)
        say(f"near {name} ({lat:.3f}, {lon:.3f}), within {config.km:g} km")
        near = (lon, lat)
    low, high = config.resolution or (0.0, math.inf)
    km = config.km if near else math.inf
    return Filters(near, km, config.after, config.before, config.sensor, (low, high), orbit=config.orbit)


def search_archive(config: SearchConfig) -> FoundInArchive:
    """The windows of an archive that are most like a text, an image, or both.

    Raises:
        ValueError: no archive or model, one of another model, an image that cannot be read, or nothing that passes.
    """
    if config.out is not None:
        check_ending(config.out)  # before a model is loaded for it
    archive = SceneArchive(config.dataset)
    model, folder = open_model(config.model, config.device)
    if file_sha256(folder / WEIGHTS) != archive.model_sha256:
        raise ValueError(
            f"{config.dataset} holds the vectors of another model than {folder}: name that one by --model."
        )
    filters = filters_of(config)
    masks = archive.mask(filters)
    passing = sum(int(mask.sum()) for mask in masks)
    if filters.orbit and (old := [part.path.name for part in archive.parts if not part.knows_passes]):
        more = f" and {len(old) - 1} more sources" if len(old) > 1 else ""
        say(
            f"  note: {old[0]}{more} of a former version hold no orbits, so none of its windows passes: take that out "
            "(`knowlip index --remove`) and add it again"
        )
    if not len(archive):
        raise ValueError(f"{config.dataset} holds no window yet: add scenes by `knowlip index`.")
    if not passing:
        raise ValueError(f"None of the {len(archive):,} windows of {config.dataset} passes the filters: loosen them.")
    # Text and image are one question: the sum of their vectors, each of unit length.
    vectors = []
    if config.text:
        if unknown := unknown_words(model, config.text):
            say(f"  note: {unknown.replace('question', 'text')}")
        vectors.append(model.encode_texts([config.text])[0].float().cpu().numpy())
    if config.like is not None:
        with torch.inference_mode():
            _, feature = encode(model, [as_window(config.like, model, config.metres_per_pixel)])
        vectors.append(feature[0].float().cpu().numpy())
    vector = np.sum(vectors, axis=0)
    vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
    temperature = float(model.temp.detach())
    near = archive.among(vector, candidates(config.top) if config.text else config.top, masks)
    rows = rows_of(archive, near)
    matches: list[float | None] = [None] * len(near)
    if config.text:
        found = match_of(model, rows, config.text)
        order = by_match(near, found, temperature)
        near, rows, matches = [near[at] for at in order], [rows[at] for at in order], [float(found[at]) for at in order]
    chosen = [
        hit_of(archive, one, row, match) for one, row, match in zip(near[: config.top], rows, matches, strict=False)
    ]
    result: FoundInArchive = {
        "text": config.text,
        "like": "" if config.like is None else str(config.like),
        "searched": passing,
        "of": len(archive),
        "hits": chosen,
    }
    if config.out is not None:
        write_hits(config.out, result, rows[: config.top])
    return result


def as_window(path: Path, model: KnowLIP, metres_per_pixel: float | None) -> TakenImage:
    """An image that windows are to be like, as the model is shown it.

    Raises:
        ValueError: it cannot be read, shows nothing, or more ground than one window does.
    """
    image, notes = one_window(view_of(path, model, metres_per_pixel, strict=False), model)
    for note in notes:
        say(f"  note: {note}")
    say_unknown_sizes(say_what_is_unknown(model, [(path, image)]))
    return image


def one_window(view: ImageView, model: KnowLIP) -> tuple[TakenImage, list[str]]:
    """An image that one window holds, as the model is shown it, and what should be known of it.

    Raises:
        ValueError: it shows more ground than one window does: nothing is squeezed in silence.
    """
    if not view.whole:
        raise ValueError(
            f"{view.path} shows more ground than one window, and an archive is searched by one: cut out the part that "
            f"is meant ({known_scales(model)})."
        )
    (look,) = view.looks
    return view.taken(view.read(look), look), list(view.notes)


def candidates(top: int) -> int:
    """How many windows by cosine matching orders anew, for so many that are asked for."""
    return max(4 * top, _RERANKED)


def by_match(near: Sequence[tuple[int, int, float]], match: np.ndarray, temperature: float) -> np.ndarray:
    """The order of candidates (N,), the likest first.

    Args:
        near: with their cosines.
        match: (N,) probability that each belongs to the text.
        temperature: tau of the model's contrast.
    """
    scores = candidate_scores(np.array([one[2] for one in near]), match, temperature)
    return np.argsort(-scores, kind="stable")


def rows_of(archive: SceneArchive, near: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Rows with pictures, in the order of `near`; each part is read once."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for number in sorted({part for part, _, _ in near}):
        places = np.array([row for part, row, _ in near if part == number])
        rows |= {(number, int(at)): one for at, one in zip(places, archive.parts[number].whole(places))}
    return [rows[part, row] for part, row, _ in near]


def picture_of(row: dict[str, Any]) -> TakenImage:
    """The kept picture of a window.

    Raises:
        ValueError: it is damaged.
    """
    try:
        with Image.open(io.BytesIO(row["picture"]), formats=["PNG"]) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"it has {picture.width} x {picture.height} pixels")
            pixels = np.asarray(picture.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"The picture of {row['item']} cannot be read ({error}).") from None
    side = row["window_m"]
    return TakenImage(pixels, None if side != side else side / pixels.shape[1])


def match_of(model: KnowLIP, rows: Sequence[dict[str, Any]], text: str) -> np.ndarray:
    """Probability (N,) that a text belongs to windows, from their kept pictures."""
    images = [picture_of(row) for row in rows]
    with torch.inference_mode():
        tokens, _ = encode(model, images)
        return np.asarray(model.match(tokens, [text] * len(rows)).float().cpu())


def hit_of(archive: SceneArchive, near: tuple[int, int, float], row: dict[str, Any], match: float | None) -> ArchiveHit:
    """What is told of a window: `near` is its part, row and cosine."""

    def known(name: str) -> float | None:
        value = row[name]
        return None if value is None or value != value else float(value)

    return {
        "source": archive.parts[near[0]].path.name,
        "item": row["item"],
        "scene_id": row["scene_id"],
        "lon": known("lon"),
        "lat": known("lat"),
        "sensor": row["sensor"],
        "date": row["date"],
        "orbit": row["orbit"] or "",
        "window_m": known("window_m"),
        "resolution_m": known("resolution_m"),
        "similarity": round(near[2], 6),
        "match": None if match is None else round(match, 6),
    }


def write_hits(path: Path, result: FoundInArchive, rows: Sequence[dict[str, Any]]) -> None:
    """Write what was found as its ending says.

    Raises:
        ValueError: another ending than .geojson, .csv, .parquet or .html.
    """
    hits, shapes = result["hits"], [row["footprint"] and shapely.from_wkb(row["footprint"]) for row in rows]
    kind = check_ending(path)
    with whole_file(path) as part:
        if kind == ".csv":
            pd.DataFrame(hits).to_csv(part, index=False)
        elif kind == ".parquet":
            import geopandas  # a second to load

            geopandas.GeoDataFrame(pd.DataFrame(hits), geometry=shapes, crs=4326).to_parquet(part, index=False)
        elif kind == ".geojson":
            write_geojson(part, shapes, hits)
        else:
            part.write_text(_page(result, rows), encoding="utf-8")


def check_ending(path: Path) -> str:
    """The ending of a file of results.

    Raises:
        ValueError: it is none of a format that is written.
    """
    kind = path.suffix.lower()
    if kind not in (".geojson", ".csv", ".parquet", ".html"):
        raise ValueError(f"--out is {path}: give a name that ends in .geojson, .csv, .parquet or .html.")
    return kind


def _page(result: FoundInArchive, rows: Sequence[dict[str, Any]]) -> str:
    """One page that loads nothing: a map with numbers, and a picture for each of them."""
    known = [
        (number, hit["lon"], hit["lat"])
        for number, hit in enumerate(result["hits"], 1)
        if hit["lon"] is not None and hit["lat"] is not None
    ]
    cards = [
        {"number": number, "hit": hit, "picture": data_uri(row["picture"], "png")}
        for number, (hit, row) in enumerate(zip(result["hits"], rows), 1)
    ]
    chart = points_map(known) if known else ""
    return render("found.html", title="Search", result=result, cards=cards, map=chart)


def show(result: FoundInArchive) -> str:
    """A line for each hit below a head, and of how many."""
    rows = []
    for rank, hit in enumerate(result["hits"], 1):
        place = "unknown" if hit["lat"] is None else f"{hit['lat']:.4f}, {hit['lon']:.4f}"
        match = "-" if hit["match"] is None else f"{hit['match']:.3f}"
        date = hit["date"][:10] or "unknown"
        rows.append([str(rank), f"{hit['similarity']:.3f}", match, hit["item"], place, hit["sensor"], date])
    lines = in_columns(["", "similarity", "match", "window", "lat, lon", "sensor", "date"], rows, (0, 1, 2))
    matches = [hit["match"] for hit in result["hits"] if hit["match"] is not None]
    if matches and max(matches) < 0.5:
        lines.append(f"by the model's own judgement none of them fits the text ({max(matches):.1%} for the best)")
    return "\n".join([*lines, f"of {result['searched']:,} windows that pass, of {result['of']:,}"])
