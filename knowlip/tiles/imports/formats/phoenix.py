"""Phoenix: chips of MSTAR, whose headers say the target, the depression and the spacing of pixels."""

from dataclasses import replace

from knowlip.tiles.imports.files import ImageFinder
from knowlip.tiles.imports.formats.folder import labelled
from knowlip.tiles.imports.labels import LabelledImage, Problems
from knowlip.tiles.imports.phoenix import ENDINGS as ENDINGS
from knowlip.tiles.imports.phoenix import is_phoenix, number_in, read_header
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "chips with Phoenix headers"
_SPLITS = {17: "train", 15: "test"}
"""Depression in degrees -> split of the standard operating conditions (Ross et al. 1998)."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Every chip with the TargetType of its header; chips at 17 degrees are for training, at 15 degrees for testing,
    and those at others (30, 45) are in no split."""
    found = []
    for path in finder.paths:
        if not is_phoenix(path):
            problems.unlabelled.append(finder.name_of(path))
            continue
        try:
            header = read_header(path)
            category = header.get("TargetType", "").strip()
            if not category:
                raise ValueError(f"{path} names no TargetType in its header.")
        except ValueError as error:
            problems.note(str(error))
            continue
        problems.read += 1
        depression = number_in(header, "DesiredDepression") or number_in(header, "MeasuredDepression")
        split = _SPLITS.get(round(depression), "") if depression else ""
        spacings = [number_in(header, key) for key in ("RangePixelSpacing", "CrossRangePixelSpacing")]
        known = [spacing for spacing in spacings if spacing and 0 < spacing < 1e3]
        image = labelled(path, category, finder, split)
        # The index has one spacing; MSTAR's two differ by half a per cent.
        if len(known) == 2 and max(known) > 1.05 * min(known):
            told = f"{finder.name_of(path)}: {known[0]:g} and {known[1]:g}"
            problems.remark("chips have pixels longer one way than the other; metres_per_pixel is their mean", told)
        found.append(replace(image, metres_per_pixel=round(sum(known) / len(known), 6)) if known else image)
    return found
