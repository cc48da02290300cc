"""Pascal VOC: an XML file an image, with boxes; also rotated boxes and outlines as SSDD has them."""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.scenes.xml import need, need_number, read_xml, text_of
from knowlip.tiles.imports.labels import ImageFinder, Label, LabelledImage, Problems, files_under, place_of, split_in
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "an XML file an image"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every XML file; the image is the one with the name of the XML file (LS-SSDD's `filename` names the XML).

    Boxes are taken as SSDD means them: width = xmax - xmin.
    """
    folder = place_of(config.source, config.labels, ("annotations", "Annotations", "labels"), "labels")
    found = []
    for path in files_under(folder, (".xml",)):
        image = finder.find(path.stem)
        if image is None:
            problems.missing.append(path.name)
            continue
        try:
            root = read_xml(path)
            size = _size(root, path)
            elements = root.findall("object")
        except ValueError as error:
            problems.note(str(error))
            continue
        things = []
        for number, element in enumerate(elements, 1):
            try:
                things.append(_thing(element, f"{path}, object {number},"))
            except ValueError as error:
                problems.note(str(error))
        split = split_in(image, finder.folder)
        found.append(LabelledImage(image, finder.name_of(image), tuple(things), path.name, split=split, size=size))
    problems.unlabelled.extend(finder.unused())
    return found


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    if root.find("size/width") is None:
        return None
    return int(need_number(root, "size/width", str(path))), int(need_number(root, "size/height", str(path)))


def _thing(element: Element, where: str) -> Label:
    name = text_of(element, "name")
    if not name:
        raise ValueError(f"{where} has no name.")
    need(element, "bndbox", where)
    left, top, right, bottom = (
        need_number(element, f"bndbox/{key}", where) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    if not (right > left and bottom > top):
        raise ValueError(f"{where} has an empty box ({left:g}, {top:g}, {right:g}, {bottom:g}).")
    corners = polygon = None
    if element.find("rotated_bndbox/x1") is not None:
        numbers = [need_number(element, f"rotated_bndbox/{axis}{i}", where) for i in range(1, 5) for axis in "xy"]
        corners = np.array(numbers, float).reshape(4, 2)
    outline = element.find("segm")
    if outline is not None and len(outline) >= 3:
        points = sorted(outline, key=lambda point: int(point.tag.rpartition("-")[2]))
        try:
            polygon = np.array([[float(value) for value in (point.text or "").split(",")] for point in points])
        except ValueError:
            raise ValueError(f"{where} has an outline that is not a list of points.") from None
        if polygon.shape != (len(points), 2):
            raise ValueError(f"{where} has an outline that is not a list of points.")
    return Label(name, (left, top, right, bottom), corners, polygon, text_of(element, "difficult", "0") == "1")
