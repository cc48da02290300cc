"""A whole training does not notice where its pixels come from and who prepares them."""

import shutil
from dataclasses import replace
from pathlib import Path

from knowlip.tasks.pretrain import pretrain
from knowlip.training.augment import AugmentConfig
from knowlip.training.batches import DataConfig
from tests.training.runs import annotated, losses, tiny  # noqa: F401  (a fixture)


def test_streamed_and_cached_tiles_give_the_same_training(annotated: Path, tmp_path: Path) -> None:  # noqa: F811
    """All three stages, with buckets, shards in order, flips and rotations."""
    cached = DataConfig("cache", workers=0, order="shard", bucket_batches=2, pad_multiple=32)
    streamed = replace(cached, pixels="stream", workers=3, prefetch=3)
    augment = AugmentConfig(flips=0.5, rotations=0.5, shift_px=2, multilook=0.3)
    found = []
    for number, data in enumerate((cached, streamed)):
        dataset = Path(shutil.copytree(annotated, tmp_path / f"dataset-{number}"))
        config = tiny(dataset, tmp_path / str(number) / "run", data=data, augment=augment, stage_steps=(4, 2, 2))
        pretrain(config)
        found.append(losses(config.out))
    assert found[0] == found[1]
    assert len(found[0]) == 8
