"""Describe images."""

from typing import NotRequired, TypedDict

from knowlip.inference.images import read_image
from knowlip.inference.opened import open_model, say_what_is_unknown
from knowlip.inference.settings import CaptionConfig
from knowlip.inference.written import WrittenText, as_listed, write

_BATCH = 16


class CaptionedImage(TypedDict):
    """An image and its description."""

    image: str
    caption: str
    metres_per_pixel: float | None
    """Of the image, as given or georeferenced; None where it is not known."""
    all: NotRequired[list[WrittenText]]
    """Where more than one text was asked for: best first."""


def caption(config: CaptionConfig) -> list[CaptionedImage]:
    """Descriptions of images: the content of a hole that is the whole text.

    Raises:
        ValueError: no such model, or an image that cannot be read.
    """
    model, _ = open_model(config.model, config.device)
    result: list[CaptionedImage] = []
    for start in range(0, len(config.images), _BATCH):
        paths = config.images[start : start + _BATCH]
        images = [read_image(path, config.metres_per_pixel) for path in paths]
        say_what_is_unknown(model, list(zip(paths, images)))
        written = write(model, images, [""] * len(paths), config.generation)
        for path, image, texts in zip(paths, images, written, strict=True):
            result.append({"image": str(path), "caption": texts[0].text, "metres_per_pixel": image.metres_per_pixel})
            if len(texts) > 1:
                result[-1]["all"] = as_listed(texts)
    return result


def show(result: list[CaptionedImage]) -> str:
    """The descriptions, each behind its image's path where there are several images."""
    lines = []
    for image in result:
        texts = [text["text"] for text in image["all"]] if "all" in image else [image["caption"]]
        lines += texts if len(result) == 1 else [f"{image['image']}: {text}" for text in texts]
    return "\n".join(lines)
