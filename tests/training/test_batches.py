"""Batches: the same for any number of processes, micro-steps and workers, and the texts and holes that they claim to
be."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn
from knowlip.models import ModelConfig, TextConfig, VisionConfig
from knowlip.models.tokenizer import around_hole
from knowlip.training.augment import AugmentConfig
from knowlip.training.batch import Batch
from knowlip.training.batches import Batches, DataConfig, padded
from knowlip.training.corpus import Corpus, turned_sentences
from knowlip.training.holes import HoleConfig
from knowlip.training.losses import ObjectiveConfig
from tests.annotators.tiny_dataset import build_tiny_dataset


@dataclass
class Settings:
    """What `Corpus` and `Batches` read of a `PretrainConfig`."""

    dataset: Path
    out: Path
    batch_size: int = 8
    seed: int = 3
    view_drop: float = 0.3
    vocabulary: Path | None = None
    vocab_size: int = 400
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(VisionConfig(image_size=32), TextConfig(max_length=400))
    )
    objectives: ObjectiveConfig = field(default_factory=lambda: ObjectiveConfig(infill_share=0.5))
    holes: HoleConfig = field(default_factory=HoleConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(shift_px=2, multilook=0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_tiny_dataset(tmp_path_factory.mktemp("data") / "dataset")
    annotate(AnnotateConfig(folder, workers=1))
    return folder


@pytest.fixture(scope="module")
def settings(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(dataset, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def corpus(settings: Settings) -> Corpus:
    return Corpus.open(Dataset(settings.dataset), settings)  # type: ignore[arg-type]


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """Each row of a batch without its padding."""
    rows: list[dict[str, Any]] = []
    for row in range(len(batch)):
        each: dict[str, Any] = {
            "image": int(batch.image_id_B[row]),
            "hash": int(batch.text_hash_B[row]),
            "pixels": batch.pixels_BSS[row].numpy().tobytes(),
            "uniform": batch.uniform_B2[row].tolist(),
        }
        for name in ("text", "context", "content"):
            ids, keep = getattr(batch, name)
            each[name] = ids[row][keep[row]].tolist() if row < len(ids) else None
        each["hole"] = int(batch.hole_R[row]) if row < len(batch.hole_R) else None
        rows.append(each)
    return rows


def dealt(parts: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of all ranks in the order of the global batch."""
    return [row for together in zip(*parts) for row in together]


def test_ranks_together_hold_the_global_batch(corpus: Corpus, settings: Settings) -> None:
    whole = Batches(corpus, settings)
    for step in (0, 1, 5):
        one = whole.deliver(whole.at(step), step, 0, "cpu")
        parts = [Batches(corpus, settings, rank, 2) for rank in range(2)]
        two = [part.deliver(part.at(step), step, 0, "cpu") for part in parts]
        assert dealt([rows_of(part) for part in two]) == rows_of(one)
        for name in ("text", "context", "content"):
            assert len({getattr(part, name)[0].shape for part in two}) == 1, "all ranks pad alike"
            assert getattr(two[0], name)[0].shape[1] == getattr(one, name)[0].shape[1]
            assert getattr(one, name)[1].any(0).all(), "no more padding than the longest text needs"


def test_micro_steps_cut_the_global_batch_whatever_the_world(corpus: Corpus, settings: Settings) -> None:
    one = Batches(corpus, settings, accumulate=2)
    two = [Batches(corpus, settings, rank, 2, accumulate=2) for rank in range(2)]
    whole = Batches(corpus, settings).at(4)
    ids: list[int] = []
    for micro in range(2):
        mine = one.deliver(one.at(4, micro), 4, micro, "cpu")
        theirs = [part.deliver(part.at(4, micro), 4, micro, "cpu") for part in two]
        assert dealt([rows_of(part) for part in theirs]) == rows_of(mine)
        ids += mine.image_id_B.tolist()
    assert ids == whole.image_id_B.tolist()
    with pytest.raises(ValueError, match="multiple of 6"):
        Batches(corpus, settings, 0, 3, accumulate=2)


def test_rows_are_texts_holes_and_tiles_of_the_corpus(corpus: Corpus, settings: Settings) -> None:
    tokenizer, batches, unseen = corpus.tokenizer, Batches(corpus, settings), 0
    for step in range(4):
        batch = batches.at(step)
        for at, row in enumerate(rows_of(batch)):
            text = corpus.texts[row["image"]]
            assert row["hash"] == text.hash
            assert row["pixels"] == corpus.pixels[[row["image"]]][0].tobytes()
            ids = row["text"]
            assert (ids[0], ids[-1]) == (tokenizer.cls, tokenizer.sep)
            rest = ids[1:-1]
            for part in text.parts:  # each sub-text is there as it is, or not at all
                if rest[: len(part.ids)] == part.ids:
                    rest = rest[len(part.ids) :]
            assert rest == []
            if at >= 4:
                assert row["context"] is None, "holes are cut into the first half (infill_share)"
                continue
            context, content = row["context"][1:-1], row["content"][1:-1]
            assert (row["context"][0], row["content"][0]) == (tokenizer.enc, tokenizer.dec)
            place = row["hole"] - 1
            assert context[place] == tokenizer.mask
            rest = context[:place] + content + context[place + 1 :]
            for part in text.parts:  # each other sub-text is there as it is, or [MASK] behind its label
                hidden = [*part.label, tokenizer.mask]
                shown = part.ids if rest[: len(part.ids)] == part.ids else hidden
                assert rest[: len(shown)] == shown
                rest, unseen = rest[len(shown) :], unseen + (shown == hidden)
            assert rest == []
    assert unseen > 0
    texts = [tuple(row["text"]) for step in range(40) for row in rows_of(batches.at(step))]
    assert len(set(texts)) > 60, "sub-texts are left out at random"


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_streams_give_the_batches_in_order(corpus: Corpus, settings: Settings, workers: int) -> None:
    plain = Batches(corpus, settings, accumulate=2)
    config = replace(settings, data=DataConfig(workers=workers, prefetch=3))
    batches = Batches(corpus, config, accumulate=2)
    steps = list(batches.stream(2, 9))
    assert len(steps) == 7
    for step, parts in zip(range(2, 9), steps):
        assert [rows_of(part) for part in parts] == [rows_of(plain.at(step, micro)) for micro in range(2)]
    assert list(batches.stream(9, 9)) == []


def test_an_abandoned_stream_leaves_no_threads(corpus: Corpus, settings: Settings) -> None:
    before = set(threading.enumerate())
    stream = Batches(corpus, replace(settings, data=DataConfig(workers=2, prefetch=4))).stream(0, 1000)
    next(stream)
    assert set(threading.enumerate()) > before
    stream.close()
    assert set(threading.enumerate()) == before


def test_an_error_of_a_thread_reaches_the_training(corpus: Corpus, settings: Settings) -> None:
    batches = Batches(corpus, settings)
    batches.order.rows = lambda step: np.array([10**6] * 8)  # type: ignore[method-assign]
    with pytest.raises(IndexError):
        next(batches.stream(0, 3))


def test_streamed_pixels_are_those_of_the_cache(corpus: Corpus, settings: Settings) -> None:
    config = replace(settings, data=DataConfig(pixels="stream"))
    streamed = Corpus.open(Dataset(settings.dataset), config)  # type: ignore[arg-type]
    assert streamed.pixels.shape == corpus.pixels.shape
    for step in range(3):
        assert rows_of(Batches(streamed, config).at(step)) == rows_of(Batches(corpus, settings).at(step))


def test_padding_changes_nothing_but_the_width(corpus: Corpus, settings: Settings) -> None:
    for multiple in (32, 64):
        config = replace(settings, data=DataConfig(pad_multiple=multiple))
        for step in range(3):
            batch = Batches(corpus, config).at(step)
            assert rows_of(batch) == rows_of(Batches(corpus, settings).at(step))
            assert batch.text[0].shape[1] % multiple in (0, 400 % multiple)
            assert batch.content[0][:, :-1].shape[1] % multiple in (0, 400 % multiple)
            assert batch.text[0].shape[1] <= 400
            assert (batch.text[0][~batch.text[1]] == 0).all()


def test_buckets_pad_less(corpus: Corpus, settings: Settings) -> None:
    def share_padded(config: Settings) -> float:
        masks = [Batches(corpus, config).at(step).text[1] for step in range(10)]
        return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    small = replace(settings, batch_size=2, view_drop=0.0)
    assert share_padded(replace(small, data=DataConfig(bucket_batches=10))) < 0.7 * share_padded(small)


def test_augmentation_is_of_the_step(corpus: Corpus, settings: Settings) -> None:
    batches = Batches(corpus, settings)
    raw = batches.at(0)
    first, again, other = (batches.deliver(raw, step, 0, "cpu").pixels_BSS for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, raw.pixels_BSS)
    still = replace(settings, augment=AugmentConfig(gain_db=0, speckle_looks=0))
    assert torch.equal(Batches(corpus, still).deliver(raw, 0, 0, "cpu").pixels_BSS, raw.pixels_BSS)


def test_long_contexts_keep_their_hole() -> None:
    for place in range(30):
        context = [1] * place + [9] + [1] * (29 - place)
        for longest in (1, 5, 12, 29, 30, 40):
            kept, at = around_hole(context, place, longest)
            assert len(kept) == min(30, longest)
            assert kept[at] == 9


def test_padded_rows() -> None:
    ids, keep = padded([[5, 6], [], [7, 8, 9]], 4)
    assert ids.tolist() == [[5, 6, 0, 0], [0, 0, 0, 0], [7, 8, 9, 0]]
    assert keep.sum(1).tolist() == [2, 0, 3]


def test_settings_that_cannot_work_are_refused(corpus: Corpus, settings: Settings) -> None:
    for changed, name in (({"workers": -1}, "workers"), ({"prefetch": 0}, "prefetch"), ({"pad_multiple": 0}, "pad")):
        with pytest.raises(ValueError, match=name):
            Batches(corpus, replace(settings, data=DataConfig(**changed)))


def test_flips_and_rotations_turn_pixels_and_words_together(corpus: Corpus, settings: Settings) -> None:
    config = replace(
        settings, view_drop=0.0, holes=HoleConfig(others=0.0), augment=AugmentConfig(flips=0.5, rotations=0.75)
    )
    batches, met = Batches(corpus, config), set()
    for step in range(6):
        one = batches.at(step)
        parts = [rows_of(Batches(corpus, config, rank, 2).at(step)) for rank in range(2)]
        assert dealt(parts) == rows_of(one)
        for at, row in enumerate(rows_of(one)):
            tile = corpus.pixels[[row["image"]]][0]
            turns = [Turn.of(n) for n in range(8) if Turn.of(n).pixels(tile).tobytes() == row["pixels"]]
            assert len(turns) == 1, "the pixels are those of one turn"
            met.add(turns[0])
            text = corpus.turned(row["image"], turns[0])
            assert text is not None
            assert row["text"][1:-1] == text.ids()
            assert row["hash"] == text.hash
            if at < 4:
                context, content = row["context"][1:-1], row["content"][1:-1]
                place = row["hole"] - 1
                assert context[:place] + content + context[place + 1 :] in (text.ids(), content)
    assert len(met) == 8


def test_a_balanced_epoch_meets_groups_equally_often(corpus: Corpus, settings: Settings) -> None:
    groups = np.array(corpus.groups)
    assert {name.split()[1] for name in groups} == {"large", "medium", "small"}
    config = replace(settings, data=DataConfig(balance=1.0, repeats=3.0), batch_size=7)
    whole, parts = Batches(corpus, config), [Batches(corpus, replace(config, batch_size=8), rank, 2) for rank in (0, 1)]
    limit = np.bincount(np.unique(groups, return_inverse=True)[1]) * 3.0
    met = dict.fromkeys(groups.tolist(), 0)
    for step in range(30 * whole.steps_per_epoch):
        for row in whole.order.rows(step).tolist():
            met[groups[row]] += 1
    for (name, rows), most in zip(sorted(met.items()), limit):
        assert rows / 30 <= most + 0.1
        assert rows / 30 == pytest.approx(min(most, 21 / len(met)), rel=0.5), name
    one = Batches(corpus, replace(config, batch_size=8)).at(0)
    assert dealt([rows_of(part.at(0)) for part in parts]) == rows_of(one)


def test_words_of_any_annotator_turn_only_where_they_are_understood(corpus: Corpus) -> None:
    turns = [Turn.of(number) for number in range(8)]
    assert corpus.cannot_turn(turns) == (0, len(corpus.tile_ids))
    for words in ("A ship lies in the second row", "It lies in the first quadrant", "The runway is 09/27"):
        assert turned_sentences(words, "", turns[0]) == (words, "")
        assert {turned_sentences(words, "", turn) for turn in turns[1:]} == {None}
    said = turned_sentences("Ships lie in the upper left", "", turns[2])
    assert said == ("Ships lie in the lower right", "")
    before = list(corpus._said)
    try:
        corpus._said[0] = ("A ship lies in the second row", "", "visual")
        assert corpus.cannot_turn(turns) == (1, len(corpus.tile_ids))
        assert corpus.cannot_turn(turns[:1])[0] == 0
        assert corpus.turned(0, turns[1]) is None
    finally:
        corpus._said[:] = before


def test_a_tile_stays_as_it_is_where_words_cannot_follow(
    corpus: Corpus, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(settings, augment=AugmentConfig(flips=1.0))
    monkeypatch.setattr(corpus, "turned", lambda tile, turn: None)
    assert rows_of(Batches(corpus, config).at(0)) == rows_of(Batches(corpus, settings).at(0))
