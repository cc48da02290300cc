"""SCIO's evidence against figures of single passes by hand, its thresholds against counting, its stages."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from knowlip.base.statistics import auroc
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import Evidence
from knowlip.scio.passes import Stage, stages
from knowlip.scio.reconstruction import naturally_right
from knowlip.scio.screening import screen
from knowlip.scio.thresholds import (
    NEVER,
    NoiseModel,
    fit,
    fit_on_truth,
    held_out_probability,
    mixture_proportion,
    noise_score,
    precise_threshold,
    precision_at,
    standardisation,
)
from knowlip.training.texts import SubTextIds, TileText

WORDS = ["water", "wood", "field", "town", "ship", "road", "quay", "grass"]


@pytest.fixture
def scorer() -> Scorer:
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train([" ".join(WORDS)] * 3, 80)
    vision = VisionConfig("vit_tiny_patch16_224", 16, {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=32, max_length=64, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8), tokenizer).eval()
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    pixels = np.random.default_rng(0).integers(1, 256, (9, 16, 16), dtype=np.uint8)
    texts = [tile_text(tokenizer, seed, text_hash=77 if seed in (1, 7) else seed) for seed in range(9)]
    return Scorer(model, pixels, texts, negatives=[0, 3, 5, 6, 7, 8], tiles_at_once=2)


def tile_text(tokenizer: TextTokenizer, seed: int, text_hash: int) -> TileText:
    rng = np.random.default_rng(seed)
    parts = [
        SubTextIds(tokenizer.ids(f"{WORDS[i]}:"), tokenizer.ids(" ".join(rng.choice(WORDS, rng.integers(1, 4))) + "."))
        for i in range(8)
    ]
    return TileText(parts, hash=text_hash)


def test_paper_evidence_equals_nine_single_passes(scorer: Scorer) -> None:
    texts = [tile_text(scorer.model.tokenizer, seed, text_hash=77 if seed == 1 else seed) for seed in range(5)]
    got = evidence(scorer, texts)
    model, tokenizer = scorer.model, scorer.model.tokenizer
    with torch.inference_mode():  # tile 7 has the text of tile 1: it is no negative of it
        others = [(row, 77 if row == 7 else row, tile_text(tokenizer, row, 0).ids()) for row in (0, 3, 5, 6, 7, 8)]
        other_image = torch.cat([scorer.encode([row])[1] for row, _, _ in others])
        framed = [torch.tensor([tokenizer.frame(ids, 64)]) for _, _, ids in others]
        other_text = torch.cat([model.embed_ids(ids, torch.ones_like(ids, dtype=torch.bool)) for ids in framed])
    other_id, other_hash = (torch.tensor([other[i] for other in others]) for i in (0, 1))

    def figures(row: int, ids: list[int]) -> tuple[float, float]:
        with torch.inference_mode():
            tokens, image = scorer.encode([row])
            framed = torch.tensor([tokenizer.frame(ids, 64)])
            text = model.embed_ids(framed, torch.ones_like(framed, dtype=torch.bool))
            negative = (other_id != row) & (other_hash != texts[row].hash)
            tau, own = model.temp, float(image[0] @ text[0])
            loss = 0.0
            for query, features in ((image[0], other_text), (text[0], other_image)):
                logits = torch.cat([torch.tensor([own]), features[negative] @ query]) / tau
                loss += float(logits.logsumexp(0) - logits[0]) / 2
            framed[0, 0] = tokenizer.enc
            logits = model.match_ids(framed, torch.ones_like(framed, dtype=torch.bool), model.image_key_values(tokens))
            return loss, float(logits[0, 1] - logits[0, 0])

    for row in range(5):
        whole = figures(row, texts[row].ids())
        for slot in range(8):
            without = figures(row, texts[row].ids(without=slot))
            assert got.itc[row, slot] == pytest.approx(without[0] - whole[0], abs=1e-4)
            assert got.itm[row, slot] == pytest.approx(without[1] - whole[1], abs=1e-4)


@pytest.mark.parametrize("at_once", [1, 2, 4, 8])
def test_likelihood_is_what_the_decoder_says_token_by_token(scorer: Scorer, at_once: int) -> None:
    model, tokenizer = scorer.model, scorer.model.tokenizer
    scorer.holes_at_once = at_once
    texts = [tile_text(tokenizer, seed, seed) for seed in range(4)]
    got = evidence(scorer, texts[2:], rows=[2, 3], slots=[{1, 6}, {0}], kinds=("nll",))
    assert np.isnan(got.itc).all()
    assert np.isnan(got.nll).sum() == 16 - 3
    for at, slot in ((0, 1), (0, 6), (1, 0)):
        parts = texts[at + 2].parts
        together = [j for j in range(8) if (j - slot) % (8 // at_once) == 0]
        shown = [[*part.label, tokenizer.mask] if j in together else part.ids for j, part in enumerate(parts)]
        ids = [token for part in shown for token in part]
        place = torch.tensor([sum(len(part) for part in shown[: slot + 1])])
        assert ids[place - 1] == tokenizer.mask, "one place further in the framed text"
        framed = torch.tensor([[tokenizer.enc, *ids, tokenizer.sep]])
        keep = torch.ones_like(framed, dtype=torch.bool)
        losses, gaps = [], []
        with torch.inference_mode():
            images = model.image_key_values(scorer.encode([at + 2])[0])
            memory, _, hole = model.decoder_input(framed, keep, images, (torch.tensor([0]), place))
            words = [tokenizer.dec, *parts[slot].content, tokenizer.sep]
            for place in range(1, len(words)):
                states, _ = model.text_decoder(torch.tensor([words[:place]]), memory, keep, hole_BD=hole)
                log_p = model.text_decoder.cls(states[0, -1]).log_softmax(-1)
                losses.append(-float(log_p[words[place]]))
                gaps.append(float(log_p.max()) + losses[-1])
        assert got.nll[at, slot] == pytest.approx(np.mean(losses), abs=1e-4)
        assert got.gap[at, slot] == pytest.approx(np.mean(gaps), abs=1e-4)
        assert got.max_nll[at, slot] == pytest.approx(max(losses), abs=1e-4)


@pytest.mark.parametrize("at_once", [1, 4])
def test_texts_that_are_too_long_are_cut_around_each_hole(scorer: Scorer, at_once: int) -> None:
    tokenizer, longest = scorer.model.tokenizer, scorer.model.config.text.max_length
    words = tokenizer.ids(" ".join(WORDS))
    text = TileText([SubTextIds(tokenizer.ids(f"{word}:"), (words * 9)[: longest - 30]) for word in WORDS])
    scorer.holes_at_once = at_once
    got = evidence(scorer, [text], kinds=("nll",))
    assert np.isfinite(got.nll).all()
    assert len(set(got.nll[0].tolist())) == 8


def test_evidence_of_some_sub_texts_is_that_of_all(scorer: Scorer) -> None:
    texts = [tile_text(scorer.model.tokenizer, seed, seed) for seed in range(5)]
    whole = evidence(scorer, texts)
    some = evidence(scorer, [texts[4], texts[1]], rows=[4, 1], slots=[{3}, {0, 7}])
    for kind in ("itc", "itm", "nll", "gap", "max_nll"):
        one, all_ = getattr(some, kind), getattr(whole, kind)
        assert [one[0, 3], one[1, 0], one[1, 7]] == pytest.approx([all_[4, 3], all_[1, 0], all_[1, 7]], abs=1e-4)


def test_paper_noise_needs_both_signs() -> None:
    centre, scale = {"": [[0.0, 0.0]] * 8}, {"": [[2.0, 2.0]] * 8}
    found = Evidence.empty(1)
    found.itc[0] = [-4.0, -4.0, 4.0, 4.0, -0.5, -8, 0, 0]
    found.itm[0] = [4.0, -4.0, 4.0, -4.0, 9, 0.5, 0, 0]
    model = NoiseModel("deltas", centre, scale, threshold=0.5)
    flagged = noise_score(model, found, ["marine"]) > model.threshold
    assert flagged.tolist() == [[True, False, False, False, False, False, False, False]]


def test_threshold_is_the_lowest_that_is_precise_enough() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random(400) < 0.2
    score = np.round(rng.normal(0, 1, 400) + 1.5 * noise, 2)
    limit, reached = precise_threshold(score, noise, 0.6)
    assert reached
    assert noise[score > limit].mean() >= 0.6
    for lower in np.unique(score[score < limit]):
        assert noise[score > lower - 1e-9].mean() < 0.6
    limit, reached = precise_threshold(score, noise, 1.0)
    assert not reached or noise[score > limit].all()
    assert precise_threshold(score, np.zeros(400, bool), 0.5) == (NEVER, False)


def test_natural_noise_is_counted_as_often_right_as_injected_noise() -> None:
    """Scores of injected noise and of a known share of the rest come from one distribution, others from a lower one."""
    rng = np.random.default_rng(0)
    injected, natural = np.arange(8000) % 8 == 0, (np.arange(8000) % 8 != 0) & (rng.random(8000) < 0.15)
    score = rng.normal(0, 1, 8000) + 3.0 * (injected | natural)
    share = mixture_proportion(score[~injected], score[injected])
    assert 0.12 < share < 0.2
    assert mixture_proportion(rng.normal(0, 1, 7000), score[injected]) < 0.02
    assert mixture_proportion(score[:3], score[:3]) == 0.0
    right = injected & (rng.random(8000) < 0.9)
    strict, _ = precise_threshold(score, right, 0.8, injected)
    limit, reached = precise_threshold(score, right, 0.8, injected, 7 * share)
    assert reached
    assert limit < strict
    really = (right | (natural & (rng.random(8000) < 0.9)))[score > limit].mean()
    counted = precision_at(right, injected, score > limit, 7 * share)
    assert counted == pytest.approx(0.8, abs=0.01)
    assert really == pytest.approx(counted, abs=0.06)
    assert precision_at(right, injected, score > 99, 1.0) is None


def neutral(rng: np.random.Generator, count: int) -> Evidence:
    """Evidence without meaning; logarithms of what the decoder says are normal."""
    return Evidence(
        *(rng.normal(3, 2, (count, 8)) for _ in range(2)), *(np.expm1(rng.normal(3, 0.5, (count, 8))) for _ in range(3))
    )


def test_rewrites_of_natural_noise_are_told_from_the_gates_own_scores() -> None:
    rng = np.random.default_rng(0)
    # 400 injected, half of whose rewrites are right; 4,000 others, of whose rewrites 600 are right and look like these.
    injected = np.arange(4400) < 400
    right = np.arange(4400) < 200
    score = rng.normal(0, 1, 4400)
    score[right] += 3
    score[4400 - 600 :] += 3
    assert 2.0 < naturally_right(score, right, injected) < 3.2  # 600 for 200
    assert naturally_right(rng.normal(0, 1, 4400) + 3 * right, right, injected) < 0.3
    assert naturally_right(score[:400], right[:400], injected[:400]) == 0.0


def test_a_gate_that_tells_nothing_counts_no_natural_noise() -> None:
    # Scores by chance, and such that hardly tell: all others look as the right ones do.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        right, injected = np.arange(500) < 60, np.arange(500) < 100
        assert naturally_right(rng.normal(0, 1, 500), right, injected) == 0.0
        assert naturally_right(rng.normal(0, 1, 500) + 0.3 * right, right, injected) == 0.0
        assert naturally_right(rng.normal(0, 1, 500) + 1.0 * right, right, injected) < 1.0


def test_the_fit_finds_what_tells_noise_and_says_how_well() -> None:
    rng = np.random.default_rng(0)
    clean, injected = neutral(rng, 200), neutral(rng, 150)
    places = [(int(row), int(rng.integers(8))) for row in rng.permutation(200)[:150]]
    injected.nll = np.expm1(rng.normal(4, 0.5, (150, 8)))
    model = fit(clean, ["marine"] * 200, injected, places, ["swap"] * 150, "all", precision=0.6)
    assert int(np.argmax(np.abs(model.weights))) == 2
    assert model.weights[2] > 0
    assert model.figures["reached"]
    assert model.figures["precision"] >= 0.6
    assert model.figures["auroc"] == pytest.approx(0.92, abs=0.05)  # two normal laws two deviations apart
    assert model.figures["base_rate"] == 1 / 8
    assert model.figures["n"] == 1200
    assert NoiseModel(**model.plain()) == model
    fresh = neutral(rng, 200)
    fresh.nll[:, 0] = np.expm1(np.log1p(fresh.nll[:, 0]) + 1)
    score = noise_score(model, fresh, ["marine"] * 200)
    assert (auroc(score.ravel(), np.eye(8, dtype=bool)[[0] * 200].ravel()) or 0) > 0.85
    assert ((score >= 0) & (score <= 1)).all()


@pytest.mark.parametrize(
    ("blocks", "groups"),
    [
        ([row % 6 for row in range(60)], 6),
        ([], 60),
        ([row // 30 for row in range(60)], 60),
        ([min(row // 8, 5) if row < 20 else 9 for row in range(60)], 60),
    ],
    ids=["places", "none known", "too few", "one with more than half"],
)
def test_places_are_held_out_whole(blocks: list[int], groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a place's own must not tell about itself."""
    rng = np.random.default_rng(0)
    clean, injected, where = neutral(rng, 60), neutral(rng, 60), [f"place {one}" for one in blocks]
    seen: list[list[np.ndarray]] = []

    def kept(_: Any, design: Any, label: np.ndarray, *, cv: list[tuple[np.ndarray, np.ndarray]], **more: Any) -> Any:
        seen.append([held for _, held in cv])
        return np.zeros((len(label), 2))

    monkeypatch.setattr("knowlip.scio.thresholds.cross_val_predict", kept)
    true = np.array([[slot != row % 8 for slot in range(8)] for row in range(60)], object)
    fit(clean, ["marine"] * 60, injected, [(row, row % 8) for row in range(60)], ["swap"] * 60, "all", 0.6, None, where)
    fit_on_truth(clean, ["marine"] * 60, true, "all", 0.6, None, where)
    assert len(seen) == 2
    for folds in seen:
        group = np.repeat(blocks if groups == 6 else np.arange(60), 8)
        assert sum(len(held) for held in folds) == 480
        assert sum(len(np.unique(group[held])) for held in folds) == groups, "each is held out in one part alone"


def test_places_that_would_leave_one_class_are_not_held_out() -> None:
    """All errors in one of six places: tiles are, and with four tiles nothing is."""
    rng = np.random.default_rng(0)
    design, tiles = rng.normal(size=(60, 2)), np.arange(60)
    blocks = [f"place {row % 6}" for row in range(60)]
    found = held_out_probability(design, tiles % 6 == 0, blocks, tiles)
    assert found is not None
    np.testing.assert_array_equal(found, held_out_probability(design, tiles % 6 == 0, [], tiles))
    assert held_out_probability(design, tiles % 6 == 0, [], tiles % 4) is None


def test_the_fit_on_truth_learns_from_known_errors_alone() -> None:
    rng = np.random.default_rng(0)
    found, true = neutral(rng, 300), np.full((300, 8), True, dtype=object)
    true[rng.random((300, 8)) < 0.1] = False
    true[rng.random((300, 8)) < 0.3] = None
    wrong = np.equal(true, False)
    found.nll[wrong] = np.expm1(np.log1p(found.nll[wrong]) + 1.5)
    model = fit_on_truth(found, ["marine"] * 300, true, "nll", precision=0.5)
    figures = model.figures
    assert figures["n"] == (~np.equal(true, None)).sum()
    assert figures["base_rate"] == figures["natural_noise_rate"] == wrong.sum() / figures["n"]
    assert figures["auroc"] > 0.95
    assert figures["reached"]
    assert figures["precision"] == pytest.approx(0.5, abs=0.1)
    # Without known errors nothing can be learned.
    with pytest.raises(ValueError, match="too few"):
        fit_on_truth(found, ["marine"] * 300, np.where(wrong, None, true), "nll", 0.5)


def test_stages_alternate() -> None:
    assert stages((5, 2, 3), 2) == [
        Stage(1, "train", 5),
        Stage(2, "screen", 7),
        Stage(3, "reconstruct", 10),
        Stage(4, "screen", 12),
        Stage(5, "reconstruct", 15),
    ]
    assert stages((5, 2, 3), 0) == [Stage(1, "train", 5)]


def test_scores_without_negatives_are_refused(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="at least two training tiles"):
        Scorer(scorer.model, scorer.pixels, [], [0])


def test_paper_asks_for_matching_only_where_contrast_suspects(scorer: Scorer) -> None:
    texts = [tile_text(scorer.model.tokenizer, seed, seed) for seed in range(9)]
    corpus = SimpleNamespace(texts=texts, sets=["marine"] * 9)
    whole = evidence(scorer, texts)
    noise = standardisation(whole, corpus.sets, "deltas")
    noise.threshold = 0.2
    found = screen(scorer, corpus, noise)  # type: ignore[arg-type]
    both = noise_score(noise, whole, corpus.sets)
    assert (found.noisy == (both > 0.2)).all()
    assert 0 < found.noisy.sum() < np.isfinite(found.evidence.itm).sum() < 72
    assert found.score[found.noisy] == pytest.approx(both[found.noisy], abs=1e-3)
    some = screen(scorer, corpus, noise, rows=[7, 2])  # type: ignore[arg-type]
    assert (some.noisy == found.noisy[[7, 2]]).all()
    said = standardisation(whole, corpus.sets, "nll")
    said.weights, said.threshold = [1.0], 0.9
    found = screen(scorer, corpus, said)  # type: ignore[arg-type]
    assert (found.noisy == (whole.nll > 8)).all()  # 1 / (1 + exp(-log(1 + x))) > 0.9
    assert (np.isfinite(found.evidence.itm) == found.noisy).all()
