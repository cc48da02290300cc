"""The whole model: pixels, and batching and padding that change nothing."""

import numpy as np
import pytest
import torch

from knowlip.models import KnowLIP


@pytest.fixture
def tokens(model: KnowLIP) -> torch.Tensor:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20 + 7 * i, 40), dtype=np.uint8) for i in range(3)]
    with torch.inference_mode():
        return model.encode_images(model.prepare(images))[0]


def test_pixels_are_native_single_channel(model: KnowLIP) -> None:
    pixels = model.prepare([np.full((64, 64), 255, np.uint8)])
    assert pixels.shape == (1, 1, 32, 32)
    assert pixels.unique().item() == pytest.approx((1 - 0.45) / 0.25)
    with pytest.raises(ValueError, match="two-dimensional uint8"):
        model.prepare([np.zeros((4, 4, 3), np.uint8)])


def test_padding_and_batching_do_not_change_scores(model: KnowLIP, tokens: torch.Tensor) -> None:
    texts = ["water", "Count: three ships are visible. Location: upper left.", "ships"]
    together = model.match(tokens, texts)
    alone = torch.cat([model.match(tokens[i : i + 1], [text]) for i, text in enumerate(texts)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model.encode_texts(texts), torch.cat([model.encode_texts([text]) for text in texts]), rtol=1e-4, atol=1e-5
    )
