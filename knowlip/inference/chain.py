"""The same question about the same place at every scale that a model knows, from the widest window to the narrowest:
what is around it, and what it is."""

from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from shapely.geometry.base import BaseGeometry

from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset
from knowlip.inference.geojson import centre_of
from knowlip.inference.images import TakenImage, taken_tiles
from knowlip.inference.opened import BEYOND
from knowlip.inference.replies import Asker, ModelReply, said
from knowlip.inference.views import ImageView, looked_at, scales_of


class ScaleAnswer(TypedDict):
    """What a window of one scale says."""

    scale: str
    window_m: float
    lon: float | None
    """Middle of the window, in degrees."""
    lat: float | None
    answer: str
    probability: float | None
    confidence: float | None
    refused: str | None
    reason: str | None


class Linked(NamedTuple):
    """A window of a chain."""

    image: TakenImage
    shape: BaseGeometry | None
    reply: ModelReply
    said: ScaleAnswer


def chain_of_view(asker: Asker, view: ImageView, at: tuple[float, float]) -> list[ScaleAnswer]:
    """Windows around a place of an image.

    Args:
        asker: the question.
        view: the image.
        at: column and row of the place.

    Raises:
        ValueError: nobody says how large a pixel is, or which scales the model knows, or the image shows less ground
            than the narrowest of them.
    """
    sides = scales_of(asker.model)
    if view.metres is None or not sides:
        what = "the model does not say which scales it knows" if not sides else "give --metres_per_pixel"
        raise ValueError(f"The scales of {view.path} are not known: {what}.")
    # A window that reaches much beyond the image would show mostly nothing.
    extent = min(view.shape) * view.metres
    fitting = [side for side in sides if side <= extent * BEYOND]
    if not fitting:
        raise ValueError(f"{view.path} shows {extent:.0f} m, the narrowest scale of the model is {sides[-1]:g} m.")
    looks = [looked_at(view, round(at[1]), round(at[0]), min(side, extent)) for side in fitting]
    images = []
    for look in looks:
        pixels = view.read(look).levels
        images.append(TakenImage(pixels, look.side * view.metres / pixels.shape[1]))
    replies = asker.replies(images, view.resolution_m)
    names = SCALES if len(sides) == len(SCALES) else [f"{side:g} m" for side in sides]
    shapes = [view.outline(one.left, one.top, one.left + one.side, one.top + one.side) for one in looks]
    return [
        _link(names[sides.index(side)], look.side * view.metres, shape, reply)
        for side, look, shape, reply in zip(fitting, looks, shapes, replies)
    ]


def chain_of_tile(asker: Asker, folder: Path, tile_id: str) -> list[Linked]:
    """A tile of a data set behind its parents, the widest first.

    Raises:
        ValueError: no data set, or no such accepted tile.
    """
    data = Dataset(folder)
    tiles = data.tiles().set_index("tile_id", drop=False)
    if tile_id not in tiles.index:
        raise ValueError(f"{folder} has no accepted tile {tile_id!r}.")
    ids, parent = [tile_id], str(tiles.loc[tile_id, "parent_id"] or "")
    while parent in tiles.index and parent not in ids:
        ids.insert(0, parent)
        parent = str(tiles.loc[parent, "parent_id"] or "")
    chosen = tiles.loc[ids]
    images = taken_tiles(data, chosen)
    shapes = list(data.index.set_index("tile_id").geometry.loc[ids])
    found = []
    for (_, tile), image, shape in zip(chosen.iterrows(), images, shapes):
        coarsest = float(tile["resolution_m"])
        (reply,) = asker.replies([image], coarsest if coarsest == coarsest else None)
        found.append(Linked(image, shape, reply, _link(str(tile["scale"]), float(tile["window_m"]), shape, reply)))
    return found


def _link(scale: str, side: float, shape: Any, reply: ModelReply) -> ScaleAnswer:
    lon, lat = centre_of(shape)
    place = {"scale": scale, "window_m": round(side, 3), "lon": lon, "lat": lat}
    return {**place, **said(reply)}  # type: ignore[typeddict-item]
