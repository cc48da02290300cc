"""Sets by name: which of the layouts of a public set is there, what is missing, and the settings that it stands for."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypedDict

from knowlip.scenes.opening import open_zip, read_member
from knowlip.tiles.imports.formats import NAMES
from knowlip.tiles.imports.labels import LabelledImage
from knowlip.tiles.imports.sets import SETS, Layout, PublicSet
from knowlip.tiles.imports.settings import SPLIT_SETTINGS, ImportConfig

LARGEST_MEMBER = 64 << 20
LARGEST_UNPACKED = 16 << 30
"""Bytes of one member, and of all, that are unpacked from the archives of a set."""


class PublicRecord(TypedDict):
    """What dataset.json keeps of the public set that an import named."""

    name: str
    title: str
    task: str
    split: str
    licence: str
    source: str
    confirmed: bool
    defects: list[str]
    notes: list[str]


def public_set(name: str) -> PublicSet:
    """A public set by its name; case and punctuation do not count.

    Raises:
        ValueError: there is none.
    """
    found = [one for one in SETS if _plain(one.name) == _plain(name)]
    if not found:
        raise ValueError(
            f"format must be one of {', '.join(NAMES)}, or a set that `knowlip dataset sets` lists, not {name!r}."
        )
    return found[0]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@contextmanager
def prepared(config: ImportConfig) -> Iterator[tuple[ImportConfig, PublicRecord | None]]:
    """Settings with a format, and what is recorded of the set where `format` is the name of one. Archives of a set are
    unpacked for the time of the block.

    Raises:
        ValueError: no such format or set, or the folder is not as the set is published; says what is missing.
    """
    public = None if config.format in NAMES else public_set(config.format)
    config.check_files()
    if public is None:
        yield config, None
        return
    chooses = config.splits_by_rule or bool(config.split_files)
    with tempfile.TemporaryDirectory(prefix="knowlip-import-") as folder:
        # Unpacked files lie under the name of the set's folder, which dataset.json keeps.
        notes = [] if public.confirmed else [f"The layout of {public.title} is not confirmed: {public.doubt}."]
        layout, root = _find(public, config.source, Path(folder) / config.source.resolve().name, chooses, notes)
        if layout.members and (archives := sorted(config.source.glob("*.zip"))) and root.is_relative_to(config.source):
            notes.append(f"{len(archives)} zip archives are passed over, as there are unpacked chips: {archives[0]}.")
        record: PublicRecord = {
            "name": public.name,
            "title": public.title,
            "task": public.task,
            "split": "chosen at import, not the set's own" if chooses else public.split,
            "licence": public.licence,
            "source": public.source,
            "confirmed": public.confirmed,
            "defects": list(public.defects),
            "notes": notes,
        }
        yield _settled(config, public, layout, root, chooses), record


def _settled(config: ImportConfig, public: PublicSet, layout: Layout, root: Path, chooses: bool) -> ImportConfig:
    """The user's settings, and the set's where the user's are the defaults. A split that the user chooses replaces the
    set's."""
    given = {**public.settings, **layout.settings}
    if layout.lists:
        given["split_files"] = [Path(name) for name in layout.lists]
    if chooses:
        given = {name: value for name, value in given.items() if name not in SPLIT_SETTINGS}
    defaults = {field.name: field for field in fields(ImportConfig)}
    given = {name: value for name, value in given.items() if name == "format" or _is_default(config, defaults[name])}
    return replace(config, **given, source=root, name=config.name or public.name)


def _is_default(config: ImportConfig, field: Any) -> bool:
    default = field.default_factory() if callable(field.default_factory) else field.default
    return bool(getattr(config, field.name) == default)


# ---- which layout is there ------------------------------------------------------------------------------------------


def _find(public: PublicSet, source: Path, unpacked: Path, chooses: bool, notes: list[str]) -> tuple[Layout, Path]:
    """Layout and folder in which it begins: the one given, a usual one below it, or the only folder in it.

    Raises:
        ValueError: none is complete; the sentence names what the nearest one lacks.
    """
    nearest: tuple[int, list[str]] | None = None
    for layout in public.layouts:
        for root in _roots(source, layout):
            needs = [*layout.needs, *([] if chooses else layout.lists)]
            missing = [pattern for pattern in needs if not _has(root, pattern)]
            if not missing:
                return layout, root
            if nearest is None or len(needs) - len(missing) > nearest[0]:
                nearest = (len(needs) - len(missing), missing)
        if layout.members and _unpack(source, layout.members, unpacked, notes):
            return layout, unpacked
    missing = nearest[1] if nearest else []
    lacks = ", ".join(_readable(pattern) for pattern in missing)
    raise ValueError(
        f"{source} is not {public.title} as it is published: {lacks} {'is' if len(missing) == 1 else 'are'} missing; "
        f"expected: {public.expects}. `knowlip dataset sets {public.name}` says more; another layout is imported with "
        "--format."
    )


def _readable(pattern: str) -> str:
    return pattern.replace("[jptb][pinm]*", "png").replace("[0-9][0-9][0-9]", "000")


def _has(root: Path, pattern: str) -> bool:
    return next(root.glob(pattern), None) is not None


def _roots(source: Path, layout: Layout) -> Iterator[Path]:
    yield source
    for pattern in layout.roots:
        yield from sorted(path for path in source.glob(pattern) if path.is_dir())
    # Archives unpack into a folder of their own, and that into one of its own: the only folder is gone into.
    here = source
    for _ in range(3):
        folders = [path for path in here.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
        if len(folders) != 1:
            return
        here = folders[0]
        yield here
        for pattern in layout.roots:
            yield from sorted(path for path in here.glob(pattern) if path.is_dir())


def _unpack(source: Path, members: str, folder: Path, notes: list[str]) -> int:
    """Number of members of the zip archives of a folder that match, unpacked into a folder for each archive; archives
    without any are noted.

    Raises:
        ValueError: an archive is damaged, or holds more than `LARGEST_UNPACKED`.
    """
    # Members are written under names made here, never where their own paths would lead.
    count = total = 0
    for path in sorted(source.glob("*.zip")):
        before = count
        with open_zip(path) as archive:
            for name in archive.namelist():
                if not re.search(members, name):
                    continue
                content = read_member(archive, name, LARGEST_MEMBER, f"{name} in {path}")
                total += len(content)
                if total > LARGEST_UNPACKED:
                    raise ValueError(
                        f"The archives of {source} hold more than {LARGEST_UNPACKED >> 30} GB: unpack some."
                    )
                parts = [part for part in name.split("/") if part not in ("", ".", "..")][-2:]
                place = folder / path.stem / "/".join(parts)
                if place.exists():
                    raise ValueError(f"{path} holds {name} twice.")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                count += 1
        if count == before:
            notes.append(f"{path.name} holds no chips.")
    return count


def not_as_whole(public: PublicRecord, images: list[LabelledImage]) -> list[str]:
    """What is not as expected of a whole set: how many images there are, and classes that it is not known to have."""
    one, notes = public_set(public["name"]), []
    if one.images and len(images) < one.images:
        notes.append(f"{len(images):,} of the {one.images:,} labelled images of {one.title} are here.")
    if one.images and len(images) > one.images:
        notes.append(
            f"There are {len(images):,} labelled images, and {one.title} is published with {one.images:,}: is it "
            "another release, or are some there twice?"
        )
    known = {_plain(name): name for name in one.classes}
    here = {_plain(thing.category): thing.category for image in images for thing in image.things}
    if known and one.task != "segmentation":
        if strange := sorted(here[name] for name in here.keys() - known.keys()):
            notes.append(f"{one.title} is not known to have the classes {', '.join(strange[:5])}.")
        if spelled := [f"{here[plain]} ({name})" for plain, name in known.items() if here.get(plain, name) != name]:
            notes.append(f"Classes are spelled otherwise than {one.title} publishes them: {', '.join(spelled[:5])}.")
        if absent := [name for plain, name in known.items() if plain not in here]:
            notes.append(f"Nothing here is of the classes {', '.join(absent)} of {one.title}.")
    return notes


def split_not_as_whole(public: PublicRecord, splits: Sequence[str]) -> list[str]:
    """Where the parts of the set's own split are not as large as published: larger ones always, smaller ones where all
    images are here."""
    one, counts = public_set(public["name"]), Counter(splits)
    if not one.parts or public["split"] != one.split:
        return []
    whole = len(splits) >= sum(one.parts.values())
    odd = [part for part, number in one.parts.items() if counts[part] > number or (whole and counts[part] != number)]
    return [
        f"{counts[part]:,} images are in {part}, and {one.title} is published with {one.parts[part]:,} there."
        for part in odd
    ]


# ---- what sets there are --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetsConfig:
    """Which set to tell about."""

    LEADING: ClassVar = "name"

    name: str = ""
    """Name of a public set; all of them, in a few words, where not given."""


def list_sets(config: SetsConfig) -> dict[str, Any]:
    """Public sets that `knowlip dataset import` knows by name, all or the one that is named.

    Raises:
        ValueError: there is none of this name.
    """
    chosen = (public_set(config.name),) if config.name else SETS
    return {
        "sets": {
            one.name: {
                **{"title": one.title, "task": one.task, "layout": one.expects},
                **{"classes": list(one.classes) or one.about_classes, "images": one.images, "split": one.split},
                **{"metres_per_pixel": one.metres, "licence": one.licence, "defects": list(one.defects)},
                **{"confirmed": one.confirmed, "doubt": one.doubt, "source": one.source},
            }
            for one in chosen
        }
    }


def show(result: dict[str, Any]) -> str:
    """The sets for people: a line each, or everything about one."""
    found = result["sets"]
    if len(found) > 1:
        width = max(map(len, found))
        lines = [
            f"{name:{width}}  {one['task']:14}  {one['title']}{'' if one['confirmed'] else '  (layout not confirmed)'}"
            for name, one in found.items()
        ]
        return "\n".join([*lines, "knowlip dataset import NAME FOLDER --out DATASET brings one in."])
    ((name, one),) = found.items()
    classes = one["classes"] if isinstance(one["classes"], str) else ", ".join(one["classes"])
    lines = [f"{name}: {one['title']}, {one['task']}", f"layout: {one['layout']}", f"classes: {classes}"]
    lines += [f"images: {one['images']:,}"] if one["images"] else []
    lines += [f"split: {one['split']}", f"metres per pixel: {one['metres_per_pixel']}", f"licence: {one['licence']}"]
    lines += [f"known: {defect}" for defect in one["defects"]]
    lines += [] if one["confirmed"] else [f"not confirmed: {one['doubt']}"]
    return "\n".join([*lines, f"source: {one['source']}"])
