"""Names of places as a sentence can bear them: they come from files of others."""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

MOST_CHARACTERS: Final = 40
_PARENTHESIS: Final = re.compile(r"\s*[(\[{].*?[)\]}]|\s*[(\[{].*$")
_SPELT: Final = {
    "Intcntl": "Intercontinental",
    "Intl": "International",
    "Int'l": "International",
    "Muni": "Municipal",
    "Rgnl": "Regional",
    "Arpt": "Airport",
    "Ballitoville": "Ballito",
    "Tuchomerice": "Tuchoměřice",
    "Shanghai Shi": "Shanghai",
    "Nairobi Area": "Nairobi County",
    "Base Aerea de Santos Airport": "Santos Air Base",
}
"""Names and words of names -> as they are written out today."""
_TO_SPELL: Final = re.compile(rf"\b(?:{'|'.join(_SPELT)})\b")
_KEPT: Final = "-'’ "


@lru_cache(maxsize=4096)
def clean_name(name: str) -> str:
    """A name of letters, digits, spaces, hyphens and apostrophes, at most 40 characters, cut between words.

    "St. Louis" -> "St Louis", "Bush Intcntl/Houston (old)" -> "Bush Intercontinental-Houston"; "" where no two letters
    in a row are left.
    """
    text = _TO_SPELL.sub(lambda found: _SPELT[found.group()], unicodedata.normalize("NFC", name[:200]))
    text = _PARENTHESIS.sub(" ", text).replace("/", "-").split(",")[0]
    text = "".join(
        character if character.isalnum() or character in _KEPT else _instead(character) for character in text
    )
    text = " ".join(text.split()).strip("-'’ ")
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS + 1].rpartition(" ")[0].strip("-'’ ")
    letters = any(one.isalpha() and other.isalpha() for one, other in pairwise(text))
    return text if letters else ""


def _instead(character: str) -> str:
    """Marks of scripts stay with their letters; anything else parts words."""
    return character if unicodedata.category(character) in ("Mn", "Mc") else " "
