"""Fine-tuning for retrieval, measured on tiles that were kept aside: `knowlip bench run --task retrieve`.

Every wording is a gallery of its own: the first captions of all tiles, their second, and so on, so that tiles with the
same labels have the very same text, and an identical text is a right answer; so is any text of the gallery that is
another of the image's own captions.

`predictions.parquet`, one row a query: `group` (of copies), `direction`, `wording`, `query` (a tile), `rank` of the
best right candidate by cosine, `reranked` (after matching, -1 where that was not done), `positives`, `gallery`, `often`
(its rank in one order of the gallery for all queries, what training says most often first; -1 of texts), `other` (by
cosine with the images of other tiles in the place of all; -1 where there is none).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.rows import OTHER_IMAGE, Json, Row, Unit, highest_floor
from knowlip.dataset.others import others_of
from knowlip.models.encoders import TextImageEncoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.described import Describing
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.items.records import as_read
from knowlip.tasks.metrics import Estimate, chance_recall, mean, mean_of_means, proportion, ranks_of_positives
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
    other_Q: np.ndarray
    """Rank by cosine with the images of other tiles in the place of all; -1 where there is none."""


def rank_queries(
    model: TextImageEncoder,
    images: EncodedImages,
    texts: Sequence[str],
    clusters: Sequence[str],
    k_test: int,
    rerank_queries: int,
    seed: int,
    captions: Sequence[Collection[str]] = (),
    other: np.ndarray | None = None,
) -> tuple[Ranked, Ranked]:
    """Both `DIRECTIONS`; arguments as of :func:`knowlip.tasks.ranking.retrieval`, and `other`: position of the image
    that stands in for each, -1 where there is none."""
    directions, gallery = retrieval(model, images, texts, clusters, k_test, rerank_queries, seed, captions=captions)
    first = {text: at for at, text in reversed(list(enumerate(texts)))}
    places = np.arange(len(texts)), np.array([first[text] for text in gallery])
    found = []
    for of_image, place_Q, direction in zip((True, False), places, directions.values()):
        reranked = np.full(len(direction), -1)
        for query in direction.matched:
            reranked[query] = ranks_of_positives(direction.scores(query)[None], direction.positive([query]))[0]
        lent = np.full(len(direction), -1)
        if other is not None and of_image:
            lent = np.where(other >= 0, direction.ranks(lent_Q=other), -1)
        elif other is not None and (other >= 0).all():  # else some images of the gallery would be their own
            lent = direction.ranks(lent_G=other)
        found.append(Ranked(place_Q, direction.ranks(), reranked, direction.positives_Q, direction.gallery, lent))
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
        images = EncodedImages(encoder, self.dataset, test)
        known = spelled_once([*self.captions, *self.references()])
        learned, references = known[: len(self.captions)], known[len(self.captions) :]
        groups, count = self.division.clusters(test), min([config.wordings, *map(len, references)])
        index = self.dataset.tiles().set_index("tile_id", drop=False).loc[test]
        other = others_of(index, [""] * len(test), config.split_seed).position_T
        often = Counter(text for texts in learned for text in texts)
        parts = []
        for wording in range(count):
            texts = [said[wording] for said in references]
            gallery = sorted({*texts}, key=lambda text: (-often[text], text))
            place = {text: number for number, text in enumerate(gallery, 1)}
            soonest = [min(place[text] for text in said if text in place) for said in references]
            how = (config.k_test, config.rerank_queries, config.split_seed)
            both = rank_queries(encoder, images, texts, groups, *how, captions=references, other=other)
            for direction, found in zip(DIRECTIONS, both):
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
                            "often": [soonest[at] if of_image else -1 for at in found.place_Q],
                            "other": found.other_Q,
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


def spelled_once(texts: Sequence[Sequence[str]]) -> list[list[str]]:
    """The captions of each image, those that differ from an earlier one by capitals, blanks or a last full stop alone
    as that one has it: a model reads them as the same, and none of them is a wrong answer to the other."""
    first: dict[str, str] = {}
    return [[first.setdefault(as_read(text), text) for text in said] for said in texts]


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
    # What was not re-ranked has no rank after matching: it stands beside floors and cosine of the same queries.
    head, known = (data, split, "retrieve"), table if "other" in table else table.assign(other=-1)
    rows: list[Row] = []
    beside: list[Row] = []
    every: dict[str, list[_Hits]] = {"cosine": [], "re-ranked": [], "other": []}

    def row(who: str, metric: str, one: Estimate, floors: Mapping[str, float | None], unit: Unit = "share") -> Row:
        floor, name = highest_floor(floors)
        said = " ".join(text for text in (floor_note if who.startswith(FLOOR) else note, one.note) if text)
        return Row(*head, who, metric, one.value, one.ci, one.n, floor, name, said, unit)

    for direction in DIRECTIONS:
        part = known[known["direction"] == direction]
        some, lent = part[part["reranked"] > 0], part[part["other"] > 0]
        for k in CUTOFFS:
            blind, metric = _blind(part, k), f"{direction} R@{k}"
            hit = _Hits.of(part, "rank", k, blind)
            every["cosine"].append(hit)
            twin: dict[str, float] = {}
            if not lent.empty:
                other = _Hits.of(lent, "other", k, _blind(lent, k))
                every["other"].append(other)
                twin = {"other image": float(other.hit.mean())}
                beside.append(row(f"{OTHER_IMAGE}{encoder}", f"{metric}, cosine", other.share, _blind(lent, k)))
            rows.append(row(encoder, f"{metric}, cosine", hit.share, blind | twin))
            if not some.empty:
                before, after = (_Hits.of(some, column, k, _blind(some, k)) for column in ("rank", "reranked"))
                every["re-ranked"].append(after)
                same = {"cosine alone, same queries": float(before.hit.mean())}
                rows.append(row(encoder, f"{metric}, re-ranked", after.share, _blind(some, k) | same))
                change = mean(after.hit - before.hit, after.groups)
                rows.append(row(encoder, f"{metric}, re-ranked minus cosine", change, {"cosine alone": 0.0}, "number"))
            for who, value in blind.items():
                one = Estimate(value, None, len(part))
                beside.append(row(f"{FLOOR}{who}", metric, one, blind))
    first = []
    for how, each in every.items():
        if each:
            one = mean_of_means([hit.hit for hit in each], [hit.groups for hit in each])
            floors = {"frequent texts and chance": float(np.mean([hit.floor for hit in each]))}
            who, by = (f"{OTHER_IMAGE}{encoder}", "cosine") if how == "other" else (encoder, how)
            first.append(row(who, f"mean recall, {by}", one, floors))
    return (*first, *rows, *beside)


class _Hits(NamedTuple):
    """What some queries find among the first k."""

    hit: np.ndarray
    groups: np.ndarray
    floor: float
    """Of the same queries."""

    @classmethod
    def of(cls, part: pd.DataFrame, column: str, k: int, blind: Mapping[str, float]) -> "_Hits":
        hit = (part[column] <= k).to_numpy(float)
        return cls(hit, part["group"].astype(str).to_numpy(), max(blind.values()))

    @property
    def share(self) -> Estimate:
        return proportion(self.hit > 0, self.groups)


def _blind(part: pd.DataFrame, k: int) -> dict[str, float]:
    """Recall of some queries in a random order, and in one order of the gallery for all where there is one."""
    found = {"chance": float(np.mean([chance_recall([p], g, k) for p, g in zip(part["positives"], part["gallery"])]))}
    if (part["often"] >= 0).any():
        found["frequent texts"] = float((part["often"] <= k).mean())
    return found


def rows_of_recall(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures over finished run folders, the folds of one seed: every query counts once, against the gallery of its
    fold."""
    note, floor_note = notes_of(folders, "retrieve", encoder)
    table = read_predictions(folders, ["direction", "wording", "query"], tile="query")
    return recall_rows(table, data, split, encoder, note, floor_note)
