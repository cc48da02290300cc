"""What a general language model is sent of a question, and with which rules its answer is read.

The wording of the question is the one that `knowlip evaluate` asks. What a model that was taught these questions knows
from its training stands around it: what the image is, how much ground it shows, and which answers there are.
"""

import re
from typing import Final, Literal, NamedTuple

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES
from knowlip.language.questions import MAX_COUNT, MIN_SHARE, Question, QuestionType
from knowlip.tasks.answers import even

PromptKind = Literal["choices", "question"]
OutcomeKind = Literal["read", "unreadable", "refused", "no answer"]
"""What came of a question; all but the first count as wrong."""

_IMAGE: Final = "This is a synthetic aperture radar (SAR) image{ground}. Bright pixels scatter strongly."
_NO_IMAGE: Final = (
    "The question is about a synthetic aperture radar (SAR) image{ground}. You are not shown the image: give the "
    "answer that is most probable."
)
_END: Final = "Give the answer alone, without an explanation."
_GRID: Final = f"The image is divided into 3 x 3 regions: {', '.join(REGIONS)}."
_WORDS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_NUMBERS: Final = {word: str(number) for number, word in enumerate(_WORDS)} | {"no": "0", "none": "0"}
_SAME: Final = (
    *(("top", "upper"), ("bottom", "lower"), ("middle", "center"), ("centre", "center"), ("central", "center")),
    *(("center center", "center"), ("left center", "center left"), ("right center", "center right")),
    *(("center upper", "upper center"), ("center lower", "lower center")),
)
"""Other words for regions, replaced one after the other."""
_OTHER_LANDFORMS: Final = {"sea": "water", "ocean": "water", "forest": "wood", "woods": "wood", "fields": "field"}
_DENIED: Final = re.compile(r"\b(?:not?|without|except|neither|nor|absent|isn't|aren't)\b")
_THOUGHTS: Final = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MARKED: Final = re.compile(r"(?:^|\n)\W*(?:final )?answer\W*[:=]\s*(.+)", re.IGNORECASE)
MOST_READ: Final = 4000
"""Characters of a reply of which the end is read."""


class ReadAnswer(NamedTuple):
    """What was understood of a reply."""

    answer: str
    """In the words of the closed vocabulary; "" where there is none."""
    problem: str = ""
    """Why there is none."""


def prompt_of(question: Question, window_m: float, kind: PromptKind, blind: bool) -> str:
    """The text that is sent for a question.

    Args:
        question: one of the six types.
        window_m: side of the image on the ground in metres; NaN where it is not known.
        kind: "question" sends its words alone, "choices" also what the image is and which answers there are.
        blind: no image is sent.
    """
    if kind == "question":
        return question.question
    ground = "" if window_m != window_m else f" of {window_m:.0f} m by {window_m:.0f} m of ground"
    image = (_NO_IMAGE if blind else _IMAGE).format(ground=ground)
    return f"{image}\n{question.question}\n{_rule(question)} {_END}"


def _rule(question: Question) -> str:
    """Which answers there are."""
    landforms = f"one of: {', '.join(LANDFORMS)}. Airfield is runways, aprons and the grass between them."
    match question.type:
        case QuestionType.COUNT:
            return f"Answer with a whole number from 0 to {MAX_COUNT}."
        case QuestionType.RECOGNITION:
            return f"Answer with one of: {', '.join(types_of(question.subject))}."
        case QuestionType.POSITION:
            return f"{_GRID} Answer with one of these."
        case QuestionType.MAIN_LANDFORM:
            return f"Answer with {landforms}"
        case QuestionType.ALL_LANDFORMS:
            return f"Answer with each that covers at least {MIN_SHARE:.0%} of the image, separated by commas, of: " + (
                landforms.removeprefix("one of: ")
            )
        case QuestionType.REGIONAL_LANDFORM:
            return f"{_GRID} Answer with the landform that covers most of that region, {landforms}"


def types_of(subject: str) -> tuple[str, ...]:
    """Types that a recognition question may be answered with: of ships, of aircraft, or of both."""
    kinds = {"ship": SHIP_TYPES, "aircraft": AIRCRAFT_TYPES}.get(subject, (*SHIP_TYPES, *AIRCRAFT_TYPES))
    return tuple(one.name for one in kinds)


def read_reply(question: Question, reply: str) -> ReadAnswer:
    """The answer that a reply gives, by rules that are the same for every model (docs/llm.md).

    What a model thinks aloud is left out; of a line "Answer: X" the last one counts, else the whole reply. An answer
    of the vocabulary that stands there alone, or is the only one that is named, is the answer; a reply that names
    several, or none, is unreadable.
    """
    text = _THOUGHTS.sub(" ", reply)[-MOST_READ:]
    if marked := _MARKED.findall(text):
        text = marked[-1]
    text = even(re.sub(r"[*_`\"'#]+", "", text.replace("\u2019", "'"))).strip(" .:!")
    if not text:
        return ReadAnswer("", "it is empty")
    if question.type == QuestionType.COUNT:
        return _one([_NUMBERS.get(number, number.lstrip("0") or "0") for number in _numbers(text)], "number")
    if question.type == QuestionType.ALL_LANDFORMS:
        return _all_landforms(text)
    if question.type == QuestionType.POSITION:
        text = text.replace("-", " ")
        for other, word in _SAME:
            text = re.sub(rf"\b{other}\b", word, text)
        return _one(_named(text, REGIONS), "region")
    if question.type == QuestionType.RECOGNITION:
        return _one(_named(text, types_of("")), "type")
    return _one(_named(_landform_words(text), LANDFORMS), "landform")


def _one(named: list[str], what: str) -> ReadAnswer:
    """The one answer that is named."""
    different = list(dict.fromkeys(named))
    if len(different) == 1:
        return ReadAnswer(different[0])
    return ReadAnswer("", f"it names {len(different)} {what}s" if different else f"it names no {what}")


def _numbers(text: str) -> list[str]:
    return re.findall(rf"(?<![\w.,])(?:\d{{1,6}}(?![\w]|[.,]\d)|(?:{'|'.join(_NUMBERS)})\b)", text)


def _named(text: str, names: tuple[str, ...]) -> list[str]:
    """Names in a text, longest first so that "upper left" is not "left" too; with or without a plural s."""
    pattern = "|".join(rf"{re.escape(name)}" for name in sorted(names, key=len, reverse=True))
    return re.findall(rf"(?<![\w-])({pattern})s?(?![\w-])", text)


def _landform_words(text: str) -> str:
    text = re.sub(r"\bbuilt[ -]?up\b", "built-up", text)
    return re.sub(rf"\b({'|'.join(_OTHER_LANDFORMS)})\b", lambda match: _OTHER_LANDFORMS[match[1]], text)


def _all_landforms(text: str) -> ReadAnswer:
    """Every landform that is named, in the order of the vocabulary."""
    if _DENIED.search(text):  # "water, no wood": what is denied is named too
        return ReadAnswer("", "it says what there is not")
    named = set(_named(_landform_words(text), LANDFORMS))
    answer = ", ".join(name for name in LANDFORMS if name in named)
    return ReadAnswer(answer) if answer else ReadAnswer("", "it names no landform")
