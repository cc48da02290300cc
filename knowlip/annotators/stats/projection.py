"""Maps of images and texts (t-SNE or UMAP), and how well the neighbours of a text are the neighbours of its image."""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knowlip.annotators.stats.corpus import Corpus
from knowlip.annotators.stats.lexical import words
from knowlip.annotators.stats.templates import template_texts
from knowlip.base.vocabulary import landform_shares

_SVD, _PERPLEXITY, _UMAP_NEIGHBOURS, _NEIGHBOURS, _FEWEST = 50, 30.0, 15, 10, 12
ToMap = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


def text_features(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """(N, D) features of unit length: TF-IDF of words and word pairs, reduced to at most 50 dimensions by SVD."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    weights = TfidfVectorizer(
        analyzer=lambda text: _terms(text), sublinear_tf=True, dtype=np.float64
    ).fit_transform(texts)  # fmt: skip
    size = min(_SVD, weights.shape[1] - 1, len(texts) - 1)
    if size < 2:
        dense: NDArray[np.float64] = weights.toarray()
        return dense
    reduced = TruncatedSVD(size, random_state=seed).fit_transform(weights)
    result: NDArray[np.float64] = normalize(reduced)
    return result


def _terms(text: str) -> list[str]:
    found = words(text)
    return [*found, *(f"{a} {b}" for a, b in pairwise(found))]


def image_features(tiles: pd.DataFrame) -> tuple[NDArray[np.float64], list[str]]:
    """(N, D) standardised texture and brightness figures of the index (columns q_* and g_*) and their names.

    A column that is unknown for a tile, or the same for all, is left out.
    """
    names = [str(name) for name in tiles.columns if str(name).startswith(("q_", "g_"))]
    values = tiles[names].to_numpy(float)
    good = np.isfinite(values).all(axis=0)
    good[good] &= values[:, good].std(axis=0) > 0
    kept = values[:, good]
    return (kept - kept.mean(axis=0)) / kept.std(axis=0), [name for name, ok in zip(names, good) if ok]


def read_features(path: Path, tiles: Sequence[str]) -> NDArray[np.float64]:
    """(N, D) features of tiles from a .npz file with the arrays `tile_id` (M,) and `feature` (M, D).

    Raises:
        ValueError: no such file, other arrays, or a tile without features.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist.")
    with np.load(path, allow_pickle=False) as file:
        if not {"tile_id", "feature"} <= set(file.files):
            raise ValueError(f"{path} must hold the arrays tile_id and feature.")
        where = {str(tile): row for row, tile in enumerate(file["tile_id"])}
        feature = np.asarray(file["feature"], float)
    missing = [tile for tile in tiles if tile not in where]
    if missing:
        raise ValueError(f"{path} has no features of {len(missing)} tiles, e.g. {missing[0]}.")
    return feature[[where[tile] for tile in tiles]]


def tsne(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """(N, 2) t-SNE map with perplexity 30 (fewer points: a third of them), started from the principal components."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    start: Any = "pca" if features.shape[1] >= 2 else "random"
    model = TSNE(2, perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
    result: NDArray[np.float64] = model.fit_transform(features).astype(float)
    return result


def umap(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """(N, 2) UMAP map with 15 neighbours (fewer points: all others), started from the principal components.

    Raises:
        ValueError: the package umap-learn is not installed.
    """
    check_umap()
    module: Any = import_module("umap")
    start = "pca" if features.shape[1] >= 2 else "random"
    neighbours = min(_UMAP_NEIGHBOURS, len(features) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a seed means one thread, which is what we want
        model = module.UMAP(n_neighbors=neighbours, n_components=2, init=start, random_state=seed)
        result: NDArray[np.float64] = model.fit_transform(features).astype(float)
    return result


def check_umap() -> None:
    """Raises ValueError where the package umap-learn is not installed."""
    if find_spec("umap") is None:
        raise ValueError("--projection umap needs one more package: pip install 'knowlip[umap]'.")


MAPS: Final = {"tsne": ("t-SNE", tsne), "umap": ("UMAP", umap)}
"""Setting -> name, and what makes a map of features."""


def neighbours_shared(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> float:
    """Mean share of the 10 nearest neighbours in `a` that are among the 10 nearest in `b` (Euclidean; ties, such as
    between equal texts, fall by lot). By chance it is 10 / (N - 1)."""
    from sklearn.neighbors import NearestNeighbors

    order = np.random.default_rng(seed).permutation(len(a))
    k = min(_NEIGHBOURS, len(a) - 1)
    sets = [NearestNeighbors(n_neighbors=k).fit(x[order]).kneighbors(return_distance=False) for x in (a, b)]
    return float(np.mean([len(np.intersect1d(p, q)) / k for p, q in zip(*sets)]))


def project(
    corpora: Sequence[Corpus],
    most: int,
    seed: int,
    image_file: Path | None = None,
    text_file: Path | None = None,
    templates: str = "",
    method: str = "tsne",
) -> dict[str, Any]:
    """Maps of the first corpus's images, texts and templates, and of the texts of all corpora.

    Args:
        corpora: the texts; images are those of the first, where it is a data set.
        most: points in a map, at most.
        seed: of the draw, the SVD and the maps.
        image_file: features of images, see :func:`read_features`; None takes the figures of the index.
        text_file: features of texts; None takes :func:`text_features`.
        templates: see :func:`knowlip.annotators.stats.templates.template_texts`.
        method: name in `MAPS`.

    Returns:
        {"maps": {"image" | "text" | "template" | "sources": (N, 2) array}, "labels": what to colour by, "source_of":
        name of each point of "sources", "facts": JSON values}. Maps that cannot be made are absent, with a sentence
        under facts["left_out"].
    """
    first, rng = corpora[0], np.random.default_rng(seed)
    maps: dict[str, NDArray[np.float64]] = {}
    called, to_map = MAPS[method]
    facts: dict[str, Any] = {"left_out": [], "seed": seed, "method": called}
    labels: list[str] = []
    if first.data is None:
        facts["left_out"].append(f"{first.name} is a file with captions: it has no images to map.")
    elif first.records < _FEWEST:
        facts["left_out"].append(f"{first.name} has fewer than {_FEWEST} tiles with texts.")
    else:
        chosen = _some(sorted(first.captions()), most, rng)
        labels = _of_data_set(first, chosen, seed, maps, facts, image_file, text_file, templates, to_map)
    texts, source_of = [], []
    for corpus in corpora:
        captions = corpus.captions()
        chosen = _some(list(captions), max(1, most // len(corpora)), rng)
        texts += [captions[record] for record in chosen]
        source_of += [corpus.name] * len(chosen)
    if len(texts) >= _FEWEST and (len(corpora) > 1 or "text" not in maps):
        maps["sources"] = to_map(text_features(texts, seed), seed)
        facts["sources"] = len(texts)
    return {"maps": maps, "labels": labels, "source_of": source_of, "facts": facts}


def _of_data_set(
    corpus: Corpus, chosen: list[str], seed: int, maps: dict[str, Any], facts: dict[str, Any],
    image_file: Path | None, text_file: Path | None, template_source: str, to_map: ToMap,
) -> list[str]:  # fmt: skip
    """Add the maps of a data set; returns what each point is coloured by."""
    data = corpus.data
    assert data is not None
    captions = corpus.captions()
    tiles = data.tiles().set_index("tile_id").loc[chosen]
    if image_file is not None:
        image, facts["image_features"] = read_features(image_file, chosen), image_file.name
    else:
        image, names = image_features(tiles)
        facts["image_features"] = ", ".join(names)
    own = text_file is not None
    text = read_features(text_file, chosen) if text_file else text_features([captions[tile] for tile in chosen], seed)
    facts["text_features"] = text_file.name if text_file else "TF-IDF of words and word pairs, SVD"
    facts["tiles"], facts["neighbours"] = len(chosen), _NEIGHBOURS
    facts["neighbours_by_chance"] = round(min(_NEIGHBOURS, len(chosen) - 1) / (len(chosen) - 1), 4)
    maps["text"] = to_map(text, seed)
    facts["different_texts"] = len({captions[tile] for tile in chosen})
    if image.shape[1] >= 2:
        maps["image"] = to_map(image, seed)
        facts["text_neighbours_shared"] = round(neighbours_shared(image, text, seed), 4)
    else:
        facts["left_out"].append("The index has fewer than two figures (q_*, g_*) that differ between tiles.")
    templates = template_texts(data, template_source)
    if all(tile in templates for tile in chosen):
        template = text_features([templates[tile] for tile in chosen], seed)
        facts["different_templates"] = len({templates[tile] for tile in chosen})
        maps["template"] = to_map(template, seed)
        if "image" in maps:
            facts["template_neighbours_shared"] = round(neighbours_shared(image, template, seed), 4)
        if own:
            facts["left_out"].append("Templates are mapped by TF-IDF, texts by the features given: compare with care.")
    else:
        facts["left_out"].append(
            f"{template_source} lacks texts of some tiles."
            if template_source
            else "There are no labels to make template texts from."
        )
    return _labels(corpus, chosen)


def _labels(corpus: Corpus, chosen: list[str]) -> list[str]:
    """Prevailing landform of each tile where truth tells it, else its instruction set."""
    truth = corpus.data.truth() if corpus.data else {}
    if all(tile in truth for tile in chosen):
        shares = [landform_shares(truth[tile]["shares"]) for tile in chosen]
        return [max(share, key=lambda name: share[name]) for share in shares]
    sets = corpus.rows.drop_duplicates("record").set_index("record")["instruction_set"]
    return [str(sets[tile]) for tile in chosen]


def _some(items: list[str], most: int, rng: np.random.Generator) -> list[str]:
    """At most so many, drawn without order but kept in order."""
    if len(items) <= most:
        return items
    return [items[at] for at in sorted(rng.choice(len(items), most, replace=False))]
