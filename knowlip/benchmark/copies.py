"""Copies of a data set that differ in their texts: shards are hard links, so a copy costs some megabytes."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.files import whole_folder, write_json
from knowlip.benchmark.corrupt import Change, corrupt_texts
from knowlip.dataset import Dataset
from knowlip.dataset.layout import ANNOTATIONS, INDEX, INFO, MASKS, REVISIONS, SHARDS, TEXTS, TRUTH
from knowlip.dataset.mentions import MENTIONS

WRONG: Final = "wrong.json"
"""File of a copy that tells which of its texts were changed."""
_TILES: Final = (INFO, INDEX, TRUTH, ANNOTATIONS, MASKS, MENTIONS)


def copy_dataset(
    source: Path, target: Path, texts: bool = True, then: Callable[[Dataset], object] | None = None
) -> Path:
    """Copy a data set, whole or not at all; a copy that is there already stays.

    Args:
        source: it is only read.
        target: folder of the copy.
        texts: copy the texts and their revisions too.
        then: what else to do with the copy before it counts as made.

    Raises:
        ValueError: `target` is a copy of another data set.
    """
    if not (target / INFO).is_file():
        with whole_folder(target) as part:
            for name in (*_TILES, *([TEXTS] if texts else [])):
                if (source / name).is_file():
                    shutil.copyfile(source / name, part / name)
            shutil.copytree(source / SHARDS, part / SHARDS, copy_function=_link)
            if texts and (source / REVISIONS).is_dir():
                shutil.copytree(source / REVISIONS, part / REVISIONS)
            if then is not None:
                then(Dataset(part))
    if Dataset(target).fingerprint != Dataset(source).fingerprint:
        raise ValueError(f"{target} is a copy of another data set than {source}: use another output folder.")
    return target


def dataset_with(source: Path, texts: str, target: Path, wrong: float = 0.0, seed: int = 0) -> Path:
    """A copy of a data set with revision 0 of one kind of texts, and room for its own revisions.

    Args:
        source: an annotated data set; it is only read.
        texts: "annotator" (the source's own) or "templates" (by the `labels` annotator; what the annotator points at
            beside its texts stays, so that nothing but the texts differs).
        target: folder of the copy; what is there already stays.
        wrong: sub-texts a training tile that are made wrong, see :func:`knowlip.benchmark.corrupt.corrupt_texts`;
            `target`/wrong.json says which.
        seed: of this choice.

    Raises:
        ValueError: `target` is a copy of another data set, or no text can be made from labels.
    """

    def then(copy: Dataset) -> None:
        shutil.rmtree(copy.path / REVISIONS, ignore_errors=True)
        if texts == "templates":
            (copy.path / MENTIONS).unlink(missing_ok=True)  # the templates' own would be others
            annotate(AnnotateConfig(copy.path, annotator="labels"))
            (copy.path / MENTIONS).unlink(missing_ok=True)
            if (source / MENTIONS).is_file():
                shutil.copyfile(source / MENTIONS, copy.path / MENTIONS)
        if wrong:
            write_json(copy.path / WRONG, corrupt_texts(copy, wrong, seed))

    return copy_dataset(source, target, texts == "annotator", then)


def with_revision_0(copy: Dataset, texts: pd.DataFrame, made: Mapping[str, Any]) -> None:
    """Give a copy other texts, and a file that tells how they came to be."""
    (copy.path / TEXTS).unlink(missing_ok=True)
    shutil.rmtree(copy.path / REVISIONS, ignore_errors=True)
    copy.write_texts(texts)
    write_json(copy.path / WRONG, made)


def told(texts: pd.DataFrame, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Changes for a file: tile_id, slot (0-7), kind, the new `text`, and what it `was`."""
    return [
        {
            "tile_id": texts["tile_id"].iloc[one.at],
            "slot": int(texts["slot"].iloc[one.at]) - 1,
            "kind": one.kind,
            "text": one.text,
            "was": texts["text"].iloc[one.at],
        }
        for one in changes
    ]


def _link(source: str, target: str) -> str:
    """A hard link, or a copy where the folder lies on another disk. Shards are replaced as a whole, never written to,
    so the original's do not change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
