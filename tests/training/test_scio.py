"""SCIO's figures against formulas by hand, and its decisions on a model whose preferences are known."""

import numpy as np
import pytest
import torch

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.statistics import auroc
from knowlip.training.scio import Differences, Rewrite, Scorer, best_margin, calibrate, differences
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
        SubTextIds(tokenizer.ids(f"{WORDS[i]}:"), tokenizer.ids(" ".join(rng.choice(WORDS, 3)) + ".")) for i in range(8)
    ]
    return TileText(parts, hash=text_hash)


def test_differences_equal_nine_single_passes(scorer: Scorer) -> None:
    texts = [tile_text(scorer.model.tokenizer, seed, text_hash=77 if seed == 1 else seed) for seed in range(5)]
    got = differences(scorer, texts)
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
            logits = model.match_ids(
                framed, torch.ones_like(framed, dtype=torch.bool), model.text_encoder.image_memory(tokens)
            )
            return loss, float(logits[0, 1] - logits[0, 0])

    for row in range(5):
        whole = figures(row, texts[row].ids())
        for slot in range(8):
            without = figures(row, texts[row].ids(without=slot))
            assert got.itc[row, slot] == pytest.approx(without[0] - whole[0], abs=1e-4)
            assert got.itm[row, slot] == pytest.approx(without[1] - whole[1], abs=1e-4)


def test_noise_needs_both_signs(scorer: Scorer) -> None:
    from knowlip.training.scio import Margin

    scales = {("marine", slot): 2.0 for slot in range(8)}
    margin = Margin(scales, scales, 0.5, {})
    found = Differences(
        np.array([[-4.0, -4.0, 4.0, 4.0, -0.5, -8, 0, 0]]), np.array([[4.0, -4.0, 4.0, -4.0, 9, 0.5, 0, 0]])
    )
    flagged = margin.noise_score(["marine"], found) > margin.value
    assert flagged.tolist() == [[True, False, False, False, False, False, False, False]]


def test_margin_is_the_best_threshold_and_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random(400) < 0.2
    score = rng.normal(0, 1, 400) + 1.5 * noise
    pairs = [(a > b) + 0.5 * (a == b) for a in score[noise] for b in score[~noise]]
    assert auroc(score, noise) == pytest.approx(np.mean(pairs))
    value, figures = best_margin(score, noise, beta=0.5)
    assert value >= 0
    flagged = score > value
    assert figures["precision"] == pytest.approx((flagged & noise).sum() / flagged.sum())
    assert figures["recall"] == pytest.approx((flagged & noise).sum() / noise.sum())
    assert figures["precision"] > 1.5 * figures["base_rate"]
    assert auroc(score, np.zeros(400, bool)) is None


def test_calibration_reports_on_its_plant(scorer: Scorer) -> None:
    texts = [tile_text(scorer.model.tokenizer, seed, seed) for seed in range(5)]
    found = differences(scorer, texts)
    margin = calibrate(scorer, texts, ["marine"] * 5, found, 5, np.random.default_rng(0), 0.5)
    assert margin.planted["n"] in (32, 40)
    assert margin.planted["base_rate"] == pytest.approx(1 / 8)
    assert margin.value >= 0


def test_a_rewrite_must_be_better_in_both_scores() -> None:
    accepted = [Rewrite(0, 0, "x", itc, itm).accepted for itc, itm in ((-1, 1), (1, 1), (-1, -1), (0, 1), (-1, 0))]
    assert accepted == [True, False, False, False, False]


def test_scores_without_negatives_are_refused(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="at least two training tiles"):
        Scorer(scorer.model, scorer.pixels, [], [0])
