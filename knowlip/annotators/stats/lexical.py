"""Words of a text, and how rich they are (MTLD)."""

import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
THRESHOLD = 0.72
"""Type-token ratio at which a factor of MTLD ends (McCarthy and Jarvis 2010)."""
_STOP_WORDS = (
    "a about above after all along also although among an and any are around as at be because been being below "
    "between both but by can did do does each either for from had has have here how if in into is it its itself "
    "more most mostly neither no nor not of off on only or other over per rather same several so some such than "
    "that the their them then there these they this those through to toward towards under up very via was were "
    "when where which while who whose will with within without"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that word frequencies and word clouds leave out: they stand in every English text."""
_HEDGES = (
    "apparent apparently appear appearing appears conceivably could indicating indicative likelihood likely may maybe "
    "might perhaps plausible plausibly possible possibly potential potentially presumably probable probably seem "
    "seemingly seems suggest suggesting suggestive suggests tentatively uncertain unclear unlikely"
)
HEDGES = tuple(_HEDGES.split())
"""Words with which a text leaves open whether it is true. Only whole words count, in lower or upper case."""


def words(text: str) -> list[str]:
    """Words in lower case: letters and digits, joined by hyphens and apostrophes; "urban/built-up" is two."""
    return _WORD.findall(text.lower())


def mtld(tokens: Sequence[str], threshold: float = THRESHOLD) -> float:
    """Measure of textual lexical diversity: mean length of runs of words that keep their type-token ratio above a
    threshold, forwards and backwards. Unstable on fewer than some hundred words: give it many texts, one after another.

    The same number as `LexicalRichness(tokens, preprocessor=None, tokenizer=None).mtld(threshold)` of the package
    `lexicalrichness` 0.5.1; in a text that is too short for one run, the part of a run counts.

    Args:
        tokens: words in order.
        threshold: a run ends where its ratio is at or below this.

    Returns:
        Words a run; 0.0 without words.
    """
    if not tokens:
        return 0.0
    return (_one_way(tokens, threshold) + _one_way(tokens[::-1], threshold)) / 2


def _one_way(tokens: Sequence[str], threshold: float) -> float:
    factors, length, seen = 0.0, 0, set[str]()
    for token in tokens:
        length += 1
        seen.add(token)
        if len(seen) / length <= threshold:
            factors, length, seen = factors + 1, 0, set()
    if length:
        factors += (1 - len(seen) / length) / (1 - threshold)
    if factors == 0:  # no word comes twice
        factors = 1.0
    return len(tokens) / factors


def lead_in(texts: Iterable[Sequence[str]], share: float = 0.9) -> tuple[str, ...]:
    """The words that (almost) all texts begin with, e.g. "building presence"; they say nothing about an image.

    Args:
        texts: word lists of one dimension.
        share: how many of the texts must begin so.
    """
    left = [tuple(text) for text in texts]
    if len(left) < 3:
        return ()
    least = share * len(left)
    found: tuple[str, ...] = ()
    while True:
        depth = len(found)
        counts: dict[str, int] = {}
        for text in left:
            if len(text) > depth:
                counts[text[depth]] = counts.get(text[depth], 0) + 1
        if not counts:
            return found
        word = max(counts, key=lambda name: (counts[name], name))
        if counts[word] < least:
            return found
        found = (*found, word)
        left = [text for text in left if text[: depth + 1] == found]
