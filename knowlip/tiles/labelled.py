"""Objects that a product names (the ships of OpenSARShip) as boxes of its tiles."""

from typing import Any

import shapely
from pyproj import CRS
from rasterio.transform import Affine

from knowlip.dataset.records import AnnotationRow
from knowlip.scenes import Scene
from knowlip.tiles.boxes import TilePlace, box_on, in_crs
from knowlip.tiles.ground import Ground

MIN_VISIBLE = 0.5
"""Objects of which a tile shows a smaller share of the area are left out of it, as `dataset overlay` does."""
UNSEEN = "no accepted tile shows half of it"


class LabelledScene:
    """The labels of a scene in the CRS of its tiles, ready to be asked for any of them."""

    def __init__(self, scene: Scene, ground: Ground):
        self.labels, self.unlabelled = scene.labels, scene.unlabelled
        shapes = [shapely.Polygon(label.outline) for label in self.labels]
        self.outlines = in_crs(shapes, CRS.from_epsg(4326), ground.code) if shapes else []
        self.shown: set[int] = set()

    def on(self, row: dict[str, Any]) -> list[AnnotationRow]:
        """Boxes of a tile, by its row of the index; none of a rejected one."""
        if not self.labels or not row["accepted"]:
            return []
        size = int(row["proj:shape"][0]), int(row["proj:shape"][1])
        place = TilePlace(row["tile_id"], row["proj:code"], Affine(*row["proj:transform"]), size)
        window, boxes = shapely.box(*place.bounds), list[AnnotationRow]()
        for number, (label, outline) in enumerate(zip(self.labels, self.outlines)):
            seen = shapely.intersection(outline, window)
            if not outline.area or seen.area < MIN_VISIBLE * outline.area:
                continue
            self.shown.add(number)
            more = {"type": label.type, "width_m": label.width_m, "heading_deg": label.heading_deg}
            more["length_m"] = label.length_m
            boxes.append(box_on(place, len(boxes), outline, seen, label.category, label.source, **more))
        return boxes

    def told(self) -> list[dict[str, str]]:
        """What became of each object: {"id", "stated", "type", "reason"}, the last "" where a tile shows it."""
        return [
            *(
                {
                    "id": label.identity,
                    "stated": label.stated_type,
                    "type": label.type,
                    "reason": "" if number in self.shown else UNSEEN,
                }
                for number, label in enumerate(self.labels)
            ),
            *({"id": one.identity, "stated": "", "type": "", "reason": one.reason} for one in self.unlabelled),
        ]
