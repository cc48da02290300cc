"""SCIO, the loop in which a model repairs the texts it learns from, as a state machine over text revisions.

Source: arXiv 2509.23927, section 3.4, Eqs. 10-15 and Algorithm 1.

    stage 1              train on all texts
    stage 2, 4, ...      screen: a revision says of every sub-text `kept` or `screened`; then train on
    stage 3, 5, ...      reconstruct: a revision says of every screened one `rewritten`, `rejected` or `kept`; train on

The first stage begins on revision 0, and every later one on the revision that the stage's own pass has just appended.
A pass never changes a revision; scores come from the momentum model in evaluation mode, against frozen negatives.

What a pass does, and in which order, stands in :class:`Pass` alone. A training runs it in memory (:func:`decide`),
`knowlip scio` in chunks that are kept (:mod:`knowlip.scio.job`).
"""

from dataclasses import asdict
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.language.dimensions import SLOTS
from knowlip.models.knowlip import KnowLIP
from knowlip.scio.config import ScioConfig
from knowlip.scio.kinds import Evidence, kinds_of
from knowlip.scio.reconstruction import Acceptance, Trial, learn_rewrites, reconstruct, trials_of, try_rewrites
from knowlip.scio.revise import rewriting_rows, screening_rows
from knowlip.scio.screening import (
    CalibrationSample,
    NoiseCalibration,
    Screening,
    clean_evidence,
    draw_sample,
    injected_evidence,
    learn,
    paper_tests,
    scorer_of,
    screen,
)
from knowlip.scio.tables import evidence_of, evidence_table, rewrite_table, rewrites_of, value_of, value_table
from knowlip.scio.thresholds import NoiseModel
from knowlip.training.corpus import Corpus

__all__ = ["Action", "Pass", "ScioConfig", "Stage", "decide", "stages"]
Action = Literal["train", "screen", "reconstruct"]
Figures = dict[str, Any]
Tables = dict[str, pa.Table]
"""Phase -> its rows."""


class Stage(NamedTuple):
    """A part of the training, from one pass over the texts to the next."""

    number: int
    """From 1."""
    action: Action
    """What happens before its first step."""
    end: int
    """The step at which it ends."""


def stages(lengths: tuple[int, int, int] | list[int], iterations: int) -> list[Stage]:
    """The stages of a training.

    Args:
        lengths: steps before the first screening, after each screening, and after each reconstruction.
        iterations: see :class:`ScioConfig`.
    """
    actions: list[Action] = ["train", *(["screen", "reconstruct"] * iterations)]  # type: ignore[list-item]
    steps = [lengths[0], *([lengths[1], lengths[2]] * iterations)]
    ends = np.cumsum(steps).tolist()
    return [Stage(number, action, end) for number, (action, end) in enumerate(zip(actions, ends), 1)]


class Pass:
    """One pass over the texts of a corpus: phases in their order, each a number of items that can be done in any order.

    Args:
        action: "screen" or "reconstruct".
        model: judges, in evaluation mode.
        corpus: tiles with the texts of the revision to decide on.
        config: settings.
        negatives: source of chance of the frozen negatives.
        injected: source of chance of the injected noise.
    """

    def __init__(
        self,
        action: Action,
        model: KnowLIP,
        corpus: Corpus,
        config: ScioConfig,
        negatives: np.random.Generator,
        injected: np.random.Generator,
    ) -> None:
        self.action, self.corpus, self.scio, self._chance = action, corpus, config, injected
        self.scorer = scorer_of(model, corpus, config, negatives)
        self.noisy = [row for row, text in enumerate(corpus.texts) if text.noise]
        """Tile rows with something to write anew."""

    @property
    def phases(self) -> tuple[str, ...]:
        """`method: calibrated`: score a sample with and without injected noise (or without, where its truth is known)
        and learn from it; try rewrites on it and learn from these; then the tiles themselves. `method: paper` has
        nothing to learn."""
        if self.scio.method == "paper":
            return (self.action,)
        sample = ("sample", "injected") if self.scio.errors == "injected" else ("sample",)
        if self.action == "screen":
            return *sample, "noise-model", "screen"
        return *sample, "noise-model", "trials", "acceptance", "reconstruct"

    def count(self, phase: str, before: Tables) -> int:
        """Number of items, given the rows of the phases before: tiles or sub-texts; what learns is one item."""
        if phase == "screen":
            return len(self.corpus.texts)
        if phase == "reconstruct":
            return len(self.noisy)
        if phase == "trials":
            return len(self._trials(before))
        return {"sample": len(self.sample.rows), "injected": len(self.sample.injected)}.get(phase, 1)

    def work(self, phase: str, items: range, before: Tables) -> pa.Table:
        """Do some items, given the rows of the phases before. What an item gives depends on itself alone (but for
        rounding, which depends on the batch), so chunks of items can be done anywhere and again."""
        corpus, scio, part = self.corpus, self.scio, slice(items.start, items.stop)
        if phase == "sample":
            return evidence_table(clean_evidence(self.scorer, corpus, scio, self.sample.rows[part]))
        if phase == "injected":
            used = kinds_of(scio.evidence)
            return evidence_table(injected_evidence(self.scorer, corpus, self.sample.injected[part], used))
        if phase == "noise-model":
            injected = evidence_of(before["injected"]) if "injected" in before else Evidence.empty(0)
            learned = learn(corpus, scio, self.sample, evidence_of(before["sample"]), injected)
            found = [self.sample.injected.index(one) for one in learned.true_positives]
            wrongly = learned.false_positives
            return value_table({"noise": learned.noise.plain(), "true_positives": found, "false_positives": wrongly})
        if phase == "screen":
            screening = screen(self.scorer, corpus, self._noise(before), items)
            table = evidence_table(screening.evidence)
            table = table.append_column("row", pa.array(np.repeat(np.array(screening.rows, np.int64), SLOTS)))
            return table.append_column("score", pa.array(screening.score.ravel()))
        if phase == "trials":
            return rewrite_table(try_rewrites(self.scorer, corpus, self._trials(before)[part], scio))
        if phase == "acceptance":
            trials, tried = self._trials(before), rewrites_of(before["trials"])
            return value_table(asdict(learn_rewrites(corpus, trials, tried, self._calibration(before).natural, scio)))
        noisy = [(row, slot) for row in self.noisy[part] for slot in sorted(corpus.texts[row].noise)]
        return rewrite_table(reconstruct(self.scorer, corpus, noisy, self._acceptance(before), scio))

    def decide(self, tables: Tables) -> tuple[pd.DataFrame, Figures]:
        """Rows of the new revision and the figures of the pass, from the rows of all phases."""
        if self.action == "screen":
            table, noise = tables["screen"], self._noise(tables)
            score = table["score"].to_numpy().reshape(-1, SLOTS)
            rows = table["row"].to_numpy()[::SLOTS].tolist()
            noisy = score > noise.limits([self.corpus.sets[row] for row in rows])
            return screening_rows(self.corpus, Screening(rows, evidence_of(table), score, noisy), noise)
        return rewriting_rows(self.corpus, rewrites_of(tables["reconstruct"]), self._acceptance(tables))

    @cached_property
    def sample(self) -> CalibrationSample:
        """Tiles to calibrate on; the same in every process."""
        return draw_sample(self.corpus, self.scio, self._chance)

    def _calibration(self, tables: Tables) -> NoiseCalibration:
        value = value_of(tables["noise-model"])
        found = [self.sample.injected[number] for number in value["true_positives"]]
        return NoiseCalibration(
            NoiseModel(**value["noise"]), found, [(row, slot) for row, slot in value["false_positives"]]
        )

    def _noise(self, tables: Tables) -> NoiseModel:
        return paper_tests() if self.scio.method == "paper" else self._calibration(tables).noise

    def _trials(self, tables: Tables) -> list[Trial]:
        return trials_of(self.corpus, self._calibration(tables))

    def _acceptance(self, tables: Tables) -> Acceptance | None:
        return None if self.scio.method == "paper" else Acceptance(**value_of(tables["acceptance"]))


def decide(
    action: Action, model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator
) -> tuple[pd.DataFrame, Figures]:
    """A whole pass in memory.

    Args:
        action: "screen" or "reconstruct".
        model: the momentum model, in evaluation mode.
        corpus: tiles with the texts of the revision to decide on.
        config: settings.
        rng: source of chance.

    Returns:
        Rows for a new revision of the texts (none where nothing was to decide), and the figures of the pass.
    """
    whole, tables = Pass(action, model, corpus, config, rng, rng), Tables()
    if action == "reconstruct" and not whole.noisy:
        return corpus.table.iloc[:0], {"candidates": 0}
    for phase in whole.phases:
        tables[phase] = whole.work(phase, range(whole.count(phase, tables)), tables)
    return whole.decide(tables)
