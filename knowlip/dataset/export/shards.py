"""Shards for open_clip's webdataset loader: one pattern a split, numbers without gaps, and `sizes.json`, from which it
takes how many samples there are."""

import io
import json
import tarfile
from itertools import islice

from knowlip.dataset.export.captions import caption
from knowlip.dataset.export.job import Export

_SAMPLES = 1000
"""Of a shard; open_clip shuffles shards, so a small set has two where it can."""


def write(job: Export) -> None:
    """SPLIT/NNNNN.tar with TILE.png and TILE.txt, SPLIT/sizes.json, and pattern.txt with what `--train-data` takes.

    Tiles without texts are left out: open_clip would drop them one by one, and count them all the same.

    Raises:
        ValueError: no tile has texts.
    """
    if not any(tile.texts for tile in job.tiles):
        raise ValueError(f"{job.data.path} has no texts for these tiles: annotate it first.")
    patterns = []
    for split, tiles in job.splits():
        count = sum(bool(tile.texts) for tile in tiles)
        if count:
            last = _write_split(job, split, min(_SAMPLES, -(-count // 2)))
            patterns.append(f"{split}/{{00000..{last:05d}}}.tar" if last else f"{split}/00000.tar")
    (job.out / "pattern.txt").write_text("".join(f"{pattern}\n" for pattern in patterns))


def _write_split(job: Export, split: str, per_shard: int) -> int:
    """The shards of a split in the order of the data set, `per_shard` samples each; the number of the last."""
    folder = job.out / split
    folder.mkdir()
    wanted = ((tile, sample) for tile, sample in job.samples() if tile.split == split and tile.texts)
    sizes: dict[str, int] = {}
    while batch := list(islice(wanted, per_shard)):
        name = f"{len(sizes):05d}.tar"
        sizes[name] = len(batch)
        with tarfile.open(folder / name, "w", format=tarfile.USTAR_FORMAT) as shard:
            for tile, sample in batch:
                for ending, content in (("png", sample.png), ("txt", caption(tile).encode())):
                    member = tarfile.TarInfo(f"{tile.tile_id}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    (folder / "sizes.json").write_text(json.dumps(sizes, sort_keys=True) + "\n")
    return len(sizes) - 1
