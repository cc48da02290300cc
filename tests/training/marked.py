"""Texts that hold more than the image shows: behind what is seen, the place."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from knowlip.dataset import Dataset
from knowlip.language.marks import Sentence, joined, resting_on
from tests.training.runs import annotated

__all__ = ["PLACE", "annotated", "marked", "marked_dataset", "marked_rows"]
PLACE = "North Holland"
ONLY_PLACE = 3
"""The slot whose sub-text says nothing of the image."""


def marked_rows(texts: pd.DataFrame) -> pd.DataFrame:
    """The same sub-texts, each with a sentence behind it that rests on the place; that of one slot is of it alone."""
    rows = []
    for row in texts.to_dict("records"):
        place = Sentence(f"{PLACE} holds {row['tile_id']}", "geo", "region")
        seen = resting_on(row["text"], row["marks"], row["evidence"], ("visual",)) or row["text"]
        words = [place] if row["slot"] == ONLY_PLACE else [Sentence(seen, "visual", "main"), place]
        text, marks = joined(words)
        rows.append({**row, "text": text, "marks": marks, "evidence": words[0].evidence})
    return pd.DataFrame(rows)


def marked_dataset(annotated: Path, folder: Path) -> Path:
    """A copy of a data set with such texts."""
    shutil.copytree(annotated, folder)
    data = Dataset(folder)
    rows = marked_rows(data.texts(0))
    (folder / "texts.parquet").unlink()
    data.write_texts(rows)
    data.publish_texts()
    return folder


@pytest.fixture(scope="session")
def marked(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marked_dataset(annotated, tmp_path_factory.mktemp("marked") / "dataset")
