"""What is understood of a language model's reply, by rules that are the same for every model (docs/llm.md).

In doubt a reply is unreadable: an answer that nobody gave counts as wrong at best, and as right by luck at worst.
"""

import re
from typing import Final, Literal, NamedTuple

from knowlip.annotators.openai.endpoint import TileFailed
from knowlip.annotators.openai.reply import ChatAnswer
from knowlip.base.vocabulary import LANDFORMS, REGIONS
from knowlip.benchmark.llm.prompt import types_of
from knowlip.language.questions import Question, QuestionType
from knowlip.tasks.answers import even

OutcomeKind = Literal["read", "unreadable", "refused", "no answer"]
"""What came of a question; all but the first count as wrong."""
MOST_READ: Final = 4000
"""Characters of a reply that are read: the whole of a shorter one, of a longer one only an answer marked at its end."""

_CUT_OFF: Final = ("length", "max_tokens", "max_output_tokens", "model_length")
"""What endpoints call the end of a reply that was to go on."""

_THOUGHTS: Final = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_MARK: Final = r"(?:^|\n)\W*(?:final )?answer\W*[:=]"
_MARKED: Final = re.compile(rf"{_MARK}\s*(.+)", re.IGNORECASE)
_MARKED_LINE: Final = re.compile(rf"{_MARK}[^\S\n]*(\S.*)", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[*_`\"#\u201c\u201d]+|(?<!\w)'|'(?!\w)")
"""Markdown and quotation marks, but no apostrophe."""

_PICTURE: Final = r"(?:images?|pictures?|photos?|photographs?|scenes?|tiles?|files?|screenshots?)"
_GIVE: Final = r"(?:provide|upload|re-?upload|share|attach|send|resend|supply|include|give|show|paste|insert|submit)"
_REFUSED: Final = re.compile(
    r"\b(?:sorry|apolog\w+|cannot|can not|can'?t|unable|not able|as an? (?:ai|text|language|large)"
    r"|(?:do not|don't) (?:have|know)"
    r"|no (?:images?|pictures?|access|way|idea|information)"
    rf"|(?:please|kindly|(?:can|could|would|will) you)\W+(?:\w+\W+){{0,2}}?{_GIVE}"
    rf"|(?:provide|upload|re-?upload|attach|resend|supply|submit) (?:\w+ ){{0,4}}?{_PICTURE}"
    rf"|(?:needs?|needed|require[sd]?|must have|missing) (?:\w+ ){{0,3}}?{_PICTURE}"
    r"|(?:need|require|want|like|have) to (?:see|view|inspect|look at|examine) (?:the|an?|your|this|that|it)"
    rf"|(?:if|once|when|unless|until|as soon as) (?:i|you|we) (?:\w+ ){{1,4}}?{_PICTURE}"
    r"|declin(?:e[sd]?|ing)|refus(?:e[sd]?|ing|al)|violat\w+|guidelines?|polic(?:y|ies)|prohibit\w*"
    r"|not (?:allowed|permitted)|(?:won'?t|will not|would rather not) (?:\w+ )?(?:discuss|answer|identify|help|assist"
    r"|provide|say|name|count|comment))"
    r"\b"
)
"""Says that it cannot or will not, or asks for the image."""
_NOT: Final = (
    r"not|\w+n't|(?:is|are|was|were|do|does|did|could|would|should|has|have)nt|never|neither|nor|without|except\w*"
    r"|exclud\w+|lack\w*|absen\w+|missing|(?:any|every|all)thing but|all but|(?:rather|other|less) than|instead of"
    r"|(?:apart|aside|far) from|free of|devoid|fail\w*|hardly|barely|unlike\w*|impossible|whether|or|either"
    r"|(?:hard|difficult) to|unclear|unknown|unsure|uncertain|ambiguous|depends?|if|assuming|suppos\w+|hypothe\w+"
    r"|possible|(?:for|an) (?:example|instance)|examples?|e\.? ?g|options?|candidates?|choices?|(?:question|it) asks"
    r"|blank|by default"
)
"""What denies an answer or leaves it open, or only says which there might be."""
_DENIED: Final = re.compile(rf"\b(?:{_NOT}|no|none|nothing|nowhere)\b")
_BESIDE: Final = re.compile(
    r"\b(?:next to|near|besides?|adjacent|surround\w*|around|border\w*|bounded|close to|along|beyond|behind|between"
    r"|than)\b"
)
"""What is named after these may be what lies beside the answer."""

# ---- numbers ----

_WORDS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_NUMBERS: Final = {word: str(number) for number, word in enumerate(_WORDS)} | {"no": "0", "none": "0"}
_WORD: Final = "|".join(_NUMBERS)
_NOUNS: Final = {"ship": "ship|vessel|boat|target", "aircraft": "aircraft|airplane|aeroplane|plane|target"}
_INEXACT: Final = re.compile(
    rf"\b(?:{_NOT}|than|at (?:least|most)|up to|between|over|under|above|below|beyond|nearly|almost|about"
    r"|approx\w*|roughly|around|circa|ca|or so|give or take|estimat\w+|max\w*|min\w*"
    r"|exceed\w*|thirty|fou?rty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|dozens?|couple|pairs?|half"
    r"|several|few|many|some|various|numerous|multiple|others?|another|additional|more|extra|rest|remaining|both"
    r"|upper|lower|left|right|top|bottom|corner|side)\b"
    r"|\b(?:region|cell|quadrant|row|column|figure|image|tile|option|step)s? (?:number |no )?[0-9]"
    r"|[<>\u2264\u2265\u00b1~\u2212\u2013\u2014-]\s*[0-9]|(?:^|\n)\s*[0-9]+[.)] +\S"
)
"""Bounds, rough and partial numbers, numbers of something else, signs, and numbers of a list's lines."""

# ---- regions ----

_SAME: Final = {"top": "upper", "bottom": "lower", "middle": "center", "centre": "center", "central": "center"}
_BETWEEN: Final = r"[ ,(/]+"
_ROW_COLUMN: Final = re.compile(
    rf"\b(?:(upper|center|lower)(?: row)?{_BETWEEN}(left|center|right)(?: column)?"
    rf"|(left|center|right) column{_BETWEEN}(upper|center|lower) row"
    rf"|(left|right){_BETWEEN}(upper|center|lower)|(center){_BETWEEN}(upper|lower))\b"
)
_ELSEWHERE: Final = re.compile(
    r"\b(?:upper|lower|left|right|top|bottom|north|south|east|west)\w*|\b(?:rows?|columns?|above|below|beneath|under"
    r"|over|outside|opposite|off|away)\b|[0-9]"
)
"""What beside the name of a region says that it is another, or one seen from there."""

# ---- landforms ----

_OTHER_LANDFORMS: Final = {"sea": "water", "ocean": "water", "forest": "wood", "woods": "wood", "fields": "field"}
_NO_FIELD: Final = re.compile(
    r"\bfields? of (?:view|vision|regard)\b|\b(?:near|far|landing|flying|playing|football|sports?|oil|ice|snow|solar"
    r"|magnetic|visual|wave)[ -]fields?\b"
)


class ReadAnswer(NamedTuple):
    """What was understood of a reply."""

    answer: str
    """In the words of the closed vocabulary; "" where there is none."""
    problem: str = ""
    """Why there is none."""
    outcome: OutcomeKind = "read"


class LlmReply(NamedTuple):
    """What came of a question."""

    answer: str
    """As the closed vocabulary says it; "" where none could be read."""
    outcome: OutcomeKind
    why: str
    """Where there is no answer."""
    said: str
    """The reply, "" where there was none."""


def understood(question: Question, answer: ChatAnswer | TileFailed) -> LlmReply:
    """What came of a question; the reply is stored without the endpoint's key already."""
    if isinstance(answer, ValueError):
        return LlmReply("", "no answer", str(answer), "")
    said = answer["content"]
    if answer["refusal"] or answer["finish_reason"] == "content_filter":
        return LlmReply("", "refused", answer["refusal"] or "content filter", said)
    read = read_reply(question, said, answer["finish_reason"].lower() in _CUT_OFF)
    return LlmReply(read.answer, read.outcome, read.problem, said)


def read_reply(question: Question, reply: str, cut: bool = False) -> ReadAnswer:
    """The answer that a reply gives.

    What a model thinks aloud is left out; of a line "Answer: X" the last one counts, else the whole reply. An answer
    of the vocabulary that stands there alone, or is the only one that is named, is the answer; a reply that names
    several, or none, denies something, or leaves it open, is unreadable, and one that says that it cannot is refused.

    Args:
        question: one of the six types.
        reply: as it came.
        cut: whether it broke off at the most tokens; then only a marked line that is complete is read.
    """
    text, problem = _answering(_spoken(reply), question.type, cut)
    if problem:
        return _unread(problem)
    # The brackets of a JSON object, as of {"answer": 3}, say nothing.
    text = even(_LETTERS.sub("", text.replace("\u2019", "'"))).strip(" .:!{}")
    if not text:
        return _unread("it is empty")
    if _REFUSED.search(text):
        return ReadAnswer("", "it says that it cannot answer", "refused")
    if question.type == QuestionType.COUNT:
        return _count(text, question.subject)
    if _DENIED.search(text):  # "water, no wood": what is denied is named too
        return _unread("it says what there is not, or leaves it open")
    if question.type == QuestionType.ALL_LANDFORMS:
        named = set(_named(_landform_words(text), LANDFORMS))
        answer = ", ".join(name for name in LANDFORMS if name in named)
        return ReadAnswer(answer) if answer else _unread("it names no landform")
    if _BESIDE.search(text):
        return _unread("it speaks of what is beside something")
    if question.type == QuestionType.POSITION:
        return _region(text)
    if question.type == QuestionType.RECOGNITION:
        return _one(_named(text, types_of("")), "type")
    return _one(_named(_landform_words(text), LANDFORMS), "landform")


def _unread(problem: str) -> ReadAnswer:
    return ReadAnswer("", problem, "unreadable")


def _spoken(reply: str) -> str:
    """A reply without what stands in <think>: up to the end of one that never ends, from the start of one that never
    began, as where the chat's template has written its beginning."""
    said: list[str] = []
    thinking, at = False, 0
    for tag in _THOUGHTS.finditer(reply):
        if not thinking:
            said.append(reply[at : tag.start()])
        if tag[1] and not thinking:
            said.clear()
        thinking, at = not tag[1], tag.end()
    return " ".join(said if thinking else [*said, reply[at:]])


def _answering(text: str, kind: QuestionType, cut: bool) -> tuple[str, str]:
    """The part of a reply that answers, and why there is none."""
    end = text[-MOST_READ:]
    if cut:  # the line in which it broke off may say anything
        whole, _, last = end.rpartition("\n")
        marked = list(_MARKED_LINE.finditer(whole))
        if not marked or "answer" in last.lower() or re.search(r"(?:[,;:&]|\band)\W*$", marked[-1][1], re.IGNORECASE):
            return "", "it was cut off (openai.max_tokens)"
        return marked[-1][1], ""
    if marked := list(_MARKED.finditer(end)):
        if kind == QuestionType.ALL_LANDFORMS:  # may be a list, one a line
            return end[marked[-1].start(1) :].split("\n\n")[0], ""
        return marked[-1][1], ""
    return (
        (text, "") if len(text) <= MOST_READ else ("", f"it is longer than {MOST_READ} characters, marking no answer")
    )


def _one(named: list[str], what: str) -> ReadAnswer:
    """The one answer that is named."""
    different = list(dict.fromkeys(named))
    if len(different) == 1:
        return ReadAnswer(different[0])
    return _unread(f"it names {len(different)} {what}s" if different else f"it names no {what}")


def _count(text: str, subject: str) -> ReadAnswer:
    """The number of targets that is named.

    A word counts only where it is all that is said, or stands before a target: "one cannot tell" is no one. A number
    in digits may also end a sentence.
    """
    # Whatever else is numeric must be understood too, else "twenty-one ships" were one, and "1,200" something.
    noun = rf"(?:{_NOUNS.get(subject) or '|'.join(_NOUNS.values())})(?:s|\(s\))?"
    seen = r"(?:visible|discernible|detectable|detected|seen|present|shown|here)"
    image = r"(?:in total|in (?:the|this) (?:\w+ )?(?:image|scene|picture))"
    after = rf"\s*(?:$|[.,;:!)\]\n]|{image}|{seen}\b|(?:is|are|was|were|can be|could be) {seen})"
    target = rf"(?:{seen} )?{noun}(?={after})"
    frame = r"there (?:is|are)|i (?:can )?(?:see|count)|is|it is|:|exactly|only"
    frame = rf"(?:{frame}|(?:the )?(?:answer|number|count|total)(?: of {noun})?)"
    text = re.sub(rf"\b({_WORD}|[0-9]+) ?\(({_WORD}|[0-9]+)\)", _said_twice, text)
    if match := re.fullmatch(rf"(?:{frame}\s+)*({_WORD})(?:\s+(?:{seen}|{image}))*", text):
        return ReadAnswer(_NUMBERS[match[1]])
    if _INEXACT.search(text):
        return _unread("it gives no exact number of targets")
    placed = re.compile(
        rf"(?<![\w.,/+^$-])(?:([0-9]{{1,6}})(?!\w|[.,][0-9])(?={after}|\s+{target})|({_WORD})(?=\s+{target}))"
    )
    rest = placed.sub(" ", text)
    if any(letter.isnumeric() for letter in rest) or re.search(rf"\b(?:{_WORD})\b", rest):
        return _unread("it names a number that may count something else")
    return _one([_value(digits or word) for digits, word in placed.findall(text)], "number")


def _value(number: str) -> str:
    return _NUMBERS.get(number, number.lstrip("0") or "0")


def _said_twice(match: re.Match[str]) -> str:
    """ "three (3)" is one number."""
    return match[1] if _value(match[1]) == _value(match[2]) else match[0]


def _region(text: str) -> ReadAnswer:
    """The one region that is named, by row and column in either order; not one that another direction leads on from."""
    text = re.sub(rf"\b(?:{'|'.join(_SAME)})\b", lambda match: _SAME[match[0]], text.replace("-", " "))
    text = _ROW_COLUMN.sub(_row_column, text)
    if _ELSEWHERE.search(_pattern(REGIONS).sub(" ", text)):
        return _unread("it names a direction beside a region, or none")
    return _one(_named(text, REGIONS), "region")


def _row_column(match: re.Match[str]) -> str:
    row = match[1] or match[4] or match[6] or match[8]
    column = match[2] or match[3] or match[5] or match[7]
    return "center" if row == column else f"{row} {column}"


def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Names in a text, longest first so that "upper left" is not "left" too; with or without a plural s."""
    pattern = "|".join(rf"{re.escape(name)}" for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])({pattern})s?(?![\w-])")


def _named(text: str, names: tuple[str, ...]) -> list[str]:
    return _pattern(names).findall(text)


def _landform_words(text: str) -> str:
    text = re.sub(r"\bbuilt[ -]?up\b", "built-up", re.sub(r"\bair[ -]field", "airfield", text))
    text = _NO_FIELD.sub(" ", text)
    return re.sub(rf"\b({'|'.join(_OTHER_LANDFORMS)})\b", lambda match: _OTHER_LANDFORMS[match[1]], text)
