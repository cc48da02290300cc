"""Word clouds (package `wordcloud`): the larger a word, the more often it stands in the texts."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOURS = ("#16425b", "#2f6690", "#3a76a0", "#9a5415", "#3f7559", "#6f5d92")
_MOST_WORDS = 70


def check_package() -> None:
    """Raises:
    ValueError: the package is missing.
    """
    if find_spec("wordcloud") is None:
        raise ValueError("Word clouds need the package wordcloud: `pip install wordcloud`, or set --clouds false.")


def cloud(counts: Mapping[str, float], width: int, height: int, seed: int, least: int = 8) -> NDArray[np.uint8]:
    """(height, width, 3) picture of the most frequent words; the same counts and seed give the same picture. No word
    is smaller than `least` pixels."""
    from matplotlib import font_manager
    from wordcloud import WordCloud

    def colour(word: str, **_: Any) -> str:
        return _COLOURS[sum(word.encode()) % len(_COLOURS)]

    # a sorted list, so that words of the same count are placed in the same order
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS])
    picture = WordCloud(
        width=width,
        height=height,
        background_color="white",
        prefer_horizontal=1.0,
        color_func=colour,
        relative_scaling=0.5,
        font_path=font_manager.findfont("DejaVu Sans"),
        random_state=seed,
        margin=3,
        min_font_size=least,
    ).generate_from_frequencies(ordered)
    return np.asarray(picture.to_array(), np.uint8)
