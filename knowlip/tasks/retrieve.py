"""Image-text retrieval: cosine over the whole gallery, then image-text matching re-orders the best (BLIP).

The gallery of texts holds each distinct text once; a query text has every image that carries it as right answers.
Beside that stands what others print: each image and its own text as the one right answer, an identical text of another
image as wrong.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from knowlip.base.examples import ShownExample, ShownItem
from knowlip.base.rows import Json, Row
from knowlip.dataset.texts import resting_rows
from knowlip.language.captions import compose_texts, split_caption
from knowlip.language.statements import SEEN
from knowlip.models.encoders import Encoder, TextImageEncoder
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.metrics import chance_recall, mean_of_means, proportion, ranks_of_positives
from knowlip.tasks.ranking import CUTOFFS, Direction, pair_ranks, recalls, reranking, retrieval
from knowlip.tasks.retrieving import RetrievingConfig, learn_retrieval, rows_of_recall
from knowlip.tasks.runs import BenchTask


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
    hits: list[np.ndarray] = []
    details: dict[str, Json] = {}
    for name, direction in directions.items():
        # Of images nothing is known in advance, of texts how often training said them.
        known = order if name == "image_to_text" else None
        ranks = direction.ranks()
        cosine = recalls(direction, ranks)
        hits.append(np.mean([ranks <= k for k in CUTOFFS], axis=0))
        for k in CUTOFFS:
            floors = _floors(k, direction, known)
            rows.append(bench.row("retrieve", encoder.name, f"{_WORDS[name]} R@{k}", cosine.at[k], floors))
        facts: dict[str, Json] = {"gallery": direction.gallery, "median_rank": cosine.median_rank}
        if direction.matched:
            changes, added = reranking(direction), reranking(direction, fused=False)
            chosen = np.array(sorted(direction.matched))
            for k, change in changes.items():
                floors = {**_floors(k, direction, known, chosen), "cosine alone, same queries": change.cosine.value}
                metric = f"{_WORDS[name]} R@{k} re-ranked"
                rows.append(bench.row("retrieve", encoder.name, metric, change.reranked, floors))
            for k, change in changes.items():
                metric, nothing = f"{_WORDS[name]} R@{k}, re-ranked minus cosine", {"cosine alone": 0.0}
                rows.append(bench.row("retrieve", encoder.name, metric, change.difference, nothing, unit="number"))
            facts |= {"k_test": min(bench.k_test, direction.gallery), "reranked_queries": len(direction.matched)}
            facts |= {f"r{k}_by_cosine": change.cosine.value for k, change in changes.items()}
            facts |= {f"r{k}_by_cosine_ci": change.cosine.ends for k, change in changes.items()}
            facts |= {f"r{k}_reranked": change.reranked.value for k, change in changes.items()}
            facts |= {f"r{k}_reranking_helps": change.helps for k, change in changes.items()}
            facts |= {f"r{k}_cosine_plus_probability": change.reranked.value for k, change in added.items()}
        details[name] = facts
    rows.append(_mean_row(bench, encoder.name, directions, hits, order))
    rows += _pair_rows(bench, encoder.name, directions["image_to_text"])
    shown = examples(directions, gallery, bench.tile_ids, bench.limits.examples, seed=bench.seed)
    return Measured(tuple(rows), shown, details)


_WORDS: Final = {"image_to_text": "image to text", "text_to_image": "text to image"}


def _floors(
    k: int, direction: Direction, order: Sequence[int] | None, queries: np.ndarray | None = None
) -> dict[str, float | None]:
    """Recall of a random order, and of one order of the gallery for all queries where there is one."""
    queries = np.arange(len(direction)) if queries is None else queries
    often = None
    if order is not None:
        often = float(np.isin(direction.right_Q[queries], direction.right_G[list(order[:k])]).mean())
    return {"chance": chance_recall(direction.positives_Q[queries], direction.gallery, k), "frequent texts": often}


def _mean_row(
    bench: Bench, encoder: str, directions: Mapping[str, Direction], hits: Sequence[np.ndarray], order: Sequence[int]
) -> Row:
    """Mean of the six recalls, as papers print it: both directions at 1, 5 and 10."""
    found = mean_of_means(hits, [direction.clusters for direction in directions.values()])
    blind = [
        _floors(k, direction, order if name == "image_to_text" else None)
        for name, direction in directions.items()
        for k in CUTOFFS
    ]
    floor = float(np.mean([max(value for value in one.values() if value is not None) for one in blind]))
    return bench.row("retrieve", encoder, "mean recall", found, {"frequent texts and chance": floor})


def _pair_rows(bench: Bench, encoder: str, direction: Direction) -> list[Row]:
    return [
        bench.row(
            "retrieve",
            encoder,
            f"{words} R@{k}, identical texts wrong",
            proportion(ranks <= k, direction.clusters),
            {"chance": min(1.0, k / len(direction))},
        )
        for words, ranks in pair_ranks(direction).items()
        for k in CUTOFFS
    ]


def _frequent_first(bench: Bench, gallery: Sequence[str]) -> list[int]:
    """One order of the gallery for all images, without looking: the texts that training knows best come first."""
    known = bench.data.texts(0)
    train = known[known["tile_id"].isin(set(bench.data.tiles("train")["tile_id"]))]
    count = Counter(compose_texts(train).values())
    return sorted(range(len(gallery)), key=lambda i: (-count[gallery[i]], gallery[i]))


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
        pool = np.array(sorted(direction.matched)) if direction.matched else np.arange(len(direction))
        for query in (int(q) for q in np.random.default_rng(seed).permutation(pool)[:count]):
            cosine, scores, positive = (
                direction.cosine([query])[0],
                direction.scores(query),
                direction.positive([query])[0],
            )
            right = [items[i] for i in np.flatnonzero(positive)[:8]]
            given = []
            for i in np.argsort(-scores, kind="stable")[:shown]:
                # Both parts of the score are shown, so that a reader sees which of them was wrong.
                note = f"cos {cosine[i]:.2f}"
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


BENCH: Final = BenchTask(config=RetrievingConfig, run=learn_retrieval, rows=rows_of_recall)
