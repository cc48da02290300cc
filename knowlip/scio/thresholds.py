"""From evidence to a noise score, and the margin above which a sub-text counts as noise.

`evidence: paper` is the paper's pair of tests as one number: min(-dITC, dITM), each in units of its dimension's spread,
so both tests pass where it exceeds the margin. `evidence: surprise` and `all` are probabilities: a logistic regression
fitted on planted noise, over the surprise alone (which keeps its order), or over all that the decoder says and the
paper's differences. Differences are standardised within (instruction set, dimension), because leaving out a Count and a
Region have other effects. What the decoder says is in nats everywhere and is not (measured: standardised, it finds
fewer errors, as dimensions differ in how often they are wrong); of it the logarithm is taken, because its tail is long.

Threshold 0 flags about half of all neutral sub-texts by chance; the margin is the lowest score that reaches a wanted
precision on plants that the fit did not see.

Texts hold errors of their own, which count as false alarms here: the precision is a lower bound, and texts with a share
r of errors that look like plants allow at most 1 / (1 + 7 r). That share is estimated: it is at most the smallest ratio
of unplanted to planted sub-texts above any score, because above each there are at least the share times as many
(mixture proportion by the best tail: Garg et al. 2021, arXiv 2111.00980, without its confidence bound). Rewriting reads
it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from knowlip.base.statistics import auroc
from knowlip.language.dimensions import SLOTS
from knowlip.scio.evidence import KINDS, OURS, PAPER, Evidence

EvidenceName = Literal["paper", "surprise", "all"]
USED: Final[dict[str, tuple[str, ...]]] = {"paper": PAPER, "surprise": ("surprise",), "all": KINDS}
"""Which evidence each setting reads."""
_CLIP: Final = 8.0
"""Standardised evidence beyond this says no more."""
_FEWEST: Final = 12
"""An instruction set with fewer tiles borrows the spread of all."""
_HITS: Final = 8
"""A precision over fewer flagged sub-texts is not believed."""
NEVER: Final = 1e9
"""A margin that no score exceeds. Finite, because JSON knows no infinity."""


@dataclass
class NoiseModel:
    """How evidence becomes a noise score; all plain values, so that it can be kept as JSON."""

    evidence: EvidenceName
    centre: dict[str, list[list[float]]]
    """Instruction set ("" for all) -> position -> kind of evidence -> median of a difference; 0 where `evidence` is
    "paper", and for what the decoder says."""
    spread: dict[str, list[list[float]]]
    """The same for the median distance from the centre; 1 for what the decoder says."""
    weights: list[float] = field(default_factory=list)
    """Coefficients of the logistic regression; [] where `evidence` is "paper"."""
    bias: float = 0.0
    margin: float = 0.0
    """Noise is what scores above it."""
    figures: dict[str, Any] = field(default_factory=dict)
    """How screening does on held-out plants: precision, recall, auroc, base_rate, own (largest share of
    the other sub-texts that look as wrong as plants), n, reached (whether the wanted precision was), and auroc and
    recall of each kind of plant."""

    def plain(self) -> dict[str, Any]:
        """As JSON; `NoiseModel(**plain)` is the way back."""
        return asdict(self)

    def features(self, found: Evidence, sets: Sequence[str]) -> np.ndarray:
        """Evidence so that high speaks for noise, see the module: (N, 8, K)."""
        values = _values(found, self.evidence)
        centre = np.array([self.centre.get(name, self.centre[""]) for name in sets]).reshape(values.shape)
        spread = np.array([self.spread.get(name, self.spread[""]) for name in sets]).reshape(values.shape)
        return np.asarray((values - centre) / spread)


def noise_probability(model: NoiseModel, found: Evidence, sets: Sequence[str]) -> np.ndarray:
    """Noise score (N, 8) of the sub-texts of N texts: a probability, or for `evidence: paper` min(-dITC, dITM) in
    spreads. NaN where the evidence is; of the paper's two a single one is enough to fail a test."""
    features = model.features(found, sets)
    if model.evidence == "paper":
        return np.fmin.reduce(features, -1)
    return _probability(_bounded(features), np.array(model.weights), model.bias)


def standardisation(found: Evidence, sets: Sequence[str], evidence: EvidenceName) -> NoiseModel:
    """Medians and spreads of unplanted texts, for each instruction set and position; 0 and 1 for the decoder's."""
    names, values = np.array(sets), _values(found, evidence)
    relative = np.array([kind in PAPER for kind in USED[evidence]])
    common = [name for name in sorted(set(sets)) if (names == name).sum() >= _FEWEST]
    floor = 1e-6 + 0.05 * np.median(np.abs(values), (0, 1))
    centre, spread = {}, {}
    for name in ["", *common]:
        part = values[names == name] if name else values
        middle = np.median(part, 0) * (relative & (evidence != "paper"))
        centre[name] = middle.tolist()
        spread[name] = np.where(relative, np.maximum(floor, np.median(np.abs(part - middle), 0)), 1.0).tolist()
    return NoiseModel(evidence, centre, spread)


def fit(
    found: Evidence, sets: Sequence[str], planted: Evidence, places: Sequence[tuple[int, int]], kinds: Sequence[str],
    evidence: EvidenceName, precision: float, margin: float | None = None,
) -> NoiseModel:  # fmt: skip
    """Fit the noise score on planted noise and choose its margin on plants held out.

    One sub-text of each planted tile is noise, its other seven (as they were without the plant) are not: a base rate of
    one in eight. Five parts of the tiles take turns in being held out.

    Args:
        found: evidence of unplanted texts.
        sets: their instruction sets.
        planted: evidence of the same number of plants as `places`, at their positions.
        places: (row of `found`, position) of each plant.
        kinds: of each plant.
        evidence: what the score is made of.
        precision: wanted share of noise among what is flagged.
        margin: the margin, instead of one that reaches the precision.

    Raises:
        ValueError: no noise was planted.
    """
    if not places:
        raise ValueError("No noise could be planted, so screening cannot be calibrated: too few texts that differ.")
    model = standardisation(found, sets, evidence)
    rows, slots = np.array(places).T
    mixed, at = found.planted(rows, slots, planted), np.arange(len(rows))
    wrong = np.zeros((len(rows), SLOTS), bool)
    wrong[at, slots] = True
    own_sets = [sets[row] for row in rows]
    if evidence == "paper":
        score = noise_probability(model, mixed, own_sets)
    else:
        features = _bounded(model.features(mixed, own_sets))
        flat, label, group = features.reshape(-1, features.shape[-1]), wrong.ravel(), np.repeat(at, SLOTS)
        regression = LogisticRegression(max_iter=1000).fit(flat, label)
        model.weights, model.bias = regression.coef_[0].tolist(), float(regression.intercept_[0])
        score = _probability(features, regression.coef_[0], model.bias)
        if len(at) >= 5:
            held_out = cross_val_predict(
                LogisticRegression(max_iter=1000), flat, label, groups=group, cv=GroupKFold(5), method="predict_proba"
            )
            score = held_out[:, 1].reshape(score.shape)
    lowest = 0.0 if evidence == "paper" else -np.inf
    own = share_like(score[~wrong], score[wrong])
    value, reached = threshold(score.ravel(), wrong.ravel(), precision, lowest=lowest)
    model.margin = value if margin is None else margin
    flagged = score > model.margin
    model.figures = {
        "precision": float(wrong[flagged].mean()) if flagged.any() else None, "own": own,
        "recall": float(flagged[wrong].mean()), "auroc": auroc(score.ravel(), wrong.ravel()),
        "base_rate": float(wrong.mean()), "n": int(wrong.size), "wanted_precision": precision,
        "reached": reached if margin is None else None,
        "kinds": {kind: _of_kind(kind, kinds, score, wrong, flagged) for kind in sorted(set(kinds))},
    }  # fmt: skip
    return model


def share_like(unplanted: np.ndarray, planted: np.ndarray) -> float:
    """At most so large a share of the unplanted scores comes from where the planted ones come from: the smallest ratio
    of their shares above any score, over tails that hold a tenth of the planted (and eight) at least."""
    above = np.sort(planted)[::-1]
    if len(above) < _HITS or not len(unplanted):
        return 0.0
    count = np.arange(1, len(above) + 1)
    others = (unplanted[None] >= above[:, None]).sum(1)
    enough = count >= max(_HITS, len(above) / 10)
    return float(min(1.0, np.min((others[enough] / len(unplanted)) / (count[enough] / len(above)))))


def threshold(
    score: np.ndarray, right: np.ndarray, precision: float, planted: np.ndarray | None = None, own: float = 0.0,
    lowest: float = -np.inf,
) -> tuple[float, bool]:  # fmt: skip
    """The lowest margin (>= `lowest`) above which the share of what is rightly flagged is at least `precision`, and
    whether there is one. Where there is none, the margin is `NEVER`: nothing is flagged, whatever later scores are.

    Args:
        score: (N,).
        right: (N,) plants that are rightly above a margin.
        precision: wanted.
        planted: (N,) all plants; those that are right where not given.
        own: items that are noise of their own for each plant, of which as many are above a margin and right as of the
            plants.
        lowest: the margin is not lower.
    """
    order = np.argsort(-score, kind="stable")
    ranked, good, plants = (
        score[order],
        np.cumsum(right[order]),
        np.cumsum((right if planted is None else planted)[order]),
    )
    count = np.arange(1, len(score) + 1)
    ends = np.append(ranked[1:] < ranked[:-1], True)  # of equal scores all are flagged or none
    hits = good + _own_hits(good, plants, count, own)
    enough = (hits >= precision * count) & (count >= min(_HITS, right.sum())) & (good > 0) & (ranked > lowest)
    if not (ends & enough).any():
        return NEVER, False
    last = int(np.flatnonzero(ends & enough)[-1])
    below = ranked[last + 1] if last + 1 < len(ranked) else ranked[last] - 1
    return float(max(lowest, (ranked[last] + below) / 2)), True


def _own_hits(good: np.ndarray, plants: np.ndarray, count: np.ndarray, own: float) -> np.ndarray:
    """Of the `count - plants` unplanted items, those that are expected to be noise and right."""
    return np.asarray(np.minimum(count - plants, own * plants) * good / np.maximum(plants, 1))


def precision_at(right: np.ndarray, planted: np.ndarray, flagged: np.ndarray, own: float) -> float | None:
    """Share of the flagged that is rightly flagged, as :func:`threshold` counts; None where nothing is."""
    good, plants, count = (np.array([at.sum()]) for at in (right & flagged, planted & flagged, flagged))
    return float((good + _own_hits(good, plants, count, own))[0] / count[0]) if count[0] else None


def _of_kind(
    kind: str, kinds: Sequence[str], score: np.ndarray, wrong: np.ndarray, flagged: np.ndarray
) -> dict[str, Any]:
    mine = np.array([name == kind for name in kinds])
    return {
        "n": int(mine.sum()), "recall": float(flagged[mine][wrong[mine]].mean()),
        "auroc": auroc(score[mine].ravel(), wrong[mine].ravel()),
    }  # fmt: skip


def _values(found: Evidence, evidence: EvidenceName) -> np.ndarray:
    """(N, 8, K), high speaks for noise."""
    ways = {"itc": np.negative, "itm": np.positive} | dict.fromkeys(OURS, np.log1p)
    return np.stack([ways[kind](getattr(found, kind)) for kind in USED[evidence]], -1)


def _bounded(features: np.ndarray) -> np.ndarray:
    return np.clip(features, -_CLIP, _CLIP)


def _probability(features: np.ndarray, weights: np.ndarray, bias: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(features @ weights + bias))))
