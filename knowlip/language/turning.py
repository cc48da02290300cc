"""Which texts of others may turn with their pixels: those that name places in understood words alone.

Texts are turned word by word (:mod:`knowlip.language.direction_words`). Others tell places in many more ways than we do
("the second quadrant", "cell B2", "<12><30><45><60>", "5" for a region, "heading 45"), which stay as they are while
pixels turn. So an answer turns only where it is known for what it is: yes or no, a count, a name of something, or
directions that are understood; and no text turns that may place something in any other way.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LAND_COVER, LANDFORMS, REGIONS, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.language.direction_words import beyond_phrases, turn_words
from knowlip.language.directions import Turn
from knowlip.language.phrases import plural

_ORDINAL: Final = r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|\d{1,2}(?:st|nd|rd|th))"
_DIGIT: Final = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|(?-i:[A-Z])\d*|i{1,3}|iv|vi{0,3}|ix)"
_PART: Final = (
    r"(?:(?:sub-?)?(?:regions?|areas?|grids?|images?|tiles?|squares?)|cells?|quadrants?|sectors?|zones?|blocks?|"
    r"patch(?:es)?|positions?|rows?|columns?|cols?|parts?|sections?|segments?|windows?|places?|box(?:es)?|thirds?)"
)
_STRICT: Final = r"(?:regions?|cells?|quadrants?|sectors?|zones?|blocks?|positions?|rows?|columns?)"
"""Parts that are counted in words, too: "in the image two ships" counts no images."""
_WHOLE: Final = r"(?:image|scene|tile|frame|picture)"
_COUNT_OF: Final = r"[ ,:#(\[-]*(?:numbers?|no\.?|index)?[ :#(\[]*"
_UNSURE: Final = re.compile(
    # Parts of the image that are counted: "the second quadrant", "zone 2", "in patch (1, 2)", "cell B2", "A1".
    rf"\b{_ORDINAL}[ -]{_PART}\b|\b{_PART}{_COUNT_OF}\d|\b{_STRICT}{_COUNT_OF}{_DIGIT}\b|"
    r"\b[a-i]\d\b|"
    # Numbers that lie side by side: coordinates and boxes.
    r"<\s*/?(?:box|loc|p|ref|\d)|\d\s*[,;]\s*-?\.?\d|\d(?:\.\d+)?\s+-?\.?\d|(?<!\d )\b[xy]\s?\d*\s*[=:]?\s*-?\.?\d|"
    r"\bpixels?[ (\[]{1,3}\d|\b\d+[ -]?(?:pixels?|px) (?:from|in from|wide|high|tall|across|by)\b|"
    r"\b(?:coordinates?|bounding box(?:es)?|bbox(?:es)?)\b|"
    r"\b(?:of|along|across) (?:the )?(?:\w+(?:'s)? )?(?:width|height)\b|"
    # Up, down, and what a picture, a ship or an observer has.
    r"(?<!-)\bup\b(?! to\b)(?<!made up)(?<!makes up)(?<!close up)(?<!built up)(?<!build up)(?<!lined up)(?<!line up)"
    r"(?<!scale up)|\bdown\b(?! to\b)|\b(?:in|to|towards?) the (?:fore|back)ground\b|\bforeground\b|"
    r"\b(?:near|far) (?:range|side)\b|\b(?:starboard|port ?side|portside|bow|stern|astern)\b|"
    r"\b(?:landscape|portrait) (?:format|orientation|image|picture)\b|\bimage (?:a |in )?(?:landscape|portrait)\b|"
    rf"\b(?:foot|head) of the {_WHOLE}\b|\b(?:meridional|latitudinal|poleward|equatorward)\b|"
    # A direction by letters, or by a number without degrees, which nobody reads; runways are called by theirs.
    r"\brunways?\W{1,3}\d{2}|\b\d{2}[lrc]?\s?/\s?\d{2}[lrc]?\b|\b[ns]\W{0,2}\d{1,3}\W{0,3}[ew]\b|"
    r"\b(?:heading|facing|pointing|towards?|bound)(?: (?:the|to|for))* (?:[ns]?[ns][ew]|[ew][ns][ew]|[nsew])\b|"
    r"\b(?:heading|course|bearing|azimuth|angle|rotat\w+|orient\w+)\b\D{0,24}\d",
    re.IGNORECASE,
)
_COMPASS: Final = re.compile(r"\W*(?:[ns]?[ns][ew]|[ew][ns][ew]|[nsew])(?:[\s,/–-]+(?:[ns]?[ns]?[ew]|[ns]))*\W*", re.I)
"""Nothing but letters of the compass."""
_YES_NO: Final = frozenset({"yes", "no", "true", "false"})
_NUMBER: Final = re.compile(
    r"\d+(?:\.0+)?|none|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen|eighteen|nineteen|twenty",
    re.IGNORECASE,
)
_HOW_MANY: Final = re.compile(
    rf"\bhow many\b|\bnumber of (?!(?:the )?(?:\w+ )?{_PART}\b)|\bcount (?!(?:of |all |the )*{_PART}\b)", re.IGNORECASE
)
_WHICH: Final = re.compile(r"\b(?:which|where|give the number of|heading|direction|position|location)\b", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"\s*(?:,|;|/|\band\b|\bor\b)\s*")
_THINGS: Final = frozenset(
    name.lower()
    for known in (
        *LANDFORMS,
        *LAND_COVER.values(),
        *TARGET_CATEGORIES,
        *(t.name for t in (*SHIP_TYPES, *AIRCRAFT_TYPES)),
    )
    for name in (known, plural(known))
)
_SMALL: Final = frozenset(
    "yes no a an the it its they this that there is are lies lie located situated found seen mostly most mainly all in "
    "on at of to near by from towards toward along and or but with between image scene picture tile frame part parts "
    "side sides half corner corners edge edges area areas region regions quarter centre center heading facing "
    "pointing direction degrees".split()
)
"""Words that may stand around directions in an answer."""
_WORD: Final = re.compile(r"[^\W\d_]+(?:'\w+)?")
_PLACES: Final = frozenset({*REGIONS, "region 5"})
"""Of them the middle stays where it is."""
_TURNS: Final = tuple(Turn.of(number) for number in range(1, 8))


@lru_cache(maxsize=1 << 16)
def text_may_turn(text: str) -> bool:
    """Whether a text of others names places in understood words, or none; nobody knows of one in another script."""
    if any(letter.isalpha() and not letter.isascii() for letter in text):
        return False
    return not _COMPASS.fullmatch(text) and not _UNSURE.search(beyond_phrases(text))


def may_turn(question: str, answer: str, names: Collection[str] = ()) -> bool:
    """Whether a question of others and its answer may turn with the pixels.

    Args:
        question, answer: their words.
        names: of what things may be called, in lower case: an answer of such names stays as it is in every turn.
    """
    if not text_may_turn(question):
        return False
    plain = answer.strip().rstrip(".").strip().lower()
    if plain in _YES_NO:
        return True
    if _NUMBER.fullmatch(plain):
        return bool(_HOW_MANY.search(question)) and not _WHICH.search(question)
    if all(one in _THINGS or one in names for one in _BETWEEN.split(plain)):
        return True
    # What is left are directions: they are understood where something of the answer turns, and nothing else counts.
    beyond = beyond_phrases(answer).lower()
    if not text_may_turn(answer) or re.search(r"\d", beyond):
        return False
    if not all(one in _SMALL or one in _THINGS or one in names for one in _WORD.findall(beyond)):
        return False
    turned = [turn_words(answer, turn) for turn in _TURNS]
    return None not in turned and (plain in _PLACES or any(one != answer for one in turned))
