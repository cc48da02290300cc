"""Marks: which sentence of a sub-text rests on the image, which on the place, which on general knowledge.

A sub-text of several sentences carries its marks as one string, "34 visual count; 80 geo nearest-city": each entry
tells the character at which a sentence ends, what it rests on and its topic. No marks, "", means one sentence that
rests on the sub-text's own `evidence`.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from knowlip.language.statements import EVIDENCE, Evidence

_JOINT: Final = ". "


class Sentence(NamedTuple):
    """One sentence of a sub-text."""

    text: str
    """Without the full stop."""
    evidence: Evidence
    topic: str = ""
    """Key of the grammar; "" for a sentence that the grammar did not make."""


def joined(sentences: Sequence[Sentence]) -> tuple[str, str]:
    """The text of a sub-text, each sentence with a capital, and its marks.

    Raises:
        ValueError: no sentence, an empty one, or one whose topic holds a space or a semicolon.
    """
    if not sentences or not all(sentence.text.strip() for sentence in sentences):
        raise ValueError("A sub-text needs at least one sentence, and none that is empty.")
    text, marks = "", []
    for sentence in sentences:
        if any(character in sentence.topic for character in " ;"):
            raise ValueError(f"The topic {sentence.topic!r} holds a space or a semicolon.")
        words = sentence.text.strip().rstrip(".").rstrip()
        text += (_JOINT if text else "") + words[:1].upper() + words[1:]
        marks.append(f"{len(text)} {sentence.evidence} {sentence.topic}".strip())
    return text, "; ".join(marks)


def sentences_of(text: str, marks: str, evidence: Evidence = "visual") -> list[Sentence]:
    """The sentences of a sub-text.

    Args:
        text: of the sub-text.
        marks: of the sub-text; "" makes it one sentence.
        evidence: of the sub-text as a whole, used without marks.

    Raises:
        ValueError: marks that do not fit the text.
    """
    if not marks:
        return [Sentence(text, evidence)]
    found, start = [], 0
    for mark in marks.split("; "):
        stop, kind, topic = [*mark.split(" "), "", ""][:3]
        begins = start == 0 or text.startswith(_JOINT, start)
        if not stop.isdigit() or kind not in EVIDENCE or not start < int(stop) <= len(text) or not begins:
            raise ValueError(f"The mark {mark!r} does not fit the text {text!r}.")
        found.append(Sentence(text[start : int(stop)].removeprefix(_JOINT).strip(), kind, topic))
        start = int(stop)
    if text[start:].strip(" ."):
        raise ValueError(f"The marks {marks!r} end before the text {text!r} does.")
    return found


def resting_on(text: str, marks: str, evidence: Evidence, kinds: Collection[str]) -> str:
    """What is left of a sub-text when only sentences of some kinds stay; "" for nothing.

    Args:
        text, marks, evidence: of the sub-text.
        kinds: some of `EVIDENCE`.
    """
    kept = [sentence for sentence in sentences_of(text, marks, evidence) if sentence.evidence in kinds]
    return _JOINT.join(sentence.text for sentence in kept)
