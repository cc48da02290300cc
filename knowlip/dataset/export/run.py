"""The way of an export: choose tiles, gather their objects and texts, write a folder that is whole or absent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from knowlip.base.files import whole_folder
from knowlip.dataset.export import captions, coco, dota, places, shards, yolo
from knowlip.dataset.export.job import Export, ExportTile
from knowlip.dataset.reader import Dataset

FORMATS: dict[str, Callable[[Export], None]] = {
    "coco": coco.write,
    "yolo": yolo.write,
    "yolo-obb": yolo.write_oriented,
    "dota": dota.write,
    "openclip": captions.write_openclip,
    "llava": captions.write_llava,
    "imagefolder": captions.write_imagefolder,
    "openclip-shards": shards.write,
    "geojson": places.write_geojson,
    "gpkg": places.write_gpkg,
    "stac": places.write_stac,
}
_MAPS = ("geojson", "gpkg", "stac")
_NEED_OBJECTS = ("coco", "yolo", "yolo-obb", "dota")


@dataclass(frozen=True)
class DatasetExportConfig:
    """What to export and how."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set."""
    format: str
    """coco, yolo, yolo-obb (rotated boxes), dota, openclip, openclip-shards, llava, imagefolder; geojson, gpkg,
    stac."""
    out: Path
    """Folder to write; must not exist, or be empty."""
    split: str = ""
    """train, val or test; all where not given."""
    scale: str = ""
    """large, medium or small; all where not given."""
    revision: int | None = None
    """Text revision; the newest where not given."""
    label: str = "category"
    """What names an object's class: category or type."""


def export_dataset(config: DatasetExportConfig) -> dict[str, Any]:
    """Write a data set in another tool's layout. The same data set always gives the same bytes.

    Returns:
        {"out", "format", "images", "objects", "captions", "classes", "splits", "unplaced": tiles of unknown place that
        maps leave out}

    Raises:
        ValueError: an unknown format, no tiles, or a data set without what the format needs.
    """
    if config.format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {config.format!r}.")
    if config.label not in ("category", "type"):
        raise ValueError(f"label must be category or type, not {config.label!r}.")
    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ValueError(f"{config.out} is there already; give a new folder.")
    data = Dataset(config.dataset)
    tiles = chosen_tiles(data, config)
    if not tiles:
        raise ValueError(f"{data.path} has no accepted tile of split {config.split!r} and scale {config.scale!r}.")
    # Of the whole data set, whatever part is exported: a class has the same number in the exports of all parts.
    labels = sorted({_label(item, config) for item in data.annotations().to_dict("records")})
    if config.format in _NEED_OBJECTS and not any(tile.objects for tile in tiles):
        raise ValueError(f"{data.path} has no annotations for these tiles, and {config.format} is about objects.")
    with whole_folder(config.out) as out:
        job = Export(data, out, tiles, labels)
        FORMATS[config.format](job)
        left_out = places.unplaced(job) if config.format in _MAPS else 0
    return {
        "out": str(config.out),
        "format": config.format,
        "images": len(tiles),
        "objects": sum(len(tile.objects) for tile in tiles),
        "captions": sum(bool(tile.texts) for tile in tiles),
        "classes": labels,
        "unplaced": left_out,
        "splits": {split: sum(tile.split == split for tile in tiles) for split in sorted({t.split for t in tiles})},
    }


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    splits = ", ".join(f"{split} {count}" for split, count in result["splits"].items())
    line = (
        f"{result['out']}: {result['format']}, {result['images']} images ({splits}), {result['objects']} objects in "
        f"{len(result['classes'])} classes, {result['captions']} with texts"
    )
    if result["unplaced"]:
        line += f"\n{result['unplaced']} tiles are left out: their place is unknown"
    missing = [split for split in ("train", "val") if split not in result["splits"]]
    if result["format"] in ("yolo", "yolo-obb") and missing:
        line += (
            f"\ndata.yaml names no {' and no '.join(missing)}, which ultralytics asks for: there is no such split here"
        )
    return line


def chosen_tiles(data: Dataset, config: DatasetExportConfig) -> list[ExportTile]:
    """The tiles to export with their objects and texts, sorted by tile_id."""
    wanted = ("tile_id", "split", "proj:shape", "metres_per_pixel")
    frame = data.tiles(config.split or None, config.scale or None, wanted)
    objects: dict[str, list[dict[str, Any]]] = {}
    for row in data.annotations().to_dict("records"):
        item = {str(key): value for key, value in row.items()}
        item["label"] = _label(item, config)
        objects.setdefault(item["tile_id"], []).append(item)
    texts: dict[str, list[tuple[str, str]]] = {}
    rows = data.texts(config.revision)
    for tile_id, dimension, text in zip(rows["tile_id"], rows["dimension"], rows["text"]):
        texts.setdefault(tile_id, []).append((dimension, text))
    tiles = []
    columns = (frame[name] for name in wanted)
    for tile_id, split, (rows_px, columns_px), spacing in zip(*columns):
        facts = int(columns_px), int(rows_px), float(spacing)
        tiles.append(ExportTile(tile_id, split, *facts, objects.get(tile_id, []), texts.get(tile_id, [])))
    return tiles


def _label(item: Mapping[Any, Any], config: DatasetExportConfig) -> str:
    """Class name of a row of the annotations."""
    return str(item[config.label] or item["category"])
