"""Template texts: sentences made from labels alone, the baseline of the paper's figure 11."""

from collections.abc import Mapping
from typing import Any

from knowlip.annotators.stats.corpus import load
from knowlip.base.vocabulary import landform_shares
from knowlip.dataset import Dataset

_PLURAL = {"ship": "ships", "aircraft": "aircraft"}


def template_texts(data: Dataset, source: str) -> dict[str, str]:
    """Tile -> template text.

    Args:
        data: the data set.
        source: a data set of the same tiles whose texts are templates (the `labels` annotator's), or a caption file
            whose records have a `tile_id`; "" makes plain ones from the truth or from imported annotations: how many
            objects of which category, else the prevailing landform.

    Returns:
        {} where there is neither.
    """
    if source:
        return load(source).captions()
    if truth := data.truth():
        return {tile: from_truth(value) for tile, value in truth.items()}
    objects = data.annotations()
    if not len(objects):
        return {}
    counts: dict[str, dict[str, int]] = {tile: {} for tile in data.tiles()["tile_id"]}
    for tile, category in zip(objects["tile_id"], objects["category"]):
        counts[tile][category] = counts[tile].get(category, 0) + 1
    return {tile: from_counts(found) for tile, found in counts.items()}


def from_truth(truth: Mapping[str, Any]) -> str:
    """ "There are 3 ships and 1 aircraft in the SAR image." or "A SAR image of water."."""
    counts: dict[str, int] = {}
    for item in truth["objects"]:
        counts[item["category"]] = counts.get(item["category"], 0) + 1
    if counts:
        return from_counts(counts)
    shares = landform_shares(truth["shares"])
    landform = max(shares, key=lambda name: shares[name])
    return f"A SAR image of {landform} land." if landform == "built-up" else f"A SAR image of {landform}."


def from_counts(counts: Mapping[str, int]) -> str:
    """Category -> how many, as a sentence."""
    if not counts:
        return "There are no targets in the SAR image."
    parts = [f"{n} {_PLURAL.get(name, f'{name}s') if n > 1 else name}" for name, n in sorted(counts.items())]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"There {'is' if sum(counts.values()) == 1 else 'are'} {listed} in the SAR image."
