"""KnowLIP: a ViT and a text transformer that compare (ITC), match (ITM) and write (infilling)."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from knowlip.base.files import check_replaceable
from knowlip.base.generation import GenerationConfig
from knowlip.models.generate import generate
from knowlip.models.hub import CARD, README, WEIGHTS
from knowlip.models.publish import push_to_hub
from knowlip.models.rank import rank
from knowlip.models.stored import read_model, save_model
from knowlip.models.towers import Towers, resize
from knowlip.models.transformers_files import FILES

__all__ = ["KnowLIP", "resize"]


class KnowLIP(Towers):
    """The model as one uses it: texts in and out as strings, from a folder or a hub and back."""

    @classmethod
    def from_pretrained(cls, name: Path | str, device: str | torch.device = "cpu") -> "KnowLIP":
        """A model for use, as :func:`knowlip.load` gives it.

        Args:
            name: its folder, or "user/repo" (or "user/repo@revision") of the Hugging Face hub. Nothing of it is run.
            device: where its weights go; "auto" is the first GPU where there is one.

        Raises:
            ValueError: no such model, a broken file, another format, or weights that do not fit.
        """
        return read_model(cls, name, device)

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write a model folder with the facts of its card, whole or not at all; an older model there is replaced.

        Raises:
            ValueError: the folder holds something else.
        """
        folder = Path(folder)
        check_replaceable(folder, CARD, (CARD, WEIGHTS, README, *FILES))
        save_model(self, folder, self.card)
        return folder

    def push_to_hub(self, repo: str, private: bool = False, license: str = "") -> str:
        """Publish the model on the Hugging Face hub as it is now; the address of the commit.

        Args:
            repo: "user/repo"; made when it does not exist.
            private: only its owners see it (of use when it is made).
            license: identifier of the hub, e.g. "apache-2.0".

        Raises:
            ValueError: a bad name, no permission, no network.
        """
        with tempfile.TemporaryDirectory() as folder:
            return push_to_hub(self.save_pretrained(Path(folder) / "model"), repo, private, license)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalised embeddings (B, E) of texts."""
        return self.embed_ids(*self.frame(texts, grounded=False))

    @torch.no_grad()
    def embed_images(
        self, images: Sequence[np.ndarray], metres_per_pixel: float | Sequence[float] | None = None
    ) -> Tensor:
        """Normalised embeddings (B, E) of 8-bit images, without gradients: their product with those of texts is the
        cosine similarity.

        Args:
            images: (H, W) uint8 of any size.
            metres_per_pixel: side of a pixel on the ground, of all or of each image; None or NaN where it is not known.

        Raises:
            ValueError: other than 8-bit images, none, or another number of sizes than of images.
        """
        if not len(images):
            raise ValueError("There is no image to embed.")
        metres = np.asarray(math.nan if metres_per_pixel is None else metres_per_pixel, float)
        if metres.ndim and metres.shape != (len(images),):
            raise ValueError(f"{len(images)} images need one size of a pixel or as many, not {metres.size}.")
        pixels = self.prepare(images)
        # The width of the square of equal area: an image that is no square is squeezed into one.
        widths = metres * np.sqrt([image.size for image in images])
        return self.encode_images(pixels, torch.tensor(widths, dtype=torch.float32, device=pixels.device))[1]

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalised embeddings (B, E) of texts, without gradients; the same as :meth:`encode_texts`.

        Raises:
            ValueError: no text, or one string where a list of them is meant.
        """
        if isinstance(texts, str) or not len(texts):
            raise ValueError('Give a list of texts, e.g. ["ships at a quay"].')
        return self.encode_texts(texts)

    @torch.inference_mode()
    def match(self, tokens_BNV: Tensor, texts: Sequence[str]) -> Tensor:
        """Probability (B,) that each image's tokens and the text at the same place belong together."""
        memory = self.image_key_values(tokens_BNV)
        return self.match_ids(*self.frame(texts, grounded=True), memory).softmax(-1)[:, 1]

    def generate(
        self,
        tokens_BNV: Tensor,
        prompts: Sequence[str],
        config: GenerationConfig | int | None = None,
        max_new_tokens: int | None = None,
        holes: Sequence[int] | None = None,
    ) -> list[str]:
        """Fill a [MASK] hole of each prompt, or write a whole caption where the prompt is "".

        Args:
            tokens_BNV: of :meth:`encode_images`, one row a prompt.
            prompts: texts with holes, questions, or "".
            config: how to write; greedy when it is left out. A number is its `max_new_tokens`.
            max_new_tokens: longest text, instead of the config's.
            holes: which [MASK] of each prompt to fill, from 0; the first by default.
        """
        if isinstance(config, int):
            config = GenerationConfig(max_new_tokens=config)
        config = config or GenerationConfig()
        if max_new_tokens is not None:
            config = replace(config, max_new_tokens=max_new_tokens)
        return [self.tokenizer.text(texts[0].ids) for texts in generate(self, tokens_BNV, prompts, config, holes=holes)]

    def rank(
        self,
        tokens_BNV: Tensor,
        questions: Sequence[str],
        answers: Sequence[str],
        score: Literal["sum", "mean"] = "sum",
    ) -> Tensor:
        """Log-probability (B, A) of every answer of a list, as the content of the question's hole: the sum of its
        tokens', or their mean."""
        return rank(self, tokens_BNV, questions, answers, score)
