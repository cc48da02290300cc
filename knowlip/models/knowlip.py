"""KnowLIP: a ViT and a text transformer that compare (ITC), match (ITM) and write (infilling)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from knowlip.base.generation import GenerationConfig
from knowlip.models.generate import generate
from knowlip.models.rank import rank
from knowlip.models.towers import Towers, resize

__all__ = ["KnowLIP", "resize"]


class KnowLIP(Towers):
    """The model as one uses it: texts in and out as strings."""

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Normalised embeddings (B, E) of texts."""
        return self.embed_ids(*self.frame(texts, grounded=False))

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
