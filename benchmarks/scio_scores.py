"""What the benchmarks of SCIO share: the evidence of a corpus, scored by every setting of `scio.evidence`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knowlip.dataset import Dataset
from knowlip.language.corruption import corrupt
from knowlip.language.truth import judge
from knowlip.models import KnowLIP
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import FEATURES, Evidence
from knowlip.scio.screening import injected_evidence
from knowlip.scio.thresholds import NoiseModel, fit, noise_score, standardisation
from knowlip.tasks.verdicts import verdicts
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import load_pixels

SETTINGS = ("deltas", "nll", "all")
"""Of `scio.evidence`."""


def corpus_of(dataset: Dataset, model: KnowLIP, cache: Path, tiles: int, seed: int, split: str = "train") -> Corpus:
    """Tiles of a split with texts, a random `tiles` of them (0: all), in the tokens of a model."""
    there = sorted(set(dataset.tiles(split)["tile_id"]) & set(dataset.texts(0)["tile_id"]))
    if 0 < tiles < len(there):
        there = sorted(np.random.default_rng(seed).choice(there, tiles, replace=False).tolist())
    size = model.config.vision.image_size
    return Corpus(dataset, model.tokenizer, there, load_pixels(dataset, there, size, cache), model.config.text)


def roots_of(dataset: Dataset, corpus: Corpus) -> np.ndarray:
    """Root tile of each tile of the corpus: rows of one share ground."""
    roots = dataset.tiles().set_index("tile_id")["root_id"]
    return roots.loc[corpus.tile_ids].to_numpy(dtype=str)


def truth_of_texts(dataset: Dataset, table: pd.DataFrame) -> np.ndarray:
    """Verdict on each row: True, False, or None where nothing can be verified."""
    tiles = dataset.tiles()
    windows = dict(zip(tiles["tile_id"], tiles["window_m"].astype(float)))
    return verdicts(table, dataset.truth(), windows, judge)


@dataclass
class Calibrated:
    """Noise models of all settings, fitted on the same injected noise, and the tiles that it lies in."""

    models: dict[str, NoiseModel]
    rows: list[int]

    @property
    def thresholds(self) -> dict[str, float]:
        return {name: model.threshold for name, model in self.models.items()}

    def scores(
        self, found: Evidence, sets: Sequence[str], clean: Evidence, clean_sets: Sequence[str]
    ) -> dict[str, Any]:
        """Name -> noise score (N, 8): of each setting, and of each single evidence in scales of its dimension."""
        single = standardisation(clean, clean_sets, "all").features(found, sets)
        scores: dict[str, Any] = {name: noise_score(model, found, sets) for name, model in self.models.items()}
        # Where the image says nothing of a sub-text (`model.text.grounded_on`) nothing is known, and SCIO lets it be:
        # no more suspicious than the least suspicious.
        for name, values in scores.items():
            scores[name] = np.where(np.isfinite(values), values, np.nanmin(values, initial=0.0))
        known = {kind: single[..., at] for at, kind in enumerate(FEATURES) if np.isfinite(single[..., at]).any()}
        return scores | {f"{kind} alone": np.nan_to_num(values, nan=0.0) for kind, values in known.items()}


def calibrated(
    scorer: Scorer, corpus: Corpus, rows: Sequence[int], config: ScioConfig, rng: np.random.Generator
) -> Calibrated:
    """As `knowlip.scio.screening.learn` does it, for all settings at once."""
    rows = sorted(rows)
    errors, place = corrupt(corpus.table, rows, rng), {row: at for at, row in enumerate(rows)}
    sets = [corpus.sets[row] for row in rows]
    clean = evidence(scorer, [corpus.texts[row] for row in rows], rows, title="score a sample")
    injected = injected_evidence(scorer, corpus, errors)
    places, kinds = [(place[one.row], one.slot) for one in errors], [one.kind for one in errors]
    models = {
        name: fit(clean, sets, injected, places, kinds, name, config.precision, config.threshold) for name in SETTINGS
    }
    return Calibrated(models, rows)


def lines(found: Mapping[str, Any]) -> list[str]:
    """A detection as a table: AUROC, within dimensions, precision of the most suspect, recall at the threshold."""
    head = f"{found['n_wrong']} of {found['n']} wrong ({found['base_rate']:.1%}), {found['roots']} roots"
    rows = [head, f"{'evidence':16}{'AUROC':>22}{'within dimensions':>24}{'precision top 5 %':>24}{'recall':>9}"]
    for name, row in found["evidence"].items():
        cells = [cell(row[key]) for key in ("auroc", "auroc_within_dimension", "precision_top_5")]
        recall = row.get("recall", {}).get("value")
        rows.append(
            f"{name:16}{cells[0]:>22}{cells[1]:>24}{cells[2]:>24}{'-' if recall is None else f'{recall:.1%}':>9}"
        )
        kinds = ", ".join(f"{kind} {part['value']:.3f}" for kind, part in row["per_kind"].items() if part["value"])
        if len(row["per_kind"]) > 1:
            rows.append(f"{'':16}{kinds}")
    return rows


def cell(figure: Mapping[str, Any]) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return "-"
    ci = figure["ci"]
    return f"{figure['value']:.3f}" + (f" [{ci[0]:.3f}, {ci[1]:.3f}]" if ci else "")
