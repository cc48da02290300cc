"""Decisions of SCIO's passes as rows of a text revision, and the figures kept beside it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import Decision
from knowlip.language.marks import sentences_of
from knowlip.scio.kinds import DECODER, DELTAS, kinds_of
from knowlip.scio.reconstruction import Acceptance, Rewrite
from knowlip.scio.screening import Screening
from knowlip.scio.thresholds import NEVER, NoiseModel
from knowlip.training.corpus import Corpus

Figures = dict[str, Any]


def screening_rows(corpus: Corpus, screening: Screening, noise: NoiseModel) -> tuple[pd.DataFrame, Figures]:
    """`kept` or `screened` for every sub-text of the screened tiles that the image can judge.

    Returns:
        Rows of the corpus' table with decision, figures and reason; and the figures of the pass: the threshold, how
        screening does on injected noise, the noise model, and how many were screened.
    """
    places = [corpus.row(row, slot) for row in screening.rows for slot in range(screening.score.shape[1])]
    judged = np.isfinite(screening.score.ravel())
    limits = noise.limits([corpus.sets[row] for row in screening.rows]).ravel()[judged]
    rows = corpus.table.iloc[np.array(places, int)[judged]].copy()
    score, noisy = screening.score.ravel()[judged], screening.noisy.ravel()[judged]
    rows["decision"] = np.where(noisy, Decision.SCREENED, Decision.KEPT)
    # What no evidence of the setting is made of has no column, but for what revisions always had.
    more = [kind for kind in kinds_of(noise.evidence) if kind not in (*DELTAS, *DECODER)]
    for column, kind in (("delta_itc", "itc"), ("delta_itm", "itm"), *((name, name) for name in (*DECODER, *more))):
        rows[column] = getattr(screening.evidence, kind).ravel()[judged]
    rows["noise"], rows["margin"] = score, limits
    rows["reason"] = [
        f"noise score {value:.3f} {'>' if flagged else '<='} threshold {limit:.3g}"
        if limit < NEVER
        else f"noise score {value:.3f}, and no threshold is precise enough"
        for value, flagged, limit in zip(score, noisy, limits)
    ]
    model = noise.plain()
    return rows, {
        "threshold": noise.threshold,
        "injected": model.pop("figures"),
        "sub_texts": len(rows),
        "screened": int(noisy.sum()),
        "noise_model": model,
    }


def rewriting_rows(
    corpus: Corpus, rewrites: Sequence[Rewrite], acceptance: Acceptance | None
) -> tuple[pd.DataFrame, Figures]:
    """`rewritten`, `rejected` (the old words stay, and stay hidden) or `kept` for every noisy sub-text.

    Returns:
        Rows with the words that hold now, decision, figures and reason; and the figures of the pass.
    """

    # A row for every judged sub-text, also where nothing changed: who reads a revision sees what was looked at.
    def column(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in rewrites], float)

    rows = corpus.table.iloc[[corpus.row(one.row, one.slot) for one in rewrites]].copy()
    rows["decision"], rows["reason"] = [one.decision for one in rewrites], [one.reason for one in rewrites]
    rows["delta_itc"], rows["delta_itm"] = column("delta_itc"), column("delta_itm")
    rows["nll"], rows["max_nll"], rows["gap"] = (
        column("new_nll"),
        column("new_max_nll"),
        column("old_nll") - column("new_nll"),
    )
    rows["noise"] = 1 - column("confidence")
    rows["margin"] = 0.0 if acceptance is None else acceptance.threshold
    accepted = (rows["decision"] == Decision.REWRITTEN).to_numpy(bool)
    # The decoder writes from the image: its words take the place of those it read, and are marked so.
    told = [
        corpus.rewritten(one.row, one.slot, one.text) if taken else old
        for one, taken, old in zip(rewrites, accepted, zip(rows["text"], rows["marks"]))
    ]
    rows["text"], rows["marks"] = [text for text, _ in told], [marks for _, marks in told]
    rows.loc[accepted, "evidence"] = [
        sentences_of(text, marks)[0].evidence for (text, marks), taken in zip(told, accepted) if taken
    ]
    rows.loc[accepted, "annotator"] = "scio"
    counts = Counter(one.decision for one in rewrites)
    figures: dict[str, Any] = {
        "candidates": len(rewrites),
        **{str(name): counts[name] for name in (Decision.REWRITTEN, Decision.REJECTED, Decision.KEPT)},
    }
    if acceptance is not None:
        figures |= {
            "threshold": acceptance.threshold if np.isfinite(acceptance.threshold) else None,
            "injected": acceptance.figures,
            "weights": acceptance.weights,
            "bias": acceptance.bias,
        }
    return rows, figures
