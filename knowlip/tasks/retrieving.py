"""Fine-tuning for retrieval, measured on tiles that were kept aside: `knowlip bench run --task retrieve`.

Every wording is a gallery of its own: the first captions of all tiles, their second, and so on, so that tiles with the
same labels have the very same text, and an identical text is a right answer.

`predictions.parquet`, one row a query: `group` (of copies), `direction`, `wording`, `query` (a tile), `rank` of the
best right candidate by cosine, `reranked` (after matching, -1 where that was not done), `positives`, `gallery`, `often`
(its rank in one order of the gallery for all queries, what training says most often first; -1 of texts).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.rows import Json, Row, highest_floor
from knowlip.models.encoders import TextImageEncoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.described import Describing
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import chance_recall, mean_of_means, proportion, ranks_of_positives
from knowlip.tasks.paired import LanguageConfig
from knowlip.tasks.ranking import CUTOFFS, retrieval
from knowlip.tasks.runs import FLOOR, notes_of, read_predictions, write_predictions
from knowlip.training.loop import train

DIRECTIONS: Final = ("image to text", "text to image")


class Ranked(NamedTuple):
    """One direction of retrieval: Q queries."""

    place_Q: np.ndarray
    """Position of the image that each query is, or (of a text) of the first image that has it."""
    rank_Q: np.ndarray
    """Rank of the best right candidate by cosine, from 1."""
    reranked_Q: np.ndarray
    """The same after matching; -1 where that was not done."""
    positives_Q: np.ndarray
    """How many candidates are right."""
    gallery: int


def rank_queries(
    model: TextImageEncoder,
    images: EncodedImages,
    texts: Sequence[str],
    clusters: Sequence[str],
    k_test: int,
    rerank_queries: int,
    seed: int,
) -> tuple[Ranked, Ranked]:
    """Both `DIRECTIONS`; arguments as of :func:`knowlip.tasks.ranking.retrieval`."""
    directions, gallery = retrieval(model, images, texts, clusters, k_test, rerank_queries, seed)
    first = {text: at for at, text in reversed(list(enumerate(texts)))}
    places = np.arange(len(texts)), np.array([first[text] for text in gallery])
    found = []
    for place_Q, direction in zip(places, directions.values()):
        reranked = np.full(len(direction), -1)
        for query in direction.matched:
            reranked[query] = ranks_of_positives(direction.scores(query)[None], direction.positive([query]))[0]
        found.append(Ranked(place_Q, direction.ranks(), reranked, direction.positives_Q, direction.gallery))
    return found[0], found[1]


@dataclass(kw_only=True)
class RetrievingConfig(LanguageConfig):
    """Everything that decides the result of fine-tuning for retrieval."""

    infill: float = 0.0
    k_test: int = 16
    """How many of the best by cosine are matched and re-ranked; 0 for none."""
    rerank_queries: int = 200
    """Most queries of each direction and wording that are re-ranked, a fixed random choice; matching is by far the most
    expensive step."""
    wordings: int = 5
    """Most captions of each tile that are measured, each as a gallery of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k_test < 0 or self.rerank_queries < 0 or self.wordings < 1:
            raise ValueError("k_test and rerank_queries must not be negative, wordings at least 1.")


def learn_retrieval(config: RetrievingConfig) -> dict[str, Any]:
    """Train, measure on what was kept aside, and write `out/model`, `out/metrics.json` and `out/predictions.parquet`.

    Raises:
        ValueError: too few captions, a model that reads no texts or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    return train(Retrieving, config, unused=True)


class Retrieving(Describing):
    """Images and captions in one space, and matching."""

    name = "retrieve"
    config: RetrievingConfig

    few = ""
    """What is said where tiles have too few captions for all wordings."""

    @property
    def note(self) -> str:
        return " ".join(one for one in (super().note, self.few) if one)

    def measure(self, encoder: KnowLIPEncoder) -> tuple[tuple[Row, ...], dict[str, Json]]:
        """Rank the captions of the tiles that were kept aside."""
        # A gallery has one wording: with several in it, the same words about another tile would be counted as wrong.
        config, test = self.config, list(self.division.test)
        images, references = EncodedImages(encoder, self.dataset, test), self.references()
        groups, count = self.division.clusters(test), min([config.wordings, *map(len, references)])
        often = Counter(text for texts in self.captions for text in texts)
        parts = []
        for wording in range(count):
            texts = [said[wording] for said in references]
            gallery = sorted({*texts}, key=lambda text: (-often[text], text))
            place = {text: number for number, text in enumerate(gallery, 1)}
            how = (config.k_test, config.rerank_queries, config.split_seed)
            for direction, found in zip(DIRECTIONS, rank_queries(encoder, images, texts, groups, *how)):
                of_image = direction == DIRECTIONS[0]
                parts.append(
                    pd.DataFrame(
                        {
                            "group": [groups[at] for at in found.place_Q],
                            "direction": direction,
                            "wording": wording,
                            "query": [test[at] for at in found.place_Q],
                            "rank": found.rank_Q,
                            "reranked": found.reranked_Q,
                            "positives": found.positives_Q,
                            "gallery": found.gallery,
                            "often": [place[texts[at]] if of_image else -1 for at in found.place_Q],
                        }
                    )
                )
        table = pd.concat(parts, ignore_index=True)
        write_predictions(table, config.out)
        data = config.dataset.resolve().name
        most = max(map(len, references))
        fewer = sum(len(texts) < min(config.wordings, most) for texts in references)
        self.few = f"{count} of up to {most} captions a tile are measured: {fewer} tiles have no more." if fewer else ""
        rows = recall_rows(table, data, config.split_name, config.encoder, self.note, self.division.note)
        largest = {str(way): int(most) for way, most in table.groupby("direction")["gallery"].max().items()}
        details: dict[str, Json] = {"wordings": count, "gallery": largest}
        return rows, details


def recall_rows(
    table: pd.DataFrame, data: str, split: str, encoder: str, note: str = "", floor_note: str = ""
) -> tuple[Row, ...]:
    """Recall in both directions at 1, 5 and 10, by cosine and re-ranked, their mean, and what one reaches without
    looking.

    Args:
        table: predictions of one or more folds.
        data, split, encoder: as rows name them.
        note: what a reader must know besides.
        floor_note: the same of the floors.
    """
    # What was not re-ranked has no rank after matching: the two hows count different queries, and say how many.
    rows: list[Row] = []
    floors_: list[Row] = []
    groups: dict[str, list[np.ndarray]] = {"cosine": [], "re-ranked": []}
    clusters: dict[str, list[np.ndarray]] = {"cosine": [], "re-ranked": []}
    blind: list[float] = []
    for direction in DIRECTIONS:
        part = table[table["direction"] == direction]
        for k in CUTOFFS:
            chance = float(np.mean([chance_recall([p], g, k) for p, g in zip(part["positives"], part["gallery"])]))
            found: dict[str, float | None] = {"chance": chance}
            if (part["often"] >= 0).any():
                found["frequent texts"] = float((part["often"] <= k).mean())
            floor, name = highest_floor(found)
            blind.append(floor or 0.0)
            for how, column in (("cosine", "rank"), ("re-ranked", "reranked")):
                some = part[part[column] > 0]
                if some.empty:
                    continue
                hit, of = (some[column] <= k).to_numpy(), some["group"].astype(str).to_numpy()
                groups[how].append(hit.astype(float))
                clusters[how].append(of)
                one = proportion(hit, of)
                said = " ".join(text for text in (note, one.note) if text)
                head = (data, split, "retrieve", encoder, f"{direction} R@{k}, {how}")
                rows.append(Row(*head, one.value, one.ci, one.n, floor, name, said))
            for who, value in found.items():
                if value is not None:
                    head = (data, split, "retrieve", f"{FLOOR}{who}", f"{direction} R@{k}")
                    floors_.append(Row(*head, value, None, len(part), floor, name, floor_note))
    first = []
    for how, each in groups.items():
        if each:
            one = mean_of_means(each, clusters[how])
            said = " ".join(text for text in (note, one.note) if text)
            head = (data, split, "retrieve", encoder, f"mean recall, {how}")
            first.append(Row(*head, one.value, one.ci, one.n, float(np.mean(blind)), "frequent texts and chance", said))
    return (*first, *rows, *floors_)


def rows_of_recall(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures over finished run folders, the folds of one seed: every query counts once, against the gallery of its
    fold."""
    note, floor_note = notes_of(folders, "retrieve", encoder)
    table = read_predictions(folders, ["direction", "wording", "query"])
    return recall_rows(table, data, split, encoder, note, floor_note)
