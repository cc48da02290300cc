"""A model in use: embeddings, captions, answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from knowlip.api.given import (
    Named,
    Pictured,
    calibrated_folder,
    opened_model,
    path_of,
    stated_metres,
    taken_image,
    view_of_given,
)
from knowlip.api.running import without
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.inference.settings import AskConfig, CaptionConfig

if TYPE_CHECKING:
    from knowlip.inference.ask import AnsweredQuestion
    from knowlip.inference.caption import CaptionedImage

_BATCH: Final = 32


def embed(
    images: Sequence[Pictured] | None = None,
    texts: Sequence[str] | None = None,
    model: Named = None,
    metres_per_pixel: float | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Embeddings of images or of texts (N, E) float32, of unit length, in one space.

    Args:
        images: files or 8-bit pixels, each shown whole.
        texts: in their place.
        model: whose space it is.
        metres_per_pixel: side of a pixel on the ground where files do not say it.
        device: cpu, cuda, or auto.

    Raises:
        ValueError: both or neither, or an image that cannot be read.

    >>> tiles = list(data.images(data.tiles(scale="medium")["tile_id"]))
    >>> images = knowlip.embed(tiles, metres_per_pixel=2)
    >>> texts = knowlip.embed(texts=["a port with ships", "fields"])
    >>> (images @ texts.T).shape
    (4, 2)
    """
    from knowlip.inference.opened import width_m

    if (images is None) == (texts is None):
        raise ValueError("Give images or texts: embed(images) or embed(texts=[...]).")
    if isinstance(images, str | Path) or isinstance(texts, str):
        raise ValueError("Give a list of images or of texts.")
    opened = opened_model(model, device)
    if texts is not None:
        return np.asarray(opened.embed_texts(list(texts)).float().cpu())
    found = []
    taken = [taken_image(one, metres_per_pixel) for one in images or ()]
    for start in range(0, len(taken), _BATCH):
        some = taken[start : start + _BATCH]
        metres = [width_m(image) / image.pixels.size**0.5 for image in some]
        found.append(np.asarray(opened.embed_images([image.pixels for image in some], metres).float().cpu()))
    if not found:
        raise ValueError("There is no image to embed.")
    return np.concatenate(found)


def caption(
    image: Pictured, model: Named = None, metres_per_pixel: float | None = None, device: str = "auto", **settings: Any
) -> "CaptionedImage":
    """Describe an image; a scene that shows more ground than the model knows, window by window.

    Args:
        image: file or 8-bit pixels.
        model: that describes it.
        metres_per_pixel: side of a pixel on the ground where the image does not say it.
        device: cpu, cuda, or auto.
        settings: of `knowlip caption`, e.g. `generation={"num": 3}`.

    Raises:
        ValueError: an image that cannot be read or shows pixels that the model cannot use.

    >>> said = knowlip.caption(tiles[0], metres_per_pixel=2)
    >>> sorted(said)
    ['caption', 'image', 'metres_per_pixel', 'probability', 'token_probability']
    >>> isinstance(said["caption"], str)
    True
    """
    from knowlip.inference.caption import described_view
    from knowlip.inference.opened import say_unknown_sizes

    given = without(settings, ("images", "out"), "caption")
    config = stage_config(CaptionConfig, {**given, "images": [str(path_of(image))], **stated_metres(metres_per_pixel)})
    opened, unknown = opened_model(model, device), list[Path]()
    found, _ = described_view(opened, view_of_given(image, opened, metres_per_pixel, config.refuse), config, unknown)
    say_unknown_sizes(unknown)
    return found


def ask(
    image: Pictured,
    question: str,
    model: Named = None,
    metres_per_pixel: float | None = None,
    device: str = "auto",
    **settings: Any,
) -> "AnsweredQuestion":
    """The answer to a question about an image, or about a scene and its windows: how sure it is, or why it is refused.

    Args:
        image: file or 8-bit pixels.
        question: in words.
        model: that answers.
        metres_per_pixel: side of a pixel on the ground where the image does not say it.
        device: cpu, cuda, or auto.
        settings: of `knowlip ask`, e.g. `evidence="map.png"`, `refuse=False`.

    Raises:
        ValueError: an image that cannot be read, or a question that the model cannot.

    >>> found = knowlip.ask("scenes/rotterdam-c.tif", "How many ships are visible?")
    >>> found["kind"], found["answer"].isdigit() or found["refused"]
    ('count', True)
    >>> knowlip.ask(tiles[0], "How many ships are visible?", metres_per_pixel=200)["refused"]
    'resolution'
    """
    from knowlip.inference.ask import ask_view
    from knowlip.inference.opened import say_unknown_sizes
    from knowlip.inference.replies import asker_of, coarse, refusing
    from knowlip.inference.views import CoarsePixels
    from knowlip.inference.written import unknown_words

    given = {**without(settings, ("image", "also", "out", "tile", "questions"), "ask"), "image": str(path_of(image))}
    config = stage_config(AskConfig, {**given, "question": question, **stated_metres(metres_per_pixel)})
    opened = opened_model(model, device)
    asker, notes = asker_of(opened, calibrated_folder(opened), question, config.refuse, config.generation)
    for note in (*notes, unknown_words(opened, question)):
        if note:
            say(f"  note: {note}")
    try:
        view = view_of_given(image, opened, metres_per_pixel, config.refuse)
    except CoarsePixels as error:
        from knowlip.inference.ask import refused_image

        return refused_image(path_of(image), asker, refusing(coarse(error)), metres_per_pixel)
    found = ask_view(asker, view, config)
    say_unknown_sizes(found.unknown)
    return found.result
