"""Which of the six kinds of questions a question is, whatever its words, or that it is none of them.

A question is read by what it must name (a cue of its kind, and a target or a region) and by what is left over: a word
that the kind has no place for ("at the quay", "large", "yesterday", "oil") makes it another question, which a model
that was taught the six would answer as if the word were not there. How many such words are let through is measured
(:mod:`benchmarks.ask_evidence`): none.
"""

import re
from typing import Final, NamedTuple

from knowlip.base.vocabulary import REGIONS
from knowlip.language.categories import types_in
from knowlip.language.phrases import plural
from knowlip.language.questions import TEMPLATES, QuestionType

TAUGHT: Final = (
    "how many ships or aircraft there are, of which type they are, where most of them lie, the main landform, all "
    "landforms, and the landform of a region"
)
"""What may be asked, for sentences."""
_SHIPS: Final = frozenset("ship ships vessel vessels boat boats watercraft".split())
_AIRCRAFT: Final = frozenset("aircraft aircrafts airplane airplanes aeroplane aeroplanes plane planes".split())
_LAND: Final = frozenset("landform landforms landcover landcovers landscape landscapes terrains".split())
_COMMON: Final = frozenset(
    """a an the this that these those is are was does do can could would you i we me us please tell say give show shows
    shown see seen visible there here in on of at by within inside what which how image images picture pictures scene
    tile radar sar it its and now and if so any be found find present contain contains containing have has depicted
    displayed appear appears all exactly about altogether overall total lie lies lying s you'd like to know for whole
    area view window i'd i'm want wish let kindly hello hi roughly approximately currently need think believe guess
    estimate
    determine identified recognise recognised recognize recognized spot spotted observe observed notice noticed detect
    detected discern make out pictured photo photograph photos frame snapshot did really just""".split()
)
"""Words that change no question."""
_CUES: Final[dict[QuestionType, frozenset[str]]] = {
    QuestionType.COUNT: frozenset("many number count quantity amount counted tally".split()),
    QuestionType.RECOGNITION: frozenset(
        "type types kind kinds class classes sort sorts identify classify classified category categories".split()
    ),
    QuestionType.POSITION: frozenset(
        """where whereabouts region regions position positions location locations located locate place placed situated
        part""".split()
    ),
    QuestionType.MAIN_LANDFORM: frozenset(
        """main dominant dominates dominating most largest biggest greatest primary principal predominant majority
        mainly mostly chiefly largely primarily predominantly prevailing prevalent""".split()
    ),
    QuestionType.ALL_LANDFORMS: frozenset(
        """landforms landcovers landscapes terrains covers list enumerate every all name types kinds classes sorts
        categories""".split()
    ),
    QuestionType.REGIONAL_LANDFORM: frozenset(
        "landform landcover landscape covers cover covered dominates covering landforms terrain type kind".split()
    ),
}
_MORE: Final[dict[QuestionType, frozenset[str]]] = {
    QuestionType.COUNT: frozenset("targets objects detected observed every them stand standing much".split()),
    QuestionType.RECOGNITION: frozenset(
        """most common belong belongs targets them they majority frequent frequently often numerous prevalent main
        mainly mostly prevailing commonest dominant dominates predominant predominates name""".split()
    ),
    QuestionType.POSITION: frozenset(
        """most nine holds hold holding majority grid concentrated with stand stands standing sit section portion
        cluster clustered gathered""".split()
    ),
    QuestionType.MAIN_LANDFORM: frozenset(
        """landform landcover land cover covers covered part name area terrain type kind sort class ground surface
        consist consists made up common widespread extensive""".split()
    ),
    QuestionType.ALL_LANDFORMS: frozenset(
        """landform land cover name consist consists made up ground surface terrain area of class type kind different
        various occur exist terrains landscape""".split()
    ),
    QuestionType.REGIONAL_LANDFORM: frozenset(
        """main dominant land cover part region area corner side section quadrant name dominates most mainly
        mostly ground terrain surface sort""".split()
    ),
}
_SHOWN: Final = "(?:images?|pictures?|scenes?|tiles?|radar|sar|views?|windows?|areas?)"
_THE: Final = "(?:(?:a|an|the|this|that|these|those) )?"
_TYPE: Final = "(?:types?|kinds?|class|classes|sorts?|category|categories)"
_ANOTHER: Final[dict[QuestionType, re.Pattern[str]]] = {
    QuestionType.COUNT: re.compile(
        rf"\b(?:many|count) {_THE}{_SHOWN}\b|\b(?:number|quantity|amount) (?!of\b)"
        rf"|\b(?:number|quantity|amount) of {_THE}{_SHOWN}\b"
        r"|\b(?:number|quantity|amount) of (?:the|this|that|a) (?:ship|vessel|boat|plane|airplane)\b"
    ),
    QuestionType.RECOGNITION: re.compile(rf"\b{_TYPE} of {_THE}{_SHOWN}\b|\b{_SHOWN} {_TYPE}\b"),
    QuestionType.POSITION: re.compile(
        rf"\bwhere (?:is|are|was|were) {_THE}{_SHOWN}\b"
        rf"|\b(?:location|position|place) (?:of {_THE}{_SHOWN}|is (?:this|it))\b"
        rf"|\bparts? of {_THE}(?:ships?|vessels?|boats?|aircrafts?|(?:air|aero)?planes?)\b"
    ),
    QuestionType.MAIN_LANDFORM: re.compile(r"\b(?:which|what) part\b"),
}
"""Words of a kind that ask for something else: of images and not of targets, or for what a target bears or shows."""
_NAMES: Final = "(?:ships?|vessels?|boats?|aircraft|(?:air|aero)?planes?)"
_SEEN: Final = "(?:is(?: (?:there|shown|seen|visible))?|lies|(?:do|can) (?:you|i|we) see|can be seen)"
_LANDS: Final = "(?:land|landform|landcover|landscape|terrain|ground|surface)"
_ALSO: Final[dict[QuestionType, re.Pattern[str]]] = {
    QuestionType.COUNT: re.compile(r"\btotal (?:of|number)\b"),
    QuestionType.RECOGNITION: re.compile(rf"\b(?:what|which) {_NAMES} (?:is|are) (?:this|that|these|those)\b"),
    QuestionType.MAIN_LANDFORM: re.compile(
        rf"\b(?:what|which) {_TYPE} of {_LANDS} (?:is|are) (?:this|that|it|here|shown|there)\b|^what is the {_LANDS}\b"
    ),
    QuestionType.REGIONAL_LANDFORM: re.compile(rf"^what {_SEEN} (?:in|at|on|within|upper|lower|top|bottom)\b"),
    QuestionType.POSITION: re.compile(r"\b(?:what|which) (?:area|section|portion|zone)s?\b"),
}
"""Cues of more than one word."""
_GROUND: Final = re.compile(
    r"\bcovers?\b|\bcovered\b|\bterrain\b|\bground\b.*\bconsist"
    rf"|\b(?:surface|land|ground) {_TYPE}\b|\b{_TYPE} of {_THE}(?:land|ground|surface)s?\b"
)
"""Words about the ground that stand for landforms."""
_OF_THE_MODEL: Final = re.compile(r"\byou (?:have|know|like|want)\b(?! (?:to|how|where|what|which)\b)")
"""What is asked of whoever answers, not of the image."""
_ROW: Final = {"upper": "upper", "top": "upper", "lower": "lower", "bottom": "lower"}
_COLUMN: Final = {"left": "left", "right": "right"}
_MIDDLE: Final = frozenset("center centre middle central".split())
_ONE: Final = re.compile(r"\bregion ([1-9])\b")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_YES_NO: Final = re.compile(r"^(is|are|do|does|can|could|has|have|was|were|will)\b")


class ReadQuestion(NamedTuple):
    """What a question asks."""

    type: QuestionType | None
    """None where it is none of the six."""
    subject: str
    """"ship", "aircraft", a region's name, or ""."""
    words: str
    """The question in words that models are taught: its own where it is one of them."""
    odd: tuple[str, ...]
    """Words that have no place in a question of this kind; of none, those that no kind has a place for."""
    reason: str
    """Why it is none of the six, a sentence; "" where it is one."""


def read_question(question: str, let_through: int = 0) -> ReadQuestion:
    """Which of the six kinds a question is.

    Args:
        question: in any words.
        let_through: words without a place that it may have.
    """
    given = _TAUGHT_WORDS.get(_even(question))
    if given is not None:
        return ReadQuestion(given[0], given[1], question, (), "")
    text = _even(question)
    words = _WORD.findall(text)
    region, left = _region(text, words)
    fits = [one for kind in QuestionType if (one := _as_kind(kind, text, words, region, left)) is not None]
    best = min(fits, key=lambda one: len(one.odd), default=None)
    if best is not None and len(best.odd) <= let_through and not (_YES_NO.match(text) and _asks_whether(words)):
        return best
    return ReadQuestion(None, "", question, best.odd if best else tuple(_strange(words)), _why(text, words, best))


def _even(text: str) -> str:
    """In small letters, hyphens and land cover as one word."""
    plain = " ".join(text.lower().replace("-", " ").replace("’", "'").split())
    plain = re.sub(r"\b(what|where|which)'s\b", r"\1 is", plain)
    return re.sub(r"\bland (forms?|covers?)\b", r"land\1", plain).strip(" .?!")


def _region(text: str, words: list[str]) -> tuple[str, list[str]]:
    """A region's name in `REGIONS`, "" where none or several are named; and the other words."""
    if found := _ONE.search(text):
        return REGIONS[int(found[1]) - 1], [word for word in words if word not in ("region", found[1])]
    rows = {_ROW[word] for word in words if word in _ROW}
    columns = {word for word in words if word in _COLUMN}
    middle = any(word in _MIDDLE for word in words)
    left = [word for word in words if word not in _ROW and word not in _COLUMN and word not in _MIDDLE]
    if len(rows) > 1 or len(columns) > 1 or not (rows or columns or middle):
        return "", words
    if rows and columns:
        return ("", words) if middle else (f"{rows.pop()} {columns.pop()}", left)
    # "the left side" is three regions; only with "center" it is one.
    if middle:
        row, column = rows.pop() if rows else "center", columns.pop() if columns else "center"
        return ("center" if row == column else f"{row} {column}"), left
    return "", words


def _as_kind(kind: QuestionType, text: str, words: list[str], region: str, left: list[str]) -> ReadQuestion | None:
    """The question as one of a kind; None where it names not what that kind must name."""
    ships, aircraft = bool(_SHIPS & {*words}), bool(_AIRCRAFT & {*words})
    of_targets = kind in (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION)
    also = _ALSO.get(kind)
    cued = bool(_CUES[kind] & {*words}) or (also is not None and bool(also.search(text)))
    if not cued or (ships and aircraft) or of_targets != (ships or aircraft):
        return None
    if (kind == QuestionType.REGIONAL_LANDFORM) != bool(region) and not of_targets:
        return None
    # What is somewhere, and nothing else, is the ground there; with a word for most, bare words for ground are enough.
    asks_land = bool(({*words} & _LAND) or _GROUND.search(text)) or (also is not None and bool(also.search(text)))
    asks_land = asks_land or (kind == QuestionType.MAIN_LANDFORM and bool({*words} & {"land", "ground", "surface"}))
    if not of_targets and not asks_land:
        return None
    if kind == QuestionType.ALL_LANDFORMS and _CUES[QuestionType.MAIN_LANDFORM] & {*words}:
        return None
    if _OF_THE_MODEL.search(text):
        return None
    if (another := _ANOTHER.get(kind)) is not None and another.search(text):
        return None
    known = _COMMON | _CUES[kind] | _MORE[kind] | (_SHIPS | _AIRCRAFT if of_targets else _LAND)
    rest = left if kind == QuestionType.REGIONAL_LANDFORM else words
    subject = ("ship" if ships else "aircraft") if of_targets else region if kind == "regional_landform" else ""
    named = {"singular": subject, "plural": plural(subject) if subject else "", "region": subject}
    odd = tuple(word for word in rest if word not in known)
    return ReadQuestion(kind, subject, TEMPLATES[kind][0].format(**named), odd, "")


def _asks_whether(words: list[str]) -> bool:
    """Whether a question that begins like one for yes or no is none that begins politely ("can you tell me") or goes on
    ("are there ships, and how many")."""
    return not {"how", "tell", "say", "give", "show", "count", "list", "name", "identify"} & {*words}


def _strange(words: list[str]) -> list[str]:
    known = _COMMON.union(*_CUES.values(), *_MORE.values(), _SHIPS, _AIRCRAFT, _LAND, _ROW, _COLUMN, _MIDDLE)
    return [word for word in words if word not in known]


def _why(text: str, words: list[str], best: ReadQuestion | None) -> str:
    """Why a question is none of the six."""
    types = types_in(text.replace("-", " "))
    sides = [word for word in words if word in _ROW or word in _COLUMN]
    part = sides[0] if len(sides) == 1 and not {*words} & (_SHIPS | _AIRCRAFT | _MIDDLE) else ""
    if types and best is None:
        what = f'single types ("{types[0]}") are not counted or placed by themselves'
    elif _YES_NO.match(text) and _asks_whether(words):
        targets = "ships" if _SHIPS & {*words} else "aircraft" if _AIRCRAFT & {*words} else ""
        what = "it asks for yes or no" + (f'; ask "How many {targets} are visible?"' if targets else "")
    elif _SHIPS & {*words} and _AIRCRAFT & {*words}:
        what = "ships and aircraft are asked about one at a time"
    elif part and not _region(text, words)[0]:
        what = f'"{part}" is more than one of the nine regions: name one, as in "upper left" or "center right"'
    elif odd := (best.odd if best else _strange(words)):
        what = "no kind has a place for " + ", ".join(f'"{word}"' for word in list(dict.fromkeys(odd))[:4])
    else:
        what = "it is none of these"
    return f"The model was taught to say {TAUGHT}; {what}."


def _all_wordings() -> dict[str, tuple[QuestionType, str]]:
    found = {}
    for kind in QuestionType:
        targets = kind in (QuestionType.COUNT, QuestionType.RECOGNITION, QuestionType.POSITION)
        subjects = ("ship", "aircraft") if targets else REGIONS if kind == QuestionType.REGIONAL_LANDFORM else ("",)
        for subject in subjects:
            named = {"singular": subject, "plural": plural(subject) if subject else "", "region": subject}
            for wording in TEMPLATES[kind]:
                found[_even(wording.format(**named))] = (kind, subject)
    return found


_TAUGHT_WORDS: Final = _all_wordings()
