"""A model that knows everything and one that knows nothing, and images that carry their number."""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.language.captions import split_caption
from knowlip.language.questions import Question
from knowlip.models.encoders import EncoderCard, PixelSpec


class NumberedImages:
    """Image of tile "t7" is 2 x 2 pixels that spell 7 in base 256."""

    def images(self, tile_ids: Sequence[str]) -> Iterator[np.ndarray]:
        for tile_id in tile_ids:
            number = int(tile_id[1:])
            yield np.array([[number // 256, number % 256], [0, 0]], dtype=np.uint8)


class Oracle:
    """Knows the text of each numbered image and every answer; `noise` > 0 drowns what it knows."""

    licence, width, prefix = "none", 1, 0
    temperature = 0.07
    module = nn.Identity()

    def __init__(
        self, texts: Sequence[str], questions: Sequence[Question] = (), noise: float = 0.0, side: int = 2
    ) -> None:
        self.texts = list(texts)
        self.answers = {(q.tile_id, q.question): q.answer for q in questions}
        self.noise = noise
        self.random = torch.Generator().manual_seed(0)
        self.name, self.pixels = "oracle", PixelSpec(1, (0.0,), (1.0,), side)
        self.card = EncoderCard(("other",), "other", ("elsewhere",))

    def _feature(self, text: str) -> Tensor:
        own = torch.randn(64, generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))
        mixed = own * (1 - self.noise) + self.noise * torch.randn(64, generator=self.random)
        return mixed / mixed.norm()

    def tokens(self, images: Tensor) -> Tensor:
        return (images[:, 0, 0].float() * 256 + images[:, 0, 1].float()).reshape(-1, 1, 1)

    def summary(self, images: Tensor) -> Tensor:
        return self.tokens(images)[:, 0]

    def embed(self, images: Tensor) -> Tensor:
        return torch.stack([self._feature(self.texts[int(n)]) for n in self.summary(images)])

    def text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([self._feature(text) for text in texts])

    def match(self, tokens: Tensor, texts: Sequence[str]) -> Tensor:
        known = [float(self.texts[int(n)] == text) for n, text in zip(tokens.reshape(-1).tolist(), texts)]
        return torch.tensor(known) * (1 - self.noise) + self.noise * torch.rand(len(texts), generator=self.random)

    def generate(
        self, tokens: Tensor, prompts: Sequence[str], max_new_tokens: int, holes: Sequence[int] | None = None
    ) -> list[str]:
        numbers = [int(n) for n in tokens.reshape(-1).tolist()]
        if holes is not None:  # "Count: [MASK] Location: [MASK] ...": the words of that label
            labels = [prompt.replace(":", "").split(" [MASK]")[hole].strip() for prompt, hole in zip(prompts, holes)]
            return [split_caption(self.texts[n], "marine")[1][label] for n, label in zip(numbers, labels)]
        return [self.answers.get((f"t{n}", prompt), self.texts[n]) for n, prompt in zip(numbers, prompts)]

    def rank(self, tokens: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
        known = [self.answers.get((f"t{int(n)}", q)) for n, q in zip(tokens.reshape(-1).tolist(), questions)]
        right = torch.tensor([[float(answer == a) for answer in answers] for a in known])
        return right * (1 - self.noise) + self.noise * torch.rand(right.shape, generator=self.random)
