"""Which rows make the batch of a step: known from the seed alone, whatever has been read before."""

from functools import lru_cache

import numpy as np

from knowlip.training.balance import GOLDEN, drawn, limited


class Order:
    """Every epoch a permutation of its own, cut into batches; what does not fill a batch waits for the next epoch.

    With weights an epoch has as many rows, drawn with as few repeats as the weights allow: a row that is due t times is
    met t times, rounded down or up, its repeats far apart. What is rounded down in one epoch is made up for in others:
    a row of any weight above 0 is met at least once in 2 / t epochs.

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
        weights: how often each row is met, in proportion; equally often where not given.
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
        weights: np.ndarray | None = None,
    ) -> None:
        if not 0 < batch_size <= count:
            raise ValueError(f"A batch must hold between 1 and {count} rows (all there are), not {batch_size}.")
        if bucket_batches < 1:
            raise ValueError("bucket_batches must be at least 1 (no buckets).")
        if bucket_batches > 1 and lengths is None:
            raise ValueError("Buckets need the length of every text.")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        if weights is not None and len(weights) != count:
            raise ValueError(f"There are {len(weights)} weights for {count} rows.")
        self.steps_per_epoch = count // batch_size
        self.times = limited(np.ones(count) if weights is None else weights, self.steps_per_epoch * batch_size)
        """(count,) how often each row is met in an epoch, on average."""
        self._weighted = weights is not None
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
        if self._weighted:
            order = self._drawn(epoch, rng)
        else:
            order = np.arange(self.count) if self._shards is not None else rng.permutation(self.count)
        if self._shards is not None:
            order = self._by_shard(order, self._shards, rng)
        batches = order[: self.steps_per_epoch * self.batch_size].reshape(self.steps_per_epoch, self.batch_size)
        if self._bucket_batches > 1:
            assert self._lengths is not None
            for first in range(0, len(batches), self._bucket_batches):
                window = batches[first : first + self._bucket_batches]
                window[:] = _bucketed(window, self._lengths, rng)
        return batches

    def _drawn(self, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """The rows of an epoch by weight, in random order."""
        # Rows stand in one line for the whole training, those of equal weight side by side, so that every epoch holds
        # as many of each weight. Where the line is cut moves on by the golden ratio: no row is left out for long.
        chance = np.random.default_rng([self.seed, 5])
        line = chance.permutation(self.count)
        line = line[np.argsort(self.times[line], kind="stable")]
        offset = (chance.random() + epoch * GOLDEN) % 1.0
        numbers = drawn(self.times[line], float(self.steps_per_epoch * self.batch_size), offset)
        rows, of_row = np.repeat(line, numbers), np.repeat(numbers, numbers)
        copy = np.arange(len(rows)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
        # Copies of a row are as far apart as they can be: n of them stand 1 / n of an epoch from each other.
        place = (np.repeat(rng.random(self.count), numbers) + copy) / of_row
        return np.asarray(rows[np.argsort(place, kind="stable")])

    def _by_shard(self, rows: np.ndarray, shards: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        turn = rng.permutation(int(shards.max()) + 1)
        order = rows[np.argsort(turn[shards[rows]], kind="stable")]
        for first in range(0, len(order), self._mix):
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
