"""Queries against a gallery, in parts: ranks by cosine, re-ranked by matching (BLIP), and of the very pairs.

Shapes: Q queries, G candidates, D width of the embeddings.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from knowlip.base.progress import track
from knowlip.models.encoders import TextImageEncoder, WritingEncoder
from knowlip.objectives import candidate_scores
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import (
    Estimate,
    chance_recall,
    diagonal_ranks,
    mean,
    proportion,
    ranks_of_positives,
)

CUTOFFS: Final = (1, 5, 10)
_BATCH: Final = 128
_MOST_SCORES: Final = 1 << 24
"""Of queries against candidates at a time: 64 MiB of each kind of number."""


@dataclass
class Direction:
    """One direction of retrieval, ready to be scored: Q queries against a gallery of G. Scores are computed a part of
    the queries at a time: of 100,000 against 100,000 all together would be 40 GB."""

    query_QD: np.ndarray
    """Embeddings of the queries, float32."""
    candidate_GD: np.ndarray
    """Embeddings of the gallery, float32."""
    right_Q: np.ndarray
    """What each query looks for, as a number: the candidates of that number are right."""
    right_G: np.ndarray
    clusters: np.ndarray
    """(Q,) cluster of each query."""
    matched: dict[int, dict[int, float]] = field(default_factory=dict)
    """Query -> candidate -> probability of matching, for the queries that were re-ranked."""
    temperature: float = 1.0
    also: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Query -> candidates that are right besides."""

    def __len__(self) -> int:
        return len(self.query_QD)

    @property
    def gallery(self) -> int:
        """Number of candidates."""
        return len(self.candidate_GD)

    def cosine(self, queries: Sequence[int] | np.ndarray) -> np.ndarray:
        """(R, G) of some queries."""
        found: np.ndarray = self.query_QD[np.asarray(queries)] @ self.candidate_GD.T
        return found

    def positive(self, queries: Sequence[int] | np.ndarray) -> np.ndarray:
        """(R, G) bool of some queries."""
        found: np.ndarray = self.right_Q[np.asarray(queries)][:, None] == self.right_G
        for row, query in enumerate(np.asarray(queries).tolist()):
            if query in self.also:
                found[row, self.also[query]] = True
        return found

    @property
    def positives_Q(self) -> np.ndarray:
        """(Q,) how many candidates are right."""
        numbers, counts = np.unique(self.right_G, return_counts=True)
        found = np.asarray(counts[np.searchsorted(numbers, self.right_Q)])
        for query in self.also:
            found[query] = self.positive([query]).sum()
        return found

    def ranks(self, lent_Q: np.ndarray | None = None, lent_G: np.ndarray | None = None) -> np.ndarray:
        """(Q,) rank of the best right candidate of each query by cosine, see :func:`ranks_of_positives`.

        Args:
            lent_Q: query whose embedding stands in for that of each query.
            lent_G: candidate whose embedding stands in for that of each candidate.
        """
        queries = np.arange(len(self)) if lent_Q is None else lent_Q
        parts = []
        for part in parts_of(len(self), self.gallery):
            scores = self.cosine(queries[part])
            parts.append(ranks_of_positives(scores if lent_G is None else scores[:, lent_G], self.positive(part)))
        return np.concatenate(parts)

    def scores(self, query: int, fused: bool = True) -> np.ndarray:
        """(G,) final scores of a query, re-ranked where that was done: matched candidates before all others, by
        :func:`knowlip.objectives.candidate_scores`, or by cosine + probability (BLIP) where `fused` is off."""
        scores = self.cosine([query])[0].astype(float)
        if query in self.matched:
            at = np.fromiter(self.matched[query], int)
            probability = np.fromiter(self.matched[query].values(), float)
            if fused:
                best = candidate_scores(scores[at], probability, self.temperature)
            else:
                best = scores[at] + probability
            scores[at] = best - best.min() + scores.max() + 1
        return scores


def parts_of(queries: int, gallery: int) -> Iterator[np.ndarray]:
    """Numbers of queries, so many at a time that their scores stay small."""
    at_once = max(1, _MOST_SCORES // max(1, gallery))
    for start in range(0, queries, at_once):
        yield np.arange(start, min(start + at_once, queries))


@dataclass(frozen=True)
class Recalls:
    """Recall at each of `CUTOFFS`, and what a random order gives."""

    at: dict[int, Estimate]
    chance: dict[int, float]
    median_rank: float


def recalls(direction: Direction, ranks: np.ndarray | None = None) -> Recalls:
    """Recall of all queries of a direction, by cosine.

    Args:
        direction: the queries and their gallery.
        ranks: (Q,) of :meth:`Direction.ranks`, where they are known.
    """
    ranks = direction.ranks() if ranks is None else ranks
    return Recalls(
        {k: proportion(ranks <= k, direction.clusters) for k in CUTOFFS},
        {k: chance_recall(direction.positives_Q, direction.gallery, k) for k in CUTOFFS},
        float(np.median(ranks)),
    )


@dataclass(frozen=True)
class Reranking:
    """What re-ranking changes at one cut-off, on the same queries."""

    cosine: Estimate
    reranked: Estimate
    difference: Estimate
    """Re-ranked minus cosine, query by query."""

    @property
    def helps(self) -> str:
        """ "yes" or "no" where the whole interval of the difference lies on one side of 0, else "unclear"."""
        low, high = self.difference.ci or (-1.0, 1.0)
        return "yes" if low > 0 else "no" if high < 0 else "unclear"


def reranking(direction: Direction, fused: bool = True) -> dict[int, Reranking]:
    """Recall of the re-ranked queries by cosine alone and re-ranked, at each of `CUTOFFS`."""
    chosen = np.array(sorted(direction.matched))
    clusters = direction.clusters[chosen]
    before, after = (
        np.array([int(ranks_of_positives(scores, direction.positive([i]))[0]) for i, scores in pairs])
        for pairs in (
            ((i, direction.cosine([i])) for i in chosen),
            ((i, direction.scores(int(i), fused)[None]) for i in chosen),
        )
    )
    return {
        k: Reranking(
            proportion(before <= k, clusters),
            proportion(after <= k, clusters),
            mean((after <= k).astype(float) - (before <= k), clusters),
        )
        for k in CUTOFFS
    }


def pair_ranks(direction: Direction) -> dict[str, np.ndarray]:
    """Ranks where each image's own text, and no identical one, is the right answer, and the other way round.

    Args:
        direction: image to text: its queries are all images, and each looks for its own text.

    Returns:
        "image to text" and "text to image" -> (Q,) for each image and for its text.
    """
    images, texts, own = direction.query_QD, direction.candidate_GD, direction.right_Q
    found: dict[str, list[np.ndarray]] = {"image to text": [], "text to image": []}
    each = np.array_equal(own, np.arange(len(texts)))  # then there is no column to put elsewhere
    for part in parts_of(len(images), len(images)):
        scores = images[part] @ texts.T
        found["image to text"].append(diagonal_ranks(scores if each else scores[:, own], part))
        found["text to image"].append(diagonal_ranks(texts[own[part]] @ images.T, part))
    return {words: np.concatenate(ranks) for words, ranks in found.items()}


def retrieval(
    model: TextImageEncoder,
    images: EncodedImages,
    texts: Sequence[str],
    clusters: Sequence[str],
    k_test: int = 16,
    rerank_queries: int = 96,
    seed: int = 0,
    read: Mapping[str, str] | None = None,
    captions: Sequence[Collection[str]] = (),
) -> tuple[dict[str, Direction], list[str]]:
    """Score both directions.

    Args:
        model: gives embeddings of texts and, where it can match, probabilities.
        images: the encoded test images.
        texts: the text of each image, same order.
        clusters: the cluster of each image, for the intervals.
        k_test: how many of the best by cosine are matched and re-ranked; 0 turns it off.
        rerank_queries: at most this many queries a direction are re-ranked (a fixed random choice): matching reads the
            text again for each pair and is by far the most expensive step.
        seed: of that choice.
        read: text -> what matching reads of it, where that is not the whole.
        captions: all that is said of each image: another image's text that is among them is right too.

    Returns:
        `{"image_to_text": Direction, "text_to_image": Direction}` and the list of distinct texts (the gallery).
    """
    gallery = sorted(set(texts))
    number = {text: i for i, text in enumerate(gallery)}
    own = np.array([number[text] for text in texts])
    with torch.inference_mode():
        features = torch.cat(
            [
                model.text(gallery[i : i + _BATCH]).float().cpu()
                for i in track(range(0, len(gallery), _BATCH), "encode test texts")
            ]
        )
    pixels, words, numbers = images.features.numpy(), features.numpy(), np.arange(len(gallery))
    _, first_image = np.unique(own, return_index=True)
    cluster_of = np.asarray(clusters)
    # One text of each image makes the gallery; what is true of it by another of its captions is not wrong of it.
    said: dict[int, list[int]] = {}
    images_of: dict[int, list[int]] = {}
    for image, every in enumerate(captions):
        for text in sorted({number[one] for one in every if one in number} - {own[image]}):
            said.setdefault(image, []).append(text)
            images_of.setdefault(text, []).append(image)
    texts_also, images_also = ({at: np.array(those) for at, those in one.items()} for one in (said, images_of))
    directions = {
        "image_to_text": Direction(pixels, words, own, numbers, cluster_of, also=texts_also),
        "text_to_image": Direction(words, pixels, numbers, own, cluster_of[first_image], also=images_also),
    }
    matched = [(read or {}).get(text, text) for text in gallery]
    if k_test > 0 and rerank_queries > 0 and isinstance(model, WritingEncoder):
        for name, direction in directions.items():
            _rerank(model, images, matched, direction, name == "image_to_text", k_test, rerank_queries, seed)
    return directions, gallery


def _rerank(
    model: WritingEncoder,
    images: EncodedImages,
    gallery: list[str],
    direction: Direction,
    image_is_query: bool,
    k_test: int,
    queries: int,
    seed: int,
) -> None:
    """Fill `direction.matched`: the `k_test` best by cosine are matched."""
    direction.temperature = model.temperature
    chosen = np.sort(np.random.default_rng(seed).permutation(len(direction))[:queries])
    k_test = min(k_test, direction.gallery)
    best = np.concatenate(
        [
            np.argsort(-direction.cosine(chosen[part]), axis=1, kind="stable")[:, :k_test]
            for part in parts_of(len(chosen), direction.gallery)
        ]
    )
    pairs = np.stack([np.repeat(chosen, k_test), best.ravel()], 1)
    probability = np.empty(len(pairs))
    title = "match images to texts" if image_is_query else "match texts to images"
    # Neighbours in length share a batch, so that little of it is padding.
    text_column = 1 if image_is_query else 0
    order = np.argsort([len(gallery[t]) for t in pairs[:, text_column]], kind="stable")
    with torch.inference_mode():
        for start in track(range(0, len(pairs), _BATCH), title):
            batch = order[start : start + _BATCH]
            tokens = images.tokens(pairs[batch, 1 - text_column])
            texts = [gallery[t] for t in pairs[batch, text_column]]
            probability[batch] = model.match(tokens, texts).float().cpu().numpy()
    for row, query in enumerate(chosen):
        found = probability[row * k_test : (row + 1) * k_test]
        direction.matched[int(query)] = dict(zip(best[row].tolist(), found.tolist()))
