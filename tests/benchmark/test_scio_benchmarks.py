"""The benchmarks of SCIO on tiny data: they find what is there to find, and change nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.scio_scores import SETTINGS, corpus_of, lines
from benchmarks.scio_ssdd import with_errors
from benchmarks.scio_truth import halves, lend_images, measure, passes
from knowlip.benchmark.copies import dataset_with
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import SLOTS
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.scio.passes import ScioConfig
from tests.benchmark.numbered import TRAIN, build


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("data") / "ds", revisions=False)


def model_of(dataset: Dataset) -> KnowLIP:
    torch.manual_seed(0)
    texts = dataset.texts(0)
    tokenizer = TextTokenizer.train((texts["dimension"] + ": " + texts["text"]).to_list() * 2, 400)
    vision = VisionConfig("vit_tiny_patch16_224", 12, {"patch_size": 6, "embed_dim": 16, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=16, layers=1, heads=2, mlp_width=16, max_length=192, dropout=0.0)
    return KnowLIP(ModelConfig(vision, text, embed_dim=8), tokenizer).eval()


def test_against_truth(clean: Dataset, tmp_path: Path) -> None:
    copy = Dataset(dataset_with(clean.path, "annotator", tmp_path / "copy"))
    model, config = model_of(copy), ScioConfig(calibration_tiles=12, negatives=8, max_new_tokens=4)
    corpus = corpus_of(copy, model, tmp_path / "cache", 0, 0)
    found = measure(copy, model, corpus, config, 0)
    assert set(found["natural"]["evidence"]) >= {*SETTINGS, "nll alone"}
    first, second = halves(np.array([f"r{n // 2}" for n in range(20)]), np.random.default_rng(0))
    assert sorted(first + second) == list(range(20))
    assert {n // 2 for n in first}.isdisjoint(n // 2 for n in second)
    assert found["injected"]["n_wrong"] <= TRAIN
    assert 0.05 < found["natural"]["base_rate"] < 0.5  # the count of every fourth tile
    assert any("deltas" in line for line in lines(found["natural"]))
    history = passes(copy, model, corpus, config, 2, 0)
    assert [row["pass"] for row in history] == ["screen", "reconstruct"] * 2
    assert history[0]["overall"]["before"] == history[0]["overall"]["after"]
    assert clean.revisions() == [0]


def test_texts_stand_beside_images_of_other_tiles(clean: Dataset, tmp_path: Path) -> None:
    corpus = corpus_of(clean, model_of(clean), tmp_path / "cache", 0, 0)
    own = np.array(corpus.pixels)
    alone = lend_images(clean, corpus, 0)
    moved = (own != corpus.pixels).any((1, 2))
    assert moved.sum() == len(own) - alone > 0
    known = {image.tobytes(): str(one) for image, one in zip(own, corpus.sets)}
    assert [known[image.tobytes()] for image in corpus.pixels] == [str(one) for one in corpus.sets]


def test_errors_are_injected_once_and_known(clean: Dataset, tmp_path: Path) -> None:
    noisy, injected = with_errors(clean, tmp_path, share=0.5, seed=0)
    assert 0 < len(injected) <= TRAIN / 2
    before, after = (data.texts(0).set_index(["tile_id", "slot"]) for data in (clean, noisy))
    changed = {(one["tile_id"], one["slot"] + 1): one for one in injected}
    assert set(before.index[before["text"] != after["text"]]) == set(changed)
    for place, one in changed.items():
        assert (before.loc[place, "text"], after.loc[place, "text"]) == (one["was"], one["text"])
        dimension = before.loc[place, "dimension"]
        assert parse_claims("marine", dimension, one["text"]) != parse_claims("marine", dimension, one["was"])
    again, same = with_errors(clean, tmp_path, share=0.5, seed=0)
    assert same == injected
    assert again.texts(0).equals(noisy.texts(0))
    assert len(clean.texts(0)) % SLOTS == 0
