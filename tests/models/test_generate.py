"""Generation and ranking against uncached references: a list of all texts, a beam search of plain lists, and the
probabilities spelled out."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knowlip.base.generation import GenerationConfig
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models import rank as rank_module
from knowlip.models.decode import forbid_repeats
from knowlip.models.generate import Written, draw, generate
from tests.models import test_weights_blip

PROMPTS = ["Count: [MASK]", "", "Location: [MASK] Water: about 40% water.", "how many?"]


def with_images(model: KnowLIP, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        return model.encode_images(model.prepare([rng.integers(0, 256, (32, 32), dtype=np.uint8)] * count))[0] + (
            0.5 * torch.randn(count, 17, 24, generator=torch.Generator().manual_seed(1))
        )


@pytest.fixture
def tokens(model: KnowLIP) -> torch.Tensor:
    return with_images(model, len(PROMPTS))


class Uncached:
    """Next-token log-probabilities of one prompt, from the whole decoder run anew for every prefix."""

    def __init__(self, model: KnowLIP, tokens: torch.Tensor, prompt: str) -> None:
        self.model = model
        with torch.inference_mode():
            self.memory, self.keep, self.hole = model.read(tokens[None], [prompt])

    def __call__(self, written: list[int]) -> list[float]:
        model = self.model
        with torch.inference_mode():
            ids = torch.tensor([[model.tokenizer.dec, *written]])
            states, _ = model.text_decoder(ids, self.memory, self.keep, hole_BD=self.hole)
            log_p = model.text_decoder.cls(states)[0, -1].log_softmax(-1).tolist()
        t = model.tokenizer
        for token in (t.pad, t.mask, t.cls, t.enc, t.dec):
            log_p[token] = -np.inf
        return log_p

    def total(self, ids: list[int]) -> float:
        return sum(self(ids[:i])[token] for i, token in enumerate(ids))


def ids_of(found: list[list[Written]]) -> list[list[list[int]]]:
    return [[text.ids for text in row] for row in found]


# ---- the most probable next token ------------------------------------------------------------------------------------


def test_greedy_is_the_argmax_of_the_uncached_decoder(model: KnowLIP, tokens: torch.Tensor) -> None:
    config = GenerationConfig(max_new_tokens=6)
    got = generate(model, tokens, PROMPTS, config)
    sep = model.tokenizer.sep
    for i, prompt in enumerate(PROMPTS):
        reference, ids = Uncached(model, tokens[i], prompt), []
        while len(ids) < 6 and ids[-1:] != [sep]:
            ids.append(int(np.argmax(reference(ids))))
        assert got[i][0].ids == [token for token in ids if token != sep]
        assert got[i][0].log_p == pytest.approx(reference.total(ids), rel=1e-4)


def test_all_ways_to_set_the_length(model: KnowLIP, tokens: torch.Tensor) -> None:
    longest = GenerationConfig(max_new_tokens=5)
    want = [model.tokenizer.text(row[0].ids) for row in generate(model, tokens, PROMPTS, longest)]
    assert model.generate(tokens, PROMPTS, 5) == want
    assert model.generate(tokens, PROMPTS, longest) == want
    assert model.generate(tokens, PROMPTS, max_new_tokens=5) == want
    assert model.generate(tokens, PROMPTS, GenerationConfig(), max_new_tokens=5) == want
    whole = generate(model, tokens, PROMPTS, GenerationConfig(max_new_tokens=10_000, min_new_tokens=10_000))
    assert [len(row[0].ids) for row in whole] == [model.config.text.max_length - 1] * 4
    assert model.generate(tokens[:0], []) == []


# ---- beams -----------------------------------------------------------------------------------------------------------


def plain_beams(reference: Uncached, config: GenerationConfig, sep: int) -> list[list[int]]:
    """Beam search with Python lists; goes on to the limit, so it needs no rule to stop by."""
    beams, ended = [([], 0.0)], []
    for length in range(1, config.max_new_tokens + 1):
        reached = []
        for ids, total in beams:
            for token, log_p in enumerate(reference(ids)):
                runs = [tuple(ids[i : i + config.no_repeat_ngram]) for i in range(len(ids))]
                repeats = config.no_repeat_ngram and tuple([*ids, token][-config.no_repeat_ngram :]) in runs
                short = token == sep and length <= config.min_new_tokens
                if log_p > -np.inf and not repeats and not short:
                    reached.append(([*ids, token], total + log_p))
        reached.sort(key=lambda text: -text[1])
        reached = reached[: 2 * config.beams]
        ended += [(ids, total, length) for ids, total in reached[: config.beams] if ids[-1] == sep]
        beams = [text for text in reached if text[0][-1] != sep][: config.beams]
    ended += [(ids, total, config.max_new_tokens) for ids, total in beams]
    ended.sort(key=lambda text: -text[1] / text[2] ** config.length_penalty)
    return [[token for token in ids if token != sep] for ids, _, _ in ended[: config.num]]


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(6, beams=3, num=3),
        GenerationConfig(6, beams=4, num=2, length_penalty=0.0),
        GenerationConfig(6, beams=2, num=2, length_penalty=2.5, min_new_tokens=3),
        GenerationConfig(5, beams=3, num=3, length_penalty=-1.0),
        GenerationConfig(8, beams=3, num=1, no_repeat_ngram=2),
        GenerationConfig(5, beams=3, num=3, no_repeat_ngram=1, min_new_tokens=1),
    ],
)
def test_beams_are_those_of_plain_lists(model: KnowLIP, tokens: torch.Tensor, config: GenerationConfig) -> None:
    got = ids_of(generate(model, tokens, PROMPTS, config))
    for i, prompt in enumerate(PROMPTS):
        assert got[i] == plain_beams(Uncached(model, tokens[i], prompt), config, model.tokenizer.sep)


@pytest.fixture
def small(tmp_path: Path) -> KnowLIP:
    """Four words, so that all texts of up to four tokens can be listed."""
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]))
    tokenizer = TextTokenizer.from_vocabulary(tmp_path / "vocab.txt")
    torch.manual_seed(3)
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=16, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=16), tokenizer).eval()
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0, -0.5])
@pytest.mark.parametrize("shortest", [0, 2])
def test_wide_beams_find_the_best_of_all_texts(small: KnowLIP, penalty: float, shortest: int) -> None:
    tokens, prompts, limit = with_images(small, 3), ["a [MASK] b", "", "c"], 4
    config = GenerationConfig(limit, shortest, beams=256, length_penalty=penalty, num=5)
    got = generate(small, tokens, prompts, config)
    sep, words = small.tokenizer.sep, [small.tokenizer.unk, *small.tokenizer.ids("a b c")]
    for i, prompt in enumerate(prompts):
        reference, scores = Uncached(small, tokens[i], prompt), {}
        next_log_p = {
            prefix: reference(list(prefix))
            for length in range(limit)
            for prefix in itertools.product(words, repeat=length)
        }
        for length in range(limit + 1):
            for text in itertools.product(words, repeat=length):
                ids = text if length == limit else (*text, sep)
                if length >= shortest:
                    total = sum(next_log_p[ids[:k]][token] for k, token in enumerate(ids))
                    scores[text] = (total / len(ids) ** penalty, total)
        best = sorted(scores, key=lambda text: -scores[text][0])[:5]
        assert [tuple(text.ids) for text in got[i]] == best
        assert [text.log_p for text in got[i]] == pytest.approx([scores[text][1] for text in best], rel=1e-4)


def test_an_early_stop_ends_with_as_many_texts_as_beams(small: KnowLIP) -> None:
    tokens = with_images(small, 2)
    config = GenerationConfig(12, beams=3, num=3, length_penalty=3.0)
    late = generate(small, tokens, ["", "a"], config)
    early = generate(small, tokens, ["", "a"], replace(config, early_stop=True))
    for row_late, row_early in zip(late, early):
        scores = [[text.log_p / (len(text.ids) + 1) ** 3.0 for text in row] for row in (row_late, row_early)]
        assert len(row_early) == 3
        assert scores[0][0] >= scores[1][0] - 1e-6
    assert max(len(text.ids) for row in early for text in row) <= max(len(text.ids) for row in late for text in row)


@pytest.mark.parametrize("ending", [-2.0, 0.5])
def test_beams_are_those_of_transformers(tokenizer: TextTokenizer, tmp_path: Path, ending: float) -> None:
    """A BLIP captioner with random weights; texts end late or soon. All n-best texts must be the same."""
    blip = test_weights_blip.oracle(tokenizer, "caption", 24)
    blip.text_decoder.cls.predictions.bias.data[tokenizer.sep] += ending
    model = test_weights_blip.ours(tokenizer, 24, decoder_reads="image")
    test_weights_blip.load(model, blip.state_dict(), tmp_path)
    grey, channels, _, _ = test_weights_blip.inputs(tokenizer)
    first = tokenizer.ids("upper left")
    ids = torch.tensor([[tokenizer.dec, *first, tokenizer.sep]] * 3)
    banned = [tokenizer.pad, tokenizer.mask, tokenizer.cls, tokenizer.enc, tokenizer.dec]
    lengths = set()
    with torch.inference_mode():
        tokens, _ = model.encode_images(model.normalise(grey))
        for penalty, early in itertools.product((0.0, 1.0, 2.0), (True, False)):
            config = GenerationConfig(
                7, beams=3, num=3, start="upper left", length_penalty=penalty, early_stop=early, no_repeat_ngram=2
            )
            got = [text.ids for row in generate(model, tokens, [""] * 3, config) for text in row]
            want = blip.generate(
                channels,
                input_ids=ids,
                max_new_tokens=7,
                num_beams=3,
                num_return_sequences=3,
                do_sample=False,
                length_penalty=penalty,
                early_stopping=early or "never",
                no_repeat_ngram_size=2,
                suppress_tokens=banned,
            )[:, 1 + len(first) :].tolist()
            assert got == [row[: row.index(tokenizer.sep)] if tokenizer.sep in row else row for row in want]
            lengths |= set(map(len, got))
    assert len(lengths) > 1 or ending < 0


# ---- draws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(0, 1.0, 1.0), (3, 1.0, 2.0), (0, 0.7, 1.0), (4, 0.6, 0.5)]
)
def test_draws_follow_the_probabilities_that_are_left(top_k: int, top_p: float, temperature: float) -> None:
    """Evenly spread uniform numbers turn into exactly the probabilities, whatever the order of the vocabulary."""
    logits = np.array([0.1, 2.0, -1.0, 1.5, 0.7, -np.inf, 1.1])
    p = np.exp(logits / temperature)
    p /= p.sum()
    order = np.argsort(-p)
    kept = list(order[: top_k or len(p)])
    total, shares = p[kept].sum(), []
    for token in kept:
        if sum(shares) < top_p:
            shares.append(p[token] / total)
    want = np.zeros(len(p))
    want[kept[: len(shares)]] = np.array(shares) / sum(shares)
    count = 20_000
    uniform = (torch.arange(count) + 0.5) / count
    log_p = torch.from_numpy(logits).float().log_softmax(-1).expand(count, -1).contiguous()
    config = GenerationConfig(top_k=top_k, top_p=top_p, temperature=temperature)
    drawn = torch.bincount(draw(log_p, uniform, config), minlength=len(p)).numpy() / count
    np.testing.assert_allclose(drawn, want, atol=2e-4)


def test_the_largest_uniform_number_draws_a_token_that_is_left() -> None:
    log_p = torch.full((1, 30_000), 0.0).log_softmax(-1)
    config = GenerationConfig(temperature=1.0, top_k=7)
    almost_one = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert int(draw(log_p, almost_one, config)) == 6


def test_chance_comes_from_the_seed_and_the_row(model: KnowLIP, tokens: torch.Tensor) -> None:
    config = GenerationConfig(8, temperature=1.5, num=4, seed=5)
    first = ids_of(generate(model, tokens, PROMPTS, config, row_ids=[3, 1, 7, 2]))
    assert first == ids_of(generate(model, tokens, PROMPTS, config, row_ids=[3, 1, 7, 2]))
    assert first != ids_of(generate(model, tokens, PROMPTS, replace(config, seed=6), row_ids=[3, 1, 7, 2]))
    assert first != ids_of(generate(model, tokens, PROMPTS, config, row_ids=[4, 5, 6, 8]))
    assert all(len(row) == 4 and len({tuple(ids) for ids in row}) > 1 for row in first)
    cold = GenerationConfig(8, temperature=1e-4)
    assert ids_of(generate(model, tokens, PROMPTS, cold)) == ids_of(
        generate(model, tokens, PROMPTS, GenerationConfig(8))
    )


def test_a_draw_s_sum_is_the_model_s_own(model: KnowLIP, tokens: torch.Tensor) -> None:
    found = generate(model, tokens, PROMPTS, GenerationConfig(6, temperature=2.0, top_k=5))
    for i, prompt in enumerate(PROMPTS):
        ids = found[i][0].ids
        ended = ids if len(ids) == 6 else [*ids, model.tokenizer.sep]
        assert found[i][0].log_p == pytest.approx(Uncached(model, tokens[i], prompt).total(ended), rel=1e-4)


# ---- the first words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"beams": 2}, {"temperature": 1.0, "seed": 2}])
def test_texts_go_on_from_given_words(model: KnowLIP, tokens: torch.Tensor, more: dict) -> None:
    config = GenerationConfig(5, start="about 40%", **more)
    found = generate(model, tokens, PROMPTS, config)
    start = model.tokenizer.ids("about 40%")
    for i, prompt in enumerate(PROMPTS):
        reference, ids = Uncached(model, tokens[i], prompt), found[i][0].ids
        ended = ids if len(ids) == 5 else [*ids, model.tokenizer.sep]
        total = reference.total([*start, *ended]) - reference.total(start)
        assert found[i][0].log_p == pytest.approx(total, rel=1e-4)
        if not more:
            assert [int(np.argmax(reference([*start, *ids[:k]]))) for k in range(len(ids))] == ids
    with pytest.raises(ValueError, match="no room"):
        generate(model, tokens, PROMPTS, GenerationConfig(5, start="water " * 60))


def test_a_captioning_model_reads_the_image_alone(model: KnowLIP) -> None:
    """Greedy of a plain causal language model, from whole passes over image keys and values."""
    text = replace(model.config.text, width=24, heads=2, decoder_reads="image", start_at_hole=False)
    torch.manual_seed(5)
    plain = KnowLIP(replace(model.config, text=text), model.tokenizer).eval()
    for parameter in plain.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    tokens = with_images(plain, 2)
    got = generate(plain, tokens, ["", ""], GenerationConfig(5, start="three"))
    ids = torch.tensor([[plain.tokenizer.dec, *plain.tokenizer.ids("three"), *got[1][0].ids]])
    with torch.inference_mode():
        memory, keep = plain.lm_input(tokens)
        states, _ = plain.text_decoder(ids, [(k[1:], v[1:]) for k, v in memory], keep[1:])
        logits = plain.text_decoder.cls(states)[0]
    t = plain.tokenizer
    logits = logits.index_fill(1, torch.tensor([t.pad, t.mask, t.cls, t.enc, t.dec]), -np.inf)
    count = len(got[1][0].ids)
    assert count > 1
    assert logits[-count - 1 : -1].argmax(-1).tolist() == got[1][0].ids


# ---- what holds for all of them --------------------------------------------------------------------------------------

WAYS = [
    GenerationConfig(7),
    GenerationConfig(7, beams=3, num=2),
    GenerationConfig(7, temperature=1.3, top_p=0.9, num=2, seed=1),
    GenerationConfig(7, no_repeat_ngram=2, min_new_tokens=4),
]


@pytest.mark.parametrize("config", WAYS)
def test_neighbours_order_and_padding_change_nothing(
    model: KnowLIP, tokens: torch.Tensor, config: GenerationConfig
) -> None:
    ids = [40, 30, 20, 10]
    together = ids_of(generate(model, tokens, PROMPTS, config, ids))
    for i in range(len(PROMPTS)):
        assert ids_of(generate(model, tokens[i : i + 1], PROMPTS[i : i + 1], config, ids[i : i + 1]))[0] == together[i]
    back = ids_of(generate(model, tokens.flip(0), PROMPTS[::-1], config, ids[::-1]))
    assert back == together[::-1]


@pytest.mark.parametrize("config", WAYS)
def test_half_precision_writes_nearly_the_same(model: KnowLIP, tokens: torch.Tensor, config: GenerationConfig) -> None:
    """Near ties may fall otherwise, and the texts then differ; what is written must be nearly as probable, token by
    token, as the exact model's best, and its sum nearly right."""
    with torch.autocast("cpu", torch.bfloat16):
        rough = generate(model, tokens, PROMPTS, config)
    for i, prompt in enumerate(PROMPTS):
        reference, ids = Uncached(model, tokens[i], prompt), rough[i][0].ids
        total = reference.total(ids if len(ids) == 7 else [*ids, model.tokenizer.sep])
        assert rough[i][0].log_p == pytest.approx(total, abs=0.05 * len(ids) + 0.1)
        if config == WAYS[0]:
            for place, token in enumerate(ids):
                log_p = reference(ids[:place])
                assert log_p[token] > max(log_p) - 0.1


@pytest.mark.parametrize("config", [GenerationConfig(12, 9), GenerationConfig(12, 9, beams=3)])
def test_texts_are_as_long_as_asked(model: KnowLIP, tokens: torch.Tensor, config: GenerationConfig) -> None:
    for row in generate(model, tokens, PROMPTS, config):
        assert 9 <= len(row[0].ids) <= 12


@pytest.mark.parametrize("size", [1, 2, 3])
def test_forbidden_repeats_are_those_of_a_plain_search(size: int) -> None:
    rng = np.random.default_rng(size)
    written = rng.integers(0, 3, (5, 7))
    log_p = torch.zeros(5, 4)
    forbid_repeats(log_p, torch.from_numpy(written), size)
    for row in range(5):
        text = written[row].tolist()
        runs = [text[i : i + size] for i in range(len(text) - size + 1)]
        for token in range(4):
            assert (log_p[row, token] == -np.inf) == ([*text, token][-size:] in runs)


def test_a_row_that_may_write_nothing_else_ends(small: KnowLIP) -> None:
    """Four words, none twice, at least nine: impossible, so the text ends after the fourth."""
    tokens = with_images(small, 1)
    for more in ({}, {"beams": 2}, {"temperature": 1.0}):
        found = generate(small, tokens, ["a"], GenerationConfig(12, 9, no_repeat_ngram=1, **more))
        assert sorted(found[0][0].ids) == sorted([small.tokenizer.unk, *small.tokenizer.ids("a b c")])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"beams": 0}, "beams"),
        ({"num": 2}, "num must not exceed"),
        ({"top_p": 0.0, "temperature": 1.0}, "top_p"),
        ({"top_k": 3}, "temperature above 0"),
        ({"temperature": -1.0}, "negative"),
        ({"temperature": 1.0, "beams": 2}, "not both"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GenerationConfig(**settings)


def test_a_hole_among_several_is_filled_by_its_number(model: KnowLIP, tokens: torch.Tensor) -> None:
    prompt, tokenizer = "Count: [MASK] Water: [MASK] Roads: none.", model.tokenizer
    with torch.inference_mode():
        ids, keep = model.frame([prompt] * 2, grounded=True)
        images = model.image_key_values(tokens[:2])
        places = (ids[0] == tokenizer.mask).nonzero()[:, 0]
        states = model.text_encoder(ids, keep, images)
        _, _, hole = model.read(tokens[:2], [prompt] * 2, holes=[1, 0])
        memory, _, first = model.read(tokens[:2], [prompt] * 2)
        asked = (torch.tensor([1, 0, 1]), places[[0, 1, 1]])
        gathered, _, several = model.decoder_input(ids, keep, images, asked)
    assert torch.equal(hole, torch.stack([states[0, places[1]], states[1, places[0]]]))
    assert torch.equal(first, states[:, places[0]])
    assert torch.equal(several, torch.stack([states[1, places[0]], states[0, places[1]], states[1, places[1]]]))
    for (key, value), (all_keys, all_values) in zip(gathered, memory):
        assert torch.equal(key, all_keys[[1, 0, 1]])
        assert torch.equal(value, all_values[[1, 0, 1]])
    config = GenerationConfig(max_new_tokens=5)
    both = [generate(model, tokens[:2], [prompt] * 2, config, holes=holes) for holes in ([0, 0], None, [1, 1])]
    assert both[0] == both[1] != both[2]
    assert model.generate(tokens[:2], [prompt] * 2, 5, holes=[1, 1]) == [tokenizer.text(row[0].ids) for row in both[2]]
    with pytest.raises(ValueError, match=r"fewer \[MASK\]"):
        model.generate(tokens[:2], [prompt] * 2, holes=[0, 2])


def test_a_prompt_that_is_too_long_keeps_the_part_around_its_hole(model: KnowLIP, tokens: torch.Tensor) -> None:
    longest, tokenizer = model.config.text.max_length, model.tokenizer
    prompt = "water " * longest + "Count: [MASK] " + "roads " * longest
    ids = tokenizer.ids(prompt)
    place = ids.index(tokenizer.mask)
    with torch.inference_mode():
        _, keep, hole = model.read(tokens[:1], [prompt], holes=[0])
        assert keep.shape == (1, longest)
        start = place - (longest - 2) // 2
        part = [tokenizer.enc, *ids[start : start + longest - 2], tokenizer.sep]
        images = model.image_key_values(tokens[:1])
        states = model.text_encoder(torch.tensor([part]), torch.ones(1, longest, dtype=torch.bool), images)
    assert hole is not None
    torch.testing.assert_close(hole[0], states[0, part.index(tokenizer.mask)])
    assert model.generate(tokens[:1], [prompt], 3, holes=[0])


def test_as_many_prompts_as_images(model: KnowLIP, tokens: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="4 images but 1 prompts"):
        model.generate(tokens, ["x"])


# ---- given answers ---------------------------------------------------------------------------------------------------

ANSWERS = ["three", "upper left and center", "water", "three ships", "about 40% water"]


def test_rank_is_the_sum_or_mean_of_token_log_probabilities(model: KnowLIP, tokens: torch.Tensor) -> None:
    sums, means = (model.rank(tokens, PROMPTS, ANSWERS, score) for score in ("sum", "mean"))
    for i, prompt in enumerate(PROMPTS):
        reference = Uncached(model, tokens[i], prompt)
        for k, answer in enumerate(ANSWERS):
            ids = [*model.tokenizer.ids(answer), model.tokenizer.sep]
            want = reference.total(ids)
            assert float(sums[i, k]) == pytest.approx(want, rel=1e-4)
            assert float(means[i, k]) == pytest.approx(want / len(ids), rel=1e-4)


@pytest.mark.parametrize("at_once", [1, 11, 40])
def test_chunks_and_order_of_answers_change_nothing(
    model: KnowLIP, tokens: torch.Tensor, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = model.rank(tokens, PROMPTS, ANSWERS)
    monkeypatch.setattr(rank_module, "_TOKENS_AT_ONCE", at_once)
    got = model.rank(tokens.flip(0), PROMPTS[::-1], ANSWERS[::-1])
    torch.testing.assert_close(got.flip(0, 1), want, rtol=1e-4, atol=1e-4)


def test_rank_refuses_what_it_cannot_score(model: KnowLIP, tokens: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        model.rank(tokens, PROMPTS, [])
    with pytest.raises(ValueError, match="sum"):
        model.rank(tokens, PROMPTS, ["a"], "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="longer than"):
        model.rank(tokens, PROMPTS, ["water " * 200])
    with pytest.raises(ValueError, match="1 questions"):
        model.rank(tokens, ["x"], ["a"])
