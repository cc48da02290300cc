"""Which rows make the batch of a step: known from the seed alone, whatever has been read before."""

from functools import lru_cache

import numpy as np


class Order:
    """Every epoch a permutation of its own, cut into batches; what does not fill a batch waits for the next epoch.

    Args:
        count: number of rows.
        batch_size: rows a step, over all processes.
        seed: source of chance.
        lengths: text length of each row, for buckets.
        shards: number of the shard that holds each row: shards are then read one after the other in random order, and
            rows mixed within windows of `mix` rows, so that a slow disk reads few files at a time.
        bucket_batches: of so many batches in a row, the rows are sorted by text length before they are dealt, so that
            texts of a batch are about equally long and little is padded; 1 for no buckets.
        mix: rows over which neighbours in the shards are mixed.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        *,
        lengths: np.ndarray | None = None,
        shards: np.ndarray | None = None,
        bucket_batches: int = 1,
        mix: int = 8192,
    ) -> None:
        if not 0 < batch_size <= count:
            raise ValueError(f"A batch must hold between 1 and {count} rows (all there are), not {batch_size}.")
        if bucket_batches < 1:
            raise ValueError("bucket_batches must be at least 1 (no buckets).")
        if bucket_batches > 1 and lengths is None:
            raise ValueError("Buckets need the length of every text.")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.steps_per_epoch = count // batch_size
        self._lengths, self._shards = lengths, shards
        self._bucket_batches, self._mix = bucket_batches, mix
        self._epoch = lru_cache(maxsize=2)(self._rows_of_epoch)

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of a step's batch, (batch_size,) int64."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place].copy()

    def _rows_of_epoch(self, epoch: int) -> np.ndarray:
        """(steps_per_epoch, batch_size)"""
        rng = np.random.default_rng([self.seed, 1, epoch])
        order = rng.permutation(self.count) if self._shards is None else self._by_shard(self._shards, rng)
        batches = order[: self.steps_per_epoch * self.batch_size].reshape(self.steps_per_epoch, self.batch_size)
        if self._bucket_batches > 1:
            assert self._lengths is not None
            for first in range(0, len(batches), self._bucket_batches):
                window = batches[first : first + self._bucket_batches]
                window[:] = _bucketed(window, self._lengths, rng)
        return batches

    def _by_shard(self, shards: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        turn = rng.permutation(int(shards.max()) + 1)
        order = np.argsort(turn[shards], kind="stable")
        for first in range(0, self.count, self._mix):
            rng.shuffle(order[first : first + self._mix])
        return order


def dealt(count: int, micro: int, accumulate: int, rank: int, world: int) -> np.ndarray:
    """Places in a batch of `count` rows that one process computes in one pass: passes one behind the other and as
    equal as can be, ranks dealt like cards (:mod:`knowlip.jobs.ranks`)."""
    return np.array_split(np.arange(count), accumulate)[micro][rank::world]


def _bucketed(window: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same rows with texts of about equal length in a batch; batches in random order, and rows within each (the
    first rows of a batch are used more often than the last)."""
    flat = window.reshape(-1)
    sorted_rows = flat[np.argsort(lengths[flat], kind="stable")].reshape(window.shape)
    return rng.permuted(sorted_rows[rng.permutation(len(window))], axis=1)
