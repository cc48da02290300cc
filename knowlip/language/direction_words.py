"""Words for directions follow the pixels: "in the upper left" of a mirrored tile is "in the upper right".

A text is read from left to right for phrases that are known to mean a direction in the image; each is written anew for
the turned tile. When a word is left over that may mean a direction ("the lower valley", "South Holland", "30 km west of
Kiel"), the whole text is refused: a text is turned rightly or not at all.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from knowlip.base.vocabulary import REGIONS
from knowlip.language.directions import AXES, COMPASS, COMPASS_STEPS, Step, Turn

_STEP: Final[dict[str, Step]] = {
    word: step
    for step, words in {
        (0, -1): "upper top north above uppermost topmost",
        (0, 1): "lower bottom south below lowermost bottommost",
        (-1, 0): "left west leftmost",
        (1, 0): "right east rightmost",
    }.items()
    for word in words.split()
}
_ADJECTIVE: Final[dict[Step, str]] = {(0, -1): "upper", (0, 1): "lower", (-1, 0): "left", (1, 0): "right"}
_NOUN: Final[dict[Step, str]] = {(0, -1): "top", (0, 1): "bottom", (-1, 0): "left", (1, 0): "right"}
_WIND_OF: Final[dict[Step, str]] = dict(zip(COMPASS_STEPS, COMPASS))
_STEP_OF: Final[dict[str, Step]] = dict(zip(COMPASS, COMPASS_STEPS))
_WINDS: Final = tuple(
    name for at in range(8) for name in (COMPASS[at], f"{COMPASS[(at + at % 2) % 8]}-{COMPASS[at // 2 * 2 + 1]}")
)
"""The sixteen points of the compass."""

# ---- what the phrases are made of ---------------------------------------------------------------------------------

_V, _H, _C = "upper|lower|top|bottom", "left|right", "center|centre|central|middle|mid"
_PLACE = (
    r"(?:(?:image|scene|tile|frame)[ -])?(?:parts?|sides?|half|halves|thirds?|two[- ]thirds|quarters?|quadrants?|"
    r"edges?|corners?|portions?|areas?|regions?|sections?|sectors?|segments?|zones?|ends?|margins?|borders?|"
    r"boundary|boundaries|strips?|image|scene|frame|tile|periphery|perimeter|extents?|sub-?areas?|sub-?regions?)"
)
_GOES_ON = (
    r"(?=\s*(?:[.,;:)]|$)|\s+(?:and|or|of|with|is|are|was|were|while|where|to|than|but|in|by|there|the|has|have|lies?|"
    r"shows?|appears?|contains?|that|which|towards?|from|as|at|for)\b|\s+\()"
)
"""What may follow a direction that stands without a noun: "the right, ..." but not "the right conditions"."""
_OPPOSITE = r"north(?P<d>[-–/])south|south[-–/]north|east[-–/]west|west[-–/]east"
_ORDINAL = r"(?:north|south)[- ]?(?:east|west)"
_WIND = r"(?:(?:north|south)[- ]?(?:east|west)|north|south|east|west)"
_ENDING = r"(?:ern|erly|wards?|bound|ernmost)?"
_LETTER = "N|NE|E|SE|S|SW|W|NW"
_LINES = (
    r"(?:lines?|linear|stripes?|bands?|bars?|strips?|corridors?|roads?|highways?|runways?|rows?|orientation|directions?|"
    r"axis|axes|alignments?|boundary|boundaries|edges?|rivers?|canals?|features?|arrangements?|divisions?|splits?)"
)
_ANGLE_OF = r"heading|course|bearing|azimuth|pointing|orientation|oriented|orientated|orientation angle|aligned|axis"


_REGION: Final = "|".join(sorted(REGIONS, key=len, reverse=True))
_PHRASES: Final[dict[str, str]] = {
    "neutral": r"(?:at )?right[- ]angle[sd]?|on top of|top view|above (?:sea level|ground|average)|below average|"
    r"(?:above|below) (?:about |around )?(?=\d)|"
    r"lower (?:back-?scatter\w*|intensit\w+|densit\w+|reflect\w+|brightness|contrast|resolution|than)|"
    r"(?:incidence|look|grazing|depression|off-nadir|squint) angles? (?:of |is |about |around |near )*"
    r"\d+(?:\.\d+)?\s*(?:°|deg\w*)|(?:vertical|horizontal)(?:ly)?[- ](?:polari[sz]\w+|transmit\w*)|"
    r"(?<!anti-)(?<!main )diagonal(?:ly)?|left[- ]?over",
    "numbers": r"(?P<numbers_of>(?:grid )?(?:cells?|regions?)(?: numbers?)?) "
    r"(?P<numbers_list>\d(?:(?:, | and | or )\d)*)"
    r"(?![\d%]|\.\d|\s*[-–/]\s*\d|(?:, | and | or )\d| (?:percent|m|km|meters|metres|pixels)\b)",
    "angle": rf"(?P<angle_of>{_ANGLE_OF})(?P<angle_mid>(?:\s+(?:of|is|at|to|towards?|about|around|near|angle|"
    r"roughly|approximately))*\s*[:=]?\s*)(?P<angle_number>\d{1,3}(?:\.\d+)?)"
    r"(?P<angle_unit>\s*(?:degrees?|deg\b|°)(?:\s+(?:clockwise )?from (?:true )?north)?)",
    "sense": r"(?:counter-?|anti-?)?clockwise",
    "listing": rf"(?:{_REGION})(?:, (?:{_REGION}))*,? and (?:{_REGION})(?![ -](?:{_V}|{_H}|{_C}))",
    "corner": rf"(?P<row>{_V})(?P<gap1>[ -])(?P<column>{_H}|{_C})(?:-hand)?|"
    rf"(?P<middle>{_C})(?P<gap2>[ -])(?P<side>{_H}|{_V})|"
    rf"(?P<first>{_H})(?P<gap3>[ -])(?P<second>{_V}|{_C})(?![ -](?:{_H}))",
    "sweep": rf"(?P<sweep_from>{_V}|{_H})(?P<sweep_to>-to-| to )(?P<sweep_end>{_V}|{_H})(?! {_PLACE}\b)",
    "part": rf"(?P<part_at>(?:in|on) the )?(?P<part_of>{_V}|{_H})(?P<part_hand>-hand)? (?P<part_noun>{_PLACE})",
    "joined": rf"(?P<joined>{_V}|{_H})(?=(?:,| and| or|/|, and) ?(?:the )?(?:{_V}|{_H}|{_C}|far)\b)",
    "most": r"uppermost|topmost|lowermost|bottommost|leftmost|rightmost",
    "relation": rf"to the (?P<beside>left|right)(?!(?:-hand)? {_PLACE}\b)(?P<beside_of> of)?(?= |[.,;:)]|$)|"
    r"(?P<over>above|below)",
    "bare": rf"(?P<bare_in>on|at|in) the (?P<bare_1>{_H}|{_V}){_GOES_ON}|the (?P<bare_2>{_H}|{_V}){_GOES_ON}|"
    rf"(?<=in |at |on |to |or )(?P<bare_3>{_H}|{_V}){_GOES_ON}|"
    rf"(?<=and )(?P<bare_4>{_H}|{_V}){_GOES_ON}|(?<=toward |towards)\s?(?P<bare_5>{_H}|{_V}){_GOES_ON}|"
    rf"(?<=[(/])(?P<bare_6>{_H}|{_V})(?=[),;/.]|$| and )",
    "axis": rf"(?:{_OPPOSITE})|(?P<diagonal>(?:{_ORDINAL})[-–/](?:{_ORDINAL}))",
    "wind": rf"(?:north|south|east|west)[- ](?:{_ORDINAL}){_ENDING}|{_WIND}{_ENDING}",
    "plumb": rf"(?:horizontal|vertical)(?= {_LINES}\b)|(?:horizontal|vertical)ly",
}
"""Kind of phrase -> pattern; the first that matches at a place is taken."""


_PHRASE: Final = re.compile(
    "|".join(rf"(?P<{name}_>(?<![\w-])(?:{pattern})(?![\w]))" for name, pattern in _PHRASES.items()), re.IGNORECASE
)
_LETTERS: Final = re.compile(rf"\b(?P<one>{_LETTER})[-–](?P<other>{_LETTER})\b|\b(?P<only>{_LETTER})(?= {_PLACE}\b)")
_LEFT_OVER: Final = re.compile(
    r"\b(?:left\w*|right\w*|upper|lower|top|bottom|above|below|beneath|(?:north|south|east|west)\w*|upwards?|downwards?|"
    r"\w*clockwise|main diagonal\w*|degrees?|o'clock|starboard|port side)\b|anti-diagonal|°|"
    # Places that are counted or measured in another way than by one of nine regions.
    r"\b(?:regions?|cells?|quadrants?|sectors?|rows?|columns?)(?: (?:numbers?|no\.?))?[ #]*\d|"
    r"[\[(]\s*\d*\.?\d+\s*,\s*\d*\.?\d+|\b[xy]\s*[=:]\s*\d",
    re.IGNORECASE,
)
_LETTER_LEFT: Final = re.compile(r"\b(?:[NS]?N[EW]|[NS]?S[EW]|[EW][NS][EW]|[NSEW])\b(?!-shape)")
_OF_AXES: Final = re.compile(r"\b(?:columns?|horizontal\w*|vertical\w*)\b", re.IGNORECASE)
"""Stay true in mirror images, but not where rows become columns."""
_HANDED: Final = re.compile(r"\b[sz]-shaped?\b", re.IGNORECASE)
_NAME: Final = re.compile(
    r"(?<![.:;!?]\s)(?<!^)\b(?:North|South|East|West)\w*|"  # a capital within a sentence
    r"\b(?:[Nn]orth|[Ss]outh|[Ee]ast|[Ww]est)[a-z]*(?:[ -](?:of|from|the)\b)*[ -][A-Z][a-z]|"
    r"\b(?:[Nn]orth|[Ss]outh|[Ee]ast|[Ww]est)[a-z]* (?:sea|coast|korea|america|africa|china|india|pole|atlantic|"
    r"pacific|bank|hemisphere)\b|\b(?:[Mm]iddle|[Ff]ar|[Nn]ear) [Ee]ast\b|\b(?:km|miles|kilomet(?:er|re)s) (?:to the )?"
    r"(?:north|south|east|west)",
)


@lru_cache(maxsize=1 << 17)
def turn_words(text: str, turn: Turn) -> str | None:
    """The text of a turned tile; None where it holds a direction that is not understood.

    The wording is kept where it can be ("upper-left" stays hyphenated); what is said of rows is said of columns in the
    usual words ("upper part" and "left side", "above" and "to the left of").
    """
    # What no phrase has taken is looked at in the end: one word that may mean a direction there refuses the whole text.
    if turn == Turn():
        return text
    if _NAME.search(text):
        return None
    rest: list[str] = []
    out: list[str] = []
    position = 0
    for match in _matches(text):
        kind, phrase = match.lastgroup, match.group(0)
        new = _turned(match, text, turn)
        if new is None:
            return None
        before = text[position : match.start()]
        rest.append(before)
        out += [before, new[:1].upper() + new[1:] if phrase[0].isupper() and kind is not None else new]
        position = match.end()
    rest.append(text[position:])
    out.append(text[position:])
    left_over = " | ".join(rest)
    if _LEFT_OVER.search(left_over) or _LETTER_LEFT.search(left_over):
        return None
    if turn.swaps_axes and _OF_AXES.search(left_over):
        return None
    if turn.mirrored and _HANDED.search(left_over):
        return None
    return "".join(out)


def beyond_phrases(text: str) -> str:
    """What no phrase has taken: the text with a bar in place of each phrase that is understood."""
    out, position = [], 0
    for match in _matches(text):
        out += [text[position : match.start()], " | "]
        position = match.end()
    return "".join([*out, text[position:]])


def _matches(text: str) -> list[re.Match[str]]:
    """Phrases in order of place; compass letters count where no phrase is."""
    found = list(_PHRASE.finditer(text))
    taken = [(match.start(), match.end()) for match in found]
    letters = (
        match
        for match in _LETTERS.finditer(text)
        if not any(start < match.end() and match.start() < end for start, end in taken)
    )
    return sorted([*found, *letters], key=lambda match: match.start())


def _turned(match: re.Match[str], text: str, turn: Turn) -> str | None:
    if match.re is _LETTERS:
        return _letters(match, turn)
    kind = next(name for name in _WRITERS if match.group(f"{name}_") is not None)
    return _WRITERS[kind](match, text, turn)


def _neutral(match: re.Match[str], text: str, turn: Turn) -> str | None:
    return match.group(0)


def _numbers(match: re.Match[str], text: str, turn: Turn) -> str | None:
    if "0" in match.group("numbers_list"):
        return None
    numbers = re.sub(r"\d", lambda digit: str(turn.region(int(digit.group()) - 1) + 1), match.group("numbers_list"))
    return f"{match.group('numbers_of')} {numbers}"


def _angle(match: re.Match[str], text: str, turn: Turn) -> str | None:
    number = match.group("angle_number")
    degrees = turn.azimuth(float(number))
    is_axis = match.group("angle_of").lower()[:4] in ("orie", "alig", "axis") and float(number) < 180
    decimals = len(number.partition(".")[2])
    written = f"{round(degrees % 180 if is_axis else degrees, decimals) % (180 if is_axis else 360):.{decimals}f}"
    return f"{match.group('angle_of')}{match.group('angle_mid')}{written}{match.group('angle_unit')}"


def _sense(match: re.Match[str], text: str, turn: Turn) -> str | None:
    if not turn.mirrored:
        return match.group(0)
    return "counterclockwise" if match.group(0).lower() == "clockwise" else "clockwise"


def _listing(match: re.Match[str], text: str, turn: Turn) -> str | None:
    """Region names row by row stay in the order of rows."""
    pieces = re.split(r"(, and |, | and )", match.group(0).lower())
    numbers = [REGIONS.index(name) for name in pieces[::2]]
    turned = [turn.region(number) for number in numbers]
    if numbers == sorted(numbers):
        turned.sort()
    pieces[::2] = [REGIONS[number] for number in turned]
    return "".join(pieces)


def _corner(match: re.Match[str], text: str, turn: Turn) -> str | None:
    """A row and a column, either of which may be the middle: "upper-left", "center right", "left-central"."""
    groups = (("row", "column", "gap1"), ("middle", "side", "gap2"), ("first", "second", "gap3"))
    one, two, gap = next(names for names in groups if match.group(names[0]) is not None)
    words = [match.group(one).lower(), match.group(two).lower()]
    steps = [_STEP.get(word, (0, 0)) for word in words]
    if steps[0] == steps[1] == (0, 0):
        return None
    x, y = turn.step((steps[0][0] + steps[1][0], steps[0][1] + steps[1][1]))
    middle = next((word for word in words if word not in _STEP), "center")
    vertical = _NOUN if "top" in words or "bottom" in words else _ADJECTIVE
    row = vertical[0, y] if y else middle
    column = _ADJECTIVE[x, 0] if x else middle
    row_first = steps[0][0] == 0 if steps[0] != (0, 0) else steps[1][0] != 0
    hand = "-hand" if match.group(0).lower().endswith("-hand") and x else ""
    first, second = (row, column) if row_first else (column, row)
    return f"{first}{match.group(gap)}{second}{hand}"


def _sweep(match: re.Match[str], text: str, turn: Turn) -> str | None:
    ends = [match.group(name).lower() for name in ("sweep_from", "sweep_end")]
    first, second = (_word(word, turn, _NOUN) for word in ends)
    return f"{first}{match.group('sweep_to')}{second}"


def _part(match: re.Match[str], text: str, turn: Turn) -> str | None:
    noun, at = match.group("part_noun"), match.group("part_at") or ""
    if turn.swaps_axes:
        noun = {"side": "part", "part": "side", "sides": "parts", "parts": "sides"}.get(noun.lower(), noun)
        at = {"part": "in the ", "side": "on the "}.get(noun, at) if at else ""
    word = _word(match.group("part_of").lower(), turn, _ADJECTIVE)
    hand = match.group("part_hand") or "" if word in ("left", "right") else ""
    return f"{at}{word}{hand} {noun}"


def _joined(match: re.Match[str], text: str, turn: Turn) -> str | None:
    return _word(match.group("joined").lower(), turn, _ADJECTIVE)


def _most(match: re.Match[str], text: str, turn: Turn) -> str | None:
    word = match.group(0).lower()
    style = _ADJECTIVE if word.startswith(("upper", "lower")) else _NOUN
    return _word(word.removesuffix("most"), turn, style) + "most"


def _relation(match: re.Match[str], text: str, turn: Turn) -> str | None:
    word = (match.group("beside") or match.group("over")).lower()
    step = turn.step(_STEP[word])
    if step[0] == 0:
        return "above" if step[1] < 0 else "below"
    follows = text[match.end() : match.end() + 5].lower()
    is_alone = not follows.strip(" .,;:)") or follows[0] in ".,;:)" or follows.startswith((" and ", " or ", " but "))
    of = match.group("beside_of") or "" if match.group("beside") else ("" if is_alone else " of")
    return f"to the {_NOUN[step]}{of}"


def _bare(match: re.Match[str], text: str, turn: Turn) -> str | None:
    name = next(f"bare_{i}" for i in range(1, 7) if match.group(f"bare_{i}") is not None)
    word = match.group(name).lower()
    new = _word(word, turn, _ADJECTIVE if word in ("upper", "lower") else _NOUN)
    before = match.group(0)[: match.start(name) - match.start()]
    if turn.swaps_axes and match.group("bare_in"):  # "on the left", "at the top"
        swapped = {"on": "at", "at": "on"}.get(match.group("bare_in").lower())
        before = f"{swapped} the " if swapped else before
    return before + new


def _axis(match: re.Match[str], text: str, turn: Turn) -> str | None:
    """An axis has no beginning: it gets the name that annotators use."""
    phrase = match.group(0)
    words = re.sub(r"(north|south)[- ](east|west)", r"\1\2", phrase.lower())
    ends = [_STEP_OF[word] for word in re.split(r"[-–/]", words)]
    axis = _turned_axis(ends, turn)
    if axis is None:
        return None
    dash = next(character for character in "–/-" if character in phrase)
    return axis.replace("-", dash) or phrase


def _turned_axis(ends: list[Step], turn: Turn) -> str | None:
    """The name of the axis between two directions after the turn, "" where it stays; None for no axis."""
    one, other = ends
    if one != (-other[0], -other[1]):
        return None
    turned = turn.step(one)
    return "" if turned in ends else next(axis for axis in AXES if _WIND_OF[turned] in axis.split("-"))


def _wind(match: re.Match[str], text: str, turn: Turn) -> str | None:
    phrase = match.group(0)
    found = re.fullmatch(
        rf"(?:(?P<half>north|south|east|west)(?P<dash>[- ])(?={_ORDINAL}))?(?P<name>{_WIND})(?P<ending>{_ENDING})",
        phrase.lower(),
    )
    if found is None:
        return None
    name, joint = found["name"], re.search(r"[- ]", found["name"])
    plain = re.sub(r"[- ]", "", name)
    if found["half"] is not None:
        plain = f"{found['half']}-{plain}"
        if plain not in _WINDS:
            return None
    turned = _WINDS[round(turn.azimuth(22.5 * _WINDS.index(plain)) / 22.5) % 16]
    if joint is not None:
        turned = re.sub(r"(north|south)(east|west)", rf"\1{joint.group()}\2", turned)
    if found["half"] is not None:
        turned = turned.replace("-", found["dash"], 1)
    return turned + found["ending"]


def _plumb(match: re.Match[str], text: str, turn: Turn) -> str | None:
    if not turn.swaps_axes:
        return match.group(0)
    other = {"horizontal": "vertical", "vertical": "horizontal"}
    return re.sub("horizontal|vertical", lambda word: other[word.group().lower()], match.group(0), flags=re.IGNORECASE)


_SHORT: Final = {name: re.sub("(north|south|east|west)", lambda word: word[0][0].upper(), name) for name in COMPASS}
_LONG: Final = {letters: name for name, letters in _SHORT.items()}


def _letters(match: re.Match[str], turn: Turn) -> str | None:
    """ "NE part", "N-S"."""
    if match.group("only") is not None:
        return _SHORT[_WIND_OF[turn.step(_STEP_OF[_LONG[match.group("only")]])]]
    axis = _turned_axis([_STEP_OF[_LONG[match.group(end)]] for end in ("one", "other")], turn)
    if axis is None:
        return None
    return "-".join(_SHORT[name] for name in axis.split("-")) if axis else match.group(0)


def _word(word: str, turn: Turn, names: dict[Step, str]) -> str:
    """A side after the turn: in the family of the word where it stays a row or a column, else in `names`."""
    step = turn.step(_STEP[word])
    for family in (_ADJECTIVE, _NOUN):
        if word in family.values() and step[0] == 0 and _STEP[word][0] == 0:
            return family[step]
    return names[step]


_WRITERS: Final[dict[str, Callable[[re.Match[str], str, Turn], str | None]]] = {
    "neutral": _neutral,
    "numbers": _numbers,
    "angle": _angle,
    "sense": _sense,
    "listing": _listing,
    "corner": _corner,
    "sweep": _sweep,
    "part": _part,
    "joined": _joined,
    "most": _most,
    "relation": _relation,
    "bare": _bare,
    "axis": _axis,
    "wind": _wind,
    "plumb": _plumb,
}
