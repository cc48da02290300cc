"""Maps of images and texts (t-SNE), and how well the neighbours of a text are the neighbours of its image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from knowlip.annotators.labels import LabelsAnnotator
from knowlip.annotators.stats.corpus import TextCorpus, load
from knowlip.annotators.stats.lexical import words
from knowlip.base.vocabulary import landform_shares
from knowlip.dataset import Dataset
from knowlip.language.captions import headed

_SVD, _PERPLEXITY, _NEIGHBOURS, _FEWEST = 50, 30.0, 10, 12


def text_features(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """(N, D) features of unit length: TF-IDF of words and word pairs, reduced to at most 50 dimensions by SVD."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    weights = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, dtype=np.float64).fit_transform(texts)
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


def neighbours_shared(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> float:
    """Mean share of the 10 nearest neighbours in `a` that are among the 10 nearest in `b` (Euclidean; ties, such as
    between equal texts, fall by lot). By chance it is 10 / (N - 1)."""
    from sklearn.neighbors import NearestNeighbors

    order = np.random.default_rng(seed).permutation(len(a))
    k = min(_NEIGHBOURS, len(a) - 1)
    sets = [NearestNeighbors(n_neighbors=k).fit(x[order]).kneighbors(return_distance=False) for x in (a, b)]
    return float(np.mean([len(np.intersect1d(p, q)) / k for p, q in zip(*sets)]))


def template_texts(data: Dataset, source: str) -> dict[str, str]:
    """Tile -> template text: sentences made from labels alone, the baseline of the paper's figure 11.

    Args:
        data: the data set.
        source: a data set of the same tiles with template texts, or a caption file whose records have a `tile_id`; ""
            takes what the `labels` annotator writes.

    Returns:
        {} where there are no labels.
    """
    if source:
        return load(source).captions()
    try:
        annotator = LabelsAnnotator(data)
    except ValueError:
        return {}
    notes = (annotator.annotate_tile(tile) for tile in data.tiles()["tile_id"])
    return {note.tile_id: " ".join(headed(sub.dimension, sub.text) for sub in note.sub_texts) for note in notes}


@dataclass(frozen=True)
class Projection:
    """Maps; those that cannot be made are absent, with a sentence under facts["left_out"]."""

    maps: dict[str, NDArray[np.float64]]
    """"image", "text", "template" (of the first corpus' tiles), "sources" (texts of all corpora) -> (N, 2)."""
    labels: list[str]
    """What each tile is coloured by."""
    source_of: list[str]
    """Name of each point of "sources"."""
    facts: dict[str, Any]
    """What was mapped and how, JSON values."""


def project(
    corpora: Sequence[TextCorpus],
    most: int,
    seed: int,
    image_file: Path | None = None,
    text_file: Path | None = None,
    templates: str = "",
) -> Projection:
    """Maps of the first corpus's images, texts and templates, and of the texts of all corpora.

    Args:
        corpora: the texts; images are those of the first, where it is a data set.
        most: points in a map, at most.
        seed: of the draw, the SVD and the maps.
        image_file: features of images, see :func:`read_features`; None takes the figures of the index.
        text_file: features of texts; None takes :func:`text_features`.
        templates: see :func:`template_texts`.
    """
    # One source of chance in a fixed order: the same seed draws the same tiles whatever can be mapped.
    first, rng = corpora[0], np.random.default_rng(seed)
    made = Projection({}, [], [], {"left_out": [], "seed": seed, "method": "t-SNE"})
    if first.data is None:
        made.facts["left_out"].append(f"{first.name} is a file with captions: it has no images to map.")
    elif first.records < _FEWEST:
        made.facts["left_out"].append(f"{first.name} has fewer than {_FEWEST} tiles with texts.")
    else:
        chosen = _some(sorted(first.captions()), most, rng)
        texts = read_features(text_file, chosen) if text_file else None
        image, called = image_features(first.data.tiles().set_index("tile_id").loc[chosen])
        if image_file is not None:
            image, called = read_features(image_file, chosen), [image_file.name]
        made.facts["image_features"] = ", ".join(called)
        made.facts["text_features"] = text_file.name if text_file else "TF-IDF of words and word pairs, SVD"
        _map_tiles(made, first, chosen, image, texts, templates)
        made.labels.extend(_labels(first, chosen))
    captions = []
    for corpus in corpora:
        of_corpus = corpus.captions()
        records = _some(list(of_corpus), max(1, most // len(corpora)), rng)
        captions += [of_corpus[record] for record in records]
        made.source_of.extend([corpus.name] * len(records))
    if len(captions) >= _FEWEST and (len(corpora) > 1 or "text" not in made.maps):
        made.maps["sources"] = tsne(text_features(captions, seed), seed)
        made.facts["sources"] = len(captions)
    return made


def _map_tiles(
    made: Projection,
    corpus: TextCorpus,
    chosen: list[str],
    image: NDArray[np.float64],
    text: NDArray[np.float64] | None,
    source: str,
) -> None:
    """Add the maps of a data set's tiles by image, text and template, and how far their neighbours agree."""
    # Neighbours are compared in the features, before the maps: distances in a map mean little.
    assert corpus.data is not None
    maps, facts, seed = made.maps, made.facts, int(made.facts["seed"])
    captions, own = corpus.captions(), text is not None
    if text is None:
        text = text_features([captions[tile] for tile in chosen], seed)
    facts["tiles"], facts["neighbours"] = len(chosen), _NEIGHBOURS
    facts["neighbours_by_chance"] = round(min(_NEIGHBOURS, len(chosen) - 1) / (len(chosen) - 1), 4)
    maps["text"] = tsne(text, seed)
    facts["different_texts"] = len({captions[tile] for tile in chosen})
    if image.shape[1] >= 2:
        maps["image"] = tsne(image, seed)
        facts["text_neighbours_shared"] = round(neighbours_shared(image, text, seed), 4)
    else:
        facts["left_out"].append("The index has fewer than two figures (q_*, g_*) that differ between tiles.")
    templates = template_texts(corpus.data, source)
    if not all(tile in templates for tile in chosen):
        no_labels = "There are no labels to make template texts from."
        facts["left_out"].append(f"{source} lacks texts of some tiles." if source else no_labels)
        return
    template = text_features([templates[tile] for tile in chosen], seed)
    facts["different_templates"] = len({templates[tile] for tile in chosen})
    maps["template"] = tsne(template, seed)
    if "image" in maps:
        facts["template_neighbours_shared"] = round(neighbours_shared(image, template, seed), 4)
    if own:
        facts["left_out"].append("Templates are mapped by TF-IDF, texts by the features given: compare with care.")


def _labels(corpus: TextCorpus, chosen: list[str]) -> list[str]:
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
