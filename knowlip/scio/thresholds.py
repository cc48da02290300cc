"""From evidence to a noise score, and the thresholds above which a sub-text counts as noise (`method: calibrated`).

`evidence: deltas` is the paper's pair of tests as one number: min(-dITC, dITM), each in units of its dimension's scale,
so both tests pass where it exceeds the threshold. Every other setting is a probability: a logistic regression over its
features, fitted on injected noise. Of one feature the regression is common to all dimensions, and keeps its order. Of
several, each dimension adds coefficients of its own to the common ones, shrunk towards none: what tells a wrong count
need not tell a wrong boundary, and a dimension with few injected errors borrows from all.

Differences are standardised within (instruction set, dimension), because leaving out a Count and a Region have other
effects. What the decoder says of the words is in nats everywhere and is not (measured: standardised, it finds fewer
errors, as dimensions differ in how often they are wrong); of it the logarithm is taken, because its tail is long.
`gain`, `neighbours` and `claims` are divided by one scale for all. What is not known of a sub-text speaks neither
way: it counts as what it is on average.

Threshold 0 flags about half of all neutral sub-texts by chance; the threshold here is the lowest score that reaches a
wanted precision on injected noise that the fit did not see: in each dimension by itself, where enough errors were
injected into it, else that of all together.

Texts hold errors of their own, natural noise, which count as false positives here: the precision is a lower bound, and
texts with a share r of errors that look like injected ones allow at most 1 / (1 + 7 r). That share is estimated: it is
at most the smallest ratio of other to injected sub-texts above any score, because above each there are at least the
share times as many (mixture proportion by the best tail: Garg et al. 2021, arXiv 2111.00980, without its confidence
bound). Rewriting reads it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from knowlip.base.statistics import auroc
from knowlip.language.dimensions import SLOTS
from knowlip.scio.kinds import DELTAS, Evidence, features_of

_RAW: Final = ("nll", "gap", "max_nll", "turned", "speckled")
"""Features in nats of words; of these the logarithm is taken."""
_CLIP: Final = 8.0
"""Standardised evidence beyond this says no more."""
_FEWEST: Final = 12
"""An instruction set with fewer tiles borrows the scale of all."""
_ENOUGH: Final = 24
"""Injected errors that a dimension needs for a threshold of its own."""
_OWN: Final = 0.3
"""Standard deviation of a dimension's own coefficients, in units of that of the common ones."""
_PARTS: Final = 5
"""That take turns in being held out."""
_HITS: Final = 8
"""A precision over fewer flagged sub-texts is not believed."""
NEVER: Final = 1e9
"""A threshold that no score exceeds. Finite, because JSON knows no infinity."""


@dataclass
class NoiseModel:
    """How evidence becomes a noise score; all plain values, so that it can be kept as JSON."""

    evidence: str
    """A setting of `scio.evidence`."""
    centre: dict[str, list[list[float]]]
    """Instruction set ("" for all) -> position -> feature -> median of a difference; 0 where `evidence` is "deltas",
    and for all other features."""
    scale: dict[str, list[list[float]]]
    """The same for the median distance from the centre (MAD); 1 for what the decoder says."""
    usual: list[float] = field(default_factory=list)
    """Mean of each feature where it is known: what one that is not known counts as. [] is 0."""
    weights: list[float] = field(default_factory=list)
    """Common coefficients of the logistic regression; [] where `evidence` is "deltas"."""
    bias: float = 0.0
    own: dict[str, list[list[float]]] = field(default_factory=dict)
    """Instruction set -> position -> what is added there to the bias and to each coefficient; {} for nothing."""
    threshold: float = 0.0
    """Noise is what scores above it."""
    thresholds: dict[str, list[float]] = field(default_factory=dict)
    """Instruction set -> position -> the threshold there, instead of the common one; {} for none."""
    figures: dict[str, Any] = field(default_factory=dict)
    """How screening does on errors held out, injected ones or those that truth knows (learned_from): precision, recall,
    auroc, base_rate, natural_noise_rate (largest share of the other sub-texts that look as wrong as injected ones; of
    those that truth knows their share), n, reached (whether the wanted precision was), and auroc and recall of each
    kind of injected noise."""

    def plain(self) -> dict[str, Any]:
        """As JSON; `NoiseModel(**plain)` is the way back."""
        return asdict(self)

    def features(self, found: Evidence, sets: Sequence[str]) -> np.ndarray:
        """Evidence so that high speaks for noise, see the module: (N, 8, K)."""
        values = _values(found, self.evidence)
        centre = np.array([self.centre.get(name, self.centre[""]) for name in sets]).reshape(values.shape)
        scale = np.array([self.scale.get(name, self.scale[""]) for name in sets]).reshape(values.shape)
        return np.asarray((values - centre) / scale)

    def limits(self, sets: Sequence[str]) -> np.ndarray:
        """Thresholds (N, 8) of the sub-texts of N texts."""
        common = [self.threshold] * SLOTS
        return np.array([self.thresholds.get(name, common) for name in sets], float).reshape(-1, SLOTS)

    def coefficients(self, sets: Sequence[str]) -> np.ndarray:
        """(N, 8, 1 + K): bias and weights of the sub-texts of N texts."""
        common = np.tile([self.bias, *self.weights], (SLOTS, 1))
        found = [common + self.own[name] if name in self.own else common for name in sets]
        return np.array(found, float).reshape(-1, SLOTS, 1 + len(self.weights))


def noise_score(model: NoiseModel, found: Evidence, sets: Sequence[str]) -> np.ndarray:
    """Noise score (N, 8) of the sub-texts of N texts: a probability, or for `evidence: deltas` min(-dITC, dITM) in
    scales. NaN where nothing is known; of the two differences a single one is enough to fail a test."""
    features = model.features(found, sets)
    if model.evidence == "deltas":
        return np.fmin.reduce(features, -1)
    values, coefficients = _bounded(features, model.usual), model.coefficients(sets)
    score = 1 / (1 + np.exp(-((values * coefficients[..., 1:]).sum(-1) + coefficients[..., 0])))
    return np.where(np.isfinite(features).any(-1), score, np.nan)


def standardisation(found: Evidence, sets: Sequence[str], evidence: str) -> NoiseModel:
    """Medians and scales of texts without injected noise, for each instruction set and position; 0 and 1 for the
    decoder's, 0 and one common scale for features that need no words."""
    names, values = np.array(sets), _values(found, evidence)
    features = features_of(evidence)
    relative = np.array([name in DELTAS for name in features])
    spread = np.where([name in _RAW for name in features], 1.0, _spread(values))
    common = [name for name in sorted(set(sets)) if (names == name).sum() >= _FEWEST]
    floor = 1e-6 + 0.05 * _median(np.abs(values), (0, 1))
    centre, scale = {}, {}
    for name in ["", *common]:
        part = values[names == name] if name else values
        middle = _median(part, 0) * (relative & (evidence != "deltas"))
        centre[name] = middle.tolist()
        scale[name] = np.where(relative, np.maximum(floor, _median(np.abs(part - middle), 0)), spread).tolist()
    model = NoiseModel(evidence, centre, scale)
    seen = np.ma.masked_invalid(np.clip(model.features(found, sets), -_CLIP, _CLIP))
    model.usual = np.ma.filled(seen.mean((0, 1)), 0.0).tolist()
    return model


def fit(
    found: Evidence,
    sets: Sequence[str],
    injected: Evidence,
    places: Sequence[tuple[int, int]],
    kinds: Sequence[str],
    evidence: str,
    precision: float,
    threshold: float | None = None,
    blocks: Sequence[str] = (),
) -> NoiseModel:
    """Fit the noise score on injected noise and choose its threshold on injected noise held out.

    One sub-text of each tile with injected noise is noise, its other seven (as they were without it) are not: a base
    rate of one in eight. Five parts of the places take turns in being held out, see :func:`held_out_groups`.

    Args:
        found: evidence of texts as they are.
        sets: their instruction sets.
        injected: evidence of as many texts with one wrong sub-text as there are `places`, at these positions.
        places: (row of `found`, position) of each wrong sub-text.
        kinds: of each.
        evidence: what the score is made of, a setting of `scio.evidence`.
        precision: wanted share of noise among what is flagged.
        threshold: the threshold everywhere, instead of those that reach the precision.
        blocks: the place of each text of `found`; none is a place of its own for each.

    Raises:
        ValueError: no noise was injected.
    """
    if not places:
        raise ValueError("No noise could be injected, so screening cannot be calibrated: too few texts that differ.")
    model = standardisation(found, sets, evidence)
    rows, slots = np.array(places).T
    wrong = np.zeros((len(rows), SLOTS), bool)
    wrong[np.arange(len(rows)), slots] = True
    mixed, mixed_sets = found.injected(rows, slots, injected), [sets[row] for row in rows]
    place = [blocks[row] for row in rows] if blocks else []
    return _fitted(model, mixed, mixed_sets, wrong, np.ones_like(wrong), kinds, precision, threshold, place)


def fit_on_truth(
    found: Evidence,
    sets: Sequence[str],
    true: np.ndarray,
    evidence: str,
    precision: float,
    threshold: float | None = None,
    blocks: Sequence[str] = (),
) -> NoiseModel:
    """Fit the noise score on errors that texts hold by themselves, and choose its threshold on those held out.

    Args:
        found: evidence of the texts.
        sets: their instruction sets.
        true: (N, 8) objects: False are the errors; None is not known, and no example either way.
        evidence, precision, threshold, blocks: as in :func:`fit`.

    Raises:
        ValueError: fewer than eight errors, or sub-texts without, are known.
    """
    wrong = np.array([[one is not None and not one for one in row] for row in true], bool).reshape(-1, SLOTS)
    judged = np.array([[one is not None for one in row] for row in true], bool).reshape(-1, SLOTS)
    if min(wrong.sum(), (judged & ~wrong).sum()) < _HITS:
        raise ValueError(
            f"Truth knows of {wrong.sum()} errors among {judged.sum()} sub-texts, too few to calibrate on: "
            "raise scio.calibration_tiles, or leave scio.errors at injected."
        )
    model = standardisation(found, sets, evidence)
    model = _fitted(model, found, sets, wrong, judged, ["natural"] * len(sets), precision, threshold, blocks)
    model.figures |= {"learned_from": "truth", "natural_noise_rate": model.figures["base_rate"]}
    return model


def _fitted(
    model: NoiseModel,
    mixed: Evidence,
    mixed_sets: Sequence[str],
    wrong: np.ndarray,
    judged: np.ndarray,
    kinds: Sequence[str],
    precision: float,
    threshold: float | None,
    blocks: Sequence[str],
) -> NoiseModel:
    """The model with weights, thresholds and figures from examples: texts of which some sub-texts are wrong (N, 8),
    and all that are `judged` (N, 8) count. `blocks` are the places of the texts, or nothing."""
    evidence, at = model.evidence, np.arange(len(wrong))
    raw = model.features(mixed, mixed_sets)
    # Sub-texts that the image cannot judge have no evidence, and are no examples either way.
    known = np.isfinite(raw).any(-1) & judged
    label, of_tile = wrong[known], np.repeat(at[:, None], SLOTS, 1)[known]
    names = sorted({*mixed_sets})
    dimension = (np.array([names.index(name) for name in mixed_sets])[:, None] * SLOTS + np.arange(SLOTS))[known]
    if evidence == "deltas":
        score = noise_score(model, mixed, mixed_sets)[known]
    else:
        flat, alone = _bounded(raw, model.usual)[known], raw.shape[-1] == 1
        design = flat if alone else _by_dimension(flat, dimension, len(names) * SLOTS)
        regression = LogisticRegression(max_iter=1000).fit(design, label)
        _take(model, regression, names, raw.shape[-1])
        score = regression.predict_proba(design)[:, 1]
        held_out = held_out_probability(design, label, [blocks[tile] for tile in of_tile] if blocks else [], of_tile)
        score = score if held_out is None else held_out
    lowest = 0.0 if evidence == "deltas" else -np.inf
    value, reached = precise_threshold(score, label, precision, lowest=lowest)
    model.threshold = value if threshold is None else threshold
    if threshold is None:
        model.thresholds = _own_thresholds(score, label, dimension, names, precision, lowest, value)
    flagged = score > model.limits(mixed_sets)[known]
    model.figures = {
        "precision": float(label[flagged].mean()) if flagged.any() else None,
        "natural_noise_rate": mixture_proportion(score[~label], score[label]),
        "recall": float(flagged[label].mean()),
        "auroc": auroc(score, label),
        "base_rate": float(label.mean()),
        "n": int(label.size),
        "wanted_precision": precision,
        "reached": reached if threshold is None else None,
        "learned_from": "injected",
        "kinds": {
            kind: _of_kind(np.array(kinds)[of_tile] == kind, score, label, flagged) for kind in sorted(set(kinds))
        },
    }
    return model


def held_out_probability(
    design: Any, label: np.ndarray, blocks: Sequence[str], tiles: Sequence[int] | np.ndarray
) -> np.ndarray | None:
    """Probability (N,) that an example is one, by logistic regressions that did not learn from its group. None where
    there are too few groups to hold out.

    Places are held out as a whole, for neighbours resemble each other; tiles where there are fewer than five places,
    where one of them has more than half of the examples (who is left would say little about it), or where those that
    are left would all be of one class.

    Args:
        design: (N, features).
        label: (N,) bool.
        blocks, tiles: place and tile of each example; no places are known where `blocks` is empty.
    """
    for names in (blocks, tiles):
        _, group, size = np.unique(np.asarray(names), return_inverse=True, return_counts=True)
        if len(size) < _PARTS or (names is blocks and size.max() > len(label) / 2):
            continue
        folds = list(GroupKFold(_PARTS).split(label, groups=group))
        if all(len(np.unique(label[learned])) == 2 for learned, _ in folds):
            regression = LogisticRegression(max_iter=1000)
            return np.asarray(cross_val_predict(regression, design, label, cv=folds, method="predict_proba")[:, 1])
    return None


def _by_dimension(flat: np.ndarray, dimension: np.ndarray, count: int) -> csr_matrix:
    """(M, K + count * (1 + K)): the features, then for each dimension 1 and the features where the item is of it.
    These are small, so that the regression's penalty keeps their coefficients near 0."""
    items, features = flat.shape
    own = np.concatenate([np.ones((items, 1)), flat], 1) * _OWN
    columns = dimension[:, None] * (1 + features) + np.arange(1 + features)
    rows = np.repeat(np.arange(items), 1 + features)
    apart = csr_matrix((own.ravel(), (rows, columns.ravel())), (items, count * (1 + features)))
    return csr_matrix(hstack([csr_matrix(flat), apart]))


def _take(model: NoiseModel, regression: LogisticRegression, names: Sequence[str], features: int) -> None:
    """The coefficients of a regression."""
    weights = regression.coef_[0]
    model.weights, model.bias = weights[:features].tolist(), float(regression.intercept_[0])
    if len(weights) > features:
        own = (weights[features:] * _OWN).reshape(len(names), SLOTS, 1 + features)
        model.own = {name: own[at].tolist() for at, name in enumerate(names)}


def _own_thresholds(
    score: np.ndarray,
    label: np.ndarray,
    dimension: np.ndarray,
    names: Sequence[str],
    precision: float,
    lowest: float,
    common: float,
) -> dict[str, list[float]]:
    """The threshold of each dimension with enough injected errors; the common one elsewhere."""
    found = {}
    for at, name in enumerate(names):
        found[name] = [common] * SLOTS
        for slot in range(SLOTS):
            mine = dimension == at * SLOTS + slot
            if label[mine].sum() >= _ENOUGH:
                found[name][slot] = precise_threshold(score[mine], label[mine], precision, lowest=lowest)[0]
    return found


def mixture_proportion(others: np.ndarray, injected: np.ndarray, never: np.ndarray | None = None) -> float:
    """At most so large a share of the other scores comes from where the injected ones come from: the smallest ratio of
    their shares above any score, over tails that hold a tenth of the injected (and eight) at least.

    Args:
        others, injected: scores.
        never: scores that come from elsewhere for sure. What share of these lies in that tail (one more than there are)
            is taken off: 0 where scores tell nothing, which would else count all others in.
    """
    above = np.sort(injected)[::-1]
    if len(above) < _HITS or not len(others):
        return 0.0
    count = np.arange(1, len(above) + 1)
    as_high = (others[None] >= above[:, None]).sum(1)
    enough = count >= max(_HITS, len(above) / 10)
    ratio = (as_high[enough] / len(others)) / (count[enough] / len(above))
    lowest = int(np.argmin(ratio))
    if never is None:
        return float(min(1.0, ratio[lowest]))
    tail = (1 + (never >= above[enough][lowest]).sum()) / (1 + len(never))
    by_chance = tail / (count[enough][lowest] / len(above))
    return float(np.clip((ratio[lowest] - by_chance) / (1 - by_chance), 0, 1)) if by_chance < 1 else 0.0


def precise_threshold(
    score: np.ndarray,
    right: np.ndarray,
    precision: float,
    injected: np.ndarray | None = None,
    natural: float = 0.0,
    lowest: float = -np.inf,
) -> tuple[float, bool]:
    """The lowest threshold (>= `lowest`) above which the share of what is rightly flagged is at least `precision`, and
    whether there is one. Where there is none, it is `NEVER`: nothing is flagged, whatever later scores are.

    Args:
        score: (N,).
        right: (N,) injected noise that is rightly above a threshold.
        precision: wanted.
        injected: (N,) all injected noise; what is right where not given.
        natural: items of natural noise for each injected one, of which as many are above a threshold and right as of
            the injected.
        lowest: the threshold is not lower.
    """
    # Candidates are the places between two scores, from the highest down; of equal scores all are flagged or none.
    order = np.argsort(-score, kind="stable")
    ranked, good = score[order], np.cumsum(right[order])
    made = np.cumsum((right if injected is None else injected)[order])
    count = np.arange(1, len(score) + 1)
    ends = np.append(ranked[1:] < ranked[:-1], True)
    hits = good + _natural_hits(good, made, count, natural)
    enough = (hits >= precision * count) & (count >= min(_HITS, right.sum())) & (good > 0) & (ranked > lowest)
    if not (ends & enough).any():
        return NEVER, False
    last = int(np.flatnonzero(ends & enough)[-1])
    below = ranked[last + 1] if last + 1 < len(ranked) else ranked[last] - 1
    return float(max(lowest, (ranked[last] + below) / 2)), True


def _natural_hits(good: np.ndarray, injected: np.ndarray, count: np.ndarray, natural: float) -> np.ndarray:
    """Of the `count - injected` other items, those that are expected to be noise and right."""
    return np.asarray(np.minimum(count - injected, natural * injected) * good / np.maximum(injected, 1))


def precision_at(right: np.ndarray, injected: np.ndarray, flagged: np.ndarray, natural: float) -> float | None:
    """Share of the flagged that is rightly flagged, as :func:`precise_threshold` counts; None where nothing is."""
    good, made, count = (np.array([at.sum()]) for at in (right & flagged, injected & flagged, flagged))
    return float((good + _natural_hits(good, made, count, natural))[0] / count[0]) if count[0] else None


def _of_kind(mine: np.ndarray, score: np.ndarray, wrong: np.ndarray, flagged: np.ndarray) -> dict[str, Any]:
    """Figures over the sub-texts of the tiles with one kind of noise, `mine`."""
    recall = float(flagged[mine][wrong[mine]].mean())
    return {"n": int(wrong[mine].sum()), "recall": recall, "auroc": auroc(score[mine], wrong[mine])}


def _median(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Median of what is known; 0 where nothing is."""
    known = np.ma.masked_invalid(values)
    if not np.any(known.mask):
        return np.asarray(np.median(values, axis))
    return np.asarray(np.ma.filled(np.ma.median(known, axis), 0.0))


def _values(found: Evidence, evidence: str) -> np.ndarray:
    """(N, 8, K) features, high speaks for noise."""
    return np.stack([_value(found, feature) for feature in features_of(evidence)], -1)


def _value(found: Evidence, feature: str) -> np.ndarray:
    if feature == "gain":
        return found.nll - found.blind
    value: np.ndarray = getattr(found, feature)
    return -value if feature == "itc" else np.log1p(value) if feature in _RAW else value


def _spread(values: np.ndarray) -> np.ndarray:
    """Median size of each feature over all sub-texts, 1 where nothing is known."""
    found = _median(np.abs(values), (0, 1))
    return np.where(found > 0, found, 1.0)


def _bounded(features: np.ndarray, usual: Sequence[float]) -> np.ndarray:
    """Features within limits; what is not known is what it usually is."""
    filled = np.where(np.isnan(features), np.asarray(usual or 0.0), features)
    return np.clip(filled, -_CLIP, _CLIP)
