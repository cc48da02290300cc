"""What two runs said of the same trials, from their run folders: any figure for any weights of the trials.

A weight says how often a trial counts: 0 or 1 for those of one sensor, a bootstrap's draw, ones for all of them.

Shapes: R rows of weights, N trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from knowlip.base.documents import read_json
from knowlip.base.parquet import read_parquet
from knowlip.base.rows import Row
from knowlip.benchmark.leaderboard.boards import line_of
from knowlip.tasks.answered import hits, kinds_in
from knowlip.tasks.class_rows import right
from knowlip.tasks.detect_rows import read_tables
from knowlip.tasks.metrics.boxes import OVERLAPS, weighted_precision
from knowlip.tasks.segmented import FACTS, read_counted

PREDICTIONS: Final = "predictions.parquet"
_MANY: Final = 2000
_INTERPOLATED: Final = 0.02
_FEW: Final = 400
"""Draws; fewer where a figure takes long (AP)."""


@dataclass(frozen=True)
class KeptTrials:
    """What the runs of one seed measured a figure on."""

    ids: tuple[str, ...]
    """Of the trials, in order."""
    tiles: tuple[str, ...]
    """Tile of each."""
    groups: tuple[str, ...]
    """Group of near copies of each."""
    figure: Callable[[np.ndarray], np.ndarray]
    """Weights (R, N) -> figures (R,), NaN where the weights leave nothing."""
    draws: int = _MANY


class NoTrials(ValueError):
    """Predictions that a figure could be had from are not at hand; the sentence says why."""


def trials_of(row: Row, folders: Sequence[Path]) -> KeptTrials:
    """KeptTrials of a row from the folds of one seed.

    Raises:
        NoTrials: the figure is no figure of trials that are kept, or files are missing or broken.
    """
    _, metric = line_of(row)
    how = row.metric.removeprefix(metric).removeprefix(", ")
    read = {"classify": _classified, "segment": _segmented, "detect": _detected, "vqa": _answered, "retrieve": _found}
    if row.task not in read:
        raise NoTrials(f"of {row.task} no predictions are kept by trial")
    try:
        return read[row.task](folders, metric, how)
    except NoTrials:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise NoTrials(f"its predictions cannot be read ({type(error).__name__})") from None


def mean_of_seeds(row: Row, runs: Sequence[Sequence[Path]]) -> KeptTrials:
    """The figure's mean over seeds, which have measured the same trials.

    Raises:
        NoTrials: as :func:`trials_of`, or seeds have measured other trials.
    """
    seeds = [trials_of(row, folders) for folders in runs]
    if not seeds:
        raise NoTrials("no run folder is at hand")
    first = seeds[0]
    if any((one.ids, one.groups) != (first.ids, first.groups) for one in seeds):
        raise NoTrials("its seeds have measured other trials")
    whole = KeptTrials(
        first.ids,
        first.tiles,
        first.groups,
        lambda weights: np.mean([one.figure(weights) for one in seeds], axis=0),
        first.draws,
    )
    # Rows and predictions come from files: what they say together must be one figure. AP is COCO's in rows, which
    # interpolates at 101 places, and the area itself here.
    (value,) = whole.figure(np.ones((1, len(whole.ids))))
    if row.value is None or not abs(float(value) - row.value) <= (_INTERPOLATED if row.task == "detect" else 1e-6):
        raise NoTrials("its predictions give another figure than its row")
    return whole


def _share(weights_RN: np.ndarray, score_N: np.ndarray) -> np.ndarray:
    """Weighted means (R,)."""
    total = weights_RN.sum(1)
    found = np.divide(weights_RN @ score_N, total, out=np.full(len(weights_RN), np.nan), where=total > 0)
    return np.asarray(found)


def _mean_of_shares(parts: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Mean of the means of parts (masks of the trials), each counting the same."""

    def figure(weights: np.ndarray) -> np.ndarray:
        each = [_share(weights[:, part], score[part]) for part, score in zip(parts, scores)]
        return np.asarray(np.nanmean(each, axis=0))

    return figure


def _table(folders: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([read_parquet(folder / PREDICTIONS).to_pandas() for folder in folders], ignore_index=True)


def _sorted(table: pd.DataFrame, key: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """KeptTrials in the order of their names, each once."""
    table = table.sort_values(list(key), kind="stable").reset_index(drop=True)
    names = table[list(key)].astype(str).agg("\x1f".join, axis=1)
    if names.duplicated().any():
        raise NoTrials("something was measured twice")
    return table, tuple(names)


def _trials(
    table: pd.DataFrame, ids: tuple[str, ...], tile: str, figure: Callable[[np.ndarray], np.ndarray]
) -> KeptTrials:
    return KeptTrials(ids, tuple(table[tile].astype(str)), tuple(table["group"].astype(str)), figure)


def _classified(folders: Sequence[Path], metric: str, how: str) -> KeptTrials:
    name, _, of_class = metric.partition(" of ")
    if name not in ("top-1", "top-3"):
        raise NoTrials(f"{metric} is no share of tiles")
    table = _table(folders)
    table = table[table["class"] == of_class] if of_class else table
    table, ids = _sorted(table, ["tile_id"])
    score = right(table, "said", int(name[-1])).astype(float)
    return _trials(table, ids, "tile_id", lambda weights: _share(weights, score))


def _answered(folders: Sequence[Path], metric: str, how: str) -> KeptTrials:
    column = {"ranked": "ranked", "written": "generated"}.get(how)
    if column is None or not metric.endswith(" accuracy"):
        raise NoTrials(f"{metric} is no share of answers")
    table, ids = _sorted(_table(folders), ["tile_id", "question"])
    score = hits(table, column).astype(float)
    kinds, wanted = table["type"].to_numpy(str), metric.removesuffix(" accuracy")
    if wanted == "mean":
        parts = [kinds == kind for kind in kinds_in(table)]
        return _trials(table, ids, "tile_id", _mean_of_shares(parts, [score] * len(parts)))
    of = kinds == wanted.replace(" ", "_")
    if not of.any():
        raise NoTrials(f"no question of the type {wanted} was asked")
    part = table[of].reset_index(drop=True)
    kept = tuple(name for name, there in zip(ids, of) if there)
    return _trials(part, kept, "tile_id", lambda weights: _share(weights, score[of]))


def _found(folders: Sequence[Path], metric: str, how: str) -> KeptTrials:
    column = {"cosine": "rank", "re-ranked": "reranked"}.get(how)
    direction, _, cut = metric.partition(" R@")
    if column is None or not (metric == "mean recall" or cut.isdigit()):
        raise NoTrials(f"{metric} is no share of queries")
    table = _table(folders)
    table, ids = _sorted(table[table[column] > 0], ["direction", "wording", "query"])
    if cut:
        of = (table["direction"] == direction).to_numpy()
        ids, table = tuple(name for name, there in zip(ids, of) if there), table[of].reset_index(drop=True)
        score = (table[column] <= int(cut)).to_numpy(float)
        return _trials(table, ids, "query", lambda weights: _share(weights, score))
    ways = sorted({*table["direction"]})
    parts = [(table["direction"] == way).to_numpy() for way in ways for _ in (1, 5, 10)]
    scores = [(table[column] <= k).to_numpy(float) for _ in ways for k in (1, 5, 10)]
    return _trials(table, ids, "query", _mean_of_shares(parts, scores))


def _segmented(folders: Sequence[Path], metric: str, how: str) -> KeptTrials:
    classes = [str(one) for one in read_json(folders[0] / FACTS)["classes"]]
    counted = sorted(
        (one for folder in folders for one in read_counted(folder) if one.by == "model"), key=lambda one: one.tile_id
    )
    if len({one.tile_id for one in counted}) < len(counted):
        raise NoTrials("a tile was measured twice")
    matrices = np.stack([one.matrix for one in counted]).astype(float)
    if metric not in ("OA", "mIoU") and metric.removeprefix("IoU ") not in classes:
        raise NoTrials(f"{metric} is no figure of pixels")

    def figure(weights: np.ndarray) -> np.ndarray:
        total = np.einsum("rn,nij->rij", weights.astype(float), matrices)
        hit = np.einsum("rii->ri", total)
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric == "OA":
                return np.asarray(hit.sum(1) / total.sum((1, 2)))
            union = total.sum(1) + total.sum(2) - hit
            iou = np.where(union > 0, hit / union, np.nan)
        # A class that is neither there nor said is no part of the mean, as in knowlip.tasks.metrics.segmentation.
        return np.asarray(np.nanmean(iou, axis=1) if metric == "mIoU" else iou[:, classes.index(metric[4:])])

    ids = tuple(one.tile_id for one in counted)
    return KeptTrials(ids, ids, tuple(one.group for one in counted), figure)


def _detected(folders: Sequence[Path], metric: str, how: str) -> KeptTrials:
    name, _, place = metric.partition(", ")
    if name not in ("AP50", "AP") or place not in ("", "inshore", "offshore"):
        raise NoTrials(f"{metric} is not drawn anew")
    tables = read_tables(folders)
    tiles = tables.tiles[tables.tiles["place"] == place] if place else tables.tiles
    tiles = tiles.sort_values("tile_id")
    ids = tuple(tiles["tile_id"].astype(str))
    found, truth = (table[table["tile_id"].isin(ids)] for table in (tables.found, tables.truth))
    precision = weighted_precision(found, truth, ids, OVERLAPS[:1] if name == "AP50" else OVERLAPS)
    groups = tuple(tiles["group"].astype(str))
    return KeptTrials(ids, ids, groups, lambda weights: np.array([precision(one) for one in weights]), _FEW)
