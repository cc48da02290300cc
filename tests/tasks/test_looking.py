"""Looking: gains of a known dependence on the image, of a model that ignores it, and against ranking one hole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Box, mention
from knowlip.language.dimensions import DIMENSIONS
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.encoders import EncoderCard
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.scio.filled import FilledHole
from knowlip.tasks.bench import Bench, MeasureLimits, balanced
from knowlip.tasks.looking import (
    HIDDEN,
    SHOWN,
    Looked,
    LookingSample,
    covered_patches,
    image_gains,
    looking_figures,
    looking_sample,
    measure,
    watched_sample,
)
from tests.benchmark.fakes import Oracle
from tests.benchmark.numbered import COUNT, TRAIN, VAL, build, text_of

SIDE = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = build(tmp_path_factory.mktemp("numbered") / "ds", revisions=False)
    boxes = [Box("ship", 0.1, 0.1, 0.2, 0.1)]
    data.write_mentions([mention(f"t{n}", "rules", {"ship": 1}, boxes) for n in range(VAL, COUNT, 2)])
    return Dataset(data.path)


@pytest.fixture
def model() -> KnowLIP:
    torch.manual_seed(0)
    lines = [f"{name}: {text_of(n, name)}" for n in range(COUNT) for name in DIMENSIONS["marine"]]
    tokenizer = TextTokenizer.train(lines, 300)
    vision = VisionConfig("vit_tiny_patch16_224", SIDE, {"patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=24, layers=2, heads=2, mlp_width=32, max_length=160, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=16), tokenizer).eval()
    for parameter in model.parameters():  # BERT's 0.02 makes every difference tiny: spread the weights
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def blind(model: KnowLIP) -> KnowLIP:
    """The model without what cross-attention brings from the image."""
    layers: Any = model.text_encoder.encoder.layer
    with torch.no_grad():
        for layer in layers:
            layer.crossattention.self.value.weight.zero_()
    return model


def sample_of(data: Dataset, model: KnowLIP, count: int = 12) -> LookingSample:
    return looking_sample(data, model, data.tiles("test"), count)


@pytest.mark.parametrize("mode", [HIDDEN, SHOWN])
def test_a_known_dependence_on_the_image_is_found(data: Dataset, model: KnowLIP, mode: int) -> None:
    """The words of slot s are likelier by s with an image of an even number: what is gained is known."""
    sample = sample_of(data, model)
    even = np.array([int(tile_id[1:]) % 2 == 0 for tile_id in sample.tile_ids])

    def log_p(rows: np.ndarray, asked: Sequence[FilledHole]) -> np.ndarray:
        return np.array([-5.0 + hole.slot * even[rows[hole.owner]] for hole in asked])

    gains = image_gains(sample, model.tokenizer.mask, log_p, mode)
    expected = even.astype(float) - even[sample.others.position_T]
    np.testing.assert_allclose(gains, expected[:, None] * np.arange(8))
    assert (gains != 0).any()


def test_a_model_that_does_not_look_gains_exactly_nothing(data: Dataset, model: KnowLIP) -> None:
    sample = sample_of(data, model)
    assert (Looked(model, sample).gains(HIDDEN) != 0).all()
    looked = Looked(blind(model), sample)
    for mode in (HIDDEN, SHOWN):
        gains = looked.gains(mode)
        assert gains.shape == (12, 8)
        assert (gains == 0).all()


@pytest.mark.parametrize("reads", ["text", "both"])
def test_the_gain_is_that_of_ranking_the_words_of_one_hole(
    data: Dataset, model: KnowLIP, reads: Literal["text", "both"]
) -> None:
    """An independent way: a prompt in words, ranked by the model with either image."""
    model.config.text.decoder_reads = reads
    sample = sample_of(data, model, 6)
    looked = Looked(model, sample)
    gains = looked.gains(SHOWN)
    for row, tile_id in enumerate(sample.tile_ids):
        for slot, asked in enumerate(DIMENSIONS["marine"]):
            said = {name: f"{text_of(int(tile_id[1:]), name)}." for name in DIMENSIONS["marine"]}
            prompt = " ".join(f"{name}: {'[MASK]' if name == asked else text}" for name, text in said.items())
            both = looked.tokens_TNV[[row, int(sample.others.position_T[row])]]
            right, other = model.rank(both, [prompt] * 2, [said[asked]], "mean")[:, 0].tolist()
            assert gains[row, slot] == pytest.approx(right - other, abs=1e-5)


def test_patches_that_a_box_touches() -> None:
    found = covered_patches([Box("ship", 0.25, 0.0, 0.25, 0.3), Box("ship", 0.9, 0.9, 0.1, 0.1)], (4, 4))
    assert np.flatnonzero(found).tolist() == [1, 5, 15]


def test_attention_on_targets_is_one_where_it_is_uniform(data: Dataset, model: KnowLIP) -> None:
    sample = sample_of(data, model)
    pointed = np.array([int(tile_id[1:]) % 2 == 0 for tile_id in sample.tile_ids])
    looked = Looked(model, sample)
    on_target, on_patches, on_readout = looked.attention()
    assert on_target.shape == (12, 8, 2, 2)
    assert (np.isfinite(on_target).all((1, 2, 3)) == pointed).all()
    assert not np.allclose(on_target[pointed], 1, atol=1e-3)
    layers: Any = model.text_encoder.encoder.layer
    with torch.no_grad():
        for layer in layers:
            layer.crossattention.self.query.weight.zero_()
            layer.crossattention.self.query.bias.zero_()
    on_target, on_patches, on_readout = looked.attention()
    np.testing.assert_allclose(on_target[pointed], 1, rtol=1e-5)
    np.testing.assert_allclose(on_patches[pointed], 16 / 17, rtol=1e-5)
    assert (on_readout[pointed] == 0).all()


def test_attention_on_the_readout_is_told_apart(data: Dataset, model: KnowLIP) -> None:
    model.config.readout = True
    torch.manual_seed(0)
    figures = looking_figures(KnowLIP(model.config, model.tokenizer), sample_of(data, model))
    assert 0 < figures["attention.readout"] < 1 - figures["attention.patches"]


def test_figures_of_a_log(data: Dataset, model: KnowLIP) -> None:
    model.train()
    figures = looking_figures(model, sample_of(data, model))
    assert model.training
    assert {f"gain.marine.{name}" for name in DIMENSIONS["marine"]} < figures.keys()
    of_dimensions = [figures[f"gain.marine.{name}"] for name in DIMENSIONS["marine"]]
    assert figures["gain.marine"] == pytest.approx(np.mean(of_dimensions))
    assert figures["attention.target"] <= figures["attention.target_head"]
    assert 0 < figures["attention.patches"] < 1


def test_a_log_looks_at_val_tiles_or_says_that_it_does_not(
    data: Dataset, model: KnowLIP, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = watched_sample(data, model, 64)
    assert {int(tile_id[1:]) for tile_id in sample.tile_ids} == set(range(TRAIN, VAL))
    said = capsys.readouterr().err
    assert "No val tile is of the set ground" in said
    texts = data.texts(0)
    fresh = build(tmp_path / "ds", revisions=False)
    (fresh.path / "texts.parquet").unlink()
    fresh = Dataset(fresh.path)
    fresh.write_texts(texts[~texts["tile_id"].isin(set(data.tiles("val")["tile_id"]))])
    sample = watched_sample(Dataset(fresh.path), model, 10)
    assert len(sample) == 10
    assert all(int(tile_id[1:]) < TRAIN for tile_id in sample.tile_ids)
    assert "that of training tiles" in capsys.readouterr().err


def encoder_of(model: KnowLIP) -> KnowLIPEncoder:
    encoder = KnowLIPEncoder("ours", model)
    encoder.card = EncoderCard(("other",), "other", ("elsewhere",))
    return encoder


def test_rows_stand_beside_the_other_image(data: Dataset, model: KnowLIP) -> None:
    bench = Bench(data.path, limits=MeasureLimits(looking_tiles=20))
    found = measure(bench, encoder_of(model))
    rows = {row.metric: row for row in found.rows}
    assert len(rows) == 1 * 2 + 1 + 8 * 2
    row = rows["image gain, marine Count, others shown"]
    assert (row.floor, row.floor_name, row.n) == (0.0, "another image", 20)
    assert row.ci is not None
    assert row.ci[0] <= (row.value or 0) <= row.ci[1]
    detail: Any = found.details["image_gain"]["marine Count"]  # type: ignore[index, call-overload]
    sample = looking_sample(data, model, bench.tiles, 20, bench.seed)
    gains = Looked(model, sample).gains(HIDDEN)[:, 0]
    wrong = np.array([int(tile_id[1:]) % 4 == 0 for tile_id in sample.tile_ids])
    assert detail["of_wrong"] == pytest.approx(gains[wrong].mean())
    assert detail["of_true"] == pytest.approx(gains[~wrong].mean())
    assert rows["attention on targets / uniform"].floor == 1.0
    by_dimension: Any = found.details["image_gain"]
    assert all(None not in one.values() or one["reason"] for one in by_dimension.values())
    found = measure(bench, encoder_of(blind(model)))
    of_images = [row for row in found.rows if row.metric.startswith("image gain")]
    assert all((row.value, row.standing) == (0.0, "level") for row in of_images)


def test_what_cannot_be_looked_through_says_so(data: Dataset, model: KnowLIP) -> None:
    (row,) = measure(Bench(data.path), Oracle([])).rows
    assert "writes no words" in row.note
    (row,) = measure(Bench(data.path, limits=MeasureLimits(looking_tiles=0)), encoder_of(model)).rows
    assert "turned off" in row.note


def test_balanced_draws_take_equal_shares() -> None:
    groups = ["a"] * 50 + ["b"] * 3 + ["c"] * 20
    chosen = np.array(groups)[balanced(groups, 23)]
    assert [int((chosen == name).sum()) for name in "abc"] == [10, 3, 10]
    assert len(balanced(groups, 100)) == 73
