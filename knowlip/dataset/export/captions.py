"""Texts for training: open_clip's CSV, LLaVA's conversations, and the image folders of Hugging Face `datasets`."""

import csv
import io
import json
from typing import Any

from knowlip.dataset.export.job import Export, ExportTile, image_place, points_px
from knowlip.language.captions import sentence
from knowlip.language.dimensions import QUESTION_OF

_DESCRIBE = "Describe this SAR image."
_MOST_COUNTED = 8


def caption(tile: ExportTile) -> str:
    """All sub-texts of a tile as sentences; "" where it has none."""
    return " ".join(sentence(text) for _, text in tile.texts)


def write_openclip(job: Export) -> None:
    """SPLIT.csv with the columns filepath and title, separated by tabs (open_clip's defaults), one row a tile. Paths
    are relative to the folder: start the training in it."""
    _require(job)
    job.write_images(image_place)
    for split, tiles in job.splits():
        stream = io.StringIO()
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(("filepath", "title"))
        table.writerows((image_place(tile), caption(tile)) for tile in tiles if tile.texts)
        (job.out / f"{split}.csv").write_text(stream.getvalue())


def write_llava(job: Export) -> None:
    """SPLIT.json: a conversation a tile. It begins with a description, goes on with a question for every sub-text, and
    asks for the number of objects of each class (of those in the image, where there are more than eight classes)."""
    if not any(tile.texts for tile in job.tiles) and not job.labels:
        _require(job)
    job.write_images(image_place)
    for split, tiles in job.splits():
        entries = []
        for tile in tiles:
            turns = _turns(job, tile)
            if turns:
                turns[0] = (f"<image>\n{turns[0][0]}", turns[0][1])
                conversation = [
                    {"from": speaker, "value": value}
                    for turn in turns
                    for speaker, value in zip(("human", "gpt"), turn)
                ]
                entries.append({"id": tile.tile_id, "image": image_place(tile), "conversations": conversation})
        (job.out / f"{split}.json").write_text(json.dumps(entries, indent=1) + "\n")


def _turns(job: Export, tile: ExportTile) -> list[tuple[str, str]]:
    turns = [(_DESCRIBE, caption(tile))] if tile.texts else []
    turns += [(QUESTION_OF[name], sentence(text)) for name, text in tile.texts if name in QUESTION_OF]
    present = {item["label"] for item in tile.objects}
    for label in job.labels:
        if len(job.labels) <= _MOST_COUNTED or label in present:
            count = sum(item["label"] == label for item in tile.objects)
            turns.append((f"How many objects of the class {label} are there? Answer with a number.", str(count)))
    return turns


def write_imagefolder(job: Export) -> None:
    """SPLIT/TILE.png beside SPLIT/metadata.jsonl with `file_name`, `text`, `label` (of the image as a whole), `objects`
    (boxes in pixels, COCO's order) and the metadata of the tile. All keys are always there with the same type."""
    records: dict[str, dict[str, str]] = {}
    for tile, sample in job.samples():
        folder = job.out / tile.split
        folder.mkdir(exist_ok=True)
        (folder / f"{tile.tile_id}.png").write_bytes(sample.png)
        whole = [item for item in tile.objects if item["width"] == 1 and item["height"] == 1]
        record = {
            "file_name": f"{tile.tile_id}.png",
            "text": caption(tile),
            "label": whole[0]["label"] if len(whole) == 1 == len(tile.objects) else "",
            "objects": {
                "bbox": [_box(tile, item) for item in tile.objects],
                "category": [item["label"] for item in tile.objects],
            },
            **json.loads(sample.json),
        }
        records.setdefault(tile.split, {})[tile.tile_id] = json.dumps(record, sort_keys=True, allow_nan=False)
    for split, lines in records.items():
        (job.out / split / "metadata.jsonl").write_text("".join(f"{lines[name]}\n" for name in sorted(lines)))


def _box(tile: ExportTile, item: dict[str, Any]) -> list[float]:
    (left, top), (width, height) = points_px(tile, [item["x"], item["y"], item["width"], item["height"]])
    return [round(float(value), 4) for value in (left, top, width, height)]


def _require(job: Export) -> None:
    if not any(tile.texts for tile in job.tiles):
        raise ValueError(f"{job.data.path} has no texts for these tiles: annotate it first.")
