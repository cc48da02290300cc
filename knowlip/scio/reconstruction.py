"""Reconstruction: noisy sub-texts are written anew from image and context, and taken only where that is better
(Eqs. 12-15 and Algorithm 1 of arXiv 2509.23927).

`method: paper`: one noisy sub-text p_j at a time becomes [MASK] (Eq. 12), the decoder writes p'_j (Eq. 13), and the
text with p'_j is taken where its L_ITC is below (Eq. 14) and its matching score above (Eq. 15) that of the current one.

`method: calibrated`: all noisy sub-texts of a text are [MASK] while one is written, and a rewrite is accepted when

    1. it makes a claim of its dimension, where the old one did, and is no sentence of other dimensions,
    2. it claims something else than the old one (else the old one was right after all, and stays),
    3. the model is sure of it: a score of how probable the new and the old words are to the decoder, and their claims
       to the readout where the model has one, exceeds a threshold that is calibrated on injected noise, so that most
       accepted rewrites restore the claim that had been there,
    4. against the baseline both of Eqs. 14-15 hold, each by more than a threshold.

In both, policy `fragment` asks Eqs. 14-15 one by one; policy `whole`, Algorithm 1, once for the text with all its
rewrites.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from knowlip.base.progress import track
from knowlip.base.statistics import auroc
from knowlip.base.vocabulary import Decision
from knowlip.language.claims import parse_claims, say_the_same
from knowlip.language.dimensions import SLOTS
from knowlip.language.words import plain_words
from knowlip.models.readout import Answers
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import Scorer, claim_surprise
from knowlip.scio.filled import FilledHole
from knowlip.scio.screening import NoiseCalibration, corrupted
from knowlip.scio.thresholds import held_out_probability, mixture_proportion, precise_threshold, precision_at
from knowlip.training.corpus import Corpus
from knowlip.training.holes import WHOLE, with_holes
from knowlip.training.texts import TileText

_FEATURES: Final = ("new_nll", "new_max_nll", "old_nll", "old_max_nll", "new_claims", "old_claims")
_ENOUGH: Final = 20
"""So many rewrites of each kind, right and wrong, are needed to calibrate."""
_TELLS: Final = 0.65
"""AUROC of the gate on injected errors, above which it must lie by two standard errors, for its scores to be believed
about other sub-texts too."""
_NAN: Final = float("nan")


@dataclass
class Rewrite:
    """A new sub-text and what speaks for it."""

    row: int
    slot: int
    text: str
    delta_itc: float
    """L_ITC(v, new text) - L_ITC(v, baseline): below 0 is better (Eq. 14)."""
    delta_itm: float
    """s(v, new text) - s(v, baseline): above 0 is better (Eq. 15)."""
    new_nll: float = _NAN
    """-log p a token of the new words, by the decoder that wrote them. This and the next four: `method: calibrated`."""
    new_max_nll: float = _NAN
    """-log p of its least probable token."""
    old_nll: float = _NAN
    """The same of the old words in the same hole."""
    old_max_nll: float = _NAN
    new_claims: float = 0.0
    """How much less likely the new words' claims are than the likeliest, by the readout of the image."""
    old_claims: float = 0.0
    """The same of the old words; both are 0 where one of them is not known, or the model has no readout."""
    confidence: float = _NAN
    """Probability that it is right, learned on injected noise."""
    decision: str = ""
    """rewritten, rejected, or kept: the model says the same again, so the old words were no noise."""
    reason: str = ""


@dataclass
class Acceptance:
    """When the model is sure enough of a rewrite, calibrated on injected noise."""

    weights: list[float]
    """Of `new_nll`, `new_max_nll`, `old_nll`, `old_max_nll`, `new_claims`, `old_claims`."""
    bias: float
    threshold: float
    """Accepted is what is more probably right than this; infinite where no threshold reaches the precision."""
    scale_itc: float
    """Median size of L_ITC's change."""
    scale_itm: float
    """Median size of the matching score's change."""
    figures: dict[str, Any] = field(default_factory=dict)

    def probability(self, rewrites: Sequence[Rewrite]) -> np.ndarray:
        """How sure each is."""
        return np.asarray(1 / (1 + np.exp(-(_features(rewrites) @ np.array(self.weights) + self.bias))))


def reconstruct(
    scorer: Scorer,
    corpus: Corpus,
    noisy: Sequence[tuple[int, int]],
    acceptance: Acceptance | None,
    config: ScioConfig,
) -> list[Rewrite]:
    """Write noisy sub-texts anew and decide about each.

    Args:
        scorer: frozen model and negatives.
        corpus: current texts.
        noisy: (tile row, position) of what to write. With policy `whole` all of a tile must be in one call.
        acceptance: of :func:`learn_rewrites`; None for `method: paper`, which has no test but Eqs. 14-15 against 0.
        config: policy, baseline and thresholds.

    Returns:
        One rewrite for each, in order.
    """
    was = [corpus.words(row, slot) for row, slot in noisy]
    rewrites = propose(scorer, corpus, noisy, [corpus.texts[row] for row, _ in noisy], was, config)
    if acceptance is not None and rewrites:
        _gate(corpus, rewrites, acceptance)
    left = [rewrite for rewrite in rewrites if not rewrite.decision]
    if config.policy == "whole":
        _test_together(scorer, corpus, left, config)
    least_itc = least_itm = 0.0
    if acceptance is not None:
        least_itc, least_itm = (config.rewrite_threshold * one for one in (acceptance.scale_itc, acceptance.scale_itm))
    for rewrite in left:
        better = -rewrite.delta_itc > least_itc and rewrite.delta_itm > least_itm
        rewrite.decision = Decision.REWRITTEN if better else Decision.REJECTED
        sure = "" if acceptance is None else f"sure ({rewrite.confidence:.2f}) and "
        rewrite.reason = f"{sure}better in both scores" if better else f"not better: {rewrite.text!r}"
    return rewrites


def _gate(corpus: Corpus, rewrites: Sequence[Rewrite], acceptance: Acceptance) -> None:
    """Decide what words and confidence suffice for."""
    for rewrite, confidence in zip(rewrites, acceptance.probability(rewrites)):
        rewrite.confidence = float(confidence)
        rewrite.decision, rewrite.reason = _wording(corpus, rewrite)
        if not rewrite.decision and not confidence > acceptance.threshold:
            rewrite.decision = Decision.REJECTED
            rewrite.reason = f"not sure ({confidence:.2f} <= {acceptance.threshold:.2f}): {rewrite.text!r}"


def propose(
    scorer: Scorer,
    corpus: Corpus,
    places: Sequence[tuple[int, int]],
    old: Sequence[TileText],
    was: Sequence[str],
    config: ScioConfig,
) -> list[Rewrite]:
    """Rewrites (undecided) with all figures.

    What is to be written becomes [MASK]: the sub-text itself (`method: paper`, Eq. 12), or with it all other noise of
    the text, so that none of it is read. The decoder then writes the words from image and context (Eq. 13).

    Args:
        scorer, corpus, config: as in :func:`reconstruct`.
        places: (tile row, position).
        old: the text of each, with the words in question.
        was: these words, as matching and infilling read them.
    """
    result: list[Rewrite] = []
    model, paper, without = scorer.model, config.method == "paper", config.baseline == "without"
    for first in track(range(0, len(places), scorer.tiles_at_once), "rewrite noisy texts"):
        part = places[first : first + scorer.tiles_at_once]
        rows, olds = [row for row, _ in part], old[first : first + scorer.tiles_at_once]
        with torch.inference_mode():
            tokens, image, answers = scorer.look(rows)
            masked = [sorted({slot} if paper else {slot, *text.noise}) for text, (_, slot) in zip(olds, part)]
            prompts = [corpus.prompt(row, slots) for (row, _), slots in zip(part, masked)]
            numbers = [slots.index(slot) for slots, (_, slot) in zip(masked, part)]
            written = model.generate(tokens, prompts, config.max_new_tokens, holes=numbers)
            memory = model.image_key_values(tokens)
        new = [corpus.with_text(*place, *corpus.rewritten(*place, text)) for place, text in zip(part, written)]
        keep = [[not (without and at == slot) for at in range(SLOTS)] for _, slot in part]
        base = [_both(text, kept) for text, kept in zip(olds, keep)]
        deltas = _differences(scorer, rows, image, memory, list(map(_both, new)), base, [text.hash for text in olds])
        found = [Rewrite(*place, text, *two) for place, text, two in zip(part, written, deltas)]
        if not paper:
            _ask_decoder(scorer, memory, found, olds, new, masked)
            if answers is not None:
                _ask_readout(corpus, answers, found, was[first : first + scorer.tiles_at_once])
        result += found
    return result


_Both = tuple[list[int], list[int]]
"""Token ids that contrast reads, and those that matching reads."""


def _both(text: TileText, keep_8: Sequence[bool] = (True,) * SLOTS) -> _Both:
    """Of the sub-texts that are kept."""
    return text.ids_of(keep_8), text.grounded.ids_of(keep_8)


def _differences(
    scorer: Scorer,
    rows: Sequence[int],
    image: torch.Tensor,
    memory: Sequence[Any],
    new: Sequence[_Both],
    base: Sequence[_Both],
    hashes: Sequence[int],
) -> list[tuple[float, float]]:
    """Change of L_ITC (Eq. 14) and of the matching score (Eq. 15) from a base to a new text, of each tile row."""
    twice, count = [*range(len(rows)), *range(len(rows))], len(rows)
    contrast, read = ([one[view] for one in (*new, *base)] for view in (0, 1))
    loss = scorer.contrast(image[twice], scorer.embed(contrast), [*rows, *rows], [*hashes, *hashes])
    match = scorer.match(memory, twice, read)
    return list(zip((loss[:count] - loss[count:]).tolist(), (match[:count] - match[count:]).tolist()))


def _ask_decoder(
    scorer: Scorer,
    memory: Sequence[Any],
    rewrites: Sequence[Rewrite],
    olds: Sequence[TileText],
    new: Sequence[TileText],
    masked: Sequence[Sequence[int]],
) -> None:
    """How probable the decoder finds the new words and the old ones, in the same hole."""
    asked: list[FilledHole] = []
    for at, (rewrite, old, slots) in enumerate(zip(rewrites, olds, masked)):
        context, masks = with_holes(old.grounded, scorer.model.tokenizer.mask, dict.fromkeys(slots, WHOLE))
        contents = [text.grounded.parts[rewrite.slot].content for text in (new[at], old)]
        asked += [FilledHole(at, rewrite.slot, context, masks[rewrite.slot], content) for content in contents]
    for rewrite, (after, before) in zip(rewrites, scorer.infill(memory, asked).reshape(-1, 2, 3).tolist()):
        rewrite.new_nll, _, rewrite.new_max_nll = after
        rewrite.old_nll, _, rewrite.old_max_nll = before


def _ask_readout(corpus: Corpus, answers: Answers, rewrites: Sequence[Rewrite], was: Sequence[str]) -> None:
    """How likely the readout finds what the new words claim and what the old ones do."""
    asked = []
    for at, (rewrite, old) in enumerate(zip(rewrites, was)):
        kind, slot = corpus.sets[rewrite.row], rewrite.slot
        dimension = corpus.dimension(rewrite.row, slot)
        asked += [(at, kind, slot, parse_claims(kind, dimension, text)) for text in (rewrite.text, old)]
    for rewrite, (new, before) in zip(rewrites, claim_surprise(answers, asked).reshape(-1, 2).tolist()):
        if np.isfinite(new) and np.isfinite(before):
            rewrite.new_claims, rewrite.old_claims = new, before


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
            whole, read = list(text.parts), list(text.grounded.parts)
            for rewrite in by_row[row]:
                # What was not read by the decoder stays in the text that contrast reads.
                told = corpus.rewritten(row, rewrite.slot, rewrite.text)
                written = corpus.with_text(row, rewrite.slot, *told)
                whole[rewrite.slot] = written.parts[rewrite.slot]
                read[rewrite.slot] = written.grounded.parts[rewrite.slot]
            new.append((TileText(whole).ids(), TileText(read).ids()))
            kept = [not (config.baseline == "without" and slot in slots) for slot in range(SLOTS)]
            base.append(_both(text, kept))
        tokens, image = scorer.encode(part)
        with torch.inference_mode():
            memory = scorer.model.image_key_values(tokens)
        deltas = _differences(scorer, part, image, memory, new, base, [corpus.texts[row].hash for row in part])
        for row, two in zip(part, deltas):
            for rewrite in by_row[row]:
                rewrite.delta_itc, rewrite.delta_itm = two


# ---- calibration on injected noise ----------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A sub-text of the sample that screening called noise, rightly or not."""

    row: int
    slot: int
    old: TileText
    """The text with the words in question."""
    was: str
    """These words, as matching and infilling read them."""


def trials_of(corpus: Corpus, calibration: NoiseCalibration) -> list[Trial]:
    """Injected noise that screening found is to be undone, and of its false positives the claims are to stay."""
    found = [
        Trial(one.row, one.slot, corrupted(one, corpus), corpus.read_of(one.text, one.marks))
        for one in calibration.true_positives
    ]
    wrongly = calibration.false_positives
    return found + [Trial(row, slot, corpus.texts[row], corpus.words(row, slot)) for row, slot in wrongly]


def try_rewrites(scorer: Scorer, corpus: Corpus, trials: Sequence[Trial], config: ScioConfig) -> list[Rewrite]:
    """Rewrites of some trials, undecided."""
    places, old, was = [trial[:2] for trial in trials], [trial.old for trial in trials], [one.was for one in trials]
    return propose(scorer, corpus, places, old, was, config)


def learn_rewrites(
    corpus: Corpus, trials: Sequence[Trial], rewrites: Sequence[Rewrite], natural: float, config: ScioConfig
) -> Acceptance:
    """Learn when a rewrite is right. Rewrites that claim the same as the old words are never accepted, so they do not
    count. Where less than `config.accept_precision` of what is accepted would be right, nothing is.

    Args:
        corpus: current texts.
        trials: of :func:`trials_of`.
        rewrites: of :func:`try_rewrites`.
        natural: :attr:`NoiseCalibration.natural`. Screened sub-texts that were not injected are noise at that rate, or
            at that of :func:`naturally_right` where it is higher, and their rewrites right as often as those of
            injected ones; the rest of them should have stayed.
        config: wanted precision, and whether truth tells what is right (`errors`).
    """
    was, on_truth = [trial.was for trial in trials], config.errors == "truth"
    changed = [
        i
        for i, one in enumerate(rewrites)
        if says_something(corpus, one) and not same_claims(corpus, one.row, one.slot, one.text, was[i])
    ]
    if on_truth:  # what nobody can judge teaches nothing
        changed = [i for i in changed if _verdict(corpus, rewrites[i]) is not None]
    tried = [rewrites[i] for i in changed]
    right = np.array([_right(corpus, one, on_truth) for one in tried], bool)
    # Where truth decides, every example counts as it is; else what was not injected may be noise of its own.
    injected = np.array([on_truth or was[i] != corpus.words(*trials[i][:2]) for i in changed], bool)
    figures: dict[str, Any] = {
        "learned_from": config.errors,
        "candidates": len(trials),
        "injected": int(injected.sum()),
        "changed": len(tried),
        "right": int(right.sum()),
        "accepted": 0,
        "precision": None,
        "reached": False,
        "wanted_precision": config.accept_precision,
    }
    scale_itc, scale_itm = (
        float(np.median(np.abs([getattr(one, name) for one in rewrites]))) if rewrites else 0.0
        for name in ("delta_itc", "delta_itm")
    )
    nothing = Acceptance([0.0] * len(_FEATURES), 0.0, float("inf"), scale_itc, scale_itm, figures)
    if min(right.sum(), (~right).sum()) < _ENOUGH:
        return nothing
    features, rows = _features(tried), [one.row for one in tried]
    held_out = held_out_probability(features, right, [corpus.blocks[row] for row in rows], rows)
    if held_out is None:
        return nothing
    regression = LogisticRegression(max_iter=1000).fit(features, right)
    by_gate = naturally_right(held_out, right, injected)
    figures |= {"naturally_right": {"by_screening": natural, "by_gate": by_gate}}
    natural = max(natural, by_gate)
    threshold, reached = precise_threshold(held_out, right, config.accept_precision, injected, natural)
    if not reached:
        return nothing
    accepted = held_out > threshold
    figures |= {
        "accepted": int(accepted.sum()),
        "accepted_injected": int((accepted & injected).sum()),
        "right_injected": float(right[accepted & injected].mean()),
        "reached": True,
        "precision": precision_at(right, injected, accepted, natural),
    }
    weights, bias = regression.coef_[0].tolist(), float(regression.intercept_[0])
    return Acceptance(weights, bias, threshold, scale_itc, scale_itm, figures)


def naturally_right(score: np.ndarray, right: np.ndarray, injected: np.ndarray) -> float:
    """How many rewrites of sub-texts that were not injected are right for each right one of the injected, by the score
    of the gate itself (N,); 0 where it hardly tells right rewrites of injected errors from wrong ones, or too few of
    these are known. Beside the share that screening estimates, which falls short where the texts' own errors look less
    wrong than injected ones (by half on one of two data sets of which a fifth was wrong)."""
    others, wrong = score[~injected], score[injected & ~right]
    good, bad = int(right.sum()), len(wrong)
    if min(good, bad) < _ENOUGH:
        return 0.0
    error = ((good + bad + 1) / (12 * good * bad)) ** 0.5  # of an AUROC by chance (Mann and Whitney)
    told = auroc(score[injected], right[injected])
    if told is None or told - 2 * error < _TELLS:
        return 0.0
    return mixture_proportion(others, score[right], wrong) * len(others) / good


def _verdict(corpus: Corpus, rewrite: Rewrite) -> bool | None:
    return corpus.verdict(rewrite.row, rewrite.slot, rewrite.text)


def _right(corpus: Corpus, rewrite: Rewrite, on_truth: bool) -> bool:
    """Whether a rewrite is true, or restores the claim into which noise was injected."""
    if on_truth:
        return _verdict(corpus, rewrite) is True
    return same_claims(corpus, rewrite.row, rewrite.slot, rewrite.text, corpus.words(rewrite.row, rewrite.slot))


def _features(rewrites: Sequence[Rewrite]) -> np.ndarray:
    return np.array([[getattr(one, name) for name in _FEATURES] for one in rewrites]).reshape(-1, len(_FEATURES))


# ---- rules of wording (`method: calibrated`) ------------------------------------------------------------------------


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
    return say_the_same(corpus.sets[row], corpus.dimension(row, slot), one, other)


def _wording(corpus: Corpus, rewrite: Rewrite) -> tuple[str, str]:
    """A decision that the words alone suffice for, and its reason; "" otherwise."""
    if not says_something(corpus, rewrite):
        return Decision.REJECTED, f"says nothing of it: {rewrite.text!r}"
    if same_claims(corpus, rewrite.row, rewrite.slot, rewrite.text, corpus.words(rewrite.row, rewrite.slot)):
        return Decision.KEPT, f"the model says the same: {rewrite.text!r}"
    return "", ""
