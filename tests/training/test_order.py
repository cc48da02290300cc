"""The order of rows: every epoch whole, the same from the seed, buckets of like lengths, shards one by one."""

import numpy as np
import pytest

from knowlip.training.order import Order


def epoch(order: Order, number: int) -> np.ndarray:
    first = number * order.steps_per_epoch
    return np.stack([order.rows(step) for step in range(first, first + order.steps_per_epoch)])


def orders(count: int, batch_size: int, seed: int) -> dict[str, Order]:
    rng = np.random.default_rng(0)
    lengths, shards = rng.integers(20, 200, count), np.sort(rng.integers(0, 7, count))
    return {
        "tile": Order(count, batch_size, seed),
        "buckets": Order(count, batch_size, seed, lengths=lengths, bucket_batches=4),
        "shard": Order(count, batch_size, seed, shards=shards, mix=20),
        "both": Order(count, batch_size, seed, lengths=lengths, bucket_batches=3, shards=shards, mix=20),
    }


@pytest.mark.parametrize("kind", ["tile", "buckets", "shard", "both"])
def test_an_epoch_is_a_permutation(kind: str) -> None:
    order, again, other = (orders(103, 8, seed)[kind] for seed in (1, 1, 2))
    epochs = [epoch(order, number) for number in range(3)]
    for rows in epochs:
        assert rows.shape == (12, 8)
        assert len(set(rows.ravel().tolist())) == 96
        assert set(rows.ravel().tolist()) <= set(range(103))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], epoch(other, 0))
    np.testing.assert_array_equal(again.rows(29), order.rows(29))  # known without what came before
    left_out = [set(range(103)) - set(rows.ravel().tolist()) for rows in epochs]
    assert left_out[0] != left_out[1], "it is not always the same rows that fill no batch"


def test_buckets_hold_texts_of_like_length_in_random_order() -> None:
    count, batch, window = 640, 8, 16
    lengths = np.random.default_rng(0).integers(20, 200, count)
    order = Order(count, batch, 5, lengths=lengths, bucket_batches=window)
    plain = Order(count, batch, 5)
    spread = np.mean([np.ptp(lengths[order.rows(step)]) for step in range(80)])
    assert spread < 0.25 * np.mean([np.ptp(lengths[plain.rows(step)]) for step in range(80)])
    for first in range(0, 80, window):  # the rows of a window are those of the plain order: buckets only regroup them
        pair = [np.concatenate([each.rows(step) for step in range(first, first + window)]) for each in (order, plain)]
        assert sorted(pair[0].tolist()) == sorted(pair[1].tolist())
    means = np.array([lengths[order.rows(step)].mean() for step in range(80)])
    assert abs(np.corrcoef(means, np.arange(80) % window)[0, 1]) < 0.4, "batches are not dealt from short to long"
    within = np.array([lengths[order.rows(step)] for step in range(80)])
    slope = (within[:, : batch // 2].mean() - within[:, batch // 2 :].mean()) / within.mean()
    assert abs(slope) < 0.01, "rows of a batch are not sorted"


def test_shards_are_read_one_after_the_other() -> None:
    shards = np.repeat(np.arange(20), 50)
    order = Order(1000, 10, 0, shards=shards, mix=100)
    for first in range(0, 100, 10):
        together = {int(shard) for step in range(first, first + 10) for shard in shards[order.rows(step)]}
        assert len(together) == 2
    assert len({int(shard) for shard in shards[order.rows(0)]}) == 2, "mixed within the window"
    turns = [shards[epoch(order, number)].ravel()[::100].tolist() for number in range(2)]
    assert turns[0] != turns[1]


def weighted(count: int, seed: int) -> np.ndarray:
    """A few rows that are due several times an epoch, many below once, some never."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.05, 0.3, 0.5, 1.0, 6.0], count, p=[0.2, 0.3, 0.3, 0.15, 0.05])
    weights[:3] = 0
    return weights


@pytest.mark.parametrize("kind", ["tile", "buckets", "shard", "both"])
def test_a_weighted_epoch_repeats_no_more_than_it_must(kind: str) -> None:
    count, batch = 403, 8
    rng = np.random.default_rng(0)
    lengths, shards = rng.integers(20, 200, count), np.sort(rng.integers(0, 7, count))
    settings = {
        "tile": {},
        "buckets": {"lengths": lengths, "bucket_batches": 4},
        "shard": {"shards": shards, "mix": 20},
        "both": {"lengths": lengths, "bucket_batches": 3, "shards": shards, "mix": 20},
    }[kind]
    weights = weighted(count, 1)
    order, again = (Order(count, batch, 7, weights=weights, **settings) for _ in range(2))  # type: ignore[arg-type]
    np.testing.assert_allclose(order.times, weights / weights.sum() * 400)
    epochs = [epoch(order, number) for number in range(60)]
    met = np.stack([np.bincount(rows.ravel(), minlength=count) for rows in epochs])
    assert epochs[0].shape == (50, 8)
    assert (met >= np.floor(order.times)).all()
    assert (met <= np.ceil(order.times)).all()
    np.testing.assert_allclose(met.mean(0), order.times, atol=0.06)
    for row in np.flatnonzero(weights):
        gaps = np.diff(np.flatnonzero(met[:, row]), prepend=-1, append=60)
        assert gaps.max() <= np.ceil(2 / order.times[row]), "no row is left out for long"
    for weight in np.unique(weights):  # as many rows of each weight in every epoch
        per_epoch = met[:, weights == weight].sum(1)
        assert np.ptp(per_epoch) <= 1
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(again.rows(1234), order.rows(1234))  # known without what came before


def test_repeats_of_a_row_stand_far_apart() -> None:
    weights = np.where(np.arange(300) < 30, 8.0, 0.5)
    order = Order(300, 10, 3, weights=weights)
    for number in range(5):
        rows = epoch(order, number)
        assert all(len(set(batch)) == 10 for batch in rows.tolist()), "never twice in a batch"
        place = {row: np.flatnonzero(rows.ravel() == row) for row in range(30)}
        assert min(np.diff(at).min() for at in place.values()) > 0.5 * 300 / order.times[0]


def test_weights_keep_shards_together() -> None:
    shards = np.repeat(np.arange(20), 50)
    order = Order(1000, 10, 0, shards=shards, mix=100, weights=weighted(1000, 2))
    for first in range(0, 100, 10):
        together = {int(shard) for step in range(first, first + 10) for shard in shards[order.rows(step)]}
        assert len(together) <= 4


def test_equal_weights_leave_out_what_fills_no_batch() -> None:
    order = Order(103, 8, 1, weights=np.full(103, 3.0))
    for number in range(4):
        assert len(set(epoch(order, number).ravel().tolist())) == 96


def test_impossible_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and 5"):
        Order(5, 6, 0)
    with pytest.raises(ValueError, match="bucket_batches"):
        Order(5, 2, 0, bucket_batches=0)
    with pytest.raises(ValueError, match="length of every text"):
        Order(5, 2, 0, bucket_batches=2)
    with pytest.raises(ValueError, match="4 weights for 5 rows"):
        Order(5, 2, 0, weights=np.ones(4))
    with pytest.raises(ValueError, match="not all 0"):
        Order(5, 2, 0, weights=np.zeros(5))
