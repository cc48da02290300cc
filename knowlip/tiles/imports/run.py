"""The way of an import: read labels, look at every image once for its identity, decide splits, write the data set."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.files import sha256, whole_folder
from knowlip.base.progress import track
from knowlip.base.settings import plain
from knowlip.dataset.annotations import write_annotations, write_masks
from knowlip.dataset.near_duplicates import NearDuplicateFinder
from knowlip.dataset.png import encode_png
from knowlip.dataset.records import AnnotationRow
from knowlip.dataset.verify import verify
from knowlip.dataset.writer import finish, write_scene
from knowlip.tiles.imports.crop import Crop, annotate, crops, inside, parted
from knowlip.tiles.imports.files import IMAGES, ImageFinder, image_folder
from knowlip.tiles.imports.formats import format_named
from knowlip.tiles.imports.labels import LabelledImage, Problems, merge, names_alike
from knowlip.tiles.imports.masks import MaskCodes, mask_place, masks_of
from knowlip.tiles.imports.pixels import SHOWN, Grey, decode, digest_of, to_grey
from knowlip.tiles.imports.public import PublicRecord, not_as_whole, prepared, split_not_as_whole
from knowlip.tiles.imports.row import index_row
from knowlip.tiles.imports.settings import ImportConfig
from knowlip.tiles.imports.splits import (
    Identity,
    assign,
    beyond_share,
    classes_apart,
    groups,
    judge,
    official,
    sides_without,
)

_PIXELS_AT_ONCE = 200_000_000
"""Images of one part of the data set: what is held in memory as PNG."""
_PIXELS_KEPT = 200_000_000
"""Grey levels of images that are kept between looking at them and writing them; beyond, images are decoded again."""
_LONGEST_NAME = 80
_CUT_NAME = re.compile(r"-x\d{5}y\d{5}$")
"""Ends of the names of tiles that were cut from an image: no whole image may have one."""


@dataclass(frozen=True)
class Planned:
    """An image with all decisions."""

    image: LabelledImage
    identity: Identity
    reason: str
    tile_ids: list[str]
    crops: list[Crop]
    splits: list[str]  # Of the tiles.

    def block(self, name: str, split: str) -> str:
        """Copies are one block, but one that was left out of another split, and each part of an image that is in two
        splits, is a block of its own."""
        apart = self.reason or len(set(self.splits)) > 1
        return f"{name}-{self.identity.sha256[:16]}" + (f"-{split}" if apart else "")


class _Decoded:
    """Grey levels of images, and what was done to show them, kept as long as there is room."""

    def __init__(self, config: ImportConfig):
        self.config, self.room = config, _PIXELS_KEPT
        self._kept: dict[Path, tuple[Grey, list[str]]] = {}

    def keep(self, path: Path, grey: Grey, shown: list[str]) -> None:
        if grey.values.size <= self.room:
            self.room -= grey.values.size
            self._kept[path] = (grey, shown)

    def take(self, path: Path) -> tuple[Grey, list[str]]:
        if path in self._kept:
            return self._kept.pop(path)
        pixels = decode(path, self.config)
        return to_grey(pixels, path, self.config), pixels.shown


def import_dataset(config: ImportConfig) -> dict[str, Any]:
    """Bring a labelled set into a data set with annotations. The folder is whole or absent; same files, same bytes.

    Returns:
        Counts of tiles, splits, annotations, masks and problems, copies found, and the fingerprint.

    Raises:
        ValueError: settings that cannot work, no image, objects of which none is kept, a label that could be of several
            images, or a bad label or image (unless `skip_bad`).
    """
    with prepared(config) as (ready, public):
        return _import(ready, public)


def _import(config: ImportConfig, public: PublicRecord | None) -> dict[str, Any]:
    started = time.monotonic()
    name = slug(config.name or config.source.resolve().name)
    MaskCodes(config.mask_classes)
    problems = Problems(config.skip_bad)
    problems.notes += public["notes"] if public else []
    images, unnamed = official(read_labels(config, problems), config, problems)
    problems.notes += not_as_whole(public, images) if public else []
    # Splits wait until all images are known by hash and thumbnail: copies must not be torn apart.
    decoded = _Decoded(config)
    images, identities, finder = _look(images, decoded, problems)
    if not images:
        raise ValueError(f"No image of {config.source} can be imported{_why(problems, unnamed)}.")
    problems.check_kept(config.source, sum(len(image.things) for image in images))
    alike = groups(identities, finder)
    splits = assign(images, alike, config)
    problems.notes += names_alike(images) + sides_without(images, splits, config)
    problems.notes += [] if config.test_part else classes_apart(images, splits)
    problems.notes += split_not_as_whole(public, splits) if public else []
    if config.train_share < 1:
        left_out = beyond_share(alike, splits, config)
        trained = splits.count("train")
        for i in sorted(left_out):
            problems.drop("train_share", f"{images[i].name} is beyond the share to keep.", len(images[i].things))
        kept = [i for i in range(len(images)) if i not in left_out]
        images, identities = [images[i] for i in kept], [identities[i] for i in kept]
        alike, splits = [alike[i] for i in kept], [splits[i] for i in kept]
        problems.notes.append(
            f"train_share {config.train_share:g}: {trained - len(left_out)} of {trained} training images are kept."
        )
    reasons, copies = judge(images, identities, alike, splits, config.drop_duplicates)
    plan = _plan(name, images, identities, splits, reasons, config)
    with whole_folder(config.out) as out:
        record = {"not_in_split_files": unnamed, "copies": copies}
        info = _write(out, name, plan, decoded, problems, record, public)
        try:
            verify(out)
        except ValueError as error:
            raise ValueError(f"What was made of {config.source} is not sound, please report it: {error}") from error
    record = info["import"]
    found = {"annotations": info["annotations"]["rows"], "categories": info["categories"], "masks": info["masks"]}
    told = {**found, "import": record, "fingerprint": info["fingerprint"]}
    told["seconds"] = round(time.monotonic() - started, 2)
    return {"dataset": str(config.out), "images": len(images), **info["counts"], **told}


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{result['dataset']}: {result['accepted']} of {result['tiles']} tiles from {result['images']} images, "
        f"{result['annotations']} annotations, {result['masks']} masks",
        "splits: " + ", ".join(f"{name} {count}" for name, count in result["splits"].items()),
    ]
    if result["categories"]:
        lines.append("categories: " + ", ".join(f"{name} {count}" for name, count in result["categories"].items()))
    if result["rejected"]:
        lines.append("rejected: " + ", ".join(f"{count} {name}" for name, count in result["rejected"].items()))
    # What is missing is said first: a number that is lower than expected is what people look for here.
    record = result["import"]
    files, objects = record["label_files"], record["objects"]
    if files["found"]:
        lines.append(f"label files: {files['used']} of {files['found']} used")
    if objects["read"]:
        why = "".join(f", {entry['count']} {reason}" for reason, entry in objects["dropped"].items())
        lines.append(f"objects: {objects['read']} read, {objects['kept']} kept{why}")
        lines += [f"  {reason}, first: {entry['first'][0]}" for reason, entry in objects["dropped"].items()]
    notes = {
        "bad": "bad labels",
        "missing_images": "labels without image",
        "unlabelled_images": "images without labels",
        "empty_class_folders": "class folders without an image",
    }
    for key, words in notes.items():
        if record[key]["count"]:
            lines.append(f"{words}: {record[key]['count']}, first: {record[key]['first'][0]}")
    if record["not_in_split_files"]:
        lines.append(f"left out, in no split: {record['not_in_split_files']}")
    for kind, entry in record["copies"].items():
        if entry["groups"]:
            lines.append(f"{kind.replace('_', ' ')}: {entry['groups']} groups, first: {' = '.join(entry['first'][0])}")
    told = {"colour_images": "whose red, green and blue differ and were weighted to grey"}
    told |= {"turned_images": "turned by their EXIF orientation", "masked_images": "with pixels declared no data"}
    lines += [f"images {words}: {record[kind]}" for kind, words in told.items() if record[kind]]
    return "\n".join([*lines, *record["notes"]])


def read_labels(config: ImportConfig, problems: Problems) -> list[LabelledImage]:
    """Images and labels of a set in order of their names.

    Raises:
        ValueError: no image, or a bad label.
    """
    reader = format_named(config.format)
    endings = getattr(reader, "ENDINGS", IMAGES)
    # Masks may stand among the images: what is a mask has to be known before images are looked for.
    place = image_folder(config.source, config.images)
    masked = config.format == "mask" or config.masks is not None
    masks = mask_place(config, place) if masked else None
    mask_ends = config.mask_suffix if masked and masks is None else ""
    finder = ImageFinder(place, config.image_suffix, masks, mask_ends, config.only, endings)
    images = merge(reader.read(config, finder, problems), problems)
    problems.check_used(config.source)
    problems.check_read()
    if not images:
        raise ValueError(f"{config.source} holds no image with {config.format} labels{_why(problems, 0)}.")
    if config.masks is not None and not any(image.mask for image in images):
        found = masks_of(config, finder, problems)
        images = [replace(image, mask=found.get(image.path)) for image in images]
        if without := [image.name for image in images if image.mask is None]:
            problems.notes.append(f"{len(without)} images have no mask, first: {without[0]}.")
        problems.check_used(config.source)
    if finder.quicklooks:
        first, number = finder.name_of(finder.quicklooks[0]), len(finder.quicklooks)
        problems.notes.append(f"{number} images stand there in several formats; one of each is used, first: {first}.")
    if finder.passed_over:
        problems.notes.append(f"{finder.passed_over} pictures do not match only ({config.only}) and are passed over.")
    if hidden := sorted(set(finder.hidden)):
        problems.notes.append(f"{len(hidden)} hidden files or folders are passed over, first: {hidden[0]}.")
    return images


def _why(problems: Problems, unnamed: int) -> str:
    parts = [
        (problems.missing, "label files have no image"),
        (problems.unlabelled, "images have no labels"),
        (problems.bad, "are bad"),
    ]
    words = [f"{len(items)} {what} ({items[0]} ...)" for items, what in parts if items]
    if unnamed:
        words.append(f"{unnamed} are in no split file")
    return f": {'; '.join(words)}" if words else ""


def _look(
    images: list[LabelledImage], decoded: _Decoded, problems: Problems
) -> tuple[list[LabelledImage], list[Identity], NearDuplicateFinder]:
    """Decode every image once; those that cannot be read, or differ from the size in their label, are bad."""
    kept, identities, finder, config = [], [], NearDuplicateFinder(), decoded.config
    # Units are guessed image by image: one of another kind does not spoil a set. Where they differ it is said.
    units: dict[str, list[str]] = {}
    for image in track(images, "look at images"):
        try:
            pixels = decode(image.path, config)
            height, width = pixels.values.shape
            if image.size is not None and image.size != (width, height):
                stated = f"{image.labels} is for {image.size[0]} x {image.size[1]} pixels"
                how = " as its EXIF orientation shows it" if pixels.turned else ""
                raise ValueError(f"{stated}, but {image.path} has {width} x {height}{how}.")
            grey = to_grey(pixels, image.path, config)
        except ValueError as error:
            problems.note(str(error))
            problems.drop("bad image", str(error), len(image.things))
            continue
        if pixels.raster is not None:
            units.setdefault(pixels.raster.units, []).append(image.name)
            if zeros := int(((pixels.values == 0) & (grey.values == 0)).sum()):
                told = f"{image.name} ({zeros / grey.values.size:.1%} of its pixels)"
                problems.remark("images of more than 8 bit hold zeros, which have no power and become no data", told)
        for note in pixels.notes:
            problems.guess(image.name, note)
        identities.append(Identity(digest_of(pixels), (width, height)))
        finder.add(grey.values)
        decoded.keep(image.path, grey, pixels.shown)
        kept.append(replace(image, things=tuple(inside(image, (width, height), config, problems))))
    if len(units) > 1:
        told = ", ".join(f"{len(names)} {unit} (first: {names[0]})" for unit, names in units.items())
        problems.notes.append(f"Units differ between images: {told}; --units states those of all.")
    return kept, identities, finder


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens: what tile names may hold."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "set"


def _plan(
    name: str,
    images: Sequence[LabelledImage],
    identities: Sequence[Identity],
    splits: Sequence[str],
    reasons: Sequence[str],
    config: ImportConfig,
) -> list[Planned]:
    """Tile names and crops, in order of the names. Names that collide or are long get a part of their hash."""
    names = [slug(f"{name}-{image.name}") for image in images]
    often, paths = Counter(names), Counter(image.name for image in images)
    for i, image in enumerate(images):
        if often[names[i]] > 1 or len(names[i]) > _LONGEST_NAME or _CUT_NAME.search(names[i]):
            path = image.name + (image.path.suffix if paths[image.name] > 1 else "")
            names[i] = f"{names[i][: _LONGEST_NAME - 9].strip('-')}-{sha256(path.encode())[:8]}"
    plan = []
    for i in sorted(range(len(images)), key=lambda i: names[i]):
        size, cut = identities[i].size, (config.tile_px, config.overlap_px)
        boxes, parts = crops(size, *cut), [splits[i]] * len(crops(size, *cut))
        if config.test_part:
            pairs = parted(size, *cut, config.test_part, config.shares[2], config.guard_px)
            boxes, parts = [crop for crop, _ in pairs], [split for _, split in pairs]
        ids = [names[i]] if len(boxes) == 1 else [f"{names[i]}-x{x:05d}y{y:05d}" for x, y, _, _ in boxes]
        plan.append(Planned(images[i], identities[i], reasons[i], ids, boxes, list(parts)))
    return plan


def _write(
    out: Path,
    name: str,
    plan: list[Planned],
    decoded: _Decoded,
    problems: Problems,
    record: dict[str, Any],
    public: PublicRecord | None,
) -> dict[str, Any]:
    # A set of any size passes through in parts: what had no room since `_look` is decoded again.
    config = decoded.config
    parts = _parts(plan)
    scene_ids = [name] if len(parts) == 1 else [f"{name}-{number:03d}" for number in range(len(parts))]
    objects: list[AnnotationRow] = []
    kept = 0
    accepted: set[str] = set()
    shown: Counter[str] = Counter()
    for scene_id, part in zip(scene_ids, parts):
        rows: list[dict[str, Any]] = []
        pngs: dict[str, bytes] = {}
        for planned in track(part, f"import {scene_id}"):
            grey, how = decoded.take(planned.image.path)
            shown.update(how)
            seen: set[int] = set()
            for tile_id, crop, split in zip(planned.tile_ids, planned.crops, planned.splits):
                x, y, width, height = crop
                tile = np.ascontiguousarray(grey.values[y : y + height, x : x + width])
                row = index_row(tile_id, scene_id, tile, grey, planned.image, split, config)
                row["block"] = planned.block(name, split)
                empty = "" if tile.any() else "blank" if row["valid_fraction"] else "nodata"
                row["reject_reason"] = planned.reason or empty
                row["accepted"] = not row["reject_reason"]
                rows.append(row)
                if row["accepted"]:
                    pngs[tile_id] = encode_png(tile)
                    accepted.add(tile_id)
                    source = f"{config.format}:{planned.image.labels or planned.image.name}"
                    things = planned.image.things
                    for number, thing in annotate(tile_id, things, crop, config.min_visible, config.category, source):
                        objects.append(thing)
                        seen.add(number)
            kept += len(seen)
            _count_unseen(planned, seen, rows[-len(planned.crops) :], problems)
        files = {tile: planned.image.name for planned in part for tile in planned.tile_ids}
        write_scene(out, scene_id, rows, pngs, {}, {"images": files})
    problems.check_kept(config.source, kept)
    codes = MaskCodes(config.mask_classes)
    with_mask = [planned for planned in plan if planned.image.mask and accepted.intersection(planned.tile_ids)]
    masks = write_masks(out, _masks(with_mask, accepted, codes)) if with_mask else 0
    if codes.without:
        share = codes.without / codes.all
        often = "; ".join(f"{colour}: {pixels / codes.all:.2%}" for colour, pixels in codes.strange())
        problems.notes.append(
            f"{share:.2%} of the pixels of the masks have a colour that is no class, taken as none ({often})."
        )
    problems.notes += codes.notes() if masks else []
    info: dict[str, Any] = {
        "config": {**plain(config), "source": config.source.resolve().name, "out": ""},
        "public_set": public,
        "import": {**problems.record(config.source, kept), **record, **{kind: shown[kind] for kind in SHOWN}},
        "annotations": write_annotations(out, objects),
        "categories": dict(sorted(Counter(row["category"] for row in objects).items())),
        "masks": masks,
        "mask_classes": {str(code): words for code, words in codes.names().items()} if masks else {},
        "skipped": [],
        "versions": {package: version(package) for package in ("numpy", "pillow", "pyarrow", "rasterio", "shapely")},
    }
    return finish(out, scene_ids, info)


def _count_unseen(planned: Planned, seen: set[int], rows: list[dict[str, Any]], problems: Problems) -> None:
    """Count the objects of an image that no accepted tile shows, by what was wrong with its tiles."""
    unseen = len(planned.image.things) - len(seen)
    reason = next((row["reject_reason"] for row in rows if row["reject_reason"]), "cut")
    problems.drop(reason, f"{planned.image.name}: no tile shows enough of {unseen} of its objects.", unseen)


def _parts(plan: list[Planned]) -> list[list[Planned]]:
    parts: list[list[Planned]] = [[]]
    pixels = 0
    for planned in plan:
        size = planned.identity.size[0] * planned.identity.size[1]
        if parts[-1] and pixels + size > _PIXELS_AT_ONCE:
            parts.append([])
            pixels = 0
        parts[-1].append(planned)
        pixels += size
    return parts


def _masks(plan: list[Planned], accepted: set[str], codes: MaskCodes) -> Iterator[tuple[str, bytes]]:
    for planned in plan:
        if planned.image.mask is None:
            continue
        mask = codes.read(planned.image.mask, planned.identity.size)
        for tile_id, (x, y, width, height) in zip(planned.tile_ids, planned.crops):
            if tile_id in accepted:
                yield tile_id, encode_png(np.ascontiguousarray(mask[y : y + height, x : x + width]))
