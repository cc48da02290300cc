"""Batches: the same for any number of processes, micro-steps and workers, and the texts and holes that they claim to
be."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from knowlip.dataset import Dataset
from knowlip.models import ModelConfig, TextConfig, VisionConfig
from knowlip.text.annotate import AnnotateConfig, annotate
from knowlip.training.augment import AugmentConfig
from knowlip.training.batches import Batches, DataConfig
from knowlip.training.corpus import Corpus
from knowlip.training.holes import HoleConfig
from knowlip.training.step import Batch, ObjectiveConfig
from tests.text.tiny_dataset import build_tiny_dataset


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
        default_factory=lambda: ModelConfig(VisionConfig(image_size=32), TextConfig(max_length=200))
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


def rows_of(batch: Batch) -> list[dict[str, object]]:
    """Each row of a batch without its padding."""
    rows: list[dict[str, object]] = []
    for row in range(len(batch)):
        each: dict[str, object] = {
            "image": int(batch.image_id_B[row]), "hash": int(batch.text_hash_B[row]),
            "pixels": batch.pixels_BSS[row].numpy().tobytes(), "uniform": batch.uniform_B2[row].tolist(),
        }  # fmt: skip
        for name in ("text", "context", "content"):
            ids, keep = getattr(batch, name)
            each[name] = ids[row][keep[row]].tolist() if row < len(ids) else None
        rows.append(each)
    return rows


def dealt(parts: list[list[dict[str, object]]]) -> list[dict[str, object]]:
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
