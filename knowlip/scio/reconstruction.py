"""Reconstruction: noisy sub-texts are written anew from image and context, and taken only where that is surely better
(Eqs. 12-15).

A rewrite is accepted when

    1. it makes a claim of its dimension, where the old one did, and is no sentence of other dimensions,
    2. it claims something else than the old one (else the old one was right after all, and stays),
    3. the model is sure of it: a score of how probable the new and the old words are exceeds a margin that is
       calibrated on planted noise, so that most accepted rewrites restore the claim that had been there,
    4. against the baseline L_ITC falls and the matching score rises, each by more than a margin (policy `fragment`: one
       by one; policy `whole`, Algorithm 1: once for the text with all its rewrites).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from knowlip.base.progress import track
from knowlip.base.vocabulary import Decision
from knowlip.language.claims import parse_claims
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import Asked, Scorer
from knowlip.scio.screening import Calibration, applied
from knowlip.scio.thresholds import precision_at, threshold
from knowlip.training.corpus import Corpus
from knowlip.training.holes import WHOLE, with_holes
from knowlip.training.texts import TileText, plain_words

_FEATURES: Final = ("new_surprise", "new_worst", "old_surprise", "old_worst")
_ENOUGH: Final = 20
"""So many rewrites of each kind, right and wrong, are needed to calibrate."""


@dataclass
class Rewrite:
    """A new sub-text and what speaks for it."""

    row: int
    slot: int
    text: str
    delta_itc: float
    """L_ITC(v, new text) - L_ITC(v, baseline): below 0 is better."""
    delta_itm: float
    """s(v, new text) - s(v, baseline): above 0 is better."""
    new_surprise: float
    """-log p a token of the new words, by the decoder that wrote them."""
    new_worst: float
    """-log p of its least probable token."""
    old_surprise: float
    """The same of the old words in the same hole."""
    old_worst: float
    sure: float = 0.0
    """Probability that it is right, learned on planted noise."""
    decision: str = ""
    """rewritten, rejected, or kept: the model says the same again, so the old words were no noise."""
    reason: str = ""


@dataclass
class Acceptance:
    """When the model is sure enough of a rewrite, calibrated on planted noise."""

    weights: list[float]
    """Of `new_surprise`, `new_worst`, `old_surprise`, `old_worst`."""
    bias: float
    margin: float
    """Accepted is what is more probably right than this; infinite where no margin reaches the precision."""
    spread_itc: float
    """Median size of L_ITC's change."""
    spread_itm: float
    """Median size of the matching score's change."""
    figures: dict[str, Any] = field(default_factory=dict)

    def probability(self, rewrites: Sequence[Rewrite]) -> np.ndarray:
        """How sure each is."""
        return np.asarray(1 / (1 + np.exp(-(_features(rewrites) @ np.array(self.weights) + self.bias))))


def reconstruct(
    scorer: Scorer, corpus: Corpus, noisy: Sequence[tuple[int, int]], acceptance: Acceptance, config: ScioConfig
) -> list[Rewrite]:
    """Write noisy sub-texts anew and decide about each. None of a tile's noise is read while any of it is written.

    Args:
        scorer: frozen model and negatives.
        corpus: current texts.
        noisy: (tile row, position) of what to write. With policy `whole` all of a tile must be in one call.
        acceptance: of :func:`learn_rewrites`.
        config: policy, baseline and margins.

    Returns:
        One rewrite for each, in order.
    """
    rewrites = propose(scorer, corpus, noisy, [corpus.texts[row] for row, _ in noisy], config)
    if not rewrites:
        return rewrites
    for rewrite, sure in zip(rewrites, acceptance.probability(rewrites)):
        rewrite.sure = float(sure)
        rewrite.decision, rewrite.reason = _wording(corpus, rewrite)
        if not rewrite.decision and not sure > acceptance.margin:
            rewrite.decision = Decision.REJECTED
            rewrite.reason = f"not sure ({sure:.2f} <= {acceptance.margin:.2f}): {rewrite.text!r}"
    left = [rewrite for rewrite in rewrites if not rewrite.decision]
    if config.policy == "whole":
        _test_together(scorer, corpus, left, config)
    for rewrite in left:
        better = (
            -rewrite.delta_itc > config.rewrite_margin * acceptance.spread_itc
            and rewrite.delta_itm > config.rewrite_margin * acceptance.spread_itm
        )
        rewrite.decision = Decision.REWRITTEN if better else Decision.REJECTED
        rewrite.reason = (
            f"sure ({rewrite.sure:.2f}) and better in both scores" if better else f"not better: {rewrite.text!r}"
        )
    return rewrites


def propose(
    scorer: Scorer, corpus: Corpus, places: Sequence[tuple[int, int]], old: Sequence[TileText], config: ScioConfig
) -> list[Rewrite]:
    """Rewrites (undecided) with all figures.

    Args:
        scorer, corpus, config: as in :func:`reconstruct`.
        places: (tile row, position).
        old: the text of each, with the words in question.
    """
    result: list[Rewrite] = []
    model, tokenizer = scorer.model, scorer.model.tokenizer
    size = scorer.tiles_at_once
    for first in track(range(0, len(places), size), "rewrite noisy texts"):
        part = places[first : first + size]
        rows, olds = [row for row, _ in part], old[first : first + size]
        with torch.inference_mode():
            tokens, image = scorer.encode(rows)
            unseen = [sorted({slot, *text.hidden}) for text, (_, slot) in zip(olds, part)]
            prompts = [corpus.prompt(row, slots) for (row, _), slots in zip(part, unseen)]
            numbers = [slots.index(slot) for slots, (_, slot) in zip(unseen, part)]
            written = model.generate(tokens, prompts, config.max_new_tokens, holes=numbers)
            memory = model.text_encoder.image_memory(tokens)
        new = [corpus.with_text(*place, text) for place, text in zip(part, written)]
        asked: list[Asked] = []
        for at, (before, (_, slot), slots) in enumerate(zip(olds, part, unseen)):
            context, masks = with_holes(before, tokenizer.mask, dict.fromkeys(slots, WHOLE))
            contents = (new[at].parts[slot].content, before.parts[slot].content)
            asked += [Asked(at, slot, context, masks[slot], content) for content in contents]
        owner, count = [*range(len(part)), *range(len(part))], len(part)
        said = scorer.infill(memory, asked).reshape(count, 2, 3)
        without = config.baseline == "without"
        base = [text.ids(without=slot if without else None) for text, (_, slot) in zip(olds, part)]
        both = [text.ids() for text in new] + base
        hashes = [text.hash for text in olds]
        loss = scorer.contrast(image[owner], scorer.embed(both), [*rows, *rows], [*hashes, *hashes])
        match = scorer.match(memory, owner, both)
        for at, ((row, slot), text) in enumerate(zip(part, written)):
            result.append(
                Rewrite(
                    row, slot, text, float(loss[at] - loss[count + at]), float(match[at] - match[count + at]),
                    float(said[at, 0, 0]), float(said[at, 0, 2]), float(said[at, 1, 0]), float(said[at, 1, 2]),
                )
            )  # fmt: skip
    return result


class Trial(NamedTuple):
    """A sub-text of the sample that screening called noise, rightly or not."""

    row: int
    slot: int
    old: TileText
    """The text with the words in question."""
    was: str
    """These words."""


def trials_of(corpus: Corpus, calibration: Calibration) -> list[Trial]:
    """Plants that screening caught are to be undone, and of its false alarms the claims are to stay."""
    caught = [Trial(one.row, one.slot, applied(one, corpus), one.text) for one in calibration.caught]
    return caught + [Trial(row, slot, corpus.texts[row], corpus.words(row, slot)) for row, slot in calibration.alarms]


def try_rewrites(scorer: Scorer, corpus: Corpus, trials: Sequence[Trial], config: ScioConfig) -> list[Rewrite]:
    """Rewrites of some trials, undecided."""
    return propose(scorer, corpus, [trial[:2] for trial in trials], [trial.old for trial in trials], config)


def learn_rewrites(
    corpus: Corpus, trials: Sequence[Trial], rewrites: Sequence[Rewrite], own: float, config: ScioConfig
) -> Acceptance:
    """Learn when a rewrite is right. Rewrites that claim the same as the old words are never accepted, so they do not
    count. Where less than `config.accept_precision` of what is accepted would be right, nothing is.

    Args:
        corpus: current texts.
        trials: of :func:`trials_of`.
        rewrites: of :func:`try_rewrites`.
        own: :attr:`Calibration.own`. Screened sub-texts that were not planted are noise at that rate, and their
            rewrites right as often as those of plants; the rest of them should have stayed.
        config: wanted precision.
    """
    was = [trial.was for trial in trials]
    changed = [
        i for i, rewrite in enumerate(rewrites)
        if says_something(corpus, rewrite) and not same_claims(corpus, rewrite.row, rewrite.slot, rewrite.text, was[i])
    ]  # fmt: skip
    tried = [rewrites[i] for i in changed]
    right = np.array(
        [same_claims(corpus, one.row, one.slot, one.text, corpus.words(one.row, one.slot)) for one in tried], bool
    )
    planted = np.array([was[i] != corpus.words(*trials[i][:2]) for i in changed], bool)
    figures: dict[str, Any] = {
        "candidates": len(trials), "planted": int(planted.sum()), "changed": len(tried), "right": int(right.sum()),
        "accepted": 0, "precision": None,
        "reached": False, "wanted_precision": config.accept_precision,
    }  # fmt: skip
    spread_itc, spread_itm = (
        float(np.median(np.abs([getattr(one, name) for one in rewrites]))) if rewrites else 0.0
        for name in ("delta_itc", "delta_itm")
    )
    nothing = Acceptance([0.0] * len(_FEATURES), 0.0, float("inf"), spread_itc, spread_itm, figures)
    if min(right.sum(), (~right).sum()) < _ENOUGH:
        return nothing
    features, group = _features(tried), [one.row for one in tried]
    regression = LogisticRegression(max_iter=1000).fit(features, right)
    held_out = cross_val_predict(
        LogisticRegression(max_iter=1000), features, right, groups=group, cv=GroupKFold(5), method="predict_proba"
    )[:, 1]
    margin, reached = threshold(held_out, right, config.accept_precision, planted, own)
    if not reached:
        return nothing
    accepted = held_out > margin
    figures |= {
        "accepted": int(accepted.sum()), "accepted_planted": int((accepted & planted).sum()),
        "right_planted": float(right[accepted & planted].mean()), "reached": True,
        "precision": precision_at(right, planted, accepted, own),
    }  # fmt: skip
    return Acceptance(
        regression.coef_[0].tolist(), float(regression.intercept_[0]), margin, spread_itc, spread_itm, figures
    )


def says_something(corpus: Corpus, rewrite: Rewrite) -> bool:
    """Where the old sub-text makes a claim of its dimension that can be read, the new one must make one too, and must
    not be a sentence that the data set uses under other dimensions only. A young model otherwise raises both scores by
    writing "no open water is visible" under Layout."""
    kind, dimension = corpus.sets[rewrite.row], corpus.dimension(rewrite.row, rewrite.slot)
    if not rewrite.text.strip(" ."):
        return False
    if parse_claims(kind, dimension, corpus.words(rewrite.row, rewrite.slot)) and not parse_claims(
        kind, dimension, rewrite.text
    ):
        return False
    return dimension in corpus.used_under.get(plain_words(rewrite.text), {dimension})


def same_claims(corpus: Corpus, row: int, slot: int, one: str, other: str) -> bool:
    """Whether two sub-texts say the same: the same claims, or where none can be read the same words."""
    kind, dimension = corpus.sets[row], corpus.dimension(row, slot)
    claims = [parse_claims(kind, dimension, text) for text in (one, other)]
    return claims[0] == claims[1] if any(claims) else plain_words(one) == plain_words(other)


def _wording(corpus: Corpus, rewrite: Rewrite) -> tuple[str, str]:
    """A decision that the words alone suffice for, and its reason; "" otherwise."""
    if not says_something(corpus, rewrite):
        return Decision.REJECTED, f"says nothing of it: {rewrite.text!r}"
    if same_claims(corpus, rewrite.row, rewrite.slot, rewrite.text, corpus.words(rewrite.row, rewrite.slot)):
        return Decision.KEPT, f"the model says the same: {rewrite.text!r}"
    return "", ""


def _test_together(scorer: Scorer, corpus: Corpus, rewrites: Sequence[Rewrite], config: ScioConfig) -> None:
    """Algorithm 1: one test of T', the text with all its rewrites in; its figures become those of each rewrite."""
    by_row: dict[int, list[Rewrite]] = {}
    for rewrite in rewrites:
        by_row.setdefault(rewrite.row, []).append(rewrite)
    rows = list(by_row)
    for first in range(0, len(rows), scorer.tiles_at_once):
        part = rows[first : first + scorer.tiles_at_once]
        new, base = [], []
        for row in part:
            text, slots = corpus.texts[row], {rewrite.slot for rewrite in by_row[row]}
            parts = list(text.parts)
            for rewrite in by_row[row]:
                parts[rewrite.slot] = corpus.with_text(row, rewrite.slot, rewrite.text).parts[rewrite.slot]
            new.append(TileText(parts).ids())
            kept = [not (config.baseline == "without" and slot in slots) for slot in range(len(parts))]
            base.append(text.ids_of(kept))
        tokens, image = scorer.encode(part)
        with torch.inference_mode():
            memory = scorer.model.text_encoder.image_memory(tokens)
        owner = [*range(len(part)), *range(len(part))]
        hashes = [corpus.texts[row].hash for row in part]
        loss = scorer.contrast(image[owner], scorer.embed(new + base), [*part, *part], [*hashes, *hashes])
        match = scorer.match(memory, owner, new + base)
        for at, row in enumerate(part):
            for rewrite in by_row[row]:
                rewrite.delta_itc = float(loss[at] - loss[len(part) + at])
                rewrite.delta_itm = float(match[at] - match[len(part) + at])


def _features(rewrites: Sequence[Rewrite]) -> np.ndarray:
    return np.array([[getattr(one, name) for name in _FEATURES] for one in rewrites]).reshape(-1, len(_FEATURES))
