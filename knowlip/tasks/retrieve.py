"""Image-text retrieval: cosine over the whole gallery, then image-text matching re-orders the best (BLIP).

The gallery of texts holds each distinct text once; a query text has every image that carries it as right answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from knowlip.base.examples import ShownExample, ShownItem
from knowlip.base.progress import track
from knowlip.base.rows import Json, Row
from knowlip.dataset.texts import resting_rows
from knowlip.language.captions import compose_texts, split_caption
from knowlip.language.statements import SEEN
from knowlip.models.encoders import Encoder, TextImageEncoder, WritingEncoder
from knowlip.objectives import candidate_scores
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import Estimate, chance_recall, mean, proportion, ranks_of_positives

CUTOFFS = (1, 5, 10)
_BATCH = 128


@dataclass
class Direction:
    """One direction of retrieval, ready to be scored: Q queries against a gallery of G."""

    cosine: np.ndarray
    """(Q, G)."""
    positive: np.ndarray
    """(Q, G) bool."""
    clusters: np.ndarray
    """(Q,) cluster of each query."""
    matched: dict[int, dict[int, float]] = field(default_factory=dict)
    """Query -> candidate -> probability of matching, for the queries that were re-ranked."""
    temperature: float = 1.0

    def scores(self, query: int, fused: bool = True) -> np.ndarray:
        """(G,) final scores of a query, re-ranked where that was done: matched candidates before all others, by
        :func:`knowlip.objectives.candidate_scores`, or by cosine + probability (BLIP) where `fused` is off."""
        scores = self.cosine[query].astype(float)
        if query in self.matched:
            at = np.fromiter(self.matched[query], int)
            probability = np.fromiter(self.matched[query].values(), float)
            if fused:
                best = candidate_scores(scores[at], probability, self.temperature)
            else:
                best = scores[at] + probability
            scores[at] = best - best.min() + scores.max() + 1
        return scores


@dataclass(frozen=True)
class Recalls:
    """Recall at each of `CUTOFFS`, and what a random order gives."""

    at: dict[int, Estimate]
    chance: dict[int, float]
    median_rank: float


def recalls(scores: np.ndarray, positive: np.ndarray, clusters: np.ndarray) -> Recalls:
    """Recall of Q queries against a gallery of G.

    Args:
        scores: (Q, G).
        positive: (Q, G) bool.
        clusters: (Q,).
    """
    ranks, gallery = ranks_of_positives(scores, positive), positive.shape[1]
    return Recalls(
        {k: proportion(ranks <= k, clusters) for k in CUTOFFS},
        {k: chance_recall(positive.sum(1), gallery, k) for k in CUTOFFS},
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
    positive, clusters = direction.positive[chosen], direction.clusters[chosen]
    before = ranks_of_positives(direction.cosine[chosen], positive)
    after = ranks_of_positives(np.stack([direction.scores(int(i), fused) for i in chosen]), positive)
    return {
        k: Reranking(
            proportion(before <= k, clusters),
            proportion(after <= k, clusters),
            mean((after <= k).astype(float) - (before <= k), clusters),
        )
        for k in CUTOFFS
    }


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """Recall in both directions, by cosine and re-ranked by matching, on the annotator's texts."""
    if not isinstance(encoder, TextImageEncoder):
        note = "It does not read texts."
        return Measured((bench.row("retrieve", encoder.name, "image to text R@1", None, note=note),))
    whole = compose_texts(bench.texts)
    read: dict[str, str] = {}
    if encoder.card.grounded_on == "visual":
        seen = compose_texts(resting_rows(bench.texts, SEEN))
        read = {text: seen.get(tile_id, text) for tile_id, text in whole.items()}
    directions, gallery = retrieval(
        encoder,
        bench.images(encoder),
        [whole[tile_id] for tile_id in bench.tile_ids],
        [bench.clusters[tile_id] for tile_id in bench.tile_ids],
        bench.k_test,
        bench.limits.rerank_queries,
        bench.seed,
        read,
    )
    order = _frequent_first(bench, gallery)
    rows: list[Row] = []
    details: dict[str, Json] = {}
    for name, direction in directions.items():
        # Of images nothing is known in advance, of texts how often training said them.
        known = order if name == "image_to_text" else None
        cosine = recalls(direction.cosine, direction.positive, direction.clusters)
        for k in CUTOFFS:
            floors = _floors(k, direction.positive, known)
            rows.append(bench.row("retrieve", encoder.name, f"{_WORDS[name]} R@{k}", cosine.at[k], floors))
        facts: dict[str, Json] = {"gallery": direction.positive.shape[1], "median_rank": cosine.median_rank}
        if direction.matched:
            changes, added = reranking(direction), reranking(direction, fused=False)
            positive = direction.positive[sorted(direction.matched)]
            for k, change in changes.items():
                floors = {**_floors(k, positive, known), "cosine alone, same queries": change.cosine.value}
                metric = f"{_WORDS[name]} R@{k} re-ranked"
                rows.append(bench.row("retrieve", encoder.name, metric, change.reranked, floors))
            for k, change in changes.items():
                metric, nothing = f"{_WORDS[name]} R@{k}, re-ranked minus cosine", {"cosine alone": 0.0}
                rows.append(bench.row("retrieve", encoder.name, metric, change.difference, nothing, unit="number"))
            facts |= {"k_test": bench.k_test, "reranked_queries": len(direction.matched)}
            facts |= {f"r{k}_by_cosine": change.cosine.value for k, change in changes.items()}
            facts |= {f"r{k}_by_cosine_ci": change.cosine.ends for k, change in changes.items()}
            facts |= {f"r{k}_reranked": change.reranked.value for k, change in changes.items()}
            facts |= {f"r{k}_reranking_helps": change.helps for k, change in changes.items()}
            facts |= {f"r{k}_cosine_plus_probability": change.reranked.value for k, change in added.items()}
        details[name] = facts
    shown = examples(directions, gallery, bench.tile_ids, bench.limits.examples, seed=bench.seed)
    return Measured(tuple(rows), shown, details)


_WORDS: Final = {"image_to_text": "image to text", "text_to_image": "text to image"}


def _floors(k: int, positive: np.ndarray, order: Sequence[int] | None) -> dict[str, float | None]:
    """Recall of a random order, and of one order of the gallery for all queries where there is one."""
    often = None if order is None else float(positive[:, order[:k]].any(1).mean())
    return {"chance": chance_recall(positive.sum(1), positive.shape[1], k), "frequent texts": often}


def _frequent_first(bench: Bench, gallery: Sequence[str]) -> list[int]:
    """One order of the gallery for all images, without looking: the texts that training knows best come first."""
    known = bench.data.texts(0)
    train = known[known["tile_id"].isin(set(bench.data.tiles("train")["tile_id"]))]
    count = Counter(compose_texts(train).values())
    return sorted(range(len(gallery)), key=lambda i: (-count[gallery[i]], gallery[i]))


def retrieval(
    model: TextImageEncoder,
    images: EncodedImages,
    texts: Sequence[str],
    clusters: Sequence[str],
    k_test: int = 16,
    rerank_queries: int = 96,
    seed: int = 0,
    read: Mapping[str, str] | None = None,
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
    cosine = (images.features @ features.T).numpy()
    positive = own[:, None] == np.arange(len(gallery))
    first_image = [int(np.flatnonzero(own == i)[0]) for i in range(len(gallery))]
    cluster_of = np.asarray(clusters)
    directions = {
        "image_to_text": Direction(cosine, positive, cluster_of),
        "text_to_image": Direction(cosine.T.copy(), positive.T.copy(), cluster_of[first_image]),
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
        found = probability[row * k_test : (row + 1) * k_test]
        direction.matched[int(query)] = dict(zip(best[row].tolist(), found.tolist()))


_KINDS: Final = {"image_to_text": "An image looks for its text", "text_to_image": "A text looks for its image"}


def examples(
    directions: Mapping[str, Direction],
    gallery: Sequence[str],
    tile_ids: Sequence[str],
    count: int = 6,
    shown: int = 4,
    seed: int = 0,
) -> tuple[ShownExample, ...]:
    """A fair draw of queries for the report: random ones, not the best ones, so hits and misses occur as they do.

    Args:
        directions: as :func:`retrieval` gives them.
        gallery: the distinct texts.
        tile_ids: of the images.
        count: queries a direction.
        shown: candidates of each, best first.
        seed: of the draw.
    """
    found = []
    for name, direction in directions.items():
        image_is_query = name == "image_to_text"
        queries, items = (tile_ids, gallery) if image_is_query else (gallery, tile_ids)
        pool = np.array(sorted(direction.matched)) if direction.matched else np.arange(len(direction.cosine))
        for query in (int(q) for q in np.random.default_rng(seed).permutation(pool)[:count]):
            scores, positive = direction.scores(query), direction.positive[query]
            right = [items[i] for i in np.flatnonzero(positive)[:8]]
            given = []
            for i in np.argsort(-scores, kind="stable")[:shown]:
                # Both parts of the score are shown, so that a reader sees which of them was wrong.
                note = f"cos {direction.cosine[query, i]:.2f}"
                if i in (matched := direction.matched.get(query, {})):
                    note += f", match {matched[i]:.2f}"
                if image_is_query and not positive[i]:
                    note += _alike(items[i], right[0])
                given.append(_item(items[i], not image_is_query, bool(positive[i]), note))
            rank = int(ranks_of_positives(scores[None], positive[None])[0])
            found.append(
                ShownExample(
                    "retrieve",
                    _KINDS[name],
                    _item(queries[query], image_is_query),
                    tuple(given),
                    tuple(_item(item, not image_is_query) for item in right),
                    f"right answer at rank {rank}",
                )
            )
    return tuple(found)


def _item(name: str, is_image: bool, right: bool | None = None, note: str = "") -> ShownItem:
    return ShownItem("" if is_image else name, name if is_image else "", right, note)


def _alike(text: str, right: str) -> str:
    """How many of the right text's sub-texts a wrong candidate shares: near misses are not far off."""
    ours, theirs = (split_caption(one, "terrain")[1] for one in (text, right))
    return f", {sum(ours.get(name) == part for name, part in theirs.items())} of {len(theirs)} sub-texts the same"
