"""Find tiles that fit a text."""

from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import pandas as pd
import torch

from knowlip.base.columns import in_columns
from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import say, track
from knowlip.dataset import Dataset
from knowlip.inference.archive.changes import FoundChanges, search_changes, show_changes
from knowlip.inference.archive.finding import FoundInArchive, search_archive
from knowlip.inference.archive.finding import show as show_archive
from knowlip.inference.archive.parts import HEAD
from knowlip.inference.geojson import plain_properties, write_geojson
from knowlip.inference.images import taken_tiles
from knowlip.inference.opened import encode, open_model
from knowlip.inference.settings import SearchConfig
from knowlip.models import KnowLIP
from knowlip.objectives import candidate_scores

_BATCH = 64


class Hit(TypedDict):
    """A tile that fits a text."""

    tile_id: str
    lon: float | None
    """Degrees; None where the place is unknown."""
    lat: float | None
    city: str
    country: str
    scale: str
    split: str
    similarity: float
    """Cosine of the embeddings of text and image, -1 to 1."""
    match: float
    """Probability that they belong together."""


class FoundTiles(TypedDict):
    """What was looked for, and the tiles, best first."""

    text: str
    hits: list[Hit]


def search(config: SearchConfig) -> FoundTiles | FoundInArchive | FoundChanges:
    """The tiles of a data set, or the windows of an archive, that fit a text best: cosine similarity first, matching
    probability among the best.

    Embeddings are kept in the data set's folder, by model and fingerprint, so that the next search is instant.

    Raises:
        ValueError: no such model or data set, or one without an accepted tile; filters on a data set.
    """
    if (config.dataset / HEAD).is_file():
        return search_changes(config) if config.changed else search_archive(config)
    if config.changed:
        raise ValueError(
            f"{config.dataset} is no archive, which alone knows dates: make one with `knowlip index {config.dataset} "
            "--out ARCHIVE`."
        )
    filters = config.near, config.after, config.before, config.sensor, config.resolution, config.orbit
    if config.like is not None or any(filters):
        raise ValueError(
            f"{config.dataset} is no archive, which alone knows filters and images: make one with `knowlip index "
            f"{config.dataset} --out ARCHIVE`."
        )
    (model, model_folder), dataset = open_model(config.model, config.device), Dataset(config.dataset)
    tiles = dataset.tiles()
    if tiles.empty:
        raise ValueError(f"{config.dataset} has no accepted tile to search.")
    embeddings = _embeddings(model, model_folder, dataset, tiles)
    similarity = embeddings @ model.encode_texts([config.text])[0].cpu().numpy()
    # Matching reads image and text together and costs a pass through the text tower for each tile, so only the best by
    # similarity are matched: four times as many as are asked for, that matching has something to choose from.
    best = np.argsort(-similarity, kind="stable")[: max(4 * config.top, 32)]
    candidates = tiles.iloc[best]
    with torch.inference_mode():
        tokens, _ = encode(model, taken_tiles(dataset, candidates))
    match = model.match(tokens, [config.text] * len(best)).cpu().numpy()
    scores = candidate_scores(similarity[best], match, float(model.temp.detach()))
    order = np.argsort(-scores, kind="stable")[: config.top]
    columns = ["tile_id", "lon", "lat", "city", "country", "scale", "split"]
    hits = [
        cast(Hit, plain_properties(candidates.iloc[i][columns].to_dict()))
        | {"similarity": float(similarity[best[i]]), "match": float(match[i])}
        for i in order
    ]
    if config.out is not None:
        _write_footprints(config.out, dataset, hits)
    return {"text": config.text, "hits": hits}


def show(result: FoundTiles | FoundInArchive | FoundChanges) -> str:
    """A line for each tile below a head: rank, similarity, matching probability, tile, place."""
    if "changes" in result:
        return show_changes(cast(FoundChanges, result))
    if "searched" in result:
        return show_archive(cast(FoundInArchive, result))
    rows = []
    for rank, hit in enumerate(result["hits"], 1):
        place = "unknown" if hit["lat"] is None else f"{hit['lat']:.4f}, {hit['lon']:.4f}"
        rows.append([str(rank), f"{hit['similarity']:.3f}", f"{hit['match']:.3f}", hit["tile_id"], place, hit["city"]])
    return "\n".join(in_columns(["", "similarity", "match", "tile", "lat, lon", "city"], rows, (0, 1, 2)))


def _write_footprints(path: Path, dataset: Dataset, hits: list[Hit]) -> None:
    """The outlines of the hits as GeoJSON (EPSG:4326)."""
    shapes = dataset.index.set_index("tile_id").geometry
    outlines = [shapes[hit["tile_id"]] for hit in hits]
    write_geojson(path, outlines, hits)


def _embeddings(model: KnowLIP, model_folder: Path, dataset: Dataset, tiles: pd.DataFrame) -> np.ndarray:
    """Image embeddings (tiles, E), from the cache where this model has seen these tiles."""
    weights = sha256((model_folder / "model.safetensors").read_bytes())
    cache = dataset.path / "embeddings" / f"{sha256((weights + dataset.fingerprint).encode())[:16]}.npy"
    if cache.is_file():
        try:
            known = np.load(cache)
            if known.shape == (len(tiles), model.config.embed_dim):
                return np.asarray(known)
        except (ValueError, EOFError):
            say(f"{cache} is damaged: the tiles are embedded again.")
    rows = []
    for start in track(range(0, len(tiles), _BATCH), "embed tiles"):
        with torch.inference_mode():
            _, feature = encode(model, taken_tiles(dataset, tiles.iloc[start : start + _BATCH]))
        rows.append(feature.cpu().numpy())
    embeddings = np.concatenate(rows)
    try:
        with whole_file(cache) as part, part.open("wb") as stream:
            np.save(stream, embeddings)
    except OSError as error:
        say(f"The embeddings cannot be kept for the next search ({error.strerror}, {cache}).")
    return embeddings
