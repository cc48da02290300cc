"""The whole model: batching and padding change nothing, generation is what step-by-step reading says."""

import numpy as np
import pytest
import torch

from knowlip.models import KnowLIP
from knowlip.models.generate import greedy


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


def test_greedy_is_the_argmax_of_the_uncached_decoder(model: KnowLIP, tokens: torch.Tensor) -> None:
    prompts = ["Count: [MASK]", "", "Location: [MASK] Water: about 40% water."]
    got = greedy(model, tokens, prompts, 6)
    assert got == [greedy(model, tokens[i : i + 1], [prompt], 6)[0] for i, prompt in enumerate(prompts)]
    tokenizer = model.tokenizer
    banned = [tokenizer.pad, tokenizer.mask, tokenizer.cls, tokenizer.enc, tokenizer.dec]
    for i, prompt in enumerate(prompts):
        with torch.inference_mode():
            memory, keep, hole = model.read(tokens[i : i + 1], [prompt])
            ids = [tokenizer.dec]
            for _ in range(6):
                logits = model.text_decoder.cls(
                    model.text_decoder(torch.tensor([ids]), memory, keep, hole_BD=hole)[0][0, -1]
                )
                logits[banned] = float("-inf")
                ids.append(int(logits.argmax()))
                if ids[-1] == tokenizer.sep:
                    break
        assert got[i] == [token for token in ids[1:] if token != tokenizer.sep]


def test_rank_is_the_sum_of_token_log_probabilities(model: KnowLIP, tokens: torch.Tensor) -> None:
    answers = ["three", "upper left and center", "water"]
    got = model.rank(tokens[:2], ["Count: [MASK]", "Water: [MASK] where?"], answers)
    tokenizer = model.tokenizer
    with torch.inference_mode():
        memory, keep, hole = model.read(tokens[1:2], ["Water: [MASK] where?"])
        for i, answer in enumerate(answers):
            ids = [tokenizer.dec, *tokenizer.ids(answer), tokenizer.sep]
            states, _ = model.text_decoder(torch.tensor([ids[:-1]]), memory, keep, hole_BD=hole)
            log_p = model.text_decoder.cls(states)[0].log_softmax(-1)
            want = sum(float(log_p[position, token]) for position, token in enumerate(ids[1:]))
            assert float(got[1, i]) == pytest.approx(want, rel=1e-4)
    with pytest.raises(ValueError, match="at least one answer"):
        model.rank(tokens, ["x"] * 3, [])
