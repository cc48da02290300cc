"""Pascal VOC: an XML file an image, with boxes; also rotated boxes and outlines as SSDD has them."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.xml import need, need_number, number_at, text_of
from knowlip.tiles.imports.files import ImageFinder, bare, files_under, place_of
from knowlip.tiles.imports.labels import (
    BadLabel,
    Label,
    LabelledImage,
    Problems,
    check_pixels,
    is_axis_parallel,
    label_xml,
    outline_thing,
    pair,
)
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "an XML file an image"
_OBJECTS = ("object", "objects", "HRSC_Object", "HRSC_Objects", "bndbox", "robndbox", "points", "possibleresult")
"""Elements that hold objects, in VOC or in the layouts of others (HRSC2016)."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every XML file; the image is the one with the path of the XML file (LS-SSDD's `filename` names the XML).

    What the corners of boxes mean is said by `voc_corners`, or else by the files: see :func:`corners_of`.
    """
    folder = place_of(config.source, config.labels, ("annotations", "Annotations", "labels"), "labels")
    pairs = pair(files_under(folder, (".xml",), finder.hidden), folder, config.source, finder, problems)
    pixels = config.voc_corners == "pixels"
    if not config.voc_corners and pairs:
        pixels, why = corners_of(path for path, _, _ in pairs)
        problems.notes.append(f"voc_corners {'pixels' if pixels else 'edges'}: {why}.")
    found, sizeless = [], 0
    for path, image, split in pairs:
        try:
            root = label_xml(path)
            _check_layout(root, path)
            size = _size(root, path)
        except ValueError as error:
            problems.note(str(error))
            continue
        stem = bare(re.split(r"[\\/]", text_of(root, "filename"))[-1].strip())
        if stem and stem != image.stem and stem != path.stem:
            problems.remark("XML files name another image in filename; the one of their own name is taken", path.name)
        if size == (0, 0):
            size, sizeless = None, sizeless + 1
        things = []
        # VOC has objects below the root, AIR-SARShip and FAIR1M in a list of their own.
        for number, element in enumerate([*root.findall("object"), *root.findall("objects/object")], 1):
            make = _outlined if element.find("possibleresult/name") is not None else _thing
            thing = problems.take(f"{path}, object {number},", make, element, pixels, problems)
            things += [thing] if thing is not None else []
        found.append(LabelledImage(image, finder.name_of(image), tuple(things), path.name, split=split, size=size))
    if sizeless:
        problems.notes.append(f"{sizeless} files declare a size of 0 x 0, which is not compared with their images.")
    return found


def _check_layout(root: Element, path: Path) -> None:
    """Raise `ValueError` where objects stand elsewhere than VOC has them, and would not be seen."""
    if root.tag != "annotation":
        raise ValueError(f"{path} is no VOC file: its layout is <{root.tag}>, not <annotation> with <object>.")
    inside = next(
        (child.tag for child in root if child.tag not in ("object", "objects") and any(map(_is_object, child.iter()))),
        None,
    )
    if inside is not None:
        raise ValueError(f"{path} is no VOC file: its layout has objects in <{inside}>, not <object> in <annotation>.")


def _is_object(element: Element) -> bool:
    return element.tag in _OBJECTS


def corners_of(files: Iterable[Path]) -> tuple[bool, str]:
    """Whether corners are pixels, as VOC's devkit counts them (the first is 1, both corners belong to the box), or
    edges (xmax - xmin is the width), and what says so. Files are read until one says it."""
    # One box that can only be of edges decides: the devkit's never begin at 0 and never have a fraction.
    for path in files:
        try:
            root = label_xml(path)
        except ValueError:
            continue
        for box in root.iterfind("object/bndbox"):
            left, top, right, width = (number_at(box, key, math.nan) for key in ("xmin", "ymin", "xmax", "bbox_w"))
            if width in (right - left, right - left + 1):
                return width != right - left, f"bbox_w of {path.name}"
            if min(left, top) < 1 or left % 1 > 0 or top % 1 > 0:
                return False, f"a box of {path.name} begins at ({left:g}, {top:g})"
    return True, "as VOC's devkit, no file says otherwise; --voc_corners edges where xmax - xmin is the width"


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    if root.find("size/width") is None:
        return None
    return int(need_number(root, "size/width", str(path))), int(need_number(root, "size/height", str(path)))


def _outlined(element: Element, pixels: bool, problems: Problems) -> Label:
    """An object as AIR-SARShip and FAIR1M write it: points of a closed line, and possibleresult/name."""
    words = [(point.text or "").split(",") for point in element.iterfind("points/point")]
    try:
        points = np.array([[float(value) for value in point] for point in words])
    except ValueError:
        points = np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3 or not np.isfinite(points).all():
        raise BadLabel("has an outline that is not a list of points.")
    points = points[:-1] if len(points) > 4 and (points[0] == points[-1]).all() else points
    if len(points) == 4:
        points = problems.in_order(points, text_of(element, "possibleresult/name"))
    if (np.ptp(points, axis=0) <= 0).any():
        raise BadLabel("encloses no area.", "empty")
    name = text_of(element, "possibleresult/name")
    thing = outline_thing(name, points - 0.5 * pixels, rotated=len(points) == 4)
    return Label(name, thing.box) if len(points) == 4 and is_axis_parallel(points) else thing


def _thing(element: Element, pixels: bool, problems: Problems) -> Label:
    name = text_of(element, "name")
    if not name:
        raise BadLabel("has no name.", "unknown class")
    need(element, "bndbox", "")
    if len(element.findall("bndbox")) > 1:
        raise BadLabel("has two bndbox: an object has one.")
    left, top, right, bottom = (need_number(element, f"bndbox/{key}", "") for key in ("xmin", "ymin", "xmax", "ymax"))
    if not (right - left + pixels > 0 and bottom - top + pixels > 0):
        raise BadLabel(f"has an empty box ({left:g}, {top:g}, {right:g}, {bottom:g}).", "empty")
    check_pixels((left, top, right, bottom))
    box = (left - pixels, top - pixels, right, bottom)
    corners = polygon = None
    if element.find("rotated_bndbox/x1") is not None:
        numbers = [need_number(element, f"rotated_bndbox/{axis}{i}", "") for i in range(1, 5) for axis in "xy"]
        corners = problems.in_order(np.array(numbers, float).reshape(4, 2), name)
    elif any(element.find(tag) is not None for tag in ("rotated_bndbox", "robndbox")):
        problems.remark("rotated boxes say no corners and are left out; their upright boxes stay", name)
    outline = element.find("segm")
    if outline is not None and len(outline) >= 3:
        try:
            ordered = sorted(outline, key=lambda point: int(point.tag.rpartition("-")[2]))
            polygon = np.array([[float(value) for value in (point.text or "").split(",")] for point in ordered])
        except ValueError:
            raise BadLabel("has an outline that is not a list of points.") from None
        if polygon.shape != (len(ordered), 2) or not np.isfinite(polygon).all():
            raise BadLabel("has an outline that is not a list of points.")
    if pixels:  # points are the middles of pixels
        corners, polygon = (None if points is None else points - 0.5 for points in (corners, polygon))
    return Label(name, box, corners, polygon, text_of(element, "difficult", "0") == "1")
