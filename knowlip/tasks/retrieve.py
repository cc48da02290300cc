"""Image-text retrieval: cosine over the whole gallery, then image-text matching re-orders the best (BLIP).

The gallery of texts holds each distinct text once; a query text has every image that carries it as right answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from knowlip.base.progress import track
from knowlip.tasks.images import EncodedImages, VisionLanguageModel
from knowlip.tasks.metrics import chance_recall, proportion, ranks_of_positives

CUTOFFS = (1, 5, 10)
_BATCH = 128
_LIFT = 3.0


@dataclass
class Direction:
    """One direction of retrieval, ready to be scored: Q queries against a gallery of G."""

    cosine: np.ndarray
    """(Q, G)."""
    positive: np.ndarray
    """(Q, G) bool."""
    clusters: np.ndarray
    """(Q,) cluster of each query."""
    reranked: dict[int, np.ndarray]
    """Query -> (G,) scores after matching, for the queries that were re-ranked."""

    def scores(self, query: int) -> np.ndarray:
        """(G,) final scores of a query: re-ranked where that was done."""
        return self.reranked.get(query, self.cosine[query])


def _recalls(ranks: np.ndarray, positive: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
    counts, gallery = positive.sum(1), positive.shape[1]
    result: dict[str, Any] = {"ci": {}, "n": len(ranks), "gallery": gallery, "median_rank": float(np.median(ranks))}
    for k in CUTOFFS:
        share = proportion(ranks <= k, clusters)
        result[f"r{k}"], result["ci"][f"r{k}"] = share.value, list(share.ci or ())
        result[f"chance_r{k}"] = chance_recall(counts, gallery, k)
    result["ci_method"] = proportion(ranks <= 1, clusters).method
    return result


def summary(direction: Direction, k_test: int) -> dict[str, Any]:
    """`r1`, `r5`, `r10`, `chance_r1` ..., `n`, `gallery`, `ci`; `reranked` has the same for the re-ranked queries."""
    result = _recalls(ranks_of_positives(direction.cosine, direction.positive), direction.positive, direction.clusters)
    if direction.reranked:
        chosen = np.array(sorted(direction.reranked))
        positive, clusters = direction.positive[chosen], direction.clusters[chosen]
        after = ranks_of_positives(np.stack([direction.reranked[i] for i in chosen]), positive)
        before = ranks_of_positives(direction.cosine[chosen], positive)
        result["reranked"] = _recalls(after, positive, clusters) | {
            "k_test": k_test,
            "cosine_same_queries": {f"r{k}": float((before <= k).mean()) for k in CUTOFFS},
        }
    return result


def retrieval(
    model: VisionLanguageModel,
    images: EncodedImages,
    texts: Sequence[str],
    clusters: Sequence[str],
    k_test: int = 16,
    rerank_queries: int = 96,
    seed: int = 0,
) -> tuple[dict[str, Direction], list[str]]:
    """Score both directions.

    Args:
        model: gives text features and matching probabilities.
        images: the encoded test images.
        texts: the text of each image, same order.
        clusters: the cluster of each image, for the intervals.
        k_test: how many of the best by cosine are re-ranked by cosine + matching probability; 0 turns it off.
        rerank_queries: at most this many queries a direction are re-ranked (a fixed random choice): matching reads the
            text again for each pair and is by far the most expensive step.
        seed: of that choice.

    Returns:
        `{"image_to_text": Direction, "text_to_image": Direction}` and the list of distinct texts (the gallery).
    """
    gallery = sorted(set(texts))
    number = {text: i for i, text in enumerate(gallery)}
    own = np.array([number[text] for text in texts])
    with torch.inference_mode():
        features = torch.cat(
            [
                model.encode_texts(gallery[i : i + _BATCH]).float().cpu()
                for i in track(range(0, len(gallery), _BATCH), "encode test texts")
            ]
        )
    cosine = (images.features @ features.T).numpy()
    positive = own[:, None] == np.arange(len(gallery))
    first_image = [int(np.flatnonzero(own == i)[0]) for i in range(len(gallery))]
    cluster_of = np.asarray(clusters)
    directions = {
        "image_to_text": Direction(cosine, positive, cluster_of, {}),
        "text_to_image": Direction(cosine.T.copy(), positive.T.copy(), cluster_of[first_image], {}),
    }
    if k_test > 0 and rerank_queries > 0:
        for name, direction in directions.items():
            _rerank(model, images, gallery, direction, name == "image_to_text", k_test, rerank_queries, seed)
    return directions, gallery


def _rerank(
    model: VisionLanguageModel,
    images: EncodedImages,
    gallery: list[str],
    direction: Direction,
    image_is_query: bool,
    k_test: int,
    queries: int,
    seed: int,
) -> None:
    """Fill `direction.reranked`: the `k_test` best get cosine + matching probability + 3, others keep their cosine."""
    total = len(direction.cosine)
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:queries])
    k_test = min(k_test, direction.cosine.shape[1])
    best = np.argsort(-direction.cosine[chosen], axis=1, kind="stable")[:, :k_test]
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
        scores = direction.cosine[query].astype(float)
        at = best[row]
        # Cosines lie in [-1, 1]: adding 3 keeps every re-ranked candidate before every other one.
        scores[at] += probability[row * k_test : (row + 1) * k_test] + _LIFT
        direction.reranked[int(query)] = scores


def examples(
    directions: dict[str, Direction],
    gallery: Sequence[str],
    tile_ids: Sequence[str],
    count: int = 6,
    shown: int = 4,
    seed: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """A fair draw of queries for the report: random ones, not the best ones, so hits and misses occur as they do.

    Returns:
        Direction -> list of `{"query", "rank", "right": [...], "top": [{"item", "cosine", "match", "right"}]}`; items
        are tile ids or texts. `rank` is that of the first right item by the shown scores.
    """
    result = {}
    for name, direction in directions.items():
        queries, items = (tile_ids, gallery) if name == "image_to_text" else (gallery, tile_ids)
        pool = np.array(sorted(direction.reranked)) if direction.reranked else np.arange(len(direction.cosine))
        chosen = np.random.default_rng(seed).permutation(pool)[:count]
        rows = []
        for query in (int(q) for q in chosen):
            scores, positive = direction.scores(query), direction.positive[query]
            top = np.argsort(-scores, kind="stable")[:shown]
            rows.append(
                {
                    "query": queries[query],
                    "rank": int(ranks_of_positives(scores[None], positive[None])[0]),
                    "cosine_rank": int(ranks_of_positives(direction.cosine[query][None], positive[None])[0]),
                    "right": [items[i] for i in np.flatnonzero(positive)[:8]],
                    "top": [
                        {
                            "item": items[i],
                            "cosine": float(direction.cosine[query, i]),
                            # Only re-ranked candidates lie that high, see _rerank.
                            "match": float(scores[i] - direction.cosine[query, i] - _LIFT) if scores[i] > 1.5 else None,
                            "right": bool(positive[i]),
                        }
                        for i in top
                    ],
                }
            )
        result[name] = rows
    return result
