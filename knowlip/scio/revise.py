"""Decisions of SCIO's passes as rows of a text revision, and the figures kept beside it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import Decision
from knowlip.scio.reconstruction import Acceptance, Rewrite
from knowlip.scio.screening import Screening
from knowlip.scio.thresholds import NEVER, NoiseModel
from knowlip.training.corpus import Corpus

Figures = dict[str, Any]


def screening_rows(corpus: Corpus, screening: Screening, noise: NoiseModel) -> tuple[pd.DataFrame, Figures]:
    """`kept` or `screened` for every sub-text of the screened tiles.

    Returns:
        Rows of the corpus' table with decision, figures and reason; and the figures of the pass: the margin, how
        screening does on planted noise, the noise model, and how many were screened.
    """
    places = [corpus.row(row, slot) for row in screening.rows for slot in range(screening.score.shape[1])]
    rows = corpus.table.iloc[places].copy()
    score, noisy = screening.score.ravel(), screening.noisy.ravel()
    rows["decision"] = np.where(noisy, Decision.SCREENED, Decision.KEPT)
    rows["delta_itc"], rows["delta_itm"] = screening.evidence.itc.ravel(), screening.evidence.itm.ravel()
    for name in ("surprise", "gap", "worst"):
        rows[name] = getattr(screening.evidence, name).ravel()
    rows["noise"], rows["margin"] = score, noise.margin
    rows["reason"] = [
        f"noise score {value:.3f} {'>' if flagged else '<='} margin {noise.margin:.3g}"
        if noise.margin < NEVER
        else f"noise score {value:.3f}, and no margin is precise enough"
        for value, flagged in zip(score, noisy)
    ]
    model = noise.plain()
    return rows, {
        "margin": noise.margin, "planted": model.pop("figures"), "sub_texts": len(rows),
        "screened": int(noisy.sum()), "noise_model": model,
    }  # fmt: skip


def rewriting_rows(corpus: Corpus, rewrites: Sequence[Rewrite], acceptance: Acceptance) -> tuple[pd.DataFrame, Figures]:
    """`rewritten`, `rejected` (the old words stay, and stay hidden) or `kept` for every noisy sub-text.

    Returns:
        Rows with the words that hold now, decision, figures and reason; and the figures of the pass.
    """
    rows = corpus.table.iloc[[corpus.row(one.row, one.slot) for one in rewrites]].copy()
    rows["decision"] = [one.decision for one in rewrites]
    rows["delta_itc"] = np.array([one.delta_itc for one in rewrites], float)
    rows["delta_itm"] = np.array([one.delta_itm for one in rewrites], float)
    rows["surprise"] = np.array([one.new_surprise for one in rewrites], float)
    rows["worst"] = np.array([one.new_worst for one in rewrites], float)
    rows["gap"] = np.array([one.old_surprise - one.new_surprise for one in rewrites], float)
    rows["noise"] = np.array([1 - one.sure for one in rewrites], float)
    rows["margin"] = acceptance.margin
    rows["reason"] = [one.reason for one in rewrites]
    accepted = (rows["decision"] == Decision.REWRITTEN).to_numpy(bool)
    rows["text"] = [one.text if taken else old for one, taken, old in zip(rewrites, accepted, rows["text"])]
    rows.loc[accepted, "annotator"] = "scio"
    counts = Counter(one.decision for one in rewrites)
    return rows, {
        "candidates": len(rewrites),
        **{str(name): counts[name] for name in (Decision.REWRITTEN, Decision.REJECTED, Decision.KEPT)},
        "margin": acceptance.margin if np.isfinite(acceptance.margin) else None, "planted": acceptance.figures,
        "weights": acceptance.weights, "bias": acceptance.bias,
    }  # fmt: skip
