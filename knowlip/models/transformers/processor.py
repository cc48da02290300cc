"""Images and texts as the model reads them, with transformers' face."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from knowlip.base.documents import read_json
from knowlip.base.files import whole_file
from knowlip.models.config import VisionConfig
from knowlip.models.towers import Towers, resize
from knowlip.models.transformers.config import KnowLIPConfig
from knowlip.models.transformers.fetched import fetched, hub_settings
from knowlip.models.transformers.tokenizer import KnowLIPTokenizer
from knowlip.models.transformers_files import PROCESSOR

_KEYS: Final = ("image_size", "image_mean", "image_std")
_NAMES: Final = ("image_processor_type", "processor_class")


class KnowLIPImageProcessor(BaseImageProcessor):
    """8-bit images to pixels, exactly as :meth:`Towers.prepare`.

    Args:
        image_size: side of the square that images are resized to.
        image_mean, image_std: subtracted from pixels in 0..1, and divided by.

    Raises:
        ValueError: a setting that is unknown or out of its range.
    """

    model_input_names = ("pixel_values",)

    def __init__(self, image_size: int = 224, image_mean: float = 0.45, image_std: float = 0.25, **others: Any) -> None:
        if unknown := sorted(others.keys() - {*_NAMES}):
            raise ValueError(f"The image processor has the unknown setting {unknown[0]:.60}.")
        VisionConfig(image_size=image_size, mean=image_mean, std=image_std)  # checks them
        super().__init__()
        self.image_size, self.image_mean, self.image_std = image_size, image_mean, image_std

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **settings: Any
    ) -> "KnowLIPImageProcessor":
        """The entry `image_processor` of `processor_config.json`.

        Raises:
            ValueError: no such file, a broken one, or images prepared otherwise than for the model beside it.
        """
        hub = hub_settings(settings)
        file = fetched(pretrained_model_name_or_path, PROCESSOR, hub)
        said = read_json(file)
        image = said.get("image_processor") if isinstance(said, dict) else None
        if not isinstance(image, dict) or not all(isinstance(name, str) for name in image):
            raise ValueError(f"{file}: image_processor must be settings.")
        made = cls(**image)
        if (config := KnowLIPConfig.beside(pretrained_model_name_or_path, hub)) is not None:
            vision = config.model.vision
            for key, wanted in zip(_KEYS, (vision.image_size, vision.mean, vision.std), strict=True):
                if getattr(made, key) != wanted:
                    raise ValueError(
                        f"{file} has {key} {getattr(made, key):g}, and the model beside it was trained with "
                        f"{wanted:g}: take both files of one model."
                    )
        return made

    def to_dict(self) -> dict[str, Any]:
        """What is saved."""
        return {"image_processor_type": type(self).__name__, **{name: getattr(self, name) for name in _KEYS}}

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> list[str]:
        """Write `processor_config.json`."""
        with whole_file(Path(save_directory) / PROCESSOR) as part:
            part.write_text(json.dumps({"image_processor": self.to_dict()}, indent=1))
        return [str(Path(save_directory) / PROCESSOR)]

    def __call__(
        self, images: Any, metres_per_pixel: float | Sequence[float] | None = None, return_tensors: str = "pt"
    ) -> BatchFeature:
        """Pixels of images.

        Args:
            images: one or several: pictures of Pillow of 8 bit, or arrays (H, W) uint8; 0 where there is no data.
            metres_per_pixel: side of a pixel on the ground, of all or of each image; None or NaN: not known.
            return_tensors: "pt".

        Returns:
            `pixel_values` (B, 1, S, S), and `width_m` (B,), width on the ground, where pixel sizes are given.

        Raises:
            ValueError: no image, a coloured one, one of more than 8 bit, sizes that are not above 0, or other than one
                or as many as images.
        """
        if return_tensors != "pt":
            raise ValueError('return_tensors must be "pt".')
        given = list(images) if isinstance(images, list | tuple) else [images]
        grey = [_grey(one) for one in given]
        if not grey:
            raise ValueError("There is no image.")
        small = torch.from_numpy(np.stack([resize(one, self.image_size) for one in grey]))
        found = {"pixel_values": (small[:, None].float() / 255 - self.image_mean) / self.image_std}
        if metres_per_pixel is not None:
            metres = np.asarray(metres_per_pixel, float)
            if metres.ndim and metres.shape != (len(grey),):
                raise ValueError(f"{len(grey)} images need one size of a pixel or as many, not {metres.size}.")
            if np.any(metres <= 0) or np.any(np.isinf(metres)):
                raise ValueError("metres_per_pixel must be above 0; NaN where it is not known.")
            widths = metres * np.sqrt([one.size for one in grey])
            found["width_m"] = torch.tensor(np.broadcast_to(widths, len(grey)).copy(), dtype=torch.float32)
        return BatchFeature(found)

    preprocess = __call__


def _grey(image: Any) -> np.ndarray:
    """Levels (H, W) uint8 of an image; three equal bands are one."""
    pixels = np.asarray(image)
    if isinstance(image, Image.Image) and image.mode not in ("L", "RGB"):
        raise ValueError(f"An image must be 8-bit grey levels, not of Pillow's mode {image.mode}.")
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        if not (pixels == pixels[:, :, :1]).all():
            raise ValueError("A SAR image has one band, and this one is coloured: give one band of it.")
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"An image must be uint8 of shape (H, W), not {pixels.dtype} of shape {pixels.shape}.")
    return pixels


class KnowLIPProcessor(ProcessorMixin):
    """Image processor and tokenizer in one."""

    def __init__(self, image_processor: KnowLIPImageProcessor, tokenizer: KnowLIPTokenizer) -> None:
        super().__init__(image_processor, tokenizer)

    @classmethod
    def of(cls, model: Towers) -> "KnowLIPProcessor":
        """That of one of our models."""
        vision = model.config.vision
        image = KnowLIPImageProcessor(vision.image_size, vision.mean, vision.std)
        return cls(image, KnowLIPTokenizer.of(model.tokenizer, model.config.text.max_length))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **settings: Any
    ) -> "KnowLIPProcessor":
        """Both parts of a folder or USER/REPO.

        Raises:
            ValueError: a file is missing or broken.
        """
        name = pretrained_model_name_or_path
        return cls(
            KnowLIPImageProcessor.from_pretrained(name, **settings), KnowLIPTokenizer.from_pretrained(name, **settings)
        )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> list[str]:
        """Write `processor_config.json` and the files of the tokenizer."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        said = {"processor_class": type(self).__name__, "image_processor": self.image_processor.to_dict()}
        with whole_file(folder / PROCESSOR) as part:
            part.write_text(json.dumps(said, indent=1))
        return [str(folder / PROCESSOR), *self.tokenizer.save_pretrained(folder)]

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        metres_per_pixel: float | Sequence[float] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = True,
    ) -> BatchFeature:
        """Images, texts, or both, as arguments of the model.

        Args:
            images, metres_per_pixel: see :class:`KnowLIPImageProcessor`.
            text: one or several; to :meth:`KnowLIPModel.generate` questions, texts with [MASK], or "" for a caption.
            return_tensors: "pt".
            padding: as tokenizers of transformers take it.

        Raises:
            ValueError: neither images nor texts, or images that cannot be.
        """
        if images is None and text is None:
            raise ValueError("Give images, text, or both.")
        found: dict[str, Any] = {}
        if text is not None:
            several = [text] if isinstance(text, str) else list(text)
            found |= self.tokenizer(several, padding=padding, return_tensors=return_tensors)
        if images is not None:
            found |= self.image_processor(images, metres_per_pixel, return_tensors)
        return BatchFeature(found)
