"""Find tiles that fit a text."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.progress import say, track
from knowlip.dataset import Dataset
from knowlip.models import KnowLIP, load_model
from knowlip.models.hub import find_model

_BATCH = 64


def search(
    model_folder: Path | str,
    dataset_path: Path,
    text: str,
    top: int = 10,
    geojson: Path | None = None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """The tiles of a data set that fit a text best: cosine similarity first, matching probability among the best.

    Embeddings are kept in the data set's folder, by model and fingerprint, so that the next search is instant.

    Args:
        model_folder: pre-trained model, a folder or "user/repo" of the hub.
        dataset_path: data set; needs no texts.
        text: what to look for.
        top: how many tiles.
        geojson: also write the footprints there (EPSG:4326).
        device: "cpu", "cuda", or "auto".

    Returns:
        Best first: tile_id, similarity, match, lon, lat (None where unknown), city, country, scale, split.

    Raises:
        ValueError: no such model or data set, an empty text, `top` below 1.
    """
    if not text.strip():
        raise ValueError("The text to search for is empty.")
    if top < 1:
        raise ValueError("--top must be at least 1.")
    model_folder = find_model(model_folder)
    model, dataset = load_model(model_folder, device), Dataset(dataset_path)
    tiles = dataset.tiles()
    if tiles.empty:
        raise ValueError(f"{dataset_path} has no accepted tile to search.")
    embeddings = _embeddings(model, model_folder, dataset, tiles["tile_id"].to_list())
    similarity = embeddings @ model.encode_texts([text])[0].cpu().numpy()
    best = np.argsort(-similarity, kind="stable")[: max(4 * top, 32)]
    candidates = tiles.iloc[best]
    with torch.inference_mode():
        tokens, _ = model.encode_images(model.prepare(list(dataset.images(candidates["tile_id"]))))
    match = model.match(tokens, [text] * len(best)).cpu().numpy()
    order = np.argsort(-(match + similarity[best]), kind="stable")[:top]
    columns = ["tile_id", "lon", "lat", "city", "country", "scale", "split"]
    hits = [
        _plain(candidates.iloc[i][columns].to_dict())
        | {"similarity": float(similarity[best[i]]), "match": float(match[i])}
        for i in order
    ]
    if geojson is not None:
        shapes = dataset.index.set_index("tile_id").geometry
        outlines = [shapes[hit["tile_id"]] for hit in hits]
        features = [
            {"type": "Feature", "geometry": outline and outline.__geo_interface__, "properties": hit}
            for hit, outline in zip(hits, outlines)
        ]
        write_json(geojson, {"type": "FeatureCollection", "features": features})
    return hits


def _plain(hit: dict[str, Any]) -> dict[str, Any]:
    """A hit as JSON values: unknown numbers are null."""
    return {key: None if isinstance(value, float) and value != value else value for key, value in hit.items()}


def _embeddings(model: KnowLIP, model_folder: Path, dataset: Dataset, tile_ids: list[str]) -> np.ndarray:
    """Image embeddings (tiles, E), from the cache where this model has seen these tiles."""
    weights = sha256((model_folder / "model.safetensors").read_bytes())
    cache = dataset.path / "embeddings" / f"{sha256((weights + dataset.fingerprint).encode())[:16]}.npy"
    if cache.is_file():
        try:
            known = np.load(cache)
            if known.shape == (len(tile_ids), model.config.embed_dim):
                return np.asarray(known)
        except (ValueError, EOFError):
            say(f"{cache} is damaged: the tiles are embedded again.")
    rows = []
    for start in track(range(0, len(tile_ids), _BATCH), "embed tiles"):
        with torch.inference_mode():
            _, feature = model.encode_images(model.prepare(list(dataset.images(tile_ids[start : start + _BATCH]))))
        rows.append(feature.cpu().numpy())
    embeddings = np.concatenate(rows)
    try:
        with whole_file(cache) as part, part.open("wb") as stream:
            np.save(stream, embeddings)
    except OSError as error:
        say(f"The embeddings cannot be kept for the next search ({error.strerror}, {cache}).")
    return embeddings
