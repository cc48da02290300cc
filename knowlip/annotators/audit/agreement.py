"""How far raters agree beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number with gaps."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
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
    if len({*first, *second}) == 1:
        return None
    from sklearn.metrics import cohen_kappa_score  # takes seconds to load, and a report alone needs it

    return float(cohen_kappa_score(list(first), list(second)))


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
