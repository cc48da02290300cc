"""Richness of published captions, measured by the program itself from their files, to stand beside one's own."""

from typing import Any, Final

PUBLISHED: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "HCoT captions of the KnowLIP paper, part 1 (caption_part1.json, terrain)",
        "captions": 1000,
        "words": 101.6,
        "vocabulary": 1740,
        "mtld": 83.3,
        "mtld_shuffled": 83.4,
    },
)
"""Words are those of a caption on average. A row is what `knowlip text stats FILE` gives: tests measure it again."""
