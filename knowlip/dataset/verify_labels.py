"""What stands beside the index: annotations, masks and the line of text revisions."""

import struct
from typing import Any

import numpy as np

from knowlip.base.files import sha256
from knowlip.base.parquet import read_parquet
from knowlip.dataset.annotations import IGNORE, ROUNDING, iter_masks, table_sha256
from knowlip.dataset.checks import refuse_nulls
from knowlip.dataset.layout import ANNOTATION_SCHEMA, ANNOTATIONS, MASKS
from knowlip.dataset.png import decode_png
from knowlip.dataset.reader import Dataset
from knowlip.dataset.texts import marks_fault, read_revision, revision_path


def check_annotations(dataset: Dataset, accepted: set[str]) -> int:
    """Check the annotations and return how many there are.

    Raises:
        ValueError: the first defect.
    """
    path = dataset.path / ANNOTATIONS
    if not path.exists():
        if "annotations" in dataset.info:
            raise ValueError(f"{path} is missing, but dataset.json says that there are annotations.")
        return len(dataset.annotations())
    table = read_parquet(path, ANNOTATION_SCHEMA)
    refuse_nulls(table, path)
    # Rules one by one, because the sentence names the annotation and what is wrong with it; the hash comes last, for it
    # finds any change and says nothing about it.
    rows = table.to_pandas()
    strangers = sorted(set(rows["tile_id"]) - accepted)
    if strangers:
        raise ValueError(f"{path} names {strangers[0]}, which is not an accepted tile.")
    right, bottom = rows["x"] + rows["width"], rows["y"] + rows["height"]
    inside = (rows[["x", "y"]].min(axis=1) >= -ROUNDING) & (right <= 1 + ROUNDING) & (bottom <= 1 + ROUNDING)
    checks = [
        (rows["annotation_id"].duplicated(), "comes twice"),
        (rows["category"] == "", "has no category"),
        (~(inside & (rows["width"] > 0) & (rows["height"] > 0)), "has an empty box, or one outside its tile"),
        (~rows["corners"].map(len).isin((0, 8)), "has a rotated box that is not four points"),
        (rows["polygon"].map(lambda values: len(values) % 2 == 1 or 0 < len(values) < 6), "has no outline of points"),
        (rows["corners"].map(_not_finite) | rows["polygon"].map(_not_finite), "has points that are not numbers"),
    ]
    for bad, complaint in checks:
        if bad.any():
            raise ValueError(f"{path}: annotation {rows.loc[bad, 'annotation_id'].iloc[0]} {complaint}.")
    stated = dataset.info.get("annotations")
    if stated is not None and stated != {"rows": len(table), "sha256": table_sha256(table)}:
        raise ValueError(f"{path} was changed after the data set was made: its hash differs from dataset.json.")
    return len(table)


def _not_finite(values: np.ndarray) -> bool:
    return not bool(np.isfinite(values).all())


def check_masks(dataset: Dataset, shapes: dict[str, tuple[int, int]]) -> int:
    """Check every mask and return how many there are.

    Args:
        dataset: the data set.
        shapes: (rows, columns) of every accepted tile.

    Raises:
        ValueError: the first defect.
    """
    path = dataset.path / MASKS
    classes = set(dataset.mask_classes)
    seen: set[str] = set()
    for tile_id, png, digest in iter_masks(dataset.path):
        if tile_id in seen or tile_id not in shapes:
            what = "twice" if tile_id in seen else "a mask of it, though it is not an accepted tile"
            raise ValueError(f"{path} holds {tile_id} {what}.")
        seen.add(tile_id)
        if sha256(png) != digest:
            raise ValueError(f"{path} is damaged: the mask of {tile_id} differs from its hash.")
        try:
            codes = decode_png(png)
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} is damaged: the mask of {tile_id} is no PNG ({error}).") from error
        if codes.shape != shapes[tile_id]:
            raise ValueError(f"{path}: the mask of {tile_id} has not the size of its tile.")
        unknown = set(np.flatnonzero(np.bincount(codes.ravel(), minlength=256)).tolist()) - classes - {IGNORE}
        if unknown:
            raise ValueError(f"{path}: the mask of {tile_id} holds the code {min(unknown)}, which names no class.")
    if len(seen) != dataset.info.get("masks", len(seen)):
        raise ValueError(f"{path} holds {len(seen)} masks, but dataset.json says {dataset.info['masks']}.")
    return len(seen)


def png_shape(png: bytes) -> tuple[int, int]:
    """(rows, columns) of a PNG, from its header; (0, 0) where it is none."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        return 0, 0
    width, height = struct.unpack(">II", png[16:24])
    return height, width


def check_revisions(dataset: Dataset, accepted: set[str]) -> list[dict[str, Any]]:
    """Check that every revision decides on texts that its line holds. Returns their line, one entry a revision.

    Raises:
        ValueError: the first defect.
    """
    line: list[dict[str, Any]] = []
    written: set[tuple[str, int]] = set()
    for number in dataset.revisions():
        path = revision_path(dataset.path, number)
        table = read_revision(dataset.path, number)
        rows = table.select(["tile_id", "revision", "parent", "run", "slot", "text", "evidence", "marks"]).to_pandas()
        strangers = sorted(set(rows["tile_id"]) - accepted)
        if strangers:
            raise ValueError(f"{path} names {strangers[0]}, which is not an accepted tile.")
        if (rows["revision"] != number).any():
            raise ValueError(f"{path} holds rows of revision {rows['revision'][rows['revision'] != number].iloc[0]}.")
        if rows.duplicated(["tile_id", "slot"]).any():
            raise ValueError(f"{path} decides twice on one sub-text.")
        if fault := marks_fault(rows):
            raise ValueError(f"{path} holds marks that do not fit: {fault}")
        parents, runs = rows["parent"].unique(), rows["run"].unique()
        if len(rows) and (len(parents) > 1 or not -1 <= parents[0] < number or (parents[0] < 0) != (number == 0)):
            raise ValueError(f"{path} names the parents {sorted(parents)}; a revision has one, an earlier one.")
        keys = set(zip(rows["tile_id"], rows["slot"]))
        if number == 0 or set(runs) == {"annotate"}:  # tiles that the annotator gave up first and did on a retry
            written |= keys
        elif keys - written:
            tile, slot = min(keys - written)
            raise ValueError(f"{path} decides on sub-text {slot} of {tile}, which the annotator never wrote.")
        parent = int(parents[0]) if len(rows) else number - 1
        line.append({"revision": number, "parent": parent, "rows": len(rows), "runs": sorted(runs)})
    return line
