"""How far raters agree beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number with gaps."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Agreement of two raters on the same items beyond what their own shares give by chance (Cohen 1960).

    Args:
        first, second: categories of equal length.

    Returns:
        1 for full agreement, 0 for chance; None without items, or when both used one and the same category only.
    """
    if len(first) != len(second):
        raise ValueError(f"Kappa needs the same items of both raters, got {len(first)} and {len(second)}.")
    if not first:
        return None
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second)) / n
    one, two = Counter(first), Counter(second)
    chance = sum(one[category] * two[category] for category in one) / (n * n)
    return None if chance == 1 else (observed - chance) / (1 - chance)


def krippendorff_alpha(units: Sequence[Mapping[str, Hashable]]) -> float | None:
    """Krippendorff's alpha for nominal categories (Krippendorff 2011): any number of raters, any may be missing.

    Args:
        units: per item, rater -> category. Items with fewer than two raters say nothing and are left out.

    Returns:
        1 for full agreement, 0 for chance; None when nothing can be compared or only one category was ever used.
    """
    rated = [Counter(unit.values()) for unit in units if len(unit) > 1]
    totals: Counter[Hashable] = sum(rated, Counter())
    n = sum(totals.values())
    if len(totals) < 2:
        return None
    disagreed = 0.0
    for counts in rated:
        m = sum(counts.values())
        disagreed += (m * m - sum(c * c for c in counts.values())) / (m - 1)
    expected = n * n - sum(c * c for c in totals.values())
    return 1 - (n - 1) * disagreed / expected
