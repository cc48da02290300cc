"""BLEU-4 and CIDEr from `pycocoevalcap`, after a tokenisation that needs no Java.

The reference tool chain runs the Stanford PTB tokeniser, a Java program. Ours ("simple" in every result) lower-cases,
separates words, and drops punctuation, as PTB followed by the reference's punctuation filter does; numbers keep their
decimal point and words their inner hyphen. Scores differ a little from PTB's, so compare only within one tokenisation.
"""

import re
from collections.abc import Sequence
from typing import Final

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

TOKENISATION: Final = "simple"
_WORD: Final = re.compile(r"\d+(?:\.\d+)?|\w+(?:[-']\w+)*")


def tokenise(text: str) -> str:
    """Lower-case words and numbers joined by single blanks.

    Example:
        >>> tokenise("Size: about 30.5 m, L-shaped.")
        'size about 30.5 m l-shaped'
    """
    # WordPiece decoding writes "built - up" and "30. 5"; both spellings must count as one word.
    text = re.sub(r"(?<=\w)\s*-\s*(?=\w)", "-", text.lower())
    text = re.sub(r"(?<=\d)\s*\.\s+(?=\d)", ".", text)
    return " ".join(_WORD.findall(text))


def caption_scores(generated: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Corpus BLEU-4 (0 to 1) and CIDEr (0 to 10, mean over captions; document frequencies from these references).

    Args:
        generated: one text an image.
        references: the reference texts of each image, at least one.
    """
    if len(generated) != len(references) or not generated:
        raise ValueError("Caption scores need at least one text and as many lists of references as texts.")
    result = {i: [tokenise(text)] for i, text in enumerate(generated)}
    truth = {i: [tokenise(text) for text in texts] for i, texts in enumerate(references)}
    bleu, _ = Bleu(4).compute_score(truth, result, verbose=0)
    cider, _ = Cider().compute_score(truth, result)
    return {"bleu4": float(bleu[3]), "cider": float(cider)}
