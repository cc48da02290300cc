"""Prove that a data set is what it says: schema, counts, hashes, families, splits, copies, shards, labels, texts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import shapely

from knowlip.base.documents import parse_json
from knowlip.base.files import sha256
from knowlip.base.progress import track
from knowlip.base.vocabulary import SCALES
from knowlip.dataset.layout import INDEX, INDEX_SCHEMA, SHARD_KEYS, SHARDS, SPLITS, TRUTH, fingerprint_of_file
from knowlip.dataset.mentions import check_mentions
from knowlip.dataset.png import decode_png
from knowlip.dataset.reader import Dataset
from knowlip.dataset.shards import read_shard
from knowlip.dataset.verify_copies import NearCopies, check_identical
from knowlip.dataset.verify_labels import check_annotations, check_masks, check_revisions, png_shape
from knowlip.language.captions import compose_texts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VerifyConfig:
    """What to check."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set."""
    near: bool = False
    """Also look for tiles of different splits that show the same, by comparing pictures; reported, no error."""


def verify_dataset(config: VerifyConfig) -> dict[str, Any]:
    """:func:`verify` as a command."""
    return verify(config.dataset, config.near)


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    counts = ", ".join(f"{result[name]} {name}" for name in ("tiles", "accepted", "shards", "annotations", "masks"))
    lines = [f"{result['dataset']} is sound: {counts}"]
    for name in ("splits", "scales", "rejected"):
        if result[name]:
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in result[name].items()))
    for entry in result["lineage"]:
        base = f"on revision {entry['parent']}" if entry["parent"] >= 0 else "first texts"
        lines.append(f"texts: revision {entry['revision']} ({base}), {entry['rows']} rows")
    copies = result["duplicates"]
    lines.append(f"identical tiles within a split: {copies['tiles']} in {copies['groups']} groups; across splits: none")
    if "near_duplicates" in result:
        near = result["near_duplicates"]
        lines.append(f"near copies across splits: {near['pairs']} pairs")
        lines += [f"  {pair['correlation']:.3f}  {pair['tiles'][0]}  {pair['tiles'][1]}" for pair in near["first"]]
    lines.append(f"fingerprint {result['fingerprint']}")
    return "\n".join(lines)


_OF_INDEX = """tile_id id root_id parent_id scene_id scale split block valid_fraction quantiser_lo quantiser_hi accepted
reject_reason shard""".split()
_OF_SHARDS = "tile_id split shard png_sha256 proj:shape".split()
"""Columns that are checked one against the other, and against the shards."""
_AT_ONCE = 8192
_TOUCHING = 1e-9
"""Area in square degrees (about 10 m2) up to which two footprints count as touching, not overlapping."""


def verify(path: Path | str, near: bool = False) -> dict[str, Any]:
    """Check a data set completely, reading every byte of it once.

    Args:
        path: folder of the data set.
        near: also report tiles of different splits that show the same.

    Returns:
        {"dataset", "tiles", "accepted", "shards", "splits", "scales", "rejected", "annotations", "masks", "duplicates",
        "revisions", "lineage", "fingerprint"}, and "near_duplicates" when asked for

    Raises:
        ValueError: the first defect, in one sentence that names the file or tile.
    """
    # Cheap checks first, so that a defect is named before gigabytes are read; the shards are last and are read once,
    # for hashes, records, texts and near copies together.
    dataset = Dataset(path)
    found = check_index(dataset)
    accepted = dataset.columns(_OF_SHARDS, accepted=True).to_pandas()
    names = set(accepted["tile_id"])
    strangers = set(dataset.truth()) - names
    strangers -= set(dataset.columns(["tile_id"])["tile_id"].to_pylist()) if strangers else set()
    if strangers:
        raise ValueError(f"{dataset.path / TRUTH} holds truth of {sorted(strangers)[0]}, which is not in the index.")
    check_mentions(dataset.path, names)
    line = check_revisions(dataset, names)
    duplicates = check_identical(accepted)
    annotations = check_annotations(dataset, names)
    shapes = {tile: (int(shape[0]), int(shape[1])) for tile, shape in zip(accepted["tile_id"], accepted["proj:shape"])}
    masks = check_masks(dataset, shapes)
    near_copies = NearCopies() if near else None
    shards = _check_shards(dataset, accepted, shapes, near_copies)
    result = {
        "dataset": str(dataset.path),
        "shards": shards,
        **{key: found[key] for key in ("tiles", "accepted", "splits")},
        "scales": {scale: found["scales"][scale] for scale in SCALES if scale in found["scales"]},
        "rejected": dict(sorted(found["rejected"].items())),
        "annotations": annotations,
        "masks": masks,
        "duplicates": duplicates,
        "revisions": [entry["revision"] for entry in line],
        "lineage": line,
        "fingerprint": dataset.fingerprint,
    }
    return result if near_copies is None else {**result, "near_duplicates": near_copies.result()}


def check_index(dataset: Dataset) -> dict[str, Any]:
    """Check the index by itself: nulls, names, families, splits, ground, fingerprint, counts.

    Returns:
        {"tiles", "accepted", "scenes", "splits", "scales", "rejected"}

    Raises:
        ValueError: the first defect, in one sentence that names the file or tile.
    """
    # All columns are looked at part by part, and those of all rows together only that say who belongs to whom: all of
    # them, of a million tiles, would take 2 GB.
    where = dataset.path / INDEX
    for part in dataset.parts(INDEX_SCHEMA.names):
        _check_complete(part, where)
    rows = dataset.columns(_OF_INDEX).to_pandas(self_destruct=True)
    _check_index(rows, where)
    _check_families(rows, where)
    _check_splits(dataset, rows, where)
    if fingerprint_of_file(where) != dataset.fingerprint:
        raise ValueError(f"{where} was changed after the data set was built: its fingerprint differs.")
    counts = dataset.info["counts"]
    accepted = rows[rows["accepted"]]
    found: dict[str, Any] = {
        "tiles": len(rows),
        "accepted": len(accepted),
        "scenes": rows["scene_id"].nunique(),
        "splits": {split: int((accepted["split"] == split).sum()) for split in SPLITS},
        "scales": accepted["scale"].value_counts().to_dict(),
        "rejected": rows.loc[~rows["accepted"], "reject_reason"].value_counts().to_dict(),
    }
    for name, number in found.items():
        if counts[name] != number:
            raise ValueError(f"{where} holds {number} {name}, but dataset.json says {counts[name]}.")
    cogs = sorted(name for name in dataset.columns(["cog"])["cog"].unique().to_pylist() if name)
    absent = [name for name in cogs if not (dataset.path / name).is_file()]
    if absent:
        raise ValueError(f"{dataset.path / absent[0]} is missing, though tiles name it.")
    return found


def _check_complete(table: pa.Table, where: Path) -> None:
    """No nulls but in numbers (where they are NaN), the datetime and the geometry; a place exactly where there is a
    geometry."""
    for field in INDEX_SCHEMA:
        may_be_null = field.name in ("datetime", "geometry") or pa.types.is_floating(field.type)
        if table[field.name].null_count and not may_be_null:
            row = table[field.name].is_null().to_pylist().index(True)
            raise ValueError(f"{where}: tile {table['tile_id'][row]} has a null in column {field.name!r}.")
    outlined = ~np.array(table["geometry"].is_null())
    placed = np.isfinite(np.array(table["lon"])) & np.isfinite(np.array(table["lat"]))
    if (outlined != placed).any():
        row = int((outlined != placed).argmax())
        raise ValueError(f"{where}: tile {table['tile_id'][row]} has only one of footprint and place.")


def _check_index(rows: "pd.DataFrame", where: Path) -> None:
    if rows["tile_id"].duplicated().any():
        raise ValueError(f"{where} holds {rows['tile_id'][rows['tile_id'].duplicated()].iloc[0]} twice.")
    checks: list[tuple[Callable[[pd.DataFrame], pd.Series], str]] = [
        (lambda r: r["tile_id"] != r["id"], "has an id other than its tile_id"),
        (lambda r: r["tile_id"].str.contains(r"[^a-z0-9-]", regex=True), "has a name that would break shard keys"),
        (lambda r: ~r["scale"].isin(SCALES), "has an unknown scale"),
        (lambda r: ~r["split"].isin(SPLITS), "has an unknown split"),
        (lambda r: r["accepted"] != (r["reject_reason"] == ""), "is accepted and rejected at once"),
        (lambda r: r["accepted"] != (r["shard"] != ""), "is accepted without a shard, or in a shard without that"),
        (lambda r: ~r["valid_fraction"].between(0, 1), "has an impossible valid_fraction"),
        (lambda r: r["quantiser_lo"] >= r["quantiser_hi"], "has an impossible quantiser"),
    ]
    for check, complaint in checks:
        bad = check(rows)
        if bad.any():
            raise ValueError(f"{where}: tile {rows.loc[bad, 'tile_id'].iloc[0]} {complaint}.")


def _check_families(rows: "pd.DataFrame", where: Path) -> None:
    by_id = rows[["tile_id", "root_id", "scale", "split"]].set_index("tile_id")
    large = rows["scale"] == "large"
    if (rows.loc[large, "parent_id"] != "").any() or (rows.loc[large, "root_id"] != rows.loc[large, "tile_id"]).any():
        raise ValueError(f"{where}: a large tile must be its own root and have no parent.")
    for child, parent in (("medium", "large"), ("small", "medium")):
        some = rows[rows["scale"] == child]
        known = some["parent_id"].isin(by_id.index)
        if not known.all():
            raise ValueError(f"{where}: the parent of {some.loc[~known, 'tile_id'].iloc[0]} is missing.")
        parents = by_id.loc[some["parent_id"]]
        same = (
            (parents["scale"].to_numpy() == parent)
            & (parents["root_id"].to_numpy() == some["root_id"].to_numpy())
            & (parents["split"].to_numpy() == some["split"].to_numpy())
        )
        if not same.all():
            raise ValueError(f"{where}: {some['tile_id'].iloc[int((~same).argmax())]} does not fit its parent.")


def _check_splits(dataset: Dataset, rows: "pd.DataFrame", where: Path) -> None:
    for name in ("block", "root_id"):
        several = rows.groupby(name)["split"].nunique()
        if (several > 1).any():
            raise ValueError(f"{where}: {name} {several.index[several > 1][0]} is in more than one split.")
    outlines = dataset.columns(["geometry"])["geometry"]
    large = (rows["scale"] == "large").to_numpy() & ~np.array(outlines.is_null())
    shapes = shapely.from_wkb(outlines.filter(large).to_pylist())
    split = rows.loc[large, "split"].to_numpy()
    names = rows.loc[large, "tile_id"].to_numpy()
    tree = shapely.STRtree(shapes)
    for start in range(0, len(shapes), _AT_ONCE):  # pairs of many dates of one place are many
        first, second = tree.query(shapes[start : start + _AT_ONCE])
        first = first + start
        other = split[first] != split[second]
        first, second = first[other], second[other]
        meet = shapely.intersects(shapes[first], shapes[second])
        first, second = first[meet], second[meet]
        leak = shapely.area(shapely.intersection(shapes[first], shapes[second])) > _TOUCHING
        if leak.any():
            a, b = names[first[leak][0]], names[second[leak][0]]
            raise ValueError(f"{where}: {a} and {b} overlap on the ground but are in different splits.")


def _check_shards(
    dataset: Dataset, rows: "pd.DataFrame", shapes: dict[str, tuple[int, int]], near_copies: NearCopies | None
) -> int:
    folder = dataset.path / SHARDS
    accepted = rows.set_index("tile_id")[["shard", "png_sha256", "split"]].to_dict("index")
    wanted = {entry["shard"] for entry in accepted.values()}
    there = {path.name for path in folder.glob("*.tar")}
    if wanted != there:
        name = sorted(wanted ^ there)[0]
        raise ValueError(f"{folder / name} {'is missing' if name in wanted else 'belongs to no tile of the index'}.")
    captions: dict[str, bytes] | None = None
    if dataset.info["published_revision"] >= 0:
        texts = dataset.texts(dataset.info["published_revision"])
        captions = {tile: text.encode() for tile, text in compose_texts(texts).items()}
    # Counted rather than ticked off: a tile that comes twice, and one that is absent, both make the count differ.
    seen = 0
    samples = ((name, sample) for name in sorted(there) for sample in read_shard(folder / name))
    for name, sample in track(samples, "verify tiles", len(accepted)):
        entry = accepted.get(sample.key)
        if entry is None or entry["shard"] != name:
            raise ValueError(f"{folder / name} holds {sample.key}, which the index does not place there.")
        if sha256(sample.png) != entry["png_sha256"]:
            raise ValueError(f"{folder / name} is damaged: the PNG of {sample.key} differs from its hash.")
        if png_shape(sample.png) != shapes[sample.key]:
            raise ValueError(f"{folder / name}: the PNG of {sample.key} has not the size that the index says.")
        _check_record(sample.json, sample.key, folder / name)
        if captions is not None and sample.txt != captions.get(sample.key, b""):
            raise ValueError(f"{folder / name}: the text of {sample.key} is not that of the published revision.")
        if near_copies is not None:
            near_copies.add(sample.key, entry["split"], decode_png(sample.png))
        seen += 1
    if seen != len(accepted):
        raise ValueError(f"{folder} holds {seen} tiles, but the index has {len(accepted)} accepted ones.")
    return len(there)


def _check_record(data: bytes, key: str, where: Path) -> None:
    try:
        record = parse_json(data, f"the JSON of {key}")
    except ValueError as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    if not isinstance(record, dict) or set(record) != set(SHARD_KEYS) or None in record.values():
        raise ValueError(f"{where}: the JSON of {key} has other keys than every tile must have.")
    if record["tile_id"] != key:
        raise ValueError(f"{where}: the JSON of {key} belongs to {record['tile_id']}.")
