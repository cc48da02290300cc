"""The key of an endpoint, and how it is kept out of all that is stored or said."""

import base64
import re
from typing import Final

HIDDEN: Final = "[OPENAI_API_KEY]"
"""What stands in place of the key."""
_PART = 8
"""Characters: so many of the key in a row are a part of it."""
_ESCAPE: Final = re.compile(r"\\(?:u00([2-7][0-9a-fA-F])|.)", re.DOTALL)
_FILLED: Final = r"[^\s\"'<>\\,;)]{0,80}?[*•….]{3,}[^\s\"'<>\\,;)]{0,80}"
"""The rest of a word of which some is starred out."""


class Secret:
    """A key, whole or in part, as it is, in base64 or in hexadecimal, in the forms in which an endpoint may repeat it.

    A word that cannot be a secret ("none", "EMPTY", less than eight characters) hides nothing: it is what servers of
    one's own are given, and it may well stand in a text.

    Args:
        key: the key.
    """

    def __init__(self, key: str) -> None:
        secret = len(key) >= _PART and (not key.isalpha() or len(key) >= 20)
        self._forms = _forms(key) if secret else []
        parts = {form[at : at + _PART] for form in self._forms for at in range(len(form) - _PART + 1)}
        self._any = re.compile("|".join(map(re.escape, sorted(parts))))
        # Every part holds one of these four letters. One by one they are searched for at a gigabyte a second, and
        # nearly always in vain; the expression is a hundred times slower.
        self._signs = sorted({form[at : at + 4] for form in self._forms for at in range(0, len(form) - 3, 5)})
        self._starred = re.compile(re.escape(key[:3]) + _FILLED) if secret else None

    def hide(self, text: str) -> str:
        """The text without the key. Letters that are written as `\\u0041` are written plainly first."""
        if self._starred is None:
            return text
        if "\\u00" in text:
            text = _ESCAPE.sub(_plainly, text)
        if any(sign in text for sign in self._signs):
            text = self._without(text)
        return self._starred.sub(HIDDEN, text) if "..." in text or "**" in text or "•" in text or "…" in text else text

    def _without(self, text: str) -> str:
        pieces, at = [], 0
        for found in self._any.finditer(text):
            if found.start() < at:
                continue
            pieces += [text[at : found.start()], HIDDEN]
            at = found.start() + max(_common(text, found.start(), form, found[0]) for form in self._forms)
        return "".join([*pieces, text[at:]])


def _forms(key: str) -> list[str]:
    data = key.encode()
    found = {key, data.hex(), data.hex().upper()}
    # What stands before the key shifts it within the groups of three bytes; the letters at both ends mix with it.
    for before in range(3):
        coded = base64.b64encode(b" " * before + data + b"  ").decode()
        inner = coded[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        found |= {inner, inner.translate(str.maketrans("+/", "-_"))}
    return sorted(form for form in found if len(form) >= _PART)


def _common(text: str, start: int, form: str, part: str) -> int:
    """Length of what stands in the text from `start` on and in the form from `part` on."""
    at, longest = form.find(part), 0
    while at >= 0:
        length = 0
        while at + length < len(form) and text[start + length : start + length + 1] == form[at + length]:
            length += 1
        longest = max(longest, length)
        at = form.find(part, at + 1)
    return longest


def _plainly(match: re.Match[str]) -> str:
    letter = chr(int(match[1], 16)) if match[1] else ""
    return match[0] if letter in ("", '"', "\\") else letter
