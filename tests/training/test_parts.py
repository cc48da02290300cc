"""Queue, momentum, schedule, texts and holes."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from knowlip.language.dimensions import DIMENSIONS
from knowlip.models import TextTokenizer
from knowlip.training.ema import momentum_copy, update_momentum
from knowlip.training.holes import DRAWS, WHOLE, Hole, HoleConfig, cut, plan_holes, with_holes
from knowlip.training.queue import FeatureQueue
from knowlip.training.schedule import learning_rate, soft_target_share
from knowlip.training.texts import TextLengths, TileText, kept_parts, tokenise


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
    ema = momentum_copy(model)
    assert ema["b"].weight is ema["a"].weight
    old = {name: value.clone() for name, value in ema.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    update_momentum(ema, model, 0.75)
    for name, value in ema.state_dict().items():
        torch.testing.assert_close(value, old[name] + 0.25)
    assert not any(parameter.requires_grad for parameter in ema.parameters())


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
        {
            "tile_id": f"t{tile}",
            "slot": slot + 1,
            "dimension": dimension,
            "decision": "kept",
            "evidence": "visual",
            "marks": "",
            "text": f"{words[slot]} {words[(slot + tile) % 8]}",
        }
        for tile in range(tiles)
        for slot, dimension in enumerate(DIMENSIONS["marine"])
    ]
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
    kept = kept_parts(rng.random((500, 8)), 0.9)
    assert set(kept.sum(1).tolist()) == {2, 3, 4}, "two at least stay"
    assert text.ids_of(kept[0]) == [token for part, keep in zip(text.parts, kept[0]) if keep for token in part.ids]
    assert kept_parts(rng.random((5, 8)), 0.0).all()
    assert kept_parts(rng.random((4000, 8)), 0.3).mean() == pytest.approx(0.7, abs=0.02)
    with pytest.raises(ValueError, match="instead of 8"):
        tokenise(rows.iloc[:-1], tokenizer)


def random_hole(text: TileText, mask: int, rng: np.random.Generator, config: HoleConfig) -> Hole:
    lengths = TextLengths.of([text])
    plan = plan_holes(lengths.content_N8, lengths.hidden_N8, rng.random((1, DRAWS)), config)
    return cut(
        text, mask, int(plan.slot_B[0]), int(plan.start_B[0]), int(plan.stop_B[0]), np.flatnonzero(plan.others_B8[0])
    )


def test_holes_are_drawn_in_their_shares() -> None:
    count, rng = 40000, np.random.default_rng(0)
    content = np.tile(np.array([4, 9, 1, 3, 2, 7, 5, 6]), (count, 1))
    hidden = np.tile(np.array([0, 1, 0, 0, 0, 0, 0, 0], bool), (count, 1))
    plan = plan_holes(
        content, hidden, rng.random((count, DRAWS)), HoleConfig(0.35, 0.4, 0.25, span_tokens=3, others=0.6)
    )
    everything, length = plan.slot_B < 0, plan.stop_B - plan.start_B
    assert everything.mean() == pytest.approx(0.25, abs=0.01)
    slots = np.bincount(plan.slot_B[~everything], minlength=8) / (~everything).sum()
    np.testing.assert_allclose(slots, [1 / 7, 0, *[1 / 7] * 6], atol=0.01)
    last = plan.slot_B == 7  # of six tokens: the whole in 0.4 / 0.75, else a span of 1, 2 or 3 that may begin anywhere
    share = np.bincount(length[last], minlength=7) / last.sum()
    np.testing.assert_allclose(share[[1, 2, 3, 6]], [0.35 / 2.25] * 3 + [0.4 / 0.75], atol=0.02)
    starts = np.bincount(plan.start_B[last & (length == 2)], minlength=5)
    np.testing.assert_allclose(starts / starts.sum(), 1 / 5, atol=0.05)
    assert not plan.others_B8[everything].any()
    assert not plan.others_B8[np.flatnonzero(~everything), plan.slot_B[~everything]].any()
    assert plan.others_B8[~everything].sum(1).mean() == pytest.approx(7 * 0.3, abs=0.05)
    assert (plan.stop_B[~everything] <= content[np.flatnonzero(~everything), plan.slot_B[~everything]]).all()


def test_a_hole_and_its_content_make_the_text_again(tokenizer: TextTokenizer) -> None:
    text = tokenise(table(1), tokenizer)["t0"]
    text.hidden = {1, 4}
    forbidden = [text.parts[slot].content for slot in text.hidden]
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(300):
        hole = random_hole(text, tokenizer.mask, rng, HoleConfig(others=0))
        assert hole.context.count(tokenizer.mask) == 1
        place = hole.place
        assert hole.context[place] == tokenizer.mask
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
    ids, places = with_holes(text, tokenizer.mask, {0: WHOLE, 3: (1, 2)})
    assert ids[: places[0] + 1] == [*text.parts[0].label, tokenizer.mask]
    parts = [[tokenizer.mask] if slot == 0 else part.content for slot, part in enumerate(text.parts)]
    parts[3] = [parts[3][0], tokenizer.mask, *parts[3][2:]]
    assert ids == [token for part, content in zip(text.parts, parts) for token in [*part.label, *content]]
    assert [place for place, token in enumerate(ids) if token == tokenizer.mask] == [places[0], places[3]]
    everything_noisy = TileText(text.parts, set(range(8)), 0)
    assert random_hole(everything_noisy, tokenizer.mask, rng, HoleConfig()).context == [tokenizer.mask]
