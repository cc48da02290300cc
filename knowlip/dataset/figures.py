"""Figures of the pass that wrote a text revision: threshold, calibration, counts. They stand beside its rows.

DATASET/revisions/000001.parquet   the decisions
DATASET/revisions/000001.json      how the pass that made them was set up, and how it did on injected noise
"""

from pathlib import Path
from typing import Any

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.dataset.layout import REVISIONS


def figures_path(dataset: Path, revision: int) -> Path:
    """File with the figures of a revision."""
    return dataset / REVISIONS / f"{revision:06d}.json"


def write_figures(dataset: Path, revision: int, figures: dict[str, Any]) -> None:
    """Keep a pass's figures (JSON values, NaN is refused) beside the revision that it wrote."""
    write_json(figures_path(dataset, revision), figures)


def read_figures(dataset: Path, revision: int) -> dict[str, Any]:
    """Figures of the pass that wrote a revision; {} where none were kept."""
    path = figures_path(dataset, revision)
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found
