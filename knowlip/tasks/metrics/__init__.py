"""What is measured and how sure we are: pure functions of arrays and strings, no model and no data set."""

from knowlip.tasks.metrics.baselines import fixed_texts, majority_answers, typical_text
from knowlip.tasks.metrics.captions import NO_CIDER, CaptionScore, CaptionScorer, rouge_l, tokenise
from knowlip.tasks.metrics.detection import auroc, grouped_auroc, precision_recall
from knowlip.tasks.metrics.intervals import (
    NO_INTERVAL,
    Estimate,
    cluster_bootstrap,
    mean,
    mean_of_means,
    proportion,
    wilson,
)
from knowlip.tasks.metrics.retrieval import chance_recall, diagonal_ranks, ranks_of_positives, recall_at

__all__ = [
    "NO_CIDER",
    "NO_INTERVAL",
    "CaptionScore",
    "CaptionScorer",
    "Estimate",
    "auroc",
    "chance_recall",
    "cluster_bootstrap",
    "diagonal_ranks",
    "fixed_texts",
    "grouped_auroc",
    "majority_answers",
    "mean",
    "mean_of_means",
    "precision_recall",
    "proportion",
    "ranks_of_positives",
    "recall_at",
    "rouge_l",
    "tokenise",
    "typical_text",
    "wilson",
]
