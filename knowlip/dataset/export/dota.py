"""DOTA: SPLIT/images and SPLIT/labelTxt, a line an object: four corners in pixels, class, difficult."""

import math

from knowlip.dataset.export.job import Export, corners_px, number

_DIGITS = 4


def write(job: Export) -> None:
    """Rotated boxes where they are known, upright ones else. Class names have hyphens for spaces, because the format
    separates by spaces. The ground sampling distance stands in the second line, where it is known."""
    job.write_images(lambda tile: f"{tile.split}/images/{tile.tile_id}.png")
    for split, tiles in job.splits():
        folder = job.out / split / "labelTxt"
        folder.mkdir(parents=True)
        for tile in tiles:
            spacing = "null" if math.isnan(tile.metres_per_pixel) else number(tile.metres_per_pixel, 6)
            lines = ["imagesource:KnowLIP", f"gsd:{spacing}"]
            for item in tile.objects:
                points = " ".join(number(value, _DIGITS) for value in corners_px(tile, item).ravel())
                lines.append(f"{points} {'-'.join(item['label'].split())} {int(item['difficult'])}")
            (folder / f"{tile.tile_id}.txt").write_text("\n".join(lines) + "\n")
