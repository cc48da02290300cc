"""Describe images, and the windows of whole scenes."""

import math
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

from knowlip.base.progress import say, track
from knowlip.inference.geojson import centre_of
from knowlip.inference.opened import open_model, say_unknown_sizes, say_what_is_unknown
from knowlip.inference.settings import CaptionConfig
from knowlip.inference.told import ToldRow, check_ending, small_picture, write_told
from knowlip.inference.views import LEAST_VALID, ImageView, ViewPart, chunks, images_in, view_of, windows_of
from knowlip.inference.written import ModelText, WrittenText, as_listed, write
from knowlip.models import KnowLIP

_BATCH: Final = 4
"""Windows described at once: a core needs some ten seconds for each, and the time left is said after each batch."""


class CaptionedWindow(TypedDict):
    """A window of a scene and its description."""

    row: int
    column: int
    x: float
    """Left edge in pixels as they were shown."""
    y: float
    window_m: float | None
    lon: float | None
    """Middle, in degrees."""
    lat: float | None
    caption: str
    probability: float
    """Of the words, by the model."""
    token_probability: float
    """Geometric mean over the words' tokens."""


class CaptionedImage(TypedDict):
    """An image and its description."""

    image: str
    caption: str
    """ "" where the windows of a scene were described, or the image could not be used."""
    metres_per_pixel: float | None
    """Of the image, as given or georeferenced; None where it is not known."""
    probability: NotRequired[float]
    """Of the words, by the model."""
    token_probability: NotRequired[float]
    """Geometric mean over the words' tokens."""
    all: NotRequired[list[WrittenText]]
    """Where more than one text was asked for: best first."""
    windows: NotRequired[list[CaptionedWindow]]
    """Of a scene that shows more ground than the model knows."""
    without_data: NotRequired[int]
    """Windows of it that were left out."""
    reason: NotRequired[str]
    """Why it could not be used."""


def caption(config: CaptionConfig) -> list[CaptionedImage]:
    """Descriptions of images: the content of a hole that is the whole text. Scenes that show more ground than the model
    knows are described window by window; an image that cannot be used is told, and the others go on.

    Raises:
        ValueError: no such model, or no image that can be used.
    """
    check_ending(config.out)
    model, _ = open_model(config.model, config.device)
    result: list[CaptionedImage] = []
    rows: list[ToldRow] = []
    failed: list[dict[str, str]] = []
    unknown: list[Path] = []
    # One image has a bar of its own where it is cut into windows; of several, the images are counted.
    paths = images_in(config.images)
    for path in track(paths, "describe images") if len(paths) > 1 else paths:
        try:
            view = view_of(path, model, config.metres_per_pixel, config.refuse)
            one, told = described_view(model, view, config, unknown)
        except ValueError as error:
            failed.append({"image": str(path), "reason": str(error)})
            result.append({"image": str(path), "caption": "", "metres_per_pixel": None, "reason": str(error)})
            say(f"  left out: {error}")
            continue
        result.append(one)
        rows += told
    say_unknown_sizes(unknown)
    if not rows:
        more = f" ({len(failed)} images fail; this is the first.)" if len(failed) > 1 else ""
        raise ValueError((failed[0]["reason"] if failed else "There is no image.") + more)
    if config.out is not None:
        write_told(config.out, "Descriptions", rows, failed)
    return result


def described_view(
    model: KnowLIP, view: ImageView, config: CaptionConfig, unknown: list[Path]
) -> tuple[CaptionedImage, list[ToldRow]]:
    """What is said of an image or of its windows, and the same as rows; images of unknown size go to `unknown`."""
    name = str(view.path)
    for note in view.notes:
        say(f"  note: {note}")
    if view.whole:
        (look,) = view.looks
        image = view.taken(view.read(look), look)
        unknown += say_what_is_unknown(model, [(view.path, image)])
        (texts,) = write(model, [image], [""], config.generation)
        chances = _chances(texts[0])
        metres = view.metres
        one: CaptionedImage = {"image": name, "caption": texts[0].text, "metres_per_pixel": metres, **chances}  # type: ignore[typeddict-item]
        if len(texts) > 1:
            one["all"] = as_listed(texts)
        height, width = view.shape
        shape = view.outline(0, 0, width, height)
        facts = {"image": name, "caption": texts[0].text, "metres_per_pixel": metres, **chances}
        return one, [ToldRow(facts, shape, small_picture(image.pixels))]
    rows: list[ToldRow] = []
    windows: list[CaptionedWindow] = []
    parts, total = chunks(windows_of(view, LEAST_VALID), _BATCH), -(-len(view.looks) // _BATCH)
    for some in track(parts, f"describe windows of {view.path.name}", total=total):
        images = [view.taken(pixels, look) for look, pixels in some]
        for (look, _), image, texts in zip(some, images, write(model, images, [""] * len(some), config.generation)):
            shape = view.outline(look.left, look.top, look.left + look.side, look.top + look.side)
            window: CaptionedWindow = {**place_of(view, look, shape), "caption": texts[0].text, **_chances(texts[0])}  # type: ignore[typeddict-item]
            windows.append(window)
            rows.append(ToldRow({"image": name, **window}, shape, small_picture(image.pixels)))
    if not windows:
        raise ValueError(f"No window of {view.path} holds data in {LEAST_VALID:.0%} of its pixels.")
    return {
        "image": name,
        "caption": "",
        "metres_per_pixel": view.metres,
        "windows": windows,
        "without_data": len(view.looks) - len(windows),
    }, rows


def place_of(view: ImageView, look: ViewPart, shape: Any) -> dict[str, Any]:
    """Where a window lies."""
    lon, lat = centre_of(shape)
    side = None if view.metres is None else round(look.side * view.metres, 3)
    place = {"row": look.row, "column": look.column, "x": look.left, "y": look.top}
    return {**place, "window_m": side, "lon": lon, "lat": lat}


def _chances(text: ModelText) -> dict[str, Any]:
    return {
        "probability": math.exp(text.log_p),
        "token_probability": round(math.exp(text.log_p / max(1, text.tokens)), 4),
    }


def show(result: list[CaptionedImage]) -> str:
    """The descriptions, each behind its image's path where there are several images, and what was left out."""
    lines = []
    for image in result:
        if "reason" in image:
            continue
        start = "" if len(result) == 1 else f"{image['image']}: "
        for window in image.get("windows", ()):
            lines.append(f"{start}column {window['column']}, row {window['row']}: {window['caption']}")
        if "windows" not in image:
            texts = [text["text"] for text in image["all"]] if "all" in image else [image["caption"]]
            lines += [f"{start}{text}" for text in texts]
    lines += [f"left out: {one['image']}: {one['reason']}" for one in result if "reason" in one]
    return "\n".join(lines)
