"""The form of a language model's answer: JSON with an instruction set, its eight fields, counts and boxes, checked
first; free text where a server knows no JSON mode."""

import re
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from knowlip.annotators.openai.free_form import UNSTATED_CONFIDENCE, parse_free_form
from knowlip.annotators.openai.reply import plain
from knowlip.annotators.types import Annotation, Box, SubText
from knowlip.language.categories import category_of
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.marks import Sentence
from knowlip.language.statements import Evidence
from knowlip.language.words import NUMBERS

MAX_CHARACTERS = 400
"""Longest sub-text that is accepted; the paper's are 9 to 23 tokens on average."""
MAX_SENTENCES = 3
"""Most sentences of a sub-text that are accepted."""
MAX_BOXES = 100
"""Most boxes that are accepted; the prompt asks for at most 20."""
MAX_COUNT = 100_000
"""Most objects of a category that are accepted."""
_OUTSIDE = 0.02
"""A box may leave the tile by this fraction, as boxes of models often do; it is cut."""


def _category(name: str) -> str:
    name = category_of(plain(name))
    if not 0 < len(name) <= 40:
        raise ValueError("the category must be a short name such as ship or aircraft")
    return name


def _words(value: str) -> str:
    value = " ".join(plain(value).split()).rstrip(". ")
    if not value:
        raise ValueError("the text is empty")
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"the text has {len(value)} characters, at most {MAX_CHARACTERS} are allowed")
    return value


def _share(value: float) -> float:
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        raise ValueError("the confidence must lie between 0 and 1")
    return value


class SubTextAnswer(BaseModel):
    """One field of the answer."""

    # Of one sentence: the form of the unguided baseline and of older prompts. The docstring is part of the schema that
    # is sent, and so of the key of every paid answer.
    model_config = ConfigDict(extra="forbid")
    text: str
    confidence: float
    evidence: Evidence

    _text = field_validator("text")(_words)
    _confidence = field_validator("confidence")(_share)

    def sub_text(self, dimension: str) -> SubText:
        """As it is stored."""
        return SubText(dimension, self.text, self.confidence, self.evidence)

    @property
    def rests_on(self) -> set[Evidence]:
        return {self.evidence}


class SentenceAnswer(BaseModel):
    """One sentence of a field."""

    model_config = ConfigDict(extra="forbid")
    text: str
    evidence: Evidence
    layer: Literal[1, 2, 3, 4, 5]

    _text = field_validator("text")(_words)


class SentencesAnswer(BaseModel):
    """One field of the answer: one to three sentences."""

    model_config = ConfigDict(extra="forbid")
    sentences: list[SentenceAnswer]
    confidence: float

    _confidence = field_validator("confidence")(_share)

    @field_validator("sentences")
    @classmethod
    def _few(cls, value: list[SentenceAnswer]) -> list[SentenceAnswer]:
        if not 1 <= len(value) <= MAX_SENTENCES:
            raise ValueError(f"{len(value)} sentences, 1 to {MAX_SENTENCES} are allowed")
        _words(". ".join(sentence.text for sentence in value))
        return value

    def sub_text(self, dimension: str) -> SubText:
        """As it is stored, the topic of each sentence being its layer."""
        said = [Sentence(one.text, one.evidence, f"layer-{one.layer}") for one in self.sentences]
        return SubText.of(dimension, said, self.confidence)

    @property
    def rests_on(self) -> set[Evidence]:
        return {one.evidence for one in self.sentences}


_DIMENSIONS: Final = {dimension for dimensions in DIMENSIONS.values() for dimension in dimensions}


def _form(value: Any) -> str:
    """Which of the two a field is."""
    return "sentences" if isinstance(value, dict) and "sentences" in value else "one"


EitherAnswer = Annotated[
    Annotated[SubTextAnswer, Tag("one")] | Annotated[SentencesAnswer, Tag("sentences")], Discriminator(_form)
]


class CountAnswer(BaseModel):
    """How many of a category are seen."""

    model_config = ConfigDict(extra="forbid")
    category: str
    number: int

    _name = field_validator("category")(_category)

    @field_validator("number")
    @classmethod
    def _number(cls, value: int) -> int:
        if value < 0:
            raise ValueError("the number must be 0 or more")
        if value > MAX_COUNT:
            raise ValueError(f"the number must be at most {MAX_COUNT}")
        return value


class BoxAnswer(BaseModel):
    """Where an object lies, in fractions of the image."""

    model_config = ConfigDict(extra="forbid")
    category: str
    x: float
    y: float
    width: float
    height: float

    _name = field_validator("category")(_category)

    @model_validator(mode="after")
    def _inside(self) -> "BoxAnswer":
        ends = (self.x, self.y, self.x + self.width, self.y + self.height)
        if not all(-_OUTSIDE <= value <= 1 + _OUTSIDE for value in ends):  # also refuses NaN
            raise ValueError("the box must lie within the image, with all lengths as fractions of it, 0 to 1")
        left, top, right, bottom = (min(1.0, max(0.0, value)) for value in ends)
        if right <= left or bottom <= top:
            raise ValueError("the width and the height of a box must be more than 0")
        return self

    def box(self) -> Box:
        """The part that lies in the image."""
        left, top = max(0.0, self.x), max(0.0, self.y)
        right, bottom = min(1.0, self.x + self.width), min(1.0, self.y + self.height)
        return Box(self.category, left, top, right - left, bottom - top)


def _fields_of(name: str, dimensions: tuple[str, ...], field: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {dimension: (field, Field()) for dimension in dimensions}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def answer_schema(instruction_set: str | None = None, layered: bool = True) -> dict[str, Any]:
    """JSON schema of an answer in the strict dialect of OpenAI's structured outputs (all required, nothing extra).

    Args:
        instruction_set: the set that was asked for; None allows all three.
        layered: fields of up to three sentences with their layers; False: of one sentence.
    """
    schema = _answer_model(instruction_set, SentencesAnswer if layered else SubTextAnswer).model_json_schema()
    return {**schema, "required": list(schema["properties"])}  # counts and boxes too: the dialect knows no others


@cache
def _answer_model(instruction_set: str | None, field: Any) -> type[BaseModel]:
    targets = _fields_of("TargetTexts", DIMENSIONS[InstructionSet.GROUND], field)
    terrain = _fields_of("TerrainTexts", DIMENSIONS[InstructionSet.TERRAIN], field)
    texts: Any = targets | terrain
    names: Any = Literal["ground", "marine", "terrain"]
    if instruction_set is not None:
        texts = targets if InstructionSet(instruction_set).of_targets else terrain
        names = Literal[instruction_set]
    # Answers on disk from before there were counts and boxes have neither, and go on to be understood.
    return create_model(
        "Answer",
        __config__=ConfigDict(extra="forbid"),
        instruction_set=(names, Field()),
        sub_texts=(texts, Field()),
        counts=(list[CountAnswer], Field(default_factory=list)),
        boxes=(list[BoxAnswer], Field(default_factory=list)),
    )


def parse_answer(
    content: str,
    tile_id: str,
    instruction_set: str | None = None,
    has_parent: bool = True,
    response_format: str = "json_schema",
) -> Annotation:
    """Turn the text of an answer into an annotation.

    Args:
        content: the model's message; a Markdown fence around the JSON is tolerated.
        tile_id: the tile that was asked about.
        instruction_set: the set that was asked for; None where the model was to choose.
        has_parent: whether a parent's text was sent; without one nothing can rest on it.
        response_format: with "text" an answer that has not the form of the schema is read as free text
            (:func:`.free_form.parse_free_form`), with the count that its Count states, and no boxes.

    Raises:
        ValueError: in words that the model can act on: not JSON, a missing field, a wrong value, another set.
    """
    body = content.strip()
    if body.startswith("```"):
        body = body.strip("`").strip().removeprefix("json").strip()
    if response_format == "text":
        if '"sub_texts"' not in body:
            return _free_annotation(body, tile_id, instruction_set, has_parent)
        body = body[max(0, body.find("{")) : body.rfind("}") + 1]  # talk around it
    # The set is read first, so that a problem is reported against the form that was meant.
    named = re.search(r'"instruction_set"\s*:\s*"(\w+)"', body)
    wanted = instruction_set or (named[1] if named and named[1] in DIMENSIONS else None)
    try:
        answer: Any = _answer_model(wanted, EitherAnswer).model_validate_json(body)
    except ValidationError as error:
        problems = [f"{_place(e['loc']) or 'answer'}: {e['msg']}" for e in error.errors()[:4]]
        raise ValueError("; ".join(problems) + ".") from None
    chosen = InstructionSet(answer.instruction_set)
    sub_texts = []
    for dimension in DIMENSIONS[chosen]:
        field: SubTextAnswer | SentencesAnswer | None = getattr(answer.sub_texts, dimension, None)
        if field is None:
            raise ValueError(f"sub_texts.{dimension}: the set {chosen} needs this field.")
        _check_evidence(dimension, field, has_parent)
        sub_texts.append(field.sub_text(dimension))
    return Annotation(tile_id, chosen, tuple(sub_texts), _counts(answer.counts), _boxes(answer.boxes))


def _place(parts: tuple[int | str, ...]) -> str:
    """Where in the answer a problem is, without the name of the form that was tried."""
    before = ("", *parts)
    return ".".join(
        str(part) for last, part in zip(before, parts) if not (last in _DIMENSIONS and part in ("one", "sentences"))
    )


def _check_evidence(dimension: str, field: SubTextAnswer | SentencesAnswer, has_parent: bool) -> None:
    if "parent" in field.rests_on and not has_parent:
        raise ValueError(f"sub_texts.{dimension}.evidence: no larger tile's text was given, so it cannot be `parent`.")


def _free_annotation(body: str, tile_id: str, instruction_set: str | None, has_parent: bool) -> Annotation:
    """An annotation from free text. What states no confidence and no evidence gets 0.5 and `visual`."""
    read = parse_free_form(body, instruction_set)
    if not read.instruction_set:
        raise ValueError("It is not clear which targets are meant: begin with `Instruction set: ground` or `marine`.")
    if read.missing:
        raise ValueError(f"The fields {', '.join(read.missing)} are missing; write all eight as `Name: statement`.")
    sub_texts = []
    for dimension, text in read.texts.items():
        confidence = read.confidences.get(dimension, UNSTATED_CONFIDENCE)
        try:
            field = SubTextAnswer(text=text, confidence=confidence, evidence=read.evidence.get(dimension, "visual"))
        except ValidationError as error:
            raise ValueError(f"{dimension}: {error.errors()[0]['msg']}.") from None
        _check_evidence(dimension, field, has_parent)
        sub_texts.append(field.sub_text(dimension))
    counts = stated_count(read.instruction_set, read.texts.get("Count", ""))
    return Annotation(tile_id, InstructionSet(read.instruction_set), tuple(sub_texts), counts)


_ESTIMATED = re.compile(
    r"\b(about|around|approximately|roughly|circa|some|several|many|few|at least|at most|more than|fewer|less than|"
    r"over|under|up to|nearly|almost|or more|or so|possibly|perhaps|maybe|probably|likely|estimated?|between|"
    r"\d+ ?(?:to|or) ?\d+)\b|~|\d ?[-–+]"
)
"""A number with one of these is an estimate."""
_NUMBER = re.compile(rf"\b(?:\d+|{'|'.join(NUMBERS)})\b")


def stated_count(instruction_set: str, text: str) -> dict[str, int]:
    """What a Count says in so many words: "three ships are visible" -> {"ship": 3}. Nothing where the number is an
    estimate, or where several stand there."""
    text = text.lower()
    claims = parse_claims(instruction_set, "Count", text)
    if "count" not in claims or _ESTIMATED.search(text) or len(_NUMBER.findall(text)) > 1:
        return {}
    return {claims["category"]: claims["count"]} if claims["count"] <= MAX_COUNT else {}


def _counts(found: list[CountAnswer]) -> dict[str, int]:
    counts: dict[str, int] = {}
    if len(found) > MAX_BOXES:
        raise ValueError(f"counts: {len(found)} categories are too many.")
    for entry in found:
        if counts.setdefault(entry.category, entry.number) != entry.number:
            raise ValueError(f"counts: {entry.category} is counted twice, with different numbers.")
    return counts


def _boxes(found: list[BoxAnswer]) -> tuple[Box, ...]:
    if len(found) > MAX_BOXES:
        raise ValueError(f"boxes: {len(found)} are too many, give the clearest 20.")
    return tuple(dict.fromkeys(entry.box() for entry in found))
