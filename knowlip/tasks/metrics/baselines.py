"""What one reaches without looking at the image: the majority answer, and one fixed typical text for every tile."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from knowlip.tasks.metrics.captions import tokenise


def majority_answers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The most frequent answer of each group, ties broken alphabetically.

    Args:
        pairs: (group, answer) of the training questions.
    """
    counts: dict[str, Counter[str]] = {}
    for group, answer in pairs:
        counts.setdefault(group, Counter())[answer] += 1
    return {group: min(c, key=lambda answer: (-c[answer], answer)) for group, c in counts.items()}


def typical_text(texts: Sequence[str]) -> str:
    """The text with the highest mean TF-IDF cosine to all others: what to say when one knows nothing of the image.

    Args:
        texts: at least one.
    """
    if not texts:
        raise ValueError("A typical text needs at least one training text.")
    vectors = TfidfVectorizer(preprocessor=tokenise, token_pattern=r"\S+").fit_transform(texts)
    closeness = vectors @ np.asarray(vectors.mean(0)).ravel()
    return texts[int(np.argmax(closeness))]


def fixed_texts(texts: Sequence[str], among: Sequence[str] | None = None) -> dict[str, str]:
    """What to say of every image without looking: the "typical text" and the "frequent text" of training, ties broken
    alphabetically; nothing where there are no texts.

    Args:
        texts: of training.
        among: those of them among which the typical one is sought, each compared with each; all where not given.
    """
    if not texts:
        return {}
    counts = Counter(texts)
    often = min(counts, key=lambda text: (-counts[text], text))
    return {"typical text": typical_text(texts if among is None else among), "frequent text": often}
