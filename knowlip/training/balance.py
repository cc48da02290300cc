"""How often a row is met in an epoch: as often as any other, or so that rare groups are met more often.

A group of n rows gets a share of the epoch in proportion to n ** (1 - balance): at 0 its share of the data, at 1 as
much as any other group, in between tempered. No row is met more often than a limit; what the limit cuts off goes to
the others.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

import numpy as np

GOLDEN: Final = (5**0.5 - 1) / 2
"""Steps of this length around a circle leave no arc out for long (the largest gap of n points is below 2 / n)."""


def check_balance(balance: float, repeats: float, where: str = "") -> None:
    """Refuse settings out of range.

    Args:
        balance, repeats: see :func:`balanced`.
        where: what their names begin with.
    """
    if not 0 <= balance <= 1:
        raise ValueError(f"{where}balance must be 0 (as they come) to 1 (all groups equally often), not {balance}.")
    if not repeats >= 1:
        raise ValueError(f"{where}repeats must be at least 1: most times that a tile is met in an epoch.")


def shares(sizes: np.ndarray, balance: float) -> np.ndarray:
    """The share of each group, which add up to 1.

    Args:
        sizes: rows of each group, above 0.
        balance: 0 (as they come) to 1 (all equally).
    """
    tempered = np.asarray(sizes, float) ** (1 - balance)
    return np.asarray(tempered / tempered.sum())


def limited(weights: np.ndarray, total: float, most: float = inf) -> np.ndarray:
    """Numbers in proportion to weights that add up to `total`, none above `most`.

    Raises:
        ValueError: a weight is negative or not finite, or `total` cannot be reached.
    """
    weights = np.asarray(weights, float)
    if not np.isfinite(weights).all() or (weights < 0).any() or (total > 0 and not weights.any()):
        raise ValueError("Weights must be finite, at least 0, and not all 0.")
    if total > 0 and total > most * np.count_nonzero(weights) * (1 + 1e-9):
        raise ValueError(f"{np.count_nonzero(weights)} rows of at most {most:g} each do not make {total:g}.")
    found = weights * (total / (weights.sum() or 1.0))
    if found.max(initial=0.0) <= most:
        return np.asarray(found)
    # The largest are cut to the limit, one after the other, until the next is below it when the rest is shared anew.
    order = np.argsort(-weights, kind="stable")
    largest = weights[order]
    smaller = largest[::-1].cumsum()[::-1]  # sum of each and all behind it
    number = int(np.argmin([*(largest * (total - np.arange(len(order)) * most) > most * smaller), False]))
    found[order[:number]] = most
    if number < len(order):
        found[order[number:]] = largest[number:] * ((total - number * most) / (smaller[number] or 1.0))
    return np.asarray(found)


def drawn(expected: np.ndarray, total: float, offset: float) -> np.ndarray:
    """Whole numbers, each the expected one rounded down or up, and so their sum: systematic resampling.

    Args:
        expected: (N,) at least 0.
        total: their sum.
        offset: chance in [0, 1). Over all offsets each number is as expected on average.
    """
    edges = np.minimum(np.cumsum(expected), total)
    edges[-1:] = total  # sums of many floats are off by a little
    return np.diff(np.floor(edges + offset), prepend=0.0).astype(np.int64)


def balanced(groups: Sequence[str], balance: float, repeats: float = inf) -> np.ndarray:
    """How often each row is met in an epoch of as many rows as there are.

    Args:
        groups: name of the group of each row.
        balance: 0 (as they come) to 1 (all groups equally often).
        repeats: most times that a row is met in an epoch, at least 1.

    Returns:
        (rows,) expected numbers, whose sum is the number of rows.

    Raises:
        ValueError: a setting is out of range.
    """
    check_balance(balance, repeats)
    _, group_N, sizes = np.unique(np.asarray(groups, str), return_inverse=True, return_counts=True)
    return limited((shares(sizes, balance) / sizes)[group_N], len(group_N), repeats)


def rows_by_group(groups: Sequence[str], times: np.ndarray) -> dict[str, float]:
    """Group -> expected rows of it in an epoch, in order of name.

    Args:
        groups: name of the group of each row.
        times: how often each row is met in an epoch.
    """
    names, group_N = np.unique(np.asarray(groups, str), return_inverse=True)
    rows = np.bincount(group_N, weights=times, minlength=len(names))
    return {str(name): round(float(number), 1) for name, number in zip(names, rows)}


def told(rows: dict[str, float], there: dict[str, float]) -> str:
    """What an epoch holds, for people.

    Args:
        rows: group -> expected number in an epoch.
        there: the same as they come.
    """
    total, all_there = sum(rows.values()) or 1.0, sum(there.values()) or 1.0
    parts = [
        f"{name} {number:,.0f} ({number / total:.1%}; as they come {there[name]:,.0f}, {there[name] / all_there:.1%})"
        for name, number in rows.items()
    ]
    return "; ".join(parts)
