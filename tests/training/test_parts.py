"""Queue, momentum, schedule, texts and holes."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from knowlip.models import TextTokenizer
from knowlip.training.holes import HoleConfig, cut_hole, with_hole
from knowlip.training.momentum import momentum_copy, update_momentum
from knowlip.training.queue import FeatureQueue
from knowlip.training.schedule import learning_rate, soft_target_share
from knowlip.training.texts import TileText, tokenise
from knowlip.training.tiles import jitter
from knowlip.vocabulary import DIMENSIONS


def test_queue_wraps_at_any_batch_size() -> None:
    queue, expected = FeatureQueue(10, 1), []
    for step, batch in enumerate([4, 4, 4, 3, 7, 12]):
        ids = torch.arange(batch) + 100 * step
        queue.push(ids[:, None].float(), -ids[:, None].float(), ids, ids + 1)
        expected += ids.tolist()
        image, text, image_id, text_hash = queue.entries()
        assert sorted(image_id.tolist()) == sorted(expected[-10:])
        assert torch.equal(image[:, 0], image_id.float())
        assert torch.equal(text, -image)
        assert torch.equal(text_hash, image_id + 1)


def test_momentum_is_the_moving_average_and_keeps_ties() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    twin = momentum_copy(model)
    assert twin["b"].weight is twin["a"].weight
    old = {name: value.clone() for name, value in twin.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    update_momentum(twin, model, 0.75)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(value, old[name] + 0.25)
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_learning_rate_warms_up_and_decays() -> None:
    cosine = [learning_rate(step, 100, 10, 1.0, 0.0, "cosine", 10) for step in range(101)]
    assert cosine[0] == pytest.approx(0.1)
    assert max(cosine) == cosine[9] == cosine[10] == 1.0
    assert cosine[55] == pytest.approx(0.5)
    assert cosine[100] == pytest.approx(0.0)
    paper = [learning_rate(step, 100, 10, 1.0, 0.2, "paper", 10) for step in (10, 20, 90)]
    assert paper == pytest.approx([0.9, 0.81, 0.9**9])
    assert learning_rate(500, 100, 10, 1.0, 0.2, "paper", 10) == 0.2
    assert [soft_target_share(step, 10, 0.4) for step in (0, 5, 10, 99)] == pytest.approx([0, 0.2, 0.4, 0.4])


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(["one two three four five six seven eight count location"] * 3, 120)


def table(tiles: int) -> pd.DataFrame:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    rows = [
        {"tile_id": f"t{tile}", "slot": slot + 1, "dimension": dimension, "decision": "kept",
         "text": f"{words[slot]} {words[(slot + tile) % 8]}"}
        for tile in range(tiles) for slot, dimension in enumerate(DIMENSIONS["marine"])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_text_variants_are_concatenations(tokenizer: TextTokenizer) -> None:
    rows = table(2)
    rows.loc[(rows["tile_id"] == "t1") & (rows["slot"] == 3), "decision"] = "screened"
    tiles = tokenise(rows, tokenizer)
    text = tiles["t1"]
    assert text.hidden == {2}
    assert tiles["t0"].hidden == set()
    assert tiles["t0"].hash != text.hash
    whole = " ".join(f"{d}: {t}." for d, t in zip(rows["dimension"][8:], rows["text"][8:]))
    assert text.ids() == tokenizer.ids(whole)
    assert text.ids(without=0) == tokenizer.ids(whole.split(". ", 1)[1])
    rng = np.random.default_rng(0)
    lengths = {len(text.view(rng, 0.9)) for _ in range(50)}
    assert min(lengths) >= sum(sorted(len(part.ids) for part in text.parts)[:2])
    assert max(lengths) <= len(text.ids())
    with pytest.raises(ValueError, match="instead of 8"):
        tokenise(rows.iloc[:-1], tokenizer)


def test_a_hole_and_its_content_make_the_text_again(tokenizer: TextTokenizer) -> None:
    text = tokenise(table(1), tokenizer)["t0"]
    text.hidden = {1, 4}
    forbidden = [text.parts[slot].content for slot in text.hidden]
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(300):
        hole = cut_hole(text, tokenizer.mask, rng, HoleConfig())
        assert hole.context.count(tokenizer.mask) == 1
        place = hole.context.index(tokenizer.mask)
        filled = hole.context[:place] + hole.content + hole.context[place + 1 :]
        if hole.context == [tokenizer.mask]:
            kinds.add("everything")
            assert filled == [
                token for slot, part in enumerate(text.parts) if slot not in text.hidden for token in part.ids
            ]
        else:
            kinds.add("span" if hole.content[-1:] != text.parts[0].content[-1:] else "subtext")
            assert filled == text.ids()
            assert hole.content not in forbidden
    assert kinds == {"everything", "span", "subtext"}
    assert with_hole(text, 0, tokenizer.mask)[: len(text.parts[0].label) + 1] == [*text.parts[0].label, tokenizer.mask]
    everything_noisy = TileText(text.parts, set(range(8)), 0)
    assert cut_hole(everything_noisy, tokenizer.mask, rng, HoleConfig()).context == [tokenizer.mask]


def test_jitter_moves_grey_levels_but_never_no_data() -> None:
    pixels = torch.full((64, 16, 16), 100, dtype=torch.uint8)
    pixels[:, :2] = 0
    changed = jitter(pixels, np.random.default_rng(0), gain=5.0, speckle=8.0)
    assert (changed[:, :2] == 0).all()
    assert (changed[:, 2:] > 0).all()
    data = changed[:, 2:].double()
    assert data.mean(dim=(1, 2)).std() == pytest.approx(5, rel=0.3)
    assert (data - data.mean(dim=(1, 2), keepdim=True)).std() == pytest.approx(8, rel=0.1)
    assert jitter(pixels, np.random.default_rng(0), 0, 0) is pixels
