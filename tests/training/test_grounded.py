"""What rests on the place is kept out of matching and infilling, and stays in contrast (`model.text.grounded_on`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from knowlip.dataset import Dataset, verify
from knowlip.language.directions import Turn
from knowlip.language.marks import resting_on, sentences_of
from knowlip.models import KnowLIP, ModelConfig, TextConfig, VisionConfig, load_model
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import evidence
from knowlip.scio.screening import scorer_of
from knowlip.tasks.pretrain import pretrain
from knowlip.training.augment import AugmentConfig
from knowlip.training.batch import Batch
from knowlip.training.batches import Batches
from knowlip.training.corpus import Corpus, turned_sentences
from knowlip.training.texts import SubTextIds
from tests.training.marked import ONLY_PLACE, PLACE, annotated, marked
from tests.training.runs import losses, tiny
from tests.training.test_batches import Settings, dealt, rows_of
from tests.training.test_step import make_batch, make_step

__all__ = ["annotated", "marked"]


def settings_of(dataset: Path, out: Path, **reads: str) -> Settings:
    text: Any = {"max_length": 400, **reads}
    return Settings(dataset, out, model=ModelConfig(VisionConfig(image_size=32), TextConfig(**text)))


def corpus_of(settings: Settings) -> Corpus:
    return Corpus.open(Dataset(settings.dataset), settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def settings(marked: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_of(marked, tmp_path_factory.mktemp("run"), grounded_on="visual")


@pytest.fixture(scope="module")
def corpus(settings: Settings) -> Corpus:
    return corpus_of(settings)


def grounded_rows(batch: Batch) -> list[dict[str, Any]]:
    """Each row of a batch, with what matching reads."""
    assert batch.grounded is not None
    assert batch.grounded_hash_B is not None
    ids, keep = batch.grounded
    return [
        {**row, "grounded": ids[at][keep[at]].tolist(), "grounded_hash": int(batch.grounded_hash_B[at])}
        for at, row in enumerate(rows_of(batch))
    ]


def test_the_place_reaches_contrast_alone(corpus: Corpus, settings: Settings) -> None:
    said, plain = corpus.tokenizer.text, PLACE.lower()
    config = replace(settings, view_drop=0.0)
    batches, of_images = Batches(corpus, config), {}
    for step in range(8):
        for row in grounded_rows(batches.at(step)):
            assert said(row["text"]).count(plain) == 8
            for name in ("grounded", "context", "content"):
                assert row[name] is None or plain not in said(row[name])
            text = corpus.texts[row["image"]]
            assert row["grounded"][1:-1] == text.grounded.ids()
            assert not text.grounded.parts[ONLY_PLACE - 1].ids
            of_images[row["grounded_hash"]] = row["grounded"]
    assert len(of_images) == len({tuple(ids) for ids in of_images.values()})


def test_words_that_match_are_those_of_texts_without_the_place(corpus: Corpus, annotated: Path) -> None:
    bare = Dataset(annotated).texts(0).set_index(["tile_id", "slot"])
    ids = corpus.tokenizer.ids
    for tile, (name, text) in enumerate(zip(corpus.tile_ids, corpus.texts)):
        for slot, part in enumerate(text.grounded.parts, 1):
            row = bare.loc[name, slot]
            seen = resting_on(row["text"], row["marks"], row["evidence"], ("visual",)) or row["text"]
            expected = SubTextIds(ids(f"{row['dimension']}:"), ids(seen.rstrip(". ") + "."))
            assert part == (SubTextIds([], []) if slot == ONLY_PLACE else expected)
        prompt = corpus.prompt(tile, {0})
        assert "[MASK]" in prompt
        assert PLACE not in prompt
        assert f"{corpus.dimension(tile, ONLY_PLACE - 1)}:" not in prompt


def test_ranks_together_hold_the_global_batch(corpus: Corpus, settings: Settings) -> None:
    config = replace(settings, augment=AugmentConfig(flips=0.5, rotations=0.5))
    whole = Batches(corpus, config)
    for step in (0, 3):
        one = whole.at(step)
        two = [Batches(corpus, config, rank, 2).at(step) for rank in range(2)]
        assert dealt([grounded_rows(part) for part in two]) == grounded_rows(one)
        assert {part.matched[0].shape[1] for part in two} == {one.matched[0].shape[1]}


def test_all_sentences_are_read_unless_a_training_says_otherwise(marked: Path, tmp_path: Path) -> None:
    settings = settings_of(marked, tmp_path)
    batch = Batches(corpus_of(settings), settings).at(0)
    assert batch.grounded is None
    assert batch.matched is batch.text
    assert batch.matched_hash_B is batch.text_hash_B


def test_contrast_can_be_kept_from_the_place_too(marked: Path, tmp_path: Path) -> None:
    settings = settings_of(marked, tmp_path, contrast_on="visual", grounded_on="visual")
    corpus = corpus_of(settings)
    batch = Batches(corpus, settings).at(0)
    assert batch.grounded is None
    assert not any(PLACE.lower() in corpus.tokenizer.text(row["text"]) for row in rows_of(batch))
    assert all(text.noise == set() and text.hidden == {ONLY_PLACE - 1} for text in corpus.texts)


def test_names_of_places_do_not_turn() -> None:
    turn = next(
        Turn.of(number)
        for number in range(8)
        if turned_sentences("at the left edge", "", Turn.of(number)) == ("at the right edge", "")
    )
    text = "At the left edge. Left Bank lies near"
    assert turned_sentences(text, "16 visual place; 37 geo city", turn) == (
        "At the right edge. Left Bank lies near",
        "17 visual place; 38 geo city",
    )


def test_matching_reads_what_it_is_given_and_contrast_does_not() -> None:
    step = make_step(negative_floor=1e9)  # negatives are drawn without regard to the features of contrast
    batch = make_batch(step.model.tokenizer)
    less = make_batch(step.model.tokenizer)
    keep = less.text[1].clone()
    keep[:, 4:] = False
    ids = less.text[0] * keep
    hashes = torch.arange(8) % 5
    apart = replace(batch, grounded=(ids, keep), grounded_hash_B=hashes)
    alone = replace(batch, text=(ids, keep), text_hash_B=hashes)
    found, whole, short = (step(one, 0.0)[0] for one in (apart, batch, alone))
    assert found["itc"] == whole["itc"]
    torch.testing.assert_close(found["itm"], short["itm"])
    assert abs(found["itm"] - whole["itm"]) > 1e-4
    assert found["infill"] == whole["infill"]
    moved = apart.to("cpu")
    assert moved.grounded is not None
    assert torch.equal(moved.grounded[0], ids)


def model_of(corpus: Corpus, side: int) -> KnowLIP:
    torch.manual_seed(3)
    vision = VisionConfig("vit_tiny_patch16_224", side, {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2})
    text = TextConfig(len(corpus.tokenizer), width=32, layers=1, heads=2, mlp_width=32, max_length=400, dropout=0.0)
    return KnowLIP(ModelConfig(vision, text, embed_dim=8), corpus.tokenizer).eval()


def test_scio_scores_the_texts_that_training_reads(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    model = model_of(corpus, 32)
    whole, seen = (
        corpus_of(settings_of(settings.dataset, settings.out, contrast_on=on, grounded_on=on))
        for on in ("all", "visual")
    )
    config = ScioConfig(tiles_at_once=4, negatives=6)
    of_both, of_whole, of_seen = (
        evidence(scorer_of(model, one, config, np.random.default_rng(0)), one.texts) for one in (corpus, whole, seen)
    )
    judged = [slot for slot in range(8) if slot != ONLY_PLACE - 1]
    for kind in ("itc", "itm", "nll", "gap", "max_nll"):
        values = getattr(of_both, kind)
        assert np.isnan(values[:, ONLY_PLACE - 1]).all()
        expected = getattr(of_whole if kind == "itc" else of_seen, kind)
        np.testing.assert_allclose(values[:, judged], expected[:, judged], atol=2e-4)


@pytest.mark.parametrize("kind", ["deltas", "nll"])
def test_a_training_leaves_the_place_alone(marked: Path, tmp_path: Path, kind: str) -> None:
    from tests.training.marked import marked_dataset

    dataset = marked_dataset(marked, tmp_path / "dataset")
    scio = ScioConfig(evidence=kind, threshold=0.0, calibration_tiles=8, max_new_tokens=12, tiles_at_once=8)
    config = tiny(dataset, tmp_path / "run", scio=scio)
    config.model.text.grounded_on = "visual"
    result = pretrain(config)
    data = Dataset(dataset)
    verify(dataset)
    assert data.revisions() == [0, 1, 2]
    decided = [data.texts(revision) for revision in (1, 2)]
    assert not (decided[0]["slot"] == ONLY_PLACE)[decided[0]["revision"] == 1].any()
    rewritten = decided[1][decided[1]["decision"] == "rewritten"]
    assert (rewritten["marks"] == "").all()
    assert (rewritten["evidence"] == "visual").all()
    kept = decided[1][decided[1]["decision"] != "rewritten"]
    assert all(sentences_of(*row) for row in zip(kept["text"], kept["marks"], kept["evidence"]))
    assert load_model(Path(result["model"]), "cpu").config.text.grounded_on == "visual"
    lines = losses(tmp_path / "run")
    assert all(np.isfinite([line["itm"], line["infill"], line["itc"]]).all() for line in lines)


def test_a_rewrite_leaves_what_the_decoder_did_not_read(corpus: Corpus) -> None:
    kept = 0
    for tile, text in enumerate(corpus.texts):
        for slot in range(len(text.parts)):
            old, marks, evidence = corpus._said[corpus.row(tile, slot)]
            if not marks or not any(one.evidence == "visual" for one in sentences_of(old, marks)):
                continue
            new, new_marks = corpus.rewritten(tile, slot, "four ships in view")
            assert resting_on(new, new_marks, evidence, ("visual",)) == "Four ships in view"
            assert resting_on(new, new_marks, evidence, ("geo", "prior")) == resting_on(
                old, marks, evidence, ("geo", "prior")
            )
            kept += 1
    assert kept
    assert corpus.rewritten(0, 0, " ") == (" ", "")


def test_texts_without_a_sentence_on_the_image_are_refused(settings: Settings) -> None:
    dataset = Dataset(settings.dataset)
    table = dataset.texts(0).assign(marks="", evidence="geo")
    dataset.texts = lambda revision=None: table  # type: ignore[method-assign]
    fresh = corpus_of(settings)
    with pytest.raises(ValueError, match="rests on the image"):
        fresh.read_texts(dataset, 0)
