"""A data set with texts and two revisions of known decisions."""

from pathlib import Path

import pandas as pd

from knowlip.dataset import Dataset
from knowlip.dataset.figures import write_figures

TILE = "l0-m0"


def decide(folder: Path) -> Dataset:
    """Screening calls slot 1 of every tile noise; reconstruction replaces it in the first four tiles."""
    dataset = Dataset(folder)
    texts = dataset.texts()
    screened = texts["slot"] == 1
    rows = texts.assign(
        decision=screened.map({True: "screened", False: "kept"}),
        delta_itc=-0.25,
        delta_itm=0.5,
        margin=0.1,
        reason="noise score 0.250 > threshold 0.100",
    )
    first = dataset.append_revision(rows, "run-screen", parent=0)
    write_figures(folder, first, {"threshold": 0.1, "injected": {"swap": {"auroc": 0.875, "n": 40}}})
    noisy: pd.DataFrame = rows[screened].copy()
    better = noisy["tile_id"].isin(sorted(noisy["tile_id"])[:4])
    noisy["decision"] = better.map({True: "rewritten", False: "rejected"})
    noisy["text"] = ["Very " + text if new else text for text, new in zip(noisy["text"], better)]
    noisy.loc[better, ["annotator", "marks", "evidence"]] = "scio", "", "visual"
    noisy["reason"] = better.map({True: "better in both scores", False: "not better: 'four <ships>'"})
    dataset.append_revision(noisy, "run-rewrite", parent=first)
    return dataset
