"""Which split an image is in: the set's own, or one by hash that keeps copies together; copies across splits go."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knowlip.dataset.layout import SPLITS
from knowlip.dataset.near_duplicates import NearDuplicateFinder
from knowlip.tiles.imports.labels import LabelledImage
from knowlip.tiles.imports.settings import ImportConfig

_PROTECTED = ("test", "val", "train")
"""A copy stays in the first of these."""


@dataclass(frozen=True)
class Identity:
    """What an image is: equal `sha256` for identical pixels."""

    sha256: str
    size: tuple[int, int]  # Width, height.


def assign(images: Sequence[LabelledImage], alike: Sequence[str], config: ImportConfig) -> list[str]:
    """Split of every image; `alike`: its group of copies."""
    if config.split_files:
        return [image.split for image in images]
    if config.test_endings:
        endings = tuple(ending.strip() for ending in config.test_endings.split(",") if ending.strip())
        return ["test" if image.path.stem.endswith(endings) else "train" for image in images]
    if images and all(image.split for image in images):
        return [image.split for image in images]
    return [_by_hash(group, config.shares) for group in alike]


def in_split_files(images: list[LabelledImage], config: ImportConfig) -> list[LabelledImage]:
    """The images that the split files name, with their split; all images where there are no split files.

    Raises:
        ValueError: a split file is broken or names no split.
    """
    if not config.split_files:
        return images
    official = read_split_files(config.source, config.split_files)
    found = []
    for image in images:
        split = official.get(image.path.stem, official.get(image.name, ""))
        if split:
            found.append(replace(image, split=split))
    return found


def groups(identities: Sequence[Identity], finder: NearDuplicateFinder) -> list[str]:
    """Name of each image's group of copies: the smallest SHA-256 in it. Images with equal pixels, or that show the same
    (rescaled, recoded, slightly shifted copies), are in one group, also in a chain."""
    parent = list(range(len(identities)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, identity in enumerate(identities):
        parent[root(i)] = root(first.setdefault(identity.sha256, i))
    everything = range(len(identities))
    for i, j, _ in finder.pairs(everything, everything):
        parent[root(i)] = root(j)
    names: dict[int, str] = {}
    for i, identity in enumerate(identities):
        names[root(i)] = min(names.get(root(i), identity.sha256), identity.sha256)
    return [names[root(i)] for i in range(len(identities))]


def _by_hash(name: str, shares: tuple[float, float, float]) -> str:
    place = int.from_bytes(hashlib.sha256(f"split {name}".encode()).digest()[:8], "big") / 2**64
    return SPLITS[0] if place < shares[0] else SPLITS[1] if place < shares[0] + shares[1] else SPLITS[2]


def read_split_files(source: Path, files: Sequence[Path]) -> dict[str, str]:
    """Image name -> split. Names in trainval.txt count where no other file names them.

    Raises:
        ValueError: a file is missing, its name says no split, or two files name one image.
    """
    found: dict[str, str] = {}
    rest: dict[str, str] = {}
    for file in files:
        path = file if file.exists() else source / file
        kind = next((name for name in ("trainval", "train", "val", "test") if name in path.stem.lower()), "")
        if not kind:
            raise ValueError(f"{path} must have train, val, test or trainval in its name.")
        try:
            lines = path.read_text().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as a list of image names ({error}).") from error
        for line in lines:
            name = line.strip().split(",")[0].split("\t")[0].strip()
            if not name:
                continue
            name = Path(name).stem if "/" in name or Path(name).suffix else name
            if kind == "trainval":
                rest[name] = "train"
            elif found.setdefault(name, kind) != kind:
                raise ValueError(f"{name} is in {found[name]} and in {kind}, says {path}.")
    return {**rest, **found}


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
