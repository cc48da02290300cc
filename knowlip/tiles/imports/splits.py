"""Which split an image is in: the set's own, or one by hash that keeps copies together; copies across splits go."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knowlip.dataset.layout import SPLITS
from knowlip.dataset.near_duplicates import NearDuplicateFinder
from knowlip.tiles.imports.files import LookedFor, PathIndex, key_of, read_lines, split_word
from knowlip.tiles.imports.labels import LabelledImage, Problems
from knowlip.tiles.imports.settings import ImportConfig

_PROTECTED = ("test", "val", "train")
"""A copy stays in the first of these."""


@dataclass(frozen=True)
class Identity:
    """What an image is: equal `sha256` for identical pixels."""

    sha256: str
    size: tuple[int, int]  # Width, height.


def assign(images: Sequence[LabelledImage], alike: Sequence[str], config: ImportConfig) -> list[str]:
    """Split of every image: its own, or one by its group of copies (`alike`)."""
    if config.test_part:
        return ["train"] * len(images)  # its tiles are told apart when they are cut
    return [_by_name(image, config) or image.split or _by_hash(group, config) for image, group in zip(images, alike)]


def _by_name(image: LabelledImage, config: ImportConfig) -> str:
    """Split by `test_names` or `test_endings`; "" where neither is given."""
    if config.test_names:
        return "test" if re.search(config.test_names, path_in(image)) else "train"
    endings = tuple(ending.strip() for ending in config.test_endings.split(",") if ending.strip())
    return "" if not endings else "test" if image.path.stem.endswith(endings) else "train"


def sides_without(images: Sequence[LabelledImage], splits: Sequence[str], config: ImportConfig) -> list[str]:
    """What is to be said where a split has no test image, or a rule for names no training image."""
    if config.test_part:
        return []
    rule = next((name for name in ("test_names", "test_endings") if getattr(config, name)), "")
    if rule:
        told = {"test": f"{rule} fits none of their names", "train": f"{rule} fits all of their names"}
        return [f"No image is in {side}: {why}." for side, why in told.items() if side not in splits]
    if "test" in splits or not config.shares[2]:
        return []
    if any(image.split for image in images):
        return ["The set's own split has no test image."]
    return ["No image is in test: --seed gives another split by hash, --shares other shares."]


def path_in(image: LabelledImage) -> str:
    """Path of an image under the folder of the images, with its ending."""
    return image.name + image.path.suffix


def beyond_share(alike: Sequence[str], splits: Sequence[str], config: ImportConfig) -> set[int]:
    """Training images to leave out (`train_share`): groups of copies in an order by hash are kept while they fit."""
    families: dict[str, list[int]] = defaultdict(list)
    for i, (group, split) in enumerate(zip(alike, splits)):
        if split == "train":
            families[group].append(i)
    room = max(1, round(config.train_share * sum(map(len, families.values()))))
    left_out: set[int] = set()
    for group in sorted(families, key=lambda name: _place(f"share {name}", config.seed)):
        room -= len(families[group])
        if room < 0:
            left_out.update(families[group])
            room += len(families[group])
    return left_out


def classes_apart(images: Sequence[LabelledImage], splits: Sequence[str]) -> list[str]:
    """Classes that a test split has and the training split does not, and the other way round: a sentence each."""
    sides: dict[str, set[str]] = defaultdict(set)
    for image, split in zip(images, splits):
        sides["train" if split == "train" else "test"].update(thing.category for thing in image.things)
    if not (sides["train"] and sides["test"]):
        return []
    found = []
    for side, other, told in (("test", "train", "training"), ("train", "test", "test")):
        if only := sorted(sides[side] - sides[other]):
            more = ", ..." if len(only) > 5 else ""
            found.append(f"{len(only)} classes have no {told} image: {', '.join(only[:5])}{more}.")
    return found


def official(images: list[LabelledImage], config: ImportConfig, problems: Problems) -> tuple[list[LabelledImage], int]:
    """The images of the set's own split, with it, and how many are in none and left out; all images, without a split,
    where the set has none or another is asked for.

    The split is what `split_files` say, else what folders and label lists are named after, else what lists named train,
    val and test in the usual places say.

    Raises:
        ValueError: a split file is broken or names no split, an image is in two, or most images are in none.
    """
    # An official split is never dissolved: what stands outside is left out, or the import ends when it is the most.
    if config.splits_by_rule:
        others = [image for image in images if image.split and _by_name(image, config) not in ("", image.split)]
        if others:
            problems.notes.append(
                f"{len(others)} images are in another split by their folders or lists than by their names, which count "
                f"here (test_names, test_endings), first: {others[0].name}."
            )
        return [replace(image, split="") for image in images], 0
    files, told = config.split_files, ""
    if not files and not any(image.split for image in images):
        files = usual_lists(config.source)
        told = ", ".join(str(path.relative_to(config.source)) for path in files)
    if files:
        said = listed(images, read_split_files(config.source, files), problems)
        if told and len(files) == 1 and not any(image.split for image in said):
            return images, 0
        images = said
        if told:
            problems.notes.append(f"The split is that of {told}; --ignore_splits true splits by hash.")
    found = [image for image in images if image.split]
    if not found and not files:
        return images, 0
    outside = [image for image in images if not image.split]
    if len(outside) > len(found) and not config.split_files:
        raise ValueError(
            f"{len(found)} images are in a split of the set ({found[0].name if found else told}), {len(outside)} are "
            f"in none ({outside[0].name}): give the split with --split_files, or --ignore_splits true to split by hash."
        )
    for image in outside:
        problems.drop("in no split", f"{image.name} is in no split of the set.", len(image.things))
    if outside and not config.split_files:
        problems.notes.append(
            f"{len(outside)} images are in no split of the set and left out, first: {outside[0].name}; "
            "--ignore_splits true keeps them and splits all by hash."
        )
    return found, len(outside)


def usual_lists(source: Path) -> list[Path]:
    """Lists of a split where sets keep them: train.txt, val.txt, test.txt, trainval.txt in one folder."""
    for folder in (source, source / "splits", source / "ImageSets", source / "ImageSets" / "Main"):
        lists = [folder / f"{name}.txt" for name in ("train", "val", "test", "trainval")]
        lists = [path for path in lists if path.is_file()]
        if lists:
            return lists
    return []


def listed(images: list[LabelledImage], lists: dict[str, str], problems: Problems) -> list[LabelledImage]:
    """The images with the split that lists (name -> split) give them, "" where they name none."""
    names = [image.name for image in images]
    index = PathIndex(names, [""] * len(names))
    splits = [""] * len(images)
    absent = []
    for name, number in zip(lists, index.match([LookedFor(name, "", "", name) for name in lists])):
        if isinstance(number, str):
            raise ValueError(number)
        if number is None:
            absent.append(name)
        elif lists[name] == "trainval":
            splits[number] = splits[number] or "train"
        elif splits[number] not in ("", lists[name]):
            raise ValueError(f"{names[number]} is in {splits[number]} and in {lists[name]}, as the split files say.")
        else:
            splits[number] = lists[name]
    if absent:
        problems.notes.append(f"{len(absent)} names in the split files have no labelled image, first: {absent[0]}.")
    return [replace(image, split=split) for image, split in zip(images, splits)]


def groups(identities: Sequence[Identity], finder: NearDuplicateFinder) -> list[str]:
    """Name of each image's group of copies: the smallest SHA-256 in it. Images with equal pixels, or that show the same
    (rescaled, recoded, turned, slightly shifted copies), are in one group, also in a chain."""
    numbers = finder.groups().tolist()
    names: dict[int, str] = {}
    for number, identity in zip(numbers, identities, strict=True):
        names[number] = min(names.get(number, identity.sha256), identity.sha256)
    return [names[number] for number in numbers]


def _place(text: str, seed: int) -> float:
    """A number from 0 to 1 that a text has by its hash, and another one for another seed."""
    text = f"{text} {seed}" if seed else text
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _by_hash(name: str, config: ImportConfig) -> str:
    place, shares = _place(f"split {name}", config.seed), config.shares
    return SPLITS[0] if place < shares[0] else SPLITS[1] if place < shares[0] + shares[1] else SPLITS[2]


def read_split_files(source: Path, files: Sequence[Path]) -> dict[str, str]:
    """Image name, or path, as the lists say it, without ending -> train, val, test; last, those that only a list of
    trainval names -> trainval.

    Raises:
        ValueError: a file is missing, its name says no split, or two files name one image.
    """
    found: dict[str, str] = {}
    rest: dict[str, str] = {}
    for file in files:
        path = file if file.exists() else source / file
        kind = split_word(path.stem)
        if not kind:
            raise ValueError(f"{path} must have one of train, val, test and trainval in its name.")
        for line in read_lines(path):
            name = "/".join(key_of(re.split(r"[,\t]", line)[0].strip()))
            if not name:
                continue
            if kind == "trainval":
                rest[name] = kind
            elif found.setdefault(name, kind) != kind:
                raise ValueError(f"{name} is in {found[name]} and in {kind}, says {path}.")
    return {**found, **{name: kind for name, kind in rest.items() if name not in found}}


def judge(
    images: Sequence[LabelledImage],
    identities: Sequence[Identity],
    alike: Sequence[str],
    splits: Sequence[str],
    drop: bool,
) -> tuple[list[str], dict[str, object]]:
    """Reject reason of every image ("": none) and what was found about copies, identical and alike (`alike`: the group
    of every image, from :func:`groups`).

    - "conflict": byte-identical images with different labels of the whole image; none of them can be trusted.
    - "duplicate": a copy of an image of a more protected split (test before val before train), or with `drop` of an
      image before it in the same split.
    """
    # Byte-identical images are judged, near copies only told: a hash is proof, and a likeness of thumbnails is not.
    reasons = [""] * len(images)
    copies: dict[str, list[int]] = defaultdict(list)
    for i, identity in enumerate(identities):
        copies[identity.sha256].append(i)
    kinds = ("identical", "conflicts", "across_splits", "alike", "alike_with_other_labels")
    found: dict[str, list[list[str]]] = {kind: [] for kind in kinds}
    families: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(alike):
        families[group].append(i)
    for members in families.values():
        if len(members) > 1:
            names = [images[i].name for i in members]
            found["alike"].append(names)
            if len({_whole(images[i]) for i in members}) > 1:
                found["alike_with_other_labels"].append(names)
    for members in copies.values():
        if len(members) == 1:
            continue
        names = [images[i].name for i in members]
        found["identical"].append(names)
        if len({_whole(images[i]) for i in members}) > 1:
            found["conflicts"].append(names)
            for i in members:
                reasons[i] = "conflict"
            continue
        here = {splits[i] for i in members if splits[i]}
        kept = next((split for split in _PROTECTED if split in here), "")
        if len(here) > 1:
            found["across_splits"].append(names)
        first = next(i for i in members if splits[i] == kept)
        for i in members:
            if splits[i] != kept or (drop and i != first):
                reasons[i] = "duplicate"
    return reasons, {kind: {"groups": len(items), "first": items[:20]} for kind, items in found.items()}


def _whole(image: LabelledImage) -> tuple[str, ...]:
    """Labels of the image as a whole."""
    return tuple(thing.category for thing in image.things if thing.whole_image)
